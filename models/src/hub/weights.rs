//! Parameters as a safetensors file: a JSON header with names, types and places, then the numbers.
//!
//! Files are mapped for reading and replaced as a whole for writing: never half of one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use autograd::{Params, Piece};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use serde::Deserialize;
use tensor::half::{bf16, f16};
use tensor::mapped::Mapped;

use crate::error::{Error, Result};
use crate::files;

/// Some numbers under a name, on their way into a file.
pub struct Named<'a> {
    /// The tensor's name.
    pub name: String,
    /// The lengths of its dimensions.
    pub shape: Vec<usize>,
    /// Its numbers, row by row.
    pub data: &'a [f32],
}

impl View for &Named<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(as_bytes(self.data))
    }
    fn data_len(&self) -> usize {
        size_of_val(self.data)
    }
}

/// The bytes of f32 numbers in little-endian order, which is what the format asks for and every supported machine has.
fn as_bytes(x: &[f32]) -> &[u8] {
    const { assert!(cfg!(target_endian = "little")) };
    tensor::bytemuck::cast_slice(x)
}

/// Every tensor of a store under its own name.
pub fn named(params: &Params) -> Vec<Named<'_>> {
    let named = |piece: Piece| Named {
        name: piece.name.to_owned(),
        shape: piece.shape.to_vec(),
        data: &params.flat()[piece.place],
    };
    params.pieces().map(named).collect()
}

/// Writes tensors and one line of metadata to `path`, which appears complete or not at all.
pub fn write(path: &Path, tensors: &[Named], metadata: (&str, &str)) -> Result<()> {
    write_views(path, tensors.iter().map(|t| (t.name.as_str(), t)), metadata)
}

/// The same of tensors of any kind; the bytes of each are asked for when its turn comes.
pub(super) fn write_views<'a, V: View>(
    path: &Path,
    views: impl IntoIterator<Item = (&'a str, V)>,
    metadata: (&str, &str),
) -> Result<()> {
    let metadata = HashMap::from([(metadata.0.to_owned(), metadata.1.to_owned())]);
    files::replace(path, |temporary| {
        safetensors::serialize_to_file(views, Some(metadata), temporary).map_err(|error| match error {
            safetensors::SafeTensorError::IoError(error) => error,
            other => std::io::Error::other(other.to_string()),
        })
    })
    .map_err(|error| Error::io(path, "write", &error))
}

/// A safetensors file, mapped; or several that an index puts together.
pub struct Weights {
    /// What the user would name: the file, or the index.
    path: PathBuf,
    files: Vec<Mapped>,
}

/// The index of weights in several files: which tensor is in which.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Maps a file and checks that it is a complete safetensors file. Where there is none, but `FILE.index.json` in its
    /// place, maps the files that this names.
    pub fn open(path: &Path) -> Result<Self> {
        let index = path.with_extension("safetensors.index.json");
        if !path.exists() && index.exists() {
            return Self::open_all(&index);
        }
        Ok(Self { path: path.to_owned(), files: vec![mapped(path)?] })
    }

    /// Maps the files of an index, which stand beside it and hold what it says.
    fn open_all(index: &Path) -> Result<Self> {
        let weight_map = read_index(index)?;
        let names: BTreeSet<&String> = weight_map.values().collect();
        let beside = |name: &&String| mapped(&index.with_file_name(name));
        let files = names.iter().map(beside).collect::<Result<Vec<_>>>()?;
        let weights = Self { path: index.to_owned(), files };
        let held: BTreeSet<String> = weights.names().into_iter().collect();
        match weight_map.keys().find(|name| !held.contains(*name)) {
            Some(name) => Err(Error::file(index, format!("names {name}, but no file has it: copy the files again"))),
            None => Ok(weights),
        }
    }

    fn parsed(&self) -> impl Iterator<Item = SafeTensors<'_>> {
        const WHOLE: &str = "checked when opened, and mapped files do not change";
        self.files.iter().map(|file| SafeTensors::deserialize(file.bytes()).expect(WHOLE))
    }

    /// All tensors as they lie in the files, by name.
    pub(super) fn views(&self) -> BTreeMap<String, TensorView<'_>> {
        self.parsed().flat_map(|parsed| parsed.tensors()).collect()
    }

    /// What `use_it` makes of a tensor.
    fn with<R>(&self, name: &str, use_it: impl FnOnce(TensorView<'_>) -> Result<R>) -> Result<R> {
        for parsed in self.parsed() {
            if let Ok(view) = parsed.tensor(name) {
                return use_it(view);
            }
        }
        Err(Error::file(&self.path, format!("has no tensor {name}")))
    }

    /// The metadata line under `key`.
    pub fn metadata(&self, key: &str) -> Option<String> {
        let (_, header) = SafeTensors::read_metadata(self.files.first()?.bytes()).ok()?;
        header.metadata().as_ref()?.get(key).cloned()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A tensor's shape.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        self.with(name, |view| Ok(view.shape().to_vec()))
    }

    /// The names of all tensors.
    pub fn names(&self) -> Vec<String> {
        self.parsed().flat_map(|parsed| parsed.names().into_iter().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// A tensor's shape and numbers as f32, from f32, f16 or bf16.
    pub fn numbers(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        self.with(name, |view| match floats(&view) {
            Some(numbers) => Ok((view.shape().to_vec(), numbers)),
            None => {
                let what = format!("{name} holds {:?}; f32, f16 and bf16 can be read", view.dtype());
                Err(Error::file(&self.path, what))
            }
        })
    }

    /// A tensor of whole numbers: token ids.
    pub fn integers(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        self.with(name, |view| {
            let integers = match view.dtype() {
                Dtype::I64 => view.data().as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect(),
                Dtype::I32 => view.data().as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect(),
                other => return Err(Error::file(&self.path, format!("{name} holds {other:?}, not whole numbers"))),
            };
            Ok((view.shape().to_vec(), integers))
        })
    }

    /// Fills every tensor of a store from the one that `stored` says is it, which must have its shape.
    pub fn fill(&self, params: &mut Params, stored: impl Fn(&str) -> Result<String>) -> Result<()> {
        let pieces: Vec<_> = params.pieces().map(|p| Ok((stored(p.name)?, p.shape, p.place))).collect::<Result<_>>()?;
        for (name, want, place) in pieces {
            let (shape, numbers) = self.numbers(&name)?;
            if shape != want[..] {
                let what =
                    format!("{name} has shape {shape:?}, but config.json asks for {want}: they are of two models");
                return Err(Error::file(&self.path, what));
            }
            // A training that saves checks them; what is damaged later would answer nonsense without a word.
            if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
                let what = format!("{name} holds {} at place {at}: the file is damaged; copy it again", numbers[at]);
                return Err(Error::file(&self.path, what));
            }
            params.flat_mut()[place].copy_from_slice(&numbers);
        }
        Ok(())
    }
}

/// A tensor's numbers as f32, if it holds f32, f16 or bf16.
pub(super) fn floats(view: &TensorView) -> Option<Vec<f32>> {
    let two = |f: fn([u8; 2]) -> f32| view.data().as_chunks().0.iter().map(|&b| f(b)).collect();
    match view.dtype() {
        Dtype::F32 => Some(view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
        Dtype::F16 => Some(two(|b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Some(two(|b| bf16::from_le_bytes(b).to_f32())),
        _ => None,
    }
}

/// Which tensor is in which file, as an index says; the files are safetensors beside it and nothing else.
pub(super) fn read_index(index: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(index).map_err(|error| Error::io(index, "read", &error))?;
    let Index { weight_map } = serde_json::from_str(&text).map_err(|error| {
        Error::file(
            index,
            format!("not the index of a checkpoint ({error}): expected a weight_map from names to files"),
        )
    })?;
    let beside = |name: &&String| {
        let path = Path::new(name.as_str());
        path.file_name() == Some(path.as_os_str()) && path.extension() == Some(OsStr::new("safetensors"))
    };
    match weight_map.values().find(|name| !beside(name)) {
        Some(name) => {
            let what = "which is no file beside it that ends in .safetensors: it is not to be trusted";
            Err(Error::file(index, format!("names {name:?}, {what}")))
        }
        None => Ok(weight_map),
    }
}

/// A file, mapped, which is a complete safetensors file.
fn mapped(path: &Path) -> Result<Mapped> {
    let file = Mapped::open(path).map_err(|error| Error::io(path, "read", &error))?;
    SafeTensors::deserialize(file.bytes()).map_err(|error| {
        Error::file(path, format!("not a complete safetensors file ({error}); it may be cut off: copy it again"))
    })?;
    Ok(file)
}
