//! tokenizer.json, Hugging Face's file: written so that `tokenizers` reads it, read wherever it means the same.
//!
//! What is understood: byte-level byte-pair encoding with GPT-2's split, and special tokens. Whatever would change the
//! ids and is not that (a normaliser, another split, a prefix space) is refused with the field's name.

use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use crate::alphabet::{byte_of, written};
use crate::encode::{Merge, Merges};
use crate::train::Pair;
use crate::{Error, Tokenizer};

/// The file's text.
pub(crate) fn write(tokenizer: &Tokenizer) -> String {
    let names: Vec<String> = (0..tokenizer.vocab_size())
        .map(|id| {
            tokenizer
                .specials
                .iter()
                .find(|s| s.1 as usize == id)
                .map_or_else(|| written(&tokenizer.tokens[id]), |s| s.0.clone())
        })
        .collect();
    let special = |id: usize| tokenizer.specials.iter().any(|s| s.1 as usize == id);
    let vocab: serde_json::Map<String, Value> =
        names.iter().enumerate().filter(|(id, _)| !special(*id)).map(|(id, name)| (name.clone(), id.into())).collect();
    let merges: Vec<Value> =
        tokenizer.merges.iter().map(|&(l, r)| json!([names[l as usize], names[r as usize]])).collect();
    let added: Vec<Value> = tokenizer.specials.iter().map(|(name, id)| {
        json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
    }).collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    });
    format!("{file:#}\n")
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error::Format(what.into()))
}

/// A tokenizer from the file's text.
pub(crate) fn read(text: &str) -> Result<Tokenizer, Error> {
    let file: Value = serde_json::from_str(text).or_else(|error| {
        wrong(format!("not JSON ({error}): expected a tokenizer.json; it may be cut off, so copy it again"))
    })?;
    let model = &file["model"];
    check(&file, model)?;
    let mut tokens = vocabulary(model)?;
    let specials = special_tokens(&file, &mut tokens)?;
    if let Some(id) = tokens.iter().position(Option::is_none) {
        return wrong(format!("the vocabulary has no token {id}: ids must run from 0 without a gap"));
    }
    let tokens: Vec<Vec<u8>> = tokens.into_iter().flatten().collect();
    let mut by_bytes = FxHashMap::default();
    for (id, token) in tokens.iter().enumerate().filter(|(id, _)| !specials.iter().any(|s| s.1 as usize == *id)) {
        by_bytes.insert(&token[..], id as u32);
    }
    let mut bytes = [0; 256];
    for byte in 0..=255u8 {
        let Some(&id) = by_bytes.get(&[byte][..]) else {
            return wrong(format!("no token stands for byte {byte} alone: only byte-level vocabularies are supported"));
        };
        bytes[usize::from(byte)] = id;
    }
    let (pairs, ranks) = merges(model, &by_bytes, &tokens)?;
    Ok(Tokenizer { tokens, merges: pairs, ranks, bytes, specials })
}

/// Refuses what would silently change the ids.
fn check(file: &Value, model: &Value) -> Result<(), Error> {
    if model["type"].as_str().unwrap_or("BPE") != "BPE" || !model["vocab"].is_object() {
        return wrong(format!("the model's type is {}: only BPE is supported", model["type"]));
    }
    for field in ["normalizer", "truncation", "padding"] {
        if !file[field].is_null() {
            return wrong(format!("{field} is set: only files without one are supported"));
        }
    }
    for field in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
        if !(model[field].is_null() || model[field] == "" || model[field] == 0.0) {
            return wrong(format!("model.{field} is {}: only files without it are supported", model[field]));
        }
    }
    for field in ["ignore_merges", "byte_fallback"] {
        if model[field] == true {
            return wrong(format!("model.{field} is true: only false is supported"));
        }
    }
    let split = &file["pre_tokenizer"];
    let gpt2 = split["type"] == "ByteLevel" && split["add_prefix_space"] == false && split["use_regex"] != false;
    if !gpt2 {
        return wrong(format!("pre_tokenizer is {split}: only ByteLevel with add_prefix_space false is supported"));
    }
    match &file["post_processor"]["type"] {
        Value::Null => Ok(()),
        Value::String(kind) if kind == "ByteLevel" => Ok(()),
        other => wrong(format!("post_processor is {other}: only ByteLevel or none is supported")),
    }
}

/// The bytes of every token at its id.
fn vocabulary(model: &Value) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let vocab = model["vocab"].as_object().map(|vocab| vocab.iter().collect::<Vec<_>>()).unwrap_or_default();
    let mut tokens: Vec<Option<Vec<u8>>> = vec![None; vocab.len()];
    for (name, id) in vocab {
        let Some(id) = id.as_u64().filter(|&id| id < u64::from(u32::MAX)) else {
            return wrong(format!("the id of token {name:?} is {id}: expected a whole number"));
        };
        // Special tokens may stand in the vocabulary too; their names need not be bytes.
        let bytes = name.chars().map(byte_of).collect::<Option<Vec<u8>>>().unwrap_or_else(|| name.as_bytes().to_vec());
        put(&mut tokens, id as usize, bytes, name)?;
    }
    Ok(tokens)
}

/// Sets token `id`, which must be free.
fn put(tokens: &mut Vec<Option<Vec<u8>>>, id: usize, bytes: Vec<u8>, name: &str) -> Result<(), Error> {
    if id >= tokens.len() {
        // Special tokens may follow the vocabulary, but an id far beyond it is a mistake, not a size.
        if id > tokens.len() + 100_000 {
            return wrong(format!("the id of token {name:?} is {id}, far beyond the vocabulary of {}", tokens.len()));
        }
        tokens.resize(id + 1, None);
    }
    if tokens[id].replace(bytes).is_some() {
        return wrong(format!("two tokens have the id {id}, one of them {name:?}"));
    }
    Ok(())
}

/// The added tokens, by name and id; those that do not stand in the vocabulary are put there.
fn special_tokens(file: &Value, tokens: &mut Vec<Option<Vec<u8>>>) -> Result<Vec<(String, u32)>, Error> {
    let vocab = &file["model"]["vocab"];
    let mut specials = Vec::new();
    for added in file["added_tokens"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let (Some(name), Some(id)) = (added["content"].as_str(), added["id"].as_u64()) else {
            return wrong(format!("added token {added} has no content or no id"));
        };
        if ["single_word", "lstrip", "rstrip"].iter().any(|field| added[field] == true) || name.is_empty() {
            return wrong(format!("added token {name:?} strips or matches words: only plain ones are supported"));
        }
        match vocab.get(name).and_then(Value::as_u64) {
            None => put(tokens, id as usize, name.as_bytes().to_vec(), name)?,
            Some(other) if other == id => tokens[id as usize] = Some(name.as_bytes().to_vec()),
            Some(other) => return wrong(format!("token {name:?} has the ids {id} and {other}")),
        }
        specials.push((name.to_owned(), id as u32));
    }
    Ok(specials)
}

/// The merges in order, from either form in which files hold them: `"a b"` or `["a", "b"]`.
fn merges(model: &Value, by_bytes: &FxHashMap<&[u8], u32>, tokens: &[Vec<u8>]) -> Result<(Vec<Pair>, Merges), Error> {
    let (mut pairs, mut ranks) = (Vec::new(), Merges::default());
    for (rank, merge) in model["merges"].as_array().map(Vec::as_slice).unwrap_or_default().iter().enumerate() {
        let halves = match merge {
            Value::String(both) => both.split_once(' '),
            Value::Array(both) if both.len() == 2 => both[0].as_str().zip(both[1].as_str()),
            _ => None,
        };
        let Some((left, right)) = halves else { return wrong(format!("merge {rank} is {merge}: expected two tokens")) };
        let id = |name: &str| {
            let bytes = name.chars().map(byte_of).collect::<Option<Vec<u8>>>();
            bytes.and_then(|bytes| by_bytes.get(&bytes[..]).copied())
        };
        let both = id(left).zip(id(right));
        let joined = both.and_then(|(l, r)| by_bytes.get(&[&tokens[l as usize][..], &tokens[r as usize]].concat()[..]));
        let (Some((l, r)), Some(&id)) = (both, joined) else {
            return wrong(format!("merge {rank} ({left} {right}): a part or the result is not in the vocabulary"));
        };
        pairs.push((l, r));
        ranks.insert(l, r, Merge { rank: rank as u32, id });
    }
    Ok((pairs, ranks))
}
