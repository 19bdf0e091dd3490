//! One word into tokens: its bytes are merged pair by pair, the pair that was learned first before all others.
//!
//! The order of merges, not the longest match, decides; it is what training learned. Short words are scanned again
//! for each merge, which costs n² steps on a few bytes in registers. Long ones (a megabyte of one letter is one word)
//! keep candidate pairs in a heap and the tokens in a linked list: n·log n.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

/// Which pairs merge: to their rank (order of learning) and the token they become.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merges {
    by_pair: FxHashMap<u64, Merge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Merge {
    pub rank: u32,
    pub id: u32,
}

impl Merges {
    pub fn insert(&mut self, left: u32, right: u32, merge: Merge) {
        self.by_pair.insert(key(left, right), merge);
    }

    pub fn get(&self, left: u32, right: u32) -> Option<Merge> {
        self.by_pair.get(&key(left, right)).copied()
    }
}

fn key(left: u32, right: u32) -> u64 {
    (u64::from(left) << 32) | u64::from(right)
}

/// Words up to this many bytes are scanned, longer ones use the heap.
const SHORT: usize = 40;

/// Appends the tokens of one word, given as the tokens of its bytes.
pub(crate) fn encode_word(merges: &Merges, word: impl ExactSizeIterator<Item = u32>, ids: &mut Vec<u32>) {
    if word.len() <= SHORT { short(merges, word, ids) } else { long(merges, word.collect(), ids) }
}

/// Repeats: merge the pair of lowest rank, the leftmost of equals. The ranks of neighbours are kept beside the tokens.
fn short(merges: &Merges, word: impl ExactSizeIterator<Item = u32>, ids: &mut Vec<u32>) {
    const NONE: Merge = Merge { rank: u32::MAX, id: 0 };
    let (mut tokens, mut pairs) = ([0; SHORT], [NONE; SHORT]);
    let mut len = word.len();
    word.enumerate().for_each(|(i, token)| tokens[i] = token);
    let pair = |tokens: &[u32], i: usize| merges.get(tokens[i], tokens[i + 1]).unwrap_or(NONE);
    pairs.iter_mut().take(len.saturating_sub(1)).enumerate().for_each(|(i, at)| *at = pair(&tokens, i));
    loop {
        let candidates = &pairs[..len.saturating_sub(1)];
        let Some((i, &best)) = candidates.iter().enumerate().min_by_key(|(_, merge)| merge.rank) else { break };
        if best == NONE {
            break;
        }
        tokens[i] = best.id;
        tokens.copy_within(i + 2..len, i + 1);
        pairs.copy_within(i + 1..len - 1, i);
        len -= 1;
        if i > 0 {
            pairs[i - 1] = pair(&tokens[..len], i - 1);
        }
        if i + 1 < len {
            pairs[i] = pair(&tokens[..len], i);
        }
    }
    ids.extend_from_slice(&tokens[..len]);
}

/// The same with a heap of (rank, place) and a linked list of tokens. A candidate is stale, and passed over, when the
/// tokens at its place are no longer the pair that it was made for.
fn long(merges: &Merges, mut tokens: Vec<u32>, ids: &mut Vec<u32>) {
    const GONE: u32 = u32::MAX;
    let n = tokens.len();
    let mut next: Vec<usize> = (1..=n).collect();
    let mut previous: Vec<usize> = (0..n).map(|i| i.wrapping_sub(1)).collect();
    let candidate = |tokens: &[u32], left: usize, right: usize| {
        let merge = merges.get(tokens[left], tokens[right])?;
        Some(Reverse((merge, left, tokens[left], tokens[right])))
    };
    let mut heap: BinaryHeap<_> = (0..n - 1).filter_map(|i| candidate(&tokens, i, i + 1)).collect();
    while let Some(Reverse((merge, left, was_left, was_right))) = heap.pop() {
        let right = next[left];
        if right == n || tokens[left] != was_left || tokens[right] != was_right {
            continue;
        }
        tokens[left] = merge.id;
        tokens[right] = GONE;
        next[left] = next[right];
        if next[left] < n {
            previous[next[left]] = left;
            heap.extend(candidate(&tokens, left, next[left]));
        }
        if previous[left] < n {
            heap.extend(candidate(&tokens, previous[left], left));
        }
    }
    ids.extend(tokens.into_iter().filter(|&token| token != GONE));
}
