//! The matrix product of two values, single or batched, each possibly transposed.
//!
//! Forward: `C = A·B`, `cᵢⱼ = Σₖ aᵢₖ·bₖⱼ`, for `[m, k]` and `[k, n]`, or for each matrix of `[batch, m, k]` and `[batch, k, n]`.
//!
//! Backward: aᵢₖ meets every bₖⱼ of row k on its way into row i of C, so `daᵢₖ = Σⱼ dcᵢⱼ·bₖⱼ`: `dA = dC·Bᵀ`, and likewise
//! `dB = Aᵀ·dC`. If A is read as the transpose of a stored matrix S, then `dS = dAᵀ = B·dCᵀ`; likewise for B.
//!
//! Saved: the flags; both inputs are read again.
//!
//! Reference: Giles 2008, "Collected matrix derivative results", section 2.2.2.

use tensor::matmul::{Batch, add_matmul_batched};
use tensor::{Float, Shape, Tensor};

use super::{Op, Operation};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct MatMul {
    a: Id,
    b: Id,
    a_t: bool,
    b_t: bool,
}

/// A matrix or a batch of them: `[m, k]` is a batch of one.
#[track_caller]
fn batch<T: Float>(data: &[T], shape: Shape) -> (Batch<'_, T>, [usize; 3]) {
    let [n, rows, cols] = match shape[..] {
        [rows, cols] => [1, rows, cols],
        [n, rows, cols] => [n, rows, cols],
        _ => panic!("matmul: {shape} is neither a matrix nor a batch of matrices"),
    };
    (Batch::new(data, n, rows, cols), [n, rows, cols])
}

impl<T: Float> Var<'_, T> {
    /// A·B: `[m, k]`·`[k, n]` → `[m, n]`, or the same for each of a batch.
    #[track_caller]
    pub fn matmul(self, b: Self) -> Self {
        self.matmul_t(false, b, false)
    }

    /// A·B with either side read as the transpose of what is stored.
    #[track_caller]
    pub fn matmul_t(self, a_t: bool, b: Self, b_t: bool) -> Self {
        let c = self.tape.read(|at| {
            let (a_shape, b_shape) = (at.shape(self.id), at.shape(b.id));
            let (mut a, [n, a_rows, a_cols]) = batch(at.data(self.id), a_shape);
            let (mut b, [n_b, b_rows, b_cols]) = batch(at.data(b.id), b_shape);
            let (m, k) = if a_t { (a_cols, a_rows) } else { (a_rows, a_cols) };
            let (k_b, cols) = if b_t { (b_cols, b_rows) } else { (b_rows, b_cols) };
            let fits = k == k_b && n == n_b && a_shape.len() == b_shape.len();
            assert!(
                fits,
                "matmul: {a_shape}{} times {b_shape}{}",
                if a_t { "ᵀ" } else { "" },
                if b_t { "ᵀ" } else { "" }
            );
            a = if a_t { a.t() } else { a };
            b = if b_t { b.t() } else { b };
            let mut c = if a_shape.len() == 2 { Tensor::zeros([m, cols]) } else { Tensor::zeros([n, m, cols]) };
            add_matmul_batched(c.data_mut(), a, b, at.precision);
            c
        });
        let op = || Op::MatMul(MatMul { a: self.id, b: b.id, a_t, b_t });
        self.tape.record(c, &[self.id, b.id], op)
    }
}

impl<T: Float> Operation<T> for MatMul {
    fn flops(&self, at: &Values<T>) -> f64 {
        let (a, b) = (at.shape(self.a), at.shape(self.b));
        let [rows, cols] = [a[a.len() - 2], a.cols()];
        let (n, k) = (a.elements() / (rows * cols).max(1), if self.a_t { rows } else { cols });
        2.0 * (a.elements() * b.elements()) as f64 / (n * k).max(1) as f64 // 2·n·m·k·cols
    }

    fn backward(&self, at: &Values<T>, dc: Tensor<T>, grads: &mut Grads<T>) {
        let p = at.precision;
        let (a, _) = batch(at.data(self.a), at.shape(self.a));
        let (b, _) = batch(at.data(self.b), at.shape(self.b));
        let (dc, _) = batch(dc.data(), dc.shape());
        let a = if self.a_t { a.t() } else { a };
        let b = if self.b_t { b.t() } else { b };
        if let Some(da) = grads.of(self.a) {
            if self.a_t { add_matmul_batched(da, b, dc.t(), p) } else { add_matmul_batched(da, dc, b.t(), p) } // dA = dC·Bᵀ
        }
        if let Some(db) = grads.of(self.b) {
            if self.b_t { add_matmul_batched(db, dc.t(), a, p) } else { add_matmul_batched(db, a.t(), dc, p) } // dB = Aᵀ·dC
        }
    }
}
