//! Four kinds of characters: all that the pattern of GPT-2 asks of Unicode.
//!
//! `\p{L}` is every general category that begins with L (letters), `\p{N}` every one that begins with N (numbers),
//! `\s` is the property White_Space, and the rest is "other". A byte that is no part of valid UTF-8 is "other" too:
//! so any bytes at all can be split, not only text.
//!
//! Each version of Unicode adds characters, and libraries differ in the version that they know. Ids depend on it where a
//! text has letters or numbers that one of them has not heard of. The tables here are those of Unicode 16, as in the
//! `tokenizers` package.

use std::sync::LazyLock;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// What the pattern sees of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// `[^\s\p{L}\p{N}]`, and every byte that is not UTF-8
    Other,
}

impl Kind {
    /// The kind of one character, asked of Unicode's tables: right, but too slow for each character of a long text.
    pub fn of(c: char) -> Self {
        if c.is_whitespace() {
            return Self::Space;
        }
        match c.general_category_group() {
            GeneralCategoryGroup::Letter => Self::Letter,
            GeneralCategoryGroup::Number => Self::Number,
            _ => Self::Other,
        }
    }
}

/// The answers for ASCII, ready when the program starts.
static ASCII: [Kind; 128] = {
    let mut table = [Kind::Other; 128];
    let mut byte = 0;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'A'..=b'Z' | b'a'..=b'z' => Kind::Letter,
            b'0'..=b'9' => Kind::Number,
            b'\t'..=b'\r' | b' ' => Kind::Space, // \t \n \v \f \r
            _ => Kind::Other,
        };
        byte += 1;
    }
    table
};

/// The answers for the first 65,536 characters (nearly all of living text), asked once, when a text first needs them.
static COMMON: LazyLock<Vec<Kind>> =
    LazyLock::new(|| (0..=0xFFFF).map(|code| char::from_u32(code).map_or(Kind::Other, Kind::of)).collect());

/// The kind of the character that begins at `text[at]`, and its length in bytes.
#[inline]
pub(crate) fn kind_at(text: &[u8], at: usize) -> (Kind, usize) {
    let byte = text[at];
    if byte < 128 { (ASCII[byte as usize], 1) } else { kind_beyond_ascii(&text[at..]) }
}

fn kind_beyond_ascii(text: &[u8]) -> (Kind, usize) {
    match first_char(text) {
        Some((c, length)) => (COMMON.get(c as usize).copied().unwrap_or_else(|| Kind::of(c)), length),
        None => (Kind::Other, 1),
    }
}

/// The first character of `text` and its length, if a valid UTF-8 sequence of two or more bytes stands there.
fn first_char(text: &[u8]) -> Option<(char, usize)> {
    // The lead byte says the length; the least code keeps out longer spellings than needed ("overlong").
    let (length, bits, least) = match text[0] {
        0xC2..=0xDF => (2, text[0] & 0x1F, 0x80),
        0xE0..=0xEF => (3, text[0] & 0x0F, 0x800),
        0xF0..=0xF4 => (4, text[0] & 0x07, 0x1_0000),
        _ => return None,
    };
    let mut code = u32::from(bits);
    for &byte in text.get(1..length)? {
        if byte & 0xC0 != 0x80 {
            return None;
        }
        code = code << 6 | u32::from(byte & 0x3F);
    }
    let c = char::from_u32(code)?; // not a surrogate, not beyond U+10FFFF
    (code >= least).then_some((c, length))
}

/// Whether `text` ends in a white-space character.
pub(crate) fn ends_in_space(text: &[u8]) -> bool {
    last_space(text).is_some()
}

/// The length of the white-space character that `text` ends in.
///
/// Looking backwards is safe: a lead byte never stands inside another character, so a valid sequence at the end of
/// the text is also what reading from the front finds there. White space has at most three bytes.
pub(crate) fn last_space(text: &[u8]) -> Option<usize> {
    (1..=text.len().min(3)).find(|&length| kind_at(text, text.len() - length) == (Kind::Space, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_the_kind_that_unicode_gives_it() {
        for c in '\0'..=char::MAX {
            let mut buffer = [0; 4];
            let text = c.encode_utf8(&mut buffer).as_bytes();
            assert_eq!(kind_at(text, 0), (Kind::of(c), text.len()), "{c:?}");
            assert_eq!(ends_in_space(text), c.is_whitespace(), "{c:?}");
        }
    }

    #[test]
    fn a_character_is_read_exactly_where_the_standard_library_reads_one() {
        // Every pair of a lead byte and a second byte, with ends that complete some of them and break others.
        for (lead, second) in (0x80..=0xFF_u8).flat_map(|lead| (0..=0xFF_u8).map(move |second| (lead, second))) {
            for end in [&[][..], &[0x80], &[0xBF, 0x80], &[0xBF, 0xBF, 0x41], &[0x41, 0x80]] {
                let text = [&[lead, second], end].concat();
                let expected =
                    (2..=text.len().min(4)).find(|&n| str::from_utf8(&text[..n]).is_ok_and(|s| s.chars().count() == 1));
                assert_eq!(first_char(&text).map(|(_, length)| length), expected, "{text:02X?}");
            }
        }
    }
}
