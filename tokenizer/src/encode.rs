//! From text to ids and back, through all parts of the pipeline.
//!
//! ```text
//! text ─ names of added tokens ─ normaliser ─ names again ─ words ─ model ─ ids ─ template
//! ```
//!
//! Each part is one of few kinds, and which words a text has is asked once a text, not once a word: the loop over the
//! words is compiled for each kind of splitting.

use crate::bpe::{Bpe, END_OF_WORD};
use crate::normalize::Normalizer;
use crate::special::Part;
use crate::word_piece::{self, WordPiece};
use crate::{Error, Merge, Special, Token, Tokenizer, bert, clip, words};

/// How a text falls into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Splitter {
    /// GPT-2's pattern. With `prefix_space` a text that does not begin with a space is given one.
    Gpt2 { prefix_space: bool },
    /// CLIP's pattern, perhaps with its two names as pieces of their own.
    Clip { names: bool },
    /// White space and punctuation, as BERT has it.
    Bert,
}

/// What makes ids of a word.
#[derive(Clone)]
pub(crate) enum Model {
    Bpe(Bpe),
    WordPiece(WordPiece),
}

impl Model {
    #[inline]
    fn encode(&self, word: &[u8], ids: &mut Vec<u32>) {
        match self {
            Self::Bpe(bpe) => bpe.encode(word, ids),
            Self::WordPiece(word_piece) => word_piece.encode(word, ids),
        }
    }

    /// Whether the vocabulary itself has a token, and not only the list of added ones. To a byte-pair model it is all one:
    /// a token without merges is never made of a text.
    pub(crate) fn holds(&self, token: &[u8]) -> bool {
        match self {
            Self::Bpe(_) => true,
            Self::WordPiece(word_piece) => word_piece.holds(token),
        }
    }

    /// The same with other ids, `tokens` in their order.
    pub(crate) fn renumbered(&self, tokens: &[Token], id: impl Fn(u32) -> u32) -> Self {
        match self {
            Self::Bpe(bpe) => {
                let merge = |m: &Merge| Merge { left: id(m.left), right: id(m.right), token: id(m.token) };
                let merges = bpe.merges.iter().map(merge).collect();
                Self::Bpe(Bpe::new(tokens, merges, bpe.ends_words(), bpe.unknown.map(id)))
            }
            Self::WordPiece(word_piece) => Self::WordPiece(word_piece.renumbered(id)),
        }
    }
}

impl Tokenizer {
    /// Whether text becomes ids as with GPT-2: by its words, bytes and merges, with nothing done to the text, put before it or
    /// around it. For readers who know that pipeline and no other.
    pub fn is_gpt2(&self) -> bool {
        let pipeline = (&self.normalizer, self.splitter, &self.model);
        matches!(pipeline, (Normalizer::None, Splitter::Gpt2 { prefix_space: false }, Model::Bpe(_)))
            && self.template.is_none()
    }

    /// The ids of `text`. `special` says what happens where the text holds a special token's name.
    ///
    /// # Errors
    ///
    /// [`Error::SpecialInText`] if there is such a place and `special` is [`Special::Refuse`].
    pub fn encode(&self, text: &[u8], special: Special) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        self.append(text, special, &mut ids)?;
        Ok(ids)
    }

    /// Appends the ids of `text` to `ids`; the names of special tokens are text like any other.
    ///
    /// It may be called from several threads at once; [`cut`](Self::cut) parts one long text for that. The twin is
    /// [`reference::encode`](crate::reference::encode). Panics if a single word, a text without a boundary, has 4 GiB or
    /// more.
    pub fn encode_ordinary(&self, text: &[u8], ids: &mut Vec<u32>) {
        self.append(text, Special::AsText, ids).expect("where names are text, none is refused");
    }

    fn append(&self, text: &[u8], special: Special, ids: &mut Vec<u32>) -> Result<(), Error> {
        self.names.split(text, special, |part| match part {
            Part::Token(id, _) => {
                ids.push(id);
                Ok(())
            }
            Part::Text(start, text) => self.encode_part(text, special, ids).map_err(|error| match error {
                Error::SpecialInText { name, at } => Error::SpecialInText { name, at: start + at },
                other => other,
            }),
        })
    }

    /// What stands between the names that are looked for in a text as it is.
    fn encode_part(&self, text: &[u8], special: Special, ids: &mut Vec<u32>) -> Result<(), Error> {
        self.normal_names.split(&self.normalizer.apply(text), special, |part| {
            match part {
                Part::Token(id, _) => ids.push(id),
                Part::Text(_, text) => self.encode_words(text, ids),
            }
            Ok(())
        })
    }

    /// What stands between any names.
    pub(crate) fn encode_words(&self, text: &[u8], ids: &mut Vec<u32>) {
        match self.splitter {
            Splitter::Gpt2 { prefix_space } if prefix_space && !text.starts_with(b" ") => {
                self.encode_each(text.len(), words(&[b" ", text].concat()), ids);
            }
            Splitter::Gpt2 { .. } => self.encode_each(text.len(), words(text), ids),
            Splitter::Clip { names } => self.encode_each(text.len(), clip::words(text, names), ids),
            Splitter::Bert => self.encode_each(text.len(), bert::words(&String::from_utf8_lossy(text)), ids),
        }
    }

    #[inline]
    fn encode_each<'a>(&self, length: usize, words: impl Iterator<Item = &'a [u8]>, ids: &mut Vec<u32>) {
        self.caches.with(length, |cache| {
            for word in words {
                cache.get_or(word, ids, |ids| self.model.encode(word, ids));
            }
        });
    }

    /// The text of `ids`. Byte-level tokens give back the bytes that they came from, which need not be valid UTF-8: a token
    /// may end inside a character. WordPiece and CLIP's tokens give words with single spaces between them.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownId`] names the first id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<Vec<u8>, Error> {
        let mut text = Vec::with_capacity(ids.len() * 4);
        for (at, &id) in ids.iter().enumerate() {
            let unknown = || Error::UnknownId { id, at, vocab_size: self.vocab_size() };
            let token = self.token(id).ok_or_else(unknown)?;
            match &self.model {
                Model::Bpe(bpe) if bpe.ends_words() && token.ends_with(END_OF_WORD.as_bytes()) => {
                    text.extend_from_slice(&token[..token.len() - END_OF_WORD.len()]);
                    text.extend((at + 1 < ids.len()).then_some(b' '));
                }
                Model::Bpe(_) => text.extend_from_slice(token),
                Model::WordPiece(model) => word_piece::append(&mut text, token, at == 0, model.cleanup),
            }
        }
        Ok(text)
    }
}
