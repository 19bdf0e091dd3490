//! AdamW: gradient descent whose step is scaled, for each parameter by itself, by how its gradient behaved.
//!
//! With the gradient g at step t (from 1), its norm limited to c, and decays β₁, β₂:
//!
//! ```text
//! g ← g·min(1, c/‖g‖)            ‖g‖ over all parameters together
//! m ← β₁·m + (1 − β₁)·g          a running mean of the gradient
//! v ← β₂·v + (1 − β₂)·g²         and of its square
//! m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)   both start at zero, which this corrects
//! w ← w − lr·(m̂/(√v̂ + ε) + λ·w)
//! ```
//!
//! The decay λ·w stands outside the scaled part ("decoupled"), and applies to matrices only: gains and biases are
//! few and have no reason to be small. Clipping is a factor in the same pass, so a step reads the gradient twice,
//! for its norm and here, and never writes it. References: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter
//! 2019, algorithm 2; Pascanu et al. 2013 (clipping).

use std::ops::Range;

use tensor::pool::Buffer;
use tensor::{Float, Lanes, elementwise};

use crate::gradients::Gradients;
use crate::params::{ParamId, Params};

/// What AdamW can be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the running mean of gradients.
    pub beta1: f64,
    /// Decay of the running mean of squared gradients.
    pub beta2: f64,
    /// Added to the root, against division by zero.
    pub epsilon: f64,
    /// λ, for matrices.
    pub weight_decay: f64,
    /// The largest norm of the gradient; 0 means no limit.
    pub grad_clip: f64,
}

impl Default for AdamWOptions {
    /// The values of GPT-2's and nanoGPT's training.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1, grad_clip: 1.0 }
    }
}

/// A parameter that is moved.
#[derive(Clone, Copy, Debug)]
struct Part<T> {
    id: ParamId,
    /// λ
    decay: T,
    /// Its share of the learning rate.
    pace: T,
}

/// AdamW with its two moments, each laid out as the store's values.
#[derive(Clone, Debug)]
pub struct AdamW<T: Float = f32> {
    options: AdamWOptions,
    /// The parameters that it moves, by their places.
    parts: Vec<(Range<usize>, Part<T>)>,
    /// How many steps were made.
    pub steps: u64,
    /// The running mean of gradients.
    pub m: Buffer<T>,
    /// The running mean of squared gradients.
    pub v: Buffer<T>,
}

impl<T: Float> AdamW<T> {
    /// An optimiser for a store, before its first step.
    pub fn new(params: &Params<T>, options: AdamWOptions) -> Self {
        Self::for_some(params, options, |_| true)
    }

    /// The same for some of the store's parameters; the others stay.
    pub fn for_some(params: &Params<T>, options: AdamWOptions, chosen: impl Fn(ParamId) -> bool) -> Self {
        Self::paced(params, options, |id| if chosen(id) { 1.0 } else { 0.0 })
    }

    /// The same, each parameter with its own share of the learning rate; those whose share is 0 stay.
    pub fn paced(params: &Params<T>, options: AdamWOptions, pace: impl Fn(ParamId) -> f64) -> Self {
        let decay = |id| if params.shape(id).len() >= 2 { options.weight_decay } else { 0.0 };
        let moving = params.ids().map(|id| (id, pace(id))).filter(|&(_, pace)| pace > 0.0);
        let part = |(id, pace)| (params.place(id), Part { id, decay: T::of(decay(id)), pace: T::of(pace) });
        let parts = moving.map(part).collect();
        let n = params.flat().len();
        Self { options, parts, steps: 0, m: Buffer::zeros(n), v: Buffer::zeros(n) }
    }

    /// One step with learning rate `lr`; returns ‖g‖ before clipping. Where that is not finite, nothing changes.
    pub fn step(&mut self, params: &mut Params<T>, grads: &Gradients<T>, lr: f64) -> f64 {
        let norm = grads.norm();
        if norm.is_finite() {
            self.step_scaled(params, grads, lr, Gradients::<T>::clip_scale(norm, self.options.grad_clip));
        }
        norm
    }

    /// One step with every gradient times `scale`, and no other clipping.
    pub(crate) fn step_scaled(&mut self, params: &mut Params<T>, grads: &Gradients<T>, lr: f64, scale: f64) {
        self.steps += 1;
        let AdamWOptions { beta1, beta2, epsilon, .. } = self.options;
        let lanes = T::Lanes::of;
        let (b1, b2, rest1, rest2) = (lanes(beta1), lanes(beta2), lanes(1.0 - beta1), lanes(1.0 - beta2));
        let t = self.steps as f64;
        let (fix1, fix2) = (lanes(1.0 / (1.0 - beta1.powf(t))), lanes(1.0 / (1.0 - beta2.powf(t))));
        let (eps, lr, scale) = (lanes(epsilon), lanes(lr), lanes(scale));
        let (w, g) = (params.flat_mut(), |part: &Part<T>| grads.of(part.id));
        elementwise::update3(w, &mut self.m, &mut self.v, g, &self.parts, |part, w, m, v, g| {
            let g = scale * g; // g ← g·min(1, c/‖g‖)
            let m = b1.mul_add(m, rest1 * g); // m ← β₁·m + (1 − β₁)·g
            let v = b2.mul_add(v, rest2 * g * g); // v ← β₂·v + (1 − β₂)·g²
            let step = m * fix1 / ((v * fix2).sqrt() + eps); // m̂/(√v̂ + ε)
            let (decay, pace) = (T::Lanes::splat(part.decay), T::Lanes::splat(part.pace));
            (w - lr * pace * (step + decay * w), m, v) // w ← w − lr·(m̂/(√v̂ + ε) + λ·w)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Init;

    #[test]
    fn the_first_step_moves_every_weight_by_the_learning_rate_against_its_gradient() {
        let (ids, mut params) =
            Params::build(0, |mut at| [at.param("w", [1, 2], Init::Ones), at.param("b", [2], Init::Ones)]);
        let mut grads = Gradients::new(&params);
        ids.iter().for_each(|&id| grads.of_mut(id).copy_from_slice(&[0.5, -3.0]));
        AdamW::new(&params, AdamWOptions::default()).step(&mut params, &grads, 0.01);
        // m̂/√v̂ = sign(g) at the first step; the matrix also decays by lr·λ = 0.001.
        for (id, want) in [(ids[0], [0.989, 1.009]), (ids[1], [0.99, 1.01])] {
            for (got, want) in params.value(id).iter().zip(want) {
                assert!((got - want).abs() < 1e-6, "{} {got} {want}", params.name(id));
            }
        }
    }
}
