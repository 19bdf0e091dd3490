//! Sums, and their mirror images: repetition.
//!
//! Forward: over a matrix x `[N, C]` (all leading dimensions taken as rows): the sum of all elements `[]`; the sum
//! of each row `[N]`; the sum of each column `[C]`; a vector `[N]` repeated as every column, a vector `[C]` repeated
//! as every row, both to `[N, C]`.
//!
//! Backward: a sum gives its gradient to every term, which is repetition: `yᵢ = Σⱼ xᵢⱼ  ⇒  dxᵢⱼ = dyᵢ`. A repeated
//! value collects the gradients of its copies, which is a sum: `yᵢⱼ = xᵢ  ⇒  dxᵢ = Σⱼ dyᵢⱼ`. The two are transposes
//! of one another as linear maps, and backward is always the transpose.
//!
//! Saved: nothing but shapes.
//!
//! Reference: these are the house's only broadcasts, each with a name; see `tensor::tensor` for why.

use tensor::parallel::{chunks, grain_rows};
use tensor::{Float, Shape, Tensor, rows};

use super::{Op, Operation, Reads};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct Sum(Id);
pub(crate) struct RowSums(Id);
pub(crate) struct RepeatCols(Id);
pub(crate) struct ColSums(Id);
pub(crate) struct RepeatRows(Id);

/// y\[i\] ← y\[i\] + Σⱼ x\[i, j\]
fn add_row_sums<T: Float>(y: &mut [T], x: &[T], cols: usize) {
    chunks(y, grain_rows(cols), |at, y| {
        y.iter_mut().zip(x[at * cols..].chunks_exact(cols.max(1))).for_each(|(y, x)| *y += rows::sum(x));
    });
}

/// y\[i, j\] ← y\[i, j\] + x\[i\]
fn add_repeated_cols<T: Float>(y: &mut [T], x: &[T], cols: usize) {
    let cols = cols.max(1);
    chunks(y, grain_rows(cols) * cols, |at, y| {
        y.chunks_exact_mut(cols).zip(&x[at / cols..]).for_each(|(y, &x)| rows::add_value(y, x));
    });
}

/// y\[j\] ← y\[j\] + Σᵢ x\[i, j\]
pub(crate) fn add_col_sums<T: Float>(y: &mut [T], x: &[T]) {
    let cols = y.len();
    rows::add_columns(y, x.len() / cols.max(1), |i, acc| rows::add_row(acc, &x[i * cols..(i + 1) * cols]));
}

impl<T: Float> Var<'_, T> {
    /// The sum of all elements, a single number.
    pub fn sum(self) -> Self {
        let y = self.tape.read(|at| Tensor::scalar(T::of(rows::total(at.data(self.id)))));
        self.tape.record(y, &[self.id], || Op::Sum(Sum(self.id)))
    }

    /// The sum of each row: `[…, C]` → `[…]`.
    pub fn row_sums(self) -> Self {
        let y = self.tape.read(|at| {
            let shape = at.shape(self.id);
            let mut y = Tensor::zeros(Shape::from(&shape[..shape.len().saturating_sub(1)]));
            add_row_sums(y.data_mut(), at.data(self.id), shape.cols());
            y
        });
        self.tape.record(y, &[self.id], || Op::RowSums(RowSums(self.id)))
    }

    /// The value repeated as `cols` columns: `[…]` → `[…, cols]`.
    pub fn repeat_cols(self, cols: usize) -> Self {
        let y = self.tape.read(|at| {
            let lengths: Vec<usize> = at.shape(self.id).iter().copied().chain([cols]).collect();
            let mut y = Tensor::zeros(&lengths[..]);
            add_repeated_cols(y.data_mut(), at.data(self.id), cols);
            y
        });
        self.tape.record(y, &[self.id], || Op::RepeatCols(RepeatCols(self.id)))
    }

    /// The sum of each column: `[…, C]` → `[C]`.
    pub fn col_sums(self) -> Self {
        let y = self.tape.read(|at| {
            let mut y = Tensor::zeros([at.shape(self.id).cols()]);
            add_col_sums(y.data_mut(), at.data(self.id));
            y
        });
        self.tape.record(y, &[self.id], || Op::ColSums(ColSums(self.id)))
    }

    /// A vector repeated as every row: `[C]` → `[rows, C]`.
    pub fn repeat_rows(self, rows: usize) -> Self {
        let y = self.tape.read(|at| {
            let x = at.data(self.id);
            let mut y = Tensor::zeros([rows, x.len()]);
            rows::add_to_rows(y.data_mut(), x);
            y
        });
        self.tape.record(y, &[self.id], || Op::RepeatRows(RepeatRows(self.id)))
    }
}

impl<T: Float> Operation<T> for Sum {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, _: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(dx) = grads.of(self.0) {
            rows::add_value(dx, dy.item()); // dxᵢⱼ = dy
        }
    }
}

impl<T: Float> Operation<T> for RowSums {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(dx) = grads.of(self.0) {
            add_repeated_cols(dx, dy.data(), at.shape(self.0).cols()); // dxᵢⱼ = dyᵢ
        }
    }
}

impl<T: Float> Operation<T> for RepeatCols {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, _: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(dx) = grads.of(self.0) {
            add_row_sums(dx, dy.data(), dy.shape().cols()); // dxᵢ = Σⱼ dyᵢⱼ
        }
    }
}

impl<T: Float> Operation<T> for ColSums {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, _: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(dx) = grads.of(self.0) {
            rows::add_to_rows(dx, dy.data()); // dxᵢⱼ = dyⱼ
        }
    }
}

impl<T: Float> Operation<T> for RepeatRows {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, _: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(dx) = grads.of(self.0) {
            add_col_sums(dx, dy.data()); // dxⱼ = Σᵢ dyᵢⱼ
        }
    }
}
