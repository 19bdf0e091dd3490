//! Is a gradient right? Compare it with what a small change of the input really does.
//!
//! For an input element x and a step h, the five-point rule
//! `f′(x) ≈ (f(x − 2h) − 8·f(x − h) + 8·f(x + h) − f(x + 2h)) / 12h`
//! errs by h⁴·f⁽⁵⁾/30, plus the rounding of f divided by h: in f64 with h about 10⁻³ both stay near 10⁻¹², so a wrong
//! derivative cannot hide. In f32 it could, which is why every operation is generic over the precision.

use std::fmt;

use tensor::random::{Random, Stream};
use tensor::{Shape, Tensor};

use crate::params::Params;
use crate::tape::{DropoutKey, Tape, Var};

/// Gradients smaller than this are compared with it: what rounding leaves of a difference, some 10⁻¹² of f, says
/// nothing about a gradient that is meant to be zero.
const SMALL: f64 = 1e-3;

/// The element whose gradient is furthest from its finite difference.
#[derive(Clone, Debug)]
pub struct Worst {
    /// Which input it belongs to.
    pub input: usize,
    /// The element's place in that input.
    pub element: usize,
    /// The input's shape.
    pub shape: Shape,
    /// What backward says.
    pub gradient: f64,
    /// What a small change does.
    pub difference: f64,
    /// |gradient − difference|, relative to the largest of either over that input (or to 10⁻³, where all are smaller).
    pub error: f64,
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, element, shape, gradient, difference, error } = self;
        write!(
            f,
            "input {input} of shape {shape}, element {element}: gradient {gradient:e}, finite difference {difference:e}, \
             relative error {error:.1e}"
        )
    }
}

/// Compares the gradients of `f` with finite differences at every element of every input, and returns the worst.
///
/// `f` may return any shape: what is differentiated is the sum of its elements times fixed random weights, so that
/// no element's error cancels another's.
///
/// ```
/// use autograd::gradcheck;
/// use tensor::Tensor;
/// let x = Tensor::of([3], &[0.5, -1.0, 2.0]);
/// let worst = gradcheck(&[x], |x| x[0] * x[0].tanh()).unwrap();
/// assert!(worst.error < 1e-6, "{worst}");
/// ```
///
/// Returns `None` if no input has an element.
pub fn gradcheck(inputs: &[Tensor<f64>], f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>) -> Option<Worst> {
    check(inputs, None, f)
}

/// As [`gradcheck`], with dropout switched on: the masks that `key` gives are the same at every evaluation.
pub fn gradcheck_with_dropout(
    key: DropoutKey,
    inputs: &[Tensor<f64>],
    f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
) -> Option<Worst> {
    check(inputs, Some(key), f)
}

fn check(
    inputs: &[Tensor<f64>],
    dropout: Option<DropoutKey>,
    f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
) -> Option<Worst> {
    let none = Params::default();
    let value = |inputs: &[Tensor<f64>]| {
        let tape = on(Tape::no_grad(&none), dropout);
        let vars: Vec<_> = inputs.iter().map(|x| tape.constant(x.clone())).collect();
        let y = f(&vars).value();
        y.data().iter().zip(weights()).map(|(y, w)| y * w).sum()
    };
    let mut worst: Option<Worst> = None;
    for (input, gradient) in gradients(&on(Tape::new(&none), dropout), inputs, &f).iter().enumerate() {
        let differences: Vec<f64> =
            (0..gradient.data().len()).map(|element| five_point(inputs, input, element, &value)).collect();
        let both = gradient.data().iter().chain(&differences);
        let scale = both.fold(SMALL, |m, g| m.max(g.abs()));
        for (element, (&gradient, &difference)) in gradient.data().iter().zip(&differences).enumerate() {
            let error = (gradient - difference).abs() / scale;
            if worst.as_ref().is_none_or(|w| error.is_nan() || error > w.error) {
                let shape = inputs[input].shape();
                worst = Some(Worst { input, element, shape, gradient, difference, error });
            }
        }
    }
    worst
}

fn on<'p>(tape: Tape<'p, f64>, dropout: Option<DropoutKey>) -> Tape<'p, f64> {
    match dropout {
        Some(key) => tape.with_dropout(key),
        None => tape,
    }
}

/// What backward says: the gradient of Σᵢ wᵢ·f(inputs)ᵢ for each input.
fn gradients<'t>(
    tape: &'t Tape<'t, f64>,
    inputs: &[Tensor<f64>],
    f: impl Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
) -> Vec<Tensor<f64>> {
    let vars: Vec<_> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
    let y = f(&vars);
    let w: Vec<f64> = weights().take(y.shape().elements()).collect();
    (y * tape.constant(Tensor::of(y.shape(), &w))).sum().gradients(&vars)
}

/// Fixed weights between 0.5 and 1.5 in size, of either sign.
fn weights() -> impl Iterator<Item = f64> {
    let mut random = Random::new(0, Stream::Other, 0);
    std::iter::repeat_with(move || if random.u32().is_multiple_of(2) { 1.0 } else { -1.0 } * (0.5 + random.uniform()))
}

fn five_point(inputs: &[Tensor<f64>], input: usize, element: usize, value: &impl Fn(&[Tensor<f64>]) -> f64) -> f64 {
    let mut inputs = inputs.to_vec();
    let x = inputs[input].data()[element];
    let h = 5e-4 * x.abs().max(1.0);
    let mut at = |x: f64| {
        inputs[input].data_mut()[element] = x;
        value(&inputs)
    };
    (at(x - 2.0 * h) - 8.0 * at(x - h) + 8.0 * at(x + h) - at(x + 2.0 * h)) / (12.0 * h)
}
