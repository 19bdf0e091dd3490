//! What a CLIP is good for, once pictures and texts are vectors of one space, `[E]` each and of length 1.
//!
//! A picture's vector lies near those of texts that are true of it. So a picture is named by the nearest of some names
//! ([`zero_shot`], [`confusion`]), though nobody trained for these classes; it is found by a sentence, or finds sentences and other
//! pictures ([`search`]), which a page shows ([`page`]); and whether pictures and captions find each other among all is a
//! measure of the model ([`recall`]). What the image encoder alone has learned shows when a plain classifier learns from
//! what it makes of pictures ([`curve::probe`](super::curve::probe)).
//!
//! [`gallery`] is where pictures come from, [`encode`] how they become vectors, many at a time, and [`kept`] where these stay.

pub mod confusion;
pub mod encode;
pub mod gallery;
pub mod kept;
pub mod page;
pub mod recall;
pub mod search;
pub mod zero_shot;

use std::collections::HashMap;
use std::path::Path;

use autograd::{Params, Tape};
use tensor::{Tensor, parallel};
use tokenizer::Tokenizer;

use crate::Model;
use crate::clip::Clip;
use crate::data::captioned::caption_ids;
use crate::data::pictures::Preprocess;
use crate::error::{Error, Result};
use crate::hub;
use crate::hub::pretrained::Pretrained;

/// A trained CLIP with what makes numbers of texts and of pictures.
#[derive(Clone, Debug)]
pub struct Encoders {
    /// The two encoders.
    pub clip: Clip,
    /// Their parameters.
    pub params: Params,
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// Pictures to pixels.
    pub preprocess: Preprocess,
}

/// Texts that are encoded at once.
const AT_ONCE: usize = 64;

impl Encoders {
    /// Opens a run, or a Hugging Face checkpoint with its tokenizer.json.
    ///
    /// Errors: a file that is missing or damaged, a model of text alone, a tokenizer of another model.
    pub fn open(directory: &Path) -> Result<Self> {
        let Pretrained { model, params, tokenizer } = Pretrained::open_any(directory)?;
        let Model::Clip(clip) = model else {
            let what = "is a model of text, which sees no pictures: give a CLIP (`pretext train clip` makes one)";
            return Err(Error::file(directory, what));
        };
        if tokenizer.end_of_text().is_none() {
            let what =
                "its tokenizer has no <|endoftext|>, where CLIP reads a text: copy the model's own tokenizer.json";
            return Err(Error::file(directory, what));
        }
        let preprocess = hub::clip::open_preprocess(directory, &clip.config)?;
        Ok(Self { clip, params, tokenizer, preprocess })
    }

    /// Of a model at hand. Pictures are seen as in its training: with CLIP's means and deviations.
    pub fn new(clip: Clip, params: Params, tokenizer: Tokenizer) -> Self {
        let preprocess = Preprocess { size: clip.config.vision_config.image_size, ..Preprocess::default() };
        Self { clip, params, tokenizer, preprocess }
    }

    /// The same with random weights: what there would be without training.
    #[must_use]
    pub fn from_scratch(&self, seed: u64) -> Self {
        let (clip, params) = Clip::init(&self.clip.config, seed);
        Self { clip, params, ..self.clone() }
    }

    /// E: how many numbers a vector has.
    pub fn width(&self) -> usize {
        self.clip.config.projection_dim
    }

    /// The most tokens of a text that are read, its end included.
    pub fn block_size(&self) -> usize {
        self.clip.config.text_config.max_position_embeddings
    }

    /// How many of some texts are longer than the model reads, and so are known by their beginning.
    pub fn cut(&self, texts: &[&str]) -> usize {
        texts.iter().filter(|text| caption_ids(&self.tokenizer, self.block_size(), text).1).count()
    }

    /// Texts as vectors of length 1: `[n, E]`. Equal texts are one computation, and so equal to the last bit.
    pub fn texts(&self, texts: &[&str]) -> Tensor {
        let (different, of) = distinct(texts);
        let (e, (_, end)) = (self.width(), crate::data::captioned::ends(&self.tokenizer));
        let mut vectors = Tensor::scratch([different.len(), e]);
        parallel::inside(|| {
            let chunks = different.chunks(AT_ONCE).zip(vectors.data_mut().chunks_mut(AT_ONCE * e));
            for (texts, vectors) in chunks {
                let rows: Vec<Vec<u32>> =
                    texts.iter().map(|text| caption_ids(&self.tokenizer, self.block_size(), text).0).collect();
                let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
                let filled = rows.into_iter().flat_map(|mut ids| {
                    ids.resize(longest, end); // what stands behind an end is not seen
                    ids
                });
                let tape = Tape::no_grad(&self.params);
                let found = self.clip.texts(&tape, &filled.collect::<Vec<u32>>(), texts.len()).value();
                vectors.copy_from_slice(found.data());
            }
        });
        chosen(&vectors, &of)
    }
}

/// The different ones of some texts in the order in which they come, and for each text its place among these.
pub fn distinct<'a>(texts: &[&'a str]) -> (Vec<&'a str>, Vec<usize>) {
    let (mut different, mut known) = (Vec::new(), HashMap::new());
    let mut place = |&text: &&'a str| {
        *known.entry(text).or_insert_with(|| {
            different.push(text);
            different.len() - 1
        })
    };
    let of = texts.iter().map(&mut place).collect();
    (different, of)
}

/// Some rows of a matrix, in this order: `[n, E]` → `[rows, E]`.
pub fn chosen(matrix: &Tensor, rows: &[usize]) -> Tensor {
    let width = matrix.shape().cols();
    let mut some = Tensor::scratch([rows.len(), width]);
    for (to, &row) in some.data_mut().chunks_exact_mut(width).zip(rows) {
        to.copy_from_slice(&matrix.data()[row * width..][..width]);
    }
    some
}

/// A small CLIP that was never trained, of 16 x 16 pixels.
#[cfg(test)]
pub(crate) fn untrained() -> Encoders {
    use crate::clip::{ClipConfig, TextConfig, VisionConfig};

    let tokenizer = Tokenizer::train(&["a red ball on a table, and a blue box".as_bytes()], 262).expect("a few pairs");
    let end = tokenizer.end_of_text().expect("trained ones have an end of text");
    let text_config = TextConfig {
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        max_position_embeddings: 24,
        eos_token_id: end,
        ..TextConfig::default()
    };
    let vision_config = VisionConfig {
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        image_size: 16,
        patch_size: 8,
        ..VisionConfig::default()
    };
    let config = ClipConfig { text_config, vision_config, projection_dim: 8, ..ClipConfig::default() };
    let (clip, params) = Clip::init(&config, 5);
    Encoders::new(clip, params, tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_texts_vector_has_length_one_and_does_not_depend_on_its_neighbours() {
        let with = untrained();
        let texts = ["a red ball", "", "a much longer text than all of the others", "a red ball", "x"];
        let together = with.texts(&texts);
        let row = |i: usize| &together.data()[8 * i..8 * i + 8];
        for (i, text) in texts.iter().enumerate() {
            let alone = with.texts(&[text]);
            assert!(row(i).iter().zip(alone.data()).all(|(a, b)| (a - b).abs() < 1e-5), "{text:?}");
            assert!((row(i).iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert_eq!(row(0), row(3));
        assert_ne!(row(0), row(4));
        assert_eq!(with.cut(&texts), 1);
    }
}
