//! A vocabulary as tiktoken reads it: a line for each token, its bytes in base64, a space, its rank.
//!
//! tiktoken knows no merges. Of all neighbours it puts those together first that make the token of the lowest rank, whatever
//! two tokens they are; so the ranks must be in the order of the merges, and are the ids. Where one token is made by two merges,
//! or could be made of two others for which no merge was learned, a word may fall apart differently; in texts this is rare.

use std::fmt::Write as _;
use std::path::Path;

use rustc_hash::FxHashSet;

use crate::encode::{Model, Splitter};
use crate::write::write_whole;
use crate::{Error, Tokenizer};

impl Tokenizer {
    /// The text of a `.tiktoken` file. Added tokens are no part of it: whoever reads it gives their names and ids, and
    /// GPT-2's pattern.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if the tokens are not byte-level, or their ids not in the order of the merges.
    pub fn to_tiktoken(&self) -> Result<String, Error> {
        let fail = |why: &str| Err(Error::Format(format!("a .tiktoken file cannot hold this tokenizer: {why}")));
        let (Model::Bpe(bpe), Splitter::Gpt2 { .. }) = (&self.model, self.splitter) else {
            return fail("it is for byte-level byte pairs as GPT-2 has them");
        };
        let mut known = FxHashSet::default();
        let mut newest = 0; // a token that is made a second time is an old one
        for merge in &bpe.merges {
            let is_new = known.insert(merge.token);
            if is_new && merge.token <= newest.max(merge.left).max(merge.right) {
                return fail("its ids are not in the order of its merges");
            }
            newest = newest.max(merge.token);
        }
        let mut text = String::new();
        for (token, id) in self.tokens.iter().zip(0..).filter(|&(_, id)| !self.is_added(id)) {
            let _ = writeln!(text, "{} {id}", base64(token)); // writing into a string cannot fail
        }
        Ok(text)
    }

    /// Writes a `.tiktoken` file, complete or not at all.
    ///
    /// # Errors
    ///
    /// Those of [`to_tiktoken`](Self::to_tiktoken); [`Error::Io`] with what the system said.
    pub fn save_tiktoken(&self, path: &Path) -> Result<(), Error> {
        write_whole(path, self.to_tiktoken()?.as_bytes()).map_err(|source| Error::Io {
            path: path.to_owned(),
            doing: "write",
            source,
        })
    }
}

/// Base64 (RFC 4648, section 4): three bytes are four signs of six bits; what is missing at the end is `=`.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let four = |three: &[u8]| {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        let sign = move |i: usize| char::from(SIGNS[(bits >> (18 - 6 * i)) as usize & 63]);
        let there = three.len() + 1;
        (0..4).map(move |i| if i < there { sign(i) } else { '=' })
    };
    bytes.chunks(3).flat_map(four).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let table =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        table.iter().for_each(|(bytes, expected)| assert_eq!(base64(bytes.as_bytes()), *expected));
        assert_eq!(base64(&[0xFF, 0xFE, 0xFD, 0xFC]), "//79/A==");
    }

    #[test]
    fn every_token_but_the_added_ones_has_a_line_with_its_id() {
        let tokenizer = Tokenizer::train(&[b"the cat sat on the mat, the cat that sat"], 262).unwrap();
        let lines: Vec<String> = tokenizer.to_tiktoken().unwrap().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), tokenizer.vocab_size() - 1);
        assert_eq!((&*lines[0], &*lines[97]), ("AA== 0", "YQ== 97"));
        let framed = tokenizer.framed().to_tiktoken().unwrap();
        assert!(framed.starts_with("AA== 4\n") && framed.lines().count() == lines.len());
    }
}
