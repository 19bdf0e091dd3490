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
//! one, rounded or in full.

pub(crate) mod bf16;
mod instructions;
mod pack;
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

    pub type InUnit = super::bf16::Fastest;
    pub type SplitInUnit = super::Plain;

    pub const fn here() -> bool {
        false
    }
}

use std::ops::Range;

pub(crate) use pack::{Pack, Plain};
use pack::{Panels, Rows};
pub use tile::Start;
use tile::nr;

use crate::parallel::{chunks, chunks2, grain_rows, threads};
use crate::pool::Buffer;
use crate::rows;
use crate::simd::{Float, Stored};

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
    /// Rounds them to bf16, eight bits of mantissa: half the width, twice the speed where the processor multiplies it, and more
    /// where it has a matrix unit.
    Bf16,
}

/// A function of a number type and a [`Pack`], called with the way in which this processor multiplies such numbers in a
/// precision, in the matrix unit or in lanes.
macro_rules! as_packed {
    ($t:ty, $precision:expr, $in_unit:expr, $f:ident($($argument:expr),*)) => {
        match ($precision, $in_unit) {
            (Precision::Full, false) => $f::<$t, Plain>($($argument),*),
            (Precision::Full, true) => $f::<$t, <$t as Float>::UnitFull>($($argument),*),
            (Precision::Bf16, false) => $f::<$t, <$t as Float>::Bf16>($($argument),*),
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

/// c ← start + x·B for a single row x `[k]` and weights of half the width, `b` `[k, n]`: what [`Precision::Bf16`] gives,
/// with half as much to read. On all threads.
#[track_caller]
pub fn vector_matmul_half<T: Float>(c: &mut [T], start: Start<T>, x: &[T], b: Mat<T::Half>) {
    assert_eq!((x.len(), c.len()), (b.rows, b.cols), "matmul: [1, {}] times [{}, {}]", x.len(), b.rows, b.cols);
    let mut rounded = Buffer::scratch(x.len());
    rounded.iter_mut().zip(x).for_each(|(to, x)| *to = x.half().wide());
    vector_matrix(c, start, &rounded, b);
}

/// One row of C before anything is added to it.
fn begin<T: Float>(c: &mut [T], start: Start<T>) {
    match start {
        Start::Zero => c.fill(T::ZERO),
        Start::There => {}
        Start::Row(bias) => c.copy_from_slice(bias),
    }
}

/// All rows of C before anything is added to them.
fn begin_rows<T: Float>(c: &mut MatMut<T>, start: Start<T>) {
    (0..c.rows).for_each(|i| begin(&mut c.data[i * c.stride..][..c.cols], start));
}

/// C ← start + A·B on this thread alone: for products that are many and small, and run side by side.
#[track_caller]
pub fn matmul_serial<T: Float>(mut c: MatMut<T>, start: Start<T>, a: Mat<T>, b: Mat<T>, precision: Precision) {
    check([c.rows, c.cols], [c.rows, c.cols] == [a.rows, b.cols], start, &a, &b);
    match a.cols {
        0 => begin_rows(&mut c, start),
        _ => as_packed!(T, precision, in_unit(precision, [c.rows, c.cols]), blocks_serial(c, start, a, b)),
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

fn blocks_serial<T: Float, P: Pack<T>>(mut c: MatMut<T>, start: Start<T>, a: Mat<T>, b: Mat<T>) {
    each_block::<T, P>(a.cols, b.cols, |cols, inner| {
        let packed = panels::<T, P>(b, cols.clone(), inner.clone(), false);
        multiply_rows::<T, P>(c.columns(cols.clone()), after(start, &inner, &cols), a, inner, &packed);
    });
}

/// C ← start + A·B for some inner positions of A, and the panels of B for these, on this thread.
fn multiply_rows<T: Float, P: Pack<T>>(c: MatMut<T>, start: Start<T>, a: Mat<T>, inner: Range<usize>, b: &Panels<T>) {
    for i0 in (0..c.rows).step_by(P::TASK) {
        let rows = i0..(i0 + P::TASK).min(c.rows);
        let part = MatMut { data: &mut c.data[i0 * c.stride..], rows: rows.len(), ..c };
        let a = Rows::new::<P>(a, rows, inner.clone());
        P::multiply(part, &a, b, P::words(inner.len()), start);
    }
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

/// Rows and columns of the products with a [`Packed`]: it does not know them yet, and they are few.
const FEW: [usize; 2] = [0; 2];

/// B packed once, for several small products on one thread.
pub struct Packed<T: Float> {
    panels: Panels<T>,
    inner: usize,
    cols: usize,
    precision: Precision,
}

impl<T: Float> Packed<T> {
    /// B `[k, n]` for products of a precision.
    pub fn new(b: Mat<T>, precision: Precision) -> Self {
        let (inner, cols) = (b.rows, b.cols);
        let panels = as_packed!(T, precision, in_unit(precision, FEW), panels(b, 0..cols, 0..inner, false));
        Self { panels, inner, cols, precision }
    }
}

/// C ← start + A·B with the first inner positions and columns of B, as many as A and C have, on this thread alone. In a matrix
/// unit the further positions of B up to a multiple of 32 are multiplied by zeros: they had better be finite.
#[track_caller]
pub fn matmul_packed<T: Float>(mut c: MatMut<T>, start: Start<T>, a: Mat<T>, b: &Packed<T>) {
    let fits = c.rows == a.rows && a.cols <= b.inner && c.cols <= b.cols;
    // Words are used whole, and some have two positions.
    assert!(fits && (a.cols == b.inner || a.cols.is_multiple_of(2)), "matmul: [{}, {}] of a packed B", a.rows, a.cols);
    match a.cols {
        0 => begin_rows(&mut c, start),
        inner => as_packed!(T, b.precision, in_unit(b.precision, FEW), multiply_rows(c, start, a, 0..inner, &b.panels)),
    }
}

/// Matrices of one shape, one after another: `[batch, rows, cols]`, each possibly read transposed.
#[derive(Clone, Copy)]
pub struct Batch<'a, T> {
    data: &'a [T],
    batch: usize,
    rows: usize,
    cols: usize,
    transposed: bool,
}

impl<'a, T: Float> Batch<'a, T> {
    /// The row-major matrices `[batch, rows, cols]` in `data`.
    #[track_caller]
    pub fn new(data: &'a [T], batch: usize, rows: usize, cols: usize) -> Self {
        assert_eq!(
            data.len(),
            batch * rows * cols,
            "Batch::new: {} numbers, not [{batch}, {rows}, {cols}]",
            data.len()
        );
        Self { data, batch, rows, cols, transposed: false }
    }

    /// Every matrix transposed: a flag, no copy.
    #[must_use]
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn at(&self, i: usize) -> Option<Mat<'a, T>> {
        let size = self.rows * self.cols;
        let mat = (i < self.batch).then(|| Mat::new(&self.data[i * size..(i + 1) * size], self.rows, self.cols))?;
        Some(if self.transposed { mat.t() } else { mat })
    }
}

/// C\[i\] ← C\[i\] + A\[i\]·B\[i\] for every i of a batch, side by side: `c` `[batch, m, n]`, `a` and `b` alike, stored
/// with or without exchanged rows and columns.
#[track_caller]
pub fn add_matmul_batched<T: Float>(c: &mut [T], a: Batch<T>, b: Batch<T>, precision: Precision) {
    assert_eq!(a.batch, b.batch, "matmul: a batch of {} against one of {}", a.batch, b.batch);
    let (m, n) = (a.at(0).map_or(0, |a| a.rows), b.at(0).map_or(0, |b| b.cols));
    let size = m * n;
    assert_eq!(c.len(), a.batch * size, "matmul: {} numbers for a batch of {} x {size}", c.len(), a.batch);
    if size > 0 {
        chunks(c, size, |at, c| {
            let (a, b) = (a.at(at / size), b.at(at / size));
            let (a, b) = (a.expect("inside the batch"), b.expect("inside the batch"));
            matmul_serial(MatMut::new(c, m, n), Start::There, a, b, precision);
        });
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

/// c ← start + x·B for a single row x: every number of B is read once, in the order in which it stands, and nothing is
/// packed. What counts is how fast B arrives from memory. A task takes some whole rows of what is stored; if these run
/// across the inner dimension, its sums are added to those of the tasks before it.
fn vector_matrix<T: Float, S: Stored<T>>(c: &mut [T], start: Start<T>, x: &[T], b: Mat<S>) {
    begin(c, start);
    if b.transposed {
        chunks(c, grain_rows(x.len()), |j0, c| {
            c.iter_mut().enumerate().for_each(|(j, c)| *c += rows::dot(x, b.stored_row(j0 + j)));
        });
        return;
    }
    let n = c.len();
    let run = (2 * grain_rows(n)).max(x.len().div_ceil(16));
    let mut sums = Buffer::<T>::zeros(x.len().div_ceil(run) * n);
    chunks(&mut sums, n, |at, sums| {
        let first = at / n * run;
        let (fours, rest) = x[first..(first + run).min(x.len())].as_chunks::<4>();
        for (i, &four) in fours.iter().enumerate() {
            let row = |r: usize| b.stored_row((first + 4 * i + r).min(x.len() - 1));
            // Rows are short for the processor's own foresight, which begins anew with each.
            (4..8).for_each(|r| row(r).iter().step_by(64 / size_of::<S>()).for_each(instructions::fetch));
            rows::add_scaled_rows(sums, four, [0, 1, 2, 3].map(row));
        }
        let last = first + 4 * fours.len();
        for (i, &x) in rest.iter().enumerate() {
            sums.iter_mut().zip(b.stored_row(last + i)).for_each(|(sum, b)| *sum += x * b.wide());
        }
    });
    sums.chunks_exact(n.max(1)).for_each(|sums| rows::add_row(c, sums));
}

#[cfg(test)]
mod tests;
