//! From the columns of a table to what is said of a picture: captions by templates, a class, and which rows count.
//!
//! Whatever the source, what is known of a picture arrives as a [`Record`]: a row of a table, a line of JSON, or the
//! files beside a picture in a folder or a shard. So the same few words of options serve all of them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use super::super::PictureOptions;
use crate::data::labelled::shortened;
use crate::error::{Error, Result};

/// What a source says of one picture, by the name of the column.
pub(super) type Record = Map<String, Value>;

/// Columns that hold captions where no template says which, and the one that is taken where none of these is there: a class's
/// name says something, too.
const CAPTIONS: [&str; 4] = ["caption", "captions", "text", "title"];
const NAME: &str = "label";
/// Columns of classes, of which the first that is there is taken.
const CLASSES: [&str; 3] = ["class", "cls", "label"];
/// Columns of pictures' paths, of which the first that is there is taken.
const IMAGES: [&str; 7] = ["path", "image", "file", "file_name", "filename", "filepath", "image_path"];

/// So many values of a column are named where a filter left nothing.
const VALUES_SHOWN: usize = 12;

/// How the records of one source are read.
pub(super) struct Wording {
    captions: Vec<Template>,
    class: Option<String>,
    filters: Vec<Filter>,
}

impl Wording {
    /// The options' columns, or those of `columns` that are usual. An error if one is named that is not there, or if
    /// there are neither captions nor classes where something has to be said; it lists those that are there.
    pub(super) fn of(options: &PictureOptions, path: &Path, columns: &[String]) -> Result<Self> {
        let there = |name: &str, flag: &str| match columns.iter().any(|column| column == name) {
            true => Ok(()),
            false => Err(no_column(path, &format!("no column {name:?}, which {flag} asks for"), columns, "")),
        };
        let mut captions = Vec::new();
        for template in &options.captions {
            captions.push(Template::parse(template).map_err(Error::Options)?);
        }
        captions.iter().flat_map(Template::columns).try_for_each(|name| there(name, "--captions"))?;
        if options.captions.is_empty() {
            captions.extend(CAPTIONS.iter().filter_map(|name| usual(columns, name)).map(Template::column));
            if captions.is_empty() {
                captions.extend(usual(columns, NAME).map(Template::column));
            }
        }
        let class = match &options.class {
            Some(class) => there(class, "--class-column").map(|()| Some(class.clone()))?,
            None => CLASSES.iter().find_map(|name| usual(columns, name)),
        };
        if captions.is_empty() && class.is_none() && !options.silent {
            let wrong = format!("no column of captions ({}, {NAME}), nor of classes", CAPTIONS.join(", "));
            let which = columns.iter().find(|name| !IMAGES.iter().any(|image| image.eq_ignore_ascii_case(name)));
            let such = which.map_or(String::new(), |name| format!(", such as --captions \"{{{name}}}\""));
            return Err(no_column(path, &wrong, columns, &such));
        }
        let filters: Vec<_> = options.filters.iter().map(|f| Filter::parse(f)).collect::<Result<_>>()?;
        filters.iter().try_for_each(|filter| there(&filter.column, "--where"))?;
        Ok(Self { captions, class, filters })
    }

    /// The column of pictures' paths.
    pub(super) fn image(options: &PictureOptions, path: &Path, columns: &[String]) -> Result<String> {
        let found = match &options.image {
            Some(name) => columns.contains(name).then(|| name.clone()),
            None => IMAGES.iter().find_map(|name| usual(columns, name)),
        };
        found.ok_or_else(|| {
            let wrong = match &options.image {
                Some(name) => format!("no column {name:?}, which --image-column asks for"),
                None => format!("no column of pictures ({})", IMAGES.join(", ")),
            };
            no_column(path, &wrong, columns, "")
        })
    }

    /// Whether all filters hold. Each is asked, for each remembers what it saw.
    pub(super) fn keeps(&mut self, record: &Record) -> bool {
        let mut kept = true;
        self.filters.iter_mut().for_each(|filter| kept &= filter.holds(record));
        kept
    }

    /// The sentence for a source that has nothing, or of which the filters left nothing.
    pub(super) fn nothing_kept(&self, path: &Path) -> Error {
        if self.filters.iter().all(|filter| filter.seen.is_empty()) {
            return Error::file(path, "it has no row but the names of its columns: add rows, one for each picture");
        }
        let seen = |f: &Filter| {
            let values: Vec<_> = f.seen.iter().map(|value| shortened(value)).collect();
            format!("{}, of which there are {}", f.column, values.join(", "))
        };
        let columns: Vec<_> = self.filters.iter().map(seen).collect();
        Error::file(path, format!("no row passes the filters: choose other values of {}", columns.join("; of ")))
    }

    /// All that is said of the picture, each once.
    pub(super) fn captions(&self, record: &Record) -> Vec<String> {
        let mut captions: Vec<String> = Vec::new();
        for caption in self.captions.iter().flat_map(|template| template.fill(record)) {
            if !captions.contains(&caption) {
                captions.push(caption);
            }
        }
        captions
    }

    pub(super) fn class(&self, record: &Record) -> Option<String> {
        let class = joined(record.get(self.class.as_ref()?)?);
        (!class.is_empty()).then_some(class)
    }
}

/// The column of this name, in whatever case it is written.
fn usual(columns: &[String], name: &str) -> Option<String> {
    columns.iter().find(|column| column.eq_ignore_ascii_case(name)).cloned()
}

fn no_column(path: &Path, wrong: &str, columns: &[String], such: &str) -> Error {
    let there: Vec<_> = columns.iter().take(VALUES_SHOWN).map(|name| shortened(name)).collect();
    if there.is_empty() {
        return Error::file(path, format!("it has {wrong}, and says nothing of its pictures at all: write captions"));
    }
    let one = match columns {
        [one] if one.contains(';') => " (columns are separated by commas or tabs, not by semicolons)",
        _ => "",
    };
    Error::file(path, format!("it has {wrong}: name one of its columns, which are {}{such}{one}", there.join(", ")))
}

/// The values of a column as texts without spaces around them: several where it holds a list.
fn texts(value: &Value) -> Vec<String> {
    let texts = match value {
        Value::String(text) => vec![text.trim().to_owned()],
        Value::Number(_) | Value::Bool(_) => vec![value.to_string()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Null | Value::Object(_) => Vec::new(),
    };
    texts.into_iter().filter(|text| !text.is_empty()).collect()
}

/// The values of a column as one text.
pub(super) fn joined(value: &Value) -> String {
    texts(value).join(", ")
}

/// A caption with columns in braces, such as `a drawing of {label}`.
struct Template(Vec<Piece>);

enum Piece {
    Text(String),
    Column(String),
}

impl Template {
    fn column(name: String) -> Self {
        Self(vec![Piece::Column(name)])
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let refuse = |wrong: &str| {
            format!("the caption template {text:?} {wrong}: write columns in braces, such as \"a photo of {{label}}\"")
        };
        let (mut pieces, mut rest) = (Vec::new(), text.trim());
        while let Some((before, after)) = rest.split_once('{') {
            let (column, after) = after.split_once('}').ok_or_else(|| refuse("has a { without a }"))?;
            pieces.extend([Piece::Text(before.to_owned()), Piece::Column(column.to_owned())]);
            rest = after;
        }
        if pieces.is_empty() {
            return Err(refuse("has no column"));
        }
        pieces.push(Piece::Text(rest.to_owned()));
        // So that a column alone is a single piece.
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Self(pieces))
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Column(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The captions it makes: one for each value if it is a single column, none if a column of it is empty.
    fn fill(&self, record: &Record) -> Vec<String> {
        if let [Piece::Column(name)] = self.0.as_slice() {
            return record.get(name).map(texts).unwrap_or_default();
        }
        let mut caption = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => caption.push_str(text),
                Piece::Column(name) => {
                    let value = record.get(name).map(joined).unwrap_or_default();
                    if value.is_empty() {
                        return Vec::new();
                    }
                    caption.push_str(&value);
                }
            }
        }
        vec![caption.trim().to_owned()]
    }
}

/// `COLUMN=VALUE` or `COLUMN!=VALUE`.
struct Filter {
    column: String,
    value: String,
    equal: bool,
    /// Some values of the column, for the user who asked for one that is not there.
    seen: BTreeSet<String>,
}

impl Filter {
    fn parse(text: &str) -> Result<Self> {
        let Some((column, value)) = text.split_once('=') else {
            let what =
                format!("the filter {text:?} has no =: write COLUMN=VALUE or COLUMN!=VALUE, such as split=train");
            return Err(Error::Options(what));
        };
        let (column, equal) = column.strip_suffix('!').map_or((column, true), |column| (column, false));
        let (column, value) = (column.trim().to_owned(), value.trim().to_owned());
        Ok(Self { column, value, equal, seen: BTreeSet::new() })
    }

    fn holds(&mut self, record: &Record) -> bool {
        let found = record.get(&self.column).map(joined).unwrap_or_default();
        let holds = (found == self.value) == self.equal;
        if self.seen.len() < VALUES_SHOWN {
            self.seen.insert(found);
        }
        holds
    }
}
