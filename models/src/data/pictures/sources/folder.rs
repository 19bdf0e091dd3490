//! A folder of pictures, each with a text file of the same name: `KEY.png` and `KEY.txt`, a caption on each line of it.
//!
//! Folders within are searched too. A template may also use `{folder}`, the name of the folder that a picture is in,
//! which is how many collections of classes are kept, and `{file}`, the picture's name without its ending.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::place::Place;
use super::wording::{Record, Wording};
use super::{Gathering, Item, Kind, is_foreign, is_picture, note_alone, note_foreign, only_foreign};
use crate::data::labelled::{Tally, utf8_of};
use crate::error::{Error, Result};

/// The columns of what is known of a picture.
const COLUMNS: [&str; 3] = ["text", "folder", "file"];

/// Endings of the file beside a picture that speaks of it; the first that is there is read.
const TEXTS: [&str; 3] = ["txt", "TXT", "Txt"];

/// Adds the folder's pictures, sorted by name.
pub(super) fn gather(folder: &Path, to: &mut Gathering) -> Result<()> {
    let found = Found::within(folder)?;
    found.note_linked(&mut to.notes, folder);
    let Found { pictures: files, foreign, alone, sources, .. } = found;
    if files.is_empty() && foreign.count > 0 {
        return Err(only_foreign(&foreign, folder));
    }
    if files.is_empty() {
        let way_out = match sources.first() {
            Some(source) => format!("but {}: give that", source.display()),
            None => "nor a table or shard of some: check the path".to_owned(),
        };
        let what = format!("there is no picture in it (.png, .jpg, .jpeg, .webp or .gif), {way_out}");
        return Err(Error::file(folder, what));
    }
    let mut wording = Wording::of(to.options, folder, &COLUMNS.map(str::to_owned))?;
    let source = Arc::<Path>::from(folder);
    let (mut kept, mut gone, mut again) = (0, Tally::default(), Tally::default());
    for file in files {
        let record = record(&file)?;
        if !wording.keeps(&record) {
            continue;
        }
        kept += 1;
        let name = file.strip_prefix(folder).unwrap_or(&file);
        let Some(place) = Place::of_file(&source, name) else {
            gone.add(|| name.display().to_string());
            continue;
        };
        if to.known(&place).is_some() {
            again.add(|| name.display().to_string());
        }
        to.add(Item::new(place, wording.captions(&record)), wording.class(&record));
    }
    let (one, many) = (
        "picture that is gone, or a link to nothing, passed over",
        "pictures that are gone, or links to nothing, passed over",
    );
    gone.note(folder, one, many, &mut to.notes);
    to.missing += gone.count;
    if gone.count > 0 && gone.count == kept {
        let what =
            format!("all pictures in it are gone, or links to nothing, such as {}: fetch them again", gone.first);
        return Err(Error::file(folder, what));
    }
    let (one, many) = (
        "picture is the same file as one before, and counts with that",
        "pictures are the same files as others before, and count with those",
    );
    again.note(folder, one, many, &mut to.notes);
    note_foreign(&foreign, folder, &mut to.notes);
    note_alone(&alone, folder, &mut to.notes);
    note_sources(&sources, folder, &mut to.notes);
    to.close(folder, &wording)
}

fn record(file: &Path) -> Result<Record> {
    let text = match TEXTS.map(|ending| file.with_extension(ending)).into_iter().find(|beside| beside.is_file()) {
        Some(beside) => Value::from(utf8_of(&beside)?.lines().collect::<Vec<_>>()),
        None => Value::Null,
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    let folder = match folder.file_name() {
        Some(name) => name.to_owned(),
        // One that was given as `.` or `..` has its name elsewhere.
        None => {
            fs::canonicalize(folder).ok().and_then(|real| real.file_name().map(OsStr::to_owned)).unwrap_or_default()
        }
    };
    let name = |part: &OsStr| json!(part.to_string_lossy());
    let values = [text, name(&folder), name(file.file_stem().unwrap_or_default())];
    Ok(COLUMNS.map(str::to_owned).into_iter().zip(values).collect())
}

/// What there is in a folder and the folders within.
#[derive(Default)]
pub(super) struct Found {
    pub pictures: Vec<PathBuf>,
    /// Pictures in formats that are not read.
    foreign: Tally,
    /// Texts that stand alone.
    alone: Tally,
    /// Links to folders.
    linked: Tally,
    /// Tables, shards and files of MNIST's kind.
    pub sources: Vec<PathBuf>,
}

impl Found {
    /// Finds all of it. Links to files are followed and links to folders are not, for they can lead in circles, but counted;
    /// hidden files are not seen.
    pub fn within(folder: &Path) -> Result<Self> {
        let mut found = Self::default();
        found.walk(folder)?;
        Ok(found)
    }

    fn note_linked(&self, notes: &mut Vec<String>, folder: &Path) {
        self.linked.note(folder, "link to a folder not followed", "links to folders not followed", notes);
    }

    /// Says what lies beside a folder's shards, which are what it is read by.
    pub fn note_beside(&self, notes: &mut Vec<String>, folder: &Path) {
        self.note_linked(notes, folder);
        note_foreign(&self.foreign, folder, notes);
        note_alone(&self.alone, folder, notes);
        let mut beside = Tally::default();
        self.pictures.iter().for_each(|path| beside.add(|| path.display().to_string()));
        let (one, many) = ("picture beside the shards passed over", "pictures beside the shards passed over");
        beside.note(folder, one, many, notes);
    }

    fn walk(&mut self, folder: &Path) -> Result<()> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(|e| Error::io(folder, "read", &e))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let (mut texts, mut pictured) = (Vec::new(), HashSet::new());
        for entry in entries.iter().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")) {
            let path = entry.path();
            if entry.file_type().map_err(|e| Error::io(&path, "read", &e))?.is_dir() {
                self.walk(&path)?;
                continue;
            }
            if path.is_dir() {
                self.linked.add(|| path.display().to_string());
                continue;
            }
            let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if is_picture(&ending) {
                pictured.extend(TEXTS.map(|text| path.with_extension(text)));
                self.pictures.push(path);
            } else if is_foreign(&ending) {
                pictured.extend(TEXTS.map(|text| path.with_extension(text)));
                self.foreign.add(|| path.display().to_string());
            } else if TEXTS.contains(&&ending[..]) {
                texts.push(path);
            } else if Kind::of(&path).is_some() {
                self.sources.push(path);
            }
        }
        let alone = texts.iter().filter(|text| !pictured.contains(*text));
        alone.for_each(|text| self.alone.add(|| text.display().to_string()));
        Ok(())
    }
}

/// Says of sources in a folder that they are passed over.
pub(super) fn note_sources(sources: &[PathBuf], folder: &Path, notes: &mut Vec<String>) {
    let mut passed = Tally::default();
    sources.iter().for_each(|source| passed.add(|| source.display().to_string()));
    let (one, many) = (
        "table, shard or IDX file in it passed over (name it, and it is read)",
        "tables, shards or IDX files in it passed over (name them, and they are read)",
    );
    passed.note(folder, one, many, notes);
}
