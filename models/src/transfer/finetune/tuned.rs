//! What all tasks share: a model with layers on top, and its directory, a checkpoint as `transformers` has it for the task.

use std::fs::File;
use std::path::{Path, PathBuf};

use autograd::{Params, Scope};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokenizer::Tokenizer;

use super::Recipe;
use super::head::{self, Head};
use crate::error::{Error, Result};
use crate::hub::pretrained::{self, Pretrained};
use crate::hub::{self, Checkpoint};
use crate::pretext::texts::{as_read, as_told};
use crate::train::run::{BEGINNING, new_directory};
use crate::{Config, Model, files};

pub use crate::hub::task::Kind;

/// How a text becomes the one vector that its label is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The mean of its positions at first: by a block more, whose attention begins so and learns.
    Mean,
    /// The position that sees all of it: the first of a BERT, the last of a GPT.
    Token,
}

/// A model with layers on top that give scores of labels.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The model.
    pub model: Model,
    /// What stands on top.
    pub head: Head,
    /// The parameters of both.
    pub params: Params,
}

impl Tuned {
    /// The body is what was pre-trained; the head knows nothing yet.
    pub fn new(from: &Pretrained, kind: Kind, labels: usize, reading: Reading, recipe: &Recipe) -> Self {
        let config = from.model.config().with_dropout(recipe.dropout);
        let config = if reading == Reading::Mean { head::deeper(&config) } else { config };
        let ((model, head), mut params) = Params::build(recipe.seed, |at| build(&config, kind, labels, at));
        params.adopt(&from.params);
        if reading == Reading::Mean {
            head::begin_with_mean(&model, &mut params);
        }
        head.begin_plain(&mut params);
        Self { model, head, params }
    }

    /// Opens what [`Self::save`] wrote, or a checkpoint of the same kind that others did: the model, its tokenizer and the
    /// names of its labels.
    ///
    /// Errors: a file that is missing or damaged; a model that was fine-tuned for something else, or not at all.
    pub fn open(directory: &Path, wanted: Kind) -> Result<(Self, Tokenizer, Vec<String>)> {
        let (tuned, labels) = Self::of(directory, &Checkpoint::open(directory)?, wanted)?;
        let tokenizer = as_told(Tokenizer::open(directory)?);
        pretrained::check_tokenizer(directory, &tuned.model, &tokenizer)?;
        Ok((tuned, tokenizer, labels))
    }

    /// The same of a checkpoint that was opened, without its tokenizer.
    pub(crate) fn of(directory: &Path, checkpoint: &Checkpoint, wanted: Kind) -> Result<(Self, Vec<String>)> {
        let labels = labels(directory, checkpoint, wanted)?;
        let ((model, head), params) = checkpoint.fill(|config, at| build(config, wanted, labels.len(), at))?;
        Ok((Self { model, head, params }, labels))
    }

    /// The model of a checkpoint that was opened, if it is one for a task; its numbers are left alone.
    pub(crate) fn checked(directory: &Path, checkpoint: &Checkpoint, wanted: Kind) -> Result<Model> {
        let labels = labels(directory, checkpoint, wanted)?;
        Ok(checkpoint.checked(|config, at| build(config, wanted, labels.len(), at))?.0)
    }

    /// Writes it with these weights into a directory, in the place of one of the same task and sizes that is there: see
    /// [`Place`].
    pub fn save(
        &self,
        params: &Params,
        directory: &Path,
        kind: Kind,
        tokenizer: &Tokenizer,
        labels: &[String],
    ) -> Result<()> {
        let by_id: Map<_, _> = labels.iter().enumerate().map(|(i, label)| (i.to_string(), json!(label))).collect();
        let by_label: Map<_, _> = labels.iter().enumerate().map(|(i, label)| (label.clone(), json!(i))).collect();
        let more = json!({ "id2label": by_id, "label2id": by_label });
        hub::save_for(directory, (&self.model, Some(kind)), params, &as_read(tokenizer), more)
    }
}

/// What has learned a task.
pub trait Learned: Send + Sync {
    /// The model and the layers on top.
    fn tuned(&self) -> &Tuned;
}

fn build(config: &Config, kind: Kind, labels: usize, mut at: Scope) -> (Model, Head) {
    let model = config.build_body(at.here());
    let head = Head::new(config, model.width(), kind, labels, at);
    (model, head)
}

/// An error if a directory holds a model: nothing is written over.
pub fn vacant(directory: &Path) -> Result<()> {
    let model = ["config.json", "model.safetensors", "model.safetensors.index.json"];
    let files = [&model[..], &["tokenizer.json", "tokenizer_config.json", "results.json", OPTIONS, BEGINNING]].concat();
    match files.iter().find(|file| directory.join(file).exists()) {
        Some(file) => Err(Error::file(directory, format!("already holds a model ({file}): give another --out"))),
        None => Ok(()),
    }
}

/// Where a fine-tuned model goes: a directory in which nobody else trains meanwhile. It is taken before the training, so that
/// nothing is lost for want of a place.
pub struct Place {
    /// The directory.
    pub directory: PathBuf,
    /// Whether it was not there before.
    made: bool,
    /// Keeps others out of it.
    _held: Option<File>,
}

impl Place {
    /// The directory that is named, or a new one under `runs` that is called after the task.
    ///
    /// Errors: it holds a model already, or somebody trains in it; it cannot be made or written into.
    pub fn take(named: Option<&Path>, kind: Kind) -> Result<Self> {
        let made = named.is_none_or(|directory| !directory.exists());
        let directory = named.map_or_else(|| new_directory(kind.command()), |named| Ok(named.to_owned()))?;
        prepare(&directory)?;
        let held = files::hold(&directory)?;
        vacant(&directory)?; // who held it may have put a model there
        Ok(Self { directory, made, _held: held })
    }

    /// Nothing came of it: the directory goes, if it is of now and nothing was put into it.
    pub fn leave(&self) {
        if self.made {
            let _ = std::fs::remove_dir(&self.directory);
        }
    }
}

/// Makes a directory for a model if it is not there. Before the training, so that nothing is lost for want of a place.
///
/// Errors: it holds a model already, or cannot be made or written into.
fn prepare(directory: &Path) -> Result<()> {
    vacant(directory)?;
    std::fs::create_dir_all(directory).map_err(|error| Error::io(directory, "create", &error))?;
    files::try_at(&directory.join("config.json")).map_err(|error| Error::io(directory, "write into", &error))
}

/// The labels of a checkpoint for a task, in order.
///
/// Errors: a model that was not fine-tuned, or for another task than `wanted`.
fn labels(directory: &Path, checkpoint: &Checkpoint, wanted: Kind) -> Result<Vec<String>> {
    if checkpoint.json["model_type"] == "clip" {
        return Err(pretrained::of_pictures(directory));
    }
    let config = directory.join("config.json");
    match checkpoint.task() {
        Some(task) if task == wanted => {}
        Some(task) => {
            let (is, other) = (task.command(), wanted.command());
            let what = format!("is fine-tuned for `{is}`, not for `{other}`: use `pretext {is}`");
            return Err(Error::file(directory, what));
        }
        None => return Err(Error::file(directory, "is not fine-tuned: do it with `pretext finetune`")),
    }
    if let Some(kind) = checkpoint.json["problem_type"].as_str().filter(|kind| *kind != "single_label_classification") {
        let what =
            format!("problem_type is {kind}; one label for each text (single_label_classification) is supported");
        return Err(Error::file(config, what));
    }
    let labels = checkpoint.json.get("id2label").and_then(Value::as_object);
    let labels: Option<Vec<String>> = labels.and_then(|labels| {
        (0..labels.len()).map(|i| labels.get(&i.to_string())?.as_str().map(str::to_owned)).collect()
    });
    let labels = match labels {
        // As `transformers` calls them then.
        None if checkpoint.json.get("id2label").is_none() => {
            let count = checkpoint.json["num_labels"].as_u64().unwrap_or(2).min(1 << 20);
            Some((0..count).map(|i| format!("LABEL_{i}")).collect())
        }
        labels => labels,
    };
    match labels {
        Some(labels) if labels.len() == 1 && wanted == Kind::Classify => {
            let what = "has one label, which makes it a score of texts and not a choice: that is not computed here";
            Err(Error::file(config, what))
        }
        Some(labels) if !labels.is_empty() => Ok(labels),
        _ => Err(Error::file(config, "id2label does not name each label by its number, from 0 on")),
    }
}

/// The file that says how a model was fine-tuned.
pub const OPTIONS: &str = "finetune.toml";

/// Puts the options of a fine-tuning beside its model, as finetune.toml: `from`, `task`, and the command's flags by their
/// names.
pub fn save_options(directory: &Path, options: &impl Serialize) -> Result<()> {
    let path = directory.join(OPTIONS);
    let text = toml::to_string(options).map_err(|error| Error::file(&path, error))?;
    files::write(&path, text.as_bytes()).map_err(|error| Error::io(&path, "write", &error))
}

/// Puts the results of a fine-tuning, an object with its `trials`, beside its model, as results.json.
pub fn save_results(directory: &Path, results: &impl Serialize) -> Result<()> {
    let path = directory.join("results.json");
    let json = serde_json::to_string_pretty(results).expect("numbers become JSON");
    files::write(&path, format!("{json}\n").as_bytes()).map_err(|error| Error::io(&path, "write", &error))
}
