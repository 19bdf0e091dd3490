//! Reading a `tokenizer.json`, and refusing what would not give the ids that it was made for.
//!
//! The file describes a pipeline: added tokens are found, a normalizer changes the text, a pre-tokenizer splits it, a
//! model encodes the words, a post-processor adds tokens around them. Of each part those kinds are supported that GPT-2,
//! RoBERTa, CLIP and BERT have, as the `tokenizers` package writes them. A file that asks for another one is
//! refused with a sentence that names the part: a tokenizer that silently gives other ids would spoil a model, and nobody
//! would see where.

mod older;
mod pipeline;
mod vocabulary;

use std::path::Path;

pub(crate) use pipeline::{CLIP_PATTERNS, clip_normalizers};
use serde_json::{Value, json};

use crate::{Error, Tokenizer};

impl Tokenizer {
    /// Reads a `tokenizer.json`; of a directory that, or else the older files `vocab.json` with `merges.txt`, or `vocab.txt`,
    /// which may also be named themselves. What kind of tokenizer older files are, their content says, and a
    /// `tokenizer_config.json` beside them.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read, [`Error::File`] with the reason of [`from_json`](Self::from_json).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (directory, name) = if path.is_dir() {
            let there = ["tokenizer.json", "vocab.json", "vocab.txt"].into_iter().find(|name| path.join(name).exists());
            (path, there.unwrap_or("tokenizer.json"))
        } else {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            (path.parent().unwrap_or(Path::new("")), name)
        };
        let (file, at) = match name {
            "vocab.json" | "merges.txt" => (older::byte_pairs(directory)?, directory.join("vocab.json")),
            "vocab.txt" => (older::word_pieces(directory)?, directory.join(name)),
            _ => {
                let at = if path.is_dir() { directory.join(name) } else { path.to_owned() };
                (parse(&text(&at)?).map_err(|problem| named(&at, problem))?, at)
            }
        };
        from_value(&file).map_err(|problem| named(&at, problem))
    }

    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] names the place in the file and what is supported: the text is no JSON or incomplete; a part
    /// of it would change the ids and is not supported; ids are missing or double; a merge speaks of tokens that are
    /// not in the vocabulary.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        parse(json).and_then(|file| from_value(&file)).map_err(Error::Format)
    }
}

/// The text of a file.
fn text(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), doing: "read", source })?;
    String::from_utf8(bytes).map_err(|e| named(path, format!("this is no tokenizer.json, it is not even text ({e})")))
}

fn named(path: &Path, problem: String) -> Error {
    Error::File { path: path.to_owned(), problem }
}

fn parse(json: &str) -> Result<Value, String> {
    serde_json::from_str(json).map_err(|e| {
        format!(
            "this is no complete tokenizer.json ({e}): the file is damaged or of another kind, \
             fetch or write it again"
        )
    })
}

fn from_value(file: &Value) -> Result<Tokenizer, String> {
    let parts = pipeline::read(file)?;
    let (tokens, added, model) = vocabulary::read(file, parts.splitter)?;
    let template = pipeline::template(&file["post_processor"], &tokens)?;
    Ok(Tokenizer::new(tokens, added, (parts.normalizer, parts.splitter), model).with_template(template))
}

/// Whether a value is what stands where an option is not used.
fn does_nothing(value: &Value) -> bool {
    value.as_f64() == Some(0.0) || [json!(null), json!(false), json!("")].contains(value)
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
