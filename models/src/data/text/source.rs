//! Which files a source of text names, and whether they can be text.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::error::DataError;
use super::shard::Sum;
use crate::data::labelled::Tally;

/// Zero bytes are looked for in the first pieces of a file only; no text has them, and most other files do early.
const SNIFFED: u64 = 64 * 1024;

/// A file or folder of text, and how often it is seen: `PATH` or `PATH=WEIGHT`.
///
/// ```
/// use models::data::text::Source;
/// let source: Source = "books=2.5".parse().unwrap();
/// assert_eq!((source.path.to_str(), source.weight), (Some("books"), Some(2.5)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// A file, or a folder that is searched with all its folders.
    pub path: PathBuf,
    /// The share of samples relative to the other sources' weights. Where no source has one, each counts with its
    /// number of tokens, so that all tokens are equally likely.
    pub weight: Option<f64>,
}

impl FromStr for Source {
    type Err = DataError;

    /// The text after the last `=` is a weight, unless the whole names an existing file or cannot be meant as one.
    fn from_str(s: &str) -> Result<Self, DataError> {
        let unweighted = || Ok(Self { path: s.into(), weight: None });
        let Some((path, weight)) = s.rsplit_once('=') else {
            return unweighted();
        };
        let path = PathBuf::from(path);
        match weight.parse::<f64>() {
            _ if Path::new(s).exists() => unweighted(),
            Ok(w) if w > 0.0 && w.is_finite() => Ok(Self { path, weight: Some(w) }),
            Err(_) if !path.exists() => unweighted(),
            _ => Err(DataError::Weight { path, weight: weight.to_owned() }),
        }
    }
}

/// How documents stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As they are, with `<|endoftext|>` between them; without it the file is one document.
    Plain,
    /// One a line, as `{"text": "…"}`.
    JsonLines,
}

/// One file of text, as it was when it was found.
#[derive(Clone, Debug)]
pub(super) struct RawFile {
    pub path: PathBuf,
    pub format: Format,
    pub len: u64,
    modified: Option<SystemTime>,
}

impl RawFile {
    /// Reads it piece by piece.
    pub fn each_chunk(&self, mut look: impl FnMut(&[u8])) -> Result<(), DataError> {
        let mut from = File::open(&self.path).map_err(|e| unreadable(&self.path, e))?;
        let mut chunk = vec![0; 1 << 16];
        loop {
            match from.read(&mut chunk).map_err(|e| unreadable(&self.path, e))? {
                0 => return Ok(()),
                read => look(&chunk[..read]),
            }
        }
    }

    /// The sum of what is in it.
    pub fn content(&self) -> Result<Sum, DataError> {
        let mut hash = Sha256::new();
        self.each_chunk(|chunk| hash.update(chunk))?;
        Ok(hash.finalize().into())
    }

    /// An error if the file is not what it was when it was found: then what was read is not one state of it.
    pub fn check_unchanged(&self) -> Result<(), DataError> {
        let now = fs::metadata(&self.path).map_err(|e| unreadable(&self.path, e))?;
        if (now.len(), now.modified().ok()) == (self.len, self.modified) {
            return Ok(());
        }
        Err(DataError::Changed { path: self.path.clone() })
    }
}

/// The text files that `path` names: itself, or what a folder holds, sorted by name, folders within included; and what was
/// passed over there, a sentence each.
pub(super) fn list(path: &Path) -> Result<(Vec<RawFile>, Vec<String>), DataError> {
    let meta = fs::metadata(path).map_err(|e| unreadable(path, e))?;
    if !meta.is_dir() {
        let file = raw_file(path, &meta, format(path).unwrap_or(Format::Plain))?;
        return Ok((vec![file.ok_or_else(|| DataError::Empty { path: path.to_owned() })?], Vec::new()));
    }
    let (mut walk, mut notes) = (Walk::default(), Vec::new());
    walk.folder(path)?;
    if walk.files.is_empty() {
        return Err(DataError::NoText { path: path.to_owned() });
    }
    let named = "of another name than .txt, .md, .jsonl, .ndjson or .json-lines";
    let [one, many] = ["file is", "files are"].map(|are| format!("{are} {named}, and passed over"));
    walk.others.say(&one, &many, &mut notes);
    let [one, many] = ["folder is", "folders are"].map(|are| format!("linked {are} read as well"));
    walk.linked.say(&one, &many, &mut notes);
    walk.empty.say("file is empty", "files are empty", &mut notes);
    Ok((walk.files, notes))
}

/// What was found in a folder so far.
#[derive(Default)]
struct Walk {
    files: Vec<RawFile>,
    /// The folders that were walked, each once: links can lead in circles.
    known: HashSet<PathBuf>,
    others: Tally,
    empty: Tally,
    linked: Tally,
}

impl Walk {
    /// Links are followed; hidden files and folders are nobody's text.
    fn folder(&mut self, dir: &Path) -> Result<(), DataError> {
        if !self.known.insert(fs::canonicalize(dir).map_err(|e| unreadable(dir, e))?) {
            return Ok(());
        }
        let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(|e| unreadable(dir, e))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let meta = fs::metadata(&path);
            match (format(&path), meta) {
                (_, Ok(meta)) if meta.is_dir() => {
                    if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                        self.linked.add(|| path.display().to_string());
                    }
                    self.folder(&path)?;
                }
                (Some(format), meta) => match raw_file(&path, &meta.map_err(|e| unreadable(&path, e))?, format)? {
                    Some(file) => self.files.push(file),
                    None => self.empty.add(|| path.display().to_string()),
                },
                (None, _) => self.others.add(|| path.display().to_string()),
            }
        }
        Ok(())
    }
}

/// How a file is read by the end of its name; none for a file that a folder's walk passes over.
fn format(path: &Path) -> Option<Format> {
    match ending(path).as_str() {
        "txt" | "md" => Some(Format::Plain),
        "jsonl" | "json-lines" | "ndjson" => Some(Format::JsonLines),
        _ => None,
    }
}

fn ending(path: &Path) -> String {
    path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase()
}

/// The file with what is known of it; none if it is empty.
fn raw_file(path: &Path, meta: &fs::Metadata, format: Format) -> Result<Option<RawFile>, DataError> {
    let path = path.to_owned();
    if !meta.is_file() {
        return Err(DataError::NotAFile { path });
    }
    let mut head = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(SNIFFED).read_to_end(&mut head));
    read.map_err(|e| unreadable(&path, e))?;
    if let Some(at) = head.iter().position(|&b| b == 0) {
        return Err(DataError::Binary { path, at });
    }
    let mut format = format;
    if ending(&path) == "json" {
        // Many a file of this name has an object on each line; one that is a single value has not.
        let head = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&head).trim_ascii_start();
        let first = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if serde_json::from_slice::<serde_json::Map<_, _>>(first).is_ok() {
            format = Format::JsonLines;
        } else if matches!(head.first(), Some(b'{' | b'[')) {
            return Err(DataError::Json { path });
        }
    }
    let file = RawFile { path, format, len: meta.len(), modified: meta.modified().ok() };
    Ok((file.len > 0).then_some(file))
}

/// The system's refusal to read `path`, as a sentence.
pub(super) fn unreadable(path: &Path, source: io::Error) -> DataError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        DataError::Missing { path }
    } else {
        DataError::Unreadable { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_walked_in_sorted_order_past_hidden_empty_and_other_files() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("b.txt", "b"),
            ("a/z.md", "z"),
            ("a/y.JSONL", "{}"),
            ("c.json-lines", "{}"),
            ("c.ndjson", "{}"),
            ("a/.hidden.txt", "h"),
            (".git/x.txt", "x"),
            ("d.rs", "d"),
            ("e.txt", ""),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (files, notes) = list(dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|f| f.path.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a/y.JSONL", "a/z.md", "b.txt", "c.json-lines", "c.ndjson"]);
        let plain = files.iter().map(|f| f.format == Format::Plain).collect::<Vec<_>>();
        assert_eq!(plain, [false, true, true, false, false]);
        assert!(notes.len() == 2 && notes[0].starts_with("1 file is of another name") && notes[0].ends_with("d.rs"));
        assert!(notes[1].starts_with("1 file is empty: ") && notes[1].ends_with("e.txt"), "{notes:?}");
        assert_eq!(list(&dir.path().join("d.rs")).unwrap().0.len(), 1, "any file counts when it is named itself");
        fs::write(dir.path().join("g.json"), "\u{feff}{\"text\": \"a\"}\n{\"text\": \"b\"}\n").unwrap();
        assert_eq!(list(&dir.path().join("g.json")).unwrap().0[0].format, Format::JsonLines);
        fs::write(dir.path().join("f.json"), "[{\"text\": \"a\"}]").unwrap();
        let refused = list(&dir.path().join("f.json")).unwrap_err().to_string();
        assert!(refused.contains("f.json is one JSON value") && refused.contains(".jsonl"), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_a_circle_ends() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.txt"), "a").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("again.txt")).unwrap();
        fs::create_dir(dir.path().join("within")).unwrap();
        fs::write(dir.path().join("within/b.txt"), "b").unwrap();
        std::os::unix::fs::symlink(dir.path().join("within"), dir.path().join("linked")).unwrap();
        let files = list(dir.path()).unwrap().0;
        let names: Vec<_> = files.iter().map(|f| f.path.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.txt", "linked/b.txt"], "a folder is read once, and through a link as well");
    }

    #[test]
    fn only_what_can_be_a_weight_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a=2");
        fs::write(&file, "text").unwrap();
        let file = file.to_str().unwrap();
        let source = |s: &str| s.parse::<Source>().map(|s| (s.path.to_str().unwrap().to_owned(), s.weight));
        assert_eq!(source(file).unwrap(), (file.to_owned(), None), "an existing file's name is not cut");
        assert_eq!(source(&format!("{file}=3")).unwrap(), (file.to_owned(), Some(3.0)));
        assert_eq!(source("no/such=x.txt").unwrap(), ("no/such=x.txt".to_owned(), None));
        for weight in ["0", "-1", "nan", "inf", "many", ""] {
            let message = source(&format!("{file}={weight}")).unwrap_err().to_string();
            let says = format!("the weight \"{weight}\" of {file} is not a positive number: write {file}=2");
            assert!(message.starts_with(&says), "{message}");
        }
    }
}
