//! The small files beside a checkpoint that tell other programs how its texts become ids and vectors, and where those that it
//! makes end: tokenizer.json for `tokenizers`, tokenizer_config.json and generation_config.json for `transformers`, and for
//! `sentence-transformers` which vector is a text's.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokenizer::{END_OF_TEXT, START_OF_TEXT, Tokenizer};

use super::weights::shortened;
use crate::error::{Error, Result};
use crate::model::texts::Pooling;
use crate::pretext::texts::line_end;
use crate::{Model, files};

/// The file that says which tokens play which part.
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Writes the tokenizer's two files; where a run has its tokenizer.json already, that stays.
pub(crate) fn write(directory: &Path, tokenizer: &Tokenizer, model: &Model) -> Result<()> {
    if !directory.join("tokenizer.json").exists() {
        write_tokenizer(directory, tokenizer)?;
    }
    write_json(&directory.join(TOKENIZER_CONFIG), &tokenizer_config(tokenizer, model))
}

/// Writes tokenizer.json alone.
pub(crate) fn write_tokenizer(directory: &Path, tokenizer: &Tokenizer) -> Result<()> {
    let path = directory.join("tokenizer.json");
    files::write(&path, tokenizer.to_json().as_bytes()).map_err(|error| Error::io(&path, "write", &error))
}

/// How `transformers` gets its tokenizer: from tokenizer.json as it stands, and which tokens play which part.
fn tokenizer_config(tokenizer: &Tokenizer, model: &Model) -> Value {
    let segments = matches!(model, Model::Bert(_)).then_some("token_type_ids");
    let inputs: Vec<&str> = ["input_ids"].into_iter().chain(segments).chain(["attention_mask"]).collect();
    let mut json = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.block_size(),
        "model_input_names": inputs,
        "clean_up_tokenization_spaces": false,
    });
    let added = tokenizer.added();
    let name = |id: u32| added.iter().find(|added| added.id == id).map(|added| added.name.clone());
    let mut part = |part: &str, name: Option<String>| {
        if let Some(name) = name {
            json[part] = name.into();
        }
    };
    if let Some(frame) = tokenizer.frame() {
        let parts =
            [("pad_token", frame.pad), ("cls_token", frame.cls), ("sep_token", frame.sep), ("mask_token", frame.mask)];
        parts.into_iter().for_each(|(which, id)| part(which, name(id)));
        let unknown = ["[UNK]", "<unk>"].into_iter().find(|unknown| tokenizer.special(unknown).is_some());
        part("unk_token", unknown.map(str::to_owned));
    } else {
        let has = |name: &str| tokenizer.special(name).map(|_| name.to_owned());
        part("bos_token", has(START_OF_TEXT).or(has(END_OF_TEXT)));
        part("eos_token", has(END_OF_TEXT));
        part("pad_token", has(END_OF_TEXT));
    }
    json
}

/// The file that says where texts that a model makes begin and end.
const GENERATION_CONFIG: &str = "generation_config.json";

/// Writes for a GPT where texts begin and end, and that one is no longer than the model sees: there is nothing beyond.
pub(super) fn write_generation(directory: &Path, model: &Model, tokenizer: &Tokenizer) -> Result<()> {
    let end = tokenizer.end_of_text();
    let json = json!({
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "do_sample": true,
        "max_length": model.block_size(),
    });
    write_json(&directory.join(GENERATION_CONFIG), &json)
}

/// Where texts that a model makes begin and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// What stands before the first token.
    pub start: u32,
    /// The tokens that end a text, if there are any.
    pub ends: Vec<u32>,
}

impl Ends {
    /// What a directory says: in generation_config.json, or else in config.json, or else by the name of a token.
    ///
    /// Errors: a file that cannot be read, or says something else than ids.
    pub fn read(directory: &Path, tokenizer: &Tokenizer) -> Result<Self> {
        let [start, ends] = ["bos_token_id", "eos_token_id"].map(|field| said(directory, field));
        let (start, ends) = (start?.first().copied(), ends?);
        let end = tokenizer.end_of_text();
        let known = |id: &u32| (*id as usize) < tokenizer.vocab_size(); // defaults of a larger vocabulary may have stayed
        let start = start.filter(known).or(end).unwrap_or_else(|| line_end(tokenizer));
        Ok(Self { start, ends: if ends.is_empty() { end.into_iter().collect() } else { ends } })
    }
}

/// The ids that the first file has under a name which says it: one, or a list of them.
fn said(directory: &Path, field: &str) -> Result<Vec<u32>> {
    for name in [GENERATION_CONFIG, "config.json"] {
        let path = directory.join(name);
        let json = read_if_there(&path)?;
        let ids = match &json[field] {
            Value::Null => continue,
            Value::Array(ids) => ids.clone(),
            id => vec![id.clone()],
        };
        // A number below 0 is no token's.
        let ids = ids.iter().filter(|id| id.as_i64().is_none_or(|id| id >= 0));
        let ids = ids.map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect::<Option<_>>();
        return ids.ok_or_else(|| {
            Error::file(
                path,
                format!(
                    "{field} is {}, which is no id: write a number of the vocabulary, or leave it out",
                    shortened(&json[field].to_string())
                ),
            )
        });
    }
    Ok(Vec::new())
}

/// Writes what `sentence-transformers` wants to know of a model whose texts' vectors are the means of their states.
pub fn write_pooling(directory: &Path, model: &Model) -> Result<()> {
    let pooling = directory.join("1_Pooling");
    std::fs::create_dir_all(&pooling).map_err(|error| Error::io(&pooling, "create", &error))?;
    let module = |number: usize, path: &str, kind: &str| json!({"idx": number, "name": number.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let modules = json!([module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")]);
    write_json(&directory.join("modules.json"), &modules)?;
    let longest = json!({"max_seq_length": model.block_size(), "do_lower_case": false});
    write_json(&directory.join("sentence_bert_config.json"), &longest)?;
    let mean = json!({
        "word_embedding_dimension": model.width(),
        "pooling_mode_cls_token": false,
        "pooling_mode_mean_tokens": true,
        "pooling_mode_max_tokens": false,
    });
    write_json(&pooling.join("config.json"), &mean)
}

/// How a text becomes one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vectors {
    /// What becomes of the hidden states.
    pub pooling: Pooling,
    /// How many tokens are read at most, if they are fewer than the model sees.
    pub longest: usize,
    /// Whether the vector is brought to length 1.
    pub unit: bool,
}

impl From<Pooling> for Vectors {
    /// Of all that the model sees, as it is.
    fn from(pooling: Pooling) -> Self {
        Self { pooling, longest: usize::MAX, unit: false }
    }
}

/// How a text becomes a vector as the files of `sentence-transformers` beside a model say; without them by the mean.
///
/// Errors: a step that is not computed here, by its name.
pub fn read_vectors(directory: &Path) -> Result<Vectors> {
    let path = directory.join("modules.json");
    let mut vectors = Vectors::from(Pooling::Mean);
    if !path.exists() {
        return Ok(vectors);
    }
    let (of_texts, of_prompts) = ("sentence_bert_config.json", "config_sentence_transformers.json");
    for (name, field) in [(of_texts, "do_lower_case"), (of_prompts, "default_prompt_name")] {
        let path = directory.join(name);
        let value = &read_if_there(&path)?[field];
        if !value.is_null() && *value != Value::Bool(false) {
            return Err(Error::file(
                path,
                format!("{field} is {value}, which is not done here: set it to null if the model does without"),
            ));
        }
    }
    for (name, field) in [(of_texts, "max_seq_length"), (TOKENIZER_CONFIG, "model_max_length")] {
        if let Some(longest) = read_if_there(&directory.join(name))?[field].as_u64() {
            vectors.longest = longest as usize;
            break;
        }
    }
    let modules = read_json(&path)?;
    let modules = modules.as_array().ok_or_else(|| Error::file(&path, "is no list of modules: copy it again"))?;
    for module in modules {
        let kind = module["type"].as_str().unwrap_or_default();
        match kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Normalize" => vectors.unit = true,
            "Pooling" => {
                vectors.pooling = pooling_of(&directory.join(pooling_file(&path, module)?))?;
            }
            _ => {
                let what = format!("asks for {kind:?}; Transformer, Pooling and Normalize are supported");
                return Err(Error::file(path, what));
            }
        }
    }
    Ok(vectors)
}

/// The file, seen from a model's directory, that a module of pooling is described in.
fn pooling_file(modules: &Path, module: &Value) -> Result<PathBuf> {
    let part = Path::new(module["path"].as_str().unwrap_or_default());
    if part.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(Error::file(modules, format!("names {part:?}, which is not below it: it is not to be trusted")));
    }
    Ok(part.join("config.json"))
}

/// The files, seen from a model's directory, that its modules of pooling are described in.
pub(crate) fn pooling_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let path = directory.join("modules.json");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let modules = read_json(&path)?;
    let pooling = modules.as_array().into_iter().flatten().filter(|module| is_pooling(module));
    pooling.map(|module| pooling_file(&path, module)).collect()
}

fn is_pooling(module: &Value) -> bool {
    module["type"].as_str().is_some_and(|kind| kind.rsplit('.').next() == Some("Pooling"))
}

/// The one kind of pooling that a file asks for: by its name, or as older files have it by a field for each.
fn pooling_of(path: &Path) -> Result<Pooling> {
    let json = read_json(path)?;
    let older = json.as_object().into_iter().flatten().filter(|(_, value)| **value == Value::Bool(true));
    let older = older.filter_map(|(name, _)| name.strip_prefix("pooling_mode_"));
    let modes: Vec<&str> = match &json["pooling_mode"] {
        Value::String(mode) => vec![mode],
        Value::Array(modes) => modes.iter().map(|mode| mode.as_str().unwrap_or("?")).collect(),
        _ => older.collect(),
    };
    match modes[..] {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::First),
        ["lasttoken"] => Ok(Pooling::Last),
        _ => Err(Error::file(path, format!("pools by {}; mean, cls and lasttoken are supported", modes.join(" and ")))),
    }
}

/// The fields of a file of JSON; of one that is not there none.
fn read_if_there(path: &Path) -> Result<Value> {
    if path.exists() { read_json(path) } else { Ok(Value::Null) }
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
    let json = tokenizer::json::parse(&text);
    let json = json.map_err(|error| Error::file(path, format!("not JSON ({error}): copy it again")))?;
    if !json.is_object() && !json.is_array() {
        return Err(Error::file(path, "holds neither fields nor a list: copy it again"));
    }
    Ok(json)
}

/// Writes a file of JSON, complete or not at all.
pub(crate) fn write_json(path: &Path, json: &Value) -> Result<()> {
    files::write(path, format!("{json:#}\n").as_bytes()).map_err(|error| Error::io(path, "write", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_where_the_files_say() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        let (plain, bytes) = (Tokenizer::train(&[b"a text"], 257).unwrap(), Tokenizer::bytes());
        let of = |tokenizer: &Tokenizer| Ends::read(here, tokenizer);
        assert_eq!(of(&plain).unwrap(), Ends { start: 256, ends: vec![256] });
        assert_eq!(of(&bytes).unwrap(), Ends { start: 10, ends: vec![] });
        write_json(&here.join("config.json"), &json!({"bos_token_id": 1, "eos_token_id": 2})).unwrap();
        assert_eq!(of(&plain).unwrap(), Ends { start: 1, ends: vec![2] });
        write_json(&here.join(GENERATION_CONFIG), &json!({"bos_token_id": null, "eos_token_id": [3, 4]})).unwrap();
        assert_eq!(of(&plain).unwrap(), Ends { start: 1, ends: vec![3, 4] });
        write_json(&here.join(GENERATION_CONFIG), &json!({"bos_token_id": 50256, "eos_token_id": -1})).unwrap();
        assert_eq!(of(&plain).unwrap(), Ends { start: 256, ends: vec![256] });
        write_json(&here.join(GENERATION_CONFIG), &json!({"eos_token_id": "end"})).unwrap();
        assert!(of(&plain).unwrap_err().to_string().contains("eos_token_id is \"end\""));
    }

    #[test]
    fn a_text_is_pooled_as_sentence_transformers_pool_it() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        assert_eq!(read_vectors(here).unwrap(), Pooling::Mean.into());
        let modules = |kinds: &[&str]| {
            let module =
                |kind: &&str| json!({"type": format!("sentence_transformers.models.{kind}"), "path": "1_Pooling"});
            write_json(&here.join("modules.json"), &kinds.iter().map(module).collect()).unwrap();
        };
        modules(&["Transformer", "Pooling", "Normalize"]);
        std::fs::create_dir(here.join("1_Pooling")).unwrap();
        let pooled = |json: Value| {
            write_json(&here.join("1_Pooling/config.json"), &json).unwrap();
            let read = read_vectors(here).map_err(|error| error.to_string())?;
            assert!(read.unit);
            Ok::<_, String>(read.pooling)
        };
        let older = |mean: bool, cls: bool| json!({"pooling_mode_cls_token": cls, "pooling_mode_mean_tokens": mean});
        assert_eq!(pooled(older(true, false)), Ok(Pooling::Mean));
        assert_eq!(pooled(older(false, true)), Ok(Pooling::First));
        assert_eq!(pooled(json!({"pooling_mode": "lasttoken"})), Ok(Pooling::Last));
        for other in [older(true, true), older(false, false), json!({"pooling_mode": "max"}), json!([])] {
            let said = pooled(other).unwrap_err();
            assert!(said.contains("1_Pooling/config.json") && said.contains("mean, cls and lasttoken"), "{said}");
        }
        modules(&["Transformer", "Pooling", "Dense"]);
        assert!(pooled(older(true, false)).unwrap_err().contains("models.Dense"));
        modules(&["Transformer", "Pooling"]);
        write_json(&here.join("sentence_bert_config.json"), &json!({"max_seq_length": 7, "do_lower_case": false}))
            .unwrap();
        assert_eq!(read_vectors(here).unwrap(), Vectors { longest: 7, ..Pooling::Mean.into() });
        write_json(&here.join("config_sentence_transformers.json"), &json!({"default_prompt_name": "query"})).unwrap();
        assert!(read_vectors(here).unwrap_err().to_string().contains("default_prompt_name is \"query\""));
    }
}
