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

use older::{CONFIG, MERGES, MORE, VOCAB, WORDS};
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
            let there = ["tokenizer.json", VOCAB, WORDS].into_iter().find(|name| path.join(name).exists());
            (path, there.unwrap_or("tokenizer.json"))
        } else {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            (path.parent().unwrap_or(Path::new("")), name)
        };
        let read = |name: &str| text(&directory.join(name));
        let beside = |name: &str| directory.join(name).exists().then(|| read(name)).transpose();
        let in_directory = |problem: older::Problem| named(&directory.join(problem.file), problem.what);
        let config = || older::Config::new(beside(CONFIG)?.as_deref(), beside(MORE)?.as_deref()).map_err(in_directory);
        let (file, at) = match name {
            VOCAB | MERGES => {
                let file = older::byte_pairs(&read(VOCAB)?, &read(MERGES)?, &config()?).map_err(in_directory)?;
                (file, directory.join(VOCAB))
            }
            WORDS => (older::word_pieces(&read(WORDS)?, &config()?).map_err(in_directory)?, directory.join(WORDS)),
            _ => {
                let at = if path.is_dir() { directory.join(name) } else { path.to_owned() };
                let mut file = parse(&text(&at)?).map_err(|problem| named(&at, problem))?;
                if path.is_dir() {
                    config()?.lay_over(&mut file).map_err(in_directory)?;
                }
                (file, at)
            }
        };
        from_value(&file).map_err(|problem| named(&at, problem))
    }

    /// Reads the texts of a `vocab.json` and a `merges.txt`, and of a `tokenizer_config.json` if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] names the file and the place in it, with the reasons of [`from_json`](Self::from_json).
    pub fn from_vocab_and_merges(vocab: &str, merges: &str, config: Option<&str>) -> Result<Self, Error> {
        let file = older::Config::new(config, None).and_then(|config| older::byte_pairs(vocab, merges, &config));
        from_older(file, VOCAB)
    }

    /// Reads the text of a `vocab.txt`, and of a `tokenizer_config.json` if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] names the file and the place in it, with the reasons of [`from_json`](Self::from_json).
    pub fn from_vocab(vocab: &str, config: Option<&str>) -> Result<Self, Error> {
        let file = older::Config::new(config, None).and_then(|config| older::word_pieces(vocab, &config));
        from_older(file, WORDS)
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

fn from_older(file: Result<Value, older::Problem>, name: &'static str) -> Result<Tokenizer, Error> {
    let file = file.map_err(|problem| Error::Format(format!("{}: {}", problem.file, problem.what)))?;
    from_value(&file).map_err(|problem| Error::Format(format!("{name}: {problem}")))
}

/// The text of a file.
fn text(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), doing: "read", source })?;
    String::from_utf8(bytes).map_err(|e| {
        named(path, format!("this is not text in UTF-8 ({e}): save it as UTF-8, or give a tokenizer.json in its place"))
    })
}

fn named(path: &Path, problem: String) -> Error {
    Error::File { path: path.to_owned(), problem }
}

fn parse(json: &str) -> Result<Value, String> {
    crate::json::parse(json).map_err(|e| {
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
