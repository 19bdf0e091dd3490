//! Vectors that are kept in a file, so that they are computed once: an index.
//!
//! The file is safetensors. A line of its header says what the vectors were made of, and stands under a key by which the file is
//! known, with the names of its tensors, for an index of its kind: no other file is ever written over.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tensor::{Shape, Tensor};

use crate::error::{Error, Result};
use crate::hub::weights::{self, Named, Weights};

/// A kind of index.
pub struct Kind {
    /// Under which a file of this kind says what it was made of.
    pub key: &'static str,
    /// The names of its tensors.
    pub tensors: [&'static str; 2],
    /// What the vectors are of, as sentences call it.
    pub of: &'static str,
}

impl Kind {
    /// What the index at `path` was made of, and its vectors; none if there is none of this kind.
    pub fn open<M: DeserializeOwned>(&self, path: &Path) -> Option<(M, Weights)> {
        let file = self.at(path)?;
        Some((serde_json::from_str(&file.metadata(self.key)?).ok()?, file))
    }

    /// Whether there is an index of this kind at `path`.
    pub fn is_at(&self, path: &Path) -> bool {
        self.at(path).is_some()
    }

    fn at(&self, path: &Path) -> Option<Weights> {
        let file = path.exists().then(|| Weights::open(path).ok())??;
        let names = file.names();
        let has = |name: &&str| names.iter().any(|had| had == name);
        (file.metadata(self.key).is_some() && self.tensors.iter().all(has)).then_some(file)
    }

    /// Writes an index to `path`, complete or not at all.
    ///
    /// Errors: another file stands there, or it cannot be written.
    pub fn write(&self, path: &Path, made: &impl Serialize, tensors: [&Tensor; 2]) -> Result<()> {
        self.check(path)?;
        let named = [0, 1].map(|i| {
            let (name, shape) = (self.tensors[i].to_owned(), tensors[i].shape().to_vec());
            Named { name, shape, data: tensors[i].data() }
        });
        weights::write(path, &named, (self.key, &serde_json::to_string(made).expect("plain values become JSON")))
    }

    /// An error if there is a file at `path` that is no index of this kind: nobody's file is written over.
    pub fn check(&self, path: &Path) -> Result<()> {
        if !path.exists() || self.is_at(path) {
            return Ok(());
        }
        let of = self.of;
        let way_out = "move it away, or give the index another name with --index";
        Err(Error::file(path, format!("is there already and is no index of {of}: {way_out}")))
    }

    /// The error of an index that a user named and that was made of something else: it stays as it is.
    pub fn of_others(&self, path: &Path) -> Error {
        let of = self.of;
        let way_out = "give these and all options as when it was made, give another name with --index, or remove it to have it made anew";
        Error::file(path, format!("holds the vectors of other {of}, or of another model: {way_out}"))
    }
}

/// Where the index of a file or folder is kept, if nothing else is said: beside it.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".index.safetensors");
    name.into()
}

/// The vectors of a name, if they have this shape and all are numbers.
pub fn whole(file: &Weights, name: &str, shape: impl Into<Shape>) -> Option<Tensor> {
    let (shape, (has, data)) = (shape.into(), file.numbers(name).ok()?);
    (has == *shape && data.iter().all(|x| x.is_finite())).then(|| Tensor::of(shape, &data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_known_by_its_key_and_its_tensors_and_nothing_else_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let at = beside(&directory.path().join("lines.txt"));
        let kind = Kind { key: "pretext", tensors: ["vectors", "common"], of: "lines" };
        let state = Kind { tensors: ["m.w", "v.w"], ..kind }; // a run's, under the same key
        let [vectors, common] = [Tensor::of([2, 1], &[1.0, f32::NAN]), Tensor::of([1], &[3.0])];
        state.write(&at, &7, [&vectors, &common]).unwrap();
        let before = std::fs::read(&at).unwrap();
        assert!(!kind.is_at(&at) && kind.open::<u32>(&at).is_none());
        let refused = kind.write(&at, &7, [&vectors, &common]).unwrap_err().to_string();
        assert!(refused.contains("is no index of lines"), "{refused}");
        assert_eq!(std::fs::read(&at).unwrap(), before);
        std::fs::remove_file(&at).unwrap();
        kind.write(&at, &7, [&vectors, &common]).unwrap();
        let (made, file) = kind.open::<u32>(&at).unwrap();
        assert!(made == 7 && whole(&file, "common", [1]).unwrap().data() == [3.0]);
        assert!(whole(&file, "common", [1, 1]).is_none(), "another shape");
        assert!(whole(&file, "vectors", [2, 1]).is_none(), "a number that is none");
        kind.write(&at, &8, [&common, &common]).unwrap();
        assert_eq!(kind.open::<u32>(&at).unwrap().0, 8, "one of its kind is replaced");
    }
}
