//! A linear layer: every row times a weight matrix, plus a bias.
//!
//! Forward: `y = x·W + b`, x `[…, I]`, W `[I, O]`, b `[O]`, y `[…, O]`. Where the checkpoint stores the weight as
//! `[O, I]` (every model but GPT-2), W is read as its transpose.
//!
//! Backward: yₙⱼ = Σᵢ xₙᵢ·Wᵢⱼ + bⱼ. So `dx = dy·Wᵀ` (each input feeds all outputs of its row), `dW = xᵀ·dy` (each weight
//! is used by all rows), `db = Σₙ dyₙ` (so is each bias).
//!
//! Saved: nothing; x and W are read again.
//!
//! Reference: the matrix product's rule (see `matmul`) with the bias as one more input that is always 1.

use tensor::matmul::{Mat, Precision, Start, matmul_map, matmul_onto, vector_matmul_half};
use tensor::{Float, Tensor, elementwise};

use super::gelu::{Gated, Gelu};
use super::reduce::add_col_sums;
use super::{Op, Operation, Recompute};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct Linear {
    x: Id,
    weight: Id,
    bias: Option<Id>,
    /// The weight is stored as `[O, I]`.
    transposed: bool,
}

impl<T: Float> Var<'_, T> {
    /// x·W + b for W stored as `[I, O]`: `[…, I]` → `[…, O]`.
    #[track_caller]
    pub fn linear(self, weight: Self, bias: Option<Self>) -> Self {
        self.linear_stored(weight, bias, false)
    }

    /// x·Wᵀ + b for W stored as `[O, I]`: `[…, I]` → `[…, O]`.
    #[track_caller]
    pub fn linear_t(self, weight: Self, bias: Option<Self>) -> Self {
        self.linear_stored(weight, bias, true)
    }

    #[track_caller]
    fn linear_stored(self, weight: Self, bias: Option<Self>, transposed: bool) -> Self {
        let op = Linear { x: self.id, weight: weight.id, bias: bias.map(|b| b.id), transposed };
        let y = self.tape.read(|at| op.forward(at, None));
        self.tape.record(y, &op.inputs(), || Op::Linear(op))
    }

    /// gelu(x·W + b) for W stored as `[I, O]`: `[…, I]` → `[…, O]`. The gate is applied by the product itself; on the tape
    /// these are the two operations that they would be one after the other.
    #[track_caller]
    pub fn linear_gelu(self, weight: Self, bias: Option<Self>, form: Gelu) -> Self {
        self.linear_stored_gelu(weight, bias, false, form)
    }

    /// The same for W stored as `[O, I]`.
    #[track_caller]
    pub fn linear_t_gelu(self, weight: Self, bias: Option<Self>, form: Gelu) -> Self {
        self.linear_stored_gelu(weight, bias, true, form)
    }

    #[track_caller]
    fn linear_stored_gelu(self, weight: Self, bias: Option<Self>, transposed: bool, form: Gelu) -> Self {
        let op = Linear { x: self.id, weight: weight.id, bias: bias.map(|b| b.id), transposed };
        let mut gated = Tensor::scratch([0]);
        let u = self.tape.read(|at| op.forward(at, Some((&mut gated, form))));
        let u = self.tape.record(u, &op.inputs(), || Op::Linear(op));
        self.tape.record(gated, &[u.id], || Op::Gelu(Gated { x: u.id, form }))
    }
}

impl Linear {
    fn inputs(&self) -> [Id; 3] {
        [self.x, self.weight, self.bias.unwrap_or(self.x)]
    }

    /// y = x·W + b, and gelu(y) into `gated` if that is wanted.
    fn forward<T: Float>(&self, at: &Values<T>, gated: Option<(&mut Tensor<T>, Gelu)>) -> Tensor<T> {
        let (shape, w_shape, w) = (at.shape(self.x), at.shape(self.weight), self.weight(at));
        let out = if self.transposed { w_shape.rows() } else { w_shape.cols() };
        let fits = shape.cols() * out == w_shape.elements() && w_shape.len() == 2;
        assert!(fits, "linear: {shape} times {w_shape}{}", if self.transposed { "ᵀ" } else { "" });
        let start = self.bias.map_or(Start::Zero, |b| {
            assert_eq!(at.shape(b).elements(), out, "linear: a bias {} for {out} outputs", at.shape(b));
            Start::Row(at.data(b))
        });
        let mut y = Tensor::scratch(shape.with_cols(out));
        if let (Precision::Bf16, 1, Some((half, turned))) = (at.precision, shape.rows(), at.half(self.weight)) {
            let w = if self.transposed || turned {
                Mat::new(half, out, shape.cols()).t()
            } else {
                Mat::new(half, shape.cols(), out)
            };
            vector_matmul_half(y.data_mut(), start, at.data(self.x), w); // one row: the weights' width is what counts
            if let Some((gated, form)) = gated {
                *gated = Tensor::scratch(y.shape());
                elementwise::map(gated.data_mut(), y.data(), |x| form.apply::<T>(x));
            }
            return y;
        }
        let x = Mat::new(at.data(self.x), shape.rows(), shape.cols());
        let Some((gated, form)) = gated else {
            matmul_onto(y.data_mut(), start, x, w, at.precision);
            return y;
        };
        *gated = Tensor::scratch(y.shape());
        let to = [y.data_mut(), gated.data_mut()];
        match form {
            Gelu::Exact => matmul_map(to, start, x, w, at.precision, |x| Gelu::Exact.apply::<T>(x)),
            Gelu::Tanh => matmul_map(to, start, x, w, at.precision, |x| Gelu::Tanh.apply::<T>(x)),
            Gelu::Quick => matmul_map(to, start, x, w, at.precision, |x| Gelu::Quick.apply::<T>(x)),
        }
        y
    }

    /// The weight as `[I, O]`.
    fn weight<'a, T: Float>(&self, at: &Values<'a, T>) -> Mat<'a, T> {
        let shape = at.shape(self.weight);
        let w = Mat::new(at.data(self.weight), shape.rows(), shape.cols());
        if self.transposed { w.t() } else { w }
    }
}

impl<T: Float> Operation<T> for Linear {
    const RECOMPUTE: Recompute = Recompute::Costly;

    fn recompute(&self, at: &Values<T>) -> Tensor<T> {
        self.forward(at, None)
    }

    fn flops(&self, at: &Values<T>) -> f64 {
        2.0 * at.shape(self.x).rows() as f64 * at.shape(self.weight).elements() as f64
    }

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        let (n, inputs, outputs) = (dy.shape().rows(), at.shape(self.x).cols(), dy.shape().cols());
        let x = Mat::new(at.data(self.x), n, inputs);
        let d = Mat::new(dy.data(), n, outputs);
        if let Some((dx, start)) = grads.product(self.x) {
            matmul_onto(dx, start, d, self.weight(at).t(), at.precision); // dx = dy·Wᵀ
        }
        if let Some((dw, start)) = grads.product(self.weight) {
            let (a, b) = if self.transposed { (d.t(), x) } else { (x.t(), d) };
            matmul_onto(dw, start, a, b, at.precision); // dW = xᵀ·dy
        }
        if let Some(db) = self.bias.and_then(|b| grads.of(b)) {
            add_col_sums(db, dy.data()); // db = Σₙ dyₙ
        }
    }
}
