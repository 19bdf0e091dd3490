//! GELU, the smooth gate of GPT-2's feed-forward layer, in the form with tanh.
//!
//! Forward: `y = x/2·(1 + tanh u)` with `u = √(2/π)·(x + 0.044715·x³)`. Since `(1 + tanh u)/2 = σ(2u)` with the
//! logistic function `σ(z) = 1/(1 + e⁻ᶻ)`, this is `y = x·σ(z)`, `z = 2u`: one exponential.
//!
//! Backward: `σ′(z) = σ·(1 − σ)`, so `y′ = σ + x·σ·(1 − σ)·z′` with `z′ = 2√(2/π)·(1 + 3·0.044715·x²)`; `dx = dy·y′`.
//!
//! Saved: nothing; σ is computed again from x, which costs less than keeping it.
//!
//! Reference: Hendrycks and Gimpel 2016, section 2 (the approximation that GPT-2 uses).

use tensor::{Float, Lanes, Tensor, elementwise};

use super::{Again, Op, Operation};
use crate::tape::{Grads, Id, Values, Var};

/// 2·√(2/π)
const TWO_ROOT_TWO_OVER_PI: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = 0.044_715;

pub(crate) struct Gelu(pub(super) Id);

/// σ(z) for z = 2√(2/π)·(x + 0.044715·x³)
#[inline(always)]
fn gate<T: Float>(x: T::Lanes) -> T::Lanes {
    let (one, a, b) = (T::Lanes::of(1.0), T::Lanes::of(TWO_ROOT_TWO_OVER_PI), T::Lanes::of(CUBIC));
    let z = a * x * (x * x).mul_add(b, one);
    one / (one + (-z).exp())
}

/// y = x·σ(z)
#[inline(always)]
pub(super) fn gelu<T: Float>(x: T::Lanes) -> T::Lanes {
    x * gate::<T>(x)
}

impl<T: Float> Var<'_, T> {
    /// GELU in GPT-2's tanh form, element by element.
    pub fn gelu(self) -> Self {
        let op = Gelu(self.id);
        let y = self.tape.read(|at| op.forward(at));
        self.tape.record(y, &[self.id], || Op::Gelu(op))
    }
}

impl Gelu {
    fn forward<T: Float>(&self, at: &Values<T>) -> Tensor<T> {
        let mut y = Tensor::scratch(at.shape(self.0));
        elementwise::map(y.data_mut(), at.data(self.0), gelu::<T>);
        y
    }
}

impl<T: Float> Operation<T> for Gelu {
    const AGAIN: Again = Again::Cheap;

    fn again(&self, at: &Values<T>) -> Tensor<T> {
        self.forward(at)
    }

    fn backward(&self, at: &Values<T>, mut dy: Tensor<T>, grads: &mut Grads<T>) {
        let (one, a) = (T::Lanes::of(1.0), T::Lanes::of(TWO_ROOT_TWO_OVER_PI));
        let three_b = T::Lanes::of(3.0 * CUBIC);
        elementwise::update(dy.data_mut(), at.data(self.0), |dy, x| {
            let s = gate::<T>(x);
            let dz = a * (x * x).mul_add(three_b, one); // z′ = 2√(2/π)·(1 + 3·0.044715·x²)
            dy * (s + x * s * (one - s) * dz) // dx = dy·(σ + x·σ·(1 − σ)·z′)
        });
        grads.give(self.0, dy);
    }
}
