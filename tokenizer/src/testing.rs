//! Texts for the property tests: what a tokenizer could stumble over, more often than chance would bring it.

use proptest::prelude::*;

use crate::END_OF_TEXT;

/// White space of all kinds, contractions and parts of them, letters, numbers, marks, halves of a special name.
const FRAGMENTS: &[&str] = &[
    " ", "  ", "\n", "\t", "\r\n", "\u{a0}", "\u{2028}", "\u{3000}", "'", "'s", "'ll", "'re", "a", "aaa", "ab", "B",
    "the", "é", "ß", "好", "7", "Ⅷ", "½", ".", "!?", "😀", "\u{301}", "\u{200d}", "\0", "<|", "|>",
];

/// Bytes in which [`FRAGMENTS`], their repeats, any characters and bytes that are no text stand close together.
pub(crate) fn odd_bytes() -> impl Strategy<Value = Vec<u8>> {
    let fragment = || prop::sample::select(FRAGMENTS);
    let part = prop_oneof![
        6 => fragment().prop_map(|s| s.as_bytes().to_vec()),
        1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
        1 => (fragment(), 1..100_usize).prop_map(|(s, n)| s.repeat(n).into_bytes()),
        1 => Just(END_OF_TEXT.as_bytes().to_vec()),
    ];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}
