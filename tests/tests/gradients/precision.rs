//! f32 against f64: the kernels of both precisions compute the same function.

use crate::check::{for_every_operation, outcome};
use crate::table::{Case, table};

/// f32 rounds to 6·10⁻⁸. Sums of some hundred terms, and divisions by the small deviation of a norm's row, multiply
/// that by at most some ten.
const SMALL: f64 = 2e-6;

fn precisions_agree(case: &Case, tolerance: f64) -> Result<(), String> {
    outcome::<f32>(case, Case::apply).agrees(&outcome::<f64>(case, Case::apply), tolerance)
}

#[test]
fn small_cases_in_f32_agree_with_f64() {
    for_every_operation(64, |case| precisions_agree(case, SMALL));
}

#[test]
fn large_cases_in_f32_agree_with_f64() {
    for row in table() {
        precisions_agree(&row.large, SMALL).unwrap_or_else(|worst| panic!("{:?}: {worst}", row.large));
    }
}
