//! Special tokens: names in the text that are one id, such as `<|endoftext|>` between two documents.
//!
//! A name from a trusted source is a separator; the same name in somebody's message is an attempt to write one. So who
//! encodes says which it is: the names are never tokens by accident.

use crate::kind::last_space;

/// The special token that stands between documents, as GPT-2 writes it.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// The special tokens of a tokenizer for masked prediction, as BERT writes them, in the order of their ids from 0 on:
/// padding; what a text begins and ends with; and what stands in the place of a hidden token.
pub const FRAME: [&str; 4] = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"];

/// The ids of [`FRAME`]'s tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where no text is.
    pub pad: u32,
    /// Begins a text.
    pub cls: u32,
    /// Ends a text, or one of its two parts.
    pub sep: u32,
    /// Hides a token. In a text it takes the white space before it along, as the token that it hides would: "the \[MASK\]
    /// ball" hides " red".
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

/// A text without the white space at its end.
pub(crate) fn without_space(mut text: &[u8]) -> &[u8] {
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

/// The places in `text` of special tokens' names, from left to right, without overlaps: place, name and id.
/// `specials` has the longest name first, and no empty one.
pub(crate) fn names<'a>(text: &'a [u8], specials: &'a [(String, u32)]) -> impl Iterator<Item = (usize, &'a str, u32)> {
    let mut begins = [false; 256];
    specials.iter().for_each(|(name, _)| begins[usize::from(name.as_bytes()[0])] = true);
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + text[from..].iter().position(|&byte| begins[usize::from(byte)])?;
            let found = specials.iter().find(|(name, _)| text[at..].starts_with(name.as_bytes()));
            if let Some((name, id)) = found {
                from = at + name.len();
                return Some((at, name.as_str(), *id));
            }
            from = at + 1;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leftmost_name_is_found_and_of_those_the_longest() {
        let specials = [("<ab>c".to_owned(), 3), ("<ab>".to_owned(), 1), ("b>".to_owned(), 2)];
        let found: Vec<_> = names(b"<<ab>cb><ab>b<ab", &specials).collect();
        assert_eq!(found, [(1, "<ab>c", 3), (6, "b>", 2), (8, "<ab>", 1)]);
        assert_eq!(names(b"<<ab>", &[]).count(), 0);
    }

    #[test]
    fn a_name_is_found_after_false_beginnings() {
        assert_eq!(find(b"<|<|end<|endoftext|>", END_OF_TEXT.as_bytes()), Some(7));
        assert_eq!(find(b"<|endoftext|", END_OF_TEXT.as_bytes()), None);
        assert_eq!(find(b"", END_OF_TEXT.as_bytes()), None);
    }
}
