//! Texts with one label each: sentiments, topics, intents.
//!
//! Three ways to write the same file, told apart by the ending of its name:
//!
//! ```text
//! .csv                       .jsonl .json .ndjson                       anything else
//! text,label                 {"text": "Twice!", "label": "good"}        good TAB Twice!
//! "Once, never again",bad    {"text": "Once.", "label": "bad"}          bad TAB Once.
//! ```
//!
//! The columns of a comma-separated file stand in any order, and other columns and keys are passed over. A file of TABs
//! needs no names of columns; where its first line is `label TAB text`, or the like, or has the two the other way round, it is
//! not taken for an example. Labels lose the spaces around them, for ` bad` and `bad` are one class; texts stay as they are.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use serde::Deserialize;
use serde_json::Value;

use super::{Tally, bad_csv, bad_line, line_around, line_at, lines, refuse_questions, shortened, text_of};
use crate::error::{Error, Result};

/// A file of labelled texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labelled {
    /// In the file's order; none is empty.
    pub texts: Vec<String>,
    /// The label of each text; none is empty.
    pub labels: Vec<String>,
    /// The line of each text, from 1.
    pub lines: Vec<usize>,
    /// The file.
    pub path: PathBuf,
    /// What was passed over, a sentence each.
    pub notes: Vec<String>,
}

/// Reads a file of labelled texts: comma-separated, JSON lines, or a label, a TAB and a text on each line.
///
/// Empty lines are passed over and noted. The label of a JSON line may be a string, a whole number or a truth value.
///
/// # Errors
///
/// A file that cannot be read, is not UTF-8 or has no example; a header without `text` or `label`; a line that is no
/// example, or whose text or label is empty; a file of tagged words or of questions. The error names the line and what stands there.
pub fn read(path: &Path) -> Result<Labelled> {
    let text = text_of(path)?;
    refuse_questions(path, &text)?;
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let mut labelled = match ending.to_str() {
        Some("csv") => comma_separated(path, &text),
        Some("jsonl" | "json" | "ndjson") => json_lines(path, &text),
        Some("conll" | "bio" | "iob" | "iob2") => return Err(tagged_words(path)),
        _ => tab_separated(path, &text),
    }?;
    if labelled.texts.is_empty() {
        return Err(Error::file(path, "it has a header and no example: add lines with a label and a text"));
    }
    labelled.path = path.to_owned();
    Ok(labelled)
}

/// Whether this is the tag of a word: O, B-PER, I-creative-work. (A road I-95 is none.)
fn is_tag(text: &str) -> bool {
    let kind = text.strip_prefix("B-").or_else(|| text.strip_prefix("I-"));
    let named = |kind: &str| kind.starts_with(char::is_alphabetic) && !kind.contains(char::is_whitespace);
    text == "O" || kind.is_some_and(|kind| named(kind) && !kind.contains(|c: char| c.is_ascii_digit()))
}

/// Whether each line ends in the tag of a word: one that does not, and the file is of something else.
fn is_tagged(text: &str) -> bool {
    let mut filled = text.lines().map(str::trim).filter(|line| !line.is_empty());
    filled.all(|line| line.rsplit_once([' ', '\t']).is_some_and(|(_, last)| is_tag(last)))
}

/// Of fewer texts nothing is concluded from how many are the same.
const FEW: usize = 10;

fn tagged_words(path: &Path) -> Error {
    let what =
        "it has words with a tag each, which `finetune DIR tag` learns from: give a file of texts with a label each";
    Error::file(path, what)
}

impl Labelled {
    /// An error if all texts have the same label, or if they are fewer than the labels, which stand where texts should.
    pub fn check_classes(&self) -> Result<()> {
        let different = |of: &[String]| of.iter().collect::<HashSet<_>>().len();
        let [texts, labels] = [&self.texts, &self.labels].map(|of| different(of));
        if labels > texts && self.texts.len() >= FEW {
            let (text, label) = (shortened(&self.texts[0]), shortened(&self.labels[0]));
            let what = format!(
                "it has {labels} different labels, such as {label}, for {texts} different texts, such as {text}: turn the two round"
            );
            return Err(Error::file(&self.path, what));
        }
        match &self.labels[..] {
            [first, rest @ ..] if rest.iter().all(|label| label == first) => {
                let what = format!(
                    "all of its texts have the label {}, and there is nothing to tell apart: add texts of another",
                    shortened(first)
                );
                Err(Error::file(&self.path, what))
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, path: &Path, line: usize, label: &str, text: &str) -> Result<()> {
        let label = label.trim();
        if label.is_empty() {
            return Err(bad_line(path, line, "has an empty label", text, "write its label or remove it"));
        }
        if text.trim().is_empty() {
            return Err(bad_line(path, line, "has an empty text", label, "write its text or remove it"));
        }
        self.labels.push(label.to_owned());
        self.texts.push(text.to_owned());
        self.lines.push(line);
        Ok(())
    }
}

/// What columns of texts and of labels are called.
const TEXTS: [&str; 4] = ["text", "texts", "sentence", "review"];
const LABELS: [&str; 4] = ["label", "labels", "class", "category"];

fn tab_separated(path: &Path, text: &str) -> Result<Labelled> {
    let mut labelled = Labelled::default();
    let (mut empty, mut names, mut text_first) = (Tally::default(), Tally::default(), false);
    if is_tagged(text) {
        return Err(tagged_words(path));
    }
    for (number, line) in lines(text, &mut empty) {
        let Some((first, second)) = line.split_once('\t') else {
            let way_out = "write the label, a TAB and the text; a comma-separated file is told by the ending .csv, and \
                           JSON lines by .jsonl";
            return Err(bad_line(path, number, "has no TAB", line, way_out));
        };
        if second.contains('\t') {
            let way_out = "write the label, one TAB and the text, with spaces for the TABs within it";
            return Err(bad_line(path, number, "has more than one TAB", line, way_out));
        }
        let is = |field: &str, names: [&str; 4]| {
            let name = field.trim().trim_start_matches('#').trim_matches(['"', '\'']);
            names.iter().any(|known| name.eq_ignore_ascii_case(known))
        };
        let turned = is(first, TEXTS) && is(second, LABELS);
        if labelled.texts.is_empty() && (turned || is(first, LABELS) && is(second, TEXTS)) {
            text_first = turned;
            names.add(|| format!("line {number}"));
            continue;
        }
        let [label, text] = if text_first { [second, first] } else { [first, second] };
        labelled.push(path, number, label, text)?;
    }
    let (one, many) = ("line names the columns, and is no example", "lines name the columns, and are no example");
    names.note(path, one, many, &mut labelled.notes);
    empty.note_empty_lines(path, &mut labelled.notes);
    Ok(labelled)
}

/// A line of a JSON-lines file; other keys are passed over.
#[derive(Deserialize)]
struct Example {
    text: String,
    label: Value,
}

fn json_lines(path: &Path, text: &str) -> Result<Labelled> {
    let (mut labelled, mut empty) = (Labelled::default(), Tally::default());
    for (number, line) in lines(text, &mut empty) {
        let refuse = |why: &str| {
            let wrong = format!("is no example: {why}");
            let way_out = r#"write one object a line, such as {"text": "Twice!", "label": "good"}"#;
            bad_line(path, number, &wrong, line, way_out)
        };
        if !line.trim_start().starts_with('{') {
            return Err(refuse("it does not begin with {")); // a list would be taken for an object's values
        }
        let Example { text, label } = serde_json::from_str(line).map_err(|e| refuse(&in_words(&e)))?;
        let label = match label {
            Value::String(label) => label,
            Value::Bool(_) => label.to_string(),
            Value::Number(ref n) if n.is_i64() || n.is_u64() => label.to_string(),
            _ => return Err(refuse("its label is neither a string, nor a whole number, nor true or false")),
        };
        labelled.push(path, number, &label, &text)?;
    }
    empty.note_empty_lines(path, &mut labelled.notes);
    Ok(labelled)
}

/// The parser's words; the line that it names is always the first, for it sees one at a time.
pub(in crate::data) fn in_words(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let what = words.split(" at line ").next().unwrap_or(&words);
    format!("{what} at column {}", error.column())
}

fn comma_separated(path: &Path, text: &str) -> Result<Labelled> {
    check_quotes(path, text)?;
    let (mut labelled, mut empty) = (Labelled::default(), Tally::default());
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false) // it is read like any row, so that its line is known
        .flexible(true) // so that a row of another length can be shown
        .from_reader(text.as_bytes());
    let mut places = Places::new(text);
    let (mut row, mut columns) = (StringRecord::new(), None);
    while rows.read_record(&mut row).map_err(|error| bad_csv(path, &error))? {
        let start = row.position().map_or(0, |at| at.byte() as usize);
        let (number, found) = places.advance(start, &mut empty);
        if row.len() == 1 && row[0].trim().is_empty() {
            empty.add(|| format!("line {number}"));
            continue;
        }
        let Some(Columns { text, label, count }) = columns else {
            columns = Some(Columns::of(path, &row)?);
            continue;
        };
        if row.len() != count {
            let wrong = format!("has {} instead of {count} columns", row.len());
            let way_out = "write a comma between columns, and double quotes around a field that has commas in it";
            return Err(bad_line(path, number, &wrong, found, way_out));
        }
        labelled.push(path, number, &row[label], &row[text])?;
    }
    places.advance(text.len(), &mut empty);
    empty.note_empty_lines(path, &mut labelled.notes);
    Ok(labelled)
}

/// Refuses double quotes that never close, or close before the field ends: the reader of rows would accept both, and
/// run rows together or drop the quotes.
pub(in crate::data) fn check_quotes(path: &Path, text: &str) -> Result<()> {
    #[derive(Clone, Copy)]
    enum At {
        Start,
        Plain,
        Quoted,
        Closed,
    }
    let (mut at, mut opened) = (At::Start, 0);
    let refuse = |wrong, place| {
        let way_out = "put the whole field in double quotes, and write each of those within it twice";
        Err(bad_line(path, line_at(text, place), wrong, line_around(text, place), way_out))
    };
    for (place, c) in text.char_indices() {
        at = match (at, c) {
            (At::Start, '"') => {
                opened = place;
                At::Quoted
            }
            (At::Quoted, '"') => At::Closed,
            (At::Quoted, _) | (At::Closed, '"') => At::Quoted, // twice is once, and within the field
            (_, ',' | '\r' | '\n') => At::Start,
            (At::Closed, _) => return refuse("begins a field with quotes that close before its end", opened),
            (At::Start | At::Plain, _) => At::Plain,
        };
    }
    if matches!(at, At::Quoted) {
        return refuse("opens double quotes that never close", opened);
    }
    Ok(())
}

/// Where the two columns stand, and how many there are.
#[derive(Clone, Copy)]
struct Columns {
    text: usize,
    label: usize,
    count: usize,
}

impl Columns {
    fn of(path: &Path, header: &StringRecord) -> Result<Self> {
        let names: Vec<_> = header.iter().map(str::trim).collect();
        let find = |wanted: &str| {
            let mut places = (0..names.len()).filter(|&i| names[i].eq_ignore_ascii_case(wanted));
            match (places.next(), places.next()) {
                (Some(place), None) => Ok(place),
                (found, _) => {
                    let wrong = if found.is_some() { "two columns" } else { "no column" };
                    let what = format!(
                        "its first line must name the columns, separated by commas, and has {wrong} \"{wanted}\" \
                         (found {}): call the column of texts \"text\" and that of labels \"label\"",
                        names.iter().map(|name| shortened(name)).collect::<Vec<_>>().join(", ")
                    );
                    Err(Error::file(path, what))
                }
            }
        };
        Ok(Self { text: find("text")?, label: find("label")?, count: names.len() })
    }
}

/// Finds the lines of rows, which the reader of rows loses where it passes over empty ones.
pub(in crate::data) struct Places<'a> {
    text: &'a str,
    seen: usize,
    /// The line that byte `seen` is in.
    line: usize,
}

impl<'a> Places<'a> {
    pub(in crate::data) fn new(text: &'a str) -> Self {
        Self { text, seen: 0, line: 1 }
    }

    /// The number and the text of the line where the row begins that was found from byte `from` on; the empty lines
    /// before it are counted.
    pub(in crate::data) fn advance(&mut self, from: usize, empty: &mut Tally) -> (usize, &'a str) {
        let is_end = |c: char| matches!(c, '\r' | '\n');
        let after = self.text[from..].trim_start_matches(is_end);
        let start = self.text.len() - after.len();
        self.line += line_at(&self.text[self.seen..], start - self.seen) - 1;
        self.seen = start;
        let before = self.text[..start].trim_end_matches(is_end);
        let ends = self.text[before.len()..start].matches('\n').count();
        let blank = if before.is_empty() { ends } else { ends.saturating_sub(1) }; // one of them ends the row before
        for back in (1..=blank).rev() {
            empty.add(|| format!("line {}", self.line - back));
        }
        (self.line, line_around(self.text, start))
    }
}

#[cfg(test)]
mod tests;
