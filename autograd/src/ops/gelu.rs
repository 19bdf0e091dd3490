//! GELU, the smooth gate of a transformer's feed-forward layer: each number times the share of a normal distribution
//! that lies below it.
//!
//! Forward: `y = x·Φ(x)`, exactly as BERT has it. GPT-2 has the form with tanh, which comes close: `y = x/2·(1 + tanh u)`
//! with `u = √(2/π)·(x + 0.044715·x³)`. Since `(1 + tanh u)/2 = σ(2u)` with the logistic function `σ(z) = 1/(1 + e⁻ᶻ)`,
//! this is `y = x·σ(z)`, `z = 2u`: one exponential. CLIP's is plainer still: `z = 1.702·x`.
//!
//! Backward: `Φ′ = φ`, so `y′ = Φ + x·φ`. For the others, `σ′(z) = σ·(1 − σ)`, so `y′ = σ + x·σ·(1 − σ)·z′` with
//! `z′ = 2√(2/π)·(1 + 3·0.044715·x²)` or `z′ = 1.702`. In all `dx = dy·y′`.
//!
//! Saved: nothing; Φ or σ is computed again from x, which costs less than keeping it.
//!
//! Reference: Hendrycks and Gimpel 2016, section 2, with all three forms.

use tensor::{Float, Lanes, Tensor, elementwise};

use super::{Op, Operation, Recompute};
use crate::tape::{Grads, Id, Values, Var};

/// 2·√(2/π)
const TWO_ROOT_TWO_OVER_PI: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = 0.044_715;
/// The slope at which the logistic function comes nearest to Φ.
const QUICK: f64 = 1.702;

/// How GELU is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// x·Φ(x): BERT, RoBERTa.
    Exact,
    /// With tanh in the place of Φ: GPT-2.
    Tanh,
    /// With σ(1.702·x) in the place of Φ: CLIP as published.
    Quick,
}

/// The operation.
pub(crate) struct Gated {
    pub x: Id,
    pub form: Gelu,
}

impl Gelu {
    /// Φ(x) or σ(z), and the whole gate's slope y′.
    #[inline(always)]
    fn gate<T: Float>(self, x: T::Lanes) -> (T::Lanes, T::Lanes) {
        let one = T::Lanes::of(1.0);
        match self {
            Self::Exact => {
                let (below, density) = x.normal();
                (below, x.mul_add(density, below)) // y′ = Φ + x·φ
            }
            Self::Tanh => {
                let (a, b) = (T::Lanes::of(TWO_ROOT_TWO_OVER_PI), T::Lanes::of(CUBIC));
                let z = a * x * (x * x).mul_add(b, one);
                let s = one / (one + (-z).exp());
                let dz = a * (x * x).mul_add(T::Lanes::of(3.0 * CUBIC), one); // z′ = 2√(2/π)·(1 + 3·0.044715·x²)
                (s, s + x * s * (one - s) * dz) // y′ = σ + x·σ·(1 − σ)·z′
            }
            Self::Quick => {
                let dz = T::Lanes::of(QUICK);
                let s = one / (one + (-(dz * x)).exp());
                (s, s + x * s * (one - s) * dz) // y′ = σ + x·σ·(1 − σ)·z′
            }
        }
    }

    /// y = x·Φ(x) or x·σ(z)
    #[inline(always)]
    pub(super) fn apply<T: Float>(self, x: T::Lanes) -> T::Lanes {
        x * self.gate::<T>(x).0
    }
}

impl<T: Float> Var<'_, T> {
    /// GELU element by element.
    pub fn gelu(self, form: Gelu) -> Self {
        let op = Gated { x: self.id, form };
        let y = self.tape.read(|at| op.forward(at));
        self.tape.record(y, &[self.id], || Op::Gelu(op))
    }
}

impl Gated {
    fn forward<T: Float>(&self, at: &Values<T>) -> Tensor<T> {
        let mut y = Tensor::scratch(at.shape(self.x));
        // The form is chosen outside of the loop over numbers.
        match self.form {
            Gelu::Exact => elementwise::map(y.data_mut(), at.data(self.x), |x| Gelu::Exact.apply::<T>(x)),
            Gelu::Tanh => elementwise::map(y.data_mut(), at.data(self.x), |x| Gelu::Tanh.apply::<T>(x)),
            Gelu::Quick => elementwise::map(y.data_mut(), at.data(self.x), |x| Gelu::Quick.apply::<T>(x)),
        }
        y
    }
}

impl<T: Float> Operation<T> for Gated {
    const RECOMPUTE: Recompute = Recompute::Cheap;

    fn recompute(&self, at: &Values<T>) -> Tensor<T> {
        self.forward(at)
    }

    fn backward(&self, at: &Values<T>, mut dy: Tensor<T>, grads: &mut Grads<T>) {
        let (d, x) = (dy.data_mut(), at.data(self.x));
        match self.form {
            Gelu::Exact => elementwise::update(d, x, |dy, x| dy * Gelu::Exact.gate::<T>(x).1), // dx = dy·y′
            Gelu::Tanh => elementwise::update(d, x, |dy, x| dy * Gelu::Tanh.gate::<T>(x).1),
            Gelu::Quick => elementwise::update(d, x, |dy, x| dy * Gelu::Quick.gate::<T>(x).1),
        }
        grads.give(self.x, dy);
    }
}
