//! Every option of a run, and where each comes from: the preset, then a file, then the command line.
//!
//! The sources are TOML tables laid over one another; what nobody said is derived (a tenth of the rate as the
//! smallest rate, and so on), and the sum of it all is written to the run's train.toml, which `--resume` reads.

mod check;
mod clip;
mod names;
mod objective;

use std::path::{Path, PathBuf};

use autograd::AdamWOptions;
use autograd::muon::MOMENTUM;
use autograd::schedule::{Schedule, Shape};
use serde::{Deserialize, Serialize};
use tokenizer::Tokenizer;
use toml::{Table, Value};

pub(crate) use check::good;
pub use clip::ClipOptions;
use objective::contrastive;

pub use names::{ModelName, NormName, ObjectiveName, OptimizerName, PrecisionName, ScheduleName};

use super::origin;
use super::presets::{Preset, SIMCSE};
use super::step::Compute;
use crate::Config;
use crate::bert::BertConfig;
use crate::bert::config::Form;
use crate::error::{Error, Result};
use crate::gpt::GptConfig;
use crate::nn::INITIAL_DEVIATION;
use crate::pretext::Unit;

/// Every option of a training run, as train.toml holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Which model.
    #[serde(default)]
    pub model: ModelName,
    /// What BERT or CLIP learns from.
    pub objective: Option<ObjectiveName>,
    /// The preset that the rest was laid over.
    pub preset: String,
    /// The run, or checkpoint, whose model this one began with.
    pub from: Option<PathBuf>,
    /// Files and folders to train on, each `PATH` or `PATH=WEIGHT`; none means the built-in world.
    pub data: Vec<String>,
    /// Files and folders to validate on; none means a share of `data`.
    pub val_data: Vec<String>,
    /// The share of `data` that is held out when there is no `val_data`.
    pub val_share: f64,
    /// A tokenizer.json, or a directory that holds one; none means one trained on the data.
    pub tokenizer: Option<PathBuf>,
    /// How many tokens there are; 256 means bytes.
    pub vocab_size: usize,
    /// How many positions the model sees.
    pub block_size: usize,
    /// How many blocks.
    pub layers: usize,
    /// How many attention heads.
    pub heads: usize,
    /// The width.
    pub width: usize,
    /// Where BERT's norms stand.
    pub norm: Option<NormName>,
    /// The share of tokens that masked prediction hides in training.
    pub mask_share: Option<f64>,
    /// What it hides together.
    pub mask_unit: Option<Unit>,
    /// The temperature τ of contrastive prediction, by which cosines are divided: a smaller one is sharper.
    pub temperature: Option<f64>,
    /// The weight β of hard negatives there, the nearest others of a batch; 0 means all alike.
    pub hardness: Option<f64>,
    /// The share that dropout drops.
    pub dropout: f64,
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
    /// The batch size: rows of a step.
    pub batch_size: usize,
    /// Rows computed at once; the gradients of a step's micro-batches are added up.
    pub micro_batch: usize,
    /// Steps of the run.
    pub steps: u64,
    /// The budget that `steps` was measured from, if it was.
    pub minutes: Option<f64>,
    /// How weights follow gradients.
    pub optimizer: OptimizerName,
    /// The full learning rate; AdamW's, where Muon is beside it.
    pub lr: f64,
    /// Muon's full learning rate, which rises and falls in step with the other.
    pub muon_lr: f64,
    /// Muon's momentum μ.
    pub muon_momentum: f64,
    /// The learning rate at the end.
    pub min_lr: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// What the learning rate does after warm-up.
    pub schedule: ScheduleName,
    /// The share of the run over which warmup-stable-decay falls.
    pub decay_share: f64,
    /// AdamW's β₂, the decay of its mean of squared gradients.
    pub beta2: f64,
    /// The weight decay λ, of matrices alone.
    pub weight_decay: f64,
    /// What the gradient's norm is clipped to; 0 means no limit.
    pub grad_clip: f64,
    /// What matrix products do with their operands.
    pub precision: PrecisionName,
    /// Whether blocks are computed again for the gradient instead of kept.
    pub recompute: bool,
    /// The random seed: what makes one run different from another with the same options.
    pub seed: u64,
    /// Steps between evaluations.
    pub eval_every: u64,
    /// Validation tokens of an evaluation on the way; the last one reads them all.
    pub eval_tokens: usize,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// What only CLIP has.
    pub clip: Option<ClipOptions>,
}

impl Options {
    /// The options of a run from what was said: `file` over the preset, `flags` over both.
    ///
    /// Errors: what cannot be, and flags that would have no effect.
    pub fn resolve(file: &Table, flags: &Table) -> Result<Self> {
        let options = Self::laid_over(file, flags)?;
        options.check_flags(flags)?;
        Ok(options)
    }

    /// The same where some of the flags are not the user's.
    pub(super) fn laid_over(file: &Table, flags: &Table) -> Result<Self> {
        let mut said = file.clone();
        // Of a number of steps and a budget of minutes the flag counts; a file that has both is a run's, whose budget has
        // become a number of steps.
        let by_flag = |key: &str| flags.contains_key(key);
        if by_flag("steps") || (file.contains_key("steps") && !by_flag("minutes")) {
            said.remove("minutes");
        } else if by_flag("minutes") {
            said.remove("steps");
        }
        lay_over(&mut said, flags);
        let model = model_of(&said)?;
        let preset = preset_of(&said, model)?;
        let mut table: Table = preset.options.parse().expect("presets are TOML");
        lay_over(&mut table, &said);
        table.insert("preset".into(), preset.name.into());
        table.insert("model".into(), model.name().into());
        // The train.toml of such a run has the sizes already.
        let known = file.contains_key("from") && file.contains_key("layers") && !flags.contains_key("from");
        match said.get("from").and_then(Value::as_str) {
            Some(from) if !known => origin::lay_in(&mut table, flags, Path::new(from), model)?,
            Some(_) => origin::leave_out_decided(flags)?,
            None if contrastive(&table) && model == ModelName::Bert => {
                let what =
                    "simcse goes on from a trained BERT: name it with --from DIR (`pretext train bert` makes one)";
                return Err(Error::Options(what.to_owned()));
            }
            _ => {}
        }
        if model != ModelName::Clip && table.contains_key("clip") {
            let what = format!("the options of pictures are CLIP's, and this is {}: leave them out", model.title());
            return Err(Error::Options(what));
        }
        derive(&mut table, &said, model);
        let options: Self = table.try_into().map_err(|error: toml::de::Error| {
            Error::Options(format!("the options do not fit together: {}", error.message()))
        })?;
        options.check()?;
        Ok(options)
    }

    /// Reads a run's train.toml, or any file of options.
    pub fn read_table(path: &Path) -> Result<Table> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
        text.parse().map_err(|error: toml::de::Error| Error::file(path, format!("not a TOML file: {error}")))
    }

    /// Reads a run's train.toml, which says everything.
    pub fn read_run(path: &Path) -> Result<Table> {
        let table = Self::read_table(path)?;
        let missing = |key: &&&str| !table.contains_key(**key);
        match ["preset", "data", "steps", "seed", "save_every"].iter().find(missing) {
            Some(key) => {
                Err(Error::file(path, format!("says nothing of {key}: it was cut off; bring it back from a copy")))
            }
            None => Ok(table),
        }
    }

    /// Makes the paths of a table of options absolute, so that a run can be resumed from any directory.
    pub fn absolute(table: &mut Table) {
        let absolute = |path: &str| std::path::absolute(path).ok()?.to_str().map(str::to_owned);
        for value in table.iter_mut().filter(|(key, _)| ["data", "val_data"].contains(&key.as_str())).map(|(_, v)| v) {
            for source in value.as_array_mut().into_iter().flatten() {
                // PATH=WEIGHT: what stands before the path's first character is all that changes.
                if let Some(path) = source.as_str().and_then(absolute) {
                    *source = path.into();
                }
            }
        }
        for key in ["tokenizer", "from"] {
            if let Some(path) = table.get(key).and_then(Value::as_str).and_then(absolute) {
                table.insert(key.to_owned(), path.into());
            }
        }
    }

    /// The options as train.toml.
    pub fn to_toml(&self) -> String {
        format!("# Every option of this run. `pretext train --resume` needs nothing else.\n{}", self.to_text())
    }

    /// The same without a word beside.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("options are plain values")
    }

    /// The model's sizes.
    pub fn config(&self) -> Config {
        let (v, t, l, h, c) = (self.vocab_size, self.block_size, self.layers, self.heads, self.width);
        let initializer_range = self.initializer_range;
        match self.model {
            ModelName::Gpt => {
                Config::Gpt(GptConfig { initializer_range, ..GptConfig::new(v, t, l, h, c).with_dropout(self.dropout) })
            }
            ModelName::Bert => {
                let form = if self.norm == Some(NormName::Post) { Form::PostNorm } else { Form::PreNorm };
                let sizes = BertConfig::new(form, v, t, l, h, c).with_dropout(self.dropout);
                Config::Bert(BertConfig { initializer_range, ..sizes })
            }
            ModelName::Clip => {
                let of = self.clip.as_ref().expect("checked: a run of CLIP has its table");
                Config::Clip(clip::config(self, of))
            }
        }
    }

    /// The model's sizes, with the tokens of its tokenizer that end a text.
    pub fn config_for(&self, tokenizer: &Tokenizer) -> Config {
        match self.config() {
            Config::Clip(config) => Config::Clip(clip::ended(config, tokenizer)),
            config => config,
        }
    }

    /// How a step is computed.
    pub fn compute(&self) -> Compute<'static> {
        let (micro_batch, precision) = (self.micro_batch, self.precision.into());
        Compute { micro_batch, precision, recompute: self.recompute, profile: None }
    }

    /// What AdamW is told.
    pub fn adamw(&self) -> AdamWOptions {
        let (beta2, weight_decay, grad_clip) = (self.beta2, self.weight_decay, self.grad_clip);
        AdamWOptions { beta2, weight_decay, grad_clip, ..AdamWOptions::default() }
    }

    /// The learning rate as a function of the step.
    fn schedule(&self) -> Schedule {
        let shape = match self.schedule {
            ScheduleName::Constant => Shape::Constant,
            ScheduleName::Cosine => Shape::Cosine,
            ScheduleName::WarmupStableDecay => Shape::WarmupStableDecay(self.decay_share),
        };
        Schedule { lr: self.lr, min_lr: self.min_lr, warmup: self.warmup, steps: self.steps, shape }
    }

    /// AdamW's rate in step `step`, and Muon's, which rises and falls with it.
    pub fn rates(&self, step: u64) -> [f64; 2] {
        let lr = self.schedule().at(step);
        [lr, self.muon_lr * lr / self.lr]
    }
}

/// The model that was asked for.
fn model_of(said: &Table) -> Result<ModelName> {
    let Some(name) = said.get("model") else { return Ok(ModelName::default()) };
    let refused = |error: toml::de::Error| Error::Options(format!("model = {name}: {}", error.message()));
    name.clone().try_into().map_err(refused)
}

/// The preset that was asked for, or the one that fits.
fn preset_of(said: &Table, model: ModelName) -> Result<&'static Preset> {
    let presets = model.presets();
    let name = match said.get("preset") {
        None if contrastive(said) && model == ModelName::Bert => SIMCSE,
        None => presets[0].name,
        Some(Value::String(name)) => name,
        Some(other) => return Err(Error::Options(format!("preset = {other}: expected the name of a preset"))),
    };
    presets.iter().find(|preset| preset.name == name).ok_or_else(|| {
        let (names, model) = (presets.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", "), model.title());
        Error::Options(format!("there is no preset {name} of {model}: choose one of {names}"))
    })
}

/// Lays one table of options over another; the tables in it over those in the other.
pub(super) fn lay_over(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => lay_over(under, over),
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

/// Fills in what nobody said, from what was said.
fn derive(table: &mut Table, said: &Table, model: ModelName) {
    let number = |table: &Table, key: &str| match table.get(key) {
        Some(Value::Float(x)) => *x,
        Some(Value::Integer(x)) => *x as f64,
        _ => 0.0,
    };
    let steps = number(table, "steps").max(1.0) as i64;
    let batch = table.get("batch_size").cloned().unwrap_or(1.into());
    if said.contains_key("lr") && !said.contains_key("min_lr") {
        table.remove("min_lr"); // the preset's goes with the preset's rate
    }
    if !said.contains_key("warmup") {
        let warmup = (number(table, "warmup") as i64).min(steps / 10);
        table.insert("warmup".into(), warmup.into());
    }
    let eval_every = table.get("eval_every").cloned().unwrap_or(Value::Integer((steps / 10).max(1)));
    let defaults: [(&str, Value); 21] = [
        ("data", Value::Array(vec![])),
        ("val_data", Value::Array(vec![])),
        ("val_share", 0.1.into()),
        ("dropout", 0.0.into()),
        ("initializer_range", INITIAL_DEVIATION.into()),
        ("micro_batch", batch),
        ("optimizer", "adamw".into()),
        ("min_lr", tenth(number(table, "lr")).into()),
        ("muon_lr", 0.02.into()), // Jordan et al.'s
        ("muon_momentum", MOMENTUM.into()),
        ("schedule", "cosine".into()),
        ("decay_share", 0.2.into()),
        ("beta2", 0.95.into()),
        ("weight_decay", 0.1.into()),
        ("grad_clip", 1.0.into()),
        ("precision", "f32".into()),
        ("recompute", false.into()),
        ("seed", 1.into()),
        ("eval_tokens", 20_000.into()),
        ("save_every", eval_every.clone()),
        ("eval_every", eval_every),
    ];
    if let Some(Value::Table(of)) = table.get_mut("clip") {
        clip::derive(of);
    }
    let simcse = contrastive(table);
    for (key, value) in objective::defaults(model, simcse).into_iter().chain(defaults) {
        table.entry(key).or_insert(value);
    }
    // Never more rows at once than a step has.
    if number(table, "micro_batch") > number(table, "batch_size") {
        let batch = table["batch_size"].clone();
        table.insert("micro_batch".into(), batch);
    }
}

/// A tenth, written as a person would: 0.0003 and not 0.00030000000000000003.
fn tenth(x: f64) -> f64 {
    format!("{:.6e}", x / 10.0).parse().unwrap_or(x / 10.0)
}

#[cfg(test)]
mod tests;
