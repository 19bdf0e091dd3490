//! Layer norm: each row to mean 0 and variance 1, then a learned gain and bias.
//!
//! Forward: for a row x of C numbers with mean μ and `r = 1/√(var + ε)`: `x̂ = (x − μ)·r`, `y = γ ⊙ x̂ + β`.
//!
//! Backward: let `g = dx̂ = dy ⊙ γ`. The gain and bias see every row: `dγ = Σₙ dyₙ ⊙ x̂ₙ`, `dβ = Σₙ dyₙ`. For x itself
//! there are three paths: directly (`r·g`), through the mean (which shifts all elements alike, so the mean of the
//! rest must vanish), and through the variance (`∂r/∂xᵢ = −r²·x̂ᵢ/C`, which acts along x̂). Together
//! `dx = r·(g − mean(g) − x̂·mean(g ⊙ x̂))`: g without its parts along the constant vector and along x̂, the two
//! directions in which the norm does not let anything through.
//!
//! Saved: μ and r of each row; x̂ is computed again from x.
//!
//! Reference: Ba, Kiros and Hinton 2016, section 3.

use tensor::parallel::{chunks, chunks2, grain_rows};
use tensor::{Float, Lanes, Tensor, rows};

use super::{Again, Op, Operation};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct LayerNorm<T: Float> {
    x: Id,
    gain: Id,
    bias: Id,
    epsilon: f64,
    /// μ and r of each row: `[N, 2]`.
    stats: Tensor<T>,
}

/// Walks over a row in lanes: `f(place, x̂)` with x̂ = (x − μ)·r.
#[inline(always)]
fn normalised<T: Float>(x: &[T], stats: &[T], mut f: impl FnMut(usize, T::Lanes)) {
    let (mean, r) = (T::Lanes::splat(stats[0]), T::Lanes::splat(stats[1]));
    for (i, part) in x.chunks(T::Lanes::N).enumerate() {
        f(i * T::Lanes::N, (T::Lanes::load_part(part, stats[0]) - mean) * r);
    }
}

#[inline(always)]
fn part<T: Float>(x: &[T], place: usize) -> T::Lanes {
    T::Lanes::load_part(&x[place..], T::ZERO)
}

#[inline(always)]
fn put<T: Float>(y: &mut [T], place: usize, lanes: T::Lanes) {
    lanes.store_part(&mut y[place..]);
}

impl<T: Float> Var<'_, T> {
    /// Layer norm of each row, with gain and bias `[C]`: `[…, C]` → `[…, C]`.
    #[track_caller]
    pub fn layer_norm(self, gain: Self, bias: Self, epsilon: f64) -> Self {
        let mut op = LayerNorm { x: self.id, gain: gain.id, bias: bias.id, epsilon, stats: Tensor::scratch([0]) };
        let (y, stats) = self.tape.read(|at| op.forward(at));
        op.stats = stats;
        self.tape.record(y, &[self.id, gain.id, bias.id], || Op::LayerNorm(op))
    }
}

impl<T: Float> LayerNorm<T> {
    /// The output and the statistics of each row.
    fn forward(&self, at: &Values<T>) -> (Tensor<T>, Tensor<T>) {
        let (x, shape, cols) = (at.data(self.x), at.shape(self.x), at.shape(self.x).cols());
        let (gain, bias) = (at.data(self.gain), at.data(self.bias));
        assert!(gain.len() == cols && bias.len() == cols, "layer_norm: gain of {} for {shape}", gain.len());
        let (mut y, mut stats) = (Tensor::scratch(shape), Tensor::scratch([shape.rows(), 2]));
        let run = grain_rows(cols);
        chunks2((y.data_mut(), run * cols), (stats.data_mut(), run * 2), |i, y, stats| {
            let x = &x[i * run * cols..];
            let rows = y.chunks_exact_mut(cols).zip(x.chunks_exact(cols)).zip(stats.chunks_exact_mut(2));
            for ((y, x), stats) in rows {
                (stats[0], stats[1]) = rows::mean_and_rstd(x, self.epsilon);
                // y = γ ⊙ x̂ + β
                normalised(x, stats, |i, x| put(y, i, part(gain, i).mul_add(x, part(bias, i))));
            }
        });
        (y, stats)
    }
}

impl<T: Float> Operation<T> for LayerNorm<T> {
    const AGAIN: Again = Again::Cheap;

    fn again(&self, at: &Values<T>) -> Tensor<T> {
        self.forward(at).0
    }

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        let cols = dy.shape().cols();
        let (x, dy, gain, stats) = (at.data(self.x), dy.data(), at.data(self.gain), self.stats.data());
        let row = |i: usize| (&x[i * cols..][..cols], &dy[i * cols..][..cols], &stats[i * 2..][..2]);
        if let Some(dx) = grads.of(self.x) {
            chunks(dx, grain_rows(cols) * cols, |first, dx| {
                for (i, dx) in dx.chunks_exact_mut(cols).enumerate() {
                    let (x, dy, stats) = row(first / cols + i);
                    add_dx(dx, dy, x, gain, stats);
                }
            });
        }
        let n = stats.len() / 2;
        if let Some(d_gain) = grads.of(self.gain) {
            rows::add_columns(d_gain, n, |i, acc| {
                let (x, dy, stats) = row(i);
                normalised(x, stats, |i, x| put(acc, i, part(dy, i).mul_add(x, part(acc, i)))); // dγ = Σₙ dyₙ ⊙ x̂ₙ
            });
        }
        if let Some(d_bias) = grads.of(self.bias) {
            rows::add_columns(d_bias, n, |i, acc| rows::add_row(acc, row(i).1)); // dβ = Σₙ dyₙ
        }
    }
}

/// One row of `dx = r·(g − mean(g) − x̂·mean(g ⊙ x̂))`, `g = dy ⊙ γ`, added into `dx`.
fn add_dx<T: Float>(dx: &mut [T], dy: &[T], x: &[T], gain: &[T], stats: &[T]) {
    let (mut sum_g, mut sum_gx) = (T::Lanes::splat(T::ZERO), T::Lanes::splat(T::ZERO));
    normalised(x, stats, |i, x| {
        let g = part(dy, i) * part(gain, i); // zero beyond the row's end
        sum_g = sum_g + g;
        sum_gx = g.mul_add(x, sum_gx);
    });
    let c = x.len() as f64;
    let (mean_g, mean_gx) = (T::Lanes::of(sum_g.sum().f64() / c), T::Lanes::of(sum_gx.sum().f64() / c));
    let r = T::Lanes::splat(stats[1]);
    normalised(x, stats, |i, x| {
        let g = part(dy, i) * part(gain, i);
        let d = r * (g - mean_g - x * mean_gx);
        put(dx, i, part(dx, i) + d);
    });
}
