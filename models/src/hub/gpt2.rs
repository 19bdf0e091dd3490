//! A GPT-2 checkpoint: config.json beside model.safetensors, as `transformers` writes and reads them.

use std::path::Path;

use autograd::Params;
use serde_json::{Value, json};

use super::weights::{self, Weights};
use crate::error::{Error, Result};
use crate::files;
use crate::gpt::{Gpt, GptConfig};

/// What checkpoints of the model with its output layer put before each name; the bare model's leave it out.
const PREFIX: &str = "transformer.";

/// config.json of a model, with everything that `transformers` wants to know.
pub fn config_json(config: &GptConfig, end_of_text: Option<u32>) -> String {
    let mut json = serde_json::to_value(config).expect("numbers become JSON");
    let more = json!({
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        "tie_word_embeddings": true,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "dtype": "float32",
    });
    if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
        json.extend(more);
    }
    format!("{json:#}\n")
}

/// Reads a config.json, and refuses what would silently compute something else.
pub fn read_config(path: &Path) -> Result<GptConfig> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
    let json: Value = serde_json::from_str(&text).map_err(|error| {
        Error::file(path, format!("not JSON ({error}): expected the config.json of a GPT-2 checkpoint"))
    })?;
    let kind = json.get("model_type").and_then(Value::as_str).unwrap_or("none");
    if kind != "gpt2" {
        return Err(Error::file(path, format!("model_type is {kind}; only gpt2 checkpoints can be opened")));
    }
    for (field, accepted) in [
        ("activation_function", vec![json!("gelu_new"), json!("gelu_pytorch_tanh")]),
        ("scale_attn_weights", vec![json!(true)]),
        ("scale_attn_by_inverse_layer_idx", vec![json!(false)]),
        ("add_cross_attention", vec![json!(false)]),
        ("tie_word_embeddings", vec![json!(true)]),
        ("n_inner", vec![Value::Null, json!(4 * json.get("n_embd").and_then(Value::as_u64).unwrap_or(0))]),
    ] {
        if let Some(value) = json.get(field).filter(|value| !accepted.contains(value)) {
            let what = format!("{field} is {value}; only {} is supported", accepted[0]);
            return Err(Error::file(path, what));
        }
    }
    let config: GptConfig = serde_json::from_value(json)
        .map_err(|error| Error::file(path, format!("not the config.json of a GPT-2 checkpoint ({error})")))?;
    config.check().map_err(|what| Error::file(path, what))?;
    Ok(config)
}

/// Opens the checkpoint in a directory.
pub fn open(directory: &Path) -> Result<(Gpt, Params)> {
    if !directory.is_dir() {
        let what = "no such directory: give the directory of a run or of a Hugging Face checkpoint";
        return Err(Error::file(directory, what));
    }
    let config = read_config(&directory.join("config.json"))?;
    let path = directory.join("model.safetensors");
    let weights = Weights::open(&path)?;
    let names = weights.names();
    check_sizes(&config, &weights, &names)?; // before memory is taken for what config.json says
    let (model, mut params) = Params::build_zeroed(|at| Gpt::new(&config, at));
    for id in params.ids() {
        let name = params.name(id).to_owned();
        let stored = [name.clone(), format!("{PREFIX}{name}")].into_iter().find(|n| names.contains(n));
        let stored = stored.ok_or_else(|| {
            Error::file(&path, format!("has no parameter {name}: it is not the checkpoint that config.json describes"))
        })?;
        weights.fill(&stored, &mut params, id)?;
    }
    if let Some(name) = names.iter().find(|name| !known(name, &params)) {
        return Err(Error::file(&path, format!("{name} is no parameter of the model that config.json describes")));
    }
    Ok((model, params))
}

/// Whether the tables and the number of blocks in the file are those of config.json.
fn check_sizes(config: &GptConfig, weights: &Weights, names: &[String]) -> Result<()> {
    let stored = |name: &str| names.iter().find(|stored| bare_name(stored) == name);
    let missing = |name: &str| {
        let what = format!("has no parameter {name}: it is not the checkpoint that config.json describes");
        Error::file(weights.path(), what)
    };
    for (name, rows) in [("wte.weight", config.vocab_size), ("wpe.weight", config.n_positions)] {
        let shape = weights.shape(stored(name).ok_or_else(|| missing(name))?)?;
        if shape != [rows, config.n_embd] {
            let want = format!("[{rows}, {}]", config.n_embd);
            let what = format!("{name} has shape {shape:?}, but config.json asks for {want}: they are of two models");
            return Err(Error::file(weights.path(), what));
        }
    }
    let last = format!("h.{}.ln_1.weight", config.n_layer - 1);
    stored(&last).map(drop).ok_or_else(|| missing(&last))
}

/// Whether a name in a checkpoint is a parameter of ours, or one of the buffers that old checkpoints carry along
/// (causal masks) or the tied output table stored twice.
fn known(name: &str, params: &Params) -> bool {
    let bare = name.strip_prefix(PREFIX).unwrap_or(name);
    params.find(bare).is_some()
        || bare == "lm_head.weight"
        || bare.ends_with(".attn.bias")
        || bare.ends_with(".attn.masked_bias")
}

/// The name of a parameter without the prefix that some checkpoints put before it.
pub fn bare_name(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Writes config.json and model.safetensors into a directory, each complete or not at all.
pub fn save(directory: &Path, config: &GptConfig, params: &Params, end_of_text: Option<u32>) -> Result<()> {
    let path = directory.join("config.json");
    let json = config_json(config, end_of_text);
    files::write(&path, json.as_bytes()).map_err(|error| Error::io(&path, "write", &error))?;
    weights::write(&directory.join("model.safetensors"), &weights::named(params), ("format", "pt"))
}
