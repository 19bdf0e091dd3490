//! Do we compute what others compute? A checkpoint with recorded answers beside it says.
//!
//! `reference.safetensors` holds what goes in: `input_ids`, `labels` and, where rows are padded, `attention_mask`, or
//! `pixel_values` in the place of labels; and what another implementation computed from it on the same weights: `logits`, or
//! `image_embeds`, `text_embeds` and `logits_per_image`; `loss`; and the gradient of the loss for every parameter under
//! `grad.NAME`. Of a model without the head that predicts tokens there is but `last_hidden_state`.

use std::path::Path;

use autograd::{Gradients, IGNORE, PADDING, Tape};
use serde::Serialize;
use tensor::Tensor;
use tensor::matmul::Precision;

use super::bare_name;
use super::weights::Weights;
use crate::Model;
use crate::error::{Error, Result};
use crate::pretext::Batch;

/// The name of the file with the recorded answers.
pub const REFERENCE: &str = "reference.safetensors";

/// The largest disagreements between a model here and its recorded reference.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    /// Largest |difference| of any logit, or of any number of a vector.
    pub output_error: f64,
    /// |difference| of the loss, in nats.
    pub loss_error: f64,
    /// Largest |difference| of any gradient element, relative to the largest element of that parameter's gradient (that of
    /// queries, keys and values together).
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
pub fn verify(directory: &Path, precision: Precision) -> Result<Agreement> {
    let (model, params) = super::open_body(directory)?;
    let path = directory.join(REFERENCE);
    let reference = Weights::open(&path)?;
    let batch = recorded_batch(&model, &reference)?;

    let tape = Tape::no_grad(&params).with_precision(precision);
    let mut output_error = 0.0;
    for (name, output) in outputs(&model, &tape, &batch) {
        let recorded = reference.numbers(name)?.1;
        let seen = |at: usize| batch.places.get(at / output.shape().cols()).is_none_or(|&place| place != PADDING);
        let error = largest_difference(output.data(), &recorded, seen).ok_or_else(|| {
            let what = format!("{name} are not {} as this model has them: record the reference again", output.shape());
            Error::file(&path, what)
        })?;
        output_error = larger(output_error, error);
    }
    drop(tape);

    if !model.has_loss() {
        let (worst_parameter, agrees) = (String::new(), output_error <= 1e-4);
        let none =
            Agreement { loss_error: 0.0, gradient_error: 0.0, worst_parameter, parameters: 0, output_error, agrees };
        return Ok(none);
    }
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
    let agrees = output_error <= 1e-4 && loss_error <= 1e-4 && gradient_error <= 1e-3;
    Ok(Agreement { output_error, loss_error, gradient_error, worst_parameter, parameters, agrees })
}

/// What a model makes of a batch, by the names that references have for it.
pub(super) fn outputs<'t>(model: &Model, tape: &'t Tape<'t>, batch: &Batch) -> Vec<(&'static str, Tensor)> {
    let Model::Clip(clip) = model else {
        return match model.has_loss() {
            true => vec![("logits", model.logits(tape, batch.all()).value())],
            false => vec![("last_hidden_state", model.hidden(tape, batch.all()).value())],
        };
    };
    let (images, texts) = clip.vectors(tape, batch.all());
    let scores = clip.scores(images, texts);
    vec![("image_embeds", images.value()), ("text_embeds", texts.value()), ("logits_per_image", scores.value())]
}

/// The recorded inputs with their targets: the labels, which for a model that sees what came before are those one position
/// further; or with the pictures that they belong to.
pub(super) fn recorded_batch(model: &Model, reference: &Weights) -> Result<Batch> {
    let (ids, rows) = token_ids(reference, reference.path(), model.vocab_size(), model.block_size())?;
    if let Model::Clip(clip) = model {
        let (shape, pixels) = reference.numbers("pixel_values")?;
        let side = clip.config.vision_config.image_size;
        if shape != [rows, 3, side, side] {
            let what = format!("pixel_values have shape {shape:?}, not [{rows}, 3, {side}, {side}] as this model sees");
            return Err(Error::file(reference.path(), what));
        }
        return Ok(Batch { ids, rows, pixels, pictures: (0..rows as u64).collect(), ..Batch::new() });
    }
    let time = ids.len() / rows;
    let labels = labels(reference, &ids, model.vocab_size())?;
    let shifted = |row: &[u32]| row[1..].iter().copied().chain([IGNORE]).collect::<Vec<_>>();
    let mut batch = Batch::new();
    (batch.rows, batch.targets) = match model {
        Model::Gpt(_) => (rows, labels.chunks_exact(time).flat_map(shifted).collect()),
        Model::Bert(_) | Model::Clip(_) => (rows, labels),
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
fn labels(reference: &Weights, ids: &[u32], vocab: usize) -> Result<Vec<u32>> {
    if !reference.names().iter().any(|name| name == "labels") {
        return Ok(ids.to_vec());
    }
    let (_, labels) = reference.integers("labels")?;
    if labels.len() != ids.len() || labels.iter().any(|&label| label >= vocab as i64) {
        let what = format!("labels do not fit the {} input_ids, or are beyond the vocabulary of {vocab}", ids.len());
        return Err(Error::file(reference.path(), what + ": record the reference again"));
    }
    Ok(labels.iter().map(|&label| u32::try_from(label).unwrap_or(IGNORE)).collect())
}

/// The larger of two, NaN if either is.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// max |xᵢ − yᵢ| over the i that count, NaN if any is; `None` if the lengths differ.
fn largest_difference(x: &[f32], y: &[f32], counts: impl Fn(usize) -> bool) -> Option<f64> {
    let differences = x.iter().zip(y).enumerate().filter(|(i, _)| counts(*i));
    let differences = differences.map(|(_, (&x, &y))| (f64::from(x) - f64::from(y)).abs());
    (x.len() == y.len()).then(|| differences.fold(0.0, larger))
}
