//! Filling: what may stand in the place of each \[MASK\] of a text.

use autograd::{IGNORE, Tape};
use tensor::{Tensor, rows};
use tokenizer::Frame;

use crate::Model;
use crate::bert::Bert;
use crate::error::{Error, Result};
use crate::hub::pretrained::Pretrained;
use crate::pretext::texts::Packed;

/// A token that may stand in a hidden place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Guess {
    /// The token's text, with the space before it.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// How likely the model thinks it is, among all tokens.
    pub probability: f32,
}

/// The model and the marks of its texts, if it can fill.
///
/// Errors: a model that does not see both sides, or has no head that finds tokens.
pub fn able(with: &Pretrained) -> Result<(&Bert, Frame)> {
    let (Model::Bert(model), Some(frame)) = (&with.model, with.tokenizer.frame()) else {
        return Err(Error::Options(
            "the model sees only what came before: fill needs one trained by `train bert`".into(),
        ));
    };
    if !model.has_head() {
        let what = "the checkpoint was saved without the head that finds hidden tokens: fill needs one that has it";
        return Err(Error::Options(what.to_owned()));
    }
    Ok((model, frame))
}

/// The `k` likeliest tokens for each \[MASK\] of a text, the likeliest first. Of several masks each is filled while the
/// others stay hidden.
///
/// Errors: those of [`able`]; a text without a mask, or longer than the model sees.
pub fn fill(with: &Pretrained, text: &str, k: usize) -> Result<Vec<Vec<Guess>>> {
    let (model, frame) = able(with)?;
    let text = with.ids_with_special(text)?;
    if text.cut {
        let block = with.model.block_size();
        return Err(Error::Options(format!(
            "the text has more tokens than the {block} that the model sees: shorten it"
        )));
    }
    let mut packed = Packed::new([&text.ids[..]], with.model.block_size());
    for (target, &id) in packed.batch.targets.iter_mut().zip(&packed.batch.ids) {
        *target = if id == frame.mask { frame.mask } else { IGNORE };
    }
    if packed.batch.count() == 0 {
        let mask = String::from_utf8_lossy(with.tokenizer.token(frame.mask).unwrap_or_default());
        return Err(Error::Options(format!("the text has no {mask}: write it where a token is to be found")));
    }
    let tape = Tape::no_grad(&with.params);
    let mut scores: Tensor = model.target_logits(&tape, packed.batch.all()).0.value(); // [masks, V]
    let vocab = scores.shape().cols();
    let best = |scores: &mut [f32]| {
        rows::softmax(scores);
        let known = with.tokenizer.vocab_size().min(vocab); // the table may be padded
        let ids = rows::best(&scores[..known], known).into_iter().map(|id| id as u32).filter(|&id| !frame.holds(id));
        let guess = |id: u32| Guess {
            token: String::from_utf8_lossy(with.tokenizer.token(id).unwrap_or_default()).into_owned(),
            id,
            probability: scores[id as usize],
        };
        ids.take(k).map(guess).collect()
    };
    Ok(scores.data_mut().chunks_exact_mut(vocab).map(best).collect())
}
