//! Learning the merges: merge the most frequent pair of neighbours, again and again.
//!
//! The slow twin ([`crate::reference::train`]) counts all pairs anew before each merge. Three things make it fast:
//!
//! 1. Words repeat, so the text is read once, in pieces on all threads, into a table of its different words and how
//!    often each occurs. After that only those words are needed, and they bound the memory.
//! 2. A merge changes only the pairs beside the places where it happens. For each pair we keep its count and the list of
//!    its places, and correct both.
//! 3. The most frequent pair comes from a heap. Entries are not corrected when a count falls; an entry that comes up
//!    with an old count goes back with the present one.
//!
//! The rule for ties, as in the twin: the smaller (left id, right id) first. Counts are exact and sums of integers do
//! not depend on their order, so neither do the merges, whatever the number of threads.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{END_OF_TEXT, Error, Merge, Token, find, joined, pieces, single_bytes, words};

/// The bytes that a thread counts at a time.
const PIECE: usize = 1 << 20;

/// Beyond the first or last token of a word.
const END: u32 = u32::MAX;

/// The tokens (bytes and merged ones, by id) and the merges, in the order in which they were learned, for a vocabulary
/// of `vocab_size` that has room for [`END_OF_TEXT`]; fewer if no pair stands twice any more. The twin is
/// [`crate::reference::train`].
pub(crate) fn train(documents: &[&[u8]], vocab_size: usize) -> Result<(Vec<Token>, Vec<Merge>), Error> {
    let mut pairs = Pairs::new(&count_words(documents))?;
    let mut tokens = single_bytes();
    let mut ids: FxHashMap<Token, u32> = tokens.iter().cloned().zip(0..).collect();
    let (mut merges, mut known) = (Vec::new(), FxHashSet::default());
    while tokens.len() + 1 < vocab_size {
        let Some((left, right)) = pairs.pop_most_frequent() else {
            break;
        };
        // Two ways can lead to the same bytes (ab+c, a+bc): they share one token. Then a pair that was merged before
        // can appear again, and is merged again by its old rule.
        let bytes = joined(&tokens, left, right);
        let token = *ids.entry(bytes.clone()).or_insert(tokens.len() as u32);
        if token as usize == tokens.len() {
            tokens.push(bytes);
        }
        let merge = Merge { left, right, token };
        if known.insert((left, right)) {
            merges.push(merge);
        }
        pairs.merge(merge);
    }
    Ok((tokens, merges))
}

/// Every different word of the documents, with the number of times that it occurs. Texts that [`END_OF_TEXT`]
/// separates are split each for itself.
fn count_words<'a>(documents: &[&'a [u8]]) -> FxHashMap<&'a [u8], u64> {
    documents
        .iter()
        .flat_map(|document| pieces(document, PIECE)) // no cut falls into END_OF_TEXT: it has no white space
        .par_bridge()
        .fold(FxHashMap::default, |mut counts, mut piece| {
            while !piece.is_empty() {
                let end = find(piece, END_OF_TEXT.as_bytes());
                for word in words(&piece[..end.unwrap_or(piece.len())]) {
                    *counts.entry(word).or_default() += 1;
                }
                piece = end.map_or(&[], |end| &piece[end + END_OF_TEXT.len()..]);
            }
            counts
        })
        .reduce(FxHashMap::default, |a, b| {
            let (small, mut all) = if a.len() < b.len() { (a, b) } else { (b, a) };
            for (word, count) in small {
                *all.entry(word).or_default() += count;
            }
            all
        })
}

/// One place of the words, which stand one behind the other: a token, linked to its neighbours in the word.
#[derive(Clone, Copy)]
struct Place {
    token: u32, // END where a token has been merged into the one before it
    previous: u32,
    next: u32,
    word: u32,
}

/// A pair's count, and the places of its left token: all of them, and some that no longer are.
#[derive(Default)]
struct Pair {
    count: u64,
    places: Vec<u32>,
}

/// All pairs of neighbours in all words.
struct Pairs {
    places: Vec<Place>,
    counts: Vec<u64>, // of the words
    pairs: FxHashMap<(u32, u32), Pair>,
    heap: BinaryHeap<(u64, Reverse<(u32, u32)>)>, // each pair at least once, with at least its count
}

impl Pairs {
    fn new(words: &FxHashMap<&[u8], u64>) -> Result<Self, Error> {
        let bytes: u64 = words.keys().map(|word| word.len() as u64).sum();
        if bytes >= u64::from(END) {
            return Err(Error::TooManyWords(bytes));
        }
        let mut all = Self {
            places: Vec::with_capacity(bytes as usize),
            counts: words.values().copied().collect(),
            pairs: FxHashMap::default(),
            heap: BinaryHeap::new(),
        };
        for (word, index) in words.keys().zip(0..) {
            let start = all.places.len() as u32;
            let end = start + word.len() as u32;
            for (&byte, at) in word.iter().zip(start..) {
                let previous = if at > start { at - 1 } else { END };
                let next = if at + 1 < end { at + 1 } else { END };
                all.places.push(Place { token: u32::from(byte), previous, next, word: index });
            }
            for (pair, at) in word.windows(2).zip(start..) {
                all.add((u32::from(pair[0]), u32::from(pair[1])), at, all.counts[index as usize]);
            }
        }
        all.heap = all.pairs.iter().map(|(&pair, p)| (p.count, Reverse(pair))).collect();
        Ok(all)
    }

    /// The pair with the highest count, of those the smallest; none if no pair stands twice.
    fn pop_most_frequent(&mut self) -> Option<(u32, u32)> {
        while let Some((count, Reverse(pair))) = self.heap.pop() {
            let present = self.pairs.get(&pair).map_or(0, |p| p.count);
            if present == count && count > 1 {
                return Some(pair);
            }
            if present > 1 {
                self.heap.push((present, Reverse(pair)));
            }
        }
        None
    }

    /// Merges one pair at all its places, from left to right: there `x left right y` becomes `x token y`.
    fn merge(&mut self, Merge { left, right, token }: Merge) {
        let Some(mut pair) = self.pairs.remove(&(left, right)) else {
            return;
        };
        pair.places.sort_unstable(); // of overlapping places (`aaa`) the left one is merged
        let mut grown = FxHashSet::default();
        for at in pair.places {
            let place = self.places[at as usize];
            let (previous, next) = (place.previous, place.next);
            if place.token != left || next == END || self.places[next as usize].token != right {
                continue; // an earlier merge has changed this place
            }
            let after = self.places[next as usize].next;
            let count = self.counts[place.word as usize];
            if previous != END {
                let x = self.places[previous as usize].token;
                self.subtract((x, left), count);
                self.add((x, token), previous, count);
                grown.insert((x, token));
            }
            if after != END {
                let y = self.places[after as usize].token;
                self.subtract((right, y), count);
                self.add((token, y), at, count);
                grown.insert((token, y));
                self.places[after as usize].previous = at;
            }
            self.places[next as usize].token = END;
            self.places[at as usize].token = token;
            self.places[at as usize].next = after;
        }
        for pair in grown {
            self.heap.push((self.pairs[&pair].count, Reverse(pair)));
        }
    }

    fn add(&mut self, pair: (u32, u32), at: u32, count: u64) {
        let pair = self.pairs.entry(pair).or_default();
        pair.count += count;
        pair.places.push(at);
    }

    /// The pair that is being merged is no longer in the table, and in `aaa` it is its own neighbour.
    fn subtract(&mut self, pair: (u32, u32), count: u64) {
        if let Some(pair) = self.pairs.get_mut(&pair) {
            pair.count -= count;
        }
    }
}
