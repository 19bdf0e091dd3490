//! Pictures cut into square patches, which a transformer reads like words.

use crate::Tensor;
use crate::parallel::chunks;

/// Pixels `[B, 3, S, S]` → `[B, 1 + N, 3·P·P]`: a row of zeros for each picture, then its N = (S/P)² patches row by row, each
/// with its numbers in the order colour, y, x. P divides S.
pub fn cut(y: &mut [f32], pixels: &[f32], side: usize, patch: usize) {
    let (grid, numbers, picture) = (side / patch, 3 * patch * patch, 3 * side * side);
    let rows = grid * grid + 1;
    assert!(pixels.len() / picture * rows * numbers == y.len(), "cut: {} pixels for {} numbers", pixels.len(), y.len());
    chunks(y, rows * numbers, |at, y| {
        let from = &pixels[at / (rows * numbers) * picture..][..picture];
        let (first, others) = y.split_at_mut(numbers);
        first.fill(0.0);
        for (i, y) in others.chunks_exact_mut(numbers).enumerate() {
            let (top, left) = (i / grid * patch, i % grid * patch);
            for (line, y) in y.chunks_exact_mut(patch).enumerate() {
                let (colour, row) = (line / patch, top + line % patch);
                y.copy_from_slice(&from[(colour * side + row) * side + left..][..patch]);
            }
        }
    });
}

/// `[B·rows, 1]` with a 1 for the first of each `rows`, and zeros elsewhere.
pub fn first_of(batch: usize, rows: usize) -> Tensor {
    let mut y = Tensor::zeros([batch * rows, 1]);
    y.data_mut().iter_mut().step_by(rows).for_each(|y| *y = 1.0);
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_in_its_patch_and_nowhere_else() {
        for (batch, side, patch) in [(1, 4, 2), (2, 6, 3), (3, 5, 5), (2, 8, 1)] {
            let pixels: Vec<f32> = (0..batch * 3 * side * side).map(|i| i as f32 + 1.0).collect();
            let (grid, numbers) = (side / patch, 3 * patch * patch);
            let rows = grid * grid + 1;
            let mut y = vec![-1.0; batch * rows * numbers];
            cut(&mut y, &pixels, side, patch);
            for b in 0..batch {
                assert!(y[b * rows * numbers..][..numbers].iter().all(|&y| y == 0.0));
                for (c, i, j) in (0..3).flat_map(|c| (0..side * side).map(move |p| (c, p / side, p % side))) {
                    let row = b * rows + 1 + i / patch * grid + j / patch;
                    let at = row * numbers + (c * patch + i % patch) * patch + j % patch;
                    assert_eq!(y[at], pixels[((b * 3 + c) * side + i) * side + j]);
                }
            }
        }
    }
}
