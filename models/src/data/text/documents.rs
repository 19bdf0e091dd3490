//! From files to documents: which bytes of which file belong to a part, and where one document ends.
//!
//! Large plain files are mapped where they are. Everything else (JSON lines, which have to be decoded, and small
//! files, of which a folder may have more than a process may map) is first written to one scratch file in the
//! cache directory, which is mapped in turn and vanishes with the [`Documents`]. So documents are slices of memory
//! maps, and memory does not grow with the text: what a pass has read of a map, it gives back.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::iter;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use tempfile::{NamedTempFile, TempPath};
use tensor::mapped::Mapped;

use super::error::DataError;
use super::shard::Empty;
use super::source::{Format, RawFile, unreadable};
use crate::data::labelled::classes::in_words;
use crate::error::said;
use crate::files::temporary_in;

/// Plain files of fewer bytes are copied to the scratch file.
const SMALL: u64 = 1 << 20;

/// After so many bytes of a map their memory is given back.
pub(super) const STRETCH: usize = 32 << 20;

/// Which part of each file is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// What is left before the share held out at its end.
    AllBut(f64),
    /// The share held out at its end.
    Last(f64),
}

impl Part {
    /// The part's range of `n` units (bytes or lines): the first ⌊(1 − share)·n⌋ are for training.
    fn of(self, n: u64) -> Range<u64> {
        let kept = |share: f64| ((1.0 - share) * n as f64).floor() as u64;
        match self {
            Part::Whole => 0..n,
            Part::AllBut(share) => 0..kept(share),
            Part::Last(share) => kept(share)..n,
        }
    }

    /// The part's bytes of a plain text. A cut inside a separator or a character moves to where that begins. A mark that the text
    /// is UTF-8 is no part of it.
    fn of_text(self, text: &[u8]) -> Range<usize> {
        let (Range { start, end }, mark) = (self.of(text.len() as u64), text.len() - unmarked(text).len());
        whole(text, start as usize).max(mark)..whole(text, end as usize).max(mark)
    }
}

/// The text without the mark that some editors put before UTF-8 (U+FEFF).
fn unmarked(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// The last place at or before `cut` that is not inside a separator or a UTF-8 character.
fn whole(text: &[u8], cut: usize) -> usize {
    let near = cut.saturating_sub(SEPARATOR.len() - 1);
    let window = &text[near..(cut + SEPARATOR.len() - 1).min(text.len())];
    if let Some(at) = window.windows(SEPARATOR.len()).position(|w| w == SEPARATOR)
        && near + at < cut
    {
        return near + at;
    }
    character_at(text, cut)
}

/// The byte, at or before `cut`, where a UTF-8 character begins; where there is none near, it is no UTF-8, and this is `cut`.
pub(super) fn character_at(text: &[u8], cut: usize) -> usize {
    let continues = |at: usize| text.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    (cut.saturating_sub(3)..=cut).rev().find(|&at| !continues(at)).unwrap_or(cut)
}

const SEPARATOR: &[u8] = tokenizer::END_OF_TEXT.as_bytes();

/// Documents of text, as slices of memory maps.
#[derive(Debug, Default)]
pub struct Documents {
    /// The scratch file first, if there is one.
    maps: Vec<Mapped>,
    regions: Vec<Region>,
    /// The lines of JSON that are without text, and so no documents.
    pub(super) empty: Empty,
    _scratch: Option<TempPath>, // after the maps, so that it is removed when nothing maps it any more
}

/// What one file contributes.
#[derive(Clone, Debug)]
struct Region {
    map: usize,
    bytes: Range<usize>,
    /// Each document after its length (8 bytes), as JSON documents may hold anything; else separated.
    framed: bool,
}

impl Documents {
    /// The part `part` of `files`; `dir` is where the scratch file may be.
    pub(super) fn open<'a>(
        files: impl Iterator<Item = &'a RawFile>,
        part: Part,
        dir: &Path,
    ) -> Result<Self, DataError> {
        let (mut maps, mut regions) = (Vec::new(), Vec::new());
        let mut scratch = Scratch::new(dir);
        for (number, file) in files.enumerate() {
            let (map, bytes) = if file.format == Format::JsonLines {
                (0, scratch.add_lines(number, file, part)?)
            } else if file.len < SMALL {
                (0, scratch.add_text(file, part)?)
            } else {
                let map = Mapped::open(&file.path).map_err(|e| unreadable(&file.path, e))?;
                let bytes = part.of_text(map.bytes());
                maps.push(map);
                (maps.len(), bytes)
            };
            regions.push(Region { map, bytes, framed: file.format == Format::JsonLines });
        }
        let empty = scratch.empty;
        let Some((map, scratch)) = scratch.finish()? else {
            regions.retain(|region| region.map > 0); // the others are empty
            regions.iter_mut().for_each(|region| region.map -= 1);
            return Ok(Self { maps, regions, empty, _scratch: None });
        };
        maps.insert(0, map);
        Ok(Self { maps, regions, empty, _scratch: Some(scratch) })
    }

    /// The documents in the files' order, without separators and without empty ones.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.regions.iter().flat_map(|region| {
            let map = &self.maps[region.map];
            let mut rest = &map.bytes()[region.bytes.clone()];
            iter::from_fn(move || {
                if rest.is_empty() {
                    if region.bytes.len() as u64 >= SMALL {
                        map.release();
                    }
                    return None;
                }
                let document;
                (document, rest) = if region.framed { after_length(rest) } else { before_separator(rest, map) };
                Some(document)
            })
            .filter(|document| !document.is_empty())
        })
    }

    /// Gives back the memory that large maps have taken, as often as a pass over the documents likes.
    pub(super) fn release(&self) {
        self.maps.iter().filter(|map| map.bytes().len() >= STRETCH).for_each(Mapped::release);
    }

    /// All of [`Documents::iter`], as the tokenizer's training wants them.
    pub fn slices(&self) -> Vec<&[u8]> {
        self.iter().collect()
    }
}

/// The text of `map` before the first separator, and the text after it.
fn before_separator<'a>(text: &'a [u8], map: &Mapped) -> (&'a [u8], &'a [u8]) {
    for start in (0..text.len()).step_by(STRETCH) {
        let end = text.len().min(start + STRETCH + SEPARATOR.len() - 1);
        if let Some(at) = find_separator(&text[start..end]) {
            return (&text[..start + at], &text[start + at + SEPARATOR.len()..]);
        }
        if end < text.len() {
            map.release();
        }
    }
    (text, &[])
}

fn find_separator(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|&b| b == SEPARATOR[0]) {
        from += at;
        if text[from..].starts_with(SEPARATOR) {
            return Some(from);
        }
        from += 1;
    }
    None
}

/// A framed document, and what comes after it.
fn after_length(framed: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = framed.split_first_chunk().expect("a frame begins with a length");
    rest.split_at(u64::from_ne_bytes(*len) as usize)
}

/// The file that small files and decoded lines are gathered in, made when the first bytes come.
struct Scratch<'a> {
    dir: &'a Path,
    out: Option<BufWriter<NamedTempFile>>,
    len: usize,
    /// Lines without text.
    empty: Empty,
}

/// A line of a JSON-lines file; other keys are passed over.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// The text of line `i` of a file, from 0 on, if there is one in it.
fn text_of<'a>(file: &RawFile, i: u64, line: &'a [u8]) -> Result<Option<Cow<'a, str>>, DataError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let refuse = |why: String| DataError::Line { path: file.path.clone(), line: i + 1, why };
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(refuse("it does not begin with {".to_owned())); // a list would be taken for an object's values
    }
    let Line { text } = serde_json::from_slice(line).map_err(|error| refuse(in_words(&error)))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

impl<'a> Scratch<'a> {
    fn new(dir: &'a Path) -> Self {
        Self { dir, out: None, len: 0, empty: Empty::default() }
    }

    fn add_text(&mut self, file: &RawFile, part: Part) -> Result<Range<usize>, DataError> {
        let start = self.len;
        let text = fs::read(&file.path).map_err(|e| unreadable(&file.path, e))?;
        self.write(&text[part.of_text(&text)])?;
        Ok(start..self.len)
    }

    /// All lines are read, also where a part of them is wanted: so one that is no document is found before a tokenizer is learned
    /// from the others.
    fn add_lines(&mut self, number: usize, file: &RawFile, part: Part) -> Result<Range<usize>, DataError> {
        let start = self.len;
        let wanted = match part {
            Part::Whole => 0..u64::MAX,
            _ => part.of(lines(file, |i, line| text_of(file, i, line).map(drop))?),
        };
        lines(file, |i, line| {
            if !wanted.contains(&i) {
                return Ok(());
            }
            let Some(text) = text_of(file, i, line)? else {
                self.empty.add(number as u64, i + 1);
                return Ok(());
            };
            self.write(&(text.len() as u64).to_ne_bytes())?;
            self.write(text.as_bytes())
        })?;
        Ok(start..self.len)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.len += bytes.len();
        let written = match &mut self.out {
            Some(out) => out.write_all(bytes),
            none => temporary_in(self.dir).and_then(|file| none.insert(BufWriter::new(file)).write_all(bytes)),
        };
        written.map_err(|e| cache_error(self.dir, e))
    }

    fn finish(self) -> Result<Option<(Mapped, TempPath)>, DataError> {
        let Some(out) = self.out else { return Ok(None) };
        let map = |out: BufWriter<NamedTempFile>| {
            let path = out.into_inner()?.into_temp_path();
            Ok((Mapped::open(&path)?, path))
        };
        map(out).map(Some).map_err(|e| cache_error(self.dir, e))
    }
}

/// Calls `each` with the index and bytes of every line, and returns how many there are. One line is in memory at a time.
fn lines(file: &RawFile, mut each: impl FnMut(u64, &[u8]) -> Result<(), DataError>) -> Result<u64, DataError> {
    let unreadable = |e| unreadable(&file.path, e);
    let mut from = BufReader::with_capacity(1 << 16, File::open(&file.path).map_err(unreadable)?);
    let mut line = Vec::new();
    let mut count = 0;
    while from.read_until(b'\n', &mut line).map_err(unreadable)? > 0 {
        each(count, if count == 0 { unmarked(&line) } else { &line })?;
        count += 1;
        line.clear();
    }
    Ok(count)
}

/// The system's refusal to write in the cache, as a sentence.
pub(super) fn cache_error(dir: &Path, source: io::Error) -> DataError {
    DataError::Cache { dir: dir.to_owned(), source: io::Error::new(source.kind(), said(&source)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_cut_where_nano_gpt_cuts_it() {
        for (n, first) in [(1_115_394, 1_003_854), (10, 9), (100, 90), (1, 0)] {
            let text = vec![b'a'; n];
            assert_eq!(Part::AllBut(0.1).of_text(&text), 0..first);
            assert_eq!(Part::Last(0.1).of_text(&text), first..n);
        }
    }

    #[test]
    fn a_cut_is_never_inside_a_separator_or_a_character() {
        let text = "ab<|endoftext|>cdé€🎉x<|endoftext".as_bytes();
        let separator = 2..15;
        let starts = ["é", "€", "🎉"].map(|c| (std::str::from_utf8(text).unwrap().find(c).unwrap(), c.len()));
        for cut in 0..=text.len() {
            let inside = |&(at, len): &(usize, usize)| (at..at + len).contains(&cut).then_some(at);
            let expected = if separator.contains(&cut) { 2 } else { starts.iter().find_map(inside).unwrap_or(cut) };
            assert_eq!(whole(text, cut), expected, "at {cut}");
        }
        assert_eq!(whole(&[0xff; 9], 5), 5, "bytes that are no UTF-8 are cut where it was asked");
        assert_eq!(whole(&[0x80; 9], 5), 5);
    }

    #[test]
    fn a_mark_before_utf8_is_no_part_of_a_text_in_small_and_large_files_and_in_lines() {
        let dir = tempfile::tempdir().unwrap();
        let large = "\u{feff}".to_owned() + &"a".repeat(SMALL as usize);
        for (name, content, text) in [
            ("small.txt", "\u{feff}One \u{feff}two", "One \u{feff}two"),
            ("mark.txt", "\u{feff}", ""),
            ("lines.jsonl", "\u{feff}{\"text\": \"One\"}\n", "One"),
            ("large.txt", &large, &large[3..]),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            let (files, _) = super::super::source::list(&path).unwrap();
            let documents = Documents::open(files.iter(), Part::Whole, dir.path()).unwrap();
            assert!(documents.slices().concat() == text.as_bytes(), "{name}");
        }
    }

    #[test]
    fn separators_and_only_whole_ones_end_documents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        fs::write(&path, b"<one<|<|endoftext|>two <|endoftext> <|endoftext|><|endoftext|>three<|endoftext|>").unwrap();
        let map = Mapped::open(&path).unwrap();
        let mut rest = map.bytes();
        let mut found = Vec::new();
        while !rest.is_empty() {
            let document;
            (document, rest) = before_separator(rest, &map);
            found.push(document);
        }
        assert_eq!(found, [&b"<one<|"[..], b"two <|endoftext> ", b"", b"three"]);
    }
}
