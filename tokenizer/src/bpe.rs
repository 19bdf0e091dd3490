//! Byte-pair encoding as a model of words: the ids that its bytes begin as, and the merges.
//!
//! GPT-2 and RoBERTa begin with one id a byte. CLIP has two, since the last byte of a word is another token (`e</w>`) than the
//! same byte before (`e`): so merges know where a word ends, and its white space need not be kept. After that all is alike.

use crate::merge::Ranks;
use crate::{Merge, Token};

/// What the last token of a word carries in CLIP's vocabulary.
pub(crate) const END_OF_WORD: &str = "</w>";

/// A byte-pair vocabulary.
#[derive(Clone)]
pub(crate) struct Bpe {
    byte_ids: Box<[u32; 256]>,
    last_ids: Option<Box<[u32; 256]>>, // of a word's last byte, where tokens carry END_OF_WORD
    ranks: Ranks,                      // the merges, by pair
    pub merges: Vec<Merge>,            // in the order in which they were learned
    pub unknown: Option<u32>,          // what a byte becomes that is no token
}

impl Bpe {
    /// `tokens` by id; a byte that is none of them becomes `unknown`, and there is one or all bytes are there. Of equal ones
    /// the first is the byte: the others are added ones that are called like it.
    pub(crate) fn new(tokens: &[Token], merges: Vec<Merge>, ends_words: bool, unknown: Option<u32>) -> Self {
        let missing = unknown.unwrap_or_default();
        let (mut byte_ids, mut last_ids) = ([missing; 256], [missing; 256]);
        for (id, token) in tokens.iter().enumerate().rev() {
            match **token {
                [byte] => byte_ids[usize::from(byte)] = id as u32,
                [byte, b'<', b'/', b'w', b'>'] => last_ids[usize::from(byte)] = id as u32,
                _ => {}
            }
        }
        let last_ids = ends_words.then(|| Box::new(last_ids));
        Self { byte_ids: Box::new(byte_ids), last_ids, ranks: Ranks::new(&merges), merges, unknown }
    }

    /// Whether the last token of a word carries [`END_OF_WORD`].
    pub(crate) fn ends_words(&self) -> bool {
        self.last_ids.is_some()
    }

    /// Appends the ids of a word.
    #[inline]
    pub(crate) fn encode(&self, word: &[u8], ids: &mut Vec<u32>) {
        match &self.last_ids {
            None => self.ranks.merge(word.iter().map(|&byte| self.byte_ids[usize::from(byte)]), ids),
            Some(last_ids) => {
                let last = word.len() - 1;
                let id = |(at, &byte): (usize, &u8)| {
                    if at == last { last_ids[usize::from(byte)] } else { self.byte_ids[usize::from(byte)] }
                };
                self.ranks.merge(word.iter().enumerate().map(id), ids);
            }
        }
    }
}
