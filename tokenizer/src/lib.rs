//! Text to ids and back: byte-level byte-pair encoding, the tokenizer of GPT-2.
//!
//! A language model reads numbers. The simplest numbering of text is its bytes: 256 ids, and nothing that could
//! not be written with them. But then a word costs as many steps as it has letters. Byte-pair encoding starts from
//! the bytes and adds a token for the most frequent pair of neighbours, then for the most frequent pair of what that
//! gives, and so on: `t h` → `th`, `th e` → `the`, … (Gage 1994; Sennrich et al. 2016; over bytes: Radford et al. 2019,
//! section 2.2). Frequent words become one id, rare ones a few, and any bytes can still be encoded and decoded
//! without loss.
//!
//! ```
//! use tokenizer::{Special, Tokenizer};
//! let text = b"the cat sat on the mat, the cat that sat on the hat";
//! let tokenizer = Tokenizer::train(&[text], 270)?;
//! let ids = tokenizer.encode(b"the mat \xFF", Special::Refuse)?;
//! assert!(ids.len() < 9);
//! assert_eq!(tokenizer.decode(&ids)?, b"the mat \xFF");
//! # Ok::<(), tokenizer::Error>(())
//! ```
//!
//! # How the files follow
//!
//! | file | what it teaches |
//! |---|---|
//! | `reference` | the whole algorithm, slow and obvious: splitting, training, encoding |
//! | `kind`, `split` | which characters make a word, that is, where no merge may cross |
//! | `train` | how the merges are learned in one pass over the text |
//! | `merge`, `cache` | how one word is encoded, and how most words need not be |
//! | `special` | names in the text that are tokens of their own, such as `<|endoftext|>` |
//! | `alphabet`, `read`, `write` | Hugging Face's `tokenizer.json`, in and out |
//!
//! # What holds
//!
//! - Decoding gives back the bytes that were encoded, whatever they are.
//! - Training gives the same merges for any number of threads. Ties go to the smaller pair (left id, right id).
//! - Training takes memory for the different words of the text and not for the text; encoding is n·log n on any input.
//! - The ids are those of the `tokenizers` library with the same file.

#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::fmt;

mod alphabet;
mod cache;
mod error;
mod kind;
mod merge;
mod read;
pub mod reference;
mod special;
mod split;
#[cfg(test)]
mod testing;
mod train;
mod write;

use cache::Caches;
pub use error::Error;
pub use kind::Kind;
pub use merge::Merge;
use merge::Ranks;
use special::find;
pub use special::{END_OF_TEXT, FRAME, Frame, Special};
pub use split::{cut, pieces, words};

/// The bytes of a token.
type Token = Box<[u8]>;

/// The tokens before anything is learned: each byte, in order.
fn single_bytes() -> Vec<Token> {
    (0..=255).map(|byte| [byte].into()).collect()
}

/// The bytes of two tokens together.
fn joined(tokens: &[Token], left: u32, right: u32) -> Token {
    [&*tokens[left as usize], &*tokens[right as usize]].concat().into()
}

/// A byte-level byte-pair tokenizer. It can be shared by threads.
pub struct Tokenizer {
    tokens: Vec<Token>,           // by id
    byte_ids: [u32; 256],         // the ids of the single bytes
    merges: Vec<Merge>,           // in the order in which they were learned
    ranks: Ranks,                 // the same, by pair
    specials: Vec<(String, u32)>, // by length of the name, the longest first
    lstrip: Vec<u32>,             // special tokens that take the white space before them along
    caches: Caches,
}

impl Tokenizer {
    /// The tokenizer that learned nothing: 256 tokens, each byte its own id, no special token.
    pub fn bytes() -> Self {
        Self::new(single_bytes(), Vec::new(), Vec::new())
    }

    /// Learns a vocabulary of `vocab_size` tokens from `documents`: the 256 bytes (id = byte), the merges, and
    /// [`END_OF_TEXT`] as the last id. With a size of 256 these are the [`bytes`](Self::bytes) alone.
    ///
    /// The most frequent pair is merged first, ties go to the smaller (left id, right id), and a pair that stands only
    /// once is not merged: a short text gives fewer tokens than asked for, see [`vocab_size`](Self::vocab_size).
    /// [`END_OF_TEXT`] inside a document separates texts and is never learned from. Documents are read
    /// once, in parallel, and not copied: they may be memory-mapped files larger than the memory.
    ///
    /// # Errors
    ///
    /// [`Error::VocabSize`] below 256; [`Error::TooManyWords`] if the different words have more than 4 GiB together.
    pub fn train(documents: &[&[u8]], vocab_size: usize) -> Result<Self, Error> {
        match vocab_size {
            0..256 => return Err(Error::VocabSize(vocab_size)),
            256 => return Ok(Self::bytes()),
            _ => {}
        }
        let (mut tokens, merges) = train::train(documents, vocab_size)?;
        let end_of_text = (END_OF_TEXT.to_owned(), tokens.len() as u32);
        tokens.push(END_OF_TEXT.as_bytes().into());
        Ok(Self::new(tokens, merges, vec![end_of_text]))
    }

    /// The same tokenizer for masked prediction: [`FRAME`] are its first ids, all others follow in their order, and
    /// [`END_OF_TEXT`] is gone, since a text's ends are marked by the frame. One that has these names stays as it is.
    #[must_use]
    pub fn framed(self) -> Self {
        if self.frame().is_some() {
            return self;
        }
        let n = FRAME.len() as u32;
        let gone = self.end_of_text();
        let moved = |id: u32| n + id - u32::from(gone.is_some_and(|gone| gone < id));
        let frame = FRAME.iter().map(|name| name.as_bytes().into());
        let kept = self.tokens.iter().zip(0..).filter(|&(_, id)| Some(id) != gone).map(|(token, _)| token.clone());
        let merge = |m: &Merge| Merge { left: moved(m.left), right: moved(m.right), token: moved(m.token) };
        let others = self.specials.iter().filter(|&&(_, id)| Some(id) != gone);
        let specials = FRAME.iter().zip(0..).map(|(name, id)| ((*name).to_owned(), id));
        let specials = specials.chain(others.map(|(name, id)| (name.clone(), moved(*id)))).collect();
        let lstrip = self.lstrip.iter().map(|&id| moved(id));
        let lstrip = lstrip.chain([n - 1]).collect();
        Self { lstrip, ..Self::new(frame.chain(kept).collect(), self.merges.iter().map(merge).collect(), specials) }
    }

    /// The ids of the frame, if this is a tokenizer for masked prediction.
    pub fn frame(&self) -> Option<Frame> {
        let [pad, cls, sep, mask] = FRAME.map(|name| self.special(name));
        Some(Frame { pad: pad?, cls: cls?, sep: sep?, mask: mask? })
    }

    /// What stands between two documents: the end of the one and the beginning of the other, as far as there are marks.
    pub fn between(&self) -> Vec<u32> {
        match self.frame() {
            Some(frame) => vec![frame.sep, frame.cls],
            None => self.end_of_text().into_iter().collect(),
        }
    }

    /// `tokens` by id, all single bytes among them; `specials` in any order.
    fn new(tokens: Vec<Token>, merges: Vec<Merge>, mut specials: Vec<(String, u32)>) -> Self {
        let mut byte_ids = [0; 256];
        for (token, id) in tokens.iter().zip(0..) {
            if let [byte] = **token {
                byte_ids[usize::from(byte)] = id;
            }
        }
        specials.sort_by_key(|(name, id)| (Reverse(name.len()), *id));
        let ranks = Ranks::new(&merges);
        let caches = Caches::default();
        Self { tokens, byte_ids, merges, ranks, specials, lstrip: Vec::new(), caches }
    }

    /// The number of tokens, special ones included; ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// The ids of `text`. `special` says what happens where the text holds a special token's name.
    ///
    /// # Errors
    ///
    /// [`Error::SpecialInText`] if there is such a place and `special` is [`Special::Refuse`].
    pub fn encode(&self, text: &[u8], special: Special) -> Result<Vec<u32>, Error> {
        let (mut ids, mut start) = (Vec::with_capacity(text.len() / 4 + 1), 0);
        if special != Special::AsText {
            for (at, name, id) in special::names(text, &self.specials) {
                if special == Special::Refuse {
                    return Err(Error::SpecialInText { name: name.to_owned(), at });
                }
                let before = &text[start..at];
                let before = if self.lstrip.contains(&id) { special::without_space(before) } else { before };
                self.encode_ordinary(before, &mut ids);
                ids.push(id);
                start = at + name.len();
            }
        }
        self.encode_ordinary(&text[start..], &mut ids);
        Ok(ids)
    }

    /// Appends the ids of `text` to `ids`; the names of special tokens are text like any other.
    ///
    /// It may be called from several threads at once; [`pieces`] cuts one long text for that. The twin is
    /// [`reference::encode`]. Panics if a single word, a text without a boundary, has 4 GiB or more.
    pub fn encode_ordinary(&self, text: &[u8], ids: &mut Vec<u32>) {
        self.caches.with(|cache| {
            for word in words(text) {
                cache.get_or(word, ids, |ids| {
                    self.ranks.merge(word.iter().map(|&byte| self.byte_ids[usize::from(byte)]), ids);
                });
            }
        });
    }

    /// The bytes of `ids`, one after the other. They need not be valid UTF-8: a token may end inside a character.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownId`] names the first id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<Vec<u8>, Error> {
        let mut text = Vec::with_capacity(ids.len() * 4);
        for (at, &id) in ids.iter().enumerate() {
            let unknown = || Error::UnknownId { id, at, vocab_size: self.vocab_size() };
            text.extend_from_slice(self.token(id).ok_or_else(unknown)?);
        }
        Ok(text)
    }

    /// The bytes of the token `id`; a special token's are its name.
    pub fn token(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(|token| &token[..])
    }

    /// The merges, in the order in which they were learned.
    pub fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// The special tokens' names and ids, in the order of the ids.
    pub fn specials(&self) -> Vec<(&str, u32)> {
        let mut specials: Vec<_> = self.specials.iter().map(|(name, id)| (name.as_str(), *id)).collect();
        specials.sort_by_key(|&(_, id)| id);
        specials
    }

    /// The id of the special token `name`.
    pub fn special(&self, name: &str) -> Option<u32> {
        self.specials.iter().find(|(known, _)| known == name).map(|&(_, id)| id)
    }

    /// The id of [`END_OF_TEXT`], which stands between documents.
    pub fn end_of_text(&self) -> Option<u32> {
        self.special(END_OF_TEXT)
    }
}

/// The copy remembers no words yet.
impl Clone for Tokenizer {
    fn clone(&self) -> Self {
        let copy = Self::new(self.tokens.clone(), self.merges.clone(), self.specials.clone());
        Self { lstrip: self.lstrip.clone(), ..copy }
    }
}

/// The sizes; fifty thousand tokens would help nobody.
impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("merges", &self.merges.len())
            .field("specials", &self.specials())
            .finish_non_exhaustive()
    }
}
