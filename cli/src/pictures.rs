//! What the commands share that work with pictures.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use models::data::pictures::{self, PictureOptions};
use models::transfer::clip::gallery::{self, Gallery};
use models::transfer::clip::kept::{self, Came};
use models::transfer::clip::search::{Index, Query};
use models::transfer::clip::{Encoders, page};
use models::{Config, Error, hub};
use tensor::Tensor;

use crate::flags;

/// How pictures are found in files, and what is said of them there.
#[derive(clap::Args)]
#[command(next_help_heading = "Pictures")]
pub struct PictureFlags {
    /// The column of a table that names the picture [default: the first of path, image, file, … that is there]
    #[arg(long, value_name = "COLUMN")]
    image_column: Option<String>,
    /// The column of a picture's class, as folder where each class has one [default: the first of class, cls and label that is
    /// there]
    #[arg(long, value_name = "COLUMN")]
    class_column: Option<String>,
    /// Take the rows of tables for which this holds: COLUMN=VALUE or COLUMN!=VALUE
    #[arg(long = "where", num_args = 1.., value_name = "CONDITION")]
    filters: Vec<String>,
    /// The colour behind transparent pictures: red, green and blue from 0 to 255 [default: that of the model's training,
    /// or white]
    #[arg(long, num_args = 3, value_names = ["R", "G", "B"])]
    ground: Vec<u8>,
}

/// The same where it also counts what is said of them.
#[derive(clap::Args)]
#[command(next_help_heading = "Pictures")]
pub struct WordedFlags {
    #[command(flatten)]
    pictures: PictureFlags,
    /// What is said of a picture, as templates over a table's columns, such as "{label}, {tags}"; in folders the columns are
    /// text (of the file beside it), folder and file, in IDX files class [default: the columns caption, text and title, or
    /// else label]
    #[arg(long, num_args = 1.., value_name = "TEMPLATE")]
    captions: Vec<String>,
}

impl WordedFlags {
    /// The options with their names, and whether they were given.
    pub fn given(&self) -> Vec<(&'static str, bool)> {
        self.pictures.given().into_iter().chain([("--captions", !self.captions.is_empty())]).collect()
    }

    /// The pictures of these sources, for a model.
    pub fn open(&self, with: &Encoders, data: &[PathBuf]) -> Result<Gallery> {
        let captions = self.captions.clone();
        self.pictures.opened(with, PictureOptions { data: data.to_vec(), captions, ..PictureOptions::default() })
    }

    /// A query: a picture, if it is the name of a file or looks like one, or else a text.
    pub fn query(&self, with: &Encoders, word: &str) -> models::Result<Query> {
        if is_picture(word) {
            let ground = self.pictures.ground(with);
            return Ok(Query::Picture(word.to_owned(), Box::new(gallery::read(Path::new(word), ground)?)));
        }
        Ok(Query::Text(word.to_owned()))
    }
}

impl PictureFlags {
    /// The options with their names, and whether they were given.
    pub fn given(&self) -> [(&'static str, bool); 4] {
        [
            ("--image-column", self.image_column.is_some()),
            ("--class-column", self.class_column.is_some()),
            ("--where", !self.filters.is_empty()),
            ("--ground", !self.ground.is_empty()),
        ]
    }

    /// The pictures of these sources, for a model.
    pub fn open(&self, with: &Encoders, data: &[PathBuf]) -> Result<Gallery> {
        self.opened(with, PictureOptions { data: data.to_vec(), ..PictureOptions::default() })
    }

    /// The same where classes that are numbers in them have these names.
    pub fn open_named(&self, with: &Encoders, data: &[PathBuf], classes: Vec<String>) -> Result<Gallery> {
        self.opened(with, PictureOptions { data: data.to_vec(), classes, ..PictureOptions::default() })
    }

    fn opened(&self, with: &Encoders, options: PictureOptions) -> Result<Gallery> {
        let options = PictureOptions {
            ground: self.ground(with),
            image: self.image_column.clone(),
            class: self.class_column.clone(),
            filters: self.filters.clone(),
            ..options
        };
        let gallery = Gallery::open(options)?;
        gallery.notes().iter().for_each(|note| tell!("note: {note}"));
        Ok(gallery)
    }

    /// The colour behind transparent pictures: that of the model's training, if none is given.
    pub fn ground(&self, with: &Encoders) -> [u8; 3] {
        <[u8; 3]>::try_from(&self.ground[..]).unwrap_or(with.preprocess.ground)
    }
}

/// An error if one of these options was given, which are for pictures in files, and there are none. `named` says that pictures
/// may be named one by one, which have a ground at least.
pub fn need(data: &[PathBuf], named: bool, options: &[(&'static str, bool)]) -> Result<(), crate::Usage> {
    let applies = |name: &str| !data.is_empty() || named && name == "--ground";
    match options.iter().find(|(name, given)| *given && !applies(name)) {
        Some((name, _)) => Err(crate::Usage(format!(
            "{name} is for tables, folders and shards of pictures: name one, or leave it out"
        ))),
        None => Ok(()),
    }
}

/// Whether a directory holds a CLIP: then the commands go the way of pictures.
pub fn is_clip(directory: &Path) -> Result<bool> {
    Ok(matches!(hub::config(directory)?, Config::Clip(_)))
}

/// An error if any of these options was given: (its name, whether it was). They are for pictures, and the directory holds a
/// model of text.
pub fn refuse(directory: &Path, options: &[(&str, bool)]) -> Result<(), crate::Usage> {
    match options.iter().find(|(_, given)| *given) {
        Some((name, _)) => {
            let what = format!("is a model of text, and {name} is for pictures: give a CLIP, or leave it out");
            Err(crate::Usage(format!("{}: {what}", directory.display())))
        }
        None => Ok(()),
    }
}

/// A query as a vector; says so if it is a text that is not read to its end.
pub fn vector(with: &Encoders, query: &Query) -> Tensor {
    if let Query::Text(text) = query {
        flags::note_cut(with.cut(&[text]), with.block_size());
    }
    query.vector(with)
}

/// Whether a word is meant as a picture: it names a file, or would.
pub fn is_picture(word: &str) -> bool {
    let ending = Path::new(word).extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    pictures::is_picture(ending) || pictures::is_foreign(ending) || Path::new(word).is_file()
}

/// A bar on a terminal that shows how many of `all` are done, and nothing elsewhere.
pub fn counting(all: usize) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(all as u64) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("pictures {wide_bar} {pos}/{len}, {eta} left").expect("a good template");
    bar.with_style(style)
}

/// Says of pictures that could not be read why, and ends with an error if there were any: after all others are done.
pub fn all_read(faults: &[Error], of: usize) -> Result<()> {
    match faults {
        [] => Ok(()),
        [only] if of == 1 => Err(anyhow!("{only}")),
        _ => {
            // The user named each, and so is each named here.
            faults.iter().for_each(|fault| tell!("note: left out: {fault}"));
            let others = if faults.len() < of { "; the others are done" } else { "" };
            Err(anyhow!("{} of {of} pictures could not be read, as said above{others}", faults.len()))
        }
    }
}

/// Pictures that are told one by one, when they could not be read.
const TOLD: usize = 10;

/// Says of pictures in a set that could not be read why, and that they are left out.
pub fn note(faults: &[Error]) {
    faults.iter().take(TOLD).for_each(|fault| tell!("note: left out: {fault}"));
    if faults.len() > TOLD {
        tell!("note: and {} more", flags::count(faults.len() - TOLD, "picture"));
    }
}

/// An error if one of these files, which are to be written, is there already, or cannot be written.
pub fn vacant<'a>(files: impl IntoIterator<Item = &'a Option<PathBuf>>) -> Result<()> {
    for file in files.into_iter().flatten() {
        page::vacant(file)?;
        models::files::try_at(file).map_err(|error| Error::io(file, "write", &error))?;
    }
    Ok(())
}

/// The index of a gallery at `path`: the one that is kept there, or a new one. Says what became of pictures that cannot be
/// read, and whether it is new.
pub fn index(with: &Encoders, gallery: &Gallery, texts: bool, path: &Path) -> Result<(Index, bool)> {
    kept::check(path)?;
    let bar = counting(gallery.len());
    let came = Index::at(path, with, gallery, texts, |n| bar.set_position(n as u64));
    bar.finish_and_clear();
    let (index, came) = came?;
    let new = match came {
        Came::Kept(faults) => {
            note(&faults);
            false
        }
        Came::Made(faults) => {
            if let [first, ..] = &faults[..]
                && faults.len() == gallery.len()
            {
                return Err(anyhow!(
                    "none of {} can be read; the first: {first}",
                    flags::count(gallery.len(), "picture")
                ));
            }
            note(&faults);
            let captions: Vec<&str> = index.captions().iter().map(String::as_str).collect();
            flags::note_cut(with.cut(&captions), with.block_size());
            true
        }
    };
    Ok((index, new))
}
