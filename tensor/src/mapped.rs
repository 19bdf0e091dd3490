//! Files as memory: a read-only map, so that a file of any size is data without being read into memory first.
//!
//! This is one of the few files with `unsafe`: the language cannot promise that no other process shortens or
//! rewrites a mapped file. Pretext only maps files that it wrote under a temporary name and renamed when they
//! were complete (see `models::data::text`), and checkpoints, which are never rewritten in place.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

/// A file mapped into memory, read-only.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Maps the whole of `path`. Errors are the system's: not found, no permission, a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is read-only, and the files given here are replaced by renaming and never changed in
        // place, so the bytes behind the slice stay as they are for as long as the map lives.
        Ok(Self(unsafe { memmap2::Mmap::map(&file)? }))
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes from `start` on as numbers of type `U` in the machine's order.
    ///
    /// Panics if the rest of the file is not a whole number of them, or `start` is not aligned for them.
    pub fn numbers<U: bytemuck::AnyBitPattern>(&self, start: usize) -> &[U] {
        bytemuck::cast_slice(&self.0[start..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shows_what_reading_shows() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(Mapped::open(&path).unwrap().bytes(), std::fs::read(&path).unwrap());
    }
}
