//! What can go wrong, each in one sentence: where, what was expected, and the way out.

use std::io;
use std::path::PathBuf;

/// Everything that this crate can refuse.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Training was asked for fewer tokens than there are bytes.
    #[error("a vocabulary of {0} tokens is too small: the 256 bytes come first, so ask for 256 (bytes alone) or more")]
    VocabSize(usize),

    /// Training met more different words than 32-bit places can count.
    #[error(
        "the different words of the text have {0} bytes together, and training holds at most {max}: \
         train on a part of the text",
        max = u32::MAX - 1
    )]
    TooManyWords(u64),

    /// The text holds a special token's name, and [`Special::Refuse`](crate::Special::Refuse) was chosen.
    #[error(
        "the text holds the special token {name} at byte {at}: allow special tokens, \
         or have them treated as text"
    )]
    SpecialInText {
        /// The special token's name.
        name: String,
        /// Where it begins, in bytes; only about there if it is looked for in the normalised text.
        at: usize,
    },

    /// An id to decode is not in the vocabulary.
    #[error(
        "id {id} at place {at} is outside the vocabulary of {vocab_size} tokens: \
         decode with the tokenizer that made the ids"
    )]
    UnknownId {
        /// The id.
        id: u32,
        /// Its place among the ids.
        at: usize,
        /// The number of tokens.
        vocab_size: usize,
    },

    /// The text of a tokenizer file is damaged or asks for something that is not supported.
    #[error("{0}")]
    Format(String),

    /// The same, in a file.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is the matter with it.
        problem: String,
    },

    /// The operating system would not read or write a file.
    #[error("{path}: cannot {doing} the tokenizer: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// "read" or "write".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
