//! IDX files, as MNIST and its likes come: all pictures in one file, all classes in another (LeCun et al. 1998).
//!
//! ```text
//! …-images-idx3-ubyte:  00 00 08 03   n   rows   columns   n·rows·columns grey levels
//! …-labels-idx1-ubyte:  00 00 08 01   n   n classes          (each number big-endian, in four bytes)
//! ```

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::place::{Form, Place, Stamp};
use super::wording::{Record, Wording};
use super::{Gathering, Item};
use crate::error::{Error, Result};

/// Whether the name is one of images in this form.
pub(super) fn is_idx(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("idx3-ubyte"))
}

/// Adds the pictures, each with its class: a digit, or the name that the options give it.
pub(super) fn gather(path: &Path, to: &mut Gathering) -> Result<()> {
    let stamp = Stamp::at(path)?;
    let [count, height, width] = header(path, 3)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(name.replace("images", "labels").replace("idx3", "idx1"));
    let labels: Vec<Option<u8>> = if to.options.silent && !beside.exists() {
        vec![None; count as usize]
    } else {
        let labels = fs::read(&beside).map_err(|e| Error::io(&beside, "read the classes in", &e))?;
        let [labelled] = header(&beside, 1)?;
        if labelled != count {
            let what = format!("it has {labelled} classes for {count} pictures: give both of one set");
            return Err(Error::file(&beside, what));
        }
        labels[8..].iter().copied().map(Some).collect()
    };
    let mut wording = Wording::of(to.options, path, &["class".to_owned()])?;
    let (source, bytes) = (Arc::<Path>::from(path), u64::from(width) * u64::from(height));
    for (i, digit) in labels.into_iter().enumerate() {
        let names = &to.options.classes;
        let class = match digit.map(|digit| (digit, names.get(usize::from(digit)))) {
            None => None,
            Some((_, Some(name))) => Some(name.clone()),
            Some((digit, None)) if names.is_empty() => Some(digit.to_string()),
            Some((digit, None)) => {
                let what = format!(
                    "picture {i} is of class {digit}, and only {} classes have names: name all of them, the first that of 0",
                    names.len()
                );
                return Err(Error::file(&beside, what));
            }
        };
        let record = Record::from_iter([("class".to_owned(), Value::from(class))]);
        if wording.keeps(&record) {
            let form = Form::Grey { offset: 16 + i as u64 * bytes, width, height };
            let place = Place { source: source.clone(), key: i.to_string().into(), bytes, stamp, form };
            to.add(Item::new(place, wording.captions(&record)), wording.class(&record));
        }
    }
    to.close(path, &wording)
}

/// The sizes of an array of `N` dimensions of bytes, after checking that the file has as many as they say.
fn header<const N: usize>(path: &Path, dimensions: u8) -> Result<[u32; N]> {
    let mut start = vec![0; 4 + 4 * N];
    let mut file = File::open(path).map_err(|e| Error::io(path, "open", &e))?;
    let length = file.metadata().map_err(|e| Error::io(path, "read", &e))?.len();
    let read = file.read_exact(&mut start);
    if read.is_err() || start[..4] != [0, 0, 8, dimensions] {
        let what = format!(
            "it does not begin like an IDX file of bytes in {dimensions} dimensions: unpack it, or fetch it again"
        );
        return Err(Error::file(path, what));
    }
    let (words, _) = start[4..].as_chunks();
    let sizes: [u32; N] = std::array::from_fn(|i| u32::from_be_bytes(words[i]));
    let expected = sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(u64::from(size)));
    match expected.and_then(|bytes| bytes.checked_add(start.len() as u64)) {
        Some(expected) if expected == length && !sizes.contains(&0) => Ok(sizes),
        _ => {
            let sizes: Vec<_> = sizes.iter().map(u32::to_string).collect();
            let what = format!("it has {length} bytes, which are not those of {}: fetch it again", sizes.join(" x "));
            Err(Error::file(path, what))
        }
    }
}
