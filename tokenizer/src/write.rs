//! Writing a `tokenizer.json`, as the `tokenizers` library reads it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use crate::alphabet::Alphabet;
use crate::bpe::END_OF_WORD;
use crate::encode::{Model, Splitter};
use crate::normalize::Normalizer;
use crate::read::{CLIP_PATTERNS, clip_normalizers};
use crate::word_piece::CONTINUES;
use crate::{Error, Merge, Slot, Template, Tokenizer};

impl Tokenizer {
    /// The text of a `tokenizer.json`: one token or merge a line, tokens in the order of their ids.
    pub fn to_json(&self) -> String {
        let added = self.added.iter().map(|added| {
            json!({"id": added.id, "content": added.name, "single_word": false, "lstrip": added.lstrip,
                   "rstrip": added.rstrip, "normalized": added.normalized, "special": added.special})
            .to_string()
        });
        let mut text = String::from("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
        text += "  \"added_tokens\": [";
        lines(&mut text, "    ", added);
        text += "],\n";
        for (part, value) in self.parts() {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "  \"{part}\": {value},");
        }
        let names = Shown::new(self);
        text += "  \"model\": {\n";
        for (option, value) in self.model_options(&names) {
            let _ = writeln!(text, "    \"{option}\": {value},");
        }
        text += "    \"vocab\": {";
        let own = (0..self.vocab_size() as u32).filter(|&id| self.model.holds(&self.tokens[id as usize]));
        lines(&mut text, "      ", own.map(|id| format!("{}: {id}", json!(names.show(id)))));
        text += "}";
        if let Model::Bpe(bpe) = &self.model {
            text += ",\n    \"merges\": [";
            let shown = |id: u32| json!(names.show(id));
            let pair = |m: &Merge| format!("[{}, {}]", shown(m.left), shown(m.right));
            lines(&mut text, "      ", bpe.merges.iter().map(pair));
            text += "]";
        }
        text += "\n  }\n}\n";
        text
    }

    /// Every token as a `tokenizer.json` writes it, in the order of the ids.
    pub fn shown(&self) -> Vec<String> {
        let names = Shown::new(self);
        (0..self.vocab_size() as u32).map(|id| names.show(id)).collect()
    }

    fn model_options(&self, names: &Shown) -> Vec<(&'static str, Value)> {
        match &self.model {
            Model::Bpe(bpe) => vec![
                ("type", json!("BPE")),
                ("dropout", json!(null)),
                ("unk_token", json!(bpe.unknown.map(|id| names.show(id)))),
                ("continuing_subword_prefix", json!(null)),
                ("end_of_word_suffix", json!(bpe.ends_words().then_some(END_OF_WORD))),
                ("fuse_unk", json!(false)),
                ("byte_fallback", json!(false)),
                ("ignore_merges", json!(false)),
            ],
            Model::WordPiece(model) => vec![
                ("type", json!("WordPiece")),
                ("unk_token", json!(names.show(model.unknown))),
                ("continuing_subword_prefix", json!(CONTINUES)),
                ("max_input_chars_per_word", json!(model.max_chars)),
            ],
        }
    }

    /// What stands around the vocabulary.
    fn parts(&self) -> [(&'static str, Value); 4] {
        let byte_level = |prefix_space: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true, "use_regex": true});
        let normalizer = match self.normalizer {
            Normalizer::None => json!(null),
            Normalizer::Clip => json!({"type": "Sequence", "normalizers": clip_normalizers()}),
            Normalizer::Bert(bert) => json!({"type": "BertNormalizer", "clean_text": bert.clean_text,
                "handle_chinese_chars": bert.handle_chinese_chars, "strip_accents": bert.strip_accents,
                "lowercase": bert.lowercase}),
        };
        let pre_tokenizer = match self.splitter {
            Splitter::Gpt2 { prefix_space } => byte_level(prefix_space),
            Splitter::Clip { names } => {
                let split = json!({"type": "Split", "pattern": {"Regex": CLIP_PATTERNS[usize::from(names)]},
                    "behavior": "Removed", "invert": true});
                json!({"type": "Sequence", "pretokenizers": [split, byte_level(false)]})
            }
            Splitter::Bert => json!({"type": "BertPreTokenizer"}),
        };
        let post_processor = match (&self.template, self.splitter) {
            (Some(template), _) => self.template_json(template),
            (None, Splitter::Gpt2 { prefix_space }) => byte_level(prefix_space),
            (None, _) => json!(null),
        };
        let decoder = match &self.model {
            Model::Bpe(_) => byte_level(false), // CLIP's as well, whose readers make spaces of END_OF_WORD
            Model::WordPiece(model) => json!({"type": "WordPiece", "prefix": CONTINUES, "cleanup": model.cleanup}),
        };
        [
            ("normalizer", normalizer),
            ("pre_tokenizer", pre_tokenizer),
            ("post_processor", post_processor),
            ("decoder", decoder),
        ]
    }

    fn template_json(&self, template: &Template) -> Value {
        let names = Shown::new(self);
        let piece = |slot: &Slot| match *slot {
            Slot::Token(id, kind) => json!({"SpecialToken": {"id": names.show(id), "type_id": kind}}),
            Slot::First(kind) => json!({"Sequence": {"id": "A", "type_id": kind}}),
            Slot::Second(kind) => json!({"Sequence": {"id": "B", "type_id": kind}}),
        };
        let [single, pair] = [&template.single, &template.pair].map(|form| form.iter().map(piece).collect::<Vec<_>>());
        let token = |slot: &Slot| match *slot {
            Slot::Token(id, _) => {
                let name = names.show(id);
                Some((name.clone(), json!({"id": name, "ids": [id], "tokens": [name]})))
            }
            _ => None,
        };
        let tokens: serde_json::Map<String, Value> =
            template.single.iter().chain(&template.pair).filter_map(token).collect();
        json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens})
    }

    /// Writes a `tokenizer.json` to `path`, or into the directory `path`. The file is there complete or not at all: it
    /// is written beside its place, flushed to the disk and then renamed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with what the system said.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        write_whole(&path, self.to_json().as_bytes()).map_err(|source| Error::Io { path, doing: "write", source })
    }
}

/// How a file writes tokens.
struct Shown<'a> {
    tokenizer: &'a Tokenizer,
    added: FxHashMap<u32, &'a str>,
    alphabet: Alphabet,
}

impl<'a> Shown<'a> {
    fn new(tokenizer: &'a Tokenizer) -> Self {
        let added = tokenizer.added.iter().map(|added| (added.id, added.name.as_str())).collect();
        Self { tokenizer, added, alphabet: Alphabet::new() }
    }

    /// An added token's name stands for itself.
    fn show(&self, id: u32) -> String {
        let token = &self.tokenizer.tokens[id as usize];
        match (self.added.get(&id), &self.tokenizer.model) {
            (Some(name), _) => (*name).to_owned(),
            (None, Model::Bpe(_)) => self.alphabet.show(token),
            (None, Model::WordPiece(_)) => String::from_utf8_lossy(token).into_owned(),
        }
    }
}

/// Appends `items` with commas between them, each on a line of its own.
fn lines(text: &mut String, indent: &str, items: impl Iterator<Item = String>) {
    let mut any = false;
    for item in items {
        text.push_str(if any { ",\n" } else { "\n" });
        text.push_str(indent);
        text.push_str(&item);
        any = true;
    }
    if any {
        text.push('\n');
        text.push_str(&indent[2..]);
    }
}

/// Puts `bytes` at `path` in one step: a reader sees the old file or the new one, whenever the machine stops.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    // The permissions of any other file, as the umask says; a temporary one would be its owner's alone.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let made = builder.prefix(".tmp-tokenizer-").tempfile_in(directory);
    // Of what it says the file's name, which is gone, is left out.
    let said = |error: io::Error| {
        io::Error::new(error.kind(), error.to_string().split(" at path ").next().unwrap_or("").to_owned())
    };
    let mut file = made.map_err(said)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all() // the rename itself is on the disk only now
}
