//! What the commands share that work with pictures.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use models::{Config, Error, hub};

/// Whether a directory holds a CLIP: then the commands go the way of pictures.
pub fn is_clip(directory: &Path) -> Result<bool> {
    Ok(matches!(hub::config(directory)?, Config::Clip(_)))
}

/// An error if any of these options was given: (its name, whether it was). They are for pictures, and the directory holds a
/// model of text.
pub fn refuse(directory: &Path, options: &[(&str, bool)]) -> Result<()> {
    match options.iter().find(|(_, given)| *given) {
        Some((name, _)) => {
            let what = format!("is a model of text, and {name} is for pictures: give a CLIP, or leave it out");
            Err(Error::file(directory, what).into())
        }
        None => Ok(()),
    }
}

/// Whether a word is meant as a picture: it names a file, or would.
pub fn is_picture(word: &str) -> bool {
    let ending = Path::new(word).extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    let known = ["png", "jpg", "jpeg", "webp", "gif"].iter().any(|of| of.eq_ignore_ascii_case(ending));
    known || Path::new(word).is_file()
}

/// A bar on a terminal that shows how many of `all` are done, and nothing elsewhere.
pub fn counting(all: usize, what: &str) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(all as u64) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left").expect("a good template");
    bar.with_style(style).with_message(what.to_owned())
}

/// Says of pictures that could not be read why, and ends with an error if there were any: after all others are done.
pub fn all_read(faults: &[Error], of: usize) -> Result<()> {
    match faults {
        [] => Ok(()),
        [only] if of == 1 => Err(anyhow!("{only}")),
        _ => {
            faults.iter().for_each(|fault| eprintln!("note: {fault}"));
            Err(anyhow!("{} of {of} pictures could not be read, as said above; the others are done", faults.len()))
        }
    }
}

/// Words as paths.
pub fn paths(words: Vec<String>) -> Vec<PathBuf> {
    words.into_iter().map(PathBuf::from).collect()
}
