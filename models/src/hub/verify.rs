//! Do we compute what others compute? A checkpoint with recorded answers beside it says.
//!
//! `reference.safetensors` holds `input_ids` and `labels`, and what another implementation computed from them on the
//! same weights: `logits`, `loss`, and the gradient of the loss for every parameter under `grad.NAME`.

use std::path::Path;

use autograd::{Gradients, IGNORE, Tape};
use serde::Serialize;
use tensor::matmul::Precision;

use super::gpt2;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::pretext::Batch;

/// The largest disagreements between a model here and its recorded reference.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    /// Largest |difference| of any logit.
    pub logits_error: f64,
    /// |difference| of the loss, in nats.
    pub loss_error: f64,
    /// Largest |difference| of any gradient element, relative to the largest element of that parameter's gradient.
    pub gradient_error: f64,
    /// The parameter with that difference.
    pub worst_parameter: String,
    /// How many parameters were compared.
    pub parameters: usize,
    /// Whether all three stay within 1e-4, 1e-4 and 1e-3.
    pub agrees: bool,
}

/// Opens the GPT-2 checkpoint in `directory` and compares it, computed with products of a precision, with the
/// reference.safetensors beside it.
pub fn verify(directory: &Path, precision: Precision) -> Result<Agreement> {
    let (model, params) = gpt2::open(directory)?;
    let path = directory.join("reference.safetensors");
    let reference = Weights::open(&path)?;
    let (ids, rows) = token_ids(&reference, &path, model.config.vocab_size, model.config.n_positions)?;
    let time = ids.len() / rows;

    let tape = Tape::no_grad(&params).with_precision(precision);
    let logits_error =
        largest_difference(model.logits(&tape, &ids, rows).value().data(), &reference.numbers("logits")?.1)
            .ok_or_else(|| Error::file(&path, "logits are not [B, T, V] of this model: record the reference again"))?;
    drop(tape);

    let batch = labelled(&ids, &labels(&reference, &ids)?, rows, time);
    let mut gradients = Gradients::new(&params);
    let tape = Tape::new(&params).with_precision(precision);
    let loss = model.loss(&tape, batch.all(), batch.count() as f64); // no targets: 0/0, there as here
    loss.backward(&mut gradients);
    let recorded = reference.numbers("loss")?.1;
    let recorded = recorded.first().copied().unwrap_or(f32::INFINITY);
    let undefined = loss.item().is_nan() && recorded.is_nan();
    let loss_error = if undefined { 0.0 } else { (f64::from(loss.item()) - f64::from(recorded)).abs() };

    let (mut gradient_error, mut worst_parameter, mut parameters) = (0.0, String::new(), 0);
    for name in reference.names().iter().filter_map(|name| name.strip_prefix("grad.")) {
        let id = params.find(gpt2::bare_name(name)).ok_or_else(|| {
            Error::file(&path, format!("has a gradient of {name}, which is no parameter of this model"))
        })?;
        let want = reference.numbers(&format!("grad.{name}"))?.1;
        let largest = want.iter().fold(f64::MIN_POSITIVE, |m, &x| m.max(f64::from(x).abs()));
        let error = largest_difference(gradients.of(id), &want).ok_or_else(|| {
            Error::file(&path, format!("grad.{name} has {} numbers for {}", want.len(), params.shape(id)))
        })? / largest;
        if parameters == 0 || error.is_nan() || error > gradient_error {
            (gradient_error, worst_parameter) = (error, name.to_owned());
        }
        parameters += 1;
    }
    if parameters != params.ids().count() {
        let what = format!("holds gradients of {parameters} of {} parameters", params.ids().count());
        return Err(Error::file(&path, what + ": record the reference again"));
    }
    let agrees = logits_error <= 1e-4 && loss_error <= 1e-4 && gradient_error <= 1e-3;
    Ok(Agreement { logits_error, loss_error, gradient_error, worst_parameter, parameters, agrees })
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

/// A batch whose targets are the labels one position further; the last position of a row has none.
fn labelled(ids: &[u32], labels: &[u32], rows: usize, time: usize) -> Batch {
    let shifted = |row: &[u32]| row[1..].iter().copied().chain([IGNORE]).collect::<Vec<_>>();
    Batch { ids: ids.to_vec(), targets: labels.chunks_exact(time).flat_map(shifted).collect(), rows }
}

/// max |xᵢ − yᵢ|, NaN if any is; `None` if the lengths differ.
fn largest_difference(x: &[f32], y: &[f32]) -> Option<f64> {
    let larger = |m: f64, d: f64| if d.is_nan() || m.is_nan() { f64::NAN } else { m.max(d) };
    (x.len() == y.len()).then(|| x.iter().zip(y).map(|(&x, &y)| (f64::from(x) - f64::from(y)).abs()).fold(0.0, larger))
}
