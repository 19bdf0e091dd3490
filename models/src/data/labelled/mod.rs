//! Labelled files in: the few examples that turn a pre-trained model to a task.
//!
//! | task | file | reader |
//! |---|---|---|
//! | one label for a text | label TAB text, comma-separated, or JSON lines | [`classes`] |
//! | one tag for each word | CoNLL columns | [`conll`] |
//! | a passage that answers a question | SQuAD's JSON | [`squad`] |
//! | pairs of texts, alike or sought | TABs between score and texts | [`pairs`] |
//!
//! Labels are dear, so these files are small and are read whole. They were mostly written by people, so they are
//! read with suspicion: whatever cannot be taken as it stands is an error with its line, and what is passed over
//! without harm is said in `notes`, for the user to see. An example is never lost in silence.
//!
//! ```
//! use models::data::labelled::classes;
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("reviews.tsv");
//! std::fs::write(&path, "good\tI would see it twice.\n\nbad\tI left after an hour.\n")?;
//! let reviews = classes::read(&path)?;
//! assert_eq!(reviews.labels, ["good", "bad"]);
//! assert_eq!(reviews.texts[1], "I left after an hour.");
//! assert_eq!(reviews.notes, ["1 empty line passed over: line 2 of reviews.tsv"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod classes;
pub mod conll;
pub mod pairs;
pub mod squad;

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// So many characters of what was found are shown: enough to find the place, and still one line on a screen.
const SHOWN: usize = 48;

/// The whole file as text, without the mark that some editors put before it.
///
/// An empty file is an error, and so is whatever suggests that its bytes mean something else than UTF-8 in lines:
/// read on, it would yield wrong labels rather than none.
pub(super) fn text_of(path: &Path) -> Result<String> {
    let mut text = utf8_of(path)?;
    if text.ends_with('\r') {
        text.pop(); // half of a Windows line end, where a file was cut
    }
    if text.trim().is_empty() {
        return Err(Error::file(path, "it is empty: give a file with examples in it"));
    }
    if let Some(at) = text.find('\0') {
        let way_out = "save the file as UTF-8, which it is not if it was written as UTF-16";
        return Err(bad_line(path, line_at(&text, at), "has a zero byte", line_around(&text, at), way_out));
    }
    if let Some(at) = lone_return(&text) {
        let way_out = "save the file with lines that end in a line feed (Unix) or in both (Windows)";
        let wrong = "has a carriage return without a line feed";
        return Err(bad_line(path, line_at(&text, at), wrong, line_around(&text, at), way_out));
    }
    Ok(text)
}

/// An error if a file that is to have one example a line is of questions: these stand within each other, on one line or many.
pub(super) fn refuse_questions(path: &Path, text: &str) -> Result<()> {
    if !text.trim_start().starts_with('{') || !text.contains("\"paragraphs\"") {
        return Ok(());
    }
    let what = "it has questions with their answers, as SQuAD has them, which `finetune DIR answer` learns from: give a file \
                of this task";
    Err(Error::file(path, what))
}

/// The whole file as text; an error as of [`utf8`], or if it cannot be read.
pub(crate) fn utf8_of(path: &Path) -> Result<String> {
    utf8(path, fs::read(path).map_err(|e| Error::io(path, "read", &e))?, 1)
}

/// Bytes of a file from its line `first` on as text, without the mark that some editors put before the first.
///
/// Errors: they are not UTF-8; it names the line.
pub fn utf8(path: &Path, bytes: Vec<u8>, first: usize) -> Result<String> {
    let refuse = |e: std::string::FromUtf8Error| not_utf8(path, e.as_bytes(), first, e.utf8_error().valid_up_to());
    let mut text = String::from_utf8(bytes).map_err(refuse)?;
    if first == 1 && text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

fn not_utf8(path: &Path, bytes: &[u8], first: usize, at: usize) -> Error {
    let start = bytes[..at].iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    let line = first + bytes[..start].iter().filter(|&&b| b == b'\n').count();
    let end = bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n);
    let wrong = format!("is not UTF-8, for its byte {} is 0x{:02X}", at - start + 1, bytes[at]);
    let way_out = match &bytes[..bytes.len().min(2)] {
        b"\xff\xfe" | b"\xfe\xff" if first == 1 => {
            "it begins as UTF-16 does, which `iconv -f UTF-16 -t UTF-8` converts"
        }
        _ => "save the file as UTF-8; if it is from Windows, `iconv -f WINDOWS-1252 -t UTF-8` converts it",
    };
    bad_line(path, line, &wrong, &String::from_utf8_lossy(&bytes[start..end]), way_out)
}

/// Where a carriage return ends a line alone, as before 2001 on a Macintosh.
fn lone_return(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    text.match_indices('\r').map(|(at, _)| at).find(|&at| bytes.get(at + 1) != Some(&b'\n'))
}

/// The number of the line, from 1, that byte `at` is in.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// The line that byte `at` is in.
pub(super) fn line_around(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[start..].lines().next().unwrap_or_default()
}

/// The lines that say something, with their numbers from 1; the empty ones are counted in `empty`.
pub(super) fn lines<'a>(text: &'a str, empty: &mut Tally) -> impl Iterator<Item = (usize, &'a str)> {
    let numbered = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    numbered.filter(move |&(number, line)| {
        let blank = line.trim_matches(' ').is_empty(); // a TAB alone is no empty line, but an empty example
        if blank {
            empty.add(|| format!("line {number}"));
        }
        !blank
    })
}

/// An error of one line: what is wrong with it, what stands there, and the way out.
pub(super) fn bad_line(path: &Path, line: usize, wrong: &str, found: &str, way_out: &str) -> Error {
    Error::file(path, format!("line {line} {wrong} (found {}): {way_out}", shortened(found)))
}

/// An error of a CSV file that cannot be read on.
pub(super) fn bad_csv(path: &Path, error: &csv::Error) -> Error {
    Error::file(path, format!("cannot read it ({error}): check its quotation marks and commas"))
}

/// The beginning of `found` in quotes, with TABs and the like made visible.
pub(crate) fn shortened(found: &str) -> String {
    match found.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &found[..end]),
        None => format!("{found:?}"),
    }
}

/// How often something was met, and where first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) count: usize,
    pub(crate) first: String,
}

impl Tally {
    pub(crate) fn add(&mut self, place: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = place();
        }
        self.count += 1;
    }

    /// Adds the sentence that says so, if there is something to say; `one` and `many` are what was met, in words.
    pub(crate) fn note(&self, path: &Path, one: &str, many: &str, notes: &mut Vec<String>) {
        let first = format!("{} of {}", self.first, path.file_name().unwrap_or(path.as_os_str()).display());
        Self { count: self.count, first }.say(one, many, notes);
    }

    /// The same where the place needs no file's name.
    pub(crate) fn say(&self, one: &str, many: &str, notes: &mut Vec<String>) {
        match self.count {
            0 => {}
            1 => notes.push(format!("1 {one}: {}", self.first)),
            n => notes.push(format!("{n} {many}, the first is {}", self.first)),
        }
    }

    pub(crate) fn note_empty_lines(&self, path: &Path, notes: &mut Vec<String>) {
        self.note(path, "empty line passed over", "empty lines passed over", notes);
    }
}

/// What the tests of this room share.
#[cfg(test)]
mod testing {
    use std::fs;
    use std::path::Path;

    use crate::error::Result;

    /// What `read` makes of a file of this name and content.
    pub fn read_as<T>(name: &str, content: impl AsRef<[u8]>, read: impl Fn(&Path) -> Result<T>) -> Result<T> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        read(&path)
    }

    /// Asserts that a file is refused with a sentence that names it and has all of `words`.
    pub fn assert_refused<T>(name: &str, content: &[u8], words: &[&str], read: impl Fn(&Path) -> Result<T>) {
        let shown = String::from_utf8_lossy(content);
        let error = read_as(name, content, read).err().unwrap_or_else(|| panic!("{shown:?} is read")).to_string();
        for word in [name].iter().chain(words) {
            assert!(error.contains(word), "{shown:?} is refused without {word:?}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{assert_refused, read_as};
    use super::*;

    #[test]
    fn a_file_that_is_no_text_in_lines_is_refused_with_its_line() {
        let table: [(&[u8], &[&str]); 8] = [
            (b"", &["it is empty"]),
            (b"\xef\xbb\xbf \r\n\n", &["it is empty"]),
            (b"a\tb\nc\tcaf\xe9 au lait\n", &["line 2", "byte 6", "0xE9", "\"c\\tcaf", "iconv"]),
            (b"\x93smart\x94 quotes", &["line 1", "byte 1", "0x93", "UTF-8"]),
            (b"cut \xe2\x82", &["line 1", "byte 5", "0xE2"]),
            (b"\xff\xfea\0\t\0b\0", &["line 1", "0xFF", "iconv -f UTF-16 "]),
            (b"ok\na\0\t\0b\0", &["line 2", "zero byte", "UTF-16"]),
            (b"a\tb\r\nc\td\re\tf\r", &["line 2", "carriage return", "line feed"]),
        ];
        for (content, words) in table {
            assert_refused("some.tsv", content, words, text_of);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_that_names_it() {
        let error = text_of(Path::new("nowhere/some.tsv")).unwrap_err().to_string();
        assert!(error.contains("nowhere/some.tsv") && error.contains("check the path"), "{error}");
    }

    #[test]
    fn a_mark_before_the_text_and_windows_line_ends_are_no_part_of_it() {
        let text = read_as("some.tsv", "\u{feff}a\tb\r\n\r\nc\td", text_of).unwrap();
        let mut empty = Tally::default();
        let found: Vec<_> = lines(&text, &mut empty).collect();
        assert_eq!(found, [(1, "a\tb"), (3, "c\td")]);
        assert_eq!((empty.count, empty.first.as_str()), (1, "line 2"));
    }

    #[test]
    fn what_was_found_is_cut_between_characters() {
        assert_eq!(shortened(&"é".repeat(SHOWN)), format!("\"{}\"", "é".repeat(SHOWN)));
        assert_eq!(shortened(&"é".repeat(SHOWN + 1)), format!("\"{}\"…", "é".repeat(SHOWN)));
    }

    #[test]
    fn a_note_counts_and_says_where_first() {
        let (mut tally, mut notes) = (Tally::default(), Vec::new());
        let path = Path::new("far/away/reviews.tsv");
        for line in [7, 9, 12] {
            tally.note_empty_lines(path, &mut notes);
            tally.add(|| format!("line {line}"));
        }
        tally.note_empty_lines(path, &mut notes);
        assert_eq!(
            notes,
            [
                "1 empty line passed over: line 7 of reviews.tsv",
                "2 empty lines passed over, the first is line 7 of reviews.tsv",
                "3 empty lines passed over, the first is line 7 of reviews.tsv",
            ]
        );
    }
}
