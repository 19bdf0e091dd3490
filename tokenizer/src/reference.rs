//! The slow and obvious forms of splitting, training and encoding: read these first.
//!
//! They say in a few lines what the fast forms must compute, and property tests hold each fast form to its slow twin:
//! [`words`] to [`crate::words`], [`train`] to [`Tokenizer::train`](crate::Tokenizer::train), [`encode`] to
//! [`Tokenizer::encode_ordinary`](crate::Tokenizer::encode_ordinary), [`word_piece`] to the same with BERT's vocabulary. The algorithm is byte-pair encoding (Gage 1994;
//! Sennrich et al. 2016, algorithm 1) over bytes (Radford et al. 2019, section 2.2).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::{END_OF_TEXT, Kind, Merge};

/// One character of the text: its kind and its bytes. A byte that is not UTF-8 stands alone.
type Character<'a> = (Kind, &'a [u8]);

/// The words of `text`: at each place, the first alternative of the pattern that fits.
pub fn words(text: &[u8]) -> Vec<&[u8]> {
    let mut characters: Vec<Character> = Vec::new();
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        characters.extend(valid.char_indices().map(|(at, c)| (Kind::of(c), &valid.as_bytes()[at..at + c.len_utf8()])));
        characters.extend(chunk.invalid().chunks(1).map(|byte| (Kind::Other, byte)));
    }
    let (mut words, mut rest, mut text) = (Vec::new(), &characters[..], text);
    while !rest.is_empty() {
        let length = contraction(rest)
            .or_else(|| space_and_run(rest, Kind::Letter))
            .or_else(|| space_and_run(rest, Kind::Number))
            .or_else(|| space_and_run(rest, Kind::Other))
            .or_else(|| space_before_space(rest))
            .unwrap_or_else(|| run(rest, Kind::Space));
        let bytes = rest[..length].iter().map(|(_, bytes)| bytes.len()).sum();
        let (word, after) = text.split_at(bytes);
        words.push(word);
        (rest, text) = (&rest[length..], after);
    }
    words
}

/// `'(?:[sdmt]|ll|ve|re)`
fn contraction(text: &[Character]) -> Option<usize> {
    ["'s", "'d", "'m", "'t", "'ll", "'ve", "'re"]
        .into_iter()
        .find(|end| text.len() >= end.len() && end.bytes().zip(text).all(|(byte, (_, bytes))| *bytes == [byte]))
        .map(str::len)
}

/// ` ?x+`, where x is of `kind`
fn space_and_run(text: &[Character], kind: Kind) -> Option<usize> {
    let space = usize::from(text[0].1 == b" ");
    let length = run(&text[space..], kind);
    (length > 0).then_some(space + length)
}

/// `\s+(?!\S)`: as much white space as possible, but given back one by one until no visible character follows.
fn space_before_space(text: &[Character]) -> Option<usize> {
    let visible = |at: usize| text.get(at).is_some_and(|(kind, _)| *kind != Kind::Space);
    (1..=run(text, Kind::Space)).rev().find(|&length| !visible(length))
}

/// How many characters of `kind` the text begins with.
fn run(text: &[Character], kind: Kind) -> usize {
    text.iter().take_while(|(k, _)| *k == kind).count()
}

/// The merges that training learns from `documents`, in order: count all pairs of neighbours anew, merge the most
/// frequent everywhere, repeat.
///
/// Ties go to the smaller (left id, right id). A pair counts once at each place where it stands, overlapping or not:
/// `aaa` has two pairs `a a`, of which one is then merged. A pair that stands only once is not worth a token.
pub fn train(documents: &[&[u8]], vocab_size: usize) -> Vec<Merge> {
    let mut counts: BTreeMap<Vec<u32>, u64> = BTreeMap::new();
    for document in documents {
        for part in split_at_name(document, END_OF_TEXT.as_bytes()) {
            for word in words(part) {
                *counts.entry(word.iter().map(|&byte| u32::from(byte)).collect()).or_default() += 1;
            }
        }
    }
    let mut texts: Vec<(Vec<u32>, u64)> = counts.into_iter().collect();
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let mut merges: Vec<Merge> = Vec::new();
    while tokens.len() + 1 < vocab_size {
        let mut pairs: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for (word, count) in &texts {
            word.windows(2).for_each(|pair| *pairs.entry((pair[0], pair[1])).or_default() += count);
        }
        let best = pairs.into_iter().max_by_key(|&(pair, count)| (count, Reverse(pair)));
        let Some(((left, right), 2..)) = best else {
            break;
        };

        // Two ways can lead to the same bytes (ab+c, a+bc): they share one token. Then a pair that was merged before
        // can appear again.
        let bytes = [&tokens[left as usize][..], &tokens[right as usize]].concat();
        let token = tokens.iter().position(|t| *t == bytes).unwrap_or(tokens.len()) as u32;
        if token as usize == tokens.len() {
            tokens.push(bytes);
        }
        let merge = Merge { left, right, token };
        if !merges.contains(&merge) {
            merges.push(merge);
        }
        for (word, _) in &mut texts {
            merge_everywhere(word, merge);
        }
    }
    merges
}

/// Replaces `merge`'s pair by its token, from left to right.
fn merge_everywhere(word: &mut Vec<u32>, merge: Merge) {
    while let Some(at) = word.windows(2).position(|pair| pair == [merge.left, merge.right]) {
        word.splice(at..at + 2, [merge.token]);
    }
}

/// `text` without the places where `name` stands.
fn split_at_name<'a>(mut text: &'a [u8], name: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = text.windows(name.len()).position(|window| window == name) {
        parts.push(&text[..at]);
        text = &text[at + name.len()..];
    }
    parts.push(text);
    parts
}

/// The ids of `text`: in each word, merge the pair that was learned first (the leftmost of equals), until no pair is
/// known.
pub fn encode(byte_ids: &[u32; 256], merges: &[Merge], text: &[u8]) -> Vec<u32> {
    let mut ids = Vec::new();
    for word in words(text) {
        let mut word: Vec<u32> = word.iter().map(|&byte| byte_ids[byte as usize]).collect();
        // A merge that a file lists twice has the later place, as in the `tokenizers` library.
        let rank = |pair: &[u32]| merges.iter().rposition(|m| [m.left, m.right] == pair);
        let first = |word: &[u32]| {
            let ranked = word.windows(2).enumerate().filter_map(|(at, pair)| rank(pair).map(|rank| (rank, at)));
            ranked.min()
        };
        while let Some((rank, at)) = first(&word) {
            word.splice(at..at + 2, [merges[rank].token]);
        }
        ids.extend(word);
    }
    ids
}

/// The ids of a word in the WordPiece vocabulary `tokens` (by id): the longest token that it begins with, then the longest
/// `##…` that the rest begins with, until nothing is left. If at some place none fits, or the word has more than
/// `max_chars` characters, it is the token `unknown` as a whole.
pub fn word_piece(tokens: &[&str], unknown: u32, max_chars: usize, word: &str) -> Vec<u32> {
    let (mut ids, mut rest) = (Vec::new(), word);
    while !rest.is_empty() {
        let mark = if ids.is_empty() { "" } else { "##" };
        let mut ends = rest.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
        let fitting = |end: usize| {
            let wanted = format!("{mark}{}", &rest[..end]);
            tokens.iter().position(|token| *token == wanted)
        };
        match ends.find_map(|end| Some((end, fitting(end)?))) {
            Some((end, id)) if word.chars().count() <= max_chars => {
                ids.push(id as u32);
                rest = &rest[end..];
            }
            _ => return vec![unknown],
        }
    }
    ids
}
