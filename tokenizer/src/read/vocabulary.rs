//! The vocabulary of a `tokenizer.json`: its tokens, those that were added, and its merges.

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Map, Value, json};

use super::{does_nothing, read_id, shortened};
use crate::alphabet::Alphabet;
use crate::bpe::{Bpe, END_OF_WORD};
use crate::encode::{Model, Splitter};
use crate::word_piece::{CONTINUES, WordPiece};
use crate::{Added, Merge, Token};

/// The tokens by id, the added ones, and the model.
pub(super) fn read(file: &Value, splitter: Splitter) -> Result<(Vec<Token>, Vec<Added>, Model), String> {
    let model = &file["model"];
    let added = added_tokens(&file["added_tokens"])?;
    match (model["vocab"].as_object(), model["merges"].as_array(), model["type"].as_str().unwrap_or("BPE")) {
        (Some(vocab), Some(merges), "BPE") => {
            let (tokens, model) = byte_pairs(file, (vocab, merges), &added, splitter)?;
            Ok((tokens, added, Model::Bpe(model)))
        }
        (Some(vocab), _, "WordPiece") => {
            let (tokens, model) = word_pieces(file, vocab, &added, splitter)?;
            Ok((tokens, added, Model::WordPiece(model)))
        }
        _ => Err(format!(
            "model must be of type BPE with a vocab and merges or of type WordPiece with a vocab, and is of type {}: \
             use a byte-level BPE tokenizer or BERT's",
            shortened(&model["type"])
        )),
    }
}

/// A decoder does not change the ids, but says how the file means its tokens.
fn check_decoder(file: &Value, fits: &[Value]) -> Result<(), String> {
    let decoder = &file["decoder"];
    if decoder.is_null() || fits.iter().any(|fit| fit.as_object().is_some_and(|fit| is_part(fit, decoder))) {
        return Ok(());
    }
    Err(format!("decoder {} is not supported with this model: use {}", shortened(decoder), fits[0]["type"]))
}

fn is_part(part: &Map<String, Value>, of: &Value) -> bool {
    part.iter().all(|(key, value)| of[key] == *value)
}

type Lists<'a> = (&'a Map<String, Value>, &'a [Value]);

fn byte_pairs(
    file: &Value,
    (vocab, merges): Lists,
    added: &[Added],
    splitter: Splitter,
) -> Result<(Vec<Token>, Bpe), String> {
    let model = &file["model"];
    let ends_words = matches!(splitter, Splitter::Clip { .. });
    if splitter == Splitter::Bert {
        return Err(
            "pre_tokenizer BertPreTokenizer is not supported with a BPE model: it must be byte-level".to_owned()
        );
    }
    for option in ["dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges", "byte_fallback"] {
        let value = &model[option];
        let is_clips = option == "end_of_word_suffix" && ends_words;
        if !is_clips && !does_nothing(value) || is_clips && value != END_OF_WORD {
            return Err(format!(
                "model.{option} {} is not supported with this pre_tokenizer, as it changes the ids: \
                 CLIP's words must end in {END_OF_WORD}, and otherwise it must be null",
                shortened(value)
            ));
        }
    }
    let suffix = json!({"type": "BPEDecoder", "suffix": END_OF_WORD});
    check_decoder(
        file,
        &[json!({"type": "ByteLevel"}), if ends_words { suffix } else { json!({"type": "ByteLevel"}) }],
    )?;
    let alphabet = Alphabet::new();
    let (tokens, ids) = by_id(vocab, added, |shown| {
        alphabet.read(shown).filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
            format!(
                "model.vocab has the token {}, which is not written in GPT-2's byte alphabet: \
                 use a byte-level BPE tokenizer",
                shortened(&json!(shown))
            )
        })
    })?;
    let unknown = model["unk_token"].as_str().and_then(|name| ids.get(name).copied());
    let fused = model["fuse_unk"] == json!(true);
    check_byte_ids(&tokens, &ids, ends_words, unknown.filter(|_| !fused))?;
    let merges = read_merges(merges, &tokens, &ids)?;
    let bpe = Bpe::new(&tokens, merges, ends_words, unknown);
    Ok((tokens, bpe))
}

fn word_pieces(
    file: &Value,
    vocab: &Map<String, Value>,
    added: &[Added],
    splitter: Splitter,
) -> Result<(Vec<Token>, WordPiece), String> {
    let model = &file["model"];
    if splitter != Splitter::Bert {
        return Err(format!(
            "pre_tokenizer {} is not supported with a WordPiece model: it must be BertPreTokenizer",
            shortened(&file["pre_tokenizer"])
        ));
    }
    let prefix = model.get("continuing_subword_prefix").unwrap_or(&json!(CONTINUES)).clone();
    if prefix != CONTINUES {
        return Err(format!("model.continuing_subword_prefix {} is not supported: it must be ##", shortened(&prefix)));
    }
    check_decoder(file, &[json!({"type": "WordPiece", "prefix": CONTINUES})])?;
    let bytes = |shown: &str| Ok(shown.as_bytes().into());
    let (tokens, ids) = by_id(vocab, added, bytes)?;
    let name = model["unk_token"].as_str().unwrap_or("[UNK]");
    let unknown = *ids
        .get(name)
        .ok_or_else(|| format!("model.unk_token {} is not in model.vocab: add it", shortened(&json!(name))))?;
    let longest = model.get("max_input_chars_per_word").unwrap_or(&json!(100)).clone();
    let max_chars = longest.as_u64().ok_or_else(|| {
        format!("model.max_input_chars_per_word is {}: it must be a whole number", shortened(&longest))
    })?;
    let cleanup = file["decoder"]["cleanup"] != json!(false);
    let own = ids.iter().map(|(token, id)| (token.as_bytes().into(), *id));
    let max_chars = usize::try_from(max_chars).unwrap_or(usize::MAX);
    Ok((tokens, WordPiece::new(own, unknown, max_chars, cleanup)))
}

/// The added tokens of the file.
fn added_tokens(list: &Value) -> Result<Vec<Added>, String> {
    let mut names = FxHashSet::default();
    let mut all = Vec::new();
    let list = match list {
        Value::Array(list) => &list[..],
        Value::Null => &[],
        other => return Err(format!("added_tokens is {}: it must be a list", shortened(other))),
    };
    for (at, token) in list.iter().enumerate() {
        let place = format!("added_tokens[{at}] {}", shortened(&token["content"]));
        let name = token["content"].as_str().filter(|name| !name.is_empty());
        let (Some(name), Some(id)) = (name, read_id(&token["id"])) else {
            return Err(format!("{place} must have a content that is not empty and an id below 2^32"));
        };
        let flag = |name: &str| match &token[name] {
            Value::Bool(flag) => Ok(*flag),
            Value::Null => Ok(false),
            other => Err(format!("{place} has {name} {}: it must be true or false", shortened(other))),
        };
        if flag("single_word")? {
            return Err(format!(
                "{place} has single_word, which is not supported: an added token must be found wherever its name stands"
            ));
        }
        if !names.insert(name) {
            return Err(format!("{place} is there twice: each special token must have one id"));
        }
        all.push(Added {
            name: name.to_owned(),
            id,
            special: flag("special")?,
            lstrip: flag("lstrip")?,
            rstrip: flag("rstrip")?,
            normalized: flag("normalized")?,
        });
    }
    Ok(all)
}

/// The ids of the model's tokens by how the file writes them.
type Ids<'a> = FxHashMap<&'a str, u32>;

/// The bytes of every token by id, those of the model read by `bytes`.
fn by_id<'a>(
    vocab: &'a Map<String, Value>,
    added: &[Added],
    bytes: impl Fn(&str) -> Result<Token, String>,
) -> Result<(Vec<Token>, Ids<'a>), String> {
    let added_ids: FxHashMap<&str, u32> = added.iter().map(|added| (added.name.as_str(), added.id)).collect();
    let mut ids = FxHashMap::default();
    let mut all: Vec<(u32, &str, Token)> = Vec::with_capacity(vocab.len() + added.len());
    for (shown, value) in vocab {
        let Some(id) = read_id(value) else {
            return Err(format!(
                "model.vocab gives the token {} the id {}: an id must be a whole number below 2^32",
                shortened(&json!(shown)),
                shortened(value)
            ));
        };
        ids.insert(shown.as_str(), id);
        match added_ids.get(shown.as_str()) {
            Some(&other) if other == id => {} // listed in both places, as GPT-2's own is
            Some(other) => {
                return Err(format!(
                    "the special token {shown} has id {id} in model.vocab and {other} in added_tokens: they must agree"
                ));
            }
            None => all.push((id, shown, bytes(shown)?)),
        }
    }
    all.extend(added.iter().map(|added| (added.id, "", added.name.as_bytes().into())));
    all.sort();
    for (expected, (id, shown, bytes)) in all.iter().enumerate() {
        if *id as usize != expected {
            let token = if shown.is_empty() { String::from_utf8_lossy(bytes) } else { (*shown).into() };
            let problem =
                if (*id as usize) < expected { "is there twice" } else { "comes where no token has the id before it" };
            return Err(format!(
                "id {id} (of the token {}) {problem}: the ids must be 0, 1, 2, … without holes, each once",
                shortened(&json!(token))
            ));
        }
    }
    Ok((all.into_iter().map(|(_, _, bytes)| bytes).collect(), ids))
}

/// Without an id for each byte, at each place of a word, some texts could not be encoded; unless there is an id for what is
/// unknown.
fn check_byte_ids(tokens: &[Token], ids: &Ids, ends_words: bool, unknown: Option<u32>) -> Result<(), String> {
    let alphabet = Alphabet::new();
    let ends: &[&str] = if ends_words { &["", END_OF_WORD] } else { &[""] };
    for (byte, end) in (0..=255).flat_map(|byte| ends.iter().map(move |end| (byte, end))) {
        let shown = alphabet.show(&[byte]) + end;
        match ids.get(shown.as_str()) {
            Some(&id) => check_bytes(tokens, id, &[&[byte], end.as_bytes()].concat())?,
            None if unknown.is_some() => {}
            None => {
                return Err(format!(
                    "model.vocab has no token for the byte {byte} (written {shown:?}): \
                     all 256 bytes must be in it, so train with the whole byte alphabet"
                ));
            }
        }
    }
    Ok(())
}

/// The merges, written as `["a", "b"]` or, in older files, as `"a b"`.
fn read_merges(merges: &[Value], tokens: &[Token], ids: &Ids) -> Result<Vec<Merge>, String> {
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
                    "model.merges[{at}] speaks of the token {}, which model.vocab does not have: \
                     the file is damaged, fetch or write it again",
                    shortened(&json!(token))
                )
            })
        };
        let (token, left, right) = (id(&format!("{left}{right}"))?, id(left)?, id(right)?);
        check_bytes(tokens, token, &crate::joined(tokens, left, right))?;
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
        "the special token {} (id {id}) is also a token that text becomes, with other bytes: give it another name",
        shortened(&json!(String::from_utf8_lossy(token)))
    ))
}
