//! Hugging Face's files, in and out: config.json, model.safetensors, tokenizer.json.
//!
//! A run directory is such a checkpoint, and such a checkpoint can be opened here. [`weights`] reads and writes
//! safetensors; [`gpt2`], [`bert`] and [`clip`] know the config of their models and the names of their parameters; [`task`]
//! knows what a fine-tuned one is for; [`beside`] writes the smaller files that other programs look for. [`pretrained`] is a
//! model together with its tokenizer. With the feature `hub`, `import` fetches a model by its name.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use autograd::{Params, Scope};
use serde_json::Value;
use tokenizer::Tokenizer;

pub mod bert;
pub mod beside;
pub mod clip;
pub mod gpt2;
mod header;
#[cfg(feature = "hub")]
pub mod import;
pub mod pretrained;
pub mod task;
pub mod weights;

use task::Kind;
use weights::{Weights, shortened};

use crate::bert::model::HEADS;
use crate::error::{Error, Result};
use crate::{Config, Model};

/// The shapes of a model's tables, and of its towers of blocks the scope, the number, and a parameter that each block has.
type Sizes = (Vec<(&'static str, [usize; 2])>, Vec<(&'static str, usize, &'static str)>);

/// Opens the checkpoint in a directory, of any model that is known here.
///
/// Errors: those of [`Checkpoint::open`] and [`Checkpoint::fill`].
pub fn open(directory: &Path) -> Result<(Model, Params)> {
    Checkpoint::open(directory)?.model()
}

/// The sizes of the model in a directory, whose weights are left alone.
///
/// Errors: those of [`Checkpoint::open`].
pub fn config(directory: &Path) -> Result<Config> {
    Ok(Checkpoint::open(directory)?.config)
}

/// A checkpoint whose config.json was read and whose weights are mapped.
pub struct Checkpoint {
    pub(crate) config: Config,
    /// What else stands in config.json.
    pub json: Value,
    pub(crate) weights: Weights,
    /// The tensors' names, by what they are without a prefix.
    names: HashMap<String, String>,
}

impl Checkpoint {
    /// Opens the checkpoint in a directory and compares its sizes, before memory is taken for what config.json says.
    ///
    /// Errors: no directory; a config.json that is not there, damaged, or of a model that would be computed otherwise here;
    /// weights that are damaged or of other sizes.
    pub fn open(directory: &Path) -> Result<Self> {
        if !directory.is_dir() {
            let is = if directory.exists() { "is no directory" } else { "no such directory" };
            let what = format!("{is}: give the directory of a run or of a Hugging Face checkpoint");
            return Err(Error::file(directory, what));
        }
        let config = read_config(&directory.join("config.json"))?;
        Self::new(config, Weights::open(&directory.join("model.safetensors"))?)
    }

    /// Compares a config.json that was read with the weights.
    ///
    /// Errors: they are of different sizes; the weights hold a parameter twice, and not twice the same.
    pub fn new((config, json): (Config, Value), weights: Weights) -> Result<Self> {
        let mut names = HashMap::new();
        for name in weights.names() {
            if let Some(other) = names.insert(bare_name(&config, &name).to_owned(), name.clone()) {
                let what = format!("holds {} and {}, which are one parameter", shortened(&other), shortened(&name));
                return Err(Error::file(weights.path(), what));
            }
        }
        let checkpoint = Self { config, json, weights, names };
        checkpoint.check_sizes()?;
        checkpoint.check_copies()?;
        Ok(checkpoint)
    }

    /// Whether it has the head that pre-training needed. Of a BERT that others published it may have been left out.
    pub fn has_head(&self) -> bool {
        let of_head = |name: &String| HEADS.iter().any(|head| name.starts_with(head));
        !matches!(self.config, Config::Bert(_)) || self.names.values().any(of_head)
    }

    /// The model and its parameters.
    ///
    /// Errors: those of [`Checkpoint::fill`].
    pub fn model(&self) -> Result<(Model, Params)> {
        self.fill(Config::build)
    }

    /// The same without the head that pre-training needed, if it was left out.
    ///
    /// Errors: those of [`Checkpoint::fill`].
    pub fn as_saved(&self) -> Result<(Model, Params)> {
        self.fill(if self.has_head() { Config::build } else { Config::build_body })
    }

    /// What it was fine-tuned for, if it was.
    pub fn task(&self) -> Option<Kind> {
        Kind::of(&self.json)
    }

    /// The model, if the file holds exactly its parameters; their numbers are left alone.
    pub(crate) fn checked<M>(&self, build: impl FnOnce(&Config, Scope) -> M) -> Result<M> {
        let stored = |name: &str| self.stored(name).map(str::to_owned);
        Ok(Params::build_checked(|at| build(&self.config, at), |params| self.check(params, stored))?.0)
    }

    /// The parameters of what `build` makes of the config: exactly those that the file holds, but for what checkpoints carry
    /// along.
    ///
    /// Errors: the file lacks one, has one more, or has one of another shape or of a type that is not read.
    pub fn fill<M>(&self, build: impl FnOnce(&Config, Scope) -> M) -> Result<(M, Params)> {
        let stored = |name: &str| self.stored(name).map(str::to_owned);
        let (model, mut params) =
            Params::build_checked(|at| build(&self.config, at), |params| self.check(params, stored))?;
        self.weights.fill(&mut params, stored)?;
        Ok((model, params))
    }

    /// Whether the file holds exactly the parameters of a store, in their shapes.
    fn check(&self, params: &Params, stored: impl Fn(&str) -> Result<String>) -> Result<()> {
        self.weights.check(params, stored)?;
        let wanted: HashSet<&str> = params.pieces().map(|piece| bare_name(&self.config, piece.name)).collect();
        let superfluous = |bare: &&String| !wanted.contains(bare.as_str()) && !extra(&self.config, bare);
        if let Some(bare) = self.names.keys().filter(superfluous).min() {
            let what = "is no parameter of the model that config.json describes";
            return Err(Error::file(self.weights.path(), format!("{} {what}", shortened(&self.names[bare]))));
        }
        Ok(())
    }

    /// The name under which the file holds a parameter: a prefix more or less, as the model was saved with or without its
    /// head.
    pub(crate) fn stored(&self, name: &str) -> Result<&str> {
        self.names.get(bare_name(&self.config, name)).map(String::as_str).ok_or_else(|| {
            let what = format!("has no parameter {name}: it is not the checkpoint that config.json describes");
            Error::file(self.weights.path(), what)
        })
    }

    /// Whether what is stored twice is twice the same: an output table of its own would give other scores.
    fn check_copies(&self) -> Result<()> {
        let copies = match &self.config {
            Config::Gpt(_) => gpt2::COPIES,
            Config::Bert(_) => bert::COPIES,
            Config::Clip(_) => &[],
        };
        for [copy, of] in copies {
            if let (Some(copy), Some(of)) = (self.names.get(*copy), self.names.get(*of))
                && !self.weights.same(copy, of)?
            {
                let what = format!("holds {copy} and {of}, which differ, but config.json says that they are one");
                return Err(Error::file(self.weights.path(), what + " (tie_word_embeddings)"));
            }
        }
        Ok(())
    }

    /// Whether the tables in the file are those of config.json, and all of its blocks are there.
    fn check_sizes(&self) -> Result<()> {
        let (tables, blocks) = match &self.config {
            Config::Gpt(config) => gpt2::sizes(config),
            Config::Bert(config) => bert::sizes(config),
            Config::Clip(config) => clip::sizes(config),
        };
        for (name, want) in &tables {
            let shape = self.weights.shape(self.stored(name)?)?;
            if shape != want[..] {
                let shape = shortened(&format!("{shape:?}"));
                let what =
                    format!("{name} has shape {shape}, but config.json asks for {want:?}: they are of two models");
                return Err(Error::file(self.weights.path(), what));
            }
        }
        let all = |(scope, layers, name): &(&str, usize, &str)| {
            (0..*layers).try_for_each(|i| self.stored(&format!("{scope}.{i}.{name}")).map(drop))
        };
        blocks.iter().try_for_each(all)
    }
}

/// Reads a config.json.
pub(crate) fn read_config(path: &Path) -> Result<(Config, Value)> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
    parse_config(&text).map_err(|what| Error::file(path, what))
}

/// The sizes in the text of a config.json, and all that it says. What would silently compute something else is refused.
pub fn parse_config(text: &str) -> std::result::Result<(Config, Value), String> {
    let mut json = tokenizer::json::parse(text)
        .map_err(|error| format!("not JSON ({error}): expected the config.json of a checkpoint"))?;
    // What is null was not said; old files of CLIP say all that they could have said.
    for part in ["", "/text_config", "/vision_config"] {
        json.pointer_mut(part).into_iter().for_each(forget_null);
    }
    let kind = json.get("model_type").and_then(Value::as_str).unwrap_or("none").to_owned();
    let config = match kind.as_str() {
        "gpt2" => gpt2::config(json.clone()).map(Config::Gpt),
        "bert" | "roberta" | "roberta-prelayernorm" => bert::config(json.clone()).map(Config::Bert),
        "clip" => clip::config(json.clone()).map(Config::Clip),
        _ => Err(format!(
            "model_type is {kind}; gpt2, bert, roberta, roberta-prelayernorm and clip checkpoints can be opened"
        )),
    };
    let config = config.map_err(|what| shortened(&what))?;
    config.check()?;
    Ok((config, json))
}

/// The sizes of a model of a kind, from its config.json; what is no size is called by its name.
fn typed<C: serde::de::DeserializeOwned>(json: Value, kind: &str) -> std::result::Result<C, String> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let field = Some(error.path().to_string()).filter(|path| path != ".");
        let field = field.map_or(String::new(), |field| field + ": ");
        format!("not the config.json of a {kind} checkpoint ({field}{})", error.inner())
    })
}

/// Leaves out the fields that are null.
fn forget_null(json: &mut Value) {
    if let Value::Object(fields) = json {
        fields.retain(|_, value| !value.is_null());
    }
}

/// The gates that can be computed.
fn gates() -> Vec<Value> {
    let all = ["gelu", "gelu_new", "quick_gelu", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", "gelu_python"];
    all.into_iter().map(Value::from).collect()
}

/// An error if a field of a config.json has a value other than those given.
fn accept(json: &Value, accepted: &[(&str, Vec<Value>)]) -> std::result::Result<(), String> {
    for (field, accepted) in accepted {
        if let Some(value) = json.get(field).filter(|value| !accepted.contains(value)) {
            let accepted: Vec<String> = accepted.iter().map(Value::to_string).collect();
            let value = shortened(&value.to_string());
            return Err(format!("{field} is {value}; only {} is supported", accepted.join(" or ")));
        }
    }
    Ok(())
}

/// The name of a parameter without the prefix that some checkpoints put before it.
pub fn bare_name<'a>(config: &Config, name: &'a str) -> &'a str {
    let prefix = match config {
        Config::Gpt(_) => gpt2::PREFIX,
        Config::Bert(config) => bert::prefix(config),
        Config::Clip(_) => "",
    };
    name.strip_prefix(prefix).unwrap_or(name)
}

/// Whether a tensor may stand in a checkpoint beside the parameters.
fn extra(config: &Config, bare: &str) -> bool {
    match config {
        Config::Gpt(_) => gpt2::extra(bare),
        Config::Bert(_) => bert::extra(bare),
        Config::Clip(_) => clip::extra(bare),
    }
}

/// Writes config.json and model.safetensors into a directory, each complete or not at all, and what other programs need
/// beside them, the tokenizer's files as well.
///
/// Errors: a file cannot be written.
pub fn save(directory: &Path, model: &Model, params: &Params, tokenizer: &Tokenizer) -> Result<()> {
    save_for(directory, (model, None), params, tokenizer, Value::Null)
}

/// The same of a model with layers on top for a task, and with more fields in config.json.
///
/// Errors: a file cannot be written.
pub fn save_for(
    directory: &Path,
    (model, task): (&Model, Option<Kind>),
    params: &Params,
    tokenizer: &Tokenizer,
    more: Value,
) -> Result<()> {
    let path = directory.join("config.json");
    let mut json = match model {
        Model::Gpt(model) => gpt2::config_json(&model.config, tokenizer.end_of_text()),
        Model::Bert(model) => bert::config_json(&model.config, tokenizer.frame()),
        Model::Clip(model) => clip::config_json(&model.config),
    };
    if let Model::Clip(model) = model {
        clip::write_usual_preprocessor(directory, &model.config)?;
    }
    let mut tensors = weights::named(params);
    if let Some(task) = task {
        json["architectures"] = Value::from([task.architecture(&model.config())]);
        if let Model::Gpt(_) = model {
            json["pad_token_id"] = tokenizer.end_of_text().into(); // by which it finds a text's last token
            tensors.iter_mut().for_each(|tensor| tensor.name = gpt2::name_beside_a_head(&tensor.name));
        }
    }
    let json = extended(&json, more);
    beside::write(directory, tokenizer, model)?;
    if matches!((model, task), (Model::Gpt(_), None)) {
        beside::write_generation(directory, model, tokenizer)?;
    }
    beside::write_json(&path, &json)?;
    weights::write(&directory.join("model.safetensors"), &tensors, ("format", "pt"))
}

/// `json` with the fields of `more`.
fn extended(config: &impl serde::Serialize, more: Value) -> Value {
    let mut json = serde_json::to_value(config).expect("numbers become JSON");
    if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
        json.extend(more);
    }
    json
}
