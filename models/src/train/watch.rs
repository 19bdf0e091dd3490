//! How a program looks on while a model trains.

use super::metrics::Metric;

/// What a run is going to do, said before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What kind of model.
    pub model: &'static str,
    /// Numbers that the model learns.
    pub parameters: usize,
    /// Tokens, or pairs, to train on; `None` where there is no end of them.
    pub train_tokens: Option<u64>,
    /// Tokens, or pairs, to validate on.
    pub val_tokens: u64,
    /// Where the data comes from.
    pub data: String,
    /// Memory that the run will need at most, about, in bytes.
    pub memory: usize,
    /// What the data is counted in: `token` or `pair`.
    pub counted: &'static str,
    /// What a loss is stated for: `token`, `text` or `pair`.
    pub item: &'static str,
    /// Nats an item of knowing nothing.
    pub uniform: f64,
    /// The same in validation, where fewer may be told apart, if there are fewer than a batch has; less where some are alike.
    pub val_uniform: f64,
    /// Nats a token of knowing how often each token occurs; `None` where no token is predicted.
    pub unigram: Option<f64>,
    /// Nats an item that no model can beat, where known.
    pub floor: Option<f64>,
    /// The first step: more than 0 when resumed.
    pub first_step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Tokens of a step; about, where its texts are of any length.
    pub step_tokens: usize,
    /// Floating-point operations of a step.
    pub step_flops: f64,
    /// What its matrix products do with their operands.
    pub precision: tensor::matmul::Precision,
}

/// Someone who looks on. All methods but [`Watch::stop`] only listen.
pub trait Watch {
    /// The run is about to begin.
    fn plan(&mut self, _plan: &Plan) {}
    /// Something worth a sentence.
    fn note(&mut self, _sentence: &str) {}
    /// A step was made.
    fn progress(&mut self, _made: &Metric) {}
    /// Whether to save and end after this step.
    fn stop(&self) -> bool {
        false
    }
}

/// Nobody looks on.
impl Watch for () {}
