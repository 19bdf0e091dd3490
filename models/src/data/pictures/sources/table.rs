//! A table: a row for each picture, with the path of its file from the table's folder on.
//!
//! ```text
//! .tsv                       .csv                            .jsonl .json .ndjson
//! path      label            path,label                      {"path": "a.png", "captions": ["a cat", "my cat"]}
//! a.png TAB a cat            a.png,"a cat, asleep"           {"path": "b.png", "captions": ["a dog"]}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::place::{Place, Whereabouts};
use super::wording::{Record, Wording, joined};
use super::{Gathering, Item, tolerated};
use crate::data::labelled::classes::{Places, check_quotes, in_words};
use crate::data::labelled::{Tally, bad_csv, bad_line, lines, shortened, text_of};
use crate::error::{Error, Result};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Tabs,
    Commas,
    JsonLines,
}

/// The kind of table that the end of a name says it is.
pub(super) fn kind(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "tsv" => Some(Kind::Tabs),
        "csv" => Some(Kind::Commas),
        "jsonl" | "json" | "ndjson" => Some(Kind::JsonLines),
        _ => None,
    }
}

/// Adds the table's pictures. Rows whose picture is not there are counted, and too many of them are an error.
pub(super) fn gather(path: &Path, kind: Kind, to: &mut Gathering) -> Result<()> {
    let text = text_of(path)?;
    let columns = columns(path, kind, &text)?;
    let image = Wording::image(to.options, path, &columns)?;
    let mut wording = Wording::of(to.options, path, &columns)?;
    let folder = Arc::<Path>::from(path.parent().unwrap_or(Path::new("")));
    let (mut missing, mut disputed, mut silent, mut kept) = (Tally::default(), Tally::default(), vec![], 0);
    let mut gone = BTreeSet::new(); // by name: several rows may speak of one
    let mut add = |line: usize, record: &Record| {
        if !wording.keeps(record) {
            return Ok(());
        }
        kept += 1;
        let file = record.get(&image).map(joined).unwrap_or_default();
        if file.is_empty() {
            let wrong = format!("has no picture in column {image:?}");
            return Err(bad_line(path, line, &wrong, "", "write its path, or remove the line"));
        }
        match Place::of_file(&folder, Path::new(&file)) {
            Some(place) => {
                let captions = wording.captions(record);
                if captions.is_empty() {
                    silent.extend(place.whereabouts().next().map(|whereabouts| (line, file.clone(), whereabouts)));
                }
                if !to.add(Item::new(place, captions), wording.class(record)) {
                    disputed.add(|| format!("{file} in line {line}"));
                }
            }
            None => {
                gone.insert(file.clone());
                missing.add(|| format!("{file} in line {line}"));
            }
        }
        Ok(())
    };
    let mut notes = Vec::new();
    match kind {
        Kind::Tabs => tab_separated(path, &text, &columns, &mut notes, &mut add),
        Kind::Commas => comma_separated(path, &text, &columns, &mut notes, &mut add),
        Kind::JsonLines => json_lines(path, &text, &mut notes, &mut add),
    }?;
    note_missing(path, &missing, kept, &mut notes)?;
    to.missing += gone.len();
    let one = "row gives a picture another class than one before, which counts";
    let many = "rows give a picture another class than one before, which counts";
    disputed.note(path, one, many, &mut notes);
    note_silent(path, silent, to, &mut notes);
    to.notes.append(&mut notes);
    to.close(path, &wording)
}

fn note_missing(path: &Path, missing: &Tally, kept: usize, notes: &mut Vec<String>) -> Result<()> {
    if missing.count > tolerated(kept).min(kept.saturating_sub(1)) {
        let what = format!(
            "{} of its {kept} pictures are not there, the first is {}: paths begin in the table's folder",
            missing.count, missing.first
        );
        return Err(Error::file(path, what));
    }
    missing.note(path, "picture that is not there", "pictures that are not there", notes);
    Ok(())
}

/// Says of rows without a caption, by line and file, that they are passed over: of those whose picture another row speaks of.
/// Pictures of which no row does are told when the source is closed.
fn note_silent(path: &Path, rows: Vec<(usize, String, Whereabouts)>, to: &Gathering, notes: &mut Vec<String>) {
    let mut passed = Tally::default();
    let spoken_of = rows.into_iter().filter(|(_, _, whereabouts)| to.says(whereabouts));
    spoken_of.for_each(|(line, file, _)| passed.add(|| format!("{file} in line {line}")));
    passed.note(path, "row without a caption passed over", "rows without a caption passed over", notes);
}

/// The names of the columns: the first row, or all keys of all objects.
fn columns(path: &Path, kind: Kind, text: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    match kind {
        Kind::Tabs => {
            let header = lines(text, &mut Tally::default()).next();
            names.extend(header.unwrap_or_default().1.split('\t').map(|name| name.trim().to_owned()));
        }
        Kind::Commas => {
            check_quotes(path, text)?;
            let mut rows = csv::Reader::from_reader(text.as_bytes());
            let header = rows.headers().map_err(|error| bad_csv(path, &error))?;
            names.extend(header.iter().map(|name| name.trim().to_owned()));
        }
        Kind::JsonLines => {
            let mut keys = BTreeSet::new();
            for (number, line) in lines(text, &mut Tally::default()) {
                keys.extend(object::<BTreeMap<String, IgnoredAny>>(path, number, line)?.into_keys());
            }
            names.extend(keys);
        }
    }
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(twice) => {
            Err(Error::file(path, format!("two of its columns are called {}: rename one", shortened(twice))))
        }
        None => Ok(names),
    }
}

fn object<'a, T: serde::Deserialize<'a>>(path: &Path, number: usize, line: &'a str) -> Result<T> {
    let refuse = |why: &str| {
        let way_out = r#"write one object a line, such as {"path": "a.png", "caption": "a cat"}"#;
        bad_line(path, number, &format!("is no object: {why}"), line, way_out)
    };
    if !line.trim_start().starts_with('{') {
        return Err(refuse("it does not begin with {"));
    }
    serde_json::from_str(line).map_err(|e| refuse(&in_words(&e)))
}

type Add<'a> = dyn FnMut(usize, &Record) -> Result<()> + 'a;

fn json_lines(path: &Path, text: &str, notes: &mut Vec<String>, add: &mut Add) -> Result<()> {
    let mut empty = Tally::default();
    for (number, line) in lines(text, &mut empty) {
        add(number, &object(path, number, line)?)?;
    }
    empty.note_empty_lines(path, notes);
    Ok(())
}

fn tab_separated(path: &Path, text: &str, columns: &[String], notes: &mut Vec<String>, add: &mut Add) -> Result<()> {
    let (mut empty, mut quoted) = (Tally::default(), Tally::default());
    for (number, line) in lines(text, &mut empty).skip(1) {
        let fields: Vec<_> = line.split('\t').collect();
        if fields.iter().any(|field| field.len() > 1 && field.starts_with('"') && field.ends_with('"')) {
            quoted.add(|| format!("line {number}"));
        }
        add(number, &row(path, number, line, columns, &fields, "a TAB")?)?;
    }
    let one = "row has a column in double quotes, which are part of it here (in a .csv they are taken off)";
    let many = "rows have columns in double quotes, which are part of them here (in a .csv they are taken off)";
    quoted.note(path, one, many, notes);
    empty.note_empty_lines(path, notes);
    Ok(())
}

fn comma_separated(path: &Path, text: &str, columns: &[String], notes: &mut Vec<String>, add: &mut Add) -> Result<()> {
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let (mut places, mut empty) = (Places::new(text), Tally::default());
    let (mut fields, mut header) = (csv::StringRecord::new(), true);
    while rows.read_record(&mut fields).map_err(|error| bad_csv(path, &error))? {
        let start = fields.position().map_or(0, |at| at.byte() as usize);
        let (number, line) = places.advance(start, &mut empty);
        if !std::mem::take(&mut header) {
            let fields: Vec<_> = fields.iter().collect();
            add(number, &row(path, number, line, columns, &fields, "a comma")?)?;
        }
    }
    places.advance(text.len(), &mut empty);
    empty.note_empty_lines(path, notes);
    Ok(())
}

fn row(path: &Path, number: usize, line: &str, columns: &[String], fields: &[&str], mark: &str) -> Result<Record> {
    if fields.len() != columns.len() {
        let wrong = format!("has {} instead of {} columns", fields.len(), columns.len());
        let way_out = format!("write {mark} between columns, and none within them unless it is quoted in a .csv");
        return Err(bad_line(path, number, &wrong, line, &way_out));
    }
    Ok(columns.iter().cloned().zip(fields.iter().map(|&field| Value::from(field))).collect())
}
