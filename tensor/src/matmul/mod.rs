//! The matrix product: where training spends its time.
//!
//! C = A·B as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), and BLIS. The
//! matrices are cut into blocks that fit the caches, and a block is copied ("packed") into the order in which it is read:
//!
//! ```text
//! for each block of columns of B
//!   for each block of the inner dimension      pack this block of B, on all threads: panels of NR columns
//!     for each run of rows of A                one task: threads split rows, never the inner dimension
//!       for each panel of B, for each panel of MR rows of A
//!         the tile: MR x NR sums in registers, one rank-1 update for each inner position
//! ```
//!
//! Rows of A are read where they stand, or packed by the task that works on them: if they are to be rounded or split, would
//! share a set of the first-level cache, or are columns that lie far apart.
//! The sum over the inner dimension runs in the same order for every element, however rows are split: the bits
//! do not depend on the number of threads. The block sizes were measured, not derived. Columns of B beyond the
//! last are packed as zeros, rows of A beyond the last are what happens to stand there, and neither is written.
//!
//! How operands are packed and tiles multiplied is a `Pack`. Three files have one: `pack.rs` takes numbers as they are and
//! `bf16.rs` rounds them, both for the lanes of `tile.rs`; `unit.rs` leaves tiles to the processor's matrix unit, if there is
//! one, rounded or in full. `small.rs` has the products that are many and small, `one_row.rs` those of a single row.

pub(crate) mod bf16;
pub(crate) mod instructions;
mod one_row;
mod pack;
mod small;
mod tile;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw"))]
pub(crate) mod unit;
#[cfg(not(all(
    target_os = "linux",
    target_arch = "x86_64",
    target_feature = "avx512bf16",
    target_feature = "avx512bw"
)))]
pub(crate) mod unit {
    //! No matrix unit: what is multiplied in one elsewhere is multiplied in lanes.

    pub type InUnit = super::bf16::Rounded;
    pub type SplitInUnit = super::Plain;

    pub const fn here() -> bool {
        false
    }
}

use std::ops::Range;

pub use one_row::vector_matmul_half;
use one_row::vector_matrix;
pub(crate) use pack::{Pack, Plain};
use pack::{Panels, Rows};
pub use small::{Batch, Packed, add_matmul_batched, matmul_packed, matmul_serial};
pub use tile::Start;
use tile::nr;

use crate::parallel::{chunks, chunks2, threads};
use crate::rows;
use crate::simd::Float;

/// Words of B packed at once, at most: 5 MiB of f32, of the third-level cache. Few columns where the inner dimension is long,
/// many where it is short: rows of A are read, and packed, once for each block of columns.
const BLOCK: usize = 5 << 18;

/// A matrix as the product sees it: a slice with a row length, possibly read with rows and columns exchanged.
#[derive(Clone, Copy)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    /// From one stored row to the next.
    stride: usize,
    transposed: bool,
}

impl<'a, T> Mat<'a, T> {
    /// The row-major matrix `[rows, cols]` in `data`.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "Mat::new: {} numbers are no [{rows}, {cols}] matrix", data.len());
        Self { data, rows, cols, stride: cols, transposed: false }
    }

    /// The matrix `[rows, cols]` that begins where `data` begins, with `stride` numbers from one row to the next.
    #[track_caller]
    pub fn strided(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
        assert!(cols <= stride && needed <= data.len(), "Mat::strided: [{rows}, {cols}] by {stride} of {}", data.len());
        Self { data, rows, cols, stride, transposed: false }
    }

    /// The transpose: a flag, no copy.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, transposed: !self.transposed, ..self }
    }

    /// The numbers of stored row `i` (a column, when transposed).
    fn stored_row(&self, i: usize) -> &'a [T] {
        let width = if self.transposed { self.rows } else { self.cols };
        &self.data[i * self.stride..][..width]
    }

    /// A block of a matrix that is not transposed.
    fn part(&self, rows: Range<usize>, cols: Range<usize>) -> Self {
        let data = &self.data[rows.start * self.stride + cols.start..];
        Self { data, rows: rows.len(), cols: cols.len(), ..*self }
    }
}

/// Where a product goes: a block of rows, with `stride` numbers from one to the next.
pub struct MatMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a, T: Float> MatMut<'a, T> {
    /// The row-major matrix `[rows, cols]` in `data`.
    #[track_caller]
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "MatMut::new: {} numbers are no [{rows}, {cols}] matrix", data.len());
        Self { data, rows, cols, stride: cols }
    }

    /// The matrix `[rows, cols]` that begins where `data` begins, with `stride` numbers from one row to the next.
    #[track_caller]
    pub fn strided(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Self {
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
        assert!(
            cols <= stride && needed <= data.len(),
            "MatMut::strided: [{rows}, {cols}] by {stride} of {}",
            data.len()
        );
        Self { data, rows, cols, stride }
    }

    /// Some of its columns.
    fn columns(&mut self, cols: Range<usize>) -> MatMut<'_, T> {
        MatMut { data: &mut self.data[cols.start..], rows: self.rows, cols: cols.len(), stride: self.stride }
    }
}

/// What the product does with its operands before it multiplies them. Sums are always kept in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nothing; in a matrix unit f32 is split into three parts, which gives the sum to the accuracy of f32, but for infinities:
    /// these become NaN there.
    #[default]
    Full,
    /// Rounds them to bf16, eight bits of mantissa: twice the speed where the processor is fast at multiplying pairs of them,
    /// and more where it has a matrix unit.
    Bf16,
}

/// A function of a number type and a [`Pack`], called with the way in which this processor multiplies such numbers in a
/// precision, in the matrix unit or in lanes.
macro_rules! as_packed {
    ($t:ty, $precision:expr, $in_unit:expr, $f:ident($($argument:expr),*)) => {
        match ($precision, $in_unit) {
            (Precision::Full, false) => $f::<$t, Plain>($($argument),*),
            (Precision::Full, true) => $f::<$t, <$t as Float>::UnitFull>($($argument),*),
            (Precision::Bf16, false) if $crate::matmul::bf16::in_pairs() => $f::<$t, <$t as Float>::Pairs>($($argument),*),
            (Precision::Bf16, false) => $f::<$t, $crate::matmul::bf16::Rounded>($($argument),*),
            (Precision::Bf16, true) => $f::<$t, <$t as Float>::UnitBf16>($($argument),*),
        }
    };
}
pub(crate) use as_packed;

/// Whether a product of m rows and n columns is for the matrix unit: to split numbers in full costs more than a few gain.
fn in_unit(precision: Precision, [m, n]: [usize; 2]) -> bool {
    unit::here() && (precision == Precision::Bf16 || m.min(n) >= 128)
}

/// C ← A·B for `c` of shape `[m, n]`, `a` `[m, k]`, `b` `[k, n]`, on all threads.
#[track_caller]
pub fn matmul<T: Float>(c: &mut [T], a: Mat<T>, b: Mat<T>, precision: Precision) {
    matmul_onto(c, Start::Zero, a, b, precision);
}

/// C ← C + A·B, on all threads: how a product adds into a gradient.
#[track_caller]
pub fn add_matmul<T: Float>(c: &mut [T], a: Mat<T>, b: Mat<T>, precision: Precision) {
    matmul_onto(c, Start::There, a, b, precision);
}

/// C ← start + A·B, on all threads.
#[track_caller]
pub fn matmul_onto<T: Float>(c: &mut [T], start: Start<T>, a: Mat<T>, b: Mat<T>, precision: Precision) {
    product(c, None, start, a, b, precision);
}

/// C ← start + A·B and Y ← f(C) element by element, on all threads: what follows a product, while C is in the cache.
#[track_caller]
pub fn matmul_map<T: Float>(
    [c, y]: [&mut [T]; 2],
    start: Start<T>,
    a: Mat<T>,
    b: Mat<T>,
    precision: Precision,
    f: impl Fn(T::Lanes) -> T::Lanes + Send + Sync,
) {
    assert_eq!(c.len(), y.len(), "matmul_map: C and Y differ in length");
    let f = |y: &mut [T], c: &[T]| rows::combine(y, [c], |_, [c]| f(c));
    product(c, Some((y, &f)), start, a, b, precision);
}

/// What becomes of finished elements: where to, and how.
type Then<'a, T> = Option<(&'a mut [T], &'a (dyn Fn(&mut [T], &[T]) + Sync))>;

#[track_caller]
fn product<T: Float>(c: &mut [T], mut then: Then<T>, start: Start<T>, a: Mat<T>, b: Mat<T>, precision: Precision) {
    let (m, n) = (a.rows, b.cols);
    check([m, n], c.len() == m * n, start, &a, &b);
    match precision {
        _ if a.cols == 0 => (0..m).for_each(|i| begin(&mut c[i * n..][..n], start)),
        Precision::Full if m == 1 && !a.transposed => vector_matrix(c, start, &a.data[..a.cols], b),
        _ => return as_packed!(T, precision, in_unit(precision, [m, n]), blocks(c, then, start, a, b)),
    }
    if let Some((y, f)) = &mut then {
        f(y, c);
    }
}

/// One row of C before anything is added to it.
fn begin<T: Float>(c: &mut [T], start: Start<T>) {
    match start {
        Start::Zero => c.fill(T::ZERO),
        Start::There => {}
        Start::Row(bias) => c.copy_from_slice(bias),
    }
}

fn blocks<T: Float, P: Pack<T>>(c: &mut [T], mut then: Then<T>, start: Start<T>, a: Mat<T>, b: Mat<T>) {
    let (m, n) = (a.rows, b.cols);
    let run = run::<T, P>(m, threads());
    each_block::<T, P>(a.cols, n, |cols, inner| {
        let packed = panels::<T, P>(b, cols.clone(), inner.clone(), true);
        let words = P::words(inner.len());
        let some_rows = |at: usize, c: &mut [T]| {
            let rows = at / n..at / n + c.len() / n;
            let a = Rows::new::<P>(a, rows.clone(), inner.clone());
            let part = MatMut { data: &mut c[cols.start..], rows: rows.len(), cols: cols.len(), stride: n };
            P::multiply(part, &a, &packed, words, after(start, &inner, &cols));
        };
        match &mut then {
            Some((y, f)) if inner.end == a.cols => chunks2((c, run * n), (y, run * n), |i, c, y| {
                some_rows(i * run * n, c);
                let rows = y.chunks_exact_mut(n).zip(c.chunks_exact(n));
                rows.for_each(|(y, c)| f(&mut y[cols.clone()], &c[cols.clone()]));
            }),
            _ => chunks(c, run * n, some_rows),
        }
    });
}

/// How many of m rows make a task: whole tiles, no more than stay in the cache, and few enough that a thread has some tasks to
/// even out the load; of such sizes, but not single tiles for each of which all of B would come by, the one with which the
/// thread that has most tiles has fewest.
fn run<T: Float, P: Pack<T>>(m: usize, threads: usize) -> usize {
    let tiles = m.div_ceil(P::ROWS);
    let most = tiles.div_ceil(P::SHARES * threads).clamp(1, P::TASK / P::ROWS);
    let waited_for = |&run: &usize| {
        let (runs, rest) = (tiles / run, tiles % run);
        let last = if runs.is_multiple_of(threads) { rest } else { run };
        runs / threads * run + last
    };
    (most.min(2)..=most).rev().min_by_key(waited_for).expect("one size at least") * P::ROWS
}

/// A block of B packed, on all threads if `parallel`.
fn panels<T: Float, P: Pack<T>>(b: Mat<T>, cols: Range<usize>, inner: Range<usize>, parallel: bool) -> Panels<T> {
    Panels::new::<P>(b, cols, inner, parallel)
}

/// The blocks of columns and of the inner dimension, in order. Blocks are of like size: a last one of a few columns
/// would read all of A for little.
fn each_block<T: Float, P: Pack<T>>(k: usize, n: usize, mut f: impl FnMut(Range<usize>, Range<usize>)) {
    let even = |n: usize, most: usize, multiple: usize| n.div_ceil(n.div_ceil(most)).next_multiple_of(multiple);
    if k == 0 || n == 0 {
        return;
    }
    let kc = even(k, P::INNER, P::GROUP);
    let nc = even(n, BLOCK / P::words(kc), nr::<T>());
    for j0 in (0..n).step_by(nc) {
        for k0 in (0..k).step_by(kc) {
            f(j0..(j0 + nc).min(n), k0..(k0 + kc).min(k));
        }
    }
}

/// What a block is added to: the first of the inner dimension to the product's start, the others to the sum so far.
fn after<'a, T>(start: Start<'a, T>, inner: &Range<usize>, cols: &Range<usize>) -> Start<'a, T> {
    match start {
        _ if inner.start > 0 => Start::There,
        Start::Row(bias) => Start::Row(&bias[cols.clone()]),
        start => start,
    }
}

#[track_caller]
fn check<T: Float>([rows, cols]: [usize; 2], fits: bool, start: Start<T>, a: &Mat<T>, b: &Mat<T>) {
    let (m, k, k2, n) = (a.rows, a.cols, b.rows, b.cols);
    assert_eq!(k, k2, "matmul: [{m}, {k}] times [{k2}, {n}]: the inner lengths differ");
    assert!(fits, "matmul: [{m}, {k}] times [{k}, {n}] does not fit an output of [{rows}, {cols}]");
    if let Start::Row(bias) = start {
        assert_eq!(bias.len(), n, "matmul: [{m}, {k}] times [{k}, {n}]: a bias of {}", bias.len());
    }
}

#[cfg(test)]
mod tests;
