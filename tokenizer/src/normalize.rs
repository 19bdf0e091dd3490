//! Normalisation: what is done to a text before it is split, so that spellings which mean the same get the same ids.
//!
//! GPT-2 does nothing: its ids give back every byte. CLIP and BERT give up what their tasks do not need, capitals and
//! kinds of white space, BERT's lower-case models accents as well; and decoding cannot give that back.
//!
//! | | CLIP (Radford et al. 2021, `simple_tokenizer.py`) | BERT (Devlin et al. 2019, `tokenization.py`) |
//! |---|---|---|
//! | characters | composed: `e` + `´` → `é` (NFC) | control characters go; Chinese ones get spaces around them |
//! | white space | a run of it → one space | each → one space |
//! | accents | stay | go: decomposed (NFD), then without the marks |
//! | capitals | → small letters | → small letters |
//!
//! Both read characters, so bytes that are no UTF-8 become `U+FFFD` first.

use std::borrow::Cow;

use unicode_categories::UnicodeCategories;
use unicode_normalization::UnicodeNormalization;

/// What is done to a text before it is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Normalizer {
    /// GPT-2, RoBERTa: nothing.
    None,
    /// CLIP: NFC, a run of white space to one space, small letters.
    Clip,
    /// BERT, by its options.
    Bert(BertNormalizer),
}

/// What BERT does to a text, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BertNormalizer {
    /// Control characters go, white space becomes spaces.
    pub clean_text: bool,
    /// Spaces around Chinese characters, so that each is a word.
    pub handle_chinese_chars: bool,
    /// Accents go; where nothing is said, they go with the capitals.
    pub strip_accents: Option<bool>,
    /// Capitals become small letters.
    pub lowercase: bool,
}

impl Normalizer {
    /// The text that is split.
    pub(crate) fn apply<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        match self {
            Self::None => Cow::Borrowed(text),
            Self::Clip => Cow::Owned(clip(&String::from_utf8_lossy(text)).into_bytes()),
            Self::Bert(bert) => Cow::Owned(bert.apply(&String::from_utf8_lossy(text)).into_bytes()),
        }
    }
}

/// A text in pieces that normal forms treat one by one, each with whether it is ASCII. ASCII is its own normal form, unless a
/// mark that follows joins it; so the ASCII character before others goes with them.
fn pieces(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let is_ascii = first > 1 || first == rest.len();
        let others = || rest[first..].bytes().position(|byte| byte.is_ascii()).unwrap_or(rest.len() - first);
        let length = match is_ascii {
            true if first == rest.len() => first,
            true => first - 1,
            false => first + others(),
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        (!piece.is_empty()).then_some((piece, is_ascii))
    })
}

fn clip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut push = |c: char| match c.is_whitespace() {
        true if out.ends_with(' ') => {}
        true => out.push(' '),
        false => push_lowercase(&mut out, c),
    };
    for (piece, is_ascii) in pieces(text) {
        match is_ascii {
            true => piece.chars().for_each(&mut push),
            false => piece.nfc().for_each(&mut push),
        }
    }
    out
}

impl BertNormalizer {
    fn apply(&self, text: &str) -> String {
        let clean = self.clean(text);
        let mut out = String::with_capacity(clean.len());
        let mut push = |c: char| if self.lowercase { push_lowercase(&mut out, c) } else { out.push(c) };
        let strips = self.strip_accents.unwrap_or(self.lowercase);
        for (piece, is_ascii) in pieces(&clean) {
            match strips && !is_ascii {
                true => piece.nfd().filter(|c| !c.is_mark_nonspacing()).for_each(&mut push),
                false => piece.chars().for_each(&mut push),
            }
        }
        out
    }

    fn clean(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        for c in text.chars() {
            match c {
                _ if self.clean_text && is_control(c) => {}
                _ if self.clean_text && c.is_whitespace() => out.push(' '),
                _ if self.handle_chinese_chars && is_chinese(c) => out.extend([' ', c, ' ']),
                _ => out.push(c),
            }
        }
        out
    }
}

/// Character by character: what `str::to_lowercase` does to a Σ depends on its neighbours.
fn push_lowercase(out: &mut String, c: char) {
    if c.is_ascii() { out.push(c.to_ascii_lowercase()) } else { out.extend(c.to_lowercase()) }
}

/// Control and format characters, those of private use, and the mark of what could not be read.
fn is_control(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false, // white space to BERT
        ' '..='~' => false,
        _ => c == '\u{fffd}' || c.is_other(),
    }
}

/// The blocks of Chinese characters as BERT lists them; Japanese and Korean letters are not among them.
pub fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F | 0x2B740..=0x2B81F
        | 0x2B920..=0x2CEAF // BERT begins this block at 2B820; the `tokenizers` package, whose ids are wanted, here
        | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERT: BertNormalizer =
        BertNormalizer { clean_text: true, handle_chinese_chars: true, strip_accents: None, lowercase: true };

    fn normal(normalizer: Normalizer, text: &str) -> String {
        String::from_utf8(normalizer.apply(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn clip_composes_and_takes_small_letters_and_single_spaces() {
        assert_eq!(normal(Normalizer::Clip, " E\u{301}t\u{a0}\n\u{2003}ÉTÉ Σ\tΑΣ"), " ét été σ ασ");
        assert_eq!(&*Normalizer::Clip.apply(b"A\xff\xe2\x82Z"), "a\u{fffd}\u{fffd}z".as_bytes());
    }

    #[test]
    fn bert_does_what_its_options_say() {
        let text = "Él\u{200b}è\0ve\t東京Ça\u{fffd}";
        let table = [
            (BERT, "eleve  東  京 ca"),
            (BertNormalizer { strip_accents: Some(false), ..BERT }, "élève  東  京 ça"),
            (BertNormalizer { lowercase: false, ..BERT }, "Élève  東  京 Ça"),
            (BertNormalizer { lowercase: false, strip_accents: Some(true), ..BERT }, "Eleve  東  京 Ca"),
            (BertNormalizer { handle_chinese_chars: false, ..BERT }, "eleve 東京ca"),
            (BertNormalizer { clean_text: false, ..BERT }, "el\u{200b}e\0ve\t 東  京 ca\u{fffd}"),
        ];
        for (options, expected) in table {
            assert_eq!(normal(Normalizer::Bert(options), text), expected, "{options:?}");
        }
    }
}
