//! The models by one name: what training, checkpoints and commands ask of each of them. [`texts`] are whole texts through
//! a model.

pub mod texts;

use autograd::muon::Layout;
use autograd::{ParamId, Params, Scope, Tape};

use crate::bert::{Bert, BertConfig};
use crate::clip::{Clip, ClipConfig};
use crate::gpt::{Gpt, GptConfig};
use crate::nn::{Style, Value};
use crate::pretext::MicroBatch;

/// A model of text, or of texts and pictures.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a program holds a few of them, and does not move them about")]
pub enum Model {
    /// Sees what came before.
    Gpt(Gpt),
    /// Sees both sides.
    Bert(Bert),
    /// Sees pictures too.
    Clip(Clip),
}

/// Its sizes.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    /// GPT-2's.
    Gpt(GptConfig),
    /// BERT's.
    Bert(BertConfig),
    /// CLIP's.
    Clip(ClipConfig),
}

impl Config {
    /// The model and a store with its initial parameters, a function of `seed`.
    pub fn init(&self, seed: u64) -> (Model, Params) {
        Params::build(seed, |at| self.build(at))
    }

    /// The same model with one share for all dropouts.
    #[must_use]
    pub fn with_dropout(self, share: f64) -> Self {
        match self {
            Self::Gpt(config) => Self::Gpt(config.with_dropout(share)),
            Self::Bert(config) => Self::Bert(config.with_dropout(share)),
            Self::Clip(config) => Self::Clip(config.with_dropout(share)),
        }
    }

    /// The share that dropout drops of what each layer adds.
    pub fn dropout(&self) -> f64 {
        match self {
            Self::Gpt(config) => config.resid_pdrop,
            Self::Bert(config) => config.hidden_dropout_prob,
            Self::Clip(config) => config.vision_config.dropout,
        }
    }

    /// V: how many tokens it knows.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Gpt(config) => config.vocab_size,
            Self::Bert(config) => config.vocab_size,
            Self::Clip(config) => config.text_config.vocab_size,
        }
    }

    /// The model and a store full of zeros, to be filled from a checkpoint.
    pub fn build_zeroed(&self) -> (Model, Params) {
        Params::build_zeroed(|at| self.build(at))
    }

    /// The same without the head that pre-training needed.
    pub(crate) fn build_zeroed_body(&self) -> (Model, Params) {
        Params::build_zeroed(|at| self.build_body(at))
    }

    pub(crate) fn build(&self, at: Scope) -> Model {
        match self {
            Self::Gpt(config) => Model::Gpt(Gpt::new(config, at)),
            Self::Bert(config) => Model::Bert(Bert::new(config, at)),
            Self::Clip(config) => Model::Clip(Clip::new(config, at)),
        }
    }

    /// The model without the head that pre-training needed.
    pub(crate) fn build_body(&self, at: Scope) -> Model {
        match self {
            Self::Gpt(config) => Model::Gpt(Gpt::new(config, at)), // its head is its token table
            Self::Bert(config) => Model::Bert(Bert::body(config, at)),
            Self::Clip(config) => Model::Clip(Clip::new(config, at)),
        }
    }

    /// What is wrong with these sizes, as a sentence, if anything is.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Gpt(config) => config.check(),
            Self::Bert(config) => config.check(),
            Self::Clip(config) => config.check(),
        }
    }

    /// Floating-point operations of one training step for one token in a row of `time`; `shares` are those of the tokens
    /// whose last state is read, and whose token is guessed: with masked prediction, of those that it hides. For a model of
    /// pictures: for one picture with a caption of `time` tokens.
    pub fn flops_per_item(&self, time: usize, shares: [f64; 2]) -> f64 {
        match self {
            Self::Gpt(config) => config.flops_per_token(time),
            Self::Bert(config) => config.flops_per_token(time, shares),
            Self::Clip(config) => config.flops_per_pair(time),
        }
    }
}

/// Who asks a model for tokens or for the states of positions has opened one that has them.
const NO_TOKENS: &str = "a model of pictures gives vectors of whole texts";

impl Model {
    /// Its sizes.
    pub fn config(&self) -> Config {
        match self {
            Self::Gpt(model) => Config::Gpt(model.config.clone()),
            Self::Bert(model) => Config::Bert(model.config.clone()),
            Self::Clip(model) => Config::Clip(model.config.clone()),
        }
    }

    /// V: how many tokens it knows.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Gpt(model) => model.config.vocab_size,
            Self::Bert(model) => model.config.vocab_size,
            Self::Clip(model) => model.config.text_config.vocab_size,
        }
    }

    /// How many positions it sees.
    pub fn block_size(&self) -> usize {
        match self {
            Self::Gpt(model) => model.config.n_positions,
            Self::Bert(model) => model.config.block_size(),
            Self::Clip(model) => model.config.text_config.max_position_embeddings,
        }
    }

    /// C: the width of its hidden states; E of a model of pictures.
    pub fn width(&self) -> usize {
        match self {
            Self::Gpt(model) => model.config.n_embd,
            Self::Bert(model) => model.config.hidden_size,
            Self::Clip(model) => model.config.projection_dim,
        }
    }

    /// How many blocks it has; of a model of pictures those of its text encoder.
    pub fn layers(&self) -> usize {
        match self {
            Self::Gpt(model) => model.config.n_layer,
            Self::Bert(model) => model.config.num_hidden_layers,
            Self::Clip(model) => model.config.text_config.num_hidden_layers,
        }
    }

    /// The styles of its blocks: one of each encoder.
    pub(crate) fn styles(&self) -> Vec<&'static Style> {
        match self {
            Self::Gpt(_) => vec![&crate::gpt::STYLE],
            Self::Bert(model) => vec![model.config.style()],
            Self::Clip(_) => vec![&crate::clip::config::TEXT, &crate::clip::config::VISION],
        }
    }

    /// The matrices of the blocks, which Muon may move.
    pub fn matrices(&self, params: &Params) -> Vec<(ParamId, Layout)> {
        self.styles().iter().flat_map(|style| style.matrices(params)).collect()
    }

    /// Whether it has the head whose loss pre-training lowers.
    pub fn has_loss(&self) -> bool {
        !matches!(self, Self::Bert(bert) if !bert.has_head())
    }

    /// Σ −ln p(target) / divisor over the batch's targets, tokens or texts; with their number as divisor, nats of each.
    pub fn loss<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>, divisor: f64) -> Value<'t> {
        if let Some(pairs) = micro.pairs {
            return pairs.loss(self.hidden(tape, micro, None), divisor);
        }
        match self {
            Self::Gpt(model) => model.loss(tape, micro, divisor),
            Self::Bert(model) => model.loss(tape, micro, divisor),
            Self::Clip(model) => model.loss(tape, micro, divisor),
        }
    }

    /// Scores of every token at every position: `[B, T, V]`.
    pub fn logits<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>) -> Value<'t> {
        match self {
            Self::Gpt(model) => model.logits(tape, micro),
            Self::Bert(model) => model.logits(tape, micro),
            Self::Clip(_) => unreachable!("{NO_TOKENS}"),
        }
    }

    /// The last hidden states of a batch's rows: `[B, T, C]`, or `[M, C]` at the positions whose numbers are `at`, which costs
    /// less.
    pub fn hidden<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>, at: Option<&[u32]>) -> Value<'t> {
        match self {
            Self::Gpt(model) => model.hidden(tape, micro, at),
            Self::Bert(model) => model.hidden(tape, micro, at),
            Self::Clip(_) => unreachable!("{NO_TOKENS}"),
        }
    }
}
