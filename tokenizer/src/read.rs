//! Reading a `tokenizer.json`, and refusing what would not give the ids that it was made for.
//!
//! The file describes a pipeline: added tokens are found, a normalizer changes the text, a pre-tokenizer splits it, a
//! model encodes the words, a post-processor adds tokens around them. Here one pipeline is supported, GPT-2's: no
//! normalizer, the byte-level split, a BPE model with all 256 bytes, nothing added. A file that asks for another one is
//! refused with a sentence: a tokenizer that silently gives other ids would spoil a model, and nobody would see where.

use std::path::Path;

use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};

use crate::alphabet::Alphabet;
use crate::{Error, Merge, Token, Tokenizer, joined};

/// The spellings of GPT-2's pattern that tokenizer files use: they match the same words.
const PATTERNS: [&str; 2] = [
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
];

impl Tokenizer {
    /// Reads a `tokenizer.json`, or the one in the directory `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::File`] with the reason of [`from_json`](Self::from_json).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => {
                return Err(Error::Io { path, doing: "read", source });
            }
        };
        let json = str::from_utf8(&bytes).map_err(|e| format!("this is no tokenizer.json, it is not even text ({e})"));
        json.and_then(|json| Self::from_json(json).map_err(|e| e.to_string()))
            .map_err(|problem| Error::File { path, problem })
    }

    /// Reads the text of a `tokenizer.json` with byte-level BPE.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] names the place in the file and what is supported: the text is no JSON or incomplete; a part
    /// of it would change the ids and is not supported; ids are missing or double; a merge speaks of tokens that are
    /// not in the vocabulary.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        from_json(json).map_err(Error::Format)
    }
}

fn from_json(json: &str) -> Result<Tokenizer, String> {
    let file: Value = serde_json::from_str(json).map_err(|e| {
        format!(
            "this is no complete tokenizer.json ({e}): the file is damaged or of another kind, \
             fetch or write it again"
        )
    })?;
    let model = &file["model"];
    let (Some(vocab), Some(merges), "BPE") =
        (model["vocab"].as_object(), model["merges"].as_array(), model["type"].as_str().unwrap_or("BPE"))
    else {
        return Err(format!(
            "model must be of type BPE with a vocab and merges, and is of type {}: use a byte-level BPE tokenizer",
            model["type"]
        ));
    };
    check_pipeline(&file)?;
    let specials = read_specials(&file["added_tokens"])?;
    let (tokens, ids) = read_vocabulary(vocab, &specials)?;
    check_byte_ids(&tokens, &ids)?;
    let merges = read_merges(merges, &tokens, &ids)?;
    let added = file["added_tokens"].as_array().into_iter().flatten();
    let lstrip =
        added.filter(|token| token["lstrip"] == json!(true)).filter_map(|token| read_id(&token["id"])).collect();
    Ok(Tokenizer { lstrip, ..Tokenizer::new(tokens, merges, specials) })
}

/// Everything around vocabulary and merges that could change the ids.
fn check_pipeline(file: &Value) -> Result<(), String> {
    let without =
        "is not supported, as it changes the ids: use a file without it, or set it to null if it does nothing";
    for place in [
        "truncation",
        "padding",
        "normalizer",
        "model.dropout",
        "model.continuing_subword_prefix",
        "model.end_of_word_suffix",
        "model.ignore_merges",
    ] {
        let value = place.split('.').fold(file, |value, key| &value[key]);
        let does_nothing = value.as_f64() == Some(0.0) || [json!(null), json!(false), json!("")].contains(value);
        if !does_nothing {
            return Err(format!("{place} {} {without}", shortened(value)));
        }
    }
    let post_processor = &file["post_processor"];
    if !post_processor.is_null() && post_processor["type"] != "ByteLevel" {
        return Err(format!("post_processor {} {without}", shortened(post_processor)));
    }
    if !splits_like_gpt2(&file["pre_tokenizer"]) {
        return Err(format!(
            "pre_tokenizer {} is not supported: it must be GPT-2's split, \
             ByteLevel with add_prefix_space false and use_regex true",
            shortened(&file["pre_tokenizer"])
        ));
    }
    Ok(())
}

/// `ByteLevel` with its own pattern, alone or in a sequence; or a split by the same pattern and then `ByteLevel`
/// without one.
fn splits_like_gpt2(pre_tokenizer: &Value) -> bool {
    let is_byte_level = |part: &Value, splits: bool| {
        part["type"] == "ByteLevel"
            && part["add_prefix_space"] == json!(false)
            && part.get("use_regex").unwrap_or(&json!(true)) == &json!(splits)
    };
    let is_split = |part: &Value| {
        part["type"] == "Split"
            && part["behavior"] == "Isolated"
            && part["invert"] == json!(false)
            && part["pattern"]["Regex"].as_str().is_some_and(|pattern| PATTERNS.contains(&pattern))
    };
    match pre_tokenizer["pretokenizers"].as_array().map(Vec::as_slice) {
        None => is_byte_level(pre_tokenizer, true),
        Some([only]) => is_byte_level(only, true),
        Some([split, bytes]) => is_split(split) && is_byte_level(bytes, false),
        Some(_) => false,
    }
}

/// The names and ids of the added tokens.
fn read_specials(added: &Value) -> Result<Vec<(String, u32)>, String> {
    let mut specials = Vec::new();
    for (at, token) in added.as_array().into_iter().flatten().enumerate() {
        let place = format!("added_tokens[{at}] {}", shortened(&token["content"]));
        let name = token["content"].as_str().filter(|name| !name.is_empty());
        let (Some(name), Some(id)) = (name, read_id(&token["id"])) else {
            return Err(format!("{place} must have a content that is not empty and an id below 2^32"));
        };
        let strange = ["single_word", "rstrip"].into_iter().find(|flag| token[flag] == json!(true));
        if let Some(flag) = strange {
            return Err(format!(
                "{place} has {flag}, which is not supported: a special token must be found wherever its name stands"
            ));
        }
        if token["special"] != json!(true) {
            return Err(format!(
                "{place} is not special: added tokens that count as text are not supported, only special ones"
            ));
        }
        if specials.iter().any(|(known, _)| known == name) {
            return Err(format!("{place} is there twice: each special token must have one id"));
        }
        specials.push((name.to_owned(), id));
    }
    Ok(specials)
}

type Vocabulary<'a> = (Vec<Token>, FxHashMap<&'a str, u32>);

/// The bytes of every token by id, and the ids of the model's tokens by how the file writes them.
fn read_vocabulary<'a>(vocab: &'a Map<String, Value>, specials: &[(String, u32)]) -> Result<Vocabulary<'a>, String> {
    let alphabet = Alphabet::new();
    let special_ids: FxHashMap<&str, u32> = specials.iter().map(|(name, id)| (name.as_str(), *id)).collect();

    let mut ids = FxHashMap::default();
    let mut by_id: Vec<(u32, &str, Token)> = Vec::with_capacity(vocab.len() + specials.len());
    for (shown, id) in vocab {
        let Some(id) = read_id(id) else {
            return Err(format!(
                "model.vocab gives the token {shown:?} the id {id}: an id must be a whole number below 2^32"
            ));
        };
        ids.insert(shown.as_str(), id);
        match special_ids.get(shown.as_str()) {
            Some(&special) if special == id => {} // listed in both places, as GPT-2's own is
            Some(special) => {
                return Err(format!(
                    "the special token {shown} has id {id} in model.vocab and {special} in added_tokens: they must agree"
                ));
            }
            None => {
                let bytes = alphabet.read(shown).filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
                    format!(
                        "model.vocab has the token {shown:?}, which is not written in GPT-2's byte alphabet: \
                         use a byte-level BPE tokenizer"
                    )
                })?;
                by_id.push((id, shown, bytes));
            }
        }
    }
    by_id.extend(specials.iter().map(|(name, id)| (*id, "", name.as_bytes().into())));
    by_id.sort();
    for (expected, (id, shown, bytes)) in by_id.iter().enumerate() {
        if *id as usize != expected {
            let token = if shown.is_empty() { String::from_utf8_lossy(bytes) } else { (*shown).into() };
            let problem =
                if (*id as usize) < expected { "is there twice" } else { "comes where no token has the id before it" };
            return Err(format!(
                "id {id} (of the token {token:?}) {problem}: the ids must be 0, 1, 2, … without holes, each once"
            ));
        }
    }
    Ok((by_id.into_iter().map(|(_, _, bytes)| bytes).collect(), ids))
}

/// Without an id for each byte some texts could not be encoded.
fn check_byte_ids(tokens: &[Token], ids: &FxHashMap<&str, u32>) -> Result<(), String> {
    let alphabet = Alphabet::new();
    for byte in 0..=255 {
        let shown = alphabet.show(&[byte]);
        let id = ids.get(shown.as_str()).ok_or_else(|| {
            format!(
                "model.vocab has no token for the byte {byte} (written {shown:?}): \
                 all 256 bytes must be in it, so train with the whole byte alphabet"
            )
        })?;
        check_bytes(tokens, *id, &[byte])?;
    }
    Ok(())
}

/// The merges, written as `["a", "b"]` or, in older files, as `"a b"`.
fn read_merges(merges: &[Value], tokens: &[Token], ids: &FxHashMap<&str, u32>) -> Result<Vec<Merge>, String> {
    let read = |(at, merge): (usize, &Value)| {
        let pair = match merge {
            Value::String(both) => both.split_once(' '),
            both => {
                both.as_array().filter(|both| both.len() == 2).and_then(|both| both[0].as_str().zip(both[1].as_str()))
            }
        };
        let (left, right) = pair.ok_or_else(|| {
            format!("model.merges[{at}] is {}: a merge must be written [\"a\", \"b\"] or \"a b\"", shortened(merge))
        })?;
        let id = |token: &str| {
            ids.get(token).copied().ok_or_else(|| {
                format!(
                    "model.merges[{at}] speaks of the token {token:?}, which model.vocab does not have: \
                     the file is damaged, fetch or write it again"
                )
            })
        };
        let (token, left, right) = (id(&format!("{left}{right}"))?, id(left)?, id(right)?);
        check_bytes(tokens, token, &joined(tokens, left, right))?;
        Ok(Merge { left, right, token })
    };
    merges.iter().enumerate().map(read).collect()
}

/// A special token may be listed among the model's tokens, but not in the place of one that text can become: `é` as
/// a name is two bytes, as a token of the model one.
fn check_bytes(tokens: &[Token], id: u32, bytes: &[u8]) -> Result<(), String> {
    let token = &tokens[id as usize];
    if **token == *bytes {
        return Ok(());
    }
    Err(format!(
        "the special token {:?} (id {id}) is also a token that text becomes, with other bytes: give it another name",
        String::from_utf8_lossy(token)
    ))
}

fn read_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// A value as the file writes it, but no more of it than a sentence can bear.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
