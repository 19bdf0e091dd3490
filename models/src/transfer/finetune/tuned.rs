//! What all tasks share: a model with one layer on top, and its directory, a checkpoint whose config.json also says what
//! the layer is for.

use std::path::Path;

use autograd::{Params, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokenizer::Tokenizer;

use super::super::pretrained::{self, Pooling, Pretrained, TASK};
use super::Recipe;
use crate::error::{Error, Result};
use crate::hub::{self, Checkpoint};
use crate::nn::{INITIAL_DEVIATION, Linear};
use crate::{Config, Model, files};

/// What a fine-tuned model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A label for a text.
    Classify,
    /// A label for each word.
    Tag,
    /// A passage of a text that answers a question.
    Answer,
}

impl Kind {
    /// The command that uses it.
    pub fn command(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Tag => "tag",
            Self::Answer => "answer",
        }
    }

    /// The scope of the last layer, as checkpoints name it.
    fn head(self) -> &'static str {
        match self {
            Self::Classify | Self::Tag => "classifier",
            Self::Answer => "qa_outputs",
        }
    }
}

/// What config.json says of the task, in its field `pretext`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What it is for.
    pub task: Kind,
    /// How a text's hidden states become one vector, where they do.
    pub pooling: Pooling,
}

/// A model with a layer on top that gives scores of labels.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The model, without the head that pre-training needed.
    pub model: Model,
    /// C → labels
    pub head: Linear,
    /// The parameters of both.
    pub params: Params,
}

impl Tuned {
    /// The body is what was pre-trained; the head knows nothing yet.
    pub fn new(from: &Pretrained, kind: Kind, labels: usize, recipe: &Recipe) -> Self {
        let config = from.model.config().with_dropout(recipe.dropout);
        let ((model, head), mut params) = Params::build(recipe.seed, |at| build(&config, kind, labels, at));
        params.adopt(&from.params);
        Self { model, head, params }
    }

    /// Opens what [`Self::save`] wrote: the model, its tokenizer, the names of its labels, and what else is said of it.
    ///
    /// Errors: a file that is missing or damaged; a model that was fine-tuned for something else, or not at all.
    pub fn open(directory: &Path, wanted: Kind) -> Result<(Self, Tokenizer, Vec<String>, About)> {
        let checkpoint = Checkpoint::open(directory)?;
        let (about, labels) = about(directory, &checkpoint, wanted)?;
        let ((model, head), params) = checkpoint.fill(|config, at| build(config, wanted, labels.len(), at))?;
        let tokenizer = Tokenizer::open(directory)?;
        pretrained::check_tokenizer(directory, &model, &tokenizer)?;
        Ok((Self { model, head, params }, tokenizer, labels, about))
    }

    /// Writes it into a directory that does not hold a model yet.
    pub fn save(&self, directory: &Path, tokenizer: &Tokenizer, labels: &[String], about: &About) -> Result<()> {
        vacant(directory)?;
        std::fs::create_dir_all(directory).map_err(|error| Error::io(directory, "create", &error))?;
        let by_id: Map<_, _> = labels.iter().enumerate().map(|(i, label)| (i.to_string(), json!(label))).collect();
        let by_label: Map<_, _> = labels.iter().enumerate().map(|(i, label)| (label.clone(), json!(i))).collect();
        let more = json!({ TASK: about, "id2label": by_id, "label2id": by_label, "architectures": [] });
        let path = directory.join("tokenizer.json");
        tokenizer.save(&path).map_err(|error| Error::file(&path, error))?;
        hub::save_with(directory, &self.model, &self.params, tokenizer, more)
    }
}

fn build(config: &Config, kind: Kind, labels: usize, mut at: Scope) -> (Model, Linear) {
    let model = config.build_body(at.here());
    let width = model.width();
    (model, Linear::by_output(width, labels, INITIAL_DEVIATION, at.enter(kind.head())))
}

/// An error if a directory holds a model: nothing is written over.
pub fn vacant(directory: &Path) -> Result<()> {
    let files = ["config.json", "model.safetensors", "tokenizer.json", "results.json"];
    match files.iter().find(|file| directory.join(file).exists()) {
        Some(file) => Err(Error::file(directory, format!("already holds a model ({file}): give another --out"))),
        None => Ok(()),
    }
}

/// What a directory's config.json says of its task, and the labels in order.
///
/// Errors: a model that was not fine-tuned, or for another task than `wanted`.
fn about(directory: &Path, checkpoint: &Checkpoint, wanted: Kind) -> Result<(About, Vec<String>)> {
    let config = directory.join("config.json");
    if checkpoint.json["model_type"] == "clip" {
        return Err(pretrained::of_pictures(directory));
    }
    let Some(about) = checkpoint.json.get(TASK) else {
        let what = "is not fine-tuned: do it with `pretext finetune`";
        return Err(Error::file(directory, what));
    };
    let about: About = serde_json::from_value(about.clone())
        .map_err(|error| Error::file(&config, format!("does not say what the model is for ({error})")))?;
    if about.task != wanted {
        let (is, other) = (about.task.command(), wanted.command());
        return Err(Error::file(directory, format!("is fine-tuned for `{is}`, not for `{other}`: use `pretext {is}`")));
    }
    let labels = checkpoint.json.get("id2label").and_then(Value::as_object);
    let labels: Option<Vec<String>> = labels.and_then(|labels| {
        (0..labels.len()).map(|i| labels.get(&i.to_string())?.as_str().map(str::to_owned)).collect()
    });
    let labels = labels.filter(|labels| !labels.is_empty());
    labels.map(|labels| (about, labels)).ok_or_else(|| Error::file(&config, "has no id2label: it was cut off"))
}

/// Puts the results of a fine-tuning beside its model, as results.json.
pub fn save_results(directory: &Path, results: &impl Serialize) -> Result<()> {
    let path = directory.join("results.json");
    let json = serde_json::to_string_pretty(results).expect("numbers become JSON");
    files::write(&path, format!("{json}\n").as_bytes()).map_err(|error| Error::io(&path, "write", &error))
}
