//! Fine-tuning: a pre-trained model gets a small layer on top and learns a task from labelled examples.
//!
//! The new layer begins with small random weights (that of a classifier with what fits the first states), the rest where
//! pre-training left it. All of it is trained, the lower layers more slowly: what they know serves any task (layer-wise decay
//! of the learning rate, Howard and Ruder 2018, section 3.2). The rate rises over the first steps and falls in a straight line
//! to zero. Where there are examples to validate on, the best weights on the way are kept, and training ends when they have not
//! improved for some time.
//!
//! - [`classify`]: a label for a text.
//! - [`tag`]: a label for each word, which [`words`] makes ids of. [`answer`]: a passage that answers a question.
//!   [`windows`]: what a model sees of the question and the text.
//! - [`examples`]: from labelled texts to what is learned from. [`head`]: the layers on top. [`tuned`]: a model with them, and
//!   its directory. [`trials`]: all of it with several seeds.

use autograd::{AdamW, AdamWOptions, DropoutKey, Gradients, Params, Schedule, Tape, schedule::Shape};
use tensor::matmul::Precision;
use tensor::parallel;
use tensor::random::{Random, Stream};

use self::tuned::Tuned;
use crate::Model;
use crate::error::{Error, Result};
use crate::nn::Value;
use crate::train::options::good;

pub mod answer;
pub mod classify;
pub mod examples;
pub mod head;
pub mod tag;
pub mod trials;
pub mod tuned;
pub mod windows;
pub mod words;

/// How a task is learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Passes over the examples.
    pub epochs: u64,
    /// Steps, if the passes would be fewer: a handful of examples needs many passes.
    pub least_steps: u64,
    /// Examples of a step.
    pub batch_size: usize,
    /// Full learning rate of the new layer.
    pub lr: f64,
    /// Each layer's rate as a share of the one above it.
    pub layer_decay: f64,
    /// The share of the steps over which the rate rises.
    pub warmup: f64,
    /// The share that dropout drops.
    pub dropout: f64,
    /// Decay of matrices.
    pub weight_decay: f64,
    /// What matrix products do with their operands.
    pub precision: Precision,
    /// Passes without improvement on the validation examples after which training ends; a third of all passes, if that is more.
    pub patience: u64,
    /// What makes one run different from another with the same options.
    pub seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 10,
            least_steps: 200,
            batch_size: 16,
            lr: 1e-3,
            layer_decay: 0.9,
            warmup: 0.1,
            dropout: 0.1,
            weight_decay: 0.01,
            precision: Precision::Full,
            patience: 3,
            seed: 1,
        }
    }
}

impl Recipe {
    /// The passes and the least steps of who gives one of these, both or neither. `usual` are the least steps of the task, which
    /// count where nobody says how many passes there are to be.
    #[must_use]
    pub fn with_passes(self, epochs: Option<u64>, least_steps: Option<u64>, usual: u64) -> Self {
        let least_steps = least_steps.unwrap_or(if epochs.is_some() { 1 } else { usual });
        Self { epochs: epochs.unwrap_or(self.epochs), least_steps, ..self }
    }

    /// An error if one of its shares or its rate is none.
    pub fn check(&self) -> Result<()> {
        /// More than this dropout leaves nothing to learn from.
        const MOST_DROPOUT: f64 = 0.9;
        let Self { lr, layer_decay, dropout, .. } = *self;
        good([
            ("lr", lr, lr > 0.0 && lr.is_finite(), "more than 0, such as 1e-3"),
            (
                "layer-decay",
                layer_decay,
                layer_decay > 0.0 && layer_decay <= 1.0,
                "more than 0 (below the new layer \
                nothing would learn), and 1 at most",
            ),
            ("dropout", dropout, (0.0..=MOST_DROPOUT).contains(&dropout), &format!("a share from 0 to {MOST_DROPOUT}")),
        ])
    }
}

/// Something to be learned from labelled examples.
pub trait Task: Sync {
    /// How many examples there are.
    fn examples(&self) -> usize;
    /// The model that learns, with the weights that it had before.
    fn tuned(&self) -> Option<&Tuned> {
        None
    }
    /// The losses of some examples, summed, divided by `divisor`.
    fn loss<'t>(&self, tape: &'t Tape<'t>, examples: &[usize], divisor: f64) -> Value<'t>;
}

/// Who looks on.
pub trait Watch {
    /// Is told of each pass over the examples: its number, the mean loss, and the score if there is one.
    fn pass(&mut self, number: u64, loss: f64, score: Option<f64>);
    /// Is told after each pass what would be kept if it ended here: the weights `best` of this model.
    fn kept(&mut self, _of: &Tuned, _best: &Params) {}
    /// Whether to end here; asked before each step.
    fn stop(&self) -> bool {
        false
    }
}

impl<F: FnMut(u64, f64, Option<f64>)> Watch for F {
    fn pass(&mut self, number: u64, loss: f64, score: Option<f64>) {
        self(number, loss, score);
    }
}

/// How it went.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Fitted {
    /// Steps made.
    pub steps: u64,
    /// Whether it was told to end before it was through.
    pub stopped: bool,
    /// The best validation score, if there was one.
    pub best: Option<f64>,
    /// The pass after which it was reached: its weights are kept.
    pub best_pass: Option<u64>,
    /// The mean loss of the last whole pass, if there was one.
    pub loss: Option<f64>,
    /// Why it ended early, where the best weights by then are kept: a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// Trains `params` on a task. `pace` is each parameter's share of the learning rate, by its name. `score` says after each
/// pass how good they are on other examples, if there are any (a larger score is better); the best are kept. If `watch` says
/// stop, or the loss is no number any more, these are the best so far; at a stop without any, the last.
///
/// Errors: a loss that is no number any more, before there are weights to keep.
pub fn fit(
    task: &impl Task,
    params: &mut Params,
    recipe: &Recipe,
    pace: impl Fn(&str) -> f64,
    mut score: impl FnMut(&Params) -> Option<f64>,
    mut watch: impl Watch,
) -> Result<Fitted> {
    let n = task.examples();
    let a_pass = n.div_ceil(recipe.batch_size) as u64;
    let passes = recipe.epochs.max(recipe.least_steps.div_ceil(a_pass));
    let steps = passes * a_pass;
    let warmup = (recipe.warmup * steps as f64) as u64;
    let schedule =
        Schedule { lr: recipe.lr, min_lr: 0.0, warmup, steps, shape: Shape::WarmupStableDecay(1.0 - recipe.warmup) };
    let options = AdamWOptions { beta2: 0.98, weight_decay: recipe.weight_decay, ..AdamWOptions::default() };
    let mut optimizer = AdamW::paced(params, options, |id| pace(params.name(id)));
    let mut gradients = Gradients::new(params);
    let mut fitted = Fitted { steps: 0, stopped: false, best: None, best_pass: None, loss: None, broken: None };
    let mut kept = None;
    'passes: for pass in 0..passes {
        let order = shuffled(n, recipe.seed, pass);
        let mut total = 0.0;
        for examples in order.chunks(recipe.batch_size) {
            if watch.stop() {
                fitted.stopped = true;
                break 'passes;
            }
            let at = [recipe.seed, fitted.steps];
            let loss = gradient(task, params, &mut gradients, examples, at, recipe.precision);
            let norm = optimizer.step(params, &gradients, schedule.at(fitted.steps));
            fitted.steps += 1;
            match check(fitted.steps, loss, norm) {
                Err(error) if kept.is_some() => {
                    fitted.broken = Some(error.to_string());
                    break 'passes;
                }
                checked => checked?,
            }
            total += loss * examples.len() as f64;
        }
        let loss = total / n as f64;
        fitted.loss = Some(loss);
        let now = score(params);
        watch.pass(pass + 1, loss, now);
        if now.is_some() && (fitted.best.is_none() || now > fitted.best) {
            (fitted.best, fitted.best_pass) = (now, Some(pass + 1));
            kept = Some(params.clone());
        }
        if let Some(tuned) = task.tuned() {
            watch.kept(tuned, kept.as_ref().unwrap_or(params));
        }
        let since = pass + 1 - fitted.best_pass.unwrap_or(0);
        if now.is_some() && since >= recipe.patience.max(passes.div_ceil(3)) {
            break;
        }
    }
    if let Some(best) = kept {
        *params = best;
    }
    Ok(fitted)
}

/// A loss or gradient that is no number ends it.
fn check(step: u64, loss: f64, norm: f64) -> Result<()> {
    if loss.is_finite() && norm.is_finite() {
        return Ok(());
    }
    Err(Error::Training(format!(
        "step {step} of the fine-tuning: the loss is {loss} and the gradient's norm {norm}; a smaller --lr usually helps"
    )))
}

/// The mean loss of some examples and its gradient at (seed, step), in two halves side by side: one after the other, a small
/// model's threads would mostly wait for each other.
fn gradient(
    task: &impl Task,
    params: &Params,
    gradients: &mut Gradients,
    examples: &[usize],
    [seed, step]: [u64; 2],
    precision: Precision,
) -> f64 {
    let part = |examples: &[usize], half: u64, gradients: &mut Gradients| {
        // Texts are laid one behind the other, as many in a row as it happens: so no row of the first half says where the
        // second's masks would begin, and each half has masks of its own.
        let key = DropoutKey { seed, step: 2 * step + half, first_row: 0 };
        let tape = Tape::new(params).with_precision(precision).with_dropout(key);
        let loss = task.loss(&tape, examples, 1.0);
        loss.backward(gradients);
        f64::from(loss.item())
    };
    gradients.clear();
    let (first, second) = examples.split_at(examples.len().div_ceil(2));
    let loss = if second.is_empty() {
        part(first, 0, gradients)
    } else {
        let mut others = gradients.another();
        let (a, b) = parallel::both(|| part(first, 0, gradients), || part(second, 1, &mut others));
        gradients.add(&others);
        a + b
    };
    gradients.scale(1.0 / examples.len() as f64);
    loss / examples.len() as f64
}

/// The numbers below n in an order that depends on (seed, pass) alone.
fn shuffled(n: usize, seed: u64, pass: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    Random::new(seed, Stream::Data, pass).shuffle(&mut order);
    order
}

/// Each parameter's share of the learning rate: 1 for what stands on top of the last block, and less by one factor for
/// each block below.
pub(super) fn layerwise(model: &Model, decay: f64) -> impl Fn(&str) -> f64 {
    let (blocks, layers) = (format!("{}.", model.styles()[0].blocks), model.layers());
    move |name: &str| {
        let block = name.strip_prefix(&blocks).and_then(|rest| rest.split('.').next()?.parse::<i32>().ok());
        let below = match block {
            Some(block) => layers as i32 - block,
            None if name.contains("embed") || name.starts_with("wte") || name.starts_with("wpe") => layers as i32 + 1,
            None => 0,
        };
        decay.powi(below)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use autograd::{Init, ParamId};
    use tensor::Tensor;

    use super::*;
    use crate::Config;
    use crate::bert::BertConfig;
    use crate::bert::config::Form;
    use crate::gpt::GptConfig;

    /// A single number, which learning lowers without end.
    struct Lower(ParamId);

    impl Task for Lower {
        fn examples(&self) -> usize {
            4
        }

        fn loss<'t>(&self, tape: &'t Tape<'t>, _: &[usize], _: f64) -> Value<'t> {
            tape.param(self.0).sum()
        }
    }

    #[test]
    fn the_best_weights_on_the_way_are_kept_and_learning_ends_when_they_get_no_better() {
        // Passes of one step each; three passes, or a third of all, without a better one are enough.
        let recipe = Recipe { epochs: 9, least_steps: 1, patience: 3, ..Recipe::default() };
        for (scores, best_pass, passes) in [
            (vec![Some(0.1), Some(0.9), Some(0.9), Some(0.2), Some(0.8)], 2, 5),
            (vec![Some(0.5), Some(0.4), Some(0.3), Some(0.6), Some(0.1), Some(0.1), Some(0.1)], 4, 7),
            ((1..=9).map(|pass| Some(f64::from(pass))).collect(), 9, 9),
            (vec![None; 9], 9, 9),
        ] {
            let (id, mut params) = Params::build(1, |mut scope| scope.param("x", [1], Init::Ones));
            let mut after = Vec::new();
            let score = |params: &Params| {
                after.push(params.value(id)[0]);
                scores[after.len() - 1]
            };
            let mut told = Vec::new();
            let watch = |pass, _, score: Option<f64>| told.push((pass, score));
            let fitted = fit(&Lower(id), &mut params, &recipe, |_| 1.0, score, watch).unwrap();
            assert_eq!((after.len(), fitted.steps), (passes, passes as u64), "{scores:?}");
            assert!(after.is_sorted_by(|before, after| before > after), "each pass is another: {after:?}");
            assert_eq!(params.value(id)[0], after[best_pass - 1], "{scores:?}");
            assert_eq!(fitted.best, scores[best_pass - 1]);
            assert_eq!(fitted.best_pass, fitted.best.map(|_| best_pass as u64));
            assert_eq!(told, (1..).zip(scores).take(passes).collect::<Vec<_>>());
        }
    }

    /// As [`Lower`], until it has been lowered below a half.
    struct Breaks(ParamId);

    impl Task for Breaks {
        fn examples(&self) -> usize {
            4
        }

        fn loss<'t>(&self, tape: &'t Tape<'t>, _: &[usize], _: f64) -> Value<'t> {
            let x = tape.param(self.0);
            let broken = x.value().data()[0] < 0.5;
            if broken { tape.variable(Tensor::filled([1], f32::NAN)).sum() } else { x.sum() }
        }
    }

    #[test]
    fn what_was_best_before_the_loss_is_no_number_is_kept_and_where_there_is_nothing_it_is_an_error() {
        let recipe = Recipe { epochs: 9, least_steps: 1, lr: 0.2, ..Recipe::default() };
        let learned = |score: Option<f64>| {
            let (id, mut params) = Params::build(1, |mut scope| scope.param("x", [1], Init::Ones));
            let fitted =
                fit(&Breaks(id), &mut params, &recipe, |_| 1.0, |_| score, |_: u64, _: f64, _: Option<f64>| {});
            (params.value(id)[0], fitted)
        };
        let (x, fitted) = learned(Some(0.7));
        let fitted = fitted.unwrap();
        assert!(x > 0.5 && fitted.best_pass == Some(1) && !fitted.stopped, "{x}: {fitted:?}");
        assert!(fitted.broken.is_some_and(|said| said.contains("the loss is NaN")));
        assert!(learned(None).1.unwrap_err().to_string().contains("the loss is NaN"));
    }

    #[test]
    fn each_block_learns_more_slowly_than_the_one_above_it_and_the_tables_most_slowly() {
        let [post, pre] =
            [Form::PostNorm, Form::PreNorm].map(|form| Config::Bert(BertConfig::new(form, 99, 8, 3, 1, 8)));
        for (config, blocks, tables) in [
            (Config::Gpt(GptConfig::new(99, 8, 3, 1, 8)), "h.", &["wte", "wpe"][..]),
            (post, "encoder.layer.", &["embeddings."]),
            (pre, "encoder.layer.", &["embeddings."]),
        ] {
            let (model, params) = config.init(1);
            let pace = layerwise(&model, 0.5);
            let layers = model.layers() as i32;
            let mut seen = [0; 3];
            for name in params.ids().map(|id| params.name(id)) {
                let (kind, below) = match name.split_once(blocks) {
                    Some((_, rest)) => (0, layers - rest.split('.').next().unwrap().parse::<i32>().unwrap()),
                    None if tables.iter().any(|table| name.contains(table)) => (1, layers + 1),
                    None => (2, 0),
                };
                seen[kind] += 1;
                assert_eq!(pace(name), 0.5f64.powi(below), "{name}");
            }
            assert!(seen.iter().all(|&n| n > 0), "{seen:?}");
            assert_eq!(pace("classifier.weight"), 1.0);
        }
    }

    /// Drops half of as many ones as its examples are long: what is left, for each half of a step.
    struct Dropped(Mutex<Vec<Vec<f32>>>);

    impl Task for Dropped {
        fn examples(&self) -> usize {
            16
        }

        fn loss<'t>(&self, tape: &'t Tape<'t>, examples: &[usize], divisor: f64) -> Value<'t> {
            let long = if examples.contains(&0) { 1000 } else { 100 };
            let left = tape.variable(Tensor::filled([examples.len(), long], 1.0 / divisor as f32)).dropout(0.5);
            self.0.lock().unwrap().push(left.value().data().to_vec());
            left.sum()
        }
    }

    #[test]
    fn no_two_examples_of_a_step_and_no_two_steps_share_a_part_of_their_masks() {
        let (task, params) = (Dropped(Mutex::default()), Params::default());
        let all: Vec<usize> = (0..task.examples()).collect();
        for step in 0..3 {
            gradient(&task, &params, &mut Gradients::new(&params), &all, [1, step], Precision::Full);
        }
        let masks = task.0.into_inner().unwrap();
        assert_eq!(masks.iter().map(Vec::len).max(), Some(8000));
        let pieces: Vec<&[f32]> = masks.iter().flat_map(|mask| mask.chunks_exact(100)).collect();
        for (i, mask) in masks.iter().enumerate() {
            let found = |window: &[f32]| pieces.iter().filter(|piece| **piece == window).count();
            let shared: usize = mask.windows(100).map(found).sum();
            assert_eq!(shared, mask.len() / 100, "half {i} finds its own pieces, and no others");
        }
    }
}
