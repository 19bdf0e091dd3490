//! Text to ids and back: byte-level byte-pair encoding, from scratch.
//!
//! A vocabulary of words never ends, and one of letters makes long sequences. Byte-pair encoding stands between: it
//! starts from the 256 bytes, so any input can be written, and makes a new token of the pair that is most frequent,
//! again and again (Sennrich et al. 2016; on bytes Radford et al. 2019, section 2.2). Frequent words become one token,
//! rare ones a few.
//!
//! In reading order: `words` splits text as GPT-2 does; `encode` merges the pairs of one word; `train` learns
//! the merges; `reference` holds the slow and obvious forms of both; `alphabet` and `json` are Hugging Face's file.
//!
//! ```
//! use tokenizer::{Special, Tokenizer};
//! let tokenizer = Tokenizer::train(&[b"low lower lowest low low"], 261).unwrap();
//! let ids = tokenizer.encode(b"lowest", Special::Refuse).unwrap();
//! assert!(ids.len() < 6);
//! assert_eq!(tokenizer.decode(&ids).unwrap(), b"lowest");
//! ```

#![forbid(unsafe_code)]

mod alphabet;
mod encode;
mod error;
mod json;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
mod train;
mod words;

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

pub use error::Error;
pub use words::{Words, cut, words};

use encode::{Merge, Merges};

/// The special token between documents.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// What to do with the name of a special token that stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// An error: the text comes from someone who must not steer the model.
    Refuse,
    /// It becomes the special token.
    Allow,
    /// It is text like any other.
    AsText,
}

/// Text to ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// The bytes of every token; of a special one, its name.
    tokens: Vec<Vec<u8>>,
    /// The merges in the order in which they were learned.
    merges: Vec<(u32, u32)>,
    ranks: Merges,
    /// The token of each byte.
    bytes: [u32; 256],
    specials: Vec<(String, u32)>,
}

impl Tokenizer {
    /// Bytes as they are: 256 tokens, no merges, no special token. The id of a byte is the byte.
    pub fn bytes() -> Self {
        Self {
            tokens: (0..=255).map(|byte| vec![byte]).collect(),
            merges: Vec::new(),
            ranks: Merges::default(),
            bytes: std::array::from_fn(|byte| byte as u32),
            specials: Vec::new(),
        }
    }

    /// Learns a vocabulary of `vocab_size` tokens: the bytes (id = byte), merges in the order of learning, and last
    /// [`END_OF_TEXT`]. 256 gives [`Tokenizer::bytes`]. Fewer tokens result when no pair of tokens occurs twice any more.
    ///
    /// [`END_OF_TEXT`] in a document separates documents and is not learned from. Nothing of the text is copied.
    pub fn train(documents: &[&[u8]], vocab_size: usize) -> Result<Self, Error> {
        match vocab_size {
            0..256 => Err(Error::SmallVocabulary(vocab_size)),
            256 => Ok(Self::bytes()),
            _ => {
                let counts = train::count_words(documents, END_OF_TEXT.as_bytes());
                Ok(Self::from_merges(&train::learn(&counts, vocab_size - 257)))
            }
        }
    }

    fn from_merges(pairs: &[(u32, u32)]) -> Self {
        let mut tokenizer = Self::bytes();
        for (rank, &(left, right)) in pairs.iter().enumerate() {
            let id = tokenizer.tokens.len() as u32;
            let token = [&tokenizer.tokens[left as usize][..], &tokenizer.tokens[right as usize]].concat();
            tokenizer.tokens.push(token);
            tokenizer.ranks.insert(left, right, Merge { rank: rank as u32, id });
        }
        tokenizer.merges = pairs.to_vec();
        tokenizer.specials = vec![(END_OF_TEXT.to_owned(), tokenizer.tokens.len() as u32)];
        tokenizer.tokens.push(END_OF_TEXT.into());
        tokenizer
    }

    /// Reads a tokenizer.json, or the one in a directory.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let path: PathBuf = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, "read", error))?;
        let text = String::from_utf8_lossy(&bytes);
        Self::from_json(&text).map_err(|error| Error::File { path, what: error.to_string() })
    }

    /// Writes a tokenizer.json that appears complete or not at all.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        write_atomically(path, self.to_json().as_bytes()).map_err(|error| Error::io(path, "write", error))
    }

    /// The text of a tokenizer.json.
    pub fn to_json(&self) -> String {
        json::write(self)
    }

    /// A tokenizer from the text of a tokenizer.json; errors name the field and what is supported.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        json::read(text)
    }

    /// How many tokens there are, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// The merges in the order in which they were learned, as pairs of ids.
    pub fn merges(&self) -> &[(u32, u32)] {
        &self.merges
    }

    /// The bytes of a token; of a special one, its name.
    pub fn token(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(Vec::as_slice)
    }

    /// The id of a special token.
    pub fn special(&self, name: &str) -> Option<u32> {
        self.specials.iter().find(|special| special.0 == name).map(|special| special.1)
    }

    /// The id of the token between documents, if there is one.
    pub fn end_of_text(&self) -> Option<u32> {
        self.special(END_OF_TEXT)
    }

    /// The ids of a text.
    pub fn encode(&self, text: &[u8], special: Special) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        let mut rest = text;
        while let Some((at, name, id)) = self.first_special(rest).filter(|_| special != Special::AsText) {
            if special == Special::Refuse {
                return Err(Error::SpecialInText(name.to_owned()));
            }
            self.encode_ordinary(&rest[..at], &mut ids);
            ids.push(id);
            rest = &rest[at + name.len()..];
        }
        self.encode_ordinary(rest, &mut ids);
        Ok(ids)
    }

    /// The first special token in a text, the longest of those that begin there.
    fn first_special(&self, text: &[u8]) -> Option<(usize, &str, u32)> {
        let found = self
            .specials
            .iter()
            .filter_map(|(name, id)| Some((train::find(text, name.as_bytes())?, name.as_str(), *id)));
        found.min_by_key(|&(at, name, _)| (at, std::cmp::Reverse(name.len())))
    }

    /// Appends the ids of a text in which special tokens' names are text like any other.
    ///
    /// A word that was met before in the text is not encoded again: its ids stand in `ids` already and are copied.
    pub fn encode_ordinary(&self, text: &[u8], ids: &mut Vec<u32>) {
        let mut known: FxHashMap<&[u8], (usize, usize)> = FxHashMap::default();
        for word in words(text) {
            if let [byte] = word {
                ids.push(self.bytes[usize::from(*byte)]);
                continue;
            }
            match known.get(word) {
                Some(&(start, end)) => ids.extend_from_within(start..end),
                None => {
                    let start = ids.len();
                    encode::encode_word(&self.ranks, word.iter().map(|&byte| self.bytes[usize::from(byte)]), ids);
                    known.insert(word, (start, ids.len()));
                }
            }
        }
    }

    /// The bytes of ids; special tokens appear by name. An id outside the vocabulary is an error.
    pub fn decode(&self, ids: &[u32]) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for &id in ids {
            let token = self.token(id).ok_or(Error::UnknownId { id, size: self.vocab_size() })?;
            bytes.extend_from_slice(token);
        }
        Ok(bytes)
    }
}

/// A temporary file in the same directory, fsync, rename, fsync of the directory.
fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = directory.join(format!(".tokenizer-{}.writing", std::process::id()));
    let write = || {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        std::fs::File::open(directory)?.sync_all()
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}
