//! What can go wrong: a sentence that names the file, the place in it, and the way out.

use std::path::{Path, PathBuf};

/// A tokenizer cannot be made, read, written or used as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused to read or write a file.
    #[error("{}: cannot {doing} it ({source}): check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is no tokenizer that can be used.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// JSON text is no tokenizer that can be used.
    #[error("{0}")]
    Format(String),
    /// A vocabulary that cannot hold all bytes.
    #[error("a vocabulary of {0} tokens cannot hold all 256 bytes: give 256 (bytes alone) or more")]
    SmallVocabulary(usize),
    /// A special token's name stands in a text that must not hold one.
    #[error("the text holds the special token {0}: allow it, or have it treated as text")]
    SpecialInText(String),
    /// An id that no token has.
    #[error("id {id} is outside the vocabulary of {size} tokens: the ids belong to another tokenizer")]
    UnknownId {
        /// The id.
        id: u32,
        /// How many tokens there are.
        size: usize,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, doing: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), doing, source }
    }
}
