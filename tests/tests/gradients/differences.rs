//! Backward against finite differences, in f64, at every element of every input.

use autograd::gradcheck::gradcheck_with_dropout;
use autograd::{Gelu, IGNORE, OPERATIONS, Params, Tape, Var, gradcheck};
use tensor::Tensor;
use tensor::random::{Random, Stream};

use crate::check::{first_failure, for_every_operation, outcome, weights};
use crate::table::{Case, MASKS, table};

/// The relative error that the gradients may have. The rule's own error is a thousand times smaller.
const TOLERANCE: f64 = 1e-6;

/// The gradient check of a case, with the worst element if it fails.
fn agrees_with_differences(case: &Case) -> Result<(), String> {
    match gradcheck_with_dropout(MASKS, &case.inputs, |x| case.apply(x)) {
        Some(worst) if worst.error.is_nan() || worst.error > TOLERANCE => Err(worst.to_string()),
        _ => Ok(()),
    }
}

#[test]
fn every_operation_has_its_row() {
    let rows: Vec<&str> = table().iter().map(|row| row.operation).collect();
    assert_eq!(rows, OPERATIONS, "the table of the tests is not the table of operations");
    for row in table() {
        assert_eq!(row.large.operation(), row.operation, "the large case of a row is of another operation");
    }
}

#[test]
fn small_cases_agree_with_differences() {
    for_every_operation(24, agrees_with_differences);
}

/// Too many elements to try each: along a random direction d, the slope of t ↦ f(x + t·d) is Σ gradient ⊙ d.
#[test]
fn large_cases_agree_with_differences_along_a_direction() {
    for row in table() {
        let case = &row.large;
        let gradients = outcome::<f64>(case, Case::apply);
        let directions: Vec<Vec<f64>> = case.inputs.iter().map(|x| weights(x.data().len())).collect();
        let value = |t: f64| -> f64 {
            let moved = case.inputs.iter().zip(&directions).map(|(x, d)| {
                let x: Vec<f64> = x.data().iter().zip(d).map(|(x, d)| x + t * d).collect();
                x
            });
            let none = Params::default();
            let tape = Tape::no_grad(&none).with_dropout(MASKS);
            let x: Vec<_> = moved.zip(&case.inputs).map(|(m, x)| tape.constant(Tensor::of(x.shape(), &m))).collect();
            let y = case.apply(&x).value();
            y.data().iter().zip(weights(y.data().len())).map(|(y, w)| y * w).sum()
        };
        let h = 5e-4;
        let difference = (value(-2.0 * h) - 8.0 * value(-h) + 8.0 * value(h) - value(2.0 * h)) / (12.0 * h);
        let terms = || {
            gradients.tensors()[1..]
                .iter()
                .zip(&directions)
                .flat_map(|((_, g), d)| g.data().iter().zip(d).map(|(g, d)| g * d))
        };
        let (slope, size) = (terms().sum::<f64>(), terms().map(|x| x * x).sum::<f64>().sqrt());
        let error = (slope - difference).abs() / size.max(1e-3);
        assert!(
            error < TOLERANCE,
            "{case:?}: slope {slope:e}, finite difference {difference:e}, relative error {error:.1e}"
        );
    }
}

/// What the check says of a function whose gradient is wrong: where two forms give the same value, a constant copy of a
/// value hides one path of the gradient from backward, and differences see it all the same.
fn error_without(hidden: impl for<'t> Fn(Var<'t, f64>, Var<'t, f64>) -> Var<'t, f64>) -> f64 {
    let x = Tensor::of([2, 3], &[0.5, -1.0, 2.0, 1.5, -0.3, 0.7]);
    let worst = gradcheck(&[x], |x| hidden(x[0], x[0].tape().constant(x[0].value())));
    worst.map_or(0.0, |worst| worst.error)
}

#[test]
fn a_gradient_with_a_missing_term_or_factor_is_noticed() {
    assert!(error_without(|x, _| x * x) < TOLERANCE);
    assert!(error_without(|x, hidden| x * hidden) > 0.4, "one of two uses is missing");
    assert!(error_without(|x, hidden| x - hidden.affine(1e-5, 0.0)) > TOLERANCE, "a part in 10⁵ is missing");
    assert!(error_without(|x, hidden| x + hidden.row_sums().repeat_cols(3)) > 0.1, "a mean's path is missing");
    assert!(error_without(|_, hidden| hidden.exp()) > 0.9, "all of it is missing");
    // A small gradient is held to the same relative error: here all of it is below 10⁻³, and off by one part in 10⁴.
    assert!(error_without(|x, hidden| (x + hidden.affine(1e-4, 0.0)).affine(2e-3, 0.0)) > TOLERANCE);
}

#[test]
fn a_failure_names_the_operation_the_shapes_and_the_worst_element() {
    let wrong = |case: &Case| {
        let worst = gradcheck(&case.inputs, |x| {
            let hidden = x[1].tape().constant(x[1].value());
            x[0] * x[1] + x[0] * hidden
        });
        worst.filter(|w| w.error > TOLERANCE).map_or(Ok(()), |worst| Err(worst.to_string()))
    };
    let table = table();
    let row = table.iter().find(|row| row.operation == "Mul").expect("a row");
    let message = first_failure(row, 24, wrong).expect("the gradient lacks half of input 1");
    assert!(message.starts_with("Mul of [[1], [1]], values of seed "), "not the smallest case: {message}");
    assert!(message.contains("input 1 of shape [1], element 0: gradient "), "no worst element: {message}");
}

/// A value that is used more than once collects the gradients of all its uses.
#[test]
fn values_with_several_uses_agree_with_differences() {
    type Function = for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>;
    let functions: [(&str, Function); 12] = [
        ("x + x", |x| x[0] + x[0]),
        ("x − x", |x| x[0] - x[0]),
        ("x ⊙ x", |x| x[0] * x[0]),
        ("x ⊙ x ⊙ x − x", |x| x[0] * x[0] * x[0] - x[0]),
        ("x·xᵀ", |x| x[0].matmul_t(false, x[0], true)),
        ("xᵀ·x", |x| x[0].matmul_t(true, x[0], false)),
        ("x·xᵀ as a layer", |x| x[0].linear_t(x[0], None)),
        ("x·xᵀ in the head", |x| x[0].lm_head(x[0], None, &[2, IGNORE, 0], 2.0)),
        ("gain and bias one", |x| x[0].layer_norm(x[1], x[1], 0.1)),
        ("a table that is input and output", |x| x[0].embedding(&[1, 1, 2], [3]).lm_head(x[0], None, &[0, 1, 1], 3.0)),
        ("a value with four uses", |x| {
            let y = x[0].tanh();
            y.gelu(Gelu::Tanh) * y - (y + x[0]).exp()
        }),
        ("a constant among variables", |x| {
            let fixed = x[0].tape().constant(Tensor::filled([3, 5], 0.7));
            x[0] * fixed - (fixed - x[0]) * fixed + fixed
        }),
    ];
    let x = Tensor::normal([3, 5], 1.0, &mut Random::new(1, Stream::Other, 0));
    let gain = Tensor::normal([5], 1.0, &mut Random::new(2, Stream::Other, 0));
    for (name, f) in functions {
        let worst = gradcheck(&[x.clone(), gain.clone()], f).expect("there are elements");
        assert!(worst.error < TOLERANCE, "{name}: {worst}");
    }
}
