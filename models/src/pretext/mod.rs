//! Free labels from raw data: the part of a sample that is hidden is the label.
//!
//! - [`next_token`]: every token is the label of those before it.
//! - [`masked`]: some tokens are hidden among the others.
//! - [`contrastive`]: the two views of a text are to be found among those of others; [`sentences`] are such texts.
//! - [`image_text`]: the caption of a picture is to be found among those of others, and the picture of a caption.
//!
//! All turn rows of tokens into a [`Batch`]; [`texts`] packs whole texts into one.

use std::ops::Range;

use autograd::IGNORE;
use tensor::random::{Random, Stream};

pub mod contrastive;
pub mod image_text;
pub mod masked;
pub mod next_token;
pub mod sentences;
pub mod texts;

pub use contrastive::{Contrast, Contrastive, Pairs};
pub use masked::{Masking, Unit};

/// What is hidden of a row of tokens, and so has to be learned.
#[derive(Clone, Copy, Debug)]
pub enum Objective<'a> {
    /// Each token from those before it.
    NextToken,
    /// Some from all others.
    Masked(Masking<'a>),
    /// The other view of a text among those of all.
    Contrastive(Contrastive<'a>),
    /// The caption of a picture among those of all, and the other way round.
    ImageText,
}

/// 32-bit draws that the masks of a row may use up; row r of a step begins at r times this.
pub(crate) const ROW_DRAWS: u64 = 1 << 24;

impl Objective<'_> {
    /// How many tokens make a row of `block` positions.
    pub fn window(&self, block: usize) -> usize {
        match self {
            Self::NextToken => block + 1, // the inputs, and the same moved on by one as targets
            Self::Masked(_) | Self::Contrastive(_) | Self::ImageText => block,
        }
    }

    /// Adds a window of tokens as row `row` of a step to a batch, filled up to `block` positions; or a sentence of it, which
    /// becomes part of a row when the batch is [closed](Objective::close).
    pub fn push(&self, batch: &mut Batch, window: &mut Vec<u32>, block: usize, [seed, step, row]: [u64; 3]) {
        match self {
            Self::NextToken => batch.push(window, block),
            Self::Masked(masking) => {
                let frame = masking.frame;
                // A window may begin and end within a text: it is a text all the same.
                if let [first, .., last] = &mut window[..] {
                    (*first, *last) = (frame.cls, frame.sep);
                }
                window.resize(block, frame.pad);
                masking.push(batch, window, Random::new(seed, Stream::Mask, step).at(row * ROW_DRAWS));
            }
            Self::Contrastive(views) => {
                let random = Random::new(seed, Stream::Text, step).at(row * ROW_DRAWS);
                batch.texts.push(views.text(window, block, random));
            }
            Self::ImageText => unreachable!("rows with pictures are made by their corpus"),
        }
    }

    /// Lays out what was added and is in no row yet.
    pub fn close(&self, batch: &mut Batch, block: usize) {
        if let Self::Contrastive(views) = self {
            let window = std::mem::take(&mut batch.window);
            *batch = Batch { window, ..Pairs::batch(views.contrast, &batch.texts, block) };
        }
    }
}

/// Rows of token ids with the target of every position.
///
/// [`Objective::push`] adds to it row by row. Sentences that are to be told apart are gathered first and laid out in rows when all
/// are there, by [`Objective::close`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Inputs: `rows` rows of equal length.
    pub ids: Vec<u32>,
    /// The token to be predicted at each position, or [`IGNORE`].
    pub targets: Vec<u32>,
    /// The place of each position in its text, or [`PADDING`](autograd::PADDING); empty if each row is one text.
    pub position_ids: Vec<u32>,
    /// The segment that each position belongs to: the first or the second text of a pair; empty if all are first.
    pub segments: Vec<u32>,
    /// B: how many rows.
    pub rows: usize,
    /// The texts among the positions that are to be told apart; `None` where tokens are to be predicted.
    pub pairs: Option<Pairs>,
    /// Pictures `[B, 3, S, S]` whose captions the rows are; empty if they are none.
    pub pixels: Vec<f32>,
    /// Which picture each row shows: rows of the same are not told apart.
    pub pictures: Vec<u64>,
    /// Texts that are in no row yet.
    pub(crate) texts: Vec<Vec<u32>>,
    /// Where the windows stand that rows are made from: kept for the next.
    pub(crate) window: Vec<u32>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes all rows out, and keeps the memory for the next.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.targets.clear();
        self.position_ids.clear();
        self.segments.clear();
        self.rows = 0;
        self.pairs = None;
        self.pixels.clear();
        self.pictures.clear();
        self.texts.clear();
    }

    /// Some of the rows.
    pub fn micro(&self, rows: Range<usize>) -> MicroBatch<'_> {
        let time = self.ids.len() / self.rows.max(1);
        let of = rows.start * time..rows.end * time;
        let some = |x: &Vec<u32>| (!x.is_empty()).then(|| of.clone());
        let (position_ids, segments) = (some(&self.position_ids), some(&self.segments));
        let picture = self.pixels.len() / self.rows.max(1);
        let shown = if self.pictures.is_empty() { 0..0 } else { rows.clone() };
        MicroBatch {
            ids: &self.ids[of.clone()],
            targets: if self.targets.is_empty() { &[] } else { &self.targets[of.clone()] },
            position_ids: position_ids.map(|of| &self.position_ids[of]),
            segments: segments.map(|of| &self.segments[of]),
            rows: rows.len(),
            pairs: self.pairs.as_ref(),
            pixels: &self.pixels[shown.start * picture..shown.end * picture],
            pictures: &self.pictures[shown],
        }
    }

    /// Whether the rows show pictures.
    pub fn shows(&self) -> bool {
        !self.pictures.is_empty()
    }

    /// How many rows are computed at once where `micro_batch` fit into the memory: all where texts are compared with one
    /// another, since each is the negative of all others.
    pub fn at_once(&self, micro_batch: usize) -> usize {
        if self.pairs.is_some() || self.shows() { self.rows } else { micro_batch }
    }

    /// All rows.
    pub fn all(&self) -> MicroBatch<'_> {
        self.micro(0..self.rows)
    }

    /// How many positions, or texts, or pictures, count.
    pub fn count(&self) -> usize {
        if self.shows() {
            return self.rows;
        }
        let positions = || self.targets.iter().filter(|&&t| t != IGNORE).count();
        self.pairs.as_ref().map_or_else(positions, Pairs::count)
    }
}

/// Some rows of a batch, which are computed at once.
#[derive(Clone, Copy, Debug)]
pub struct MicroBatch<'a> {
    /// As [`Batch::ids`].
    pub ids: &'a [u32],
    /// As [`Batch::targets`].
    pub targets: &'a [u32],
    /// As [`Batch::position_ids`], if there are any.
    pub position_ids: Option<&'a [u32]>,
    /// As [`Batch::segments`], if there are any.
    pub segments: Option<&'a [u32]>,
    /// How many rows.
    pub rows: usize,
    /// As [`Batch::pairs`]: such a part is the whole batch.
    pub pairs: Option<&'a Pairs>,
    /// As [`Batch::pixels`].
    pub pixels: &'a [f32],
    /// As [`Batch::pictures`].
    pub pictures: &'a [u64],
}

#[cfg(test)]
mod tests {
    use tokenizer::Tokenizer;

    use super::*;

    /// What some rows of a step become.
    fn rows(of: Objective, ids: &[u32], seed: u64, step: u64) -> Vec<Batch> {
        let row = |row| {
            let mut batch = Batch::new();
            of.push(&mut batch, &mut ids.to_vec(), 64, [seed, step, row]);
            batch
        };
        (0..8).map(row).collect()
    }

    #[test]
    fn what_is_hidden_and_what_is_drawn_is_a_matter_of_seed_step_and_row() {
        let sentences = "The first of them. The second of them. And a third one. The fourth is it. Here is a fifth. ";
        let tokenizer = Tokenizer::train(&[sentences.as_bytes()], 300).unwrap().framed();
        let mut ids = Vec::new();
        tokenizer.encode_ordinary(sentences.as_bytes(), &mut ids);
        let contrast = Contrast { temperature: 1.0, hardness: 0.0 };
        let masking =
            Masking { tokenizer: &tokenizer, frame: tokenizer.frame().unwrap(), share: 0.3, unit: Unit::Token };
        for of in [Objective::Masked(masking), Objective::Contrastive(Contrastive { tokenizer: &tokenizer, contrast })]
        {
            let first = rows(of, &ids, 1, 2);
            assert_eq!(rows(of, &ids, 1, 2), first, "{of:?}");
            assert_ne!(rows(of, &ids, 3, 2), first, "another seed: {of:?}");
            assert_ne!(rows(of, &ids, 1, 3), first, "another step: {of:?}");
            assert!(first.iter().any(|row| *row != first[0]), "another row: {of:?}");
        }
    }
}
