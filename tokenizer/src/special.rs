//! Added tokens: names in the text that are one id, such as `<|endoftext|>` between two documents.
//!
//! Most are special: they say something about a text and are no part of it. A name from a trusted source is a
//! separator; the same name in somebody's message is an attempt to write one. So who encodes says which it is: special names
//! are never tokens by accident. Added tokens that are not special are words like any other and always found.

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::kind::{Kind, last_space};
use crate::{Error, split};

/// The special token that stands between documents, as GPT-2 writes it.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// The special token that begins a text, in CLIP's vocabulary.
pub const START_OF_TEXT: &str = "<|startoftext|>";

/// The special tokens of a tokenizer for masked prediction, as BERT writes them, in the order of their ids from 0 on:
/// padding; what a text begins and ends with; and what stands in the place of a hidden token.
pub const FRAME: [&str; 4] = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"];

/// The same as RoBERTa writes them (Liu et al. 2019).
pub const ROBERTA_FRAME: [&str; 4] = ["<pad>", "<s>", "</s>", "<mask>"];

/// The ids of [`FRAME`]'s tokens, or of [`ROBERTA_FRAME`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where no text is.
    pub pad: u32,
    /// Begins a text.
    pub cls: u32,
    /// Ends a text, or one of its two parts.
    pub sep: u32,
    /// Hides a token. In a text it takes the white space before it along, as the token that it hides would: "the \[MASK\]
    /// ball" hides " red". (BERT's own does not: its words have no space that could be left over.)
    pub mask: u32,
}

impl Frame {
    /// Whether `id` is one of them: such a token is never hidden, and never what is to be found.
    pub fn holds(&self, id: u32) -> bool {
        [self.pad, self.cls, self.sep, self.mask].contains(&id)
    }
}

/// What encoding does where the text holds the name of a special token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// An error: nobody meant this to be there.
    Refuse,
    /// The special token. Of names that begin at the same place, the longest.
    Allow,
    /// Text like any other: its bytes are encoded, and the special token's id does not appear.
    AsText,
}

/// A token that is found by its name before the text is split into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// What stands in the text.
    pub name: String,
    /// Its id.
    pub id: u32,
    /// Whether it says something about the text, and is no part of it.
    pub special: bool,
    /// Whether it takes the white space before it along.
    pub lstrip: bool,
    /// Whether it takes the white space behind it along.
    pub rstrip: bool,
    /// Whether it is looked for in the normalised text, and not in the text as it is.
    pub normalized: bool,
}

impl Added {
    /// A special token that is found where its name stands, and takes nothing along.
    pub(crate) fn special(name: &str, id: u32) -> Self {
        Self { name: name.to_owned(), id, special: true, lstrip: false, rstrip: false, normalized: false }
    }

    /// Whether white space belongs to it, so that a text must not be cut there.
    pub(crate) fn has_space(&self) -> bool {
        self.lstrip || self.rstrip || self.name.contains(char::is_whitespace)
    }
}

/// A part of a text: a token and where its name stands, or what stands between two and where.
pub(crate) enum Part<'a> {
    Token(u32, Range<usize>),
    Text(usize, &'a [u8]),
}

/// Names to look for in a text.
#[derive(Clone, Default)]
pub(crate) struct Names {
    any: Lookup,
    /// Those that are not special.
    words: Lookup,
}

/// Names by their bytes. What a place of a text costs does not grow with how many there are: it is asked for a name of each
/// length that there is.
#[derive(Clone, Default)]
struct Lookup {
    names: FxHashMap<Vec<u8>, Added>,
    begins: Vec<bool>,        // by byte: whether a name begins with it
    lengths: Vec<Vec<usize>>, // by the first byte: those of its names, the longest first
}

impl Lookup {
    /// Of names that are equal, that with the lowest id counts. Empty ones are never found.
    fn new<'a>(names: impl Iterator<Item = &'a (Vec<u8>, Added)>) -> Self {
        let mut all = Self { names: FxHashMap::default(), begins: vec![false; 256], lengths: vec![Vec::new(); 256] };
        for (name, added) in names {
            let Some(&first) = name.first() else { continue };
            let (begins, lengths) = (&mut all.begins[usize::from(first)], &mut all.lengths[usize::from(first)]);
            *begins = true;
            if let Err(at) = lengths.binary_search_by(|length| name.len().cmp(length)) {
                lengths.insert(at, name.len());
            }
            let known = all.names.entry(name.clone()).or_insert_with(|| added.clone());
            if added.id < known.id {
                *known = added.clone();
            }
        }
        all
    }

    /// The first name at or after `from`, and of those that begin there the longest: its place, its length and the token.
    fn next(&self, text: &[u8], mut from: usize) -> Option<(usize, usize, &Added)> {
        if self.names.is_empty() {
            return None;
        }
        loop {
            let at = from + text[from..].iter().position(|&byte| self.begins[usize::from(byte)])?;
            let mut lengths = self.lengths[usize::from(text[at])].iter();
            let found = lengths.find_map(|&length| Some((length, self.names.get(text.get(at..at + length)?)?)));
            if let Some((length, added)) = found {
                return Some((at, length, added));
            }
            from = at + 1;
        }
    }
}

impl Names {
    /// `names` are what is looked for: of an added token its name, perhaps normalised. Empty ones are never found.
    pub(crate) fn new(names: impl Iterator<Item = (Vec<u8>, Added)>) -> Self {
        let names: Vec<_> = names.collect();
        let words = names.iter().filter(|(_, added)| !added.special);
        Self { any: Lookup::new(names.iter()), words: Lookup::new(words) }
    }

    /// Gives `each` the parts of `text` from left to right; none of the texts is empty.
    pub(crate) fn split(
        &self,
        text: &[u8],
        special: Special,
        mut each: impl FnMut(Part) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let meant = if special == Special::AsText { &self.words } else { &self.any };
        let (mut start, mut from) = (0, 0);
        while let Some((at, length, added)) = meant.next(text, from) {
            if added.special && special == Special::Refuse {
                return Err(Error::SpecialInText { name: added.name.clone(), at });
            }
            let end = at + length;
            let before = text.get(start..at).unwrap_or_default(); // a name may begin in white space that was taken along
            let before = if added.lstrip { without_space(before) } else { before };
            if !before.is_empty() {
                each(Part::Text(start, before))?;
            }
            each(Part::Token(added.id, at..end))?;
            start = end + if added.rstrip { split::run(&text[end..], 0, Kind::Space) } else { 0 };
            from = end;
        }
        if start < text.len() { each(Part::Text(start, &text[start..])) } else { Ok(()) }
    }
}

/// A text without the white space at its end.
fn without_space(mut text: &[u8]) -> &[u8] {
    while let Some(length) = last_space(text) {
        text = &text[..text.len() - length];
    }
    text
}

/// Where `name` first stands in `text`.
pub(crate) fn find(text: &[u8], name: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].iter().position(|byte| *byte == name[0])?;
        if text[at..].starts_with(name) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a text, tokens as their ids in brackets.
    fn parts(text: &str, added: &[Added], special: Special) -> Vec<String> {
        let names = Names::new(added.iter().map(|added| (added.name.clone().into_bytes(), added.clone())));
        let mut parts = Vec::new();
        let push = |part: Part| {
            parts.push(match part {
                Part::Token(id, _) => format!("[{id}]"),
                Part::Text(_, text) => String::from_utf8(text.to_vec()).unwrap(),
            });
            Ok(())
        };
        names.split(text.as_bytes(), special, push).unwrap();
        parts
    }

    #[test]
    fn the_leftmost_name_is_found_and_of_those_the_longest() {
        let names = [Added::special("<ab>c", 3), Added::special("<ab>", 1), Added::special("b>", 2)];
        assert_eq!(parts("<<ab>cb><ab>b<ab", &names, Special::Allow), ["<", "[3]", "[2]", "[1]", "b<ab"]);
        assert_eq!(parts("<<ab>", &[], Special::Allow), ["<<ab>"]);
        assert!(parts("", &names, Special::Allow).is_empty());
    }

    /// As [`Lookup::next`], one name after the other.
    fn slow<'a>(text: &[u8], added: &'a [Added], special: Special) -> Option<(usize, usize, &'a Added)> {
        let meant = || added.iter().filter(|added| !added.special || special != Special::AsText);
        (0..text.len()).find_map(|at| {
            let here = meant().filter(|added| text[at..].starts_with(added.name.as_bytes()) && !added.name.is_empty());
            let best = here.min_by_key(|added| (std::cmp::Reverse(added.name.len()), added.id))?;
            Some((at, best.name.len(), best))
        })
    }

    proptest::proptest! {
        #[test]
        fn names_are_found_as_by_looking_for_one_after_the_other(
            text in "[ab<]{0,30}",
            names in proptest::collection::vec(("[ab<]{0,5}", proptest::prelude::any::<bool>()), 0..12),
        ) {
            let added: Vec<Added> = names.iter().zip([5u32, 3, 9, 1, 7, 8, 2, 6, 4, 0, 11, 10]).map(|((name, special), id)| {
                Added { special: *special, ..Added::special(name, id) }
            }).collect();
            let names = Names::new(added.iter().map(|added| (added.name.clone().into_bytes(), added.clone())));
            for (special, lookup) in [(Special::Allow, &names.any), (Special::AsText, &names.words)] {
                proptest::prop_assert_eq!(lookup.next(text.as_bytes(), 0), slow(text.as_bytes(), &added, special));
            }
        }
    }

    #[test]
    fn white_space_goes_along_and_words_are_always_found() {
        let mask = Added { lstrip: true, ..Added::special("<m>", 1) };
        let word = Added { rstrip: true, special: false, ..Added::special("foo", 2) };
        let text = "a \u{a0}<m> b foo \u{2003} <m>foo";
        assert_eq!(
            parts(text, &[mask.clone(), word.clone()], Special::Allow),
            ["a", "[1]", " b ", "[2]", "[1]", "[2]"]
        );
        assert_eq!(parts(text, &[mask, word], Special::AsText), ["a \u{a0}<m> b ", "[2]", "<m>", "[2]"]);
    }

    #[test]
    fn a_name_is_found_after_false_beginnings() {
        assert_eq!(find(b"<|<|end<|endoftext|>", END_OF_TEXT.as_bytes()), Some(7));
        assert_eq!(find(b"<|endoftext|", END_OF_TEXT.as_bytes()), None);
        assert_eq!(find(b"", END_OF_TEXT.as_bytes()), None);
    }
}
