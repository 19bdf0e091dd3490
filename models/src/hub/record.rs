//! What this program computes of a checkpoint, written down as its reference.safetensors: so that another program can be held
//! against it, or this one later, on another machine or after a change.
//!
//! The inputs are random, a function of the seed alone: ids, for masked prediction with a row that is padded from its middle
//! on and three in ten labelled, for pictures with captions that end at different places. Outputs, loss and gradients are those
//! that [`verify`](super::verify) compares.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use autograd::{Gradients, Tape};
use safetensors::tensor::{Dtype, View};
use tensor::bytemuck;
use tensor::matmul::Precision;
use tensor::random::{Random, Stream};

use super::verify::{outputs, recorded_batch};
use super::weights::{self, Weights};
use crate::Model;
use crate::error::{Error, Result};

/// Rows of the recorded batch, and tokens of each at most: enough to meet every parameter, and a small file.
const ROWS: usize = 3;
const TOKENS: usize = 32;

/// What goes in and what comes out, as the file has it.
#[derive(Clone)]
struct Recorded {
    shape: Vec<usize>,
    numbers: Numbers,
}

#[derive(Clone)]
enum Numbers {
    Whole(Vec<i64>),
    Real(Vec<f32>),
}

impl View for Recorded {
    fn dtype(&self) -> Dtype {
        match self.numbers {
            Numbers::Whole(_) => Dtype::I64,
            Numbers::Real(_) => Dtype::F32,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(match &self.numbers {
            Numbers::Whole(x) => bytemuck::cast_slice(x),
            Numbers::Real(x) => bytemuck::cast_slice(x),
        })
    }
    fn data_len(&self) -> usize {
        View::data(self).len()
    }
}

/// Writes the reference.safetensors of the checkpoint in a directory, and returns its path.
///
/// Errors: a checkpoint that cannot be opened; one that has a reference already, which may be another program's.
pub fn record(directory: &Path, seed: u64) -> Result<PathBuf> {
    let (model, params) = super::open_body(directory)?;
    let path = directory.join(super::verify::REFERENCE);
    if path.exists() {
        let what = "is there already, and stays as it is: move it away to record a new one";
        return Err(Error::file(path, what));
    }
    let mut recorded = inputs(&model, seed);
    let batch = {
        let beside = tempfile::tempdir().map_err(|error| Error::io(directory, "write beside", &error))?;
        let path = beside.path().join("inputs.safetensors");
        write(&path, &recorded)?;
        recorded_batch(&model, &Weights::open(&path)?)?
    };
    let mut add = |name: &str, shape: Vec<usize>, numbers: &[f32]| {
        recorded.push((name.to_owned(), Recorded { shape, numbers: Numbers::Real(numbers.to_vec()) }));
    };
    let tape = Tape::no_grad(&params).with_precision(Precision::Full);
    for (name, output) in outputs(&model, &tape, &batch) {
        add(name, output.shape().to_vec(), output.data());
    }
    drop(tape);
    if !model.has_loss() {
        return write(&path, &recorded).map(|()| path);
    }
    let mut gradients = Gradients::new(&params);
    let tape = Tape::new(&params).with_precision(Precision::Full);
    let loss = model.loss(&tape, batch.all(), batch.count() as f64);
    loss.backward(&mut gradients);
    add("loss", Vec::new(), &[loss.item()]);
    for piece in params.pieces() {
        add(&format!("grad.{}", piece.name), piece.shape.to_vec(), &gradients.flat()[piece.place]);
    }
    write(&path, &recorded)?;
    Ok(path)
}

fn write(path: &Path, tensors: &[(String, Recorded)]) -> Result<()> {
    weights::write_views(path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())), ("format", "pt"))
}

/// What goes in.
fn inputs(model: &Model, seed: u64) -> Vec<(String, Recorded)> {
    let mut random = Random::new(seed, Stream::Data, 0);
    let (vocab, time) = (model.vocab_size() as u64, model.block_size().min(TOKENS));
    let mut ids: Vec<i64> = (0..ROWS * time).map(|_| random.below(vocab) as i64).collect();
    let whole =
        |name: &str, x: Vec<i64>| (name.to_owned(), Recorded { shape: vec![ROWS, time], numbers: Numbers::Whole(x) });
    match model {
        Model::Gpt(_) => vec![whole("labels", ids.clone()), whole("input_ids", ids)],
        Model::Bert(bert) => {
            let padding = time + time.div_ceil(2)..2 * time; // the second row's end
            ids[padding.clone()].fill(i64::from(bert.config.pad_token_id));
            // RoBERTa's two forms take that id for padding wherever it stands.
            let (pad, other) = (i64::from(bert.config.pad_token_id), i64::from(bert.config.pad_token_id == 0));
            let seen = |i: usize| !padding.contains(&i);
            ids.iter_mut().enumerate().filter(|(i, id)| seen(*i) && **id == pad).for_each(|(_, id)| *id = other);
            let labels = ids.iter().enumerate().map(|(i, &id)| {
                let chosen = seen(i) && (i % time == 0 || random.uniform() < 0.3);
                if chosen { id } else { -100 }
            });
            let labels = labels.collect();
            let mask = (0..ids.len()).map(|i| i64::from(seen(i))).collect();
            vec![whole("labels", labels), whole("attention_mask", mask), whole("input_ids", ids)]
        }
        Model::Clip(clip) => {
            let of = &clip.config;
            // Read at the end's id, or at the largest id of all in checkpoints that name no end of their own.
            let end =
                if of.text_config.eos_token_id == 2 { vocab as i64 - 1 } else { of.text_config.eos_token_id.into() };
            for (row, ids) in ids.chunks_exact_mut(time).enumerate() {
                ids.iter_mut().filter(|id| **id == end).for_each(|id| *id = 0);
                ids[time.saturating_sub(1 + row)..].fill(end);
            }
            let side = of.vision_config.image_size;
            let pixels = (0..ROWS * 3 * side * side).map(|_| random.normal() as f32).collect();
            let pixels = Recorded { shape: vec![ROWS, 3, side, side], numbers: Numbers::Real(pixels) };
            vec![whole("input_ids", ids), ("pixel_values".to_owned(), pixels)]
        }
    }
}
