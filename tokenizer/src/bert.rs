//! Splitting a text into words as BERT does: at white space, which is left out, and around every punctuation mark.
//!
//! All of ASCII that is neither letter, digit, white space nor control character is punctuation here, `$` and `^` too
//! (Devlin et al. 2019, `tokenization.py`, `_is_punctuation`); beyond ASCII it is what Unicode calls so.

use unicode_categories::UnicodeCategories;

/// The words of `text`, in order.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let length = if is_punctuation(first) { first.len_utf8() } else { rest.find(ends_word).unwrap_or(rest.len()) };
        let (word, after) = rest.split_at(length);
        rest = after;
        Some(word.as_bytes())
    })
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || is_punctuation(c)
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || !c.is_ascii() && c.is_punctuation()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_white_space_and_around_punctuation() {
        let found: Vec<&str> = words(" it's  $4.50—“déjà”\u{3000}vu ").map(|w| str::from_utf8(w).unwrap()).collect();
        assert_eq!(found, ["it", "'", "s", "$", "4", ".", "50", "—", "“", "déjà", "”", "vu"]);
        assert_eq!(words("").count() + words(" \n").count(), 0);
    }
}
