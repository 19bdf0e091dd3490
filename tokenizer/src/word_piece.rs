//! WordPiece: a word is the longest token that it begins with, then the longest that the rest begins with, and so on.
//!
//! Tokens that go on with a word are written `##ing`. The vocabulary was chosen by likelihood (Schuster and Nakajima 2012)
//! but is used by this greedy rule alone (Devlin et al. 2019, `WordpieceTokenizer`): there are no merges. A word that
//! some token does not fit, at some place, is as a whole the unknown token; so is one that is longer than the limit.
//! The slow twin is [`crate::reference::word_piece`].

use rustc_hash::FxHashMap;

use crate::Token;

/// What tokens that go on with a word begin with.
pub(crate) const CONTINUES: &str = "##";

/// BERT's vocabulary.
#[derive(Clone, Debug)]
pub(crate) struct WordPiece {
    begin: FxHashMap<Token, u32>,
    go_on: FxHashMap<Token, u32>, // without CONTINUES
    longest: usize,               // bytes of the longest token: no place has to be tried beyond
    pub unknown: u32,
    pub max_chars: usize, // of a word
    pub cleanup: bool,    // whether decoding takes spaces before punctuation out
}

impl WordPiece {
    /// The tokens of a vocabulary with their ids. `unknown` is one of them.
    pub(crate) fn new(
        vocab: impl Iterator<Item = (Token, u32)>,
        unknown: u32,
        max_chars: usize,
        cleanup: bool,
    ) -> Self {
        let (mut begin, mut go_on) = (FxHashMap::default(), FxHashMap::default());
        for (token, id) in vocab {
            if let Some(rest) = token.strip_prefix(CONTINUES.as_bytes()) {
                go_on.insert(rest.into(), id);
            }
            begin.insert(token, id);
        }
        let longest = begin.keys().map(|token| token.len()).max().unwrap_or(0);
        Self { begin, go_on, longest, unknown, max_chars, cleanup }
    }

    /// The same with other ids.
    pub(crate) fn renumbered(&self, id: impl Fn(u32) -> u32) -> Self {
        let vocab = self.begin.iter().map(|(token, old)| (token.clone(), id(*old)));
        Self::new(vocab, id(self.unknown), self.max_chars, self.cleanup)
    }

    /// Whether the vocabulary itself has a token, and not only the list of added ones.
    pub(crate) fn holds(&self, token: &[u8]) -> bool {
        self.begin.contains_key(token)
    }

    /// Appends the ids of a word, which is UTF-8.
    pub(crate) fn encode(&self, word: &[u8], ids: &mut Vec<u32>) {
        let before = ids.len();
        let is_start = |at: usize| word.get(at).is_none_or(|byte| byte & 0xC0 != 0x80); // of a character, or the end
        if word.len() > self.max_chars && (0..word.len()).filter(|&at| is_start(at)).count() > self.max_chars {
            return ids.push(self.unknown);
        }
        let mut start = 0;
        while start < word.len() {
            let known = if start == 0 { &self.begin } else { &self.go_on };
            let farthest = word.len().min(start + self.longest);
            let mut ends = (start + 1..=farthest).rev().filter(|&end| is_start(end));
            let Some((end, id)) = ends.find_map(|end| Some((end, *known.get(&word[start..end])?))) else {
                ids.truncate(before);
                return ids.push(self.unknown);
            };
            ids.push(id);
            start = end;
        }
    }
}

/// The bytes of a token that is not the first of a text: what goes on with a word without its mark, others after a space.
/// With `cleanup` as people write them: no space before a mark that ends a clause or a contraction.
pub(crate) fn append(text: &mut Vec<u8>, token: &[u8], first: bool, cleanup: bool) {
    let rest = token.strip_prefix(CONTINUES.as_bytes());
    let mut shown = match rest {
        _ if first => token.to_vec(),
        Some(rest) => rest.to_vec(),
        None => [b" ", token].concat(),
    };
    if cleanup && let Ok(dirty) = str::from_utf8(&shown) {
        shown = clean(dirty).into_bytes();
    }
    text.extend_from_slice(&shown);
}

/// The replacements of the `tokenizers` package, in its order; each is made inside one token.
fn clean(token: &str) -> String {
    const TABLE: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    TABLE.iter().fold(token.to_owned(), |token, (from, to)| token.replace(from, to))
}
