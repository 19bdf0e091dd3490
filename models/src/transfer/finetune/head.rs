//! What stands on top of a model for a task: the layers that `transformers` has there, with its names, so that a fine-tuned
//! directory opens in its `AutoModelForSequenceClassification`, `…TokenClassification` and `…QuestionAnswering` as it is.
//!
//! A label for each word, or the ends of an answer, is one linear layer over every position. A label for a text is read from
//! one position: the first of a BERT, `[CLS]`, through a layer with tanh (Devlin et al. 2019, section 4), or the last of a GPT,
//! which alone has seen all (Radford et al. 2018, section 3.2).
//!
//! A model that has learned nothing but to find hidden tokens never had a position that speaks for the whole text: the mean over
//! all positions says more, but these layers do not take it. So the mean is made a part of the model, [`begin_with_mean`]: one
//! more block, whose attention begins as the mean and may then learn what to look at.

use autograd::{Params, Scope};

use crate::bert::config::Form;
use crate::nn::{INITIAL_DEVIATION, Linear, Value};
use crate::{Config, Model};

use super::tuned::Kind;

/// The layers on top.
#[derive(Clone, Debug)]
pub struct Head {
    /// C → C with tanh, where a BERT's first position is read.
    dense: Option<Linear>,
    /// C → labels
    pub out: Linear,
}

impl Head {
    /// The layers for a task, under the names that `transformers` has for them.
    pub fn new(config: &Config, width: usize, kind: Kind, labels: usize, mut at: Scope) -> Self {
        let linear = |outputs, at: Scope| Linear::by_output(width, outputs, INITIAL_DEVIATION, at);
        let (dense, out) = match (kind, config) {
            (Kind::Tag, _) => (None, "classifier"),
            (Kind::Answer, _) => (None, "qa_outputs"),
            (Kind::Classify, Config::Bert(config)) if config.model_type == Form::PostNorm => {
                (Some("bert.pooler.dense"), "classifier")
            }
            (Kind::Classify, Config::Bert(_)) => (Some("classifier.dense"), "classifier.out_proj"),
            (Kind::Classify, Config::Gpt(_) | Config::Clip(_)) => {
                let out = Linear::without_bias(width, labels, INITIAL_DEVIATION, at.enter("score"));
                return Self { dense: None, out };
            }
        };
        let dense = dense.map(|name| linear(width, at.enter(name)));
        Self { dense, out: linear(labels, at.enter(out)) }
    }

    /// What the last layer reads: `[…, C]` → `[…, C]`
    pub fn read<'t>(&self, x: Value<'t>) -> Value<'t> {
        self.dense.as_ref().map_or(x, |dense| dense.forward(x).tanh())
    }

    /// Lets the layer with tanh begin as little more than a scale, with which features arrive as they are.
    pub fn begin_plain(&self, params: &mut Params) {
        if let Some(weight) = self.dense.as_ref().map(Linear::weight) {
            let width = params.shape(weight).cols();
            diagonal(params.value_mut(weight), width, IN_BOUNDS);
        }
    }
}

/// Where normed states, numbers around 1, stay in the nearly straight middle of tanh.
const IN_BOUNDS: f32 = 0.5;
/// How many times the mean of the states counts against what the position held before: it is to speak for the whole text.
const LOUD: f32 = 32.0;

/// The same sizes with a block more.
#[must_use]
pub fn deeper(config: &Config) -> Config {
    let mut config = config.clone();
    match &mut config {
        Config::Gpt(config) => config.n_layer += 1,
        Config::Bert(config) => config.num_hidden_layers += 1,
        Config::Clip(_) => unreachable!("a CLIP is not fine-tuned"),
    }
    config
}

/// Makes the last block of a model, which is new, hand on the mean of the states below it:
///
/// ```text
/// q = 0, so all scores are equal;  v = x;  x₀ ← x₀ + a·mean(x)  with a large a;  feed-forward: + 0
/// ```
///
/// and the norm behind it brings this back to the size of a state. Keys stay random, so that queries have a gradient. Where
/// norms come first, the block's own is the model's last, which states had on their way out before.
pub fn begin_with_mean(model: &Model, params: &mut Params) {
    let (style, width) = (model.styles()[0], model.width());
    let block = format!("{}.{}.", style.blocks, model.layers() - 1);
    let weight = |layer: &str| format!("{block}{layer}.weight");
    if let Some(last) = style.last_norm {
        for part in ["weight", "bias"] {
            let numbers = named(params, &format!("{last}.{part}")).to_vec();
            named(params, &format!("{block}{}.{part}", style.ln_1)).copy_from_slice(&numbers);
        }
    }
    match style.qkv {
        [all] => {
            for (i, row) in named(params, &weight(all)).chunks_exact_mut(3 * width).enumerate() {
                let (queries, values) = (0..width, 2 * width..3 * width); // columns of [C, 3C]
                row[queries].fill(0.0);
                row[values].fill(0.0);
                row[2 * width + i] = 1.0;
            }
        }
        [queries, _, values] => {
            named(params, &weight(queries)).fill(0.0);
            diagonal(named(params, &weight(values)), width, 1.0);
        }
        other => unreachable!("attention of {} layers", other.len()),
    }
    diagonal(named(params, &weight(style.attn_out)), width, LOUD);
    named(params, &weight(style.down)).fill(0.0);
}

/// The numbers of the tensor `name`.
fn named<'p>(params: &'p mut Params, name: &str) -> &'p mut [f32] {
    let place = params.pieces().find(|piece| piece.name == name).map(|piece| piece.place);
    &mut params.flat_mut()[place.unwrap_or_else(|| panic!("a model with blocks has {name}"))]
}

/// A square matrix with one number on its diagonal.
fn diagonal(matrix: &mut [f32], width: usize, number: f32) {
    matrix.fill(0.0);
    matrix.iter_mut().step_by(width + 1).for_each(|x| *x = number);
}

#[cfg(test)]
mod tests {
    use tokenizer::Tokenizer;

    use super::super::Recipe;
    use super::super::tuned::{Reading, Tuned};
    use super::*;
    use crate::bert::BertConfig;
    use crate::gpt::GptConfig;
    use crate::hub::pretrained::Pretrained;
    use crate::model::texts::{Pooling, pooled_states};

    #[test]
    fn a_block_that_begins_with_the_mean_says_what_the_mean_says() {
        let forms = [Form::PostNorm, Form::PreNorm, Form::Roberta];
        let berts = forms
            .map(|form| Config::Bert(BertConfig { initializer_range: 0.3, ..BertConfig::new(form, 30, 12, 2, 2, 16) }));
        let gpt = Config::Gpt(GptConfig { initializer_range: 0.3, ..GptConfig::new(30, 12, 2, 2, 16) });
        let texts: Vec<Vec<u32>> = [9, 4, 12].iter().map(|&n| (0..n).map(|i| (7 * i + n) % 30).collect()).collect();
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        for config in berts.into_iter().chain([gpt]) {
            let (model, params) = config.init(5);
            let means = pooled_states(&model, &params, Pooling::Mean, &texts);
            let from = Pretrained { model, params, tokenizer: Tokenizer::bytes() };
            let tuned = Tuned::new(&from, Kind::Classify, 3, Reading::Mean, &Recipe::default());
            assert_eq!(tuned.model.layers(), 3);
            let sees_all = if matches!(config, Config::Gpt(_)) { Pooling::Last } else { Pooling::First };
            let read = pooled_states(&tuned.model, &tuned.params, sees_all, &texts);
            for (mean, read) in means.data().chunks_exact(16).zip(read.data().chunks_exact(16)) {
                // The norm takes off the mean over channels.
                let middle = mean.iter().sum::<f32>() / 16.0;
                let [ab, aa, bb] = mean.iter().zip(read).fold([0.0f32; 3], |[ab, aa, bb], (a, b)| {
                    let a = a - middle;
                    [ab + a * b, aa + a * a, bb + b * b]
                });
                assert!(ab / (aa * bb).sqrt() > 0.98, "{config:?}: cosine {}", ab / (aa * bb).sqrt());
            }
        }
    }
}
