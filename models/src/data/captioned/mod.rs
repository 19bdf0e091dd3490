//! Pictures with captions as the rows of a batch: from the built-in world, or from files.
//!
//! A row is a picture's pixels, as the model sees them, and one of its captions in tokens, closed by the token that ends a
//! text. Which picture, which caption and what [augmentation](super::pictures::augment) does to it is a function of (seed,
//! step, row) alone. Reading and drawing go on beside the training: see `ahead`.

mod ahead;
mod source;

use std::sync::Arc;

use tensor::random::{Random, Stream};
use tokenizer::{START_OF_TEXT, Tokenizer};

use super::pictures::{Augment, Picture, Preprocess};
use crate::error::Result;
use crate::pretext::Batch;
use ahead::Ahead;
pub use source::Source;

/// Pictures with captions to train on and to validate on.
pub struct Captioned {
    rows: Arc<Rows>,
    ahead: Ahead,
}

/// What makes rows.
pub struct Rows {
    /// Where pictures and captions come from.
    pub source: Source,
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// The longest caption in tokens, its end included.
    pub block: usize,
    /// What a picture becomes for the model.
    pub preprocess: Preprocess,
    /// What training does to it before.
    pub augment: Augment,
}

/// Pictures' numbers with their captions in ids.
type Numbered = Vec<(u64, Vec<u32>)>;

/// A picture on its way into a batch.
struct Row {
    picture: Arc<Picture>,
    caption: String,
    /// Pictures of the same number are not told apart.
    number: u64,
}

impl Captioned {
    /// Of what makes its rows.
    pub fn new(rows: Rows) -> Self {
        Self { rows: Arc::new(rows), ahead: Ahead::default() }
    }

    /// Fills `batch` with the `rows` pairs of step `step`.
    ///
    /// Errors: too many pictures that cannot be read.
    pub fn fill(&self, batch: &mut Batch, seed: u64, step: u64, rows: usize) -> Result<()> {
        self.ahead.fill(&self.rows, batch, [seed, step], rows)
    }

    /// How many pairs there are to validate on.
    pub fn val_rows(&self) -> usize {
        self.rows.source.val_len()
    }

    /// Some pairs of the validation part, as they are, each with its first caption.
    pub fn val_batch(&self, rows: &[usize]) -> Result<Batch> {
        let of = &self.rows;
        let chosen = rows.iter().map(|&row| of.source.val_row(row, of.preprocess.size));
        let mut batch = Batch::new();
        for (i, row) in chosen.enumerate() {
            let row = row?;
            batch.pixels.resize((i + 1) * of.preprocess.numbers(), 0.0);
            of.preprocess.apply(&row.picture, &mut batch.pixels[i * of.preprocess.numbers()..]);
            batch.pictures.push(row.number);
            batch.texts.push(of.ids(&row.caption));
        }
        of.close(&mut batch);
        Ok(batch)
    }

    /// What makes the rows.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }
}

impl Rows {
    /// A caption as the model reads it: with its ends, cut where it is too long.
    pub fn ids(&self, caption: &str) -> Vec<u32> {
        caption_ids(&self.tokenizer, self.block, caption).0
    }

    /// The batch of a step, in memory that another batch has done with.
    fn batch(&self, spare: Vec<f32>, [seed, step]: [u64; 2], rows: usize) -> Result<Batch> {
        let numbers = self.preprocess.numbers();
        let mut batch = Batch { pixels: spare, ..Batch::new() };
        batch.pixels.resize(rows * numbers, 0.0);
        let parts = batch.pixels.chunks_mut(rows.div_ceil(ahead::WORKERS) * numbers);
        let made: Vec<Result<Numbered>> = std::thread::scope(|scope| {
            let workers: Vec<_> = parts
                .enumerate()
                .map(|(part, pixels)| scope.spawn(move || self.part(pixels, [seed, step], rows, part)))
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker that makes rows does not panic")).collect()
        });
        for part in made {
            for (number, ids) in part? {
                batch.pictures.push(number);
                batch.texts.push(ids);
            }
        }
        self.close(&mut batch);
        Ok(batch)
    }

    /// Part number `part` of a step's rows: the pictures' numbers and captions.
    fn part(&self, pixels: &mut [f32], [seed, step]: [u64; 2], rows: usize, part: usize) -> Result<Numbered> {
        let first = part * rows.div_ceil(ahead::WORKERS);
        let row = |(i, pixels): (usize, &mut [f32])| {
            let at = (first + i) as u64;
            let row = self.source.row(seed, step, at, rows as u64, self.preprocess.size)?;
            self.augment.apply(&row.picture, &self.preprocess, [seed, step, at], pixels);
            Ok((row.number, self.ids(&row.caption)))
        };
        pixels.chunks_exact_mut(self.preprocess.numbers()).enumerate().map(row).collect()
    }

    /// Lays the texts of a batch out as rows of ids, all as long as the longest; what stands behind an end is not seen.
    fn close(&self, batch: &mut Batch) {
        let longest = batch.texts.iter().map(Vec::len).max().unwrap_or(0);
        let (_, end) = ends(&self.tokenizer);
        batch.rows = batch.texts.len();
        for mut ids in std::mem::take(&mut batch.texts) {
            ids.resize(longest, end);
            batch.ids.extend(ids);
        }
    }
}

/// A caption's ids with their ends, at most `block`, and whether they were cut.
pub fn caption_ids(tokenizer: &Tokenizer, block: usize, caption: &str) -> (Vec<u32>, bool) {
    let (first, end) = ends(tokenizer);
    let mut ids: Vec<u32> = first.into_iter().collect();
    tokenizer.encode_ordinary(caption.as_bytes(), &mut ids);
    let cut = ids.len() > block - 1;
    ids.truncate(block - 1);
    ids.push(end);
    (ids, cut)
}

/// The token that a text begins with, if there is one (CLIP's own tokenizer has it; ours has none, and needs none), and the token that ends it.
pub fn ends(tokenizer: &Tokenizer) -> (Option<u32>, u32) {
    let end = tokenizer.end_of_text().expect("checked when the data was opened: the tokenizer has an end of text");
    (tokenizer.special(START_OF_TEXT), end)
}

/// Which of `n` captions a row has.
fn drawn(n: usize, seed: u64, step: u64, row: u64) -> usize {
    Random::new(seed, Stream::Text, step).at(row * 16).below(n as u64) as usize
}
