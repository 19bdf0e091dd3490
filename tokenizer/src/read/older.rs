//! The files that came before `tokenizer.json`: `vocab.json` with `merges.txt`, and `vocab.txt`.
//!
//! They hold a vocabulary and nothing of the pipeline, which was written in the program that read them. Here they become the
//! `tokenizer.json` that `transformers` makes of them, so that all rules of reading hold for both. Which kind they are, the
//! `tokenizer_class` of a `tokenizer_config.json` beside them says, or else their tokens: only CLIP's end words in
//! `</w>`, only RoBERTa's know `<mask>`. What that file says of a text's treatment is laid over a `tokenizer.json` too.

use serde_json::{Map, Value, json};

use super::pipeline::{CLIP_PATTERNS, clip_normalizers};
use super::shortened;
use crate::bpe::END_OF_WORD;
use crate::{END_OF_TEXT, FRAME, ROBERTA_FRAME, START_OF_TEXT};

/// The files, by their names.
pub(super) const VOCAB: &str = "vocab.json";
pub(super) const MERGES: &str = "merges.txt";
pub(super) const WORDS: &str = "vocab.txt";
pub(super) const CONFIG: &str = "tokenizer_config.json";
pub(super) const MORE: &str = "added_tokens.json";

/// What a configuration calls its special tokens.
const KINDS: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What is the matter, and with which of the files.
pub(super) struct Problem {
    pub file: &'static str,
    pub what: String,
}

impl Problem {
    fn new(file: &'static str, what: impl Into<String>) -> Self {
        Self { file, what: what.into() }
    }
}

/// The texts of `vocab.json` and `merges.txt` as a `tokenizer.json`.
pub(super) fn byte_pairs(vocab: &str, merges: &str, config: &Config) -> Result<Value, Problem> {
    let vocab = object(VOCAB, vocab)?;
    let merges = self::merges(merges)?;
    let class = match config.class() {
        Some(class) => class,
        None if vocab.keys().any(|token| token.ends_with(END_OF_WORD)) => "CLIPTokenizer",
        None if ROBERTA_FRAME.iter().all(|name| vocab.contains_key(*name)) => "RobertaTokenizer",
        None => "GPT2Tokenizer",
    };
    let specials: &[&str] = match class {
        "GPT2Tokenizer" => &[END_OF_TEXT],
        "RobertaTokenizer" => &["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        "CLIPTokenizer" => &[START_OF_TEXT, END_OF_TEXT],
        other => return Err(config.unknown(other, "GPT2Tokenizer, RobertaTokenizer and CLIPTokenizer")),
    };
    let added = config.added(&vocab, specials)?;
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": config.flag("add_prefix_space")?.unwrap_or(false)});
    let ends = |cls: Value, sep: Value| json!({"type": "RobertaProcessing", "cls": cls, "sep": sep});
    let mark = |kind: &str, usual: &str| config.mark(&vocab, kind, usual);
    let mut file = match class {
        "GPT2Tokenizer" => json!({"pre_tokenizer": byte_level, "post_processor": config.begins(&vocab)?}),
        "RobertaTokenizer" => {
            let post_processor = ends(mark("cls_token", "<s>")?, mark("sep_token", "</s>")?);
            json!({"pre_tokenizer": byte_level, "post_processor": post_processor})
        }
        _ => clip(ends(mark("bos_token", START_OF_TEXT)?, mark("eos_token", END_OF_TEXT)?)),
    };
    let model = &mut file["model"];
    (model["type"], model["vocab"], model["merges"]) = (json!("BPE"), json!(vocab), json!(merges));
    file["added_tokens"] = added;
    Ok(file)
}

/// The parts of CLIP's file around its vocabulary.
fn clip(post_processor: Value) -> Value {
    let split = json!({"type": "Split", "pattern": {"Regex": CLIP_PATTERNS[1]}, "behavior": "Removed", "invert": true});
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false});
    json!({
        "model": {"end_of_word_suffix": END_OF_WORD, "unk_token": END_OF_TEXT},
        "normalizer": {"type": "Sequence", "normalizers": clip_normalizers()},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": post_processor,
    })
}

/// The lines of a `merges.txt`. The first says the version of the format, and empty ones may follow the last.
fn merges(text: &str) -> Result<Vec<String>, Problem> {
    let lines =
        text.lines().enumerate().filter(|(i, line)| !line.is_empty() && (*i > 0 || !line.starts_with("#version")));
    let merge = |(i, line): (usize, &str)| {
        if line.split(' ').count() == 2 {
            return Ok(line.to_owned());
        }
        let line = shortened(&json!(line));
        Err(Problem::new(
            MERGES,
            format!("line {} is {line}: a merge must be two tokens with a space between them", i + 1),
        ))
    };
    lines.map(merge).collect()
}

/// The text of a `vocab.txt` as a `tokenizer.json`: a token a line, its id the number of the line.
pub(super) fn word_pieces(lines: &str, config: &Config) -> Result<Value, Problem> {
    let mut vocab = Map::new();
    for (id, token) in lines.lines().enumerate() {
        if vocab.insert(token.to_owned(), json!(id)).is_some() {
            let token = shortened(&json!(token));
            let what = format!("the token {token} of line {} is there twice: each must have one id", id + 1);
            return Err(Problem::new(WORDS, what));
        }
    }
    match config.class() {
        None | Some("BertTokenizer" | "DistilBertTokenizer" | "ElectraTokenizer") => {}
        Some(other) => return Err(config.unknown(other, "BertTokenizer, DistilBertTokenizer and ElectraTokenizer")),
    }
    if config.flag("do_basic_tokenize")? == Some(false) {
        return Err(
            config.error("do_basic_tokenize is false, which is not supported: texts are split into words first".into())
        );
    }
    let normalizer = json!({"type": "BertNormalizer", "clean_text": true,
        "handle_chinese_chars": config.flag("tokenize_chinese_chars")?.unwrap_or(true),
        "strip_accents": config.flag("strip_accents")?,
        "lowercase": config.flag("do_lower_case")?.unwrap_or(true)});
    let [_, cls, sep, _] = FRAME;
    let (cls, sep) = (config.mark(&vocab, "cls_token", cls)?, config.mark(&vocab, "sep_token", sep)?);
    let unknown = config.named("unk_token")?.unwrap_or("[UNK]");
    let around = !cls.is_null() && !sep.is_null();
    let post_processor = around.then(|| json!({"type": "BertProcessing", "cls": cls, "sep": sep}));
    let added = config.added(&vocab, &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])?;
    Ok(json!({
        "model": {"type": "WordPiece", "vocab": vocab, "unk_token": unknown},
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor,
        "added_tokens": added,
    }))
}

/// The text of a file that must hold one JSON object.
fn object(file: &'static str, text: &str) -> Result<Map<String, Value>, Problem> {
    match crate::json::parse(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::new(file, "this must be one JSON object")),
        Err(e) => Err(Problem::new(file, format!("this is no complete JSON ({e}): fetch or write it again"))),
    }
}

/// What `tokenizer_config.json` says, and whether there are tokens in an `added_tokens.json`; nothing of what is not there.
pub(super) struct Config {
    json: Map<String, Value>,
    more: bool,
}

impl Config {
    pub(super) fn new(config: Option<&str>, more: Option<&str>) -> Result<Self, Problem> {
        let json = config.map_or_else(|| Ok(Map::new()), |text| object(CONFIG, text))?;
        let more = more.map(|text| object(MORE, text)).transpose()?.is_some_and(|more| !more.is_empty());
        Ok(Self { json, more })
    }

    fn error(&self, what: String) -> Problem {
        Problem::new(CONFIG, what)
    }

    /// The class without what only says how `transformers` computes it.
    fn class(&self) -> Option<&str> {
        let class = self.json.get("tokenizer_class")?.as_str()?;
        Some(class.strip_suffix("Fast").unwrap_or(class))
    }

    fn unknown(&self, class: &str, supported: &str) -> Problem {
        let class = shortened(&json!(class));
        self.error(format!("tokenizer_class {class} is not supported with these files: {supported} are"))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.json.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.error(format!("{name} is {}: it must be true or false", shortened(other)))),
        }
    }

    /// The name of the token that is this `kind` of special token, if it says so.
    fn named(&self, kind: &str) -> Result<Option<&str>, Problem> {
        match self.json.get(kind) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => Ok(Some(name)),
            Some(token) => match token["content"].as_str() {
                Some(name) => Ok(Some(name)),
                None => Err(self.error(format!("{kind} is {}: it must be a token's name", shortened(token)))),
            },
        }
    }

    /// The id of a token, which the vocabulary has, or else `added_tokens_decoder`.
    fn id(&self, vocab: &Map<String, Value>, name: &str) -> Option<u64> {
        let listed = || {
            let mut all = self.json.get("added_tokens_decoder")?.as_object()?.iter();
            all.find(|(_, token)| token["content"] == name)?.0.parse().ok()
        };
        vocab.get(name).and_then(Value::as_u64).or_else(listed)
    }

    /// The name and the id of the token that is this `kind` of special token: the one that it names, or the usual one if there is
    /// that.
    fn mark(&self, vocab: &Map<String, Value>, kind: &str, usual: &str) -> Result<Value, Problem> {
        let named = self.named(kind)?;
        let name = named.unwrap_or(usual);
        match self.id(vocab, name) {
            Some(id) => Ok(json!([name, id])),
            None if named.is_none() => Ok(Value::Null),
            None => {
                let name = shortened(&json!(name));
                Err(self.error(format!("{kind} is {name}, which is no token here: name one of the vocabulary")))
            }
        }
    }

    /// The token that each text of a GPT-2 begins with, where it asks for one, as a post-processor.
    fn begins(&self, vocab: &Map<String, Value>) -> Result<Value, Problem> {
        if self.flag("add_bos_token")? != Some(true) {
            return Ok(Value::Null);
        }
        let name = self.named("bos_token")?.unwrap_or(END_OF_TEXT);
        let Some(id) = self.id(vocab, name) else {
            let what = format!("add_bos_token asks for {}, which {VOCAB} does not have", shortened(&json!(name)));
            return Err(self.error(what));
        };
        let begin = |kind: u32| json!({"SpecialToken": {"id": name, "type_id": kind}});
        let text = |which: &str, kind: u32| json!({"Sequence": {"id": which, "type_id": kind}});
        Ok(json!({
            "type": "TemplateProcessing",
            "single": [begin(0), text("A", 0)],
            "pair": [begin(0), text("A", 0), begin(1), text("B", 1)],
            "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]}},
        }))
    }

    /// Puts what it says of the text's treatment in the place of what a `tokenizer.json` says, as `transformers` does for the
    /// classes that have such options.
    pub(super) fn lay_over(&self, file: &mut Value) -> Result<(), Problem> {
        let (places, options): (&[&str], &[[&str; 2]]) = match self.class() {
            Some("GPT2Tokenizer" | "RobertaTokenizer") => (
                &["/pre_tokenizer", "/pre_tokenizer/pretokenizers/0", "/pre_tokenizer/pretokenizers/1"],
                &[["add_prefix_space", "add_prefix_space"]],
            ),
            Some("BertTokenizer" | "DistilBertTokenizer" | "ElectraTokenizer") => (
                &["/normalizer"],
                &[
                    ["do_lower_case", "lowercase"],
                    ["strip_accents", "strip_accents"],
                    ["tokenize_chinese_chars", "handle_chinese_chars"],
                ],
            ),
            _ => return Ok(()),
        };
        for [said, option] in options {
            let Some(flag) = self.flag(said)? else { continue };
            let parts = places.iter().filter_map(|place| Some((file.pointer(place)?["type"].clone(), place)));
            let part = parts.into_iter().find(|(kind, _)| *kind == "ByteLevel" || *kind == "BertNormalizer");
            if let Some(place) = part.map(|(_, place)| *place)
                && let Some(part) = file.pointer_mut(place)
            {
                part[*option] = json!(flag);
            }
        }
        Ok(())
    }

    /// The added tokens that the configuration lists; or those of the class, and those that it calls special, that the vocabulary
    /// has.
    fn added<'a>(&'a self, vocab: &Map<String, Value>, specials: &[&'a str]) -> Result<Value, Problem> {
        if let Some(listed) = self.json.get("added_tokens_decoder").and_then(Value::as_object) {
            return listed.iter().map(|(id, token)| self.listed(id, token)).collect();
        }
        if self.more {
            let what =
                "is not supported without added_tokens_decoder in tokenizer_config.json, which says how they are found";
            return Err(Problem::new(MORE, what));
        }
        let mut specials = specials.to_vec();
        for kind in KINDS {
            specials.extend(self.named(kind)?.filter(|name| !specials.contains(name)));
        }
        let token = |name: &&str| {
            let takes_space = *name == "<mask>"; // as in RoBERTa's own file
            Some(json!({"id": vocab.get(*name)?, "content": name, "special": true, "lstrip": takes_space}))
        };
        Ok(specials.iter().filter_map(token).collect())
    }

    /// A token of `added_tokens_decoder`, which has the ids before the tokens.
    fn listed(&self, id: &str, token: &Value) -> Result<Value, Problem> {
        match (id.parse::<u32>(), token) {
            (Ok(id), Value::Object(token)) => {
                let mut token = token.clone();
                token.insert("id".to_owned(), json!(id));
                Ok(Value::Object(token))
            }
            _ => {
                let id = shortened(&json!(id));
                Err(self.error(format!("added_tokens_decoder has {id}: it must have ids and their tokens")))
            }
        }
    }
}
