//! What a reference.safetensors is about: a checkpoint's model with what stands on top of it, what goes in, and what comes out,
//! all under the names of `transformers`. B are rows, T their positions.
//!
//! | checkpoint | in, beside `input_ids` `[B, T]` | out |
//! |---|---|---|
//! | GPT | `labels` `[B, T]` | `logits` |
//! | BERT | `labels` `[B, T]`, where rows are padded `attention_mask` | `logits`; without its head `last_hidden_state` |
//! | CLIP | `pixel_values` `[B, 3, S, S]` | `image_embeds`, `text_embeds`, `logits_per_image` |
//! | for `classify` | `labels` `[B]` | `logits` `[B, labels]` |
//! | for `tag` | `labels` `[B, T]` | `logits` `[B, T, labels]` |
//! | for `answer` | `start_positions`, `end_positions` `[B]` | `start_logits`, `end_logits` `[B, T]` |

use std::path::Path;

use autograd::{IGNORE, PADDING, Params, Tape};
use tensor::Tensor;

use crate::Model;
use crate::error::{Error, Result};
use crate::hub::Checkpoint;
use crate::hub::task::Kind;
use crate::hub::weights::{Weights, shortened};
use crate::nn::Value;
use crate::pretext::Batch;
use crate::pretext::image_text::Twins;
use crate::transfer::finetune::head::Head;
use crate::transfer::finetune::tuned::Tuned;

/// The name of the file with recorded answers.
pub const REFERENCE: &str = "reference.safetensors";

/// A model, and what a checkpoint has on top of it.
pub struct Subject {
    /// The model.
    pub model: Model,
    /// What it was fine-tuned for, if it was.
    on_top: Option<OnTop>,
}

/// The layers of a task.
struct OnTop {
    kind: Kind,
    head: Head,
    /// How many labels they choose from.
    labels: usize,
    /// The id that stands behind the end of a text: a GPT's label is read from the last other.
    pad: Option<u32>,
}

/// What goes in, with the targets that the loss is counted by.
pub struct Given {
    /// Rows of ids, or of ids and pictures; for a model without a task their targets as well.
    pub batch: Batch,
    /// For a task the targets of each of its outputs.
    targets: Vec<Vec<u32>>,
}

/// Something that comes out.
pub struct Output {
    /// Its name.
    pub name: &'static str,
    /// Its numbers.
    pub numbers: Tensor,
    /// Whether there are some for each position of each row: those of padding are nobody's business.
    pub by_position: bool,
}

impl Subject {
    /// Opens a checkpoint of any kind.
    ///
    /// Errors: those of [`Checkpoint::open`] and [`Checkpoint::fill`].
    pub fn open(directory: &Path) -> Result<(Self, Params, Checkpoint)> {
        let checkpoint = Checkpoint::open(directory)?;
        let Some(kind) = checkpoint.task() else {
            let (model, params) = checkpoint.as_saved()?;
            return Ok((Self::of(model), params, checkpoint));
        };
        let (Tuned { model, head, params }, labels) = Tuned::of(directory, &checkpoint, kind)?;
        let pad = checkpoint.json["pad_token_id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let on_top = Some(OnTop { kind, head, labels: labels.len(), pad });
        Ok((Self { model, on_top }, params, checkpoint))
    }

    /// A model with nothing on top.
    pub fn of(model: Model) -> Self {
        Self { model, on_top: None }
    }

    /// What it was fine-tuned for, and from how many labels it chooses.
    pub fn task(&self) -> Option<(Kind, usize)> {
        self.on_top.as_ref().map(|on_top| (on_top.kind, on_top.labels))
    }

    /// The id that no text holds.
    pub fn pad(&self) -> Option<u32> {
        self.on_top.as_ref().and_then(|on_top| on_top.pad)
    }

    /// Whether it has a loss: a model that was saved without its head has none.
    pub fn has_loss(&self) -> bool {
        self.on_top.is_some() || self.model.has_loss()
    }

    /// What goes in, as a file has it.
    ///
    /// Errors: what does not belong to a model of this kind and size.
    pub fn given(&self, reference: &Weights) -> Result<Given> {
        let mut batch = self.rows(reference)?;
        let (rows, time) = (batch.rows, batch.ids.len() / batch.rows);
        let Some(OnTop { kind, labels, .. }) = self.on_top else {
            if !matches!(self.model, Model::Clip(_)) {
                batch.targets = self.next_or_hidden(reference, &batch.ids, time)?;
            }
            return Ok(Given { batch, targets: Vec::new() });
        };
        let of = |name: &str, shape: &[usize], below: usize| targets(reference, name, shape, below);
        let targets = match kind {
            Kind::Classify => vec![of("labels", &[rows], labels)?],
            Kind::Tag => vec![of("labels", &[rows, time], labels)?],
            Kind::Answer if batch.position_ids.contains(&PADDING) => {
                let what = "has padded rows: an answer is chosen among all positions, and padding has no states here";
                return Err(Error::file(reference.path(), format!("{what}; record rows of one length")));
            }
            Kind::Answer => vec![of("start_positions", &[rows], time)?, of("end_positions", &[rows], time)?],
        };
        Ok(Given { batch, targets })
    }

    /// Rows of ids, with their padding or their pictures.
    fn rows(&self, reference: &Weights) -> Result<Batch> {
        let (ids, rows) = token_ids(reference, self.model.vocab_size(), self.model.block_size())?;
        let mut batch = Batch { rows, ..Batch::new() };
        if let Model::Clip(clip) = &self.model {
            let (shape, pixels) = reference.numbers("pixel_values")?;
            let side = clip.config.vision_config.image_size;
            if shape != [rows, 3, side, side] {
                let shape = shortened(&format!("{shape:?}"));
                let what = format!("pixel_values have shape {shape}, not [{rows}, 3, {side}, {side}] as this model");
                return Err(Error::file(reference.path(), what + " sees"));
            }
            (batch.pixels, batch.pictures) = (pixels, (0..rows as u64).collect());
        } else if has(reference, "attention_mask") {
            let (_, mask) = reference.integers("attention_mask")?;
            if mask.len() != ids.len() {
                return Err(Error::file(reference.path(), "attention_mask and input_ids differ in shape"));
            }
            let time = ids.len() / rows;
            let place = |(i, &seen): (usize, &i64)| if seen == 0 { PADDING } else { (i % time) as u32 };
            batch.position_ids = mask.iter().enumerate().map(place).collect();
        }
        batch.ids = ids;
        Ok(batch)
    }

    /// The token that is to be predicted at each position: the labels, or the ids themselves where none are recorded; those
    /// one position further for a model that sees what came before.
    fn next_or_hidden(&self, reference: &Weights, ids: &[u32], time: usize) -> Result<Vec<u32>> {
        let labels = match has(reference, "labels") {
            true => targets(reference, "labels", &[ids.len() / time, time], self.model.vocab_size())?,
            false => ids.to_vec(),
        };
        let shifted = |row: &[u32]| row[1..].iter().copied().chain([IGNORE]).collect::<Vec<_>>();
        Ok(match self.model {
            Model::Gpt(_) => labels.chunks_exact(time).flat_map(shifted).collect(),
            Model::Bert(_) | Model::Clip(_) => labels,
        })
    }

    /// What comes out.
    pub fn outputs<'t>(&self, tape: &'t Tape<'t>, given: &Given) -> Vec<Output> {
        let batch = &given.batch;
        let output = |by_position: bool, (name, x): (&'static str, Value<'t>)| {
            let numbers = x.value();
            Output { name, numbers, by_position }
        };
        if let Some(on_top) = &self.on_top {
            let by_position = on_top.kind != Kind::Classify;
            return self.scores(on_top, tape, batch).into_iter().map(|scores| output(by_position, scores)).collect();
        }
        let Model::Clip(clip) = &self.model else {
            return vec![match self.model.has_loss() {
                true => output(true, ("logits", self.model.logits(tape, batch.all()))),
                false => output(true, ("last_hidden_state", self.model.hidden(tape, batch.all(), None))),
            }];
        };
        let (images, texts) = clip.vectors(tape, batch.all());
        let all = [("image_embeds", images), ("text_embeds", texts), ("logits_per_image", clip.scores(images, texts))];
        all.into_iter().map(|x| output(false, x)).collect()
    }

    /// The loss: of a model what its training lowers; of a task the mean of −ln p(target), over all of its outputs.
    pub fn loss<'t>(&self, tape: &'t Tape<'t>, given: &Given) -> Value<'t> {
        let Some(on_top) = &self.on_top else {
            if let Model::Clip(clip) = &self.model {
                // Pictures that are said to be the same are told apart there all the same.
                let (rows, (images, texts)) = (given.batch.rows, clip.vectors(tape, given.batch.all()));
                return clip.loss_of(images, texts, &Twins::none(rows), rows as f64);
            }
            // Without a target it is 0/0, there as here.
            return self.model.loss(tape, given.batch.all(), given.batch.count() as f64);
        };
        let outputs = self.scores(on_top, tape, &given.batch);
        let share = outputs.len() as f64;
        let losses = outputs.into_iter().zip(&given.targets).map(|((_, scores), targets)| {
            let count = targets.iter().filter(|&&target| target != IGNORE).count();
            let scores = scores.reshape([targets.len(), scores.shape().cols()]);
            scores.cross_entropy(targets, share * count as f64)
        });
        losses.reduce(|sum, loss| sum + loss).expect("each task has an output")
    }

    /// The scores that a task's layers give, by their names.
    fn scores<'t>(&self, on_top: &OnTop, tape: &'t Tape<'t>, batch: &Batch) -> Vec<(&'static str, Value<'t>)> {
        let (rows, positions) = (batch.rows, batch.ids.len());
        let out = &on_top.head.out;
        let states = |at| self.model.hidden(tape, batch.all(), at); // [B, T, C], or [M, C]
        match on_top.kind {
            Kind::Classify => {
                let ids = batch.ids.chunks_exact(positions / rows).enumerate();
                let read: Vec<u32> =
                    ids.map(|(row, ids)| (row * ids.len() + self.read_at(on_top, ids)) as u32).collect();
                vec![("logits", out.forward(on_top.head.read(states(Some(&read)))))]
            }
            Kind::Tag => vec![("logits", out.forward(states(None)))],
            Kind::Answer => {
                let scores = out.forward(states(None).reshape([positions, self.model.width()])); // [N, 2]
                let of = |column: usize| scores.columns(column..column + 1).reshape([rows, positions / rows]);
                vec![("start_logits", of(0)), ("end_logits", of(1))]
            }
        }
    }

    /// The position of a row where its label is read: the first of a BERT, of a GPT the last that is no padding.
    fn read_at(&self, on_top: &OnTop, ids: &[u32]) -> usize {
        match (&self.model, on_top.pad) {
            (Model::Bert(_), _) => 0,
            (_, Some(pad)) => ids.iter().rposition(|&id| id != pad).unwrap_or(0),
            (_, None) => ids.len() - 1,
        }
    }
}

fn has(reference: &Weights, name: &str) -> bool {
    reference.names().iter().any(|known| known == name)
}

fn token_ids(reference: &Weights, vocab: usize, block: usize) -> Result<(Vec<u32>, usize)> {
    let (shape, ids) = reference.integers("input_ids")?;
    let fail = |what: String| Err(Error::file(reference.path(), what));
    let [rows, time] = shape[..] else {
        return fail(format!("input_ids of shape {}: expected [B, T]", shortened(&format!("{shape:?}"))));
    };
    if let Some(id) = ids.iter().find(|&&id| id < 0 || id as usize >= vocab) {
        return fail(format!("input id {id} is outside the model's vocabulary of {vocab}"));
    }
    if ids.is_empty() || time > block {
        return fail(format!("{rows} rows of {time} tokens for a block size of {block}"));
    }
    Ok((ids.iter().map(|&id| id as u32).collect(), rows))
}

/// Targets of a shape, each below a number; what is below 0 (−100 there) does not count.
fn targets(reference: &Weights, name: &str, shape: &[usize], below: usize) -> Result<Vec<u32>> {
    let (has, targets) = reference.integers(name)?;
    if has != shape || targets.iter().any(|&target| target >= below as i64) {
        let what = format!("{name} are not {shape:?} numbers below {below}, as this model has them");
        return Err(Error::file(reference.path(), what + ": record the reference again"));
    }
    Ok(targets.iter().map(|&target| u32::try_from(target).unwrap_or(IGNORE)).collect())
}
