//! Cross entropy: how surprised the model is by the tokens that came, in nats.
//!
//! Forward: logits x `[N, V]`, targets t `[N]`: `−ln pᵢ = lseᵢ − xᵢ[tᵢ]` with `lseᵢ = ln Σⱼ exp xᵢⱼ`, the negative logarithm of
//! the softmax. The loss is the sum over all rows divided by a given number, usually the number of targets in the
//! whole batch: the losses of micro-batches then add up to the loss of the batch. Rows with [`IGNORE`] do not count.
//!
//! Backward: `∂lse/∂xⱼ = exp(xⱼ − lse) = pⱼ`, so `dxᵢ = (pᵢ − onehot(tᵢ))·dloss/divisor`.
//!
//! Saved: lse of each row and the targets; p is computed again.
//!
//! Reference: Bridle 1990, who named both the softmax and this pairing of it.

use tensor::parallel::{chunks, chunks2, grain_rows};
use tensor::pool::Indices;
use tensor::{Float, Lanes, Tensor, elementwise, rows};

use super::{Op, Operation};
use crate::tape::{Grads, Id, Values, Var};

/// The target of a row that does not count.
pub const IGNORE: u32 = u32::MAX;

pub(crate) struct CrossEntropy<T: Float> {
    logits: Id,
    targets: Indices,
    divisor: f64,
    lse: Tensor<T>,
}

/// Turns rows of logits into softmax probabilities in place, with lse and −ln p of each row's target (0 if ignored)
/// into `saved` `[rows, 2]`.
pub(super) fn losses<T: Float>(x: &mut [T], saved: &mut [T], targets: &[u32], vocab: usize) {
    let run = grain_rows(vocab);
    chunks2((x, run * vocab), (saved, run * 2), |i, x, saved| {
        let rows = x.chunks_exact_mut(vocab).zip(saved.chunks_exact_mut(2)).zip(&targets[i * run..]);
        for ((x, saved), &target) in rows {
            let score = x.get(target as usize).copied().unwrap_or(T::ZERO);
            saved[0] = rows::softmax(x);
            saved[1] = if target == IGNORE { T::ZERO } else { saved[0] - score }; // −ln p = lse − x[t]
        }
    });
}

/// Rows of logits to probabilities, p = exp(x − lse), from their saved lse.
pub(super) fn softmax_again<T: Float>(x: &mut [T], saved: &[T], vocab: usize) {
    chunks(x, grain_rows(vocab) * vocab, |first, x| {
        for (x, saved) in x.chunks_exact_mut(vocab).zip(saved[first / vocab * 2..].chunks_exact(2)) {
            let lse = T::Lanes::splat(saved[0]);
            rows::update(x, T::ZERO, |x| (x - lse).exp());
        }
    });
}

/// p ← (p − onehot(t))·scale for rows of probabilities; 0 for ignored rows.
pub(super) fn gradient<T: Float>(p: &mut [T], targets: &[u32], vocab: usize, scale: f64) {
    let by = T::Lanes::of(scale);
    chunks(p, grain_rows(vocab) * vocab, |first, p| {
        for (p, &target) in p.chunks_exact_mut(vocab).zip(&targets[first / vocab..]) {
            if target == IGNORE {
                p.fill(T::ZERO);
                continue;
            }
            rows::update(p, T::ZERO, |p| p * by); // p·s
            p[target as usize] += T::of(-scale); // − s at t
        }
    });
}

#[track_caller]
pub(super) fn check_targets(targets: &[u32], rows: usize, vocab: usize) {
    assert_eq!(targets.len(), rows, "cross_entropy: {} targets for {rows} rows", targets.len());
    if let Some(t) = targets.iter().find(|&&t| t != IGNORE && t as usize >= vocab) {
        panic!("cross_entropy: target {t} in a vocabulary of {vocab}");
    }
}

impl<T: Float> Var<'_, T> {
    /// Σᵢ −ln softmax(xᵢ)\[tᵢ\] / divisor over the rows of these logits `[…, V]`: a single number.
    #[track_caller]
    pub fn cross_entropy(self, targets: &[u32], divisor: f64) -> Self {
        let (loss, saved) = self.tape.read(|at| {
            let shape = at.shape(self.id);
            check_targets(targets, shape.rows(), shape.cols());
            let (mut x, mut saved) = (Tensor::of(shape, at.data(self.id)), Tensor::scratch([shape.rows(), 2]));
            losses(x.data_mut(), saved.data_mut(), targets, shape.cols());
            let total: f64 = saved.data().iter().skip(1).step_by(2).map(|l| l.f64()).sum();
            (Tensor::scalar(T::of(total / divisor)), saved)
        });
        let op = CrossEntropy { logits: self.id, targets: Indices::of(targets), divisor, lse: saved };
        self.tape.record(loss, &[self.id], || Op::CrossEntropy(op))
    }
}

impl<T: Float> Operation<T> for CrossEntropy<T> {
    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(dx) = grads.of(self.logits) {
            let shape = at.shape(self.logits);
            let mut d = Tensor::of(shape, at.data(self.logits));
            let scale = dy.item().f64() / self.divisor;
            softmax_again(d.data_mut(), self.lse.data(), shape.cols());
            gradient(d.data_mut(), &self.targets, shape.cols(), scale); // (p − onehot)·dloss/divisor
            elementwise::add(dx, d.data());
        }
    }
}
