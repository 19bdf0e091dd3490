//! What the tests share: running a case, comparing two outcomes, and drawing cases until one fails.

use autograd::{Gradients, Params, Tape, Var};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use tensor::random::{Random, Stream};
use tensor::{Float, Tensor};

use crate::table::{Case, MASKS, Row, table};

/// A form of an operation: the operation itself, [`Case::apply`], or a composition of others.
pub type Form<T> = for<'t> fn(&Case, &[Var<'t, T>]) -> Var<'t, T>;

/// What a case gives: its value, then the gradient of each input, in double precision.
pub struct Outcome(Vec<(String, Tensor<f64>)>);

/// Runs a form of a case forward and back. What is differentiated is the sum of its elements, each times a fixed
/// random weight.
pub fn outcome<T: Float>(case: &Case, form: Form<T>) -> Outcome {
    outcome_wanting(case, form, |_| true)
}

/// As [`outcome`], where only some inputs want a gradient.
pub fn outcome_wanting<T: Float>(case: &Case, form: Form<T>, wanted: impl Fn(usize) -> bool) -> Outcome {
    let none = Params::default();
    let tape = Tape::<T>::new(&none).with_dropout(MASKS);
    let leaf = |(i, x): (usize, &Tensor<f64>)| {
        if wanted(i) { tape.variable(x.cast()) } else { tape.constant(x.cast()) }
    };
    let x: Vec<_> = case.inputs.iter().enumerate().map(leaf).collect();
    let y = form(case, &x);
    let value = y.value().cast();
    let w = Tensor::<f64>::of(y.shape(), &weights(value.data().len()));
    let gradients = (y * tape.constant(w.cast())).sum().gradients(&x);
    let named = gradients.iter().enumerate().map(|(i, g)| (format!("gradient of input {i}"), g.cast()));
    Outcome(std::iter::once(("value".to_owned(), value)).chain(named).collect())
}

/// Weights of either sign, 0.5 to 1.5 in size.
pub fn weights(n: usize) -> Vec<f64> {
    let mut random = Random::new(5, Stream::Other, 0);
    let sign = |u: f64| {
        if u < 0.5 { 2.0 * u - 1.5 } else { 2.0 * u - 0.5 }
    };
    (0..n).map(|_| sign(random.uniform())).collect()
}

impl Outcome {
    /// Fails with the worst element if two outcomes differ by more than `tolerance`, relative to the largest number of the
    /// tensor, or to 1 (the size of the inputs) where all are smaller.
    pub fn agrees(&self, other: &Self, tolerance: f64) -> Result<(), String> {
        for ((name, a), (_, b)) in self.0.iter().zip(&other.0) {
            if a.shape() != b.shape() {
                return Err(format!("{name} has shape {} and {}", a.shape(), b.shape()));
            }
            let scale = b.data().iter().fold(1.0, |m: f64, b| m.max(b.abs()));
            // The largest bits of |error| belong to the largest error, and those of NaN are larger still.
            let error = |i: usize| ((a.data()[i] - b.data()[i]) / scale).abs();
            let Some(worst) = (0..a.data().len()).max_by_key(|&i| error(i).to_bits()) else {
                continue;
            };
            if error(worst).is_nan() || error(worst) > tolerance {
                return Err(format!(
                    "{name} of shape {}, element {worst}: {:e} and {:e}, relative error {:.1e}",
                    a.shape(),
                    a.data()[worst],
                    b.data()[worst],
                    error(worst)
                ));
            }
        }
        Ok(())
    }

    /// One named tensor alone.
    pub fn of(tensor: (String, Tensor<f64>)) -> Self {
        Self(vec![tensor])
    }

    /// Value and gradients by name.
    pub fn tensors(&self) -> &[(String, Tensor<f64>)] {
        &self.0
    }
}

/// Draws `cases` small cases of every operation and fails with the smallest that does not pass `test`, for each
/// operation of which one does not.
///
/// The draws are the same in every run. `PROPTEST_RNG_SEED=5 PROPTEST_CASES=1000 cargo test -p tests` draws others, and more.
pub fn for_every_operation(cases: u32, test: impl Fn(&Case) -> Result<(), String>) {
    let failures: Vec<String> = table().iter().filter_map(|row| first_failure(row, cases, &test)).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// The smallest case that does not pass, in words: operation, shapes and worst element.
pub fn first_failure(row: &Row, cases: u32, test: impl Fn(&Case) -> Result<(), String>) -> Option<String> {
    let given = Config::default(); // from the environment, where it says something
    let config = Config {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { given.cases } else { cases },
        rng_seed: if given.rng_seed == RngSeed::Random { RngSeed::Fixed(0) } else { given.rng_seed },
        failure_persistence: None, // a case is its seed and shapes, which the message shows
        ..given
    };
    let failed = |case: Case| test(&case).map_err(TestCaseError::fail);
    match TestRunner::new(config).run(&row.small, failed) {
        Ok(()) => None,
        Err(TestError::Fail(worst, case)) => Some(format!("{case:?}: {worst}")),
        Err(TestError::Abort(why)) => Some(format!("{}: {why}", row.operation)),
    }
}

/// A whole model in f32: its loss changes along random directions as its gradient says, to this share of the slope. With a
/// step of `h` a loss near 3, which is known to about 3e-7, has to change by some thousandths.
pub fn changes_as_its_gradient_says(
    params: &Params,
    gradients: &Gradients,
    loss: impl Fn(&Params) -> f64,
    (h, tolerance): (f64, f64),
    directions: u64,
) {
    for seed in 0..directions {
        let mut random = Random::new(seed, Stream::Other, 1);
        // A random direction of length 1, leaning towards the gradient so that the slope is not lost in rounding.
        let (norm, n) = (gradients.norm(), params.flat().len() as f64);
        let lean = |&g: &f32| f64::from(g) / norm * 0.3 + random.normal() / n.sqrt();
        let direction: Vec<f64> = gradients.flat().iter().map(lean).collect();
        let slope: f64 = gradients.flat().iter().zip(&direction).map(|(&g, d)| f64::from(g) * d).sum();
        let at = |step: f64| {
            let mut moved = params.clone();
            moved.flat_mut().iter_mut().zip(&direction).for_each(|(w, d)| *w += (step * d) as f32);
            loss(&moved)
        };
        let difference = (at(-2.0 * h) - 8.0 * at(-h) + 8.0 * at(h) - at(2.0 * h)) / (12.0 * h);
        let error = (slope - difference).abs();
        assert!(error < tolerance * slope.abs(), "seed {seed}: gradient {slope}, difference {difference}");
    }
}
