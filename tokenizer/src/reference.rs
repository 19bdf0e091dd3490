//! The slow and obvious forms of encoding and training, which the fast ones are tested against.

use std::collections::HashMap;

use crate::encode::Merges;
use crate::train::{Pair, merge_all};

/// One word into tokens: look at all pairs, merge the one that was learned first (the leftmost of equals), and again.
pub(crate) fn encode_word(merges: &Merges, word: impl Iterator<Item = u32>, ids: &mut Vec<u32>) {
    let mut tokens: Vec<u32> = word.collect();
    loop {
        let pairs = tokens.windows(2).enumerate().filter_map(|(i, pair)| Some((merges.get(pair[0], pair[1])?, i)));
        let Some((merge, i)) = pairs.min_by_key(|&(merge, i)| (merge.rank, i)) else { break };
        tokens.splice(i..i + 2, [merge.id]);
    }
    ids.append(&mut tokens);
}

/// Learns merges by counting all pairs of all words anew for each.
pub(crate) fn learn(counts: &[(&[u8], u64)], wanted: usize) -> Vec<Pair> {
    let tokens = |word: &[u8]| word.iter().map(|&byte| u32::from(byte)).collect::<Vec<_>>();
    let mut words: Vec<_> = counts.iter().map(|&(word, count)| (tokens(word), count)).collect();
    let mut merges = Vec::new();
    while merges.len() < wanted {
        let mut pairs: HashMap<Pair, u64> = HashMap::new();
        for (tokens, count) in &words {
            tokens.windows(2).for_each(|pair| *pairs.entry((pair[0], pair[1])).or_default() += count);
        }
        // The most frequent; of equals the smaller pair.
        let best = pairs.into_iter().max_by_key(|&(pair, count)| (count, std::cmp::Reverse(pair)));
        let Some((pair, _)) = best.filter(|&(_, count)| count >= 2) else { break };
        let id = 256 + merges.len() as u32;
        words.iter_mut().for_each(|(tokens, _)| merge_all(tokens, pair, id));
        merges.push(pair);
    }
    merges
}
