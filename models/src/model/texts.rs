//! Texts through a model: the hidden states of their positions, and one vector for each text.

use std::ops::Range;

use autograd::{DropoutKey, Params, Tape};
use tensor::{Tensor, parallel};

use super::Model;
use crate::nn::Value;
use crate::pretext::texts::{Packed, mean};

impl Packed {
    /// The last hidden states of all N positions: `[N, C]`.
    pub fn hidden<'t>(&self, model: &Model, tape: &'t Tape<'t>) -> Value<'t> {
        let x = model.hidden(tape, self.batch.all(), None); // [B, T, C]
        x.reshape([self.batch.ids.len(), model.width()])
    }

    /// Those at the M positions whose numbers are `at`, which cost less: `[M, C]`.
    pub fn hidden_at<'t>(&self, model: &Model, tape: &'t Tape<'t>, at: &[u32]) -> Value<'t> {
        model.hidden(tape, self.batch.all(), Some(at))
    }

    /// One vector for each of the n texts: `[n, C]`.
    pub fn pooled<'t>(&self, model: &Model, tape: &'t Tape<'t>, pooling: Pooling) -> Value<'t> {
        let one_of = |at: fn(&Range<usize>) -> usize| {
            let positions: Vec<u32> = self.texts.iter().map(|text| at(text) as u32).collect();
            self.hidden_at(model, tape, &positions)
        };
        match pooling {
            Pooling::First => one_of(|text| text.start),
            Pooling::Last => one_of(|text| text.end - 1),
            Pooling::Mean => mean(self.hidden(model, tape), &self.texts),
        }
    }
}

/// Texts that are put through a model at once, at most, when nothing is learned: enough to keep it busy.
const TEXTS: usize = 64;
/// Tokens of them, at most, so that a long context takes no more memory than a short one.
pub const TOKENS: usize = 64 * 128;

/// Texts of these lengths in portions that are put through a model at once, in their order: each as large as can be, and of
/// one text at least.
pub fn portions<T>(texts: &[T], length: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = texts;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fits = rest.iter().take(TEXTS).take_while(|text| {
            tokens += length(text);
            tokens <= TOKENS
        });
        let n = fits.count().max(1).min(rest.len());
        let (some, after) = rest.split_at(n);
        rest = after;
        (n > 0).then_some(some)
    })
}

/// One vector for each text, from its hidden states: `[n, C]`.
pub fn pooled_states(model: &Model, params: &Params, pooling: Pooling, texts: &[&[u32]]) -> Tensor {
    states(model, params, pooling, texts, None)
}

/// The same with dropout: one of many views of each text.
pub fn pooled_view(model: &Model, params: &Params, pooling: Pooling, texts: &[&[u32]], key: DropoutKey) -> Tensor {
    states(model, params, pooling, texts, Some(key))
}

fn states(model: &Model, params: &Params, pooling: Pooling, texts: &[&[u32]], key: Option<DropoutKey>) -> Tensor {
    let width = model.width();
    let mut all = Tensor::zeros([texts.len(), width]);
    parallel::inside(|| {
        let mut done = 0;
        for texts in portions(texts, |text| text.len()) {
            let mut tape = Tape::no_grad(params);
            if let Some(key) = key {
                // Rows of another portion are of another length: so each portion has masks of its own.
                tape = tape.with_dropout(DropoutKey { seed: key.seed.wrapping_add((done as u64) << 32), ..key });
            }
            let packed = Packed::new(texts.iter().copied(), model.block_size());
            let states = packed.pooled(model, &tape, pooling).value();
            all.data_mut()[done * width..][..states.data().len()].copy_from_slice(states.data());
            done += texts.len();
        }
    });
    all
}

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// That of the first token, \[CLS\].
    First,
    /// That of the last token, the only one that has seen all where a position sees what came before.
    Last,
    /// The mean of all.
    Mean,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bert::config::Form;
    use crate::bert::{Bert, BertConfig};
    use crate::gpt::{Gpt, GptConfig};

    fn texts() -> Vec<Vec<u32>> {
        [5, 3, 8, 1, 2].iter().map(|&n| (0..n).map(|i| (7 * i + n) % 20).collect()).collect()
    }

    #[test]
    fn portions_hold_all_texts_in_order_and_no_more_tokens_than_one_long_text_has() {
        let sizes = |lengths: &[usize]| portions(lengths, |&n| n).map(|some: &[usize]| some.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&[3; 130]), [64, 64, 2]);
        assert_eq!(sizes(&[TOKENS / 2, TOKENS / 2, 1, TOKENS, TOKENS + 1, TOKENS + 1, 1]), [2, 1, 1, 1, 1, 1]);
        assert!(sizes(&[]).is_empty());
    }

    #[test]
    fn a_texts_vector_does_not_depend_on_its_neighbours() {
        let (model, params) = Gpt::init(&GptConfig { initializer_range: 0.3, ..GptConfig::new(20, 8, 2, 2, 12) }, 1);
        let model = Model::Gpt(model);
        let texts = texts();
        for pooling in [Pooling::First, Pooling::Last, Pooling::Mean] {
            let tape = Tape::no_grad(&params);
            let vectors = |texts: &[Vec<u32>]| {
                let packed = Packed::new(texts.iter().map(Vec::as_slice), 8);
                packed.pooled(&model, &tape, pooling).value().data().to_vec()
            };
            let together = vectors(&texts);
            for (text, vector) in texts.iter().zip(together.chunks_exact(12)) {
                let alone = vectors(std::slice::from_ref(text));
                assert!(alone.iter().zip(vector).all(|(a, b)| (a - b).abs() < 1e-5), "{pooling:?}: {text:?}");
            }
        }
    }

    #[test]
    fn states_at_some_positions_are_those_among_all() {
        let texts = texts();
        let (gpt, gpt_params) = Gpt::init(&GptConfig { initializer_range: 0.3, ..GptConfig::new(20, 8, 2, 2, 12) }, 1);
        let bert =
            |form| Bert::init(&BertConfig { initializer_range: 0.3, ..BertConfig::new(form, 20, 8, 2, 2, 12) }, 1);
        let [(post, post_params), (pre, pre_params)] = [Form::PostNorm, Form::PreNorm].map(bert);
        let models = [(Model::Gpt(gpt), gpt_params), (Model::Bert(post), post_params), (Model::Bert(pre), pre_params)];
        let packed = Packed::new(texts.iter().map(Vec::as_slice), 8); // the last positions are padding
        for (model, params) in &models {
            let tape = Tape::no_grad(params);
            let all = packed.hidden(model, &tape).value();
            for at in [vec![], vec![23], vec![17, 3, 3, 0, 20]] {
                let some = packed.hidden_at(model, &tape, &at).value();
                let rows = at.iter().flat_map(|&at| &all.data()[at as usize * 12..][..12]);
                assert_eq!(some.data().len(), at.len() * 12);
                // The product of a single row adds up in another order.
                assert!(some.data().iter().zip(rows).all(|(a, b)| (a - b).abs() < 1e-5), "{at:?}");
            }
        }
    }
}
