//! Do we compute what others compute? A checkpoint with recorded answers beside it says.
//!
//! `reference.safetensors` holds `input_ids`, `labels` and, where rows are padded, `attention_mask`, and what another implementation computed from them on the
//! same weights: `logits`, `loss`, and the gradient of the loss for every parameter under `grad.NAME`.

use std::path::Path;

use autograd::{Gradients, IGNORE, PADDING, Tape};
use serde::Serialize;
use tensor::matmul::Precision;

use super::bare_name;
use super::weights::Weights;
use crate::Model;
use crate::error::{Error, Result};
use crate::pretext::Batch;

/// The largest disagreements between a model here and its recorded reference.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    /// Largest |difference| of any logit.
    pub logits_error: f64,
    /// |difference| of the loss, in nats.
    pub loss_error: f64,
    /// Largest |difference| of any gradient element, relative to the largest element of that parameter's gradient (that of
    /// queries, keys and values together).
    pub gradient_error: f64,
    /// The parameter with that difference.
    pub worst_parameter: String,
    /// How many tensors were compared.
    pub parameters: usize,
    /// Whether all three stay within 1e-4, 1e-4 and 1e-3.
    pub agrees: bool,
}

/// Opens the checkpoint in `directory` and compares it, computed with products of a precision, with the
/// reference.safetensors beside it.
pub fn verify(directory: &Path, precision: Precision) -> Result<Agreement> {
    let (model, params) = super::open(directory)?;
    let path = directory.join("reference.safetensors");
    let reference = Weights::open(&path)?;
    let batch = recorded_batch(&model, &reference)?;

    let tape = Tape::no_grad(&params).with_precision(precision);
    let logits = model.logits(&tape, batch.all()).value();
    let recorded = reference.numbers("logits")?.1;
    let seen = |at: usize| batch.places.get(at / logits.shape().cols()).is_none_or(|&place| place != PADDING);
    let logits_error = largest_difference(logits.data(), &recorded, seen)
        .ok_or_else(|| Error::file(&path, "logits are not [B, T, V] of this model: record the reference again"))?;
    drop(tape);

    let mut gradients = Gradients::new(&params);
    let tape = Tape::new(&params).with_precision(precision);
    let loss = model.loss(&tape, batch.all(), batch.count() as f64); // no targets: 0/0, there as here
    loss.backward(&mut gradients);
    let recorded = reference.numbers("loss")?.1;
    let recorded = recorded.first().copied().unwrap_or(f32::INFINITY);
    let undefined = loss.item().is_nan() && recorded.is_nan();
    let loss_error = if undefined { 0.0 } else { (f64::from(loss.item()) - f64::from(recorded)).abs() };

    let config = model.config();
    let (mut gradient_error, mut worst_parameter, mut parameters) = (0.0, String::new(), 0);
    for name in reference.names().iter().filter_map(|name| name.strip_prefix("grad.")) {
        let bare = bare_name(&config, name);
        let piece = params.pieces().find(|piece| bare_name(&config, piece.name) == bare).ok_or_else(|| {
            Error::file(&path, format!("has a gradient of {name}, which is no parameter of this model"))
        })?;
        let want = reference.numbers(&format!("grad.{name}"))?.1;
        // Queries, keys and values together: a bias of keys alone changes no attention, and has rounding for a gradient.
        let whole = want.iter().chain(gradients.of(piece.id));
        let largest = whole.fold(f64::MIN_POSITIVE, |m, &x| m.max(f64::from(x).abs()));
        let error = largest_difference(&gradients.flat()[piece.place], &want, |_| true)
            .ok_or_else(|| Error::file(&path, format!("grad.{name} has {} numbers for {}", want.len(), piece.shape)))?
            / largest;
        if parameters == 0 || error.is_nan() || error > gradient_error {
            (gradient_error, worst_parameter) = (error, name.to_owned());
        }
        parameters += 1;
    }
    if parameters != params.pieces().count() {
        let what = format!("holds gradients of {parameters} of {} parameters", params.pieces().count());
        return Err(Error::file(&path, what + ": record the reference again"));
    }
    let agrees = logits_error <= 1e-4 && loss_error <= 1e-4 && gradient_error <= 1e-3;
    Ok(Agreement { logits_error, loss_error, gradient_error, worst_parameter, parameters, agrees })
}

/// The recorded inputs with their targets: the labels, which for a model that sees what came before are those one position
/// further.
fn recorded_batch(model: &Model, reference: &Weights) -> Result<Batch> {
    let (ids, rows) = token_ids(reference, reference.path(), model.vocab_size(), model.block_size())?;
    let time = ids.len() / rows;
    let labels = labels(reference, &ids)?;
    let shifted = |row: &[u32]| row[1..].iter().copied().chain([IGNORE]).collect::<Vec<_>>();
    let mut batch = Batch::new();
    (batch.rows, batch.targets) = match model {
        Model::Gpt(_) => (rows, labels.chunks_exact(time).flat_map(shifted).collect()),
        Model::Bert(_) => (rows, labels),
    };
    if reference.names().iter().any(|name| name == "attention_mask") {
        let (_, mask) = reference.integers("attention_mask")?;
        if mask.len() != ids.len() {
            return Err(Error::file(reference.path(), "attention_mask and input_ids differ in shape"));
        }
        let place = |(i, &seen): (usize, &i64)| if seen == 0 { PADDING } else { (i % time) as u32 };
        batch.places = mask.iter().enumerate().map(place).collect();
    }
    batch.ids = ids;
    Ok(batch)
}

fn token_ids(reference: &Weights, path: &Path, vocab: usize, block: usize) -> Result<(Vec<u32>, usize)> {
    let (shape, ids) = reference.integers("input_ids")?;
    let [rows, time] = shape[..] else {
        return Err(Error::file(path, format!("input_ids of shape {shape:?}: expected [B, T]")));
    };
    if let Some(id) = ids.iter().find(|&&id| id < 0 || id as usize >= vocab) {
        return Err(Error::file(path, format!("input id {id} is outside the model's vocabulary of {vocab}")));
    }
    if rows * time == 0 || time > block {
        return Err(Error::file(path, format!("{rows} rows of {time} tokens for a block size of {block}")));
    }
    Ok((ids.iter().map(|&id| id as u32).collect(), rows))
}

/// The labels, or the inputs themselves where none are recorded; −100 is "does not count".
fn labels(reference: &Weights, ids: &[u32]) -> Result<Vec<u32>> {
    if !reference.names().iter().any(|name| name == "labels") {
        return Ok(ids.to_vec());
    }
    let (_, labels) = reference.integers("labels")?;
    Ok(labels.iter().map(|&label| u32::try_from(label).unwrap_or(IGNORE)).collect())
}

/// max |xᵢ − yᵢ| over the i that count, NaN if any is; `None` if the lengths differ.
fn largest_difference(x: &[f32], y: &[f32], counts: impl Fn(usize) -> bool) -> Option<f64> {
    let larger = |m: f64, d: f64| if d.is_nan() || m.is_nan() { f64::NAN } else { m.max(d) };
    let differences = x.iter().zip(y).enumerate().filter(|(i, _)| counts(*i));
    let differences = differences.map(|(_, (&x, &y))| (f64::from(x) - f64::from(y)).abs());
    (x.len() == y.len()).then(|| differences.fold(0.0, larger))
}
