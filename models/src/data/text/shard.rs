//! A shard: the ids of one part of one source in one file, ready to be mapped.
//!
//! | bytes | what |
//! |---|---|
//! | 0..64 | magic number, version, bytes an id (2 or 4), vocabulary V, tokens N, documents, bytes of text, lines without text |
//! | 64..96 | the key: SHA-256 of everything that the ids depend on |
//! | 96..128 | checksum: SHA-256 of the ids, then of bytes 0..96, then of the counts |
//! | 128..128+8V | how often each id occurs |
//! | …end | the ids |
//!
//! Numbers are in the machine's order, so that the map can be used as it is; on a machine of the other order the
//! magic number does not fit. Nothing in a cache is trusted: a file with a wrong byte anywhere is not a shard, and
//! is made again. That costs one read of the file when a run begins.

use std::io::{self, BufWriter, Seek as _, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tensor::mapped::Mapped;

use super::documents::STRETCH;
use crate::files::{commit, temporary_in};

/// A SHA-256 sum.
pub(super) type Sum = [u8; 32];

/// Counts up with every change of the layout or of the rules by which text becomes ids.
pub(super) const VERSION: u64 = 1;
const MAGIC: u64 = 0x5072_6574_6578_7402; // "Pretext" and the number of the header's form
const NUMBERS: usize = 10;
/// Numbers, the key and a checksum.
const HEADER: usize = 8 * NUMBERS + 2 * size_of::<Sum>();

/// What is counted while text is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub documents: u64,
    /// Bytes of text, without separators.
    pub bytes: u64,
    /// Lines of JSON that were passed over, for there was no text in them.
    pub empty: Empty,
}

/// Lines without text, and where the first of them stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Empty {
    pub lines: u64,
    /// The number of its file among those of the source, from 0.
    pub file: u64,
    /// Its number in this file, from 1.
    pub line: u64,
}

impl Empty {
    pub fn add(&mut self, file: u64, line: u64) {
        if self.lines == 0 {
            (self.file, self.line) = (file, line);
        }
        self.lines += 1;
    }
}

/// Bytes an id takes: two where they suffice.
fn width(vocab: usize) -> usize {
    if vocab <= 1 << 16 { 2 } else { 4 }
}

/// A shard that is being written, under a temporary name until it is complete.
pub(super) struct ShardWriter {
    out: BufWriter<NamedTempFile>,
    vocab: usize,
    counts: Vec<u64>,
    hash: Sha256,
    bytes: Vec<u8>,
}

impl ShardWriter {
    pub fn create(dir: &Path, vocab: usize) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 16, temporary_in(dir)?);
        out.write_all(&vec![0; HEADER + 8 * vocab])?; // written over at the end, when it is known
        Ok(Self { out, vocab, counts: vec![0; vocab], hash: Sha256::new(), bytes: Vec::new() })
    }

    /// Adds ids at the end. Panics at an id outside the vocabulary.
    pub fn push(&mut self, ids: &[u32]) -> io::Result<()> {
        self.bytes.clear();
        for &id in ids {
            self.counts[id as usize] += 1;
            let id = id.to_ne_bytes();
            let low = if cfg!(target_endian = "little") { [id[0], id[1]] } else { [id[2], id[3]] };
            self.bytes.extend_from_slice(if width(self.vocab) == 2 { &low } else { &id });
        }
        self.hash.update(&self.bytes);
        self.out.write_all(&self.bytes)
    }

    /// Writes the header and gives the file its name.
    pub fn finish(mut self, path: &Path, key: &Sum, totals: Totals) -> io::Result<()> {
        let tokens = self.counts.iter().sum();
        let Totals { documents, bytes, empty } = totals;
        let width = width(self.vocab) as u64;
        let Empty { lines, file, line } = empty;
        let vocab = self.vocab as u64;
        let numbers: [u64; NUMBERS] = [MAGIC, VERSION, width, vocab, tokens, documents, bytes, lines, file, line];
        let mut head: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
        head.extend_from_slice(key);
        let counts: Vec<u8> = self.counts.iter().flat_map(|n| n.to_ne_bytes()).collect();
        let checksum = self.hash.chain_update(&head).chain_update(&counts).finalize();
        self.out.rewind()?;
        self.out.write_all(&head)?;
        self.out.write_all(&checksum)?;
        self.out.write_all(&counts)?;
        commit(self.out.into_inner()?, path)
    }
}

/// A complete shard, mapped.
#[derive(Debug)]
pub(super) struct Shard {
    map: Mapped,
    vocab: usize,
    tokens: u64,
    totals: Totals,
}

impl Shard {
    /// The shard at `path`; none if there is none, or if it is damaged or not the one with `key` and `vocab`.
    pub fn open(path: &Path, key: &Sum, vocab: usize) -> Option<Self> {
        let map = Mapped::open(path).ok()?;
        let bytes = map.bytes();
        let (head, ids) = (bytes.get(..HEADER)?, bytes.get(HEADER + 8 * vocab..)?);
        let number = |i: usize| u64::from_ne_bytes(*head[8 * i..].first_chunk().expect("the header is long enough"));
        let tokens = number(4);
        let expected = [MAGIC, VERSION, width(vocab) as u64, vocab as u64];
        let whole = tokens.checked_mul(expected[2]) == Some(ids.len() as u64);
        let (begin, checksum) = head.split_at(HEADER - size_of::<Sum>());
        if (0..4).any(|i| number(i) != expected[i]) || !whole || &begin[8 * NUMBERS..] != key {
            return None;
        }
        let mut hash = Sha256::new();
        for stretch in ids.chunks(STRETCH) {
            hash.update(stretch);
            map.release();
        }
        let sum = hash.chain_update(begin).chain_update(&bytes[HEADER..HEADER + 8 * vocab]).finalize();
        let empty = Empty { lines: number(7), file: number(8), line: number(9) };
        let totals = Totals { documents: number(5), bytes: number(6), empty };
        (checksum == &sum[..]).then_some(Self { map, vocab, tokens, totals })
    }

    /// The number of ids.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Fills `out` with the ids from `start` on. Panics if there are not as many.
    pub fn read(&self, start: u64, out: &mut [u32]) {
        let first = HEADER + 8 * self.vocab;
        let range = start as usize..start as usize + out.len();
        if width(self.vocab) == 2 {
            let ids: &[u16] = &self.map.numbers(first)[range];
            out.iter_mut().zip(ids).for_each(|(o, &id)| *o = id.into());
        } else {
            out.copy_from_slice(&self.map.numbers(first)[range]);
        }
    }

    /// How often each id occurs.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        let counts = &self.map.bytes()[HEADER..HEADER + 8 * self.vocab];
        counts.as_chunks().0.iter().map(|&count| u64::from_ne_bytes(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const KEY: Sum = [7; 32];
    const TOTALS: Totals = Totals { documents: 2, bytes: 11, empty: Empty { lines: 3, file: 1, line: 7 } };

    fn write(path: &Path, vocab: usize, ids: &[u32]) {
        let mut writer = ShardWriter::create(path.parent().unwrap(), vocab).unwrap();
        ids.chunks(3).for_each(|ids| writer.push(ids).unwrap());
        writer.finish(path, &KEY, TOTALS).unwrap();
    }

    #[test]
    fn ids_come_back_as_they_were_written_in_two_bytes_or_four() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard");
        for (vocab, bytes) in [(1u32, 2), (256, 2), (65_536, 2), (65_537, 4), (100_000, 4)] {
            for len in [0u32, 1, 2, 1000] {
                let ids: Vec<u32> = (0..len).map(|i| (vocab - 1 + i * 31) % vocab).collect();
                write(&path, vocab as usize, &ids);
                assert_eq!(fs::metadata(&path).unwrap().len(), HEADER as u64 + u64::from(8 * vocab + bytes * len));
                let shard = Shard::open(&path, &KEY, vocab as usize).unwrap();
                let mut read = vec![0; ids.len()];
                shard.read(0, &mut read);
                assert_eq!(read, ids);
                assert_eq!((shard.tokens(), shard.totals()), (len.into(), TOTALS));
                assert_eq!(shard.counts().sum::<u64>(), u64::from(len));
                for (id, count) in shard.counts().enumerate().filter(|&(_, count)| count > 0) {
                    assert_eq!(count, ids.iter().filter(|&&i| i as usize == id).count() as u64);
                }
            }
        }
    }

    #[test]
    fn a_file_with_any_wrong_byte_or_length_is_not_a_shard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard");
        write(&path, 5, &[0, 1, 2, 3, 4, 4]);
        let good = fs::read(&path).unwrap();
        assert!(Shard::open(&path, &KEY, 5).is_some());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            assert!(Shard::open(&path, &KEY, 5).is_none(), "byte {at}");
        }
        for len in 0..good.len() {
            fs::write(&path, &good[..len]).unwrap();
            assert!(Shard::open(&path, &KEY, 5).is_none(), "length {len}");
        }
        fs::write(&path, [&good[..], b"x"].concat()).unwrap();
        assert!(Shard::open(&path, &KEY, 5).is_none(), "one byte more");
        fs::write(&path, &good).unwrap();
        assert!(Shard::open(&path, &[8; 32], 5).is_none(), "another key");
        assert!(Shard::open(&path, &KEY, 6).is_none(), "another vocabulary");
    }

    #[test]
    fn a_shard_that_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ShardWriter::create(dir.path(), 256).unwrap();
        writer.push(&[1; 100_000]).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(writer);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
