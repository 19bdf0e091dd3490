//! The heart of the product: a tile of C as sums in registers, one rank-1 update for each inner position.

use super::MatMut;
use super::instructions::{fetch, fetch_at};
use super::pack::{Lanewise, Panels, Rows};
use crate::simd::{Float, Lanes};

// A tile of MR rows and NV vectors of sums lives in registers. AVX-512 has 32 of them: 12·2 sums, 2 vectors of B,
// one of A. AVX2 has 16 of half the size: 6·1·2 sums, 2 of B, one of A; NEON's 32 quarter ones hold the same tile.
const WIDE: bool = cfg!(target_feature = "avx512f");
/// Rows of a tile.
pub const MR: usize = if WIDE { 12 } else { 6 };
/// Vectors in a row of a tile.
pub const NV: usize = if WIDE { 2 } else { 1 };

/// Columns of a tile.
pub const fn nr<T: Float>() -> usize {
    NV * T::Lanes::N
}

/// R x NR sums.
pub type Tile<T, const R: usize> = [[<T as Float>::Lanes; NV]; R];

/// C ← start + A·B over the first `words` words of the panels of B.
pub fn multiply<T: Float, P: Lanewise<T>>(c: MatMut<T>, a: &Rows<T>, b: &Panels<T>, words: usize, start: Start<T>) {
    for (p, j0) in (0..c.cols).step_by(nr::<T>()).enumerate() {
        let b = b.panel(p, words);
        let width = nr::<T>().min(c.cols - j0);
        for i0 in (0..c.rows).step_by(MR) {
            let height = MR.min(c.rows - i0);
            let part = &mut c.data[i0 * c.stride + j0..];
            // In a short tile the sums would be ready before the lines are; then asking is in vain.
            if words > 128 {
                foresee(part, c.stride, [height, width], fetch);
            }
            // The last rows in the smallest tile that holds them.
            if height > MR / 2 {
                put(part, c.stride, [height, j0, width], &sums::<T, P, MR>(a, i0, height, b), start);
            } else if height > MR / 4 {
                put(part, c.stride, [height, j0, width], &sums::<T, P, { MR / 2 }>(a, i0, height, b), start);
            } else {
                put(part, c.stride, [height, j0, width], &sums::<T, P, { MR / 4 }>(a, i0, height, b), start);
            }
        }
    }
}

/// The tile of rows i0.. of A and a panel of B. Rows beyond the last read the last again; what they give is not written.
#[inline(always)]
fn sums<T: Float, P: Lanewise<T>, const R: usize>(a: &Rows<T>, i0: usize, height: usize, b: &[T::Lanes]) -> Tile<T, R> {
    let (words, stride, last) = (a.words(), a.stride, height - 1);
    if !a.by_column {
        let rows: [&[T]; R] = std::array::from_fn(|i| &words[(i0 + i.min(last)) * stride..][..b.len() / NV]);
        return tile::<T, P, R>(|k| std::array::from_fn(|i| rows[i][k]), b);
    }
    let words = &words[i0..];
    if height == R {
        return tile::<T, P, R>(|k| *words[k * stride..].first_chunk::<R>().expect("R rows"), b);
    }
    tile::<T, P, R>(|k| std::array::from_fn(|i| words[k * stride + i.min(last)]), b)
}

/// How many inner positions ahead a panel of B is asked for: it streams by from the second-level cache, and a tile takes some
/// twelve cycles for a position where an answer from there takes fifteen.
const AHEAD: usize = 8;

/// Σₖ aₖ·bₖ for R rows of A, whose words at inner position k are `a(k)`, and a packed panel of B `[kc, NR]`.
#[inline(always)]
fn tile<T: Float, P: Lanewise<T>, const R: usize>(a: impl Fn(usize) -> [T; R], b: &[T::Lanes]) -> Tile<T, R> {
    let mut sums = [[T::Lanes::splat(T::ZERO); NV]; R];
    for (k, b) in b.chunks_exact(NV).enumerate() {
        (0..NV).for_each(|v| fetch_at(b.as_ptr().wrapping_add(AHEAD * NV + v)));
        for (sums, a) in sums.iter_mut().zip(a(k)) {
            let a = T::Lanes::splat(a);
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = P::add_product(*sum, a, b);
            }
        }
    }
    sums
}

/// Asks for the lines of C that [`put`] will write, so that they have arrived when the sums are ready: `ask` says in which cache.
#[inline(always)]
pub fn foresee<T>(c: &[T], stride: usize, [rows, width]: [usize; 2], ask: impl Fn(&T)) {
    for i in 0..rows {
        let row = &c[i * stride..][..width];
        [0, width / 2, width - 1].into_iter().for_each(|j| ask(&row[j]));
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub enum Start<'a, T> {
    /// Nothing: C is written.
    Zero,
    /// What stands in C.
    There,
    /// The same row everywhere: a bias `[n]`.
    Row(&'a [T]),
}

/// Writes a tile to its place in C: at most `rows` rows and `width` columns, column `j0` of C the first. `c` begins at the
/// tile's first element and has rows of length `stride`.
#[inline(always)]
pub fn put<T: Float, const R: usize>(
    c: &mut [T],
    stride: usize,
    [rows, j0, width]: [usize; 3],
    sums: &Tile<T, R>,
    start: Start<T>,
) {
    let n = T::Lanes::N;
    match start {
        Start::Zero => put_with(c, stride, [rows, width], sums, |_, _| T::Lanes::splat(T::ZERO)),
        Start::There => put_with(c, stride, [rows, width], sums, |_, c| T::Lanes::load_part(c, T::ZERO)),
        Start::Row(bias) => {
            let bias = &bias[j0..];
            put_with(c, stride, [rows, width], sums, |v, _| T::Lanes::load_part(&bias[v * n..], T::ZERO));
        }
    }
}

/// As [`put`]: `start(v, c)` is what vector v of a row is added to, where `c` stands.
#[inline(always)]
fn put_with<T: Float, const R: usize>(
    c: &mut [T],
    stride: usize,
    [rows, width]: [usize; 2],
    sums: &Tile<T, R>,
    start: impl Fn(usize, &[T]) -> T::Lanes,
) {
    let n = T::Lanes::N;
    for (i, sums) in sums.iter().enumerate().take(rows) {
        let row = &mut c[i * stride..][..width];
        if width == NV * n {
            for (v, (part, &sum)) in row.chunks_exact_mut(n).zip(sums).enumerate() {
                (start(v, part) + sum).store(part);
            }
        } else {
            for (v, (part, &sum)) in row.chunks_mut(n).zip(sums).enumerate() {
                (start(v, part) + sum).store_part(part);
            }
        }
    }
}

/// Independent sums: enough to fill the pipelines of two multiply-add units of four cycles' latency.
const CHAINS: usize = 12;

/// Multiply-adds on registers alone, and how many numbers they multiplied.
pub fn exercise<T: Float, P: Lanewise<T>>(rounds: usize) -> usize {
    let (a, b) = (std::hint::black_box(T::Lanes::of(0.999)), std::hint::black_box(T::Lanes::of(1e-3)));
    let mut sums = [T::Lanes::splat(T::ONE); CHAINS];
    for _ in 0..rounds {
        sums.iter_mut().for_each(|s| *s = P::add_product(*s, a, b));
    }
    std::hint::black_box(sums);
    rounds * CHAINS * T::Lanes::N * P::STEP
}
