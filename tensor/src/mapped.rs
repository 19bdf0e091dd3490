//! Files as memory: a read-only map, so that a file of any size is data without being read into memory first.
//!
//! This is one of the few files with `unsafe`: the language cannot promise that no other process shortens or
//! rewrites a mapped file. Pretext maps files that it wrote itself under a temporary name and renamed when they were
//! complete (shards, checkpoints), checkpoints of others while they are read, and a user's text for as long as it is
//! tokenised, where a change is noticed by the file's length and time afterwards. A file that is cut short in that moment ends
//! the program.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

/// A file mapped into memory, read-only.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Maps the whole of `path`. Errors are the system's: not found, no permission, a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is read-only. Files of our own are replaced by renaming and never changed in place; for a
        // user's text see the page above: bytes are bytes, so another content breaks no rule of the language's types.
        Ok(Self(unsafe { memmap2::Mmap::map(&file)? }))
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives back the memory that the map has taken so far; what is needed again is read from the file again. So a pass
    /// over a file of any size can keep to a little memory, where the system would count all of it as in use.
    pub fn release(&self) {
        self.release_part(0..self.0.len());
    }

    /// The same of the pages of one part.
    ///
    /// Panics if the part reaches beyond the file.
    pub fn release_part(&self, part: Range<usize>) {
        assert!(part.end <= self.0.len(), "{part:?} of a map of {} bytes", self.0.len());
        #[cfg(unix)]
        // SAFETY: dropped pages are dangerous where they come back as other bytes, as in private maps that were
        // written to. This map is shared and read-only: its pages come back from the file, which does not change.
        let _ = unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, part.start, part.len()) }; // only advice, so it may fail
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
        let map = Mapped::open(&path).unwrap();
        let read = std::fs::read(&path).unwrap();
        assert_eq!(map.bytes(), read);
        map.release();
        assert_eq!(map.bytes(), read, "released memory comes back");
    }
}
