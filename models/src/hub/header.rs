//! The header of a safetensors file, read with suspicion.
//!
//! A file is eight bytes that say how long its header is, the header, and the numbers of all tensors, one tensor after
//! another. The header is JSON: `{"wte.weight": {"dtype": "F32", "shape": [61, 24], "data_offsets": [0, 5856]}, …}`, and
//! strings of metadata under `__metadata__`. It comes from somewhere, and may say anything: that it is longer than the file,
//! that two tensors share their bytes, that a shape has more numbers than can be counted. Who believes it reads
//! numbers that are none, or takes memory that is not there; so all of it is checked here, once, and what is wrong is named.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use tokenizer::json::twice;

/// What a file says of its tensors.
#[derive(Default)]
pub(super) struct Header {
    pub metadata: BTreeMap<String, String>,
    pub tensors: BTreeMap<String, Entry>,
}

/// What it says of one.
#[derive(Deserialize)]
pub(super) struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl Entry {
    /// How many numbers it has. What was checked has a shape that can be counted.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its bytes, counted from the end of the header.
    pub fn place(&self) -> Range<usize> {
        self.data_offsets.0..self.data_offsets.1
    }

    /// How many bytes its type and shape ask for.
    fn bytes(&self) -> Option<usize> {
        let numbers = self.shape.iter().try_fold(1_usize, |n, length| n.checked_mul(*length))?;
        let bits = numbers.checked_mul(self.dtype.bitsize())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Tensors)
    }
}

/// Reads a header and refuses a name that is there twice.
struct Tensors;

impl<'de> Visitor<'de> for Tensors {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("tensors by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = from.next_key::<String>()? {
            if name == "__metadata__" {
                header.metadata = from.next_value::<Option<_>>()?.unwrap_or_default();
                continue;
            }
            match header.tensors.entry(name) {
                btree_map::Entry::Occupied(first) => return Err(twice(first.key())),
                btree_map::Entry::Vacant(place) => _ = place.insert(from.next_value()?),
            }
        }
        Ok(header)
    }
}

/// The header of a file with these bytes, and where the numbers begin.
pub(super) fn read(file: &[u8]) -> Result<(Header, usize), String> {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(format!("it has {} bytes, and the length of its header alone takes 8", file.len()));
    };
    let length = u64::from_le_bytes(*length);
    let json = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    let json = json.ok_or_else(|| format!("it says that its header has {length} bytes, and {} follow", rest.len()))?;
    let header: Header = serde_json::from_slice(json).map_err(|error| format!("its header is none: {error}"))?;
    check(&header, rest.len() - json.len())?;
    Ok((header, 8 + json.len()))
}

/// Whether each tensor has the bytes that its type and shape ask for, and all of them together those of the file.
fn check(header: &Header, bytes: usize) -> Result<(), String> {
    let mut tensors: Vec<_> = header.tensors.iter().collect();
    tensors.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, entry) in tensors {
        let (from, to) = entry.data_offsets;
        let Entry { dtype, shape, .. } = entry;
        match entry.bytes() {
            Some(wants) if to.checked_sub(from) == Some(wants) => {}
            Some(wants) => {
                return Err(format!("{name} of {dtype:?} and shape {shape:?} takes {wants} bytes, not {from} to {to}"));
            }
            None => {
                let what = "is of more numbers than can be counted, or of no whole number of bytes";
                return Err(format!("{name} of {dtype:?} and shape {shape:?} {what}"));
            }
        }
        if from != end {
            let what = if from < end { "over" } else { "behind a gap after" };
            return Err(format!("{name} begins at byte {from}, {what} the tensor that ends at {end}"));
        }
        end = to;
    }
    if end != bytes {
        return Err(format!("its tensors take {end} bytes, and it has {bytes}"));
    }
    Ok(())
}
