//! What can be wrong with text data: one sentence each, with the file, what is wrong and the way out.

use std::io;
use std::path::PathBuf;

use crate::error::Error;

/// Why text could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No such file or folder.
    #[error("there is no file or folder {}: check the path", path.display())]
    Missing {
        /// As it was given.
        path: PathBuf,
    },
    /// The system does not let it be read.
    #[error("cannot read {} ({source}): check its permissions and its disk", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A file of no bytes.
    #[error("{} is empty: give a file with text in it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A pipe, socket or device: text is read more than once.
    #[error("{} is neither a file nor a folder: write its text to a file first", path.display())]
    NotAFile {
        /// As it was given.
        path: PathBuf,
    },
    /// A folder in which no file counts as text.
    #[error(
        "the folder {} has no text: it was searched for files .txt, .md, .jsonl, .ndjson and .json-lines that are \
         neither hidden nor empty; files of other names can be given one by one",
        path.display()
    )]
    NoText {
        /// The folder.
        path: PathBuf,
    },
    /// A file of one list or of one object in JSON.
    #[error(
        "{} is one JSON value, whose braces and quotes would be learned: write its texts as one object a line, such as \
         {{\"text\": \"…\"}}, into a file .jsonl, or give it the ending .txt to learn it as it stands",
        path.display()
    )]
    Json {
        /// The file.
        path: PathBuf,
    },
    /// A file with a zero byte near its beginning.
    #[error(
        "{} is not text, for its byte {at} is zero: leave it out, unpack it if it is compressed, or write it as \
         UTF-8 if it is UTF-16",
        path.display()
    )]
    Binary {
        /// The file.
        path: PathBuf,
        /// Index of the first zero byte.
        at: usize,
    },
    /// A line of a JSON-lines file that is not a document.
    #[error(
        "{}:{line} is not a JSON object with a string \"text\" ({why}): write one object a line, such as \
         {{\"text\": \"…\"}}, or remove the line",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// What the parser says.
        why: String,
    },
    /// A weight that is not a positive number.
    #[error(
        "the weight \"{weight}\" of {} is not a positive number: write {}=2 to see it twice as often as what has \
         weight 1",
        path.display(), path.display()
    )]
    Weight {
        /// The source.
        path: PathBuf,
        /// What stood after the `=`.
        weight: String,
    },
    /// Some sources have weights and this one has none.
    #[error("{} has no weight, but other data have: give all of it weights, or none", path.display())]
    WeightLacking {
        /// The first source without.
        path: PathBuf,
    },
    /// Validation data with a weight.
    #[error("{} has a weight, but all of the validation data is read, once: leave the weight out", path.display())]
    WeightOfValidation {
        /// The source.
        path: PathBuf,
    },
    /// A held-out share outside [0, 1).
    #[error("the share {share} held out for validation is not in [0, 1): 0.1 holds out a tenth")]
    Share {
        /// As it was given.
        share: f64,
    },
    /// No source at all.
    #[error("no training data was named: give at least one file or folder")]
    Nothing,
    /// A part that does not fill a row.
    #[error(
        "{part} data of {} has {} and a row takes {window}: {}",
        path.display(), counted(*tokens), way_out(part, *held_out, *fixed, [*tokens, *window])
    )]
    TooFewTokens {
        /// `training` or `validation`.
        part: &'static str,
        /// The source.
        path: PathBuf,
        /// How many tokens the part has.
        tokens: u64,
        /// How many a row takes.
        window: u64,
        /// Whether the validation part is held out of the training data.
        held_out: bool,
        /// Whether rows have to be as long, for the model is there already.
        fixed: bool,
    },
    /// A file that was written to while it was read.
    #[error("{} was changed while it was read: start again when it is complete", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The cache cannot be written: a full disk, most often.
    #[error(
        "cannot write tokens to the cache {} ({source}): make room or give permission there, or name another \
         directory in PRETEXT_CACHE",
        dir.display()
    )]
    Cache {
        /// The cache directory.
        dir: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// A number of tokens as a part of a sentence.
fn counted(tokens: u64) -> String {
    if tokens == 1 { "1 token,".to_owned() } else { format!("{tokens} tokens,") }
}

/// What helps a part that has too few tokens for a row of `window`.
fn way_out(part: &str, held_out: bool, fixed: bool, [tokens, window]: [u64; 2]) -> String {
    /// Rows of fewer tokens are no advice.
    const FEWEST: u64 = 4;
    let other = match (held_out, part) {
        (false, _) => "",
        (true, "training") => ", or name with --val-data what to validate on, and nothing is held out of it",
        (true, _) => ", a larger --val-share, or --val-data",
    };
    let shorter = match tokens {
        FEWEST.. if !fixed => format!(", or make --block-size smaller by {}", window - tokens),
        _ => String::new(),
    };
    format!("give more text{other}{shorter}")
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Self {
        use DataError::{Nothing, Share, Weight, WeightLacking, WeightOfValidation};
        match error {
            Weight { .. } | WeightLacking { .. } | WeightOfValidation { .. } | Share { .. } | Nothing => {
                Self::Options(error.to_string())
            }
            _ => Self::Data(error.to_string()),
        }
    }
}
