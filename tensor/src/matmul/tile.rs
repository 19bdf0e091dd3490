//! The heart of the product: a tile of C as sums in registers, one rank-1 update for each inner position.

use super::instructions::fetch;
use super::pack::Pack;
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

/// Σₖ aₖ·bₖ for R rows of A, whose words at inner position k are `a(k)`, and a packed panel of B `[kc, NR]`.
#[inline(always)]
pub fn tile<T: Float, P: Pack<T>, const R: usize>(a: impl Fn(usize) -> [T; R], b: &[T::Lanes]) -> Tile<T, R> {
    let mut sums = [[T::Lanes::splat(T::ZERO); NV]; R];
    for (k, b) in b.chunks_exact(NV).enumerate() {
        for (sums, a) in sums.iter_mut().zip(a(k)) {
            let a = T::Lanes::splat(a);
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = P::add_product(*sum, a, b);
            }
        }
    }
    sums
}

/// Asks for the lines of C that [`put`] will write, so that they have arrived when the sums are ready.
#[inline(always)]
pub fn foresee<T>(c: &[T], stride: usize, [rows, width]: [usize; 2]) {
    for i in 0..rows {
        let row = &c[i * stride..][..width];
        [0, width / 2, width - 1].into_iter().for_each(|j| fetch(&row[j]));
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
