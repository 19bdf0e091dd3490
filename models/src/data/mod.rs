//! Raw data in: text files, or the built-in world when there are none.
//!
//! A [`Corpus`] gives the rows of each training step, as a function of (seed, step) alone, and a fixed list of
//! validation rows. [`mod@text`] reads files of any size, [`stories`] turns the [`world`] into rows of tokens.
//! [`captioned`] does it for pictures with captions, which [`pictures`] reads and makes what a model sees. [`labelled`] reads
//! the small files with labels that a pre-trained model is tuned on: classes, tags and answers.

pub mod captioned;
pub mod labelled;
pub mod pictures;
pub mod stories;
pub mod text;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};

use captioned::Captioned;
use stories::Stories;
use text::TextData;
use tokenizer::Tokenizer;

use crate::error::Result;
use crate::pretext::{Batch, Contrast, Contrastive, Objective};

/// The step of the masks and views of validation rows: no run has so many.
pub const VALIDATION: u64 = u64::MAX;

/// What a model trains and is validated on, as rows of token ids.
pub enum Corpus {
    /// The built-in world.
    World(Box<Stories>),
    /// Text files.
    Text(TextData),
    /// Pictures with captions, of either.
    Captioned(Captioned),
}

impl Corpus {
    /// Fills `batch` with the rows of step `step`, each of `block` positions.
    ///
    /// Errors: too many pictures that cannot be read.
    pub fn fill(
        &self,
        batch: &mut Batch,
        of: Objective,
        [seed, step]: [u64; 2],
        rows: usize,
        block: usize,
    ) -> Result<()> {
        if let Self::Captioned(captioned) = self {
            return captioned.fill(batch, seed, step, rows);
        }
        batch.clear();
        let mut window = std::mem::take(&mut batch.window);
        for row in 0..rows as u64 {
            window.resize(of.window(block), 0);
            match self {
                Self::World(stories) => stories.sample(step, row, &mut window),
                Self::Text(text) => text.sample(seed, step, row, &mut window),
                Self::Captioned(_) => unreachable!("filled above"),
            }
            of.push(batch, &mut window, block, [seed, step, row]);
        }
        batch.window = window;
        of.close(batch, block);
        Ok(())
    }

    /// How many rows the whole validation part has.
    pub fn val_rows(&self, of: Objective, block: usize) -> usize {
        match self {
            Self::World(stories) => stories.val_rows(),
            Self::Text(text) => text.val_windows(of.window(block) - 1) as usize,
            Self::Captioned(captioned) => captioned.val_rows(),
        }
    }

    /// About how many bytes of memory the data takes beside the model.
    pub fn kept_bytes(&self) -> usize {
        match self {
            Self::Captioned(captioned) => captioned.rows().source.kept_bytes() as usize,
            Self::World(_) | Self::Text(_) => 0,
        }
    }

    /// Some rows of the validation part, each of `block` positions; what is hidden in them is always the same.
    ///
    /// Errors: too many pictures that cannot be read.
    pub fn val_batch(&self, rows: impl Iterator<Item = usize>, of: Objective, block: usize) -> Result<Batch> {
        if let Self::Captioned(captioned) = self {
            return captioned.val_batch(&rows.collect::<Vec<_>>());
        }
        let mut batch = Batch::new();
        let mut window = Vec::new();
        for row in rows {
            match self {
                Self::World(stories) => {
                    window.clear();
                    window.extend_from_slice(stories.val_row(row));
                }
                Self::Text(text) => text.val_window(row as u64, of.window(block) - 1, &mut window),
                Self::Captioned(_) => unreachable!("answered above"),
            }
            of.push(&mut batch, &mut window, block, [0, VALIDATION, row as u64]);
        }
        of.close(&mut batch, block);
        Ok(batch)
    }

    /// Up to `most` different sentences from all over the validation part, as a model of `block` positions knows texts.
    pub fn val_texts(&self, tokenizer: &Tokenizer, block: usize, most: usize) -> Vec<Vec<u32>> {
        if matches!(self, Self::Captioned(_)) {
            return Vec::new(); // its pictures are looked at
        }
        // How they would be told apart does not matter here.
        let contrast = Contrast { temperature: 1.0, hardness: 0.0 };
        let of = Objective::Contrastive(Contrastive { tokenizer, contrast });
        let rows = self.val_rows(of, block);
        let chosen = rows.min(most);
        let batch = self.val_batch((0..chosen).map(|i| i * rows / chosen), of, block).expect("texts can be read");
        let Some(pairs) = &batch.pairs else { return Vec::new() };
        let first_of_its_kind = (0..pairs.count()).filter(|&i| pairs.same[i] as usize == i);
        first_of_its_kind.map(|i| batch.ids[pairs.texts[i].clone()].to_vec()).collect()
    }

    /// Tokens to train on, or pictures; `None` where there is no end of them.
    pub fn train_tokens(&self) -> Option<u64> {
        match self {
            Self::World(_) => None,
            Self::Text(text) => Some(text.train_tokens()),
            Self::Captioned(captioned) => captioned.rows().source.train_len(),
        }
    }

    /// Tokens of the validation part (masked prediction asks for a share of them), or pictures.
    pub fn val_tokens(&self) -> u64 {
        match self {
            Self::World(stories) => stories.val_tokens,
            Self::Text(text) => text.val_tokens(),
            Self::Captioned(captioned) => captioned.val_rows() as u64,
        }
    }

    /// Bytes of text behind a validation token, on average: what turns nats a token into bits a byte.
    pub fn bytes_per_token(&self) -> Option<f64> {
        match self {
            Self::World(stories) => Some(stories.val_bytes as f64 / stories.val_tokens as f64),
            Self::Text(text) => Some(text.val_bytes() as f64 / text.val_tokens() as f64),
            Self::Captioned(_) => None,
        }
    }

    /// Nats a token of a model that knows how often each token occurs and nothing else.
    pub fn unigram_entropy(&self) -> Option<f64> {
        match self {
            Self::World(stories) => Some(stories.unigram_entropy),
            Self::Text(text) => Some(text.unigram_entropy()),
            Self::Captioned(_) => None,
        }
    }

    /// Nats a token that no model can beat on the validation rows, where that is known.
    pub fn floor(&self) -> Option<f64> {
        match self {
            Self::World(stories) => stories.floor,
            Self::Text(_) | Self::Captioned(_) => None,
        }
    }

    /// The pictures that were passed over since the data was opened, each with what is wrong with it, a sentence.
    pub fn broken(&self) -> BTreeMap<String, String> {
        match self {
            Self::Captioned(captioned) => captioned.rows().source.broken(),
            Self::World(_) | Self::Text(_) => BTreeMap::new(),
        }
    }

    /// Looks again at pictures that were broken in an earlier session: those that still are count as found in this one.
    pub fn look_again(&self, names: &BTreeSet<String>) {
        if let Self::Captioned(captioned) = self {
            captioned.rows().source.look_again(names);
        }
    }

    /// What identifies the data: a run is resumed on the data that it began with.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::World(_) => world::VERSION.to_owned(),
            Self::Text(text) => text.fingerprint(),
            Self::Captioned(captioned) => captioned.rows().source.fingerprint(),
        }
    }
}
