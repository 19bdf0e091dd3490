//! Products that are many and small, as attention has them: each on one thread, and the threads side by side.

use std::ops::Range;

use super::pack::{Pack, Panels, Rows};
use super::tile::Start;
use super::{Mat, MatMut, Plain, Precision, after, as_packed, begin, check, each_block, in_unit, panels};
use crate::parallel::chunks;
use crate::simd::Float;

/// C ← start + A·B on this thread alone: for products that are many and small, and run side by side.
#[track_caller]
pub fn matmul_serial<T: Float>(mut c: MatMut<T>, start: Start<T>, a: Mat<T>, b: Mat<T>, precision: Precision) {
    check([c.rows, c.cols], [c.rows, c.cols] == [a.rows, b.cols], start, &a, &b);
    match a.cols {
        0 => begin_rows(&mut c, start),
        _ => as_packed!(T, precision, in_unit(precision, [c.rows, c.cols]), blocks_serial(c, start, a, b)),
    }
}

/// All rows of C before anything is added to them.
fn begin_rows<T: Float>(c: &mut MatMut<T>, start: Start<T>) {
    (0..c.rows).for_each(|i| begin(&mut c.data[i * c.stride..][..c.cols], start));
}

pub(super) fn blocks_serial<T: Float, P: Pack<T>>(mut c: MatMut<T>, start: Start<T>, a: Mat<T>, b: Mat<T>) {
    each_block::<T, P>(a.cols, b.cols, |cols, inner| {
        let packed = panels::<T, P>(b, cols.clone(), inner.clone(), false);
        multiply_rows::<T, P>(c.columns(cols.clone()), after(start, &inner, &cols), a, inner, &packed);
    });
}

/// C ← start + A·B for some inner positions of A, and the panels of B for these, on this thread.
pub(super) fn multiply_rows<T: Float, P: Pack<T>>(
    c: MatMut<T>,
    start: Start<T>,
    a: Mat<T>,
    inner: Range<usize>,
    b: &Panels<T>,
) {
    for i0 in (0..c.rows).step_by(P::TASK) {
        let rows = i0..(i0 + P::TASK).min(c.rows);
        let part = MatMut { data: &mut c.data[i0 * c.stride..], rows: rows.len(), ..c };
        let a = Rows::new::<P>(a, rows, inner.clone());
        P::multiply(part, &a, b, P::words(inner.len()), start);
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
