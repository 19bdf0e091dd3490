//! What can go wrong with the world: a sentence that names the file and the way out.
//!
//! A wrong shape inside the program panics; a wrong file, option or checkpoint returns one of these.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Something outside the program is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory; the sentence says what is wrong with it and what to do.
    #[error("{}: {what}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// There is no room for a file; the sentence says so.
    #[error("{}: {what}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What it was to be done with, and what to do.
        what: String,
    },
    /// Options that do not fit together or cannot be met.
    #[error("{0}")]
    Options(String),
    /// Text that cannot be learned from.
    #[error("{0}")]
    Data(String),
    /// A tokenizer that cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// The hub, or the way to it.
    #[error("{0}")]
    Hub(String),
    /// Data that was written anew while it was being read: what was read before and what is there now do not belong together.
    #[error("{}: it was written anew while it was being read, and where a picture was another may be now: leave it as it is, \
             and start again", .0.display())]
    Changed(PathBuf),
    /// Training cannot go on.
    #[error("{0}")]
    Training(String),
}

impl Error {
    /// An error of one file.
    pub fn file(path: impl AsRef<Path>, what: impl Display) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), what: what.to_string() }
    }

    /// The system's refusal to do something with a file, with a way out where one is known.
    pub fn io(path: impl AsRef<Path>, doing: &str, error: &std::io::Error) -> Self {
        let said = said(error);
        let way_out = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                let what = format!(
                    "cannot {doing} it ({said}): the disk, or what you may use of it, is full; make room or \
                     choose another place"
                );
                return Self::Full { path: path.as_ref().to_path_buf(), what };
            }
            ErrorKind::PermissionDenied => ": change its permissions or choose another place",
            ErrorKind::NotFound => ": check the path",
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => ": a file is in the way; choose another place",
            ErrorKind::InvalidData => ": it is no text; give another file",
            _ => "",
        };
        Self::file(path, format!("cannot {doing} it ({said}){way_out}"))
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// What the system said, without the name of a temporary file, which is gone and says nothing to anybody.
pub(crate) fn said(error: &std::io::Error) -> String {
    let said = error.to_string();
    said.split_once(" at path \"").map_or(said.clone(), |(what, _)| what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_has_no_name_in_a_sentence() {
        let named = std::io::Error::new(ErrorKind::StorageFull, "no room at path \"a/.tmp-abcdef\"");
        let sentence = Error::io("a/file", "write", &named).to_string();
        assert!(sentence.starts_with("a/file: cannot write it (no room): the disk"), "{sentence}");
    }
}
