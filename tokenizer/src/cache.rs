//! Remembering words: a text repeats its words, so most of them are merged once and then copied.
//!
//! The cache is a table of slots. A word has one slot, given by its hash, and the last word that
//! came is the one remembered there: no list to search, nothing to throw out. Only words that fit into a slot are
//! remembered; the few longer ones are merged each time. The table begins small, for who encodes one sentence should not
//! wait until megabytes are cleared, and is made anew and larger as more text comes.

use std::sync::{Mutex, PoisonError};

/// At first 64 slots of 64 bytes, at most 65,536, 4 MB a thread: more would remember more of the rare words, but the
/// frequent words stay in the processor's own caches.
const SLOTS_LOG2: std::ops::RangeInclusive<u32> = 6..=16;

/// A word of up to 16 bytes and its up to nine ids: one cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Slot {
    word: Word,
    length: u8,
    ids: [u32; 9],
}

/// A word of 1 to 16 bytes as three numbers. Equal numbers mean equal bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Word {
    front: u64,
    back: u64,
    length: u8, // 0: an empty slot
}

impl Word {
    /// Reads the word in two or three overlapping parts, which is quicker than byte by byte.
    #[inline]
    fn new(bytes: &[u8]) -> Option<Self> {
        let n = bytes.len();
        let (front, back) = match n {
            1..4 => (u64::from(bytes[0]) | u64::from(bytes[n / 2]) << 8 | u64::from(bytes[n - 1]) << 16, 0),
            4..8 => (four(bytes) | four(&bytes[n - 4..]) << 32, 0),
            8..=16 => (eight(bytes), eight(&bytes[n - 8..])),
            _ => return None,
        };
        Some(Self { front, back, length: n as u8 })
    }

    /// A number of so many bits. Multiplication carries every bit upwards, so the highest bits of the product depend on all of
    /// the word.
    #[inline]
    fn hash(self, bits: u32) -> usize {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15; // 2⁶⁴ / golden ratio (Knuth, volume 3, section 6.4)
        let mixed = (self.front.wrapping_mul(ODD) ^ self.back.rotate_left(32)).wrapping_mul(ODD);
        ((mixed ^ mixed >> 32).wrapping_mul(ODD) >> (64 - bits)) as usize
    }
}

#[inline]
fn four(bytes: &[u8]) -> u64 {
    u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[inline]
fn eight(bytes: &[u8]) -> u64 {
    bytes[..8].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// Words and their ids, for one thread at a time.
#[derive(Default)]
pub(crate) struct Cache {
    slots: Vec<Slot>,
    slots_log2: u32,
    /// How many bytes of text have come.
    seen: usize,
}

impl Cache {
    /// Before a text of so many bytes: a slot for every 16 that have come, which is more than there are different words.
    fn prepare(&mut self, length: usize) {
        self.seen = self.seen.saturating_add(length);
        let wants = (self.seen / 16).max(1).ilog2().clamp(*SLOTS_LOG2.start(), *SLOTS_LOG2.end());
        if self.slots.is_empty() || wants > self.slots_log2 {
            // Not for each power of two: what was remembered is forgotten.
            self.slots_log2 = (wants + 1).min(*SLOTS_LOG2.end());
            self.slots = vec![Slot::default(); 1 << self.slots_log2];
        }
    }

    /// Appends the ids of `word` to `ids`: those remembered, or those that `merge` appends.
    #[inline]
    pub(crate) fn get_or(&mut self, word: &[u8], ids: &mut Vec<u32>, merge: impl FnOnce(&mut Vec<u32>)) {
        let Some(key) = Word::new(word) else {
            return merge(ids);
        };
        let slot = &mut self.slots[key.hash(self.slots_log2)];
        if slot.word == key {
            return ids.extend_from_slice(&slot.ids[..usize::from(slot.length)]);
        }
        let start = ids.len();
        merge(ids);
        let new = &ids[start..];
        if let Some(place) = slot.ids.get_mut(..new.len()) {
            place.copy_from_slice(new);
            (slot.word, slot.length) = (key, new.len() as u8);
        }
    }
}

/// The caches of a tokenizer that no thread uses just now. A call of the encoder borrows one for its time, so several
/// threads may encode at once, and the words are still known in the next call.
#[derive(Default)]
pub(crate) struct Caches(Mutex<Vec<Cache>>);

/// The copy remembers no words yet.
impl Clone for Caches {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Caches {
    /// Lends one for a text of `length` bytes.
    pub(crate) fn with<R>(&self, length: usize, work: impl FnOnce(&mut Cache) -> R) -> R {
        let idle = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle_cache = idle().pop();
        let mut cache = idle_cache.unwrap_or_default();
        cache.prepare(length);
        let result = work(&mut cache);
        idle().push(cache);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_same_slot_are_never_taken_for_each_other() {
        let mut cache = Cache::default();
        cache.prepare(1);
        // Far more words than slots, twice, of all lengths; each "merges" to its own number, spread over 1 to 11 ids.
        for number in (0..300_000_u32).chain(0..300_000) {
            let word = format!("{number:0width$}", width = 1 + number as usize % 18).into_bytes();
            let expected = vec![number; 1 + number as usize % 11];
            let mut ids = Vec::new();
            cache.prepare(word.len());
            cache.get_or(&word, &mut ids, |ids| ids.extend_from_slice(&expected));
            let same_word =
                ids.iter().all(|&id| format!("{id:0width$}", width = 1 + id as usize % 18).as_bytes() == word);
            assert!(same_word && !ids.is_empty(), "{number}: {ids:?}");
        }
    }
}
