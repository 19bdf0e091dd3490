//! Where pictures come from: scenes of the built-in world, or files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensor::random::Stream;

use crate::data::labelled::{Tally, utf8_of};
use crate::data::pictures::decode::decode;
use crate::data::pictures::{Picture, PictureFiles, PictureOptions};
use crate::data::world::World;
use crate::data::world::pictured::name;
use crate::data::world::scene::Scene;
use crate::error::{Error, Result};

/// Pictures, numbered from 0 on, of which some is known beside.
pub enum Gallery {
    /// The built-in world's scenes, drawn at a size.
    World {
        /// The scenes, each with the number that its picture is drawn with.
        scenes: Vec<(Scene, u64)>,
        /// What is said of each.
        captions: Vec<Vec<String>>,
        /// Pixels of a side.
        side: usize,
    },
    /// Files of one picture each, and the colour that shows through where they are transparent.
    Files(Vec<PathBuf>, [u8; 3]),
    /// Tables, folders, shards and IDX files.
    Data(Box<PictureFiles>),
    /// Texts with the numbers of their lines, and no picture; and what was passed over, a sentence each.
    Lines(Vec<(usize, String)>, Vec<String>),
}

impl Gallery {
    /// The first `n` scenes of the validation part with all of their captions.
    pub fn scenes(n: usize, side: usize) -> Self {
        let world = World::shared();
        let pictured = (0..n as u64).map(|i| (world.pictured(Stream::PicturedVal, i), i));
        let (scenes, captions) = pictured.map(|(of, i)| ((of.scene, i), of.captions)).unzip();
        Self::World { scenes, captions, side }
    }

    /// The first `n` scenes of two or three objects, each with the one caption that tells everything.
    pub fn scenes_of_several(n: usize, side: usize) -> Self {
        let world = World::shared();
        let pictured = (0..).map(|i| (world.pictured(Stream::PicturedVal, i), i));
        let several = pictured.filter(|(of, _)| of.scene.objects.len() > 1).take(n);
        let (scenes, captions) = several.map(|(mut of, i)| ((of.scene, i), vec![of.captions.swap_remove(0)])).unzip();
        Self::World { scenes, captions, side }
    }

    /// `n` scenes of one object, from number `first` on, of combinations that training shows or of those that it never does;
    /// the caption is the combination's name.
    pub fn single(first: usize, n: usize, side: usize, seen: bool) -> Self {
        let world = World::shared();
        let one =
            |i| if seen { world.seen_one(Stream::PicturedVal, i) } else { world.unseen_one(Stream::PicturedVal, i) };
        let scenes: Vec<(Scene, u64)> = (first..first + n).map(|i| (one(i as u64), i as u64)).collect();
        let looks = |scene: &Scene| (scene.objects[0].shape, scene.objects[0].colour);
        let captions = scenes.iter().map(|(scene, _)| vec![name(looks(scene))]).collect();
        Self::World { scenes, captions, side }
    }

    /// What these options name, with the pictures of which nothing is said. Most commands see each picture once, so none is
    /// kept in memory.
    ///
    /// Errors: as for [`PictureFiles::open`].
    pub fn open(options: PictureOptions) -> Result<Self> {
        Ok(Self::Data(Box::new(PictureFiles::open(&PictureOptions { memory: 0, silent: true, ..options })?)))
    }

    /// The lines of a file, without empty ones.
    ///
    /// Errors: a file that cannot be read, is not UTF-8, or has none.
    pub fn lines(file: &Path) -> Result<Self> {
        let text = utf8_of(file)?;
        let numbered = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim().to_owned()));
        let (lines, without): (Vec<_>, Vec<_>) = numbered.partition(|(_, line)| !line.is_empty());
        if lines.is_empty() {
            return Err(Error::file(file, "has no line to search: give a file with a text on each line"));
        }
        let (mut empty, mut notes) = (Tally::default(), Vec::new());
        without.iter().for_each(|(number, _)| empty.add(|| format!("line {number}")));
        empty.note_empty_lines(file, &mut notes);
        Ok(Self::Lines(lines, notes))
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        match self {
            Self::World { scenes, .. } => scenes.len(),
            Self::Files(files, _) => files.len(),
            Self::Data(files) => files.len(),
            Self::Lines(..) => 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many more are named by the data, but were not there when it was opened.
    pub fn missing(&self) -> usize {
        match self {
            Self::Data(files) => files.missing(),
            _ => 0,
        }
    }

    /// What was passed over when it was opened, a sentence each.
    pub fn notes(&self) -> &[String] {
        match self {
            Self::Data(files) => files.notes(),
            Self::Lines(_, notes) => notes,
            _ => &[],
        }
    }

    /// Says, if it is so, that pictures of these are among others that are learned from.
    pub fn shared_with(&self, learned: &Self) -> Option<String> {
        match (self, learned) {
            (Self::Data(these), Self::Data(learned)) => these.shared_with(learned),
            _ => None,
        }
    }

    /// What a picture is called: its file, or its scene's number. A line is called by its number.
    pub fn name(&self, i: usize) -> String {
        match self {
            Self::World { scenes, .. } => format!("scene {}", scenes[i].1),
            Self::Files(files, _) => files[i].display().to_string(),
            Self::Data(files) => files.name(i),
            Self::Lines(lines, _) => format!("line {}", lines[i].0),
        }
    }

    /// What is said of it: captions, or its class, where nothing is said of any picture, or nothing.
    pub fn captions(&self, i: usize) -> Vec<String> {
        match self {
            Self::World { captions, .. } => captions[i].clone(),
            Self::Files(..) => Vec::new(),
            Self::Data(files) if files.speaks() => files.captions(i).to_vec(),
            Self::Data(files) => files.class(i).map(str::to_owned).into_iter().collect(),
            Self::Lines(lines, _) => vec![lines[i].1.clone()],
        }
    }

    /// Its class, if it is known: of a scene, the shape of its only object.
    pub fn class(&self, i: usize) -> Option<&str> {
        match self {
            Self::World { scenes, .. } => match &scenes[i].0.objects[..] {
                [only] => Some(only.shape.word()),
                _ => None,
            },
            Self::Data(files) => files.class(i),
            Self::Files(..) | Self::Lines(..) => None,
        }
    }

    /// All classes in order, of files that have some.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Data(files) => files.classes(),
            _ => &[],
        }
    }

    /// The picture itself.
    ///
    /// Errors: it cannot be read, or is none.
    pub fn picture(&self, i: usize) -> Result<Arc<Picture>> {
        match self {
            Self::World { side, .. } => self.shown(i, *side),
            Self::Files(files, ground) => Ok(Arc::new(read(&files[i], *ground)?)),
            Self::Data(files) => files.picture(i),
            Self::Lines(..) => unreachable!("lines are no pictures"),
        }
    }

    /// The picture for people: the world's are drawn anew with `side` pixels a side, as models see few.
    ///
    /// Errors: as for [`Gallery::picture`].
    pub fn shown(&self, i: usize, side: usize) -> Result<Arc<Picture>> {
        match self {
            Self::World { scenes, .. } => {
                let (scene, number) = &scenes[i];
                Ok(Arc::new(World::shared().drawn(scene, Stream::PicturedVal, *number, side)))
            }
            _ => self.picture(i),
        }
    }
}

/// The picture in a file of its own, on `ground` where it is transparent.
///
/// Errors: a file that is not there or cannot be read; one that is no picture, whatever its name says, or a damaged one.
pub fn read(path: &Path, ground: [u8; 3]) -> Result<Picture> {
    if path.is_dir() {
        return Err(Error::file(path, "is a folder: give pictures one by one, or the folder with --data"));
    }
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", &error))?;
    decode(&bytes, ground).map_err(|what| Error::file(path, what))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_class_is_a_caption_only_where_there_are_no_others() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png"] {
            image::RgbImage::new(2, 2).save(directory.path().join(name)).unwrap();
        }
        let said = |table: &str| {
            let path = directory.path().join("t.tsv");
            fs::write(&path, table).unwrap();
            let gallery = Gallery::open(PictureOptions { data: vec![path], ..PictureOptions::default() }).unwrap();
            [gallery.captions(0), gallery.captions(1)]
        };
        assert_eq!(said("path\tcaption\tclass\na.png\ta cat\tcat\nb.png\t\tdog\n"), [vec!["a cat".to_owned()], vec![]]);
        assert_eq!(said("path\tclass\na.png\tcat\nb.png\tdog\n"), [["cat".to_owned()], ["dog".to_owned()]]);
    }

    #[test]
    fn lines_keep_their_numbers_in_the_file_and_bytes_that_are_no_text_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lines.txt");
        fs::write(&file, "\u{feff}a cat\n\n \n a dog\n").unwrap();
        let lines = Gallery::lines(&file).unwrap();
        let named = [0, 1].map(|i| (lines.name(i), lines.captions(i).concat()));
        assert_eq!(named, [("line 1", "a cat"), ("line 4", "a dog")].map(|(name, text)| (name.into(), text.into())));
        assert_eq!(lines.notes(), ["2 empty lines passed over, the first is line 2 of lines.txt"]);
        fs::write(&file, b"a cat\na caf\xe9\n").unwrap();
        let refused = Gallery::lines(&file).err().unwrap().to_string();
        assert!(refused.contains("lines.txt: line 2 is not UTF-8"), "{refused}");
    }
}
