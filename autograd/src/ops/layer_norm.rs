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

use tensor::matmul::Start;
use tensor::parallel::{chunks2, chunks3, grain_rows};
use tensor::pool::Buffer;
use tensor::{Float, Lanes, Tensor, rows};

use super::arithmetic::Add;
use super::{Op, Operation, Recompute};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct LayerNorm<T: Float> {
    x: Id,
    gain: Id,
    bias: Id,
    epsilon: f64,
    /// μ and r of each row: `[N, 2]`.
    stats: Tensor<T>,
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

    /// The sum s = self + other and its layer norm, in one pass: what stands between the layers of a residual network.
    /// `[…, C]` → `[…, C]` twice. On the tape they are the two operations that they would be one after the other.
    #[track_caller]
    pub fn add_layer_norm(self, other: Self, gain: Self, bias: Self, epsilon: f64) -> (Self, Self) {
        let (shape, stats) = (self.shape(), Tensor::scratch([0]));
        assert_eq!(shape, other.shape(), "add_layer_norm: {shape} and {} have different shapes", other.shape());
        let mut op = LayerNorm { x: self.id, gain: gain.id, bias: bias.id, epsilon, stats };
        let [mut s, mut y] = [(); 2].map(|()| Tensor::scratch(shape));
        let mut stats = Tensor::scratch([shape.rows(), 2]);
        self.tape.read(|at| {
            let (a, b, cols) = (at.data(self.id), at.data(other.id), shape.cols());
            let (gain, bias) = (at.data(gain.id), at.data(bias.id));
            let run = grain_rows(cols);
            let [s, y] = [&mut s, &mut y].map(|rows| (rows.data_mut(), run * cols));
            chunks3(s, y, (stats.data_mut(), run * 2), |i, s, y, stats| {
                let place = i * run * cols..i * run * cols + s.len();
                rows::combine(s, [&a[place.clone()], &b[place]], |_, [a, b]| a + b);
                norm_rows(s, y, stats, gain, bias, epsilon);
            });
        });
        let s = self.tape.record(s, &[self.id, other.id], || Op::Add(Add(self.id, other.id)));
        (op.x, op.stats) = (s.id, stats);
        (s, self.tape.record(y, &[s.id, gain.id, bias.id], || Op::LayerNorm(op)))
    }
}

impl<T: Float> LayerNorm<T> {
    /// The output and the statistics of each row.
    fn forward(&self, at: &Values<T>) -> (Tensor<T>, Tensor<T>) {
        let (x, shape, cols) = (at.data(self.x), at.shape(self.x), at.shape(self.x).cols());
        let (gain, bias) = (at.data(self.gain), at.data(self.bias));
        let (mut y, mut stats) = (Tensor::scratch(shape), Tensor::scratch([shape.rows(), 2]));
        let run = grain_rows(cols);
        chunks2((y.data_mut(), run * cols), (stats.data_mut(), run * 2), |i, y, stats| {
            norm_rows(&x[i * run * cols..][..y.len()], y, stats, gain, bias, self.epsilon);
        });
        (y, stats)
    }
}

/// Some rows on one thread: y and their statistics from x.
#[track_caller]
fn norm_rows<T: Float>(x: &[T], y: &mut [T], stats: &mut [T], gain: &[T], bias: &[T], epsilon: f64) {
    let cols = x.len() / (stats.len() / 2);
    assert!(gain.len() == cols && bias.len() == cols, "layer_norm: gain of {} for rows of {cols}", gain.len());
    for ((y, x), stats) in y.chunks_exact_mut(cols).zip(x.chunks_exact(cols)).zip(stats.chunks_exact_mut(2)) {
        (stats[0], stats[1]) = rows::mean_and_rstd(x, epsilon);
        let (mean, r) = (T::Lanes::splat(stats[0]), T::Lanes::splat(stats[1]));
        rows::combine(y, [x, gain, bias], |_, [x, gain, bias]| gain.mul_add((x - mean) * r, bias)); // y = γ ⊙ x̂ + β
    }
}

impl<T: Float> Operation<T> for LayerNorm<T> {
    const RECOMPUTE: Recompute = Recompute::Cheap;

    fn recompute(&self, at: &Values<T>) -> Tensor<T> {
        self.forward(at).0
    }

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        let (cols, n) = (dy.shape().cols(), dy.shape().rows());
        let (x, dy, gain, stats) = (at.data(self.x), dy.data(), at.data(self.gain), self.stats.data());
        // One pass for all three. Each run of rows has its own sums of dγ and dβ, which are then added up in order.
        let run = grain_rows(cols);
        let mut sums = Buffer::<T>::zeros(n.div_ceil(run) * 2 * cols); // [runs, 2, C]
        let mut nobody;
        let (dx, start) = match grads.product(self.x) {
            Some(wanted) => wanted,
            None => {
                nobody = Buffer::scratch(x.len()); // the pass goes through the rows of dx, whoever wants it
                (&mut nobody[..], Start::Zero)
            }
        };
        let first = matches!(start, Start::Zero);
        chunks2((dx, run * cols), (&mut sums, 2 * cols), |i, dx, sums| {
            let (d_gain, d_bias) = sums.split_at_mut(cols);
            if first {
                dx.fill(T::ZERO);
            }
            for (i, dx) in (i * run..).zip(dx.chunks_exact_mut(cols)) {
                let (x, dy, stats) = (&x[i * cols..][..cols], &dy[i * cols..][..cols], &stats[i * 2..][..2]);
                row_backward([dx, d_gain, d_bias], x, dy, gain, stats);
            }
        });
        for sums in sums.chunks_exact(2 * cols.max(1)) {
            for (id, sum) in [self.gain, self.bias].into_iter().zip(sums.chunks_exact(cols)) {
                if let Some(gradient) = grads.of(id) {
                    rows::add_row(gradient, sum);
                }
            }
        }
    }
}

/// What one row adds to dx, dγ and dβ.
#[inline]
fn row_backward<T: Float>([dx, d_gain, d_bias]: [&mut [T]; 3], x: &[T], dy: &[T], gain: &[T], stats: &[T]) {
    let (mean, r) = (T::Lanes::splat(stats[0]), T::Lanes::splat(stats[1]));
    let (mut sum_g, mut sum_gx) = (T::Lanes::splat(T::ZERO), T::Lanes::splat(T::ZERO));
    rows::combine(d_gain, [x, dy, gain], |d_gain, [x, dy, gain]| {
        let (x, g) = ((x - mean) * r, dy * gain); // x̂ and g = dy ⊙ γ; g is zero beyond the row's end
        sum_g = sum_g + g;
        sum_gx = g.mul_add(x, sum_gx);
        dy.mul_add(x, d_gain) // dγ = Σₙ dyₙ ⊙ x̂ₙ
    });
    rows::add_row(d_bias, dy); // dβ = Σₙ dyₙ
    let c = x.len() as f64;
    let [mean_g, mean_gx] = [sum_g, sum_gx].map(|sum| T::Lanes::of(sum.sum().f64() / c));
    rows::combine(dx, [x, dy, gain], |dx, [x, dy, gain]| {
        dx + r * (dy * gain - mean_g - (x - mean) * r * mean_gx) // dx = r·(g − mean(g) − x̂·mean(g ⊙ x̂))
    });
}
