//! Softmax: each row of scores becomes probabilities.
//!
//! Forward: `pⱼ = exp(xⱼ) / Σₖ exp(xₖ)` over a row; with `causal`, row i of a `[…, T, T]` score matrix sees columns
//! 0..=i only and the rest are 0.
//!
//! Backward: `∂pⱼ/∂xₖ = pⱼ·(δⱼₖ − pₖ)`, so `dx = p ⊙ (dp − Σₖ dpₖ·pₖ)`: the gradient less its mean under p, since adding the
//! same to all scores changes nothing. Columns that a row does not see have p = 0 and get no gradient.
//!
//! Saved: nothing; the output stands on the tape.
//!
//! Reference: Bridle 1990; for the causal mask Vaswani et al. 2017, section 3.2.3.

use tensor::parallel::{chunks, grain_rows};
use tensor::{Float, Lanes, Tensor, elementwise, rows};

use super::{Op, Operation, Reads};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct Softmax(Id);

impl<T: Float> Var<'_, T> {
    /// Each row's softmax; with `causal`, row i of the last two dimensions sees columns 0..=i.
    pub fn softmax(self, causal: bool) -> Self {
        let p = self.tape.read(|at| {
            let (shape, x) = (at.shape(self.id), at.data(self.id));
            let cols = shape.cols();
            let height = if shape.len() >= 2 { shape[shape.len() - 2] } else { 1 };
            let mut p = Tensor::of(shape, x);
            chunks(p.data_mut(), grain_rows(cols) * cols, |first, p| {
                for (i, p) in p.chunks_exact_mut(cols.max(1)).enumerate() {
                    let seen = if causal { ((first / cols + i) % height + 1).min(cols) } else { cols };
                    rows::softmax(&mut p[..seen]);
                    p[seen..].fill(T::ZERO);
                }
            });
            p
        });
        self.tape.record(p, &[self.id], || Op::Softmax(Softmax(self.id)))
    }
}

impl<T: Float> Operation<T> for Softmax {
    const READS: Reads = Reads::Output;

    fn backward(&self, at: &Values<T>, dp: Tensor<T>, grads: &mut Grads<T>) {
        let (cols, p, dp) = (dp.shape().cols(), at.output(), dp.data());
        if let Some(dx) = grads.of(self.0) {
            chunks(dx, grain_rows(cols) * cols, |first, dx| {
                for (i, dx) in dx.chunks_exact_mut(cols).enumerate() {
                    let row = first + i * cols..first + (i + 1) * cols;
                    let (p, dp) = (&p[row.clone()], &dp[row]);
                    let mean = T::Lanes::splat(rows::dot(p, dp));
                    elementwise::add_zip(dx, p, dp, |p, dp| p * (dp - mean)); // dx = p ⊙ (dp − Σₖ dpₖ·pₖ)
                }
            });
        }
    }
}
