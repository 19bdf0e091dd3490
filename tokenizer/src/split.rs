//! Splitting text into words, by the pattern of GPT-2: merges never cross from one word into the next.
//!
//! The pattern (Radford et al. 2019, `encoder.py`) is a list of alternatives; at each place the first that fits wins:
//!
//! ```text
//! '(?:[sdmt]|ll|ve|re)     the end of a contraction: 's 'd 'm 't 'll 've 're
//!  ?\p{L}+                 letters, with the space before them
//!  ?\p{N}+                 numbers, with the space before them
//!  ?[^\s\p{L}\p{N}]+       anything else that is seen, with the space before it
//! \s+(?!\S)                white space that no visible character follows at once
//! \s+                      any other white space
//! ```
//!
//! The fifth line does the one surprising thing: in `a   b` it takes two of the three spaces and leaves the last to
//! ` b`.
//! Every alternative is a run of one kind of characters, so one look at the first character or two says which will fit,
//! and one pass over the run finds its end: no backtracking, and time linear in the text.

use crate::kind::{Kind, ends_in_space, kind_at};

/// The pattern, for those who split by one.
pub const PATTERN: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The words of `text`, in order; put together they are `text` again.
///
/// ```
/// let words: Vec<&[u8]> = tokenizer::words(b"It's  42 days.\n").collect();
/// assert_eq!(words, [&b"It"[..], b"'s", b" ", b" 42", b" days", b".", b"\n"]);
/// ```
pub fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, after) = rest.split_at(first_word(rest));
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

/// The length of the first word of `text`; 0 at its end.
#[inline]
fn first_word(text: &[u8]) -> usize {
    let Some(&first) = text.first() else { return 0 };
    if first == b'\''
        && let Some(length) = contraction(text)
    {
        return length;
    }
    match kind_at(text, 0) {
        (Kind::Space, _) if first == b' ' && text.len() > 1 => match kind_at(text, 1) {
            (Kind::Space, _) => white_space(text),
            (kind, length) => run(text, 1 + length, kind),
        },
        (Kind::Space, _) => white_space(text),
        (kind, length) => run(text, length, kind),
    }
}

/// Where the run of `kind` ends that has reached `at`.
#[inline]
pub(crate) fn run(text: &[u8], mut at: usize, kind: Kind) -> usize {
    while at < text.len() {
        let (next, length) = kind_at(text, at);
        if next != kind {
            break;
        }
        at += length;
    }
    at
}

/// `'(?:[sdmt]|ll|ve|re)`: the length of the contraction that `text` begins with.
pub(crate) fn contraction(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b's' | b'd' | b'm' | b't' => Some(2),
        b'l' | b'v' | b'r' => matches!(text.get(1..3)?, b"ll" | b"ve" | b"re").then_some(3),
        _ => None,
    }
}

/// `\s+(?!\S)|\s+`: the whole run at the end of the text; elsewhere the run without its last character, unless it is
/// the only one.
fn white_space(text: &[u8]) -> usize {
    let (mut end, mut last) = (0, 0);
    while end < text.len() {
        let (kind, length) = kind_at(text, end);
        if kind != Kind::Space {
            return if last > 0 { last } else { end };
        }
        (last, end) = (end, end + length);
    }
    end
}

/// A place at or after `near` (and after the first byte) where `text` may be cut, so that the two parts, encoded one by
/// one, have the ids of the whole; the text's length if there is none.
///
/// It is the first place with a visible character before it and an ASCII white-space character after it. Why this is
/// safe:
///
/// - No word crosses it, because a word that has white space in it has it only at its front, or is nothing else.
/// - The words before it are the same without what follows. The word that ends there is a contraction, which looks at
///   nothing after it, or a run of visible characters, which ends at white space as it ends at the end of the text. Only
///   a run of white space looks ahead, by one character, and that character still belongs to the first part, whose
///   last is visible.
/// - The words after it are the same without what precedes, because the pattern never looks back.
/// - An ASCII byte is never part of a longer character, so the same bytes are characters on both sides.
///
/// ```
/// let text = b"never cut\n\n in white space";
/// assert_eq!(tokenizer::cut(text, 7), 9); // before the first of "\n\n "
/// assert_eq!(tokenizer::cut(text, 24), text.len());
/// ```
pub fn cut(text: &[u8], near: usize) -> usize {
    cut_before(text, near, |byte| matches!(byte, b'\t'..=b'\r' | b' '))
}

/// The same where only some kinds of ASCII white space begin a part.
pub(crate) fn cut_before(text: &[u8], near: usize, begins: impl Fn(u8) -> bool) -> usize {
    let is_cut = |&at: &usize| begins(text[at]) && !ends_in_space(&text[..at]);
    (near.max(1)..text.len()).find(is_cut).unwrap_or(text.len())
}

/// `text` in pieces of about `size` bytes, [`cut`] where it is safe: encoded one by one, perhaps on many threads, they
/// have the ids of the whole text. A text that cannot be cut (a megabyte of one letter) stays one piece.
pub fn pieces(text: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(cut(rest, size));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{reference, testing::odd_bytes};

    #[test]
    fn the_words_are_those_of_the_pattern() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("Hello world", &["Hello", " world"]),
            ("a   b", &["a", "  ", " b"]),
            ("a\n\nb", &["a", "\n", "\n", "b"]),
            ("a \n b", &["a", " \n", " b"]),
            ("a  ", &["a", "  "]),
            ("a \u{a0}b", &["a", " ", "\u{a0}", "b"]),
            ("we'll 'sup I'VE", &["we", "'ll", " '", "sup", " I", "'", "VE"]),
            ("'re're'r", &["'re", "'re", "'", "r"]),
            ("x''s", &["x", "''", "s"]),
            ("3.14²", &["3", ".", "14²"]),
            ("naïve Ⅷ 你好。", &["naïve", " Ⅷ", " 你好", "。"]),
            ("e\u{301}a", &["e", "\u{301}", "a"]), // a combining mark is no letter
        ];
        for (text, expected) in table {
            let found: Vec<&str> = words(text.as_bytes()).map(|w| str::from_utf8(w).unwrap()).collect();
            assert_eq!(&found, expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_words_are_those_of_the_slow_pattern(text in odd_bytes()) {
            prop_assert_eq!(words(&text).collect::<Vec<_>>(), reference::words(&text));
        }

        #[test]
        fn pieces_have_the_words_of_the_whole(text in odd_bytes(), size in 0..40_usize) {
            let cut: Vec<&[u8]> = pieces(&text, size).collect();
            prop_assert_eq!(cut.concat(), &text[..]);
            let words_of_pieces: Vec<&[u8]> = cut.iter().flat_map(|piece| words(piece)).collect();
            prop_assert_eq!(words_of_pieces, words(&text).collect::<Vec<_>>());
        }
    }
}
