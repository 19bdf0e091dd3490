//! The small files beside a checkpoint that tell other programs how its texts become ids and vectors: tokenizer.json for
//! `tokenizers`, tokenizer_config.json for `transformers`, and for `sentence-transformers` which vector is a text's.

use std::path::Path;

use serde_json::{Value, json};
use tokenizer::{END_OF_TEXT, START_OF_TEXT, Tokenizer};

use crate::error::{Error, Result};
use crate::{Model, files};

/// The file that says which tokens play which part.
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Writes the tokenizer's two files; where a run has its tokenizer.json already, that stays.
pub(super) fn write(directory: &Path, tokenizer: &Tokenizer, model: &Model) -> Result<()> {
    let path = directory.join("tokenizer.json");
    if !path.exists() {
        tokenizer.save(&path).map_err(|error| Error::file(&path, error))?;
    }
    write_json(&directory.join(TOKENIZER_CONFIG), &tokenizer_config(tokenizer, model))
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

fn write_json(path: &Path, json: &Value) -> Result<()> {
    files::write(path, format!("{json:#}\n").as_bytes()).map_err(|error| Error::io(path, "write", &error))
}
