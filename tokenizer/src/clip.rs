//! Splitting a text into words as CLIP does: white space only separates.
//!
//! The pattern (Radford et al. 2021, `simple_tokenizer.py`) is GPT-2's without spaces, and takes digits one by one:
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d    the end of a contraction
//! [\p{L}]+                   letters
//! [\p{N}]                    one digit
//! [^\s\p{L}\p{N}]+           anything else that is seen
//! ```
//!
//! What no alternative takes, white space, is left out. Where a word ends is kept in the tokens themselves: the last one of
//! a word carries `</w>`.

use crate::kind::{Kind, kind_at};
use crate::split::{contraction, run, words as gpt2_words};

/// Names that newer files put before the alternatives: they are cut out as pieces, which are then split like a GPT-2's text.
pub(crate) const NAMES: [&str; 2] = ["<|startoftext|>", "<|endoftext|>"];

/// The words of `text`, in order; with `names`, [`NAMES`] are pieces of their own.
pub(crate) fn words(text: &[u8], names: bool) -> impl Iterator<Item = &[u8]> {
    let (mut name, mut rest) = (&text[..0], text);
    std::iter::from_fn(move || {
        if let Some(word) = gpt2_words(name).next() {
            name = &name[word.len()..];
            return Some(word);
        }
        rest = &rest[run(rest, 0, Kind::Space)..];
        let here = NAMES.iter().find(|n| names && rest.starts_with(n.as_bytes()));
        if let Some(n) = here {
            (name, rest) = rest.split_at(n.len());
            let word = gpt2_words(name).next()?;
            name = &name[word.len()..];
            return Some(word);
        }
        let (word, after) = rest.split_at(first_word(rest));
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

/// The length of the word that `text`, which begins with something visible, begins with; 0 at its end.
fn first_word(text: &[u8]) -> usize {
    let Some(&first) = text.first() else { return 0 };
    if first == b'\''
        && let Some(length) = contraction(text)
    {
        return length;
    }
    match kind_at(text, 0) {
        (Kind::Number, length) => length,
        (kind, length) => run(text, length, kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_pattern() {
        let table: &[(&str, bool, &[&str])] = &[
            ("", false, &[]),
            ("  \t ", false, &[]),
            (" a photo of  2 cats!", false, &["a", "photo", "of", "2", "cats", "!"]),
            ("it's 'twas 42nd!'s", false, &["it", "'s", "'t", "was", "4", "2", "nd", "!'", "s"]),
            ("<|endoftext|>!", false, &["<|", "endoftext", "|>!"]),
            ("<|endoftext|>! !<|endoftext|>", true, &["<|", "endoftext", "|>", "!", "!<|", "endoftext", "|>"]),
            ("é東😀\u{301}\u{a0}½", false, &["é東", "😀\u{301}", "½"]),
        ];
        for (text, names, expected) in table {
            let found: Vec<&str> = words(text.as_bytes(), *names).map(|w| str::from_utf8(w).unwrap()).collect();
            assert_eq!(&found, expected, "{text:?}");
        }
    }
}
