//! A pre-trained model with its tokenizer: what all use of it begins with, and a run that goes on from another.

use std::path::Path;

use autograd::Params;
use tokenizer::{Special, Tokenizer};

use super::Checkpoint;
use crate::error::{Error, Result};
use crate::pretext::texts::{Ids, framed, ids};
use crate::{Config, Model};

/// A model that was trained on raw data, and what turns text into its ids.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// The model.
    pub model: Model,
    /// Its parameters.
    pub params: Params,
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
}

/// An error if a directory's tokenizer is not its model's.
pub(crate) fn check_tokenizer(directory: &Path, model: &Model, tokenizer: &Tokenizer) -> Result<()> {
    check_tokenizer_of(directory, &model.config(), tokenizer)
}

/// The same of a model's sizes.
pub(crate) fn check_tokenizer_of(directory: &Path, config: &Config, tokenizer: &Tokenizer) -> Result<()> {
    let [has, wants] = [tokenizer.vocab_size(), config.vocab_size()];
    if !padded(has, wants) {
        let what = format!("the tokenizer has {has} tokens but the model {wants}: they are of two runs");
        return Err(Error::file(directory, what + "; copy the model's own tokenizer.json here"));
    }
    if matches!(config, Config::Bert(_)) && tokenizer.frame().is_none() {
        let what = "the tokenizer has no [CLS], [SEP], [PAD] and [MASK]: it is not this model's";
        return Err(Error::file(directory, what));
    }
    Ok(())
}

/// Whether a table of `wants` tokens is made for a tokenizer of `has`: as large, or filled up to a multiple of a power of two,
/// which is faster on some machines.
fn padded(has: usize, wants: usize) -> bool {
    (0..=10).any(|power| has.next_multiple_of(1 << power) == wants)
}

/// The refusal of a CLIP where texts alone are worked on.
pub(crate) fn of_pictures(directory: &Path) -> Error {
    let what = "is a CLIP, and this needs a model of text alone (GPT or BERT); a CLIP does `pretext classify`, `embed`, \
                `search` and `curve DIR classify`, with pictures";
    Error::file(directory, what)
}

impl Pretrained {
    /// Opens a run of a model of text, or a Hugging Face checkpoint with its tokenizer.json.
    ///
    /// Errors: a file that is missing or damaged; a tokenizer of another model; a model that was fine-tuned, or one of
    /// pictures.
    pub fn open(directory: &Path) -> Result<Self> {
        let with = Self::open_any(directory)?;
        if matches!(with.model, Model::Clip(_)) {
            return Err(of_pictures(directory));
        }
        Ok(with)
    }

    /// An error if the model, which is that of `directory`, sees so few tokens that what stands around a text leaves no room for
    /// one.
    pub fn check_room(&self, directory: &Path) -> Result<()> {
        let (sees, empty) = (self.model.block_size(), ids(&self.tokenizer, usize::MAX, "").ids.len());
        if sees > empty || self.tokenizer.vocab_size() == 256 {
            return Ok(());
        }
        let what =
            format!("sees {sees} tokens, too few for a text with its marks: train one with a larger --block-size");
        Err(Error::file(directory, what))
    }

    /// The same of any model.
    pub fn open_any(directory: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(directory)?;
        if checkpoint.task().is_some() {
            return Err(Error::file(directory, "is fine-tuned: give the run that it was made from"));
        }
        let (filled, tokenizer) = tensor::parallel::both(|| checkpoint.as_saved(), || Tokenizer::open(directory));
        let ((model, params), tokenizer) = (filled?, tokenizer?);
        check_tokenizer(directory, &model, &tokenizer)?;
        Ok(Self { model, params, tokenizer })
    }

    /// The same model with random weights: what there would be without pre-training.
    #[must_use]
    pub fn from_scratch(&self, seed: u64) -> Self {
        let (model, params) = self.model.config().init(seed);
        Self { model, params, tokenizer: self.tokenizer.clone() }
    }

    /// A text as the model knows texts: in its frame, or after the mark that ends the text before. Of more tokens than the
    /// model sees the first are taken.
    pub fn ids(&self, text: &str) -> Ids {
        ids(&self.tokenizer, self.model.block_size(), text)
    }

    /// The same of a text in which the names of special tokens are these.
    pub fn ids_with_special(&self, text: &str) -> Result<Ids> {
        let inside = self.tokenizer.encode(text.as_bytes(), Special::Allow)?;
        Ok(framed(&self.tokenizer, self.model.block_size(), inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_may_be_filled_up_but_not_be_of_another_tokenizer() {
        for (has, wants, good) in [
            (50257, 50257, true),
            (50257, 50258, true),
            (50257, 50304, true),
            (50257, 51200, true),
            (50257, 50256, false),
            (50257, 50300, false),
            (512, 1000, false),
        ] {
            assert_eq!(padded(has, wants), good, "{has} {wants}");
        }
    }
}
