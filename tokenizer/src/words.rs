//! Text into words, as GPT-2 does it before any byte pair is looked at: merges never cross a word's border.
//!
//! GPT-2 states the rule as a regular expression,
//! `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: an English contraction; letters, digits or
//! other signs, each with at most one space before; white space, whose last character is left to the word that
//! follows. Here it is a scan that looks at every character once and at most one beyond.
//!
//! Input is bytes, not characters: a byte that is not part of valid UTF-8 counts as an "other" sign.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

/// The class of the character at the start of `text`, and its length in bytes.
#[inline]
fn first(text: &[u8]) -> (Class, usize) {
    let byte = text[0];
    if byte < 0x80 {
        return (ASCII[byte as usize], 1);
    }
    let len = match byte {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return (Class::Other, 1),
    };
    let decoded = text.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let Some(c) = decoded.and_then(|s| s.chars().next()) else { return (Class::Other, 1) };
    (class(c), len)
}

fn class(c: char) -> Class {
    match c.general_category_group() {
        GeneralCategoryGroup::Letter => Class::Letter,
        GeneralCategoryGroup::Number => Class::Number,
        _ if c.is_whitespace() => Class::Space,
        _ => Class::Other,
    }
}

const ASCII: [Class; 128] = {
    let mut classes = [Class::Other; 128];
    let mut i = 0;
    while i < 128 {
        let byte = i as u8;
        classes[i] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Number,
            b'\t'..=b'\r' | b' ' => Class::Space, // tab, newline, vertical tab, form feed, return, space
            _ => Class::Other,
        };
        i += 1;
    }
    classes
};

/// The words of a text, one after another; together they are the text.
///
/// ```
/// let words: Vec<_> = tokenizer::words(b"I can't,  no").collect();
/// assert_eq!(words, [&b"I"[..], b" can", b"'t", b",", b" ", b" no"]);
/// ```
pub fn words(text: &[u8]) -> Words<'_> {
    Words { rest: text }
}

/// See [`words`].
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (word, rest) = self.rest.split_at(word_len(self.rest));
        self.rest = rest;
        Some(word)
    }
}

/// The length of the first word of a text that is not empty.
#[inline]
fn word_len(text: &[u8]) -> usize {
    if text[0] == b'\'' {
        let contraction = [&b"s"[..], b"d", b"m", b"t", b"ll", b"ve", b"re"];
        if let Some(found) = contraction.iter().find(|c| text[1..].starts_with(c)) {
            return 1 + found.len();
        }
    }
    // One space belongs to the word that follows it.
    let space = usize::from(text[0] == b' ' && text.len() > 1);
    match first(&text[space..]) {
        (Class::Space, _) => spaces_len(text),
        (class, len) => space + len + run_len(&text[space + len..], class),
    }
}

/// How many bytes of the text's start are characters of one class.
#[inline]
fn run_len(text: &[u8], class: Class) -> usize {
    let mut at = 0;
    while at < text.len() {
        let (next, len) = first(&text[at..]);
        if next != class {
            break;
        }
        at += len;
    }
    at
}

/// White space up to the end of the text, or else without its last character; at least one character.
fn spaces_len(text: &[u8]) -> usize {
    let (mut at, mut last) = (0, 0);
    while at < text.len() {
        let (class, len) = first(&text[at..]);
        if class != Class::Space {
            return if last > 0 { last } else { at };
        }
        (last, at) = (at, at + len);
    }
    at
}

/// The first place at or after `near` where a text can be cut so that both parts have the words of the whole;
/// the text's end if there is none.
///
/// Such a place stands before an ASCII white space character and after an ASCII character that is none. The word on
/// the left ends there in any case, since no word but white space goes on with white space, and nothing in it looks
/// further than to its end. On the right white space begins, which looks at nothing before it.
pub fn cut(text: &[u8], near: usize) -> usize {
    let white = |byte: u8| byte.is_ascii() && ASCII[byte as usize] == Class::Space;
    (near.max(1)..text.len())
        .find(|&at| white(text[at]) && text[at - 1].is_ascii() && !white(text[at - 1]))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<String> {
        words(text.as_bytes()).map(|w| String::from_utf8_lossy(w).into_owned()).collect()
    }

    #[test]
    fn words_are_those_of_gpt2s_pattern() {
        // Each line was split with the regular expression above.
        for (text, want) in [
            ("Hello world", vec!["Hello", " world"]),
            ("I'll we've he's don't 'tis", vec!["I", "'ll", " we", "'ve", " he", "'s", " don", "'t", " '", "tis"]),
            ("a  b", vec!["a", " ", " b"]),
            ("a \n b", vec!["a", " \n", " b"]),
            ("a\n\nb", vec!["a", "\n", "\n", "b"]),
            ("a   ", vec!["a", "   "]),
            (" ", vec![" "]),
            ("  ", vec!["  "]),
            ("\t\tx", vec!["\t", "\t", "x"]),
            ("x1 22y!?", vec!["x", "1", " 22", "y", "!?"]),
            ("!'s", vec!["!'", "s"]),
            ("\u{a0}\u{a0}a", vec!["\u{a0}", "\u{a0}", "a"]),
            (" \u{3000}", vec![" \u{3000}"]),
            ("naïve Ünï ⅷ２", vec!["naïve", " Ünï", " ⅷ２"]),
            ("e\u{301}a", vec!["e", "\u{301}", "a"]),
        ] {
            assert_eq!(split(text), want, "{text:?}");
        }
    }

    /// Bytes in which spaces, apostrophes and broken characters are frequent.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b" ".to_vec()),
            Just(b"\n".to_vec()),
            Just("\u{a0}".as_bytes().to_vec()),
            Just(b"'s".to_vec()),
            Just("é".as_bytes().to_vec()),
            Just(b"\xC3".to_vec()),
            "[a-z]{1,3}".prop_map(String::into_bytes),
            any::<u8>().prop_map(|b| vec![b]),
        ];
        proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn words_together_are_the_text(text in text()) {
            prop_assert_eq!(words(&text).collect::<Vec<_>>().concat(), text);
        }

        #[test]
        fn a_cut_leaves_the_words_as_they_are(text in text(), near in 0usize..40) {
            let (left, right) = text.split_at(cut(&text, near));
            let parts: Vec<_> = words(left).chain(words(right)).collect();
            prop_assert_eq!(parts, words(&text).collect::<Vec<_>>());
        }
    }
}
