//! Classification: a label for a text, from the mean of its hidden states.

use autograd::{IGNORE, Params, Tape};
use tensor::{parallel, rows};

use super::super::logistic::{Logistic, Row};
use super::super::pretrained::{Packed, Pooling, Pretrained};
use super::{Fitted, Recipe, Task, fit, for_task, layerwise};
use crate::Model;
use crate::nn::{INITIAL_DEVIATION, Linear, Value};

/// A text as ids, and its label's number.
pub type Example = (Vec<u32>, usize);

/// A model with a layer on top that gives a score for each label.
#[derive(Clone, Debug)]
pub struct Classifier {
    model: Model,
    head: Linear, // C → labels
    /// How a text's hidden states become one vector.
    pub pooling: Pooling,
    /// Its parameters.
    pub params: Params,
}

/// Texts that are put through the model at once, when nothing is learned.
const AT_ONCE: usize = 64;

impl Classifier {
    /// A classifier whose body is what was pre-trained and whose head knows nothing yet.
    pub fn new(from: &Pretrained, labels: usize, pooling: Pooling, dropout: f64, seed: u64) -> Self {
        let config = for_task(&from.model.config(), dropout);
        let ((model, head), mut params) = Params::build(seed, |mut at| {
            let model = config.build_body(at.here());
            let width = model.width();
            (model, Linear::by_output(width, labels, INITIAL_DEVIATION, at.enter("classifier")))
        });
        params.adopt(&from.params);
        Self { model, head, pooling, params }
    }

    /// Scores of the labels for packed texts: `[n, labels]`.
    fn scores<'t>(&self, tape: &'t Tape<'t>, packed: &Packed, dropout: f64) -> Value<'t> {
        self.head.forward(packed.pooled(&self.model, tape, self.pooling).dropout(dropout))
    }

    /// The probability of each label for each text, and so on for all of them: `[texts, labels]` by rows.
    pub fn probabilities(&self, params: &Params, texts: &[&[u32]]) -> Vec<Vec<f32>> {
        let some = |texts: &[&[u32]]| {
            let tape = Tape::no_grad(params);
            let packed = Packed::new(texts.iter().copied(), self.model.block_size());
            let mut scores = self.scores(&tape, &packed, 0.0).value();
            let labels = scores.shape().cols();
            let probabilities = scores.data_mut().chunks_exact_mut(labels).map(|row| {
                rows::softmax(row);
                row.to_vec()
            });
            probabilities.collect::<Vec<_>>()
        };
        parallel::inside(|| texts.chunks(AT_ONCE).flat_map(some).collect())
    }

    /// The likeliest label of each text; of equals the first.
    pub fn predict(&self, params: &Params, texts: &[&[u32]]) -> Vec<usize> {
        let likeliest = |p: &Vec<f32>| (0..p.len()).reduce(|best, i| if p[i] > p[best] { i } else { best });
        self.probabilities(params, texts).iter().map(|p| likeliest(p).unwrap_or(0)).collect()
    }

    /// The pooled hidden states of texts, as features for something else.
    pub fn features(&self, texts: &[&[u32]]) -> Vec<Row> {
        features(&self.model, &self.params, self.pooling, texts)
    }

    /// Sets the head to what logistic regression makes of the body's features, before anything else is trained: a random
    /// head would pull the body out of shape until it fits (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained
    /// Features and Underperform Out-of-Distribution").
    pub fn probe_first(&mut self, examples: &[Example], labels: usize) {
        let texts: Vec<&[u32]> = examples.iter().map(|(ids, _)| &ids[..]).collect();
        let of: Vec<usize> = examples.iter().map(|&(_, label)| label).collect();
        let width = self.model.width();
        let probe = Logistic::train(&self.features(&texts), &of, labels, width, 1.0);
        let [weight, bias] = self.head.params();
        for (i, w) in self.params.value_mut(weight).iter_mut().enumerate() {
            *w = probe.weight(Some(i % width), i / width) as f32;
        }
        for (k, b) in self.params.value_mut(bias).iter_mut().enumerate() {
            *b = probe.weight(None, k) as f32;
        }
    }

    /// Learns from examples. `score` is as for [`fit`].
    pub fn learn(
        &mut self,
        examples: &[Example],
        recipe: &Recipe,
        score: impl FnMut(&Self, &Params) -> Option<f64>,
        report: impl FnMut(u64, f64, Option<f64>),
    ) -> Fitted {
        let (mut params, mut score) = (self.params.clone(), score);
        let pace = layerwise(&self.model, recipe.layer_decay);
        let task = Learning { classifier: self, examples, dropout: recipe.dropout };
        let fitted = fit(&task, &mut params, recipe, pace, |params| score(self, params), report);
        self.params = params;
        fitted
    }
}

/// The pooled hidden states of texts.
pub fn features(model: &Model, params: &Params, pooling: Pooling, texts: &[&[u32]]) -> Vec<Row> {
    let some = |texts: &[&[u32]]| {
        let tape = Tape::no_grad(params);
        let pooled = Packed::new(texts.iter().copied(), model.block_size()).pooled(model, &tape, pooling).value();
        let rows = pooled.data().chunks_exact(model.width()).map(|row| (0..).zip(row.iter().copied()).collect());
        rows.collect::<Vec<_>>()
    };
    parallel::inside(|| texts.chunks(AT_ONCE).flat_map(some).collect())
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

    fn loss<'t>(&self, tape: &'t Tape<'t>, examples: &[usize], divisor: f64) -> Value<'t> {
        let texts = examples.iter().map(|&i| &self.examples[i].0[..]);
        let packed = Packed::new(texts, self.classifier.model.block_size());
        let mut labels = vec![IGNORE; examples.len()];
        labels.iter_mut().zip(examples).for_each(|(label, &i)| *label = self.examples[i].1 as u32);
        self.classifier.scores(tape, &packed, self.dropout).cross_entropy(&labels, divisor)
    }
}
