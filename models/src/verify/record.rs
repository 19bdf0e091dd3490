//! What this program computes of a checkpoint, written down as its reference.safetensors: so that another program can be held
//! against it, or this one later, on another machine or after a change.
//!
//! The inputs are random, a function of the seed alone: ids, for a BERT with a row that is padded from its middle on, and three
//! in ten hidden for masked prediction; captions that end at different places; labels where there is a task. Outputs, loss and
//! gradients are those that [`verify`](super::verify) compares.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use autograd::{Gradients, Tape};
use safetensors::tensor::{Dtype, View};
use tensor::bytemuck;
use tensor::matmul::Precision;
use tensor::random::{Random, Stream};

use super::reference::{Output, REFERENCE, Subject};
use crate::Model;
use crate::error::{Error, Result};
use crate::hub::task::Kind;
use crate::hub::weights::{self, Weights};

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

/// Writes the reference.safetensors of the checkpoint in a directory, and returns its path. Gradients have the names that the
/// parameters have in its file.
///
/// Errors: a checkpoint that cannot be opened; one that has a reference already, which may be another program's.
pub fn record(directory: &Path, seed: u64) -> Result<PathBuf> {
    let (subject, params, checkpoint) = Subject::open(directory)?;
    let path = directory.join(REFERENCE);
    if path.exists() {
        let what = "is there already, and stays as it is: move it away to record a new one";
        return Err(Error::file(path, what));
    }
    let mut recorded = inputs(&subject, seed);
    let given = {
        let beside = tempfile::tempdir().map_err(|error| Error::io(std::env::temp_dir(), "write into", &error))?;
        let path = beside.path().join("inputs.safetensors");
        write(&path, &recorded)?;
        subject.given(&Weights::open(&path)?)?
    };
    let mut add = |name: &str, shape: &[usize], numbers: &[f32]| {
        let numbers = Numbers::Real(numbers.to_vec());
        recorded.push((name.to_owned(), Recorded { shape: shape.to_vec(), numbers }));
    };
    let tape = Tape::no_grad(&params).with_precision(Precision::Full);
    for Output { name, numbers, .. } in subject.outputs(&tape, &given) {
        add(name, &numbers.shape(), numbers.data());
    }
    drop(tape);
    if subject.has_loss() {
        let mut gradients = Gradients::new(&params);
        let tape = Tape::new(&params).with_precision(Precision::Full);
        let loss = subject.loss(&tape, &given);
        loss.backward(&mut gradients);
        let flat = gradients.flat();
        add("loss", &[], &[loss.item()]);
        for piece in params.pieces() {
            let name = format!("grad.{}", checkpoint.stored(piece.name)?);
            add(&name, &piece.shape, &flat[piece.place]);
        }
    }
    write(&path, &recorded)?;
    Ok(path)
}

fn write(path: &Path, tensors: &[(String, Recorded)]) -> Result<()> {
    weights::write_views(path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())), ("format", "pt"))
}

/// What goes in.
fn inputs(subject: &Subject, seed: u64) -> Vec<(String, Recorded)> {
    let mut random = Random::new(seed, Stream::Data, 0);
    let model = &subject.model;
    let (vocab, time) = (model.vocab_size() as u64, model.block_size().min(TOKENS));
    let mut ids: Vec<i64> = (0..ROWS * time).map(|_| random.below(vocab) as i64).collect();
    let whole = |name: &str, shape: &[usize], x: Vec<i64>| {
        (name.to_owned(), Recorded { shape: shape.to_vec(), numbers: Numbers::Whole(x) })
    };
    let each = [ROWS, time];
    let answers = matches!(subject.task(), Some((Kind::Answer, _)));
    let padding = match model {
        Model::Bert(_) if !answers => time + time.div_ceil(2)..2 * time, // the second row's end
        _ => 0..0,
    };
    let seen = |i: usize| !padding.contains(&i);
    // RoBERTa's two forms take that id for padding wherever it stands, and so does a GPT that was fine-tuned.
    let pad = match model {
        Model::Bert(bert) => Some(bert.config.pad_token_id),
        Model::Gpt(_) | Model::Clip(_) => subject.pad(),
    };
    if let Some(pad) = pad.map(i64::from) {
        ids.iter_mut().filter(|id| **id == pad).for_each(|id| *id = i64::from(pad == 0));
        ids[padding.clone()].fill(pad);
    }
    let mut all = Vec::new();
    let mut one_of = |many: usize| random.below(many as u64) as i64;
    match (subject.task(), model) {
        (Some((Kind::Classify, labels)), _) => {
            all.push(whole("labels", &[ROWS], (0..ROWS).map(|_| one_of(labels)).collect()));
        }
        (Some((Kind::Tag, labels)), _) => {
            let labels = (0..ids.len()).map(|i| if seen(i) { one_of(labels) } else { -100 });
            all.push(whole("labels", &each, labels.collect()));
        }
        (Some((Kind::Answer, _)), _) => {
            for name in ["start_positions", "end_positions"] {
                all.push(whole(name, &[ROWS], (0..ROWS).map(|_| one_of(time)).collect()));
            }
        }
        (None, Model::Gpt(_)) => all.push(whole("labels", &each, ids.clone())),
        (None, Model::Bert(_)) => {
            let chosen = |(i, &id): (usize, &i64)| if seen(i) && (i % time == 0 || one_of(10) < 3) { id } else { -100 };
            all.push(whole("labels", &each, ids.iter().enumerate().map(chosen).collect()));
        }
        (None, Model::Clip(clip)) => {
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
            all.push(("pixel_values".to_owned(), pixels));
        }
    }
    if matches!(model, Model::Bert(_)) {
        all.push(whole("attention_mask", &each, (0..ids.len()).map(|i| i64::from(seen(i))).collect()));
    }
    all.push(whole("input_ids", &each, ids));
    all
}
