//! Learning the merges: again and again, the most frequent pair of neighbouring tokens becomes a token of its own.
//!
//! (Gage 1994; for text Sennrich et al. 2016, algorithm 1.) Only distinct words and how often each occurs matter, so
//! the text is counted once, on all threads, and memory is bounded by its distinct words. Then each merge touches only
//! the words that hold the pair: their pairs' counts are updated, and the next best pair comes from a heap.
//!
//! Ties: of equally frequent pairs the one with the smaller (left, right) ids is merged first. Counts are sums of whole
//! numbers, so the result is the same for any number of threads.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::words::{cut, words};

/// A pair of neighbouring tokens.
pub(crate) type Pair = (u32, u32);

/// Bytes of text that one task counts.
const PIECE: usize = 1 << 20;

/// How often each word occurs in the documents, between the separators that stand in them.
pub(crate) fn count_words<'a>(documents: &[&'a [u8]], separator: &[u8]) -> Vec<(&'a [u8], u64)> {
    type Counts<'a> = FxHashMap<&'a [u8], u64>;
    let pieces: Vec<&[u8]> = documents.iter().flat_map(|document| pieces(document)).collect();
    let count = |mut counts: Counts<'a>, piece: &&'a [u8]| {
        for text in split_at(piece, separator) {
            words(text).for_each(|word| *counts.entry(word).or_default() += 1);
        }
        counts
    };
    let add = |a: Counts<'a>, b: Counts<'a>| {
        let (mut large, small) = if a.len() > b.len() { (a, b) } else { (b, a) };
        small.into_iter().for_each(|(word, n)| *large.entry(word).or_default() += n);
        large
    };
    let counts = pieces.par_iter().fold(Counts::default, count).reduce(Counts::default, add);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.par_sort_unstable(); // the map's order is no order
    counts
}

/// A document in parts of about [`PIECE`] bytes that have the words of the whole.
fn pieces(mut text: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let (piece, rest) = text.split_at(cut(text, PIECE));
        pieces.push(piece);
        text = rest;
    }
    pieces
}

/// The parts of a text between occurrences of `separator`.
pub(crate) fn split_at<'a>(text: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(at) = find(&text[start..], separator) {
        parts.push(&text[start..start + at]);
        start += at + separator.len();
    }
    parts.push(&text[start..]);
    parts
}

/// The first place of `wanted` in a text.
pub(crate) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut start = 0;
    while let Some(at) = text[start..].iter().position(|&byte| byte == first) {
        if text[start + at..].starts_with(wanted) {
            return Some(start + at);
        }
        start += at + 1;
    }
    None
}

/// A distinct word: its tokens so far and how often it occurs.
struct Word {
    tokens: Vec<u32>,
    count: u64,
}

/// Learns up to `wanted` merges from counted words; pair i becomes token 256 + i. Ends early when no pair occurs twice.
pub(crate) fn learn(counts: &[(&[u8], u64)], wanted: usize) -> Vec<Pair> {
    let tokens = |word: &[u8]| word.iter().map(|&byte| u32::from(byte)).collect();
    let mut words: Vec<Word> = counts.iter().map(|&(word, count)| Word { tokens: tokens(word), count }).collect();
    let mut pairs = Pairs::default();
    for (i, word) in words.iter().enumerate() {
        pairs.add(&word.tokens, word.count, i);
    }
    let mut heap: BinaryHeap<(u64, Reverse<Pair>)> =
        pairs.counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect();
    let mut merges = Vec::with_capacity(wanted);
    while merges.len() < wanted {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        let now = pairs.counts.get(&pair).copied().unwrap_or(0);
        if count != now {
            // An old entry: the count has fallen since. (When it rises, a new entry is pushed.)
            if now > 0 {
                heap.push((now, Reverse(pair)));
            }
            continue;
        }
        if count < 2 {
            break;
        }
        let id = 256 + merges.len() as u32;
        merges.push(pair);
        for pair in pairs.merge(&mut words, pair, id) {
            heap.push((pairs.counts[&pair], Reverse(pair)));
        }
    }
    merges
}

/// How often each pair occurs, and in which words it may stand.
#[derive(Default)]
struct Pairs {
    counts: FxHashMap<Pair, u64>,
    places: FxHashMap<Pair, FxHashSet<usize>>,
}

impl Pairs {
    fn add(&mut self, tokens: &[u32], count: u64, word: usize) {
        for pair in tokens.windows(2) {
            *self.counts.entry((pair[0], pair[1])).or_default() += count;
            self.places.entry((pair[0], pair[1])).or_default().insert(word);
        }
    }

    /// Makes `pair` the token `id` in every word that holds it, and returns the pairs that are new.
    fn merge(&mut self, words: &mut [Word], pair: Pair, id: u32) -> FxHashSet<Pair> {
        let mut new = FxHashSet::default();
        for i in self.places.remove(&pair).unwrap_or_default() {
            let Word { tokens, count } = &mut words[i];
            for old in tokens.windows(2) {
                let left = self.counts.get_mut(&(old[0], old[1])).expect("every pair of a word is counted");
                *left -= *count;
            }
            merge_all(tokens, pair, id);
            for pair in tokens.windows(2).filter(|pair| pair.contains(&id)) {
                new.insert((pair[0], pair[1]));
            }
            let count = *count;
            for pair in words[i].tokens.windows(2) {
                *self.counts.entry((pair[0], pair[1])).or_default() += count;
                if pair.contains(&id) {
                    self.places.entry((pair[0], pair[1])).or_default().insert(i);
                }
            }
        }
        self.counts.remove(&pair);
        new
    }
}

/// Replaces every occurrence of `pair` by `id`, from left to right.
pub(crate) fn merge_all(tokens: &mut Vec<u32>, pair: Pair, id: u32) {
    let (mut from, mut to) = (0, 0);
    while from < tokens.len() {
        let found = from + 1 < tokens.len() && (tokens[from], tokens[from + 1]) == pair;
        tokens[to] = if found { id } else { tokens[from] };
        from += if found { 2 } else { 1 };
        to += 1;
    }
    tokens.truncate(to);
}
