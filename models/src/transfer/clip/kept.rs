//! An index on the disk: vectors that need not be computed again while pictures, texts and model stay what they are.
//!
//! It is a safetensors file with `pictures` `[n, E]` and `texts` `[m, E]`, and a line that says what they were made of: a
//! fingerprint of the pictures with when their files were written, and of what is said of them; and a digest of the model with
//! how it sees pictures. If either differs, the index is made anew, but for a file that the user named, which is left as
//! it is. Names and captions are not in it; they are read from where the pictures are.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Encoders;
use super::gallery::Gallery;
use super::search::{Index, told};
use crate::Config;
use crate::data::text::default_cache;
use crate::data::world;
use crate::error::{Error, Result};
use crate::files;
use crate::transfer::embed::digest;
use crate::transfer::kept::{Kind, beside, whole};

const INDEX: Kind = Kind { key: "pretext-pictures", tensors: ["pictures", "texts"], of: "pictures" };

/// What an index was made of.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    pictures: String,
    model: String,
    /// Numbers of pictures that could not be read.
    left_out: Vec<usize>,
}

/// How an index came about.
#[derive(Debug)]
pub enum Came {
    /// It was there, without pictures that could not be read when it was made, and cannot now; what is wrong with each.
    Kept(Vec<Error>),
    /// It was made now, without pictures that cannot be read; what is wrong with each of these.
    Made(Vec<Error>),
}

/// Where the index of some sources is kept, if nothing else is said: beside the first.
pub fn path(sources: &[PathBuf]) -> PathBuf {
    // A folder's name may end in a slash, which would put the index into it, and `.` and `..` are no names.
    let of = if sources[0].file_name().is_none() { sources[0].canonicalize().ok() } else { None };
    beside(of.as_deref().unwrap_or(&sources[0]).components().as_path())
}

/// Where that of the built-in world's scenes is kept: in the cache, under a name of this model's own.
pub fn path_of_world(with: &Encoders, texts: bool) -> PathBuf {
    let what = if texts { "scenes-and-texts" } else { "scenes" };
    default_cache().join(format!("{what}-{}.index.safetensors", &of_model(with)[..16]))
}

/// What tells one model from another.
fn of_model(with: &Encoders) -> String {
    digest(&Config::Clip(with.clip.config.clone()), &with.params, &with.tokenizer)
}

/// An error if there is a file at `path` that is no index of pictures.
pub fn check(path: &Path) -> Result<()> {
    INDEX.check(path)
}

/// An error if there is a file at `path` that is not the index of this gallery and this model, or none can be written there.
pub fn check_same(path: &Path, with: &Encoders, gallery: &Gallery, texts: bool) -> Result<()> {
    check(path)?;
    if !path.exists() {
        return files::try_at(path).map_err(|error| Error::io(path, "write", &error));
    }
    kept(path, with, gallery, texts).map(drop).ok_or_else(|| INDEX.of_others(path))
}

impl Index {
    /// The index at `path` if it is of this gallery and this model; or else a new one, which is not written yet. It has what is
    /// said of the pictures if `texts` are wanted. `done` is told how many pictures are finished.
    ///
    /// Errors: data that was written anew meanwhile.
    pub fn at(
        path: &Path,
        with: &Encoders,
        gallery: &Gallery,
        texts: bool,
        done: impl FnMut(usize),
    ) -> Result<(Self, Came)> {
        if let Some(index) = kept(path, with, gallery, texts) {
            // What could not be read may be readable now: permissions and disks do not show in when a file was written.
            let left_out = (0..gallery.len()).filter(|i| index.numbers.binary_search(i).is_err());
            let faults: Vec<Option<Error>> = left_out.map(|i| gallery.picture(i).err()).collect();
            if let Some(faults) = faults.into_iter().collect() {
                return Ok((index, Came::Kept(faults)));
            }
        }
        let (index, faults) = Self::over(with, gallery, texts, done)?;
        Ok((index, Came::Made(faults)))
    }

    /// Writes it to `path`, complete or not at all.
    ///
    /// Errors: another file stands there, or it cannot be written.
    pub fn keep(&self, path: &Path, with: &Encoders, gallery: &Gallery) -> Result<()> {
        check(path)?;
        if let Some(folder) = path.parent().filter(|folder| **folder == default_cache()) {
            std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "create", &error))?;
        }
        let left_out = (0..gallery.len()).filter(|i| self.numbers.binary_search(i).is_err()).collect();
        let made = Made { left_out, ..made(with, gallery) };
        INDEX.write(path, &made, [&self.pictures, &self.texts])
    }
}

/// What an index of this gallery would be made of, but for pictures that cannot be read.
fn made(with: &Encoders, gallery: &Gallery) -> Made {
    let pictures = match gallery {
        Gallery::Data(files) => files.version(),
        _ => {
            let of_world = matches!(gallery, Gallery::World { .. });
            let mut hash = Sha256::new_with_prefix(if of_world { world::PICTURED } else { world::VERSION });
            let lines = if let Gallery::Lines(lines, _) = gallery { lines.len() } else { 0 };
            for i in 0..gallery.len().max(lines) {
                hash.update(gallery.name(i) + "\n" + &gallery.captions(i).join("\n") + "\n");
            }
            files::hex(hash.finalize())
        }
    };
    let model = format!("{} {:?}", of_model(with), with.preprocess);
    Made { pictures, model, left_out: Vec::new() }
}

/// The index at `path`, if there is one of just this and it is whole.
fn kept(path: &Path, with: &Encoders, gallery: &Gallery, texts: bool) -> Option<Index> {
    let (of, file): (Made, _) = INDEX.open(path)?;
    let wanted = made(with, gallery);
    if (&of.pictures, &of.model) != (&wanted.pictures, &wanted.model) {
        return None;
    }
    let numbers: Vec<usize> = (0..gallery.len()).filter(|i| of.left_out.binary_search(i).is_err()).collect();
    let (captions, first) = if texts { told(gallery, &numbers) } else { Default::default() };
    let pictures = whole(&file, INDEX.tensors[0], [numbers.len(), with.width()])?;
    let texts = whole(&file, INDEX.tensors[1], [captions.len(), with.width()])?;
    Some(Index { numbers, pictures, captions, of: first, texts })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::pictures::PictureOptions;
    use crate::transfer::clip::search::{Query, Wanted};
    use crate::transfer::clip::untrained;

    fn png(path: &Path, grey: u8) {
        image::RgbImage::from_pixel(8, 8, image::Rgb([grey; 3])).save(path).unwrap();
    }

    fn gallery(folder: &Path) -> Gallery {
        Gallery::open(PictureOptions { data: vec![folder.to_owned()], ..PictureOptions::default() }).unwrap()
    }

    #[test]
    fn an_index_is_used_again_until_pictures_texts_or_model_change_and_no_other_file_is_touched() {
        let directory = tempfile::tempdir().unwrap();
        let (folder, with) = (directory.path().join("pictures"), untrained());
        fs::create_dir(&folder).unwrap();
        for (name, grey) in [("a", 0), ("b", 255), ("c", 90)] {
            png(&folder.join(name).with_extension("png"), grey);
            fs::write(folder.join(name).with_extension("txt"), format!("picture {name}")).unwrap();
        }
        fs::write(folder.join("b.png"), "no picture").unwrap();
        let at = path(&[folder.join("")]);
        assert_eq!(at, directory.path().join("pictures.index.safetensors"));
        fs::create_dir(folder.join("within")).unwrap();
        let real = folder.canonicalize().unwrap().with_extension("index.safetensors");
        assert_eq!(path(&[folder.join("within/..")]), real);
        let here = gallery(&folder);
        let (index, came) = Index::at(&at, &with, &here, true, |_| {}).unwrap();
        assert!(matches!(&came, Came::Made(faults) if faults.len() == 1), "{came:?}");
        index.keep(&at, &with, &here).unwrap();
        let (again, came) = Index::at(&at, &with, &here, true, |_| unreachable!("nothing is computed again")).unwrap();
        assert!(matches!(&came, Came::Kept(faults) if faults.len() == 1), "{came:?}");
        let query = Query::Text("picture c".to_owned()).vector(&with);
        for wanted in [Wanted::Pictures, Wanted::Texts] {
            let [hits, before] = [&again, &index].map(|index| index.search(&here, &query, wanted, 9));
            assert!(hits == before && hits.len() == 2, "{hits:?}");
        }
        assert_eq!(again.search(&here, &query, Wanted::Texts, 1)[0].texts, ["picture c"]);
        let anew =
            |with: &Encoders| matches!(Index::at(&at, with, &gallery(&folder), true, |_| {}).unwrap().1, Came::Made(_));
        assert!(anew(&with.from_scratch(9)), "another model");
        fs::write(folder.join("a.txt"), "something else").unwrap();
        assert!(anew(&with), "another caption");
        fs::write(folder.join("a.txt"), "picture a").unwrap();
        assert!(!anew(&with));
        let whole = fs::read(&at).unwrap();
        let mut damaged = whole.clone();
        let end = damaged.len();
        damaged[end - 40..].fill(0xff);
        fs::write(&at, damaged).unwrap();
        assert!(anew(&with), "numbers that are none");
        fs::write(&at, whole).unwrap();
        assert!(!anew(&with));
        // What is mended without a trace in the file's time is taken in all the same.
        let written = fs::metadata(folder.join("b.png")).unwrap().modified().unwrap();
        let mut bytes = Vec::new();
        let picture = image::RgbImage::new(1, 1);
        picture.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
        fs::write(folder.join("b.png"), vec![b' '; bytes.len()]).unwrap();
        fs::File::options().write(true).open(folder.join("b.png")).unwrap().set_modified(written).unwrap();
        let here = gallery(&folder);
        Index::at(&at, &with, &here, true, |_| {}).unwrap().0.keep(&at, &with, &here).unwrap();
        assert!(!anew(&with));
        fs::write(folder.join("b.png"), bytes).unwrap();
        fs::File::options().write(true).open(folder.join("b.png")).unwrap().set_modified(written).unwrap();
        assert!(anew(&with), "a picture that can be read now");
        fs::write(folder.join("b.png"), "no pixture").unwrap();
        let written = fs::File::options().write(true).open(folder.join("b.png")).unwrap();
        written.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(1)).unwrap();
        assert!(anew(&with), "another picture of as many bytes");
        fs::write(&at, "somebody's notes").unwrap();
        assert!(anew(&with), "a file that is no index");
        let refused = index.keep(&at, &with, &here).unwrap_err().to_string();
        assert!(refused.contains("is no index of pictures"), "{refused}");
        assert_eq!(fs::read(&at).unwrap(), b"somebody's notes");
    }
}
