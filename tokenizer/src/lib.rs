//! Text to ids and back: byte-level byte-pair encoding, as GPT-2 and RoBERTa have it; CLIP's; and BERT's WordPiece.
//!
//! A language model reads numbers. The simplest numbering of text is its bytes: 256 ids, and nothing that could
//! not be written with them. But then a word costs as many steps as it has letters. Byte-pair encoding starts from
//! the bytes and adds a token for the most frequent pair of neighbours, then for the most frequent pair of what that
//! gives, and so on: `t h` → `th`, `th e` → `the`, … (Gage 1994; Sennrich et al. 2016; over bytes: Radford et al. 2019,
//! section 2.2). Frequent words become one id, rare ones a few, and any bytes can still be encoded and decoded
//! without loss.
//!
//! ```
//! use tokenizer::{Special, Tokenizer};
//! let text = b"the cat sat on the mat, the cat that sat on the hat";
//! let tokenizer = Tokenizer::train(&[text], 270)?;
//! let ids = tokenizer.encode(b"the mat \xFF", Special::Refuse)?;
//! assert!(ids.len() < 9);
//! assert_eq!(tokenizer.decode(&ids)?, b"the mat \xFF");
//! # Ok::<(), tokenizer::Error>(())
//! ```
//!
//! That is what is learned here. To use models that were trained elsewhere, the tokenizers of their kinds are read as well:
//!
//! | | GPT-2, RoBERTa | CLIP | BERT |
//! |---|---|---|---|
//! | the text is first | left as it is | composed, small letters | cleaned; perhaps small letters without accents |
//! | words are | ` word`, `,`, ` 42` | `word`, `,`, `4`, `2` | `word`, `,`, `42` |
//! | a word becomes | bytes, merged by learned pairs | the same, its last byte marked `</w>` | the longest tokens, from the left |
//! | around a text stands | nothing; `<s>` `</s>` | <code>&lt;\|startoftext\|></code> <code>&lt;\|endoftext\|></code> | `[CLS]` `[SEP]` |
//! | decoding gives back | every byte | words with spaces between them | the same |
//!
//! # How the files follow
//!
//! | file | what it teaches |
//! |---|---|
//! | `reference` | the whole algorithm, slow and obvious: splitting, training, encoding |
//! | `kind`, `split` | which characters make a word, that is, where no merge may cross |
//! | `train` | how the merges are learned in one pass over the text |
//! | `merge`, `cache` | how one word is encoded, and how most words need not be |
//! | `special` | names in the text that are tokens of their own, such as `<|endoftext|>` |
//! | `normalize`, `clip`, `bert` | what CLIP and BERT do to a text, and what they call a word |
//! | `bpe`, `word_piece` | the two models of a word |
//! | `encode` | the pipeline of all these, from text to ids and back |
//! | `template` | what is put around a text, and around two |
//! | `boundaries` | where words begin among ids, and where a text may be cut |
//! | `json` | JSON that has no name twice |
//! | `alphabet`, `read`, `write`, `tiktoken` | Hugging Face's `tokenizer.json`, in and out; older files, in; tiktoken's, out |
//!
//! # What holds
//!
//! - Decoding gives back the bytes that were encoded, whatever they are, if the tokens are byte-level.
//! - Training gives the same merges for any number of threads. Ties go to the smaller pair (left id, right id).
//! - Training takes memory for the different words of the text and not for the text; encoding is n·log n on any input.
//! - The ids are those of the `tokenizers` package with the same file, on every code point and on bytes that are no UTF-8. That
//!   holds by the versions of Unicode's tables, which the workspace's `Cargo.toml` fixes.

#![forbid(unsafe_code)]

use std::fmt;

mod alphabet;
mod bert;
mod boundaries;
mod bpe;
mod cache;
mod clip;
mod encode;
mod error;
pub mod json;
mod kind;
mod merge;
mod normalize;
mod read;
pub mod reference;
mod special;
mod split;
mod template;
#[cfg(test)]
mod testing;
mod tiktoken;
mod train;
mod word_piece;
mod write;

pub use boundaries::{is_chinese, joins, stands_alone};
use bpe::Bpe;
use cache::Caches;
use encode::{Model, Splitter};
pub use error::Error;
pub use kind::Kind;
pub use merge::Merge;
use normalize::Normalizer;
pub use special::{Added, END_OF_TEXT, FRAME, Frame, ROBERTA_FRAME, START_OF_TEXT, Special};
use special::{Names, find};
pub use split::{PATTERN, cut, pieces, words};
pub use template::{Pair, Slot, Template};

/// The bytes of a token, as the vocabulary has it: with WordPiece's `##` and CLIP's `</w>`.
type Token = Box<[u8]>;

/// The tokens before anything is learned: each byte, in order.
fn single_bytes() -> Vec<Token> {
    (0..=255).map(|byte| [byte].into()).collect()
}

/// The bytes of two tokens together.
fn joined(tokens: &[Token], left: u32, right: u32) -> Token {
    [&*tokens[left as usize], &*tokens[right as usize]].concat().into()
}

/// Text to ids and back. It can be shared by threads.
#[derive(Clone)]
pub struct Tokenizer {
    tokens: Vec<Token>, // by id
    added: Vec<Added>,  // in the order of their ids
    names: Names,       // of those looked for in the text as it is
    normalizer: Normalizer,
    normal_names: Names, // of those looked for in the normalised text
    splitter: Splitter,
    model: Model,
    template: Option<Template>,
    caches: Caches,
}

/// GPT-2's, of which nothing is added around a text.
const GPT2: (Normalizer, Splitter) = (Normalizer::None, Splitter::Gpt2 { prefix_space: false });

impl Tokenizer {
    /// The tokenizer that learned nothing: 256 tokens, each byte its own id, no special token.
    pub fn bytes() -> Self {
        Self::gpt2(single_bytes(), Vec::new(), Vec::new())
    }

    /// Learns a vocabulary of `vocab_size` tokens from `documents`: the 256 bytes (id = byte), the merges, and
    /// [`END_OF_TEXT`] as the last id. With a size of 256 these are the [`bytes`](Self::bytes) alone.
    ///
    /// The most frequent pair is merged first, ties go to the smaller (left id, right id), and a pair that stands only
    /// once is not merged: a short text gives fewer tokens than asked for, see [`vocab_size`](Self::vocab_size).
    /// [`END_OF_TEXT`] inside a document separates texts and is never learned from. Documents are read
    /// once, in parallel, and not copied: they may be memory-mapped files larger than the memory.
    ///
    /// # Errors
    ///
    /// [`Error::VocabSize`] below 256; [`Error::TooManyWords`] if the different words have more than 4 GiB together.
    pub fn train(documents: &[&[u8]], vocab_size: usize) -> Result<Self, Error> {
        match vocab_size {
            0..256 => return Err(Error::VocabSize(vocab_size)),
            256 => return Ok(Self::bytes()),
            _ => {}
        }
        let (mut tokens, merges) = train::train(documents, vocab_size)?;
        let end_of_text = Added::special(END_OF_TEXT, tokens.len() as u32);
        tokens.push(END_OF_TEXT.as_bytes().into());
        Ok(Self::gpt2(tokens, merges, vec![end_of_text]))
    }

    /// The same tokenizer for masked prediction: [`FRAME`] are its first ids, all others follow in their order, and
    /// [`END_OF_TEXT`] is gone, since a text's ends are marked by the frame, which its template puts around each. One that
    /// has a frame stays as it is; of one that has a part of it, these tokens become those of the frame.
    #[must_use]
    pub fn framed(self) -> Self {
        if self.frame().is_some() {
            return self;
        }
        let used = |id: u32| match &self.model {
            Model::Bpe(bpe) => {
                bpe.unknown == Some(id) || bpe.merges.iter().any(|m| [m.left, m.right, m.token].contains(&id))
            }
            Model::WordPiece(_) => true,
        };
        let gone = self.end_of_text().filter(|&id| !used(id));
        // The new id of each token; none, if it is gone.
        let mut next = FRAME.len() as u32;
        let new_id = |(id, token): (u32, &Token)| match FRAME.iter().position(|name| name.as_bytes() == &token[..]) {
            Some(place) => Some(place as u32),
            None if Some(id) == gone => None,
            None => {
                next += 1;
                Some(next - 1)
            }
        };
        let places: Vec<Option<u32>> = (0..).zip(&self.tokens).map(new_id).collect();
        let moved = |id: u32| places[id as usize].expect("what is gone has no use in the model");
        let follows = |id: u32| places[id as usize].is_some_and(|place| place >= FRAME.len() as u32);
        let frame = FRAME.iter().map(|name| name.as_bytes().into());
        let kept = (0..).zip(&self.tokens).filter(|&(id, _)| follows(id)).map(|(_, token)| token.clone());
        let tokens: Vec<Token> = frame.chain(kept).collect();
        let others = self.added.iter().filter(|added| follows(added.id));
        let others = others.map(|added| Added { id: moved(added.id), ..added.clone() });
        let mut added: Vec<Added> = FRAME.iter().zip(0..).map(|(name, id)| Added::special(name, id)).collect();
        added[3].lstrip = matches!(self.model, Model::Bpe(_)); // the space before a word is part of it there
        added.extend(others);
        let model = self.model.renumbered(&tokens, moved);
        let framed = Self::new(tokens, added, (self.normalizer, self.splitter), model);
        let template = framed.frame().map(|frame| Template::bert(frame.cls, frame.sep));
        framed.with_template(template)
    }

    /// The ids of the frame, if this is a tokenizer for masked prediction: of [`FRAME`], or of [`ROBERTA_FRAME`].
    pub fn frame(&self) -> Option<Frame> {
        [FRAME, ROBERTA_FRAME].into_iter().find_map(|names| {
            let [pad, cls, sep, mask] = names.map(|name| self.special(name));
            Some(Frame { pad: pad?, cls: cls?, sep: sep?, mask: mask? })
        })
    }

    /// What stands between two documents: the end of the one and the beginning of the other, as far as there are marks.
    pub fn between(&self) -> Vec<u32> {
        match self.frame() {
            Some(frame) => vec![frame.sep, frame.cls],
            None => self.end_of_text().into_iter().collect(),
        }
    }

    /// GPT-2's pipeline; `tokens` by id, all single bytes among them.
    fn gpt2(tokens: Vec<Token>, merges: Vec<Merge>, added: Vec<Added>) -> Self {
        let model = Model::Bpe(Bpe::new(&tokens, merges, false, None));
        Self::new(tokens, added, GPT2, model)
    }

    /// `tokens` by id, those in `added` among them; `added` in any order.
    fn new(
        tokens: Vec<Token>,
        mut added: Vec<Added>,
        (normalizer, splitter): (Normalizer, Splitter),
        model: Model,
    ) -> Self {
        added.sort_by_key(|added| added.id);
        let (normal, plain): (Vec<_>, Vec<_>) = added.iter().cloned().partition(|added| added.normalized);
        let names = Names::new(plain.into_iter().map(|added| (added.name.clone().into_bytes(), added)));
        let in_normal_text = |added: Added| (normalizer.apply(added.name.as_bytes()).into_owned(), added);
        let normal_names = Names::new(normal.into_iter().map(in_normal_text));
        let caches = Caches::default();
        Self { tokens, added, names, normalizer, normal_names, splitter, model, template: None, caches }
    }

    /// The number of tokens, special ones included; ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// The bytes of the token `id` as the vocabulary has it, with WordPiece's `##` and CLIP's `</w>`; an added token's are
    /// its name.
    pub fn token(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(|token| &token[..])
    }

    /// The merges, in the order in which they were learned; WordPiece has none.
    pub fn merges(&self) -> &[Merge] {
        match &self.model {
            Model::Bpe(bpe) => &bpe.merges,
            Model::WordPiece(_) => &[],
        }
    }

    /// The added tokens, in the order of the ids.
    pub fn added(&self) -> &[Added] {
        &self.added
    }

    /// The special tokens' names and ids, in the order of the ids.
    pub fn specials(&self) -> Vec<(&str, u32)> {
        self.added.iter().filter(|added| added.special).map(|added| (added.name.as_str(), added.id)).collect()
    }

    /// The id of the special token `name`.
    pub fn special(&self, name: &str) -> Option<u32> {
        self.added.iter().find(|added| added.special && added.name == name).map(|added| added.id)
    }

    /// The id of [`END_OF_TEXT`], which stands between documents.
    pub fn end_of_text(&self) -> Option<u32> {
        self.special(END_OF_TEXT)
    }
}

/// The sizes; fifty thousand tokens would help nobody.
impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("merges", &self.merges().len())
            .field("specials", &self.specials())
            .finish_non_exhaustive()
    }
}
