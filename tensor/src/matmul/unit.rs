//! The matrix unit (Intel's AMX): whole tiles of bf16 multiplied by one instruction, in a cycle sixteen times as much as lanes
//! multiply in f32.
//!
//! A tile register holds 16 rows of 16 words. One instruction adds A·B to a tile of sums in f32, for a tile of A, whose words
//! along a row are pairs of the inner dimension, and a tile of B, whose words down a column are. So the panels of B are those of
//! [`bf16`](super::bf16), and of A the words of a row stand side by side. Four tiles of sums are 32 x 32 numbers of C.
//!
//! **Numbers in full** are multiplied by it as well. An f32 has 24 bits of mantissa, a bf16 has eight, so three hold it exactly:
//!
//! ```text
//! x = x₁ + x₂ + x₃     x₁ = bf16(x)   x₂ = bf16(x − x₁)   x₃ = x − x₁ − x₂     |x₂| ≤ 2⁻⁸|x|   |x₃| ≤ 2⁻¹⁷|x|
//! x·y ≈ x₁y₃ + x₁y₂ + x₂y₂ + x₂y₁ + x₁y₁ + x₃y₁
//! ```
//!
//! What is left out, x₂y₃ + x₃y₂ + x₃y₃, is below 2⁻²⁴|x·y| (x₂ is largest where |x| is above a power of two by that much), no
//! more than rounding the product to f32 does to it. Each of the six is exact in f32, and sums as long as the whole are rounded
//! six times in 32 positions, where a chain of multiply-adds rounds them at each. So beyond a few positions the result is nearer
//! to the true one than such a chain's (a test measures both), in less time. What is lost is at the edges: an infinity gives
//! NaN, as may a number that rounds to one or a product beyond the largest; and parts, products and sums below the smallest
//! normal number (2⁻¹²⁶) are zero.
//!
//! Whether there is such a unit is asked when the program runs, since the system has to allow its use.
//!
//! References: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18; Henry, Tang and Heinecke
//! 2019, "Leveraging the bfloat16 Artificial Intelligence Datatype for Higher-Precision Computations", for the split.

use std::array::from_fn;

use wide::f32x16;

use super::MatMut;
pub use super::instructions::unit::here;
use super::instructions::unit::{SIDE, Tiles, fetch_second_level, numbers_across, numbers_along};
use super::instructions::{pairs_across, pairs_along};
use super::pack::{Pack, Panels, Rows};
use super::tile::{Start, Tile, foresee, nr, put};
use crate::pool::Buffer;
use crate::simd::Lanes;

/// Numbers as the sum of so many bf16, the largest first. In the words of a row, sixteen of the first part are followed by
/// sixteen of the second, and so on: a group.
pub struct Parts<const N: usize>;

/// Rounded to bf16.
pub type InUnit = Parts<1>;
/// In full.
pub type SplitInUnit = Parts<3>;

/// Inner positions of a group: two to a word, and words to fill the rows of a tile.
const GROUP: usize = 2 * SIDE;

impl<const N: usize> Parts<N> {
    /// Hands the words of each part of two vectors to `f` with its number: what `pairs` makes of them, and then of what it
    /// left out, which it has rounded as `numbers` tells.
    #[inline(always)]
    fn of(
        mut x: [f32x16; 2],
        pairs: impl Fn(f32x16, f32x16) -> f32x16,
        numbers: impl Fn(f32x16) -> [f32x16; 2],
        mut f: impl FnMut(usize, f32x16),
    ) {
        for part in 0..N {
            let words = pairs(x[0], x[1]);
            f(part, words);
            let [first, second] = numbers(words);
            x = [x[0] - first, x[1] - second];
        }
    }
}

impl<const N: usize> Pack<f32> for Parts<N> {
    const STEP: usize = 2;
    const ROWS: usize = 2 * SIDE;
    // Of a panel of B each row of tiles asks for a quarter of the next, and B comes from the third-level cache at a quarter
    // of the speed at which the unit multiplies: four of them, and no task of fewer if there need not be.
    const TASK: usize = 4 * Self::ROWS;
    const SHARES: usize = 1;
    // A task's rows of A are half of a second-level cache of two MiB at most.
    const INNER: usize = if N == 1 { 2048 } else { 1024 };
    const GROUP: usize = GROUP;
    const BY_ROW: bool = true;

    fn words(inner: usize) -> usize {
        inner.div_ceil(GROUP) * SIDE * N
    }

    fn place(i: usize) -> usize {
        i / SIDE * SIDE * N + i % SIDE
    }

    #[inline(always)]
    fn along(to: &mut [f32], from: &[f32]) {
        let (whole, rest) = from.as_chunks::<GROUP>();
        let mut groups = to.chunks_exact_mut(SIDE * N);
        let mut pack = |from: &[f32; GROUP]| {
            let to = groups.next().expect("a group of words for a group of numbers");
            let x = [Lanes::load(from), Lanes::load(&from[SIDE..])];
            Self::of(x, pairs_along, numbers_along, |part, words| words.store(&mut to[part * SIDE..]));
        };
        whole.iter().for_each(&mut pack);
        if !rest.is_empty() {
            pack(&from_fn(|i| rest.get(i).copied().unwrap_or(0.0)));
        }
    }

    #[inline(always)]
    fn across(to: &mut [f32], stride: usize, first: &[f32], second: Option<&[f32]>) {
        let pack = |at: usize, x: [f32x16; 2], to: &mut [f32], width: usize| {
            Self::of(x, pairs_across, numbers_across, |part, words| {
                words.store_part(&mut to[part * SIDE * stride + at..][..width]);
            });
        };
        let whole = first.len() / SIDE * SIDE;
        let none = f32x16::splat(0.0);
        for at in (0..whole).step_by(SIDE) {
            let second = second.map_or(none, |second| Lanes::load(&second[at..]));
            pack(at, [Lanes::load(&first[at..]), second], to, SIDE);
        }
        if whole < first.len() {
            let second = second.map_or(none, |second| Lanes::load_part(&second[whole..], 0.0));
            pack(whole, [Lanes::load_part(&first[whole..], 0.0), second], to, first.len() - whole);
        }
    }

    fn multiply(c: MatMut<f32>, a: &Rows<f32>, b: &Panels<f32>, words: usize, start: Start<f32>) {
        let tiles = Tiles::new();
        let mut sums: Tile<f32, { 2 * SIDE }> = [[f32x16::splat(0.0); 2]; 2 * SIDE];
        let last = c.cols.div_ceil(nr::<f32>()).saturating_sub(1);
        for (p, j0) in (0..c.cols).step_by(nr::<f32>()).enumerate() {
            let (b, next) = (b.panel(p, words), b.panel((p + 1).min(last), words));
            let width = nr::<f32>().min(c.cols - j0);
            for i0 in (0..c.rows).step_by(Self::ROWS) {
                let height = Self::ROWS.min(c.rows - i0);
                let part = &mut c.data[i0 * c.stride + j0..];
                // In a short tile the sums would be ready before the lines are.
                if words > 64 {
                    foresee(part, c.stride, [height, width], fetch_second_level);
                }
                // Each tile asks for its quarter of the next panel: none of B is in a cache near by, and none comes back.
                let soon = next.as_ptr().wrapping_add(i0 / Self::ROWS * (b.len() / 4));
                tiles.multiply::<N>(&mut sums, &a.words()[i0 * a.stride..], a.stride, b, height, soon);
                put(part, c.stride, [height, j0, width], &sums, start);
            }
        }
    }

    fn exercise(rounds: usize) -> usize {
        // So many that writing the sums does not count, so few that the first-level cache holds them.
        let groups = 8 / N;
        let tiles = Tiles::new();
        let mut sums = [[f32x16::splat(0.0); 2]; 2 * SIDE];
        let words = groups * SIDE * N;
        let [mut a, mut b] = [Self::ROWS * words, nr::<f32>() * words].map(Buffer::<f32>::scratch);
        a.fill(1.0);
        b.fill(1.0);
        for _ in 0..rounds {
            tiles.multiply::<N>(&mut sums, &a, words, b.lanes(), Self::ROWS, b.lanes().as_ptr());
        }
        std::hint::black_box(&sums);
        rounds * Self::ROWS * nr::<f32>() * GROUP * groups
    }
}
