//! Parameters as a safetensors file: a JSON header with names, types and places, then the numbers.
//!
//! Files are mapped for reading and replaced as a whole for writing: never half of one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use autograd::{Params, Piece};
use safetensors::tensor::{Dtype, TensorView, View};
use tensor::half::{bf16, f16};
use tensor::mapped::Mapped;

use super::header::{self, Entry, Header};
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
///
/// Errors: it cannot be written.
pub fn write(path: &Path, tensors: &[Named], metadata: (&str, &str)) -> Result<()> {
    write_views(path, tensors.iter().map(|t| (t.name.as_str(), t)), metadata)
}

/// The same of tensors of any kind; the bytes of each are asked for when its turn comes.
pub(crate) fn write_views<'a, V: View>(
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
    files: Vec<File>,
}

/// One file, whose header was checked.
struct File {
    path: PathBuf,
    bytes: Bytes,
    header: Header,
    /// Where the numbers begin.
    start: usize,
}

/// Where the bytes of a file are.
enum Bytes {
    Mapped(Mapped),
    Held(Vec<u8>),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map.bytes(),
            Self::Held(bytes) => bytes,
        }
    }
}

/// What older checkpoints have their weights in.
const PICKLE: &str = "pytorch_model.bin";

/// How many numbers are converted at once: with the bytes that they are made of they fit into a core's own cache.
const AT_ONCE: usize = 1 << 17;

impl File {
    fn open(path: &Path) -> Result<Self> {
        let bytes = Mapped::open(path).map_err(|error| Error::io(path, "read", &error))?;
        Self::new(path, Bytes::Mapped(bytes))
    }

    fn new(path: &Path, bytes: Bytes) -> Result<Self> {
        let (header, start) = header::read(bytes.all()).map_err(|what| {
            let what = shortened(&what);
            Error::file(path, format!("not a complete safetensors file ({what}); it may be cut off: copy it again"))
        })?;
        Ok(Self { path: path.to_owned(), bytes, header, start })
    }

    fn error(&self, what: String) -> Error {
        Error::file(&self.path, what)
    }

    /// What `use_it` makes of the bytes `part` of a tensor; a map's memory for them is given back.
    fn with<R>(&self, entry: &Entry, part: Range<usize>, use_it: impl FnOnce(&[u8]) -> R) -> R {
        let at = self.start + entry.place().start;
        let place = at + part.start..at + part.end;
        match &self.bytes {
            Bytes::Held(bytes) => use_it(&bytes[place]),
            Bytes::Mapped(map) => {
                let made = use_it(&map.bytes()[place.clone()]);
                map.release_part(place);
                made
            }
        }
    }

    /// An error if a tensor's numbers are of a type that cannot be read as f32.
    fn check_type(&self, name: &str, entry: &Entry) -> Result<()> {
        match entry.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => Ok(()),
            other => Err(self.error(format!("{} holds {other:?}; f32, f16 and bf16 can be read", shortened(name)))),
        }
    }

    /// Reads a tensor's numbers as f32, from f32, f16 or bf16: each is touched once, so that the whole takes one pass over
    /// the file and no memory but `out`. Gives the place of the first that is not finite.
    fn read(&self, entry: &Entry, out: &mut [f32]) -> Option<usize> {
        let width = entry.dtype.bitsize() / 8;
        let damaged = AtomicUsize::new(usize::MAX);
        tensor::parallel::chunks(out, AT_ONCE, |at, out| {
            let two = |out: &mut [f32], bytes: &[u8], f: fn([u8; 2]) -> f32| {
                out.iter_mut().zip(bytes.as_chunks().0).for_each(|(x, &b)| *x = f(b));
            };
            self.with(entry, at * width..(at + out.len()) * width, |bytes| match entry.dtype {
                Dtype::F16 => two(out, bytes, |b| f16::from_le_bytes(b).to_f32()),
                Dtype::BF16 => two(out, bytes, |b| bf16::from_le_bytes(b).to_f32()),
                _ => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(x, &b)| *x = f32::from_le_bytes(b)),
            });
            // Looking at all of them is faster than stopping at the first, which there hardly ever is.
            if !out.iter().fold(true, |all, x| all & x.is_finite()) {
                let first = out.iter().position(|x| !x.is_finite()).unwrap_or_default();
                damaged.fetch_min(at + first, Ordering::Relaxed);
            }
        });
        self.with(entry, 0..entry.place().len(), |_| ()); // the system maps more pages than it is asked for, also given back ones
        Some(damaged.into_inner()).filter(|&at| at != usize::MAX)
    }
}

/// The index of weights in several files: which tensor is in which.
fn index(text: &str) -> std::result::Result<BTreeMap<String, String>, String> {
    let fail = |error: serde_json::Error| {
        let error = shortened(&error.to_string());
        format!("not the index of a checkpoint ({error}): expected a weight_map from names to files")
    };
    let json = tokenizer::json::parse(text).map_err(fail)?;
    let map: BTreeMap<String, String> = serde_json::from_value(json["weight_map"].clone()).map_err(fail)?;
    let beside = |name: &&String| {
        let path = Path::new(name.as_str());
        path.file_name() == Some(path.as_os_str()) && path.extension() == Some(OsStr::new("safetensors"))
    };
    match map.values().find(|name| !beside(name)) {
        Some(name) => {
            let what = "which is no file beside it that ends in .safetensors: it is not to be trusted";
            Err(format!("names {:?}, {what}", shortened(name)))
        }
        None => Ok(map),
    }
}

/// The files that an index names.
#[cfg(feature = "hub")]
pub(crate) fn named_by(path: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
    Ok(index(&text).map_err(|what| Error::file(path, what))?.into_values().collect())
}

impl Weights {
    /// Maps a file and checks that it is a complete safetensors file. Where there is none, but `FILE.index.json` in its
    /// place, maps the files that this names.
    ///
    /// Errors: a file that is not there, cut off or damaged; it names the place.
    pub fn open(path: &Path) -> Result<Self> {
        let index = path.with_extension("safetensors.index.json");
        if !path.exists() && index.exists() {
            let text = std::fs::read_to_string(&index).map_err(|error| Error::io(&index, "read", &error))?;
            return Self::open_all(&index, &text, &mut |name| File::open(&index.with_file_name(name)));
        }
        if !path.exists() && path.with_file_name(PICKLE).exists() {
            let what = format!(
                "is not there, and {PICKLE} beside it is not read: such files can run code when they are opened. Get the \
                 model as safetensors, or save it again with `save_pretrained`"
            );
            return Err(Error::file(path, what));
        }
        Ok(Self { path: path.to_owned(), files: vec![File::open(path)?] })
    }

    /// The same of a file's bytes.
    ///
    /// Errors: they are cut off or damaged; it is called `path`.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Ok(Self { path: path.to_owned(), files: vec![File::new(path, Bytes::Held(bytes))?] })
    }

    /// The same of the text of an index and of the files that it names.
    ///
    /// Errors: an index that is none, names what is not there, or names it twice; a file that is damaged.
    pub fn from_parts(path: &Path, text: &str, mut bytes: impl FnMut(&str) -> Vec<u8>) -> Result<Self> {
        Self::open_all(path, text, &mut |name| File::new(&path.with_file_name(name), Bytes::Held(bytes(name))))
    }

    /// The files of an index, which stand beside it and hold what it says, each tensor once.
    fn open_all(path: &Path, text: &str, open: &mut dyn FnMut(&str) -> Result<File>) -> Result<Self> {
        let weight_map = index(text).map_err(|what| Error::file(path, what))?;
        let names: BTreeSet<&str> = weight_map.values().map(String::as_str).collect();
        let files = names.iter().map(|name| Ok((*name, open(name)?))).collect::<Result<BTreeMap<_, _>>>()?;
        for (name, file) in &weight_map {
            if !files[file.as_str()].header.tensors.contains_key(name) {
                let what = format!("names {}, but {file} does not have it: copy the files again", shortened(name));
                return Err(Error::file(path, what));
            }
        }
        let mut held = BTreeSet::new();
        for file in files.values() {
            if let Some(name) = file.header.tensors.keys().find(|name| !held.insert(name.as_str())) {
                let what = format!("holds {}, which another file holds too: copy the files again", shortened(name));
                return Err(file.error(what));
            }
        }
        Ok(Self { path: path.to_owned(), files: files.into_values().collect() })
    }

    fn find(&self, name: &str) -> Result<(&File, &Entry)> {
        let held = self.files.iter().find_map(|file| Some((file, file.header.tensors.get(name)?)));
        held.ok_or_else(|| {
            Error::file(
                &self.path,
                format!(
                    "has no tensor {}: copy the files again, or check that config.json belongs to them",
                    shortened(name)
                ),
            )
        })
    }

    /// The metadata line under `key`.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.files.first()?.header.metadata.get(key).cloned()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A tensor's shape.
    ///
    /// Errors: there is none of this name.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        Ok(self.find(name)?.1.shape.clone())
    }

    /// The names of all tensors.
    pub fn names(&self) -> Vec<String> {
        self.files.iter().flat_map(|file| file.header.tensors.keys().cloned()).collect()
    }

    /// All tensors as they lie in the files, by name.
    pub(crate) fn views(&self) -> BTreeMap<String, TensorView<'_>> {
        let views = self.files.iter().flat_map(|file| {
            let bytes = file.bytes.all();
            file.header.tensors.iter().map(move |(name, entry)| {
                let place = file.start + entry.place().start..file.start + entry.place().end;
                let view = TensorView::new(entry.dtype, entry.shape.clone(), &bytes[place]);
                (name.clone(), view.expect("a header that was checked"))
            })
        });
        views.collect()
    }

    /// A tensor's shape and numbers as f32, from f32, f16 or bf16.
    ///
    /// Errors: there is none of this name, or its numbers are of another type.
    pub fn numbers(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let (file, entry) = self.find(name)?;
        file.check_type(name, entry)?;
        let mut numbers = vec![0.0; entry.count()];
        file.read(entry, &mut numbers);
        Ok((entry.shape.clone(), numbers))
    }

    /// Whether two tensors have the same shape and numbers.
    pub(crate) fn same(&self, a: &str, b: &str) -> Result<bool> {
        let [(in_a, a), (in_b, b)] = [self.find(a)?, self.find(b)?];
        if a.shape != b.shape || a.dtype != b.dtype {
            return Ok(false);
        }
        let length = a.place().len();
        let equal = |start: usize| {
            let part = start..(start + 4 * AT_ONCE).min(length);
            in_a.with(a, part.clone(), |of_a| in_b.with(b, part, |of_b| of_a == of_b))
        };
        Ok((0..length).step_by(4 * AT_ONCE).all(equal))
    }

    /// A tensor of whole numbers, such as token ids: its shape and these.
    ///
    /// Errors: there is none of this name, or its numbers are of another type.
    pub fn integers(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        let (file, entry) = self.find(name)?;
        let integers = file.with(entry, 0..entry.place().len(), |bytes| match entry.dtype {
            Dtype::I64 => Ok(bytes.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect()),
            Dtype::I32 => Ok(bytes.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect()),
            other => Err(file.error(format!("{} holds {other:?}, not whole numbers", shortened(name)))),
        })?;
        Ok((entry.shape.clone(), integers))
    }

    /// Whether every tensor of a store is there, with its shape and of a type that can be read. The store need not have
    /// memory for its values yet.
    ///
    /// Errors: one that is not; it is named.
    pub fn check(&self, params: &Params, stored: impl Fn(&str) -> Result<String>) -> Result<()> {
        for piece in params.pieces() {
            let name = stored(piece.name)?;
            let (file, entry) = self.find(&name)?;
            if entry.shape != piece.shape[..] {
                let (has, wants) = (&entry.shape, piece.shape);
                let has = shortened(&format!("{has:?}"));
                let what = format!("{name} has shape {has}, but config.json asks for {wants}: they are of two models");
                return Err(file.error(what));
            }
            file.check_type(&name, entry)?;
        }
        Ok(())
    }

    /// Fills every tensor of a store from the one that `stored` says is it, which must have its shape.
    ///
    /// Errors: one that is not there, or of another shape or type; it is named.
    pub fn fill(&self, params: &mut Params, stored: impl Fn(&str) -> Result<String>) -> Result<()> {
        self.check(params, &stored)?;
        let pieces: Vec<_> = params.pieces().map(|p| Ok((stored(p.name)?, p.place))).collect::<Result<_>>()?;
        for (name, place) in pieces {
            let (file, entry) = self.find(&name)?;
            let numbers = &mut params.flat_mut()[place];
            // A training that saves checks them; what is damaged later would answer nonsense without a word.
            if let Some(at) = file.read(entry, numbers) {
                let what = format!("{name} holds {} at place {at}: the file is damaged; copy it again", numbers[at]);
                return Err(file.error(what));
            }
        }
        Ok(())
    }
}

/// A tensor's numbers as f32, if it holds f32, f16 or bf16.
pub(crate) fn floats(view: &TensorView) -> Option<Vec<f32>> {
    let two = |f: fn([u8; 2]) -> f32| view.data().as_chunks().0.iter().map(|&b| f(b)).collect();
    match view.dtype() {
        Dtype::F32 => Some(view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
        Dtype::F16 => Some(two(|b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Some(two(|b| bf16::from_le_bytes(b).to_f32())),
        _ => None,
    }
}

/// What a file says, but no more of it than a sentence can bear.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
