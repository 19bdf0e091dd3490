//! Pictures with captions as the rows of a batch: from the built-in world, or from files.
//!
//! A row is a picture's pixels, as the model sees them, and one of its captions in tokens, closed by the token that ends a
//! text. Which picture, which caption and what [augmentation](super::pictures::augment) does to it is a function of (seed,
//! step, row) alone. Reading and drawing go on beside the training: see `ahead`.

mod ahead;
mod source;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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

/// Pictures' [marks](Row::marks) with their captions in ids.
type Marked = Vec<([u64; 2], Vec<u32>)>;

/// A picture on its way into a batch.
struct Row {
    picture: Arc<Picture>,
    caption: String,
    /// Pictures of the same number are not told apart: the same is said of them.
    number: u64,
}

impl Row {
    /// What pictures are not told apart by: what is said of them, and what they show.
    fn marks(&self) -> [u64; 2] {
        let mut hash = DefaultHasher::new();
        self.picture.hash(&mut hash);
        [self.number, hash.finish()]
    }
}

impl Captioned {
    /// Of what makes its rows.
    pub fn new(rows: Rows) -> Self {
        Self { rows: Arc::new(rows), ahead: Ahead::default() }
    }

    /// Fills `batch` with the `rows` pairs of step `step`.
    ///
    /// Errors: too many pictures that cannot be read; `batch` is then what it was.
    pub fn fill(&self, batch: &mut Batch, seed: u64, step: u64, rows: usize) -> Result<()> {
        self.rows.source.check_broken()?;
        self.ahead.fill(&self.rows, batch, [seed, step], rows)
    }

    /// How many pairs there are to validate on.
    pub fn val_rows(&self) -> usize {
        self.rows.source.val_len()
    }

    /// Some pairs of the validation part, as they are, each with its first caption.
    ///
    /// Errors: too many pictures that cannot be read.
    pub fn val_batch(&self, rows: &[usize]) -> Result<Batch> {
        let of = &self.rows;
        let chosen = rows.iter().map(|&row| of.source.val_row(row, of.preprocess.size));
        let (mut batch, mut marks) = (Batch::new(), Vec::new());
        for (i, row) in chosen.enumerate() {
            let row = row?;
            batch.pixels.resize((i + 1) * of.preprocess.numbers(), 0.0);
            of.preprocess.apply(&row.picture, &mut batch.pixels[i * of.preprocess.numbers()..]);
            marks.push(row.marks());
            batch.texts.push(of.ids(&row.caption));
        }
        of.source.check_broken()?;
        of.close(&mut batch, &marks);
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
        let made: Vec<Result<Marked>> = std::thread::scope(|scope| {
            let workers: Vec<_> = parts
                .enumerate()
                .map(|(part, pixels)| scope.spawn(move || self.part(pixels, [seed, step], rows, part)))
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker that makes rows does not panic")).collect()
        });
        let mut marks = Vec::new();
        for part in made {
            for (of, ids) in part? {
                marks.push(of);
                batch.texts.push(ids);
            }
        }
        self.close(&mut batch, &marks);
        Ok(batch)
    }

    /// Part number `part` of a step's rows: the pictures' marks and captions.
    fn part(&self, pixels: &mut [f32], [seed, step]: [u64; 2], rows: usize, part: usize) -> Result<Marked> {
        let first = part * rows.div_ceil(ahead::WORKERS);
        let row = |(i, pixels): (usize, &mut [f32])| {
            let at = (first + i) as u64;
            let row = self.source.row(seed, step, at, rows as u64, self.preprocess.size)?;
            self.augment.apply(&row.picture, &self.preprocess, [seed, step, at], pixels);
            Ok((row.marks(), self.ids(&row.caption)))
        };
        pixels.chunks_exact_mut(self.preprocess.numbers()).enumerate().map(row).collect()
    }

    /// Lays the texts of a batch out as rows of ids, all as long as the longest; what stands behind an end is not seen. And
    /// numbers the pictures by their marks.
    fn close(&self, batch: &mut Batch, marks: &[[u64; 2]]) {
        batch.pictures = numbers(marks);
        let longest = batch.texts.iter().map(Vec::len).max().unwrap_or(0);
        let (_, end) = ends(&self.tokenizer);
        batch.rows = batch.texts.len();
        for mut ids in std::mem::take(&mut batch.texts) {
            ids.resize(longest, end);
            batch.ids.extend(ids);
        }
    }
}

/// A number for each picture of a batch, the same for all that are linked by a mark in common.
fn numbers(marks: &[[u64; 2]]) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..marks.len() as u64).collect();
    let mut first = HashMap::new();
    for (i, marks) in marks.iter().enumerate() {
        for mark in marks.iter().enumerate() {
            let [from, to] = [i, *first.entry(mark).or_insert(i)].map(|at| numbers[at]);
            if from != to {
                numbers.iter_mut().filter(|number| **number == from).for_each(|number| *number = to);
            }
        }
    }
    numbers
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

/// The token that a text begins with, if there is one (CLIP's own tokenizer has it; ours has none, and needs none), and the
/// token that ends it.
pub fn ends(tokenizer: &Tokenizer) -> (Option<u32>, u32) {
    let end = tokenizer.end_of_text().expect("checked when the data was opened: the tokenizer has an end of text");
    (tokenizer.special(START_OF_TEXT), end)
}

/// Which of `n` captions a row has.
fn drawn(n: usize, seed: u64, step: u64, row: u64) -> usize {
    Random::new(seed, Stream::Text, step).at(row * 16).below(n as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::pictures::PictureOptions;

    #[test]
    fn pictures_are_one_if_a_mark_links_them_and_only_then() {
        assert_eq!(numbers(&[[1, 1], [2, 2], [3, 3]]), [0, 1, 2]);
        assert_eq!(numbers(&[[1, 2], [2, 1]]), [0, 1], "marks of two kinds are not compared");
        assert_eq!(numbers(&[[1, 1], [2, 2], [3, 3], [1, 2]]), [1, 1, 2, 1], "the last links the first two");
    }

    #[test]
    fn copies_of_a_picture_have_one_number_whatever_is_said_of_them_and_however_much_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut table = "path\tlabel\n".to_owned();
        for i in 0..40u8 {
            let name = format!("{i}.png");
            // Four pictures, ten times each.
            image::RgbImage::from_pixel(4, 4, image::Rgb([i % 4; 3])).save(directory.path().join(&name)).unwrap();
            table += &format!("{name}\tthing {i}\n");
        }
        let path = directory.path().join("t.tsv");
        fs::write(&path, table).unwrap();
        let batches = [0, 60, 1 << 20].map(|memory| {
            let options = PictureOptions { data: vec![path.clone()], memory, ..PictureOptions::default() };
            let rows = Rows {
                source: Source::open(&options, &[], 0.5, |_| {}).unwrap(),
                tokenizer: Tokenizer::train(&[b"thing"], 257).unwrap(),
                block: 16,
                preprocess: Preprocess { size: 4, ..Preprocess::default() },
                augment: Augment::default(),
            };
            let captioned = Captioned::new(rows);
            let mut batch = Batch::new();
            captioned.fill(&mut batch, 7, 0, 16).unwrap();
            (batch, captioned.val_batch(&(0..20).collect::<Vec<_>>()).unwrap())
        });
        assert!(batches[0] == batches[1] && batches[0] == batches[2]);
        for batch in [&batches[0].0, &batches[0].1] {
            let shows: Vec<&[f32]> = batch.pixels.chunks_exact(48).collect();
            for (i, j) in (0..batch.rows).flat_map(|i| (0..i).map(move |j| (i, j))) {
                assert_eq!(batch.pictures[i] == batch.pictures[j], shows[i] == shows[j], "rows {i} and {j}");
            }
        }
    }
}
