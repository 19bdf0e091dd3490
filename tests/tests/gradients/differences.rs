//! Backward against finite differences, in f64, at every element of every input.

use std::collections::BTreeSet;

use autograd::gradcheck::gradcheck_with_dropout;
use autograd::{OPERATIONS, Params, Tape, Var, gradcheck};
use tensor::Tensor;

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
    assert_eq!(
        rows, OPERATIONS,
        "the table of the tests is not the table of operations"
    );
    for row in table() {
        assert_eq!(
            row.large.operation(),
            row.operation,
            "the large case of a row is of another operation"
        );
    }
}

#[test]
fn small_cases_agree_with_differences() {
    for_every_operation(24, |case| agrees_with_differences(case));
}

/// Too many elements to try each: along a random direction d, the slope of t ↦ f(x + t·d) is Σ gradient ⊙ d.
#[test]
fn large_cases_agree_with_differences_along_a_direction() {
    for row in table() {
        let case = &row.large;
        let gradients = outcome::<f64>(case, Case::apply);
        let directions: Vec<Vec<f64>> = case
            .inputs
            .iter()
            .map(|x| weights(x.data().len()))
            .collect();
        let value = |t: f64| -> f64 {
            let moved = case.inputs.iter().zip(&directions).map(|(x, d)| {
                let x: Vec<f64> = x.data().iter().zip(d).map(|(x, d)| x + t * d).collect();
                x
            });
            let none = Params::default();
            let tape = Tape::no_grad(&none).with_dropout(MASKS);
            let x: Vec<_> = moved
                .zip(&case.inputs)
                .map(|(m, x)| tape.constant(Tensor::of(x.shape(), &m)))
                .collect();
            let y = case.apply(&x).value();
            y.data()
                .iter()
                .zip(weights(y.data().len()))
                .map(|(y, w)| y * w)
                .sum()
        };
        let h = 5e-4;
        let difference =
            (value(-2.0 * h) - 8.0 * value(-h) + 8.0 * value(h) - value(2.0 * h)) / (12.0 * h);
        let terms = || {
            gradients.tensors()[1..]
                .iter()
                .zip(&directions)
                .flat_map(|((_, g), d)| g.data().iter().zip(d).map(|(g, d)| g * d))
        };
        let (slope, size) = (
            terms().sum::<f64>(),
            terms().map(|x| x * x).sum::<f64>().sqrt(),
        );
        let error = (slope - difference).abs() / size.max(1e-3);
        assert!(
            error < TOLERANCE,
            "{case:?}: slope {slope:e}, finite difference {difference:e}, relative error {error:.1e}"
        );
    }
}
