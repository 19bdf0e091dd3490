//! Contrastive prediction: which of many texts is the other view of this one?
//!
//! Each of N texts goes through the model twice. Dropout leaves out other numbers each time, so that one text has two
//! vectors h and h′; nothing else is changed, and no label is needed (Gao et al. 2021, "SimCSE: Simple Contrastive
//! Learning of Sentence Embeddings", section 3). The model has to find h′ᵢ for hᵢ among the second views of all N texts:
//!
//! - `sᵢⱼ = cos(hᵢ, h′ⱼ)/τ`
//! - `ℓ = −1/N·Σᵢ ln( exp(sᵢᵢ) / (exp(sᵢᵢ) + Σⱼ wᵢⱼ·exp(sᵢⱼ)) )`, the sum over all others
//!
//! To lessen it the two views must come together (alignment) and different texts spread over all directions (uniformity).
//! A model that knows nothing pays ln N.
//!
//! The others that lie nearest teach most. So they count more, by how near they are (Robinson et al. 2021, "Contrastive
//! Learning with Hard Negative Samples", section 3): `wᵢⱼ = n·exp(β·cos(hᵢ, h′ⱼ)) / Σₖ exp(β·cos(hᵢ, h′ₖ))` over the n others.
//! The weights add up to n, so β = 0 is SimCSE to the letter. They say which negatives are looked at, not what is to be made
//! small: no gradient passes through them. A text that the batch holds twice is no negative of itself: there w = 0.
//!
//! As `w·exp(s) = exp(s + ln w)`, all of this is the cross entropy of a table of scores. The labels are on its diagonal.

use std::ops::Range;

use autograd::Var;
use tensor::random::Random;
use tensor::{Float, Tensor};
use tokenizer::Tokenizer;

use super::texts::{Packed, ids, mean};
use super::{Batch, sentences};
use crate::nn::Value;

/// τ of Gao et al. 2021 (appendix D): the best of those they tried, for cosines.
pub const TEMPERATURE: f64 = 0.05;
/// β: a negative at cosine 1 counts e⁵ times one at cosine 0. A small BERT of books and encyclopaedia came from 58.5 to 61.1,
/// 61.5, 62.5 and 63.1 with β = 0, 1, 5 and 15 (`pretext embed DIR --pairs` on STS-B's validation pairs, in percent).
pub const HARDNESS: f64 = 5.0;

/// How texts are told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrast {
    /// τ: by how much a difference of cosines counts.
    pub temperature: f64,
    /// β: by how much near negatives count more; 0 means all alike.
    pub hardness: f64,
}

impl Contrast {
    /// Scores of each text's first view with every text's second, `[N, C]` twice → `[N, N]`: sᵢⱼ + ln wᵢⱼ. `same` has for each
    /// text the number of the first that says the same.
    pub fn scores<'t, T: Float>(&self, a: Var<'t, T>, b: Var<'t, T>, same: &[u32]) -> Var<'t, T> {
        let cosines = cosines(a, b); // [N, N]
        self.weighed(cosines, self.log_weights(&cosines.value(), same))
    }

    /// cos/τ + ln w: `[N, N]`, where the weights are given.
    pub fn weighed<'t, T: Float>(&self, cosines: Var<'t, T>, log_weights: Tensor<T>) -> Var<'t, T> {
        cosines.affine(1.0 / self.temperature, 0.0) + cosines.tape().constant(log_weights)
    }

    /// ln wᵢⱼ: 0 on the diagonal, ln n + β·cosᵢⱼ − ln Σₖ exp(β·cosᵢₖ) for the n others, −∞ for a text's twins.
    pub fn log_weights<T: Float>(&self, cosines: &Tensor<T>, same: &[u32]) -> Tensor<T> {
        let n = same.len();
        let mut weights = Tensor::zeros([n, n]);
        let rows = weights.data_mut().chunks_exact_mut(n).zip(cosines.data().chunks_exact(n));
        for (i, (weights, cosines)) in rows.enumerate() {
            let others = || (0..n).filter(|&j| same[j] != same[i]);
            let total: f64 = others().map(|j| (self.hardness * cosines[j].f64()).exp()).sum();
            let mean = (total / others().count() as f64).ln();
            for (j, weight) in weights.iter_mut().enumerate().filter(|(j, _)| *j != i) {
                let other = same[j] != same[i];
                *weight = T::of(if other { self.hardness * cosines[j].f64() - mean } else { f64::NEG_INFINITY });
            }
        }
        weights
    }
}

/// The cosine of every row of a with every row of b: `[N, C]`, `[M, C]` → `[N, M]`.
pub fn cosines<'t, T: Float>(a: Var<'t, T>, b: Var<'t, T>) -> Var<'t, T> {
    unit(a).matmul_t(false, unit(b), true)
}

/// Each row at length 1: x/√(Σx²). A row of zeros stays one.
pub fn unit<T: Float>(x: Var<'_, T>) -> Var<'_, T> {
    const TINY: f64 = 1e-30; // so that there is a logarithm of the length of such a row
    let squares = (x * x).row_sums(); // [N]
    x * squares.affine(1.0, TINY).ln().affine(-0.5, 0.0).exp().repeat_cols(x.shape().cols())
}

/// Who cuts texts into sentences, and how these are told apart.
#[derive(Clone, Copy, Debug)]
pub struct Contrastive<'a> {
    /// Text to ids and back.
    pub tokenizer: &'a Tokenizer,
    /// How sentences are told apart.
    pub contrast: Contrast,
}

impl Contrastive<'_> {
    /// A sentence of a window of ids, as a model of `block` positions knows texts.
    pub fn text(&self, window: &[u32], block: usize, mut random: Random) -> Vec<u32> {
        let text = sentences::draw(window, self.tokenizer, &mut random);
        ids(self.tokenizer, block, &String::from_utf8_lossy(&text)).ids
    }
}

/// The texts of a batch that are to be told apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    /// How.
    pub contrast: Contrast,
    /// The positions of 2N texts among the batch's: one view of each of N texts, then the other of each.
    pub texts: Vec<Range<usize>>,
    /// For each of the N texts the number of the first that says the same: its own, as a rule.
    pub same: Vec<u32>,
}

impl Pairs {
    /// N texts twice, in rows of at most `block` positions.
    pub fn batch(contrast: Contrast, texts: &[Vec<u32>], block: usize) -> Batch {
        let first = |text: &Vec<u32>| texts.iter().position(|other| other == text).unwrap_or_default() as u32;
        let same = texts.iter().map(first).collect();
        let Packed { batch, texts } = Packed::new(texts.iter().chain(texts).map(Vec::as_slice), block);
        Batch { pairs: Some(Self { contrast, texts, same }), ..batch }
    }

    /// N: how many texts there are.
    pub fn count(&self) -> usize {
        self.same.len()
    }

    /// The scores `[N, N]` of the first views with the second, as [`Contrast::scores`] has them, by the hidden states
    /// `[B, T, C]` of all of the batch; if dropout did not change them the two views are one.
    pub fn scores<'t>(&self, hidden: Value<'t>) -> Value<'t> {
        let x = hidden.reshape([hidden.shape().rows(), hidden.shape().cols()]); // [B·T, C]
        let x = mean(x, &self.texts); // [2N, C]
        let n = self.count() as u32;
        let [a, b] = [0, n].map(|first| x.embedding(&(first..first + n).collect::<Vec<_>>(), [n as usize])); // [N, C]
        self.contrast.scores(a, b, &self.same)
    }

    /// The label of each row of scores: the text itself.
    pub fn labels(&self) -> Vec<u32> {
        (0..self.count() as u32).collect()
    }

    /// Σᵢ ℓᵢ / divisor, by the hidden states `[B, T, C]` of all of the batch.
    pub fn loss<'t>(&self, hidden: Value<'t>, divisor: f64) -> Value<'t> {
        self.scores(hidden).cross_entropy(&self.labels(), divisor)
    }
}

#[cfg(test)]
mod tests {
    use autograd::{DropoutKey, Params, Tape};

    use super::*;
    use crate::Model;
    use crate::bert::config::Form;
    use crate::bert::{Bert, BertConfig};

    const PLAIN: Contrast = Contrast { temperature: TEMPERATURE, hardness: 0.0 };
    const KEY: DropoutKey = DropoutKey { seed: 1, step: 2, first_row: 0 };

    fn model(dropout: f64) -> (Model, Params) {
        let config = BertConfig::new(Form::PreNorm, 40, 12, 1, 2, 16).with_dropout(dropout);
        let (model, params) = Bert::init(&BertConfig { initializer_range: 0.3, ..config }, 3);
        (Model::Bert(model), params)
    }

    fn texts() -> Vec<Vec<u32>> {
        vec![vec![1, 9, 8, 2], vec![1, 7, 2], vec![1, 9, 8, 2], vec![1, 30, 31, 32, 33, 2]]
    }

    fn scores(dropout: f64, contrast: Contrast) -> Tensor {
        let (model, params) = model(dropout);
        let batch = Pairs::batch(contrast, &texts(), 12);
        let tape = Tape::no_grad(&params).with_dropout(KEY);
        batch.pairs.as_ref().unwrap().scores(model.hidden(&tape, batch.all(), None)).value()
    }

    #[test]
    fn the_two_views_of_a_text_differ_by_dropout_and_by_nothing_else() {
        let own =
            |dropout| (0..4).map(|i| scores(dropout, PLAIN).data()[5 * i] * TEMPERATURE as f32).collect::<Vec<_>>();
        assert!(own(0.0).iter().all(|cosine| (cosine - 1.0).abs() < 1e-5), "{:?}", own(0.0));
        assert!(own(0.2).iter().all(|cosine| (0.2..0.999).contains(cosine)), "{:?}", own(0.2));
    }

    #[test]
    fn texts_that_are_the_same_are_no_negatives_of_each_other() {
        let s = scores(0.2, PLAIN);
        assert_eq!((s.data()[2], s.data()[8]), (f32::NEG_INFINITY, f32::NEG_INFINITY));
        assert!(s.data().iter().filter(|s| s.is_finite()).count() == 14);
    }

    #[test]
    fn near_negatives_count_more_and_all_together_as_much_as_before() {
        let cosines = Tensor::<f64>::of([3, 3], &[0.9, 0.5, -0.5, 0.0, 0.8, 0.1, 0.3, 0.3, 0.7]);
        let weights = |hardness| Contrast { hardness, ..PLAIN }.log_weights(&cosines, &[0, 1, 2]);
        assert!(weights(0.0).data().iter().all(|w| w.abs() < 1e-12));
        let w: Vec<f64> = weights(2.0).data().iter().map(|w| w.exp()).collect();
        assert!(((w[1] / w[2]).ln() - 2.0).abs() < 1e-12 && (w[1] + w[2] - 2.0).abs() < 1e-12 && w[0] == 1.0);
        assert!((w[6] - 1.0).abs() < 1e-12 && (w[7] - 1.0).abs() < 1e-12);
        // A batch of twins has nothing to be told from, and its loss is 0.
        let alone = weights_of_twins();
        assert_eq!(alone.data(), [0.0, f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0]);
    }

    fn weights_of_twins() -> Tensor<f64> {
        PLAIN.log_weights(&Tensor::of([2, 2], &[1.0; 4]), &[0, 0])
    }
}
