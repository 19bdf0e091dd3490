//! The same numbers in another arrangement.
//!
//! Forward: another shape; `[A, B, C, D]` with the middle axes exchanged to `[A, C, B, D]` (how heads leave and
//! rejoin the width); the columns from..to of a matrix (how q, k and v are taken from one projection).
//!
//! Backward: each is a permutation or a selection, so the gradient goes back to where each number came from. The
//! exchange is its own inverse; unselected columns get nothing.
//!
//! Saved: nothing but places.
//!
//! Reference: copies, all of them; see `tensor::tensor` for why there are no views.

use std::ops::Range;

use tensor::{Float, Shape, Tensor, rows};

use super::{Op, Operation, Reads};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct Reshape(Id);
pub(crate) struct SwapMiddle(Id);
pub(crate) struct Columns {
    x: Id,
    columns: Range<usize>,
}

/// `[A, B, C, D]` → `[A, C, B, D]`
fn swap_middle<T: Float>(x: &[T], shape: Shape) -> Tensor<T> {
    let [a, b, c, d] = shape[..] else { panic!("swap_middle: {shape} has not four dimensions") };
    let mut y = Tensor::scratch([a, c, b, d]);
    for (i, row) in x.chunks_exact(d.max(1)).enumerate() {
        let (ai, bi, ci) = (i / (b * c), i / c % b, i % c);
        y.data_mut()[((ai * c + ci) * b + bi) * d..][..d].copy_from_slice(row);
    }
    y
}

impl<T: Float> Var<'_, T> {
    /// The same numbers under another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Self {
        let y = self.value().reshaped(shape);
        self.tape.record(y, &[self.id], || Op::Reshape(Reshape(self.id)))
    }

    /// `[A, B, C, D]` → `[A, C, B, D]`.
    pub fn swap_middle(self) -> Self {
        let y = self.tape.read(|at| swap_middle(at.data(self.id), at.shape(self.id)));
        self.tape.record(y, &[self.id], || Op::SwapMiddle(SwapMiddle(self.id)))
    }

    /// Some columns of every row: `[…, C]` → `[…, columns.len()]`.
    #[track_caller]
    pub fn columns(self, columns: Range<usize>) -> Self {
        let y = self.tape.read(|at| {
            let shape = at.shape(self.id);
            let cols = shape.cols();
            assert!(columns.end <= cols, "columns: {columns:?} of {shape}");
            let mut y = Tensor::scratch(shape.with_cols(columns.len()));
            let parts = y.data_mut().chunks_exact_mut(columns.len().max(1)).zip(at.data(self.id).chunks_exact(cols));
            parts.for_each(|(y, x)| y.copy_from_slice(&x[columns.clone()]));
            y
        });
        self.tape.record(y, &[self.id], || Op::Columns(Columns { x: self.id, columns }))
    }
}

impl<T: Float> Operation<T> for Reshape {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, _: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        grads.give(self.0, dy);
    }
}

impl<T: Float> Operation<T> for SwapMiddle {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, _: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        grads.give(self.0, swap_middle(dy.data(), dy.shape()));
    }
}

impl<T: Float> Operation<T> for Columns {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        let cols = at.shape(self.x).cols();
        if let Some(dx) = grads.of(self.x) {
            let parts = dx.chunks_exact_mut(cols).zip(dy.data().chunks_exact(self.columns.len().max(1)));
            parts.for_each(|(dx, dy)| rows::add_row(&mut dx[self.columns.clone()], dy));
        }
    }
}
