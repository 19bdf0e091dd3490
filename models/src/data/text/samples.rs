//! What a model sees of text: windows of ids, drawn at random to train on and laid end to end to validate on.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tensor::random::{Random, Stream};
use tokenizer::{Frame, Tokenizer};

use super::error::DataError;
use super::shard::{Shard, Sum};
use crate::files::hex;

/// 32-bit draws of a sample: two choose the source, two the start. Row r of a step begins at index r times this.
const DRAWS: u64 = 4;

/// Text as ids, mapped from the cache: a training part and a validation part. Made by
/// [`TextFiles::tokenize`](super::TextFiles::tokenize).
#[derive(Debug)]
pub struct TextData {
    train: Vec<Tokens>,
    /// The probability that a sample comes from one of the sources up to each.
    cumulative: Vec<f64>,
    val: Vec<Tokens>,
    vocab: usize,
    /// What frames a text, where that is never to be predicted.
    frame: Option<Frame>,
    /// Whether the validation part is held out of what would else be trained on.
    held_out: bool,
    /// What should be known about the files, as sentences.
    pub notes: Vec<String>,
}

/// The ids of one part of one source.
#[derive(Debug)]
pub(super) struct Tokens {
    pub path: PathBuf,
    pub weight: Option<f64>,
    pub key: Sum,
    pub shard: Shard,
}

impl TextData {
    pub(super) fn new(
        [train, val]: [Vec<Tokens>; 2],
        held_out: bool,
        tokenizer: &Tokenizer,
        notes: Vec<String>,
    ) -> Self {
        let weights: Vec<f64> = train.iter().map(|t| t.weight.unwrap_or(t.shard.tokens() as f64)).collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let add = |weight: &f64| {
            sum += weight;
            sum / total
        };
        let cumulative = weights.iter().map(add).collect();
        let (vocab, frame) = (tokenizer.vocab_size(), tokenizer.frame());
        Self { train, cumulative, val, vocab, frame, held_out, notes }
    }

    /// The same for who predicts what frames a text as it does all else.
    #[must_use]
    pub fn with_frames_predicted(self) -> Self {
        Self { frame: None, ..self }
    }

    /// An error unless every source's parts have at least one window of so many ids; `fixed` says that there is no other choice.
    pub fn require_window(&self, window: usize, fixed: bool) -> Result<(), DataError> {
        let train = self.train.iter().map(|tokens| ("training", tokens));
        for (part, tokens) in train.chain(self.val.iter().map(|tokens| ("validation", tokens))) {
            let n = tokens.shard.tokens();
            if n < window as u64 {
                let (path, window, held_out) = (tokens.path.clone(), window as u64, self.held_out);
                return Err(DataError::TooFewTokens { part, path, tokens: n, window, held_out, fixed });
            }
        }
        Ok(())
    }

    /// Fills `out` with row `row` of the batch of `step`: consecutive ids of one training source, which is chosen by
    /// weight, from a uniform start. It is a function of `(seed, step, row)` and the data alone.
    ///
    /// Panics if the source has fewer ids than `out` (see [`TextData::require_window`]).
    pub fn sample(&self, seed: u64, step: u64, row: u64, out: &mut [u32]) {
        let mut draw = Random::new(seed, Stream::Data, step).at(row * DRAWS);
        let u = draw.uniform();
        let source = self.cumulative.partition_point(|&c| c <= u).min(self.train.len() - 1);
        let shard = &self.train[source].shard;
        let Some(last) = shard.tokens().checked_sub(out.len() as u64) else {
            panic!("sample: a window of {} ids from a source of {}", out.len(), shard.tokens())
        };
        shard.read(draw.below(last + 1), out);
    }

    /// The number of ids of the training part.
    pub fn train_tokens(&self) -> u64 {
        self.train.iter().map(|t| t.shard.tokens()).sum()
    }

    /// The number of ids of the validation part; 0 if nothing was held out.
    pub fn val_tokens(&self) -> u64 {
        self.val.iter().map(|t| t.shard.tokens()).sum()
    }

    /// Bytes of text of the validation part: what a loss is divided by to compare tokenizers.
    pub fn val_bytes(&self) -> u64 {
        self.val.iter().map(|t| t.shard.totals().bytes).sum()
    }

    /// Documents of the training part, and of the validation part.
    pub fn documents(&self) -> (u64, u64) {
        let count = |part: &[Tokens]| part.iter().map(|t| t.shard.totals().documents).sum();
        (count(&self.train), count(&self.val))
    }

    /// The number of windows that [`TextData::val_window`] cuts the validation part into.
    pub fn val_windows(&self, block: usize) -> u64 {
        self.val.iter().map(|t| windows(t, block)).sum()
    }

    /// Puts window `i` of the validation part into `out`: `block + 1` ids, of which the first is the last of the
    /// window before, so that every id but a source's first is predicted exactly once. A source's last window may be
    /// shorter, but has at least two ids.
    ///
    /// Panics if `i` is not below [`TextData::val_windows`].
    pub fn val_window(&self, i: u64, block: usize, out: &mut Vec<u32>) {
        let mut i = i;
        for tokens in &self.val {
            let n = windows(tokens, block);
            if i < n {
                let start = i * block as u64;
                let len = (tokens.shard.tokens() - start).min(block as u64 + 1);
                out.resize(len as usize, 0);
                return tokens.shard.read(start, out);
            }
            i -= n;
        }
        panic!("val_window: there are only {} windows of block size {block}", self.val_windows(block));
    }

    /// The chance level: the loss on the validation part, in nats a token, of a model that knows only how often each
    /// id is seen in training,  −Σ p(id)·ln q(id)  with p from validation and q from training. One is added to each
    /// count, so that an id never seen is not impossible. NaN if there is no validation part.
    pub fn unigram_entropy(&self) -> f64 {
        let n = self.train_tokens() as f64;
        let mut seen = vec![1.0; self.vocab];
        let mut before = 0.0;
        for (tokens, &upto) in self.train.iter().zip(&self.cumulative) {
            // A source that is sampled more often than its size suggests counts accordingly.
            let scale = (upto - before) * n / tokens.shard.tokens().max(1) as f64;
            seen.iter_mut().zip(tokens.shard.counts()).for_each(|(s, count)| *s += scale * count as f64);
            before = upto;
        }
        let framing = |id: usize| self.frame.is_some_and(|frame| frame.holds(id as u32));
        (0..self.vocab).filter(|&id| framing(id)).for_each(|id| seen[id] = 0.0);
        let total: f64 = seen.iter().sum();
        let counted = || self.val.iter().flat_map(|tokens| tokens.shard.counts().enumerate());
        let predicted = || counted().filter(|&(id, count)| count > 0 && !framing(id));
        let cost: f64 = predicted().map(|(id, count)| -(count as f64) * (seen[id] / total).ln()).sum();
        cost / predicted().map(|(_, count)| count).sum::<u64>() as f64
    }

    /// Names everything that samples depend on: text, tokenizer, split and weights. A run that is resumed on data
    /// with another fingerprint is not the run that was begun.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        self.train.iter().chain(&self.val).for_each(|tokens| hash.update(tokens.key));
        self.cumulative.iter().for_each(|c| hash.update(c.to_bits().to_le_bytes()));
        hex(hash.finalize())
    }
}

/// How many windows a source's validation part has: one for each `block` predictions, and one for what is left.
fn windows(tokens: &Tokens, block: usize) -> u64 {
    tokens.shard.tokens().saturating_sub(1).div_ceil(block as u64)
}
