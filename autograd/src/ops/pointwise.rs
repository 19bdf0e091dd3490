//! Functions of one number, applied everywhere: eˣ, ln x, tanh x.
//!
//! Forward: `y = eˣ`, `y = ln x`, `y = tanh x`.
//!
//! Backward: `dx = dy·y′(x)`, with the derivative from the output where that is shorter:
//! `(eˣ)′ = y`, `(ln x)′ = 1/x`, `(tanh x)′ = 1 − y²`.
//!
//! Saved: nothing; the output stands on the tape.
//!
//! Reference: any calculus text. These are the small stones from which tests compose the fused operations.

use tensor::{Float, Lanes, Tensor, elementwise};

use super::{Op, Operation, Reads};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct Exp(Id);
pub(crate) struct Ln(Id);
pub(crate) struct Tanh(Id);

impl<T: Float> Var<'_, T> {
    /// eˣ, element by element.
    pub fn exp(self) -> Self {
        let y = self.map(T::Lanes::exp);
        self.tape.record(y, &[self.id], || Op::Exp(Exp(self.id)))
    }
}

impl<T: Float> Operation<T> for Exp {
    const READS: Reads = Reads::Output;

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(dx) = grads.of(self.0) {
            elementwise::add_zip(dx, dy.data(), at.output(), |dy, y| dy * y); // dx = dy·y
        }
    }
}

impl<T: Float> Var<'_, T> {
    /// ln x, element by element.
    pub fn ln(self) -> Self {
        let y = self.map(T::Lanes::ln);
        self.tape.record(y, &[self.id], || Op::Ln(Ln(self.id)))
    }
}

impl<T: Float> Operation<T> for Ln {
    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(dx) = grads.of(self.0) {
            elementwise::add_zip(dx, dy.data(), at.data(self.0), |dy, x| dy / x); // dx = dy/x
        }
    }
}

impl<T: Float> Var<'_, T> {
    /// tanh x, element by element.
    pub fn tanh(self) -> Self {
        let (one, two) = (T::Lanes::of(1.0), T::Lanes::of(2.0));
        let y = self.map(|x| one - two / (one + (two * x).exp())); // tanh x = 1 − 2/(1 + e²ˣ): no overflow spoils it
        self.tape.record(y, &[self.id], || Op::Tanh(Tanh(self.id)))
    }
}

impl<T: Float> Operation<T> for Tanh {
    const READS: Reads = Reads::Output;

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(dx) = grads.of(self.0) {
            let one = T::Lanes::of(1.0);
            elementwise::add_zip(dx, dy.data(), at.output(), |dy, y| dy * (one - y * y)); // dx = dy·(1 − y²)
        }
    }
}
