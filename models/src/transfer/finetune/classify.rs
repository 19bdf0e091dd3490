//! Classification: a label for a text, from one vector that is read from it.

use std::path::Path;

use autograd::{Params, Tape};
use tensor::{Tensor, parallel, rows};
use tokenizer::Tokenizer;

use super::super::embed::common_part;
use super::super::logistic::{Features, Logistic};
use super::super::score;
use super::examples::{Example, Examples};
use super::tuned::{Kind, Learned, Reading, Tuned};
use super::{Fitted, Recipe, Task, Watch, fit, layerwise, shuffled};
use crate::Model;
use crate::error::Result;
use crate::hub::pretrained::Pretrained;
use crate::model::texts::{Pooling, portions};
use crate::nn::Value;
use crate::pretext::texts::Packed;

/// A model that gives each text a label.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// The model and the layers on top.
    pub tuned: Tuned,
}

/// Examples that the first fit of the head looks at, at most, but for one of each label: more would take long and change
/// little.
const PROBED: usize = 2000;

/// How good a classifier is on examples that it did not learn from.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Scores {
    /// The share of right labels.
    pub accuracy: f64,
    /// The mean of the labels' F1.
    pub macro_f1: f64,
}

impl Learned for Classifier {
    fn tuned(&self) -> &Tuned {
        &self.tuned
    }
}

impl Classifier {
    /// Opens what [`Tuned::save`] wrote, with its tokenizer and the names of its labels.
    ///
    /// Errors: those of [`Tuned::open`].
    pub fn open(directory: &Path) -> Result<(Self, Tokenizer, Vec<String>)> {
        let (tuned, tokenizer, labels) = Tuned::open(directory, Kind::Classify)?;
        Ok((Self { tuned }, tokenizer, labels))
    }

    /// How many tokens of a text it sees.
    pub fn block_size(&self) -> usize {
        self.tuned.model.block_size()
    }

    /// What the last layer reads of packed texts: `[n, C]`.
    fn read<'t>(&self, tape: &'t Tape<'t>, packed: &Packed) -> Value<'t> {
        let sees_all = match self.tuned.model {
            Model::Bert(_) => Pooling::First,
            Model::Gpt(_) | Model::Clip(_) => Pooling::Last,
        };
        self.tuned.head.read(packed.pooled(&self.tuned.model, tape, sees_all))
    }

    /// Scores of the labels for packed texts: `[n, labels]`.
    fn scores<'t>(&self, tape: &'t Tape<'t>, packed: &Packed, dropout: f64) -> Value<'t> {
        self.tuned.head.out.forward(self.read(tape, packed).dropout(dropout))
    }

    /// The probability of each label for each text: a row of labels a text.
    pub fn probabilities(&self, params: &Params, texts: &[&[u32]]) -> Vec<Vec<f32>> {
        let some = |texts: &[&[u32]]| {
            let tape = Tape::no_grad(params);
            let packed = Packed::new(texts.iter().copied(), self.tuned.model.block_size());
            let mut scores = self.scores(&tape, &packed, 0.0).value();
            let labels = scores.shape().cols();
            let probabilities = scores.data_mut().chunks_exact_mut(labels).map(|row| {
                rows::softmax(row);
                row.to_vec()
            });
            probabilities.collect::<Vec<_>>()
        };
        parallel::inside(|| portions(texts, |text| text.len()).flat_map(some).collect())
    }

    /// The likeliest label of each text; of equals the first.
    pub fn predict(&self, params: &Params, texts: &[&[u32]]) -> Vec<usize> {
        self.probabilities(params, texts).iter().map(|p| rows::argmax(p)).collect()
    }

    /// How good it is with these parameters on some examples.
    pub fn scores_on(&self, params: &Params, examples: &[Example]) -> Scores {
        let texts: Vec<&[u32]> = examples.iter().map(|(ids, _)| &ids[..]).collect();
        let truth: Vec<usize> = examples.iter().map(|&(_, label)| label).collect();
        let predicted = self.predict(params, &texts);
        Scores { accuracy: score::accuracy(&truth, &predicted), macro_f1: score::macro_f1(&truth, &predicted) }
    }

    /// What the last layer reads of texts, as features for something else: `[texts, C]`.
    pub fn features(&self, texts: &[&[u32]]) -> Tensor {
        let some = |texts: &[&[u32]]| {
            let tape = Tape::no_grad(&self.tuned.params);
            let packed = Packed::new(texts.iter().copied(), self.block_size());
            self.read(&tape, &packed).value().data().to_vec()
        };
        let all: Vec<f32> = parallel::inside(|| portions(texts, |text| text.len()).flat_map(some).collect());
        Tensor::of([texts.len(), self.tuned.model.width()], &all)
    }

    /// Sets the last layer to what logistic regression makes of the features that it reads, before anything else is trained: a
    /// random one would pull the body out of shape until it fits (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained
    /// Features and Underperform Out-of-Distribution").
    pub fn probe_first(&mut self, examples: &[Example], labels: usize, seed: u64) {
        let examples: Vec<&Example> = probed(examples, labels, seed).into_iter().map(|i| &examples[i]).collect();
        let texts: Vec<&[u32]> = examples.iter().map(|(ids, _)| &ids[..]).collect();
        let of: Vec<usize> = examples.iter().map(|(_, label)| *label).collect();
        let width = self.tuned.model.width();
        let features = self.features(&texts);
        let probe = Logistic::new(labels, width).trained(Features::Dense(&features), &of, 1.0);
        let out = self.tuned.head.out.clone();
        // Without a bias of its own it gets one by the features' mean m, which is large beside what differs between texts:
        // b·m/‖m‖² adds b where the feature is m.
        let mean: Vec<f64> = common_part(&features).into_iter().map(f64::from).collect();
        let square = mean.iter().map(|m| m * m).sum::<f64>().max(f64::MIN_POSITIVE);
        let folded = |column: usize, k: usize| match out.bias() {
            Some(_) => 0.0,
            None => probe.weight(None, k) * mean[column] / square,
        };
        for (i, w) in self.tuned.params.value_mut(out.weight()).iter_mut().enumerate() {
            let (column, k) = (i % width, i / width);
            *w = (probe.weight(Some(column), k) + folded(column, k)) as f32;
        }
        if let Some(bias) = out.bias() {
            let biases = self.tuned.params.value_mut(bias).iter_mut().enumerate();
            biases.for_each(|(k, b)| *b = probe.weight(None, k) as f32);
        }
    }

    /// Learns from examples. `score` and errors are as for [`fit`].
    pub fn learn(
        &mut self,
        examples: &[Example],
        recipe: &Recipe,
        score: impl FnMut(&Self, &Params) -> Option<f64>,
        watch: impl Watch,
    ) -> Result<Fitted> {
        let (mut params, mut score) = (self.tuned.params.clone(), score);
        let pace = layerwise(&self.tuned.model, recipe.layer_decay);
        let task = Learning { classifier: self, examples, dropout: recipe.dropout };
        let fitted = fit(&task, &mut params, recipe, pace, |params| score(self, params), watch)?;
        self.tuned.params = params;
        Ok(fitted)
    }
}

/// Fine-tunes what was pre-trained on a task's training examples: first the head alone, then all of it. The best weights by
/// the accuracy on the validation examples are kept, where there are any. Errors: those of [`fit`].
pub fn finetune(
    from: &Pretrained,
    examples: &Examples,
    reading: Reading,
    recipe: &Recipe,
    watch: impl Watch,
) -> Result<(Classifier, Fitted)> {
    let labels = examples.labels.len();
    let mut classifier = Classifier { tuned: Tuned::new(from, Kind::Classify, labels, reading, recipe) };
    classifier.probe_first(&examples.train, labels, recipe.seed);
    let score = |classifier: &Classifier, params: &Params| {
        (!examples.val.is_empty()).then(|| classifier.scores_on(params, &examples.val).accuracy)
    };
    let fitted = classifier.learn(&examples.train, recipe, score, watch)?;
    Ok((classifier, fitted))
}

/// The places of some examples in their order: drawn, for they may stand in any order of their labels, and one of each label.
fn probed(examples: &[Example], labels: usize, seed: u64) -> Vec<usize> {
    let drawn = shuffled(examples.len(), seed, u64::MAX - 2); // no pass has this number
    let mut seen = vec![false; labels];
    let mut some = Vec::new();
    for (n, i) in drawn.into_iter().enumerate() {
        let new = !std::mem::replace(&mut seen[examples[i].1], true);
        if new || n < PROBED {
            some.push(i);
        }
    }
    some.sort_unstable();
    some
}

struct Learning<'a> {
    classifier: &'a Classifier,
    examples: &'a [Example],
    dropout: f64,
}

impl Task for Learning<'_> {
    fn examples(&self) -> usize {
        self.examples.len()
    }

    fn tuned(&self) -> Option<&Tuned> {
        Some(&self.classifier.tuned)
    }

    fn loss<'t>(&self, tape: &'t Tape<'t>, examples: &[usize], divisor: f64) -> Value<'t> {
        let texts = examples.iter().map(|&i| &self.examples[i].0[..]);
        let packed = Packed::new(texts, self.classifier.tuned.model.block_size());
        let labels: Vec<u32> = examples.iter().map(|&i| self.examples[i].1 as u32).collect();
        self.classifier.scores(tape, &packed, self.dropout).cross_entropy(&labels, divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fit_sees_every_label_in_whatever_order_they_stand() {
        let of = |label: &dyn Fn(usize) -> usize| (0..2 * PROBED).map(|i| (vec![0], label(i))).collect::<Vec<_>>();
        for (case, examples) in [
            ("in turn", of(&|i| i % 2)),
            ("one after the other", of(&|i| i / PROBED)),
            ("one of a kind", of(&|i| usize::from(i == 3))),
        ] {
            for seed in 0..5 {
                let some = probed(&examples, 2, seed);
                let second = some.iter().filter(|&&i| examples[i].1 == 1).count();
                assert!((PROBED..=PROBED + 1).contains(&some.len()) && some.is_sorted(), "{case}: {}", some.len());
                assert!(
                    if case == "one of a kind" { second == 1 } else { second.abs_diff(PROBED / 2) < 150 },
                    "{case}: {second}"
                );
            }
        }
        assert_eq!(probed(&of(&|i| i % 2)[..7], 2, 1), [0, 1, 2, 3, 4, 5, 6], "of few all");
    }
}
