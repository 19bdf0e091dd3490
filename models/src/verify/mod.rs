//! Do we compute what others compute? A checkpoint with recorded answers beside it says.
//!
//! `reference.safetensors` holds what goes in and what another implementation computed from it on the same weights, see
//! [`reference`](mod@reference); the `loss`, but of a model that was saved without its head; and its gradient for every
//! parameter under `grad.NAME`. [`record`] writes such a file of our own numbers, for others to be held against.

use std::path::Path;

use autograd::{Gradients, PADDING, Params, Tape};
use serde::Serialize;
use tensor::matmul::Precision;

pub mod record;
pub mod reference;

use reference::{Output, REFERENCE, Subject};

use crate::error::{Error, Result};
use crate::files;
use crate::hub::bare_name;
use crate::hub::weights::{Weights, shortened};

/// The largest disagreements between a model here and its recorded reference.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    /// Largest |difference| of any logit, or of any number of a vector.
    pub output_error: f64,
    /// |difference| of the loss, in nats.
    pub loss_error: f64,
    /// Largest |difference| of any gradient element, relative to the largest element of the gradients of that parameter's layer
    /// (weight and bias; queries, keys and values together).
    pub gradient_error: f64,
    /// The parameter with that difference.
    pub worst_parameter: String,
    /// How many tensors' gradients were compared: none of a model without a head, which has no loss.
    pub parameters: usize,
    /// Whether all three stay within 1e-4, 1e-4 and 1e-3.
    pub agrees: bool,
}

/// Opens the checkpoint in `directory` and compares it, computed with products of a precision, with the
/// reference.safetensors beside it.
///
/// Errors: one of the two cannot be opened; a reference that lacks something, or is of other shapes.
pub fn verify(directory: &Path, precision: Precision) -> Result<Agreement> {
    let (subject, params, _) = Subject::open(directory)?;
    let path = directory.join(REFERENCE);
    if !path.exists() {
        let what = "is not there, so there is nothing to compare with: have another program write it, or record what is \
                    computed here with";
        let directory = files::quoted(&directory.to_string_lossy());
        return Err(Error::file(path, format!("{what} `pretext verify --record {directory}`")));
    }
    compare(&subject, &params, &Weights::open(&path)?, precision)
}

/// Compares a model with a reference.
///
/// Errors: it lacks something, or is of other shapes.
pub fn compare(subject: &Subject, params: &Params, reference: &Weights, precision: Precision) -> Result<Agreement> {
    let given = subject.given(reference)?;
    let tape = Tape::no_grad(params).with_precision(precision);
    let mut output_error = 0.0;
    for Output { name, numbers, by_position } in subject.outputs(&tape, &given) {
        let recorded = recorded(reference, name, &numbers.shape())?;
        let position_ids = if by_position { &given.batch.position_ids[..] } else { &[] };
        let each = (numbers.data().len() / given.batch.ids.len()).max(1);
        let seen = |at: usize| position_ids.get(at / each).is_none_or(|&id| id != PADDING);
        output_error = larger(output_error, largest_difference(numbers.data(), &recorded, seen));
    }
    drop(tape);

    if !subject.has_loss() {
        let (worst_parameter, agrees) = (String::new(), output_error <= 1e-4);
        let none =
            Agreement { loss_error: 0.0, gradient_error: 0.0, worst_parameter, parameters: 0, output_error, agrees };
        return Ok(none);
    }
    let mut gradients = Gradients::new(params);
    let tape = Tape::new(params).with_precision(precision);
    let loss = subject.loss(&tape, &given);
    loss.backward(&mut gradients);
    let flat = gradients.flat();
    let recorded_loss = reference.numbers("loss")?.1.first().copied().unwrap_or(f32::INFINITY);
    let undefined = loss.item().is_nan() && recorded_loss.is_nan();
    let loss_error = if undefined { 0.0 } else { (f64::from(loss.item()) - f64::from(recorded_loss)).abs() };

    let config = subject.model.config();
    let (mut gradient_error, mut worst_parameter, mut parameters) = (0.0, String::new(), 0);
    for name in reference.names().iter().filter_map(|name| name.strip_prefix("grad.")) {
        let bare = bare_name(&config, name);
        let piece = params.pieces().find(|piece| bare_name(&config, piece.name) == bare).ok_or_else(|| {
            let what = format!("has a gradient of {}, which is no parameter of this model", shortened(name));
            Error::file(reference.path(), what)
        })?;
        let want = recorded(reference, &format!("grad.{name}"), &piece.shape)?;
        // Queries, keys and values together, and a bias with its weight: a bias of keys changes no attention, one of scores that
        // are compared with each other nothing at all, and such gradients are rounding alone.
        let layer = params.pieces().filter(|other| layer(other.name) == layer(piece.name));
        let whole = layer.flat_map(|piece| gradients.of(piece.id)).chain(&want);
        let largest = whole.fold(f64::MIN_POSITIVE, |m, &x| m.max(f64::from(x).abs()));
        let error = largest_difference(&flat[piece.place], &want, |_| true) / largest;
        if parameters == 0 || error.is_nan() || error > gradient_error {
            (gradient_error, worst_parameter) = (error, name.to_owned());
        }
        parameters += 1;
    }
    if parameters != params.pieces().count() {
        let what = format!("holds gradients of {parameters} of {} parameters", params.pieces().count());
        return Err(Error::file(reference.path(), what + ": record the reference again"));
    }
    let agrees = output_error <= 1e-4 && loss_error <= 1e-4 && gradient_error <= 1e-3;
    Ok(Agreement { output_error, loss_error, gradient_error, worst_parameter, parameters, agrees })
}

/// The name of a parameter's layer.
fn layer(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(layer, _)| layer)
}

/// Recorded numbers of a shape.
fn recorded(reference: &Weights, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let (has, numbers) = reference.numbers(name)?;
    if has != shape {
        let (name, has) = (shortened(name), shortened(&format!("{has:?}")));
        let what = format!("{name} has shape {has}, not {shape:?} as here: record the reference again");
        return Err(Error::file(reference.path(), what));
    }
    Ok(numbers)
}

/// The larger of two, NaN if either is.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// max |xᵢ − yᵢ| over the i that count, NaN if any is.
fn largest_difference(x: &[f32], y: &[f32], counts: impl Fn(usize) -> bool) -> f64 {
    let differences = x.iter().zip(y).enumerate().filter(|(i, _)| counts(*i));
    differences.map(|(_, (&x, &y))| (f64::from(x) - f64::from(y)).abs()).fold(0.0, larger)
}
