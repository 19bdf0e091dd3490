//! Encoding one word: merge its bytes, always the pair that was learned first, until no pair is known.
//!
//! The slow twin ([`crate::reference::encode`]) looks at every pair again after each merge. Only the two pairs beside
//! the merged one have changed, so here the rest is remembered: for a short word in an array, whose least entry is
//! found by looking at all (n²/2 steps at worst, but n is small); for a long word in a heap, over a linked list of its
//! tokens, which is n·log n for a megabyte of one letter too.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

/// A rule learned in training: where `left` and `right` are neighbours, `token` replaces them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The id on the left.
    pub left: u32,
    /// The id on the right.
    pub right: u32,
    /// The id of the token with the bytes of both.
    pub token: u32,
}

/// A merge as one number, `rank << 32 | token`: the least number is the merge that was learned first.
type Step = u64;

/// No merge is known; greater than every step.
const NONE: Step = Step::MAX;

/// Words up to this many bytes are merged in an array on the stack. Nearly all words of a text are shorter.
const SHORT: usize = 64;

/// The end of the linked list.
const END: u32 = u32::MAX;

/// All merges, to be asked by their pair. It is the pair of ids that has a rank, and not the bytes of the result,
/// because two pairs with different ranks may make the same token.
#[derive(Clone, Default)]
pub(crate) struct Ranks(FxHashMap<u64, Step>);

impl Ranks {
    /// Ranks are places in `merges`. Of a pair that is listed twice the later place counts, as in the `tokenizers`
    /// library.
    pub(crate) fn new(merges: &[Merge]) -> Self {
        let ranked = merges.iter().zip(0..);
        Self(ranked.map(|(m, rank)| (pack(m.left, m.right), pack(rank, m.token))).collect())
    }

    #[inline]
    fn step(&self, left: u32, right: u32) -> Step {
        self.0.get(&pack(left, right)).copied().unwrap_or(NONE)
    }

    /// Merges the tokens of one word as far as they go, and appends what they become to `ids`.
    ///
    /// Panics if the word has 4 GiB or more.
    pub(crate) fn merge(&self, word: impl ExactSizeIterator<Item = u32>, ids: &mut Vec<u32>) {
        if self.0.is_empty() {
            ids.extend(word);
        } else if word.len() <= SHORT {
            let mut tokens = [0; SHORT];
            let length = word.len();
            tokens.iter_mut().zip(word).for_each(|(token, id)| *token = id);
            ids.extend_from_slice(self.merge_short(&mut tokens[..length]));
        } else {
            self.merge_long(word.collect(), ids);
        }
    }

    /// Merges in place; returns the front part that is left.
    fn merge_short<'a>(&self, tokens: &'a mut [u32]) -> &'a [u32] {
        let mut n = tokens.len();
        let mut steps = [NONE; SHORT]; // steps[i] merges tokens i and i + 1
        for i in 1..n {
            steps[i - 1] = self.step(tokens[i - 1], tokens[i]);
        }
        while n > 1 {
            let (at, least) = first_least(&steps[..n - 1]);
            if least == NONE {
                break;
            }
            tokens[at] = least as u32; // the low half of a step is the token
            tokens.copy_within(at + 2..n, at + 1);
            steps.copy_within(at + 1..n, at);
            n -= 1;
            steps[n - 1] = NONE;
            if at + 1 < n {
                steps[at] = self.step(tokens[at], tokens[at + 1]);
            }
            if at > 0 {
                steps[at - 1] = self.step(tokens[at - 1], tokens[at]);
            }
        }
        &tokens[..n]
    }

    /// The heap holds (step, place of the left token). An entry is out of date when that place no longer begins a pair
    /// with this step; such entries are dropped when they come up.
    fn merge_long(&self, mut tokens: Vec<u32>, ids: &mut Vec<u32>) {
        assert!(
            tokens.len() < END as usize,
            "a word of {} bytes is too long: words must stay under 4 GiB",
            tokens.len()
        );
        let n = tokens.len() as u32;
        let mut previous: Vec<u32> = (0..n).map(|i| i.checked_sub(1).unwrap_or(END)).collect();
        let mut next: Vec<u32> = (1..n).chain([END]).collect();
        let pairs = (1..n).map(|i| (self.step(tokens[i as usize - 1], tokens[i as usize]), i - 1));
        let mut heap: BinaryHeap<_> = pairs.filter(|&(step, _)| step != NONE).map(Reverse).collect();

        while let Some(Reverse((step, at))) = heap.pop() {
            let left = at as usize;
            let gone = next[left];
            if gone == END || self.step(tokens[left], tokens[gone as usize]) != step {
                continue;
            }
            tokens[left] = step as u32;
            let after = next[gone as usize];
            next[left] = after;
            next[gone as usize] = END; // so that no entry finds a pair there
            if after != END {
                previous[after as usize] = at;
            }
            for (l, r) in [(previous[left], at), (at, after)] {
                if l != END && r != END {
                    let step = self.step(tokens[l as usize], tokens[r as usize]);
                    if step != NONE {
                        heap.push(Reverse((step, l)));
                    }
                }
            }
        }
        let mut at = 0;
        while at != END {
            ids.push(tokens[at as usize]);
            at = next[at as usize];
        }
    }
}

/// Two numbers in one: one hash and one comparison where there would be two.
fn pack(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The least of `steps` and its first place.
fn first_least(steps: &[Step]) -> (usize, Step) {
    let mut best = (0, NONE);
    for (at, &step) in steps.iter().enumerate() {
        if step < best.1 {
            best = (at, step);
        }
    }
    best
}
