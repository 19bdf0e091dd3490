//! Where words begin and end: among ids, for masked prediction, and in a text that is to be cut.

use std::ops::Range;

use crate::bpe::END_OF_WORD;
use crate::encode::{Model, Splitter};
use crate::split::cut_before;
use crate::word_piece::CONTINUES;
use crate::{Tokenizer, words};

impl Tokenizer {
    /// The words of a run of ids, as ranges of places: what masked prediction may hide as a whole.
    ///
    /// WordPiece and CLIP's tokens say where words begin or end. Byte-level tokens do not, so they are put together and split
    /// again: of a run that was cut inside a word the first word may be a part. Panics at an id outside the vocabulary.
    pub fn words_of(&self, ids: &[u32]) -> Vec<Range<usize>> {
        let tokens: Vec<&[u8]> = ids.iter().map(|&id| self.token(id).expect("an id of this tokenizer")).collect();
        let (goes_on, ends) = (CONTINUES.as_bytes(), END_OF_WORD.as_bytes());
        let beside_added = |at: usize| ids[at - 1..=at].iter().any(|&id| self.is_added(id));
        let begins: Vec<usize> = match &self.model {
            Model::WordPiece(_) => (1..ids.len()).filter(|&at| !tokens[at].starts_with(goes_on)).collect(),
            Model::Bpe(bpe) if bpe.ends_words() => {
                (1..ids.len()).filter(|&at| tokens[at - 1].ends_with(ends) || beside_added(at)).collect()
            }
            Model::Bpe(_) => {
                let runs: Vec<usize> = (1..ids.len()).filter(|&at| beside_added(at)).chain([ids.len()]).collect();
                let starts = [0].into_iter().chain(runs.iter().copied());
                starts.zip(&runs).flat_map(|(start, &end)| begins_by_splitting(start, &tokens[start..end])).collect()
            }
        };
        let edges: Vec<usize> = [0].into_iter().chain(begins).chain([ids.len()]).collect();
        edges.windows(2).map(|edge| edge[0]..edge[1]).filter(|word| !word.is_empty()).collect()
    }

    pub(crate) fn is_added(&self, id: u32) -> bool {
        self.added.binary_search_by_key(&id, |added| added.id).is_ok()
    }

    /// A place at or after `near` where `text` may be cut so that the parts, given to
    /// [`encode_ordinary`](Self::encode_ordinary) one by one, have the ids of the whole; the text's length if there is none.
    ///
    /// It is [`crate::cut`]'s, but where a text's first word is given a space only a space may begin a part; and BERT takes some
    /// of ASCII's white space (vertical tab, form feed) for control characters, which join what they stand between.
    /// With added words that white space belongs to no cut is safe.
    pub fn cut(&self, text: &[u8], near: usize) -> usize {
        if self.added.iter().any(|added| !added.special && added.has_space()) {
            return text.len();
        }
        match self.splitter {
            Splitter::Gpt2 { prefix_space: true } => cut_before(text, near, |byte| byte == b' '),
            Splitter::Gpt2 { .. } | Splitter::Clip { .. } => crate::cut(text, near),
            Splitter::Bert => cut_before(text, near, |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')),
        }
    }
}

/// The places after which a word of all the tokens' bytes ends; the first token stands at place `start`.
fn begins_by_splitting(start: usize, tokens: &[&[u8]]) -> Vec<usize> {
    let text = tokens.concat();
    let mut ends = words(&text).scan(0, |end, word| {
        *end += word.len();
        Some(*end)
    });
    let (mut begins, mut at, mut end) = (Vec::new(), 0, ends.next());
    for (token, place) in tokens.iter().zip(start..) {
        at += token.len();
        // A run that was cut inside a word may have ends inside a token.
        while end.is_some_and(|end| end < at) {
            end = ends.next();
        }
        if end == Some(at) {
            begins.push(place + 1);
        }
    }
    begins
}
