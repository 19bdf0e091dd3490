//! Where words begin and end: among ids, for masked prediction, and in a text that is to be cut.

use std::ops::Range;

use unicode_categories::UnicodeCategories;

use crate::bpe::END_OF_WORD;
use crate::encode::{Model, Splitter};
use crate::normalize::Normalizer;
pub use crate::normalize::is_chinese;
use crate::special::Part;
use crate::split::cut_before;
use crate::word_piece::CONTINUES;
use crate::{Special, Tokenizer, words};

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

impl Tokenizer {
    /// The ids of a text, with the names of special tokens in it as text, and for each the bytes of the text that it stands
    /// for. Where a token does not say that, because the text was normalised before, they are those of its word, or of all
    /// that stands between two white spaces.
    pub fn encode_places(&self, text: &str) -> (Vec<u32>, Vec<Range<usize>>) {
        let byte_level = matches!(self.splitter, Splitter::Gpt2 { .. });
        if byte_level
            && matches!(self.normalizer, Normalizer::None)
            && let Some(found) = self.places_of_bytes(text)
        {
            return found;
        }
        let mut ids = Vec::new();
        let mut places = Vec::new();
        for chunk in text.split_whitespace() {
            let start = chunk.as_ptr() as usize - text.as_ptr() as usize;
            let mut whole = Vec::new();
            let space = if byte_level && start > 0 { " " } else { "" };
            self.encode_ordinary(format!("{space}{chunk}").as_bytes(), &mut whole);
            let mut parts: (Vec<u32>, Vec<Range<usize>>) = Default::default();
            for part in chunk.split_inclusive(stands_alone).flat_map(|part| {
                let last = part.char_indices().next_back().filter(|&(at, c)| at > 0 && stands_alone(c));
                let (word, mark) = part.split_at(last.map_or(part.len(), |(at, _)| at));
                [word, mark]
            }) {
                self.encode_ordinary(part.as_bytes(), &mut parts.0);
                let from = part.as_ptr() as usize - text.as_ptr() as usize;
                parts.1.resize(parts.0.len(), from..from + part.len());
            }
            // Words and marks one by one have the ids of the whole, but for a few, an emoji of several characters, say, and for
            // what takes its space along.
            places.extend(if parts.0 == whole { parts.1 } else { vec![start..start + chunk.len(); whole.len()] });
            ids.extend(whole);
        }
        (ids, places)
    }

    /// The same where tokens are bytes of the text as it is: what stands between added tokens they fill one after the other.
    /// None if one stands for what is unknown.
    fn places_of_bytes(&self, text: &str) -> Option<(Vec<u32>, Vec<Range<usize>>)> {
        let (mut ids, mut places, mut filled) = (Vec::new(), Vec::<Range<usize>>::new(), true);
        let mut place = |from: usize, part: Part| {
            match part {
                Part::Token(id, at) => {
                    ids.push(id);
                    places.push(from + at.start..from + at.end);
                }
                Part::Text(at, text) => {
                    let (first, start) = (ids.len(), from + at);
                    self.encode_words(text, &mut ids);
                    // The space that such a part is given has no place.
                    let prefix_space = matches!(self.splitter, Splitter::Gpt2 { prefix_space: true });
                    let given = usize::from(prefix_space && !text.starts_with(b" "));
                    let mut end = 0;
                    places.extend(ids[first..].iter().map(|&id| {
                        let begin = end;
                        end += self.token(id).map_or(0, <[u8]>::len);
                        start + begin.saturating_sub(given)..start + end.saturating_sub(given)
                    }));
                    filled &= end == given + text.len();
                }
            }
            Ok(())
        };
        let split = self.names.split(text.as_bytes(), Special::AsText, |part| match part {
            Part::Text(from, text) => self.normal_names.split(text, Special::AsText, |part| place(from, part)),
            token => place(0, token),
        });
        split.expect("where names are text, none is refused");
        filled.then_some((ids, places))
    }
}

/// Whether a character is a word of its own where no space stands beside it: punctuation, symbols, Chinese characters.
pub fn stands_alone(c: char) -> bool {
    is_chinese(c) || !c.is_alphanumeric() && !joins(c)
}

/// Whether a character belongs to the one before it: an accent, a vowel sign, what joins emoji.
pub fn joins(c: char) -> bool {
    c.is_mark() || c.is_other_format()
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
