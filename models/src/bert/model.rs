//! The BERT model: tables of tokens, positions and segments, blocks, and a head that finds hidden tokens again.

use autograd::{Gelu, IGNORE, Init, ParamId, Params, Scope, Tape};
use tensor::pool::Indices;

use super::BertConfig;
use super::config::Form;
use crate::nn::embedding::positions;
use crate::nn::{Block, Embedding, LayerNorm, Linear, Style, Value, through};
use crate::pretext::MicroBatch;

/// BERT's blocks as published.
pub const POST_NORM: Style = Style {
    norm_first: false,
    causal: false,
    by_output: true,
    blocks: "bert.encoder.layer",
    ln_1: "attention.output.LayerNorm",
    qkv: &["attention.self.query", "attention.self.key", "attention.self.value"],
    attn_out: "attention.output.dense",
    ln_2: "output.LayerNorm",
    last_norm: None,
    up: "intermediate.dense",
    down: "output.dense",
};

/// The same with the norms before the layers.
pub const PRE_NORM: Style = Style {
    norm_first: true,
    blocks: "roberta_prelayernorm.encoder.layer",
    ln_1: "attention.LayerNorm",
    ln_2: "intermediate.LayerNorm",
    last_norm: Some("roberta_prelayernorm.LayerNorm"),
    ..POST_NORM
};

/// RoBERTa's (Liu et al. 2019): BERT's under another name.
pub const ROBERTA: Style = Style { blocks: "roberta.encoder.layer", ..POST_NORM };

/// What the names of the head's parameters begin with, in the published form and in RoBERTa's two.
pub const HEADS: [&str; 2] = ["cls.predictions", "lm_head"];

/// BERT (Devlin et al. 2019), with the parameter names of Hugging Face's checkpoint.
#[derive(Clone, Debug)]
pub struct Bert {
    /// Sizes and rates.
    pub config: BertConfig,
    words: Embedding,     // tokens [V, C]
    positions: Embedding, // positions [P, C]
    segments: Embedding,  // kinds of segments [S, C], two as published
    norm: LayerNorm,
    layers: Vec<Block>,
    /// After the last block, where the blocks have their norms first.
    last_norm: Option<LayerNorm>,
    /// What pre-training needs, and nobody else.
    head: Option<Head>,
}

/// What turns hidden states into scores of tokens: a layer of its own, and then the token table with a bias.
#[derive(Clone, Debug)]
struct Head {
    dense: Linear, // C → C
    norm: LayerNorm,
    bias: ParamId, // [V]
}

impl Bert {
    /// The model in a scope; its parameters are "bert.embeddings.word_embeddings.weight", …, "cls.predictions.bias", or
    /// "roberta_prelayernorm.…" and "lm_head.…" in the pre-norm form, "roberta.…" and "lm_head.…" in RoBERTa's.
    pub fn new(c: &BertConfig, mut at: Scope) -> Self {
        let body = Self::body(c, at.here());
        let (width, sigma) = (c.hidden_size, c.initializer_range);
        let [scope, dense, norm] = match c.model_type {
            Form::PostNorm => [HEADS[0], "transform.dense", "transform.LayerNorm"],
            Form::PreNorm | Form::Roberta => [HEADS[1], "dense", "layer_norm"],
        };
        let mut at = at.enter(scope);
        let head = Head {
            bias: at.param("bias", [c.vocab_size], Init::Zeros),
            dense: Linear::by_output(width, width, sigma, at.enter(dense)),
            norm: LayerNorm::new(width, c.layer_norm_eps, at.enter(norm)),
        };
        Self { head: Some(head), ..body }
    }

    /// The model without the head that finds hidden tokens: texts to hidden states.
    pub fn body(c: &BertConfig, mut at: Scope) -> Self {
        let (width, sigma, epsilon) = (c.hidden_size, c.initializer_range, c.layer_norm_eps);
        let pre_norm = c.model_type == Form::PreNorm;
        let root = match c.model_type {
            Form::PostNorm => "bert",
            Form::PreNorm => "roberta_prelayernorm",
            Form::Roberta => "roberta",
        };
        let blocks = c.style().blocks;
        let mut embeddings = at.enter(format!("{root}.embeddings"));
        let words = Embedding::new(c.vocab_size, width, sigma, embeddings.enter("word_embeddings"));
        let positions =
            Embedding::new(c.max_position_embeddings, width, sigma, embeddings.enter("position_embeddings"));
        let segments = Embedding::new(c.type_vocab_size, width, sigma, embeddings.enter("token_type_embeddings"));
        let norm = LayerNorm::new(width, epsilon, embeddings.enter("LayerNorm"));
        let layers = (0..c.num_hidden_layers).map(|i| Block::new(&c.block(), at.enter(blocks).enter(i))).collect();
        let last_norm = pre_norm.then(|| LayerNorm::new(width, epsilon, at.enter(root).enter("LayerNorm")));
        Self { config: c.clone(), words, positions, segments, norm, layers, last_norm, head: None }
    }

    /// The model and a store with its initial parameters, a function of `seed`.
    pub fn init(config: &BertConfig, seed: u64) -> (Self, Params) {
        Params::build(seed, |at| Self::new(config, at))
    }

    /// The last hidden states of B rows of T tokens: `[B, T, C]`, or `[M, C]` at the positions whose numbers are `at`.
    pub fn hidden<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>, at: Option<&[u32]>) -> Value<'t> {
        let MicroBatch { ids, position_ids, segments, rows, .. } = micro;
        let (time, block, first) = (ids.len() / rows, self.config.block_size(), self.config.first_position() as u32);
        assert!(time <= block, "{time} tokens for a block size of {block}");
        let positions = positions(ids.len(), time, position_ids, first);
        let mut kinds = Indices::scratch(ids.len());
        match segments {
            Some(given) => kinds.copy_from_slice(given),
            None => kinds.fill(0),
        }
        let x = self.words.forward(tape, ids, rows) + self.positions.forward(tape, &positions, rows);
        let x = x + self.segments.forward(tape, &kinds, rows); // [B, T, C]
        let x = self.norm.forward(x).dropout(self.config.hidden_dropout_prob);
        let x = through(&self.layers, x, position_ids, at);
        self.last_norm.as_ref().map_or(x, |norm| norm.forward(x))
    }

    /// What the head makes of hidden states before it compares them with the token table: `[…, C]` → `[…, C]`
    fn transform<'t>(&self, x: Value<'t>) -> Value<'t> {
        let gelu = match self.config.model_type {
            Form::PostNorm => self.config.hidden_act.into(),
            Form::PreNorm | Form::Roberta => Gelu::Exact, // whatever the blocks have
        };
        self.head().norm.forward(self.head().dense.forward_gelu(x, gelu))
    }

    /// Whether it can be asked for tokens.
    pub fn has_head(&self) -> bool {
        self.head.is_some()
    }

    fn head(&self) -> &Head {
        self.head.as_ref().expect("a model that is asked for tokens has its head")
    }

    /// Scores of every token for hidden states: `[…, C]` → `[…, V]`, through the token table (input and output are tied).
    fn score<'t>(&self, x: Value<'t>) -> Value<'t> {
        let tape = x.tape();
        self.transform(x).linear_t(self.words.table(tape), Some(tape.param(self.head().bias)))
    }

    /// Scores of every token at every position: `[B, T, V]`.
    pub fn logits<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>) -> Value<'t> {
        self.score(self.hidden(tape, micro, None))
    }

    /// The hidden states of the positions that have a target, `[M, C]`, and these targets.
    fn hidden_targets<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>) -> (Value<'t>, Indices) {
        let chosen = || micro.targets.iter().enumerate().filter(|(_, target)| **target != IGNORE);
        let n = chosen().count();
        let (mut at, mut targets) = (Indices::scratch(n), Indices::scratch(n));
        for (i, (position, target)) in chosen().enumerate() {
            (at[i], targets[i]) = (position as u32, *target);
        }
        (self.hidden(tape, micro, Some(&at)), targets)
    }

    /// Σ −ln p(target) / divisor over the batch's targets. The last block and the head run for these positions alone, one in
    /// seven or so.
    pub fn loss<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>, divisor: f64) -> Value<'t> {
        let (x, targets) = self.hidden_targets(tape, micro);
        self.transform(x).lm_head(self.words.table(tape), Some(tape.param(self.head().bias)), &targets, divisor)
    }

    /// Scores of every token at the positions that have a target, `[M, V]`, and these targets.
    pub fn target_logits<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>) -> (Value<'t>, Indices) {
        let (x, targets) = self.hidden_targets(tape, micro);
        (self.score(x), targets)
    }
}
