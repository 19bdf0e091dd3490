//! Hugging Face's files, in and out: config.json, model.safetensors, tokenizer.json.
//!
//! A run directory is such a checkpoint, and such a checkpoint can be opened here. [`weights`] reads and writes
//! safetensors; [`gpt2`], [`bert`] and [`clip`] know the config of their models and the names of their parameters; [`task`]
//! knows what a fine-tuned one is for; [`beside`] writes the smaller files that other programs look for. [`pretrained`] is a
//! model together with its tokenizer; [`verify`] holds our numbers against recorded ones, and [`record`] records
//! them. [`export`] writes a checkpoint anew, with narrower numbers and a model card, or as a GGUF file.
//! With the feature `hub`, `import` fetches a model by its name.

use std::path::Path;

use autograd::{Params, Scope};
use serde_json::Value;
use tokenizer::Tokenizer;

pub mod bert;
pub mod beside;
pub mod clip;
pub mod export;
pub mod gpt2;
#[cfg(feature = "hub")]
pub mod import;
pub mod pretrained;
pub mod record;
pub mod task;
pub mod verify;
pub mod weights;

use task::Kind;
use weights::Weights;

use crate::bert::model::HEADS;
use crate::error::{Error, Result};
use crate::{Config, Model, files};

/// Opens the checkpoint in a directory, of any model that is known here.
pub fn open(directory: &Path) -> Result<(Model, Params)> {
    let checkpoint = Checkpoint::open(directory)?;
    checkpoint.fill(Config::build)
}

/// The same of a model whose head may have been left out.
fn open_body(directory: &Path) -> Result<(Model, Params)> {
    let checkpoint = Checkpoint::open(directory)?;
    checkpoint.fill(if checkpoint.has_head() { Config::build } else { Config::build_body })
}

/// The sizes of the model in a directory, whose weights are left alone.
pub fn config(directory: &Path) -> Result<Config> {
    Ok(Checkpoint::open(directory)?.config)
}

/// A checkpoint whose config.json was read and whose weights are mapped.
pub struct Checkpoint {
    config: Config,
    /// What else stands in config.json.
    pub json: Value,
    weights: Weights,
    names: Vec<String>,
}

impl Checkpoint {
    /// Opens the checkpoint in a directory and compares its sizes, before memory is taken for what config.json says.
    pub fn open(directory: &Path) -> Result<Self> {
        if !directory.is_dir() {
            let what = "no such directory: give the directory of a run or of a Hugging Face checkpoint";
            return Err(Error::file(directory, what));
        }
        let (config, json) = read_config(&directory.join("config.json"))?;
        let weights = Weights::open(&directory.join("model.safetensors"))?;
        let names = weights.names();
        check_sizes(&config, &weights, &names)?;
        Ok(Self { config, json, weights, names })
    }

    /// Whether it has the head that pre-training needed. Of a BERT that others published it may have been left out.
    pub fn has_head(&self) -> bool {
        let of_head = |name: &String| HEADS.iter().any(|head| name.starts_with(head));
        !matches!(self.config, Config::Bert(_)) || self.names.iter().any(of_head)
    }

    /// What it was fine-tuned for, if it was.
    pub fn task(&self) -> Option<Kind> {
        Kind::of(&self.json)
    }

    /// The parameters of what `build` makes of the config: exactly those that the file holds, but for what checkpoints carry
    /// along.
    pub fn fill<M>(&self, build: impl FnOnce(&Config, Scope) -> M) -> Result<(M, Params)> {
        let (config, names) = (&self.config, &self.names);
        let (model, mut params) = Params::build_zeroed(|at| build(config, at));
        self.weights.fill(&mut params, |name| {
            stored_name(config, names, name).ok_or_else(|| missing(&self.weights, name)).map(str::to_owned)
        })?;
        let superfluous = |name: &&String| {
            let bare = bare_name(config, name);
            !extra(config, bare) && params.pieces().all(|piece| bare_name(config, piece.name) != bare)
        };
        if let Some(name) = names.iter().find(superfluous) {
            let what = format!("{name} is no parameter of the model that config.json describes");
            return Err(Error::file(self.weights.path(), what));
        }
        Ok((model, params))
    }
}

/// Reads a config.json, and refuses what would silently compute something else.
fn read_config(path: &Path) -> Result<(Config, Value)> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|error| Error::file(path, format!("not JSON ({error}): expected the config.json of a checkpoint")))?;
    let kind = json.get("model_type").and_then(Value::as_str).unwrap_or("none").to_owned();
    let config = match kind.as_str() {
        "gpt2" => gpt2::config(json.clone()).map(Config::Gpt),
        "bert" | "roberta" | "roberta-prelayernorm" => bert::config(json.clone()).map(Config::Bert),
        "clip" => clip::config(json.clone()).map(Config::Clip),
        _ => Err(format!(
            "model_type is {kind}; gpt2, bert, roberta, roberta-prelayernorm and clip checkpoints can be opened"
        )),
    };
    let config = config.map_err(|what| Error::file(path, what))?;
    config.check().map_err(|what| Error::file(path, what))?;
    Ok((config, json))
}

/// An error if a field of a config.json has a value other than those given, the first of which is the common one.
fn accept(json: &Value, accepted: &[(&str, Vec<Value>)]) -> std::result::Result<(), String> {
    for (field, accepted) in accepted {
        if let Some(value) = json.get(field).filter(|value| !accepted.contains(value)) {
            return Err(format!("{field} is {value}; only {} is supported", accepted[0]));
        }
    }
    Ok(())
}

/// Whether the tables and the number of blocks in the file are those of config.json.
fn check_sizes(config: &Config, weights: &Weights, names: &[String]) -> Result<()> {
    let stored = |name: &str| stored_name(config, names, name).ok_or_else(|| missing(weights, name));
    let (tables, last) = match config {
        Config::Gpt(config) => gpt2::sizes(config),
        Config::Bert(config) => bert::sizes(config),
        Config::Clip(config) => clip::sizes(config),
    };
    for (name, want) in &tables {
        let shape = weights.shape(stored(name)?)?;
        if shape != want[..] {
            let what = format!("{name} has shape {shape:?}, but config.json asks for {want:?}: they are of two models");
            return Err(Error::file(weights.path(), what));
        }
    }
    last.iter().try_for_each(|last| stored(last).map(drop))
}

fn missing(weights: &Weights, name: &str) -> Error {
    let what = format!("has no parameter {name}: it is not the checkpoint that config.json describes");
    Error::file(weights.path(), what)
}

/// The name under which a checkpoint holds a parameter: a prefix more or less, as the model was saved with or without its
/// head.
fn stored_name<'a>(config: &Config, names: &'a [String], name: &str) -> Option<&'a str> {
    let bare = bare_name(config, name);
    names.iter().find(|stored| bare_name(config, stored) == bare).map(String::as_str)
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
pub fn save(directory: &Path, model: &Model, params: &Params, tokenizer: &Tokenizer) -> Result<()> {
    save_for(directory, (model, None), params, tokenizer, Value::Null)
}

/// The same of a model with layers on top for a task, and with more fields in config.json.
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
        clip::write_preprocessor(directory, &model.config)?;
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
    files::write(&path, format!("{json:#}\n").as_bytes()).map_err(|error| Error::io(&path, "write", &error))?;
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
