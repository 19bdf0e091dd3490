//! Where pictures and their captions come from: tables, folders, shards, and the files of MNIST.
//!
//! Each kind of source is read by its own file, turns what it knows of a picture into a [`wording::Record`], and adds
//! one [`Item`] for each picture. Opening reads captions and finds out where pictures are, but decodes none.

mod folder;
mod idx;
mod place;
mod shard;
mod table;
mod wording;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use folder::Found;
use place::{Form, Place, Whereabouts};
use wording::Wording;

use super::PictureOptions;
use crate::data::labelled::Tally;
use crate::error::{Error, Result};

/// Tables that stand for the folder they are in, under the first of these names that is there.
const TABLES: [&str; 6] =
    ["captions.tsv", "captions.csv", "captions.jsonl", "pairs.tsv", "metadata.csv", "metadata.jsonl"];

/// So many of `looked_at` pictures may be missing or broken before that is an error: one in a hundred, for among
/// millions from anywhere some always are, and ten of a few.
pub(super) fn tolerated(looked_at: usize) -> usize {
    (looked_at / 100).max(10)
}

/// Whether a name with this ending is one of a picture.
pub fn is_picture(ending: &str) -> bool {
    ["png", "jpg", "jpeg", "webp", "gif"].iter().any(|known| known.eq_ignore_ascii_case(ending))
}

/// Whether a name with this ending is one of a picture in a format that is not read.
pub fn is_foreign(ending: &str) -> bool {
    let known = ["bmp", "tif", "tiff", "avif", "heic", "heif", "jxl", "jp2", "ico", "ppm", "pgm", "tga"];
    known.iter().any(|known| known.eq_ignore_ascii_case(ending))
}

/// Says of pictures in such formats that they are passed over.
fn note_foreign(foreign: &Tally, source: &Path, notes: &mut Vec<String>) {
    let (one, many) = (
        "picture passed over, for its format is not read (PNG, JPEG, WebP and GIF are)",
        "pictures passed over, for their formats are not read (PNG, JPEG, WebP and GIF are)",
    );
    foreign.note(source, one, many, notes);
}

/// Says of texts beside which there is no picture that they are passed over.
fn note_alone(alone: &Tally, source: &Path, notes: &mut Vec<String>) {
    alone.note(source, "text without a picture passed over", "texts without a picture passed over", notes);
}

/// The error of a source that has no others.
fn only_foreign(foreign: &Tally, source: &Path) -> Error {
    let what = format!(
        "the format of its pictures is not read, such as {}: convert them to PNG, JPEG, WebP or GIF",
        foreign.first
    );
    Error::file(source, what)
}

/// A picture and what is said of it.
#[derive(Debug)]
pub(super) struct Item {
    pub place: Place,
    pub captions: Vec<String>,
    /// Its place among the classes.
    pub class: Option<u32>,
    /// Which shard it is in, from 1; 0 if it is a file of its own.
    pub shard: u32,
}

impl Item {
    fn new(place: Place, captions: Vec<String>) -> Self {
        Self { place, captions, class: None, shard: 0 }
    }
}

/// What has been found so far.
pub(super) struct Gathering<'a> {
    options: &'a PictureOptions,
    pub items: Vec<Item>,
    /// In the order in which they were met.
    classes: Vec<String>,
    class_of: HashMap<String, u32>,
    pub notes: Vec<String>,
    /// Whether some picture counts twice.
    pub twice: bool,
    /// How many pictures are named and not there.
    pub missing: usize,
    /// Of the source that is being read: its first item, and its files.
    start: usize,
    files: HashMap<Whereabouts, usize>,
    shards: u32,
}

/// All pictures that the options name.
pub(super) fn gather(options: &PictureOptions) -> Result<Gathering<'_>> {
    let mut to = Gathering {
        options,
        items: Vec::new(),
        classes: Vec::new(),
        class_of: HashMap::new(),
        notes: Vec::new(),
        twice: false,
        missing: 0,
        start: 0,
        files: HashMap::new(),
        shards: 0,
    };
    let mut named = HashSet::new();
    for path in &options.data {
        if !named.insert(fs::canonicalize(path).map_err(|e| Error::io(path, "read", &e))?) {
            return Err(Error::file(path, "it is named twice, and its pictures would count twice: name it once"));
        }
        source(path, &mut to)?;
    }
    if to.shards > 1 {
        to.note_counted_twice(); // within one source pictures are known by their files
    }
    Ok(to)
}

/// What kind of source a file is by its name.
enum Kind {
    Table(table::Kind),
    Shard,
    Idx,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        let ends = |with: &str| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(with));
        match table::kind(path) {
            Some(kind) => Some(Self::Table(kind)),
            None if ends("tar") => Some(Self::Shard),
            None if idx::is_idx(path) && !ends("gz") => Some(Self::Idx),
            None => None,
        }
    }
}

/// Reads the source that a path is.
fn source(path: &Path, to: &mut Gathering) -> Result<()> {
    let meta = fs::metadata(path).map_err(|e| Error::io(path, "read", &e))?;
    if meta.is_dir() {
        return in_folder(path, to);
    }
    match Kind::of(path) {
        Some(Kind::Table(kind)) => return table::gather(path, kind, to),
        Some(Kind::Shard) => return shard::gather(path, to),
        Some(Kind::Idx) => return idx::gather(path, to),
        None => {}
    }
    let what = "it is no source of pictures by its name: give a table (.tsv, .csv, .jsonl), a folder, a shard (.tar) or \
                a file of images idx3-ubyte; unpack what is compressed";
    Err(Error::file(path, what))
}

/// A folder is its table, or its shards, or the pictures in it.
fn in_folder(folder: &Path, to: &mut Gathering) -> Result<()> {
    if let Some(table) = TABLES.iter().map(|name| folder.join(name)).find(|table| table.is_file()) {
        to.notes.push(format!("the folder {} is read by its table {}", folder.display(), table.display()));
        let kind = table::kind(&table).expect("a table's name");
        return table::gather(&table, kind, to);
    }
    let found = Found::within(folder)?;
    let of_it = |path: &PathBuf| path.parent() == Some(folder) && matches!(Kind::of(path), Some(Kind::Shard));
    let (shards, others): (Vec<_>, Vec<_>) = found.sources.iter().cloned().partition(of_it);
    if shards.is_empty() {
        return folder::gather(folder, to);
    }
    found.note_beside(&mut to.notes, folder);
    folder::note_sources(&others, folder, &mut to.notes);
    // A link to a shard that is there as well is that shard.
    let (mut met, mut links) = (HashSet::new(), Tally::default());
    let (shards, again): (Vec<_>, Vec<_>) =
        shards.into_iter().partition(|shard| fs::canonicalize(shard).map_or(true, |real| met.insert(real)));
    again.iter().for_each(|link| links.add(|| link.display().to_string()));
    let (one, many) =
        ("link to a shard that is there as well passed over", "links to shards that are there as well passed over");
    links.note(folder, one, many, &mut to.notes);
    shards.iter().try_for_each(|shard| shard::gather(shard, to))
}

impl Gathering<'_> {
    /// Adds a picture, or, if a row before had the same file, what this one says of it. Whether it says the same of its class;
    /// if not, the first counts.
    fn add(&mut self, mut item: Item, class: Option<String>) -> bool {
        if let Form::File = item.place.form {
            let known = self.known(&item.place);
            let at = known.unwrap_or(self.items.len());
            self.files.extend(item.place.whereabouts().map(|whereabouts| (whereabouts, at)));
            if known.is_some() {
                let class = class.map(|class| self.number_of(class));
                let known = &mut self.items[at];
                item.captions.retain(|caption| !known.captions.contains(caption));
                known.captions.append(&mut item.captions);
                known.class = known.class.or(class);
                return class.is_none() || class == known.class;
            }
        } else {
            item.shard = self.shards + 1;
        }
        item.class = class.map(|class| self.number_of(class));
        self.items.push(item);
        true
    }

    /// The item that this file is, if the source that is being read has had it before.
    fn known(&self, place: &Place) -> Option<usize> {
        place.whereabouts().find_map(|whereabouts| self.files.get(&whereabouts).copied())
    }

    /// Whether something is said of a file of the source that is being read.
    fn says(&self, file: &Whereabouts) -> bool {
        self.files.get(file).is_some_and(|&item| !self.items[item].captions.is_empty())
    }

    /// Says of pictures that more than one source has, or more than one shard of a folder, that they count more than once.
    fn note_counted_twice(&mut self) {
        let mut met = HashSet::new();
        let places = self.items.iter().map(|item| &item.place);
        let mut is_met = |place: &Place| place.whereabouts().filter(|of| !met.insert(of.clone())).count() > 0;
        let again: Vec<&Place> = places.filter(|place| is_met(place)).collect();
        let Some(first) = again.first().map(|place| place.name()) else { return };
        self.twice = true;
        self.notes.push(match again.len() {
            1 => format!("1 picture is in another source or shard as well, and counts more than once: {first}"),
            n => format!(
                "{n} pictures are in other sources or shards as well, and count more than once, the first is {first}"
            ),
        });
    }

    fn number_of(&mut self, class: String) -> u32 {
        *self.class_of.entry(class).or_insert_with_key(|class| {
            self.classes.push(class.clone());
            self.classes.len() as u32 - 1
        })
    }

    /// Ends a source.
    fn close(&mut self, path: &Path, wording: &Wording) -> Result<()> {
        if self.items.len() == self.start {
            return Err(wording.nothing_kept(path));
        }
        if !self.options.silent {
            self.pass_over_silent(path)?;
        }
        self.start = self.items.len();
        self.files.clear();
        self.shards += 1;
        Ok(())
    }

    /// If some of a source's pictures have captions, it is one to learn from, and those without are passed over. Only at its
    /// end is it known of which no row says anything.
    fn pass_over_silent(&mut self, path: &Path) -> Result<()> {
        let found = &self.items[self.start..];
        let mut silent = Tally::default();
        let without = found.iter().filter(|item| item.captions.is_empty());
        without.for_each(|item| silent.add(|| item.place.key.display().to_string()));
        if silent.count < found.len() {
            silent.note(
                path,
                "picture without a caption passed over",
                "pictures without a caption passed over",
                &mut self.notes,
            );
            let mut at = 0;
            self.items.retain(|item| {
                at += 1;
                at <= self.start || !item.captions.is_empty()
            });
        } else if found.iter().all(|item| item.class.is_none()) {
            let what = format!(
                "none of its {} pictures has a caption, such as {}: write captions, or say what they are made of, \
                 such as --captions \"{{label}}\" in a table and \"a photo of a {{folder}}\" in folders",
                found.len(),
                silent.first
            );
            return Err(Error::file(path, what));
        }
        Ok(())
    }

    /// The names of the classes in order; each item's class is its place among them.
    pub(super) fn sorted_classes(&mut self) -> Vec<String> {
        let mut sorted = self.classes.clone();
        sorted.sort();
        let place = |class: u32| sorted.binary_search(&self.classes[class as usize]).expect("each is there") as u32;
        let places: Vec<u32> = (0..self.classes.len() as u32).map(place).collect();
        self.items.iter_mut().for_each(|item| item.class = item.class.map(|class| places[class as usize]));
        sorted
    }
}

#[cfg(test)]
mod tests;
