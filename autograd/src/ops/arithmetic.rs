//! Sums and products of values of the same shape, and of a value with constants.
//!
//! Forward: `y = a + b`, `y = a − b`, `y = a ⊙ b` (element by element), `y = s·x + t` for constants s, t.
//!
//! Backward: each output element depends on the input elements in its own place alone, so by the chain rule
//! `da = dy·∂y/∂a`: for the sum `da = db = dy`; for the difference `da = dy, db = −dy`; for the product
//! `da = dy ⊙ b, db = dy ⊙ a` (for a ⊙ a both apply, 2a·dy); for the last `dx = s·dy`.
//!
//! Saved: nothing; the product reads its inputs again.
//!
//! Reference: the sum and product rules of calculus.

use std::ops;

use tensor::{Float, Lanes, Tensor, elementwise};

use super::{Op, Operation, Reads, Recompute};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct Add(pub(super) Id, pub(super) Id);
pub(crate) struct Sub(Id, Id);
pub(crate) struct Mul(Id, Id);
pub(crate) struct Affine {
    x: Id,
    scale: f64,
}

impl<'t, T: Float> Var<'t, T> {
    #[track_caller]
    fn zip(self, name: &str, other: Self, f: impl Fn(T::Lanes, T::Lanes) -> T::Lanes + Send + Sync) -> Tensor<T> {
        self.tape.read(|at| {
            let (a, b) = (at.shape(self.id), at.shape(other.id));
            assert_eq!(a, b, "{name}: {a} and {b} have different shapes");
            let mut y = Tensor::scratch(a);
            elementwise::zip(y.data_mut(), at.data(self.id), at.data(other.id), f);
            y
        })
    }

    /// `scale·x + shift` for constants; the same shape.
    pub fn affine(self, scale: f64, shift: f64) -> Self {
        let (s, t) = (T::Lanes::of(scale), T::Lanes::of(shift));
        let y = self.map(|x| x.mul_add(s, t)); // y = s·x + t
        self.tape.record(y, &[self.id], || Op::Affine(Affine { x: self.id, scale }))
    }

    /// A new tensor with `f` of every element.
    pub(crate) fn map(self, f: impl Fn(T::Lanes) -> T::Lanes + Send + Sync) -> Tensor<T> {
        self.tape.read(|at| {
            let mut y = Tensor::scratch(at.shape(self.id));
            elementwise::map(y.data_mut(), at.data(self.id), f);
            y
        })
    }
}

impl<T: Float> ops::Add for Var<'_, T> {
    type Output = Self;
    #[track_caller]
    fn add(self, b: Self) -> Self {
        let (op, [x, y]) = (Add(self.id, b.id), [self.shape(), b.shape()]);
        assert_eq!(x, y, "add: {x} and {y} have different shapes");
        let y = self.tape.read(|at| op.forward(at));
        self.tape.record(y, &[self.id, b.id], || Op::Add(op))
    }
}

impl Add {
    fn forward<T: Float>(&self, at: &Values<T>) -> Tensor<T> {
        let mut y = Tensor::scratch(at.shape(self.0));
        elementwise::zip(y.data_mut(), at.data(self.0), at.data(self.1), |a, b| a + b); // y = a + b
        y
    }
}

impl<T: Float> Operation<T> for Add {
    const READS: Reads = Reads::Nothing;
    const RECOMPUTE: Recompute = Recompute::Costly;

    fn recompute(&self, at: &Values<T>) -> Tensor<T> {
        self.forward(at)
    }

    fn backward(&self, _: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if grads.wanted(self.0) && grads.wanted(self.1) {
            grads.give(self.0, dy.clone()); // da = dy
        } else {
            return grads.give(if grads.wanted(self.0) { self.0 } else { self.1 }, dy);
        }
        grads.give(self.1, dy); // db = dy
    }
}

impl<T: Float> ops::Sub for Var<'_, T> {
    type Output = Self;
    #[track_caller]
    fn sub(self, b: Self) -> Self {
        let y = self.zip("sub", b, |a, b| a - b); // y = a − b
        self.tape.record(y, &[self.id, b.id], || Op::Sub(Sub(self.id, b.id)))
    }
}

impl<T: Float> Operation<T> for Sub {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, _: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        if let Some(db) = grads.of(self.1) {
            elementwise::add_map(db, dy.data(), |dy| -dy); // db = −dy
        }
        grads.give(self.0, dy); // da = dy
    }
}

impl<T: Float> ops::Mul for Var<'_, T> {
    type Output = Self;
    #[track_caller]
    fn mul(self, b: Self) -> Self {
        let y = self.zip("mul", b, |a, b| a * b); // y = a ⊙ b
        self.tape.record(y, &[self.id, b.id], || Op::Mul(Mul(self.id, b.id)))
    }
}

impl<T: Float> Operation<T> for Mul {
    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        for (input, other) in [(self.0, self.1), (self.1, self.0)] {
            if let Some(d) = grads.of(input) {
                elementwise::add_zip(d, dy.data(), at.data(other), |dy, other| dy * other); // da = dy ⊙ b, db = dy ⊙ a
            }
        }
    }
}

impl<T: Float> Operation<T> for Affine {
    const READS: Reads = Reads::Nothing;

    fn backward(&self, _: &Values<T>, mut dy: Tensor<T>, grads: &mut Grads<T>) {
        elementwise::scale(dy.data_mut(), T::of(self.scale)); // dx = s·dy
        grads.give(self.x, dy);
    }
}
