//! The GPT-2 model: token and position tables, blocks, a last norm, and the token table again as output.

use autograd::{Params, Scope, Tape};
use tensor::Tensor;
use tensor::matmul::Precision;

use super::GptConfig;
use crate::nn::attention::Cache;
use crate::nn::embedding::positions;
use crate::nn::{Block, Embedding, LayerNorm, Style, Value, through};
use crate::pretext::MicroBatch;

/// GPT-2's blocks.
pub const STYLE: Style = Style {
    norm_first: true,
    causal: true,
    by_output: false,
    blocks: "h",
    ln_1: "ln_1",
    qkv: &["attn.c_attn"],
    attn_out: "attn.c_proj",
    ln_2: "ln_2",
    last_norm: Some("ln_f"),
    up: "mlp.c_fc",
    down: "mlp.c_proj",
};

/// GPT-2 (Radford et al. 2019), with the parameter names of Hugging Face's checkpoint.
#[derive(Clone, Debug)]
pub struct Gpt {
    /// Sizes and rates.
    pub config: GptConfig,
    wte: Embedding, // tokens [V, C]
    wpe: Embedding, // positions [block, C]
    h: Vec<Block>,
    ln_f: LayerNorm,
}

impl Gpt {
    /// The model in a scope; its parameters are "wte.weight", "wpe.weight", "h.0.ln_1.weight", …, "ln_f.bias".
    pub fn new(c: &GptConfig, mut at: Scope) -> Self {
        Self {
            config: c.clone(),
            wte: Embedding::new(c.vocab_size, c.n_embd, c.initializer_range, at.enter("wte")),
            wpe: Embedding::new(c.n_positions, c.n_embd, c.initializer_range, at.enter("wpe")),
            h: (0..c.n_layer).map(|i| Block::new(&c.block(), at.enter(STYLE.blocks).enter(i))).collect(),
            ln_f: LayerNorm::new(c.n_embd, c.layer_norm_epsilon, at.enter("ln_f")),
        }
    }

    /// The model and a store with its initial parameters, a function of `seed`.
    pub fn init(config: &GptConfig, seed: u64) -> (Self, Params) {
        Params::build(seed, |at| Self::new(config, at))
    }

    /// The last hidden states of B rows of T tokens: `[B, T, C]`, or `[M, C]` at the positions whose numbers are `at`.
    pub fn hidden<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>, at: Option<&[u32]>) -> Value<'t> {
        let MicroBatch { ids, position_ids, rows, .. } = micro;
        let time = ids.len() / rows;
        assert!(time <= self.config.n_positions, "{time} tokens for a block size of {}", self.config.n_positions);
        let positions = positions(ids.len(), time, position_ids, 0);
        let x = self.wte.forward(tape, ids, rows) + self.wpe.forward(tape, &positions, rows); // [B, T, C]
        let x = x.dropout(self.config.embd_pdrop);
        self.ln_f.forward(through(&self.h, x, position_ids, at))
    }

    /// Scores of every token at every position: `[B, T, V]`, through the token table (input and output are tied).
    pub fn logits<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>) -> Value<'t> {
        self.hidden(tape, micro, None).linear_t(self.wte.table(tape), None)
    }

    /// Σ −ln p(target) / divisor over the batch's targets; with the number of targets as divisor, nats a token.
    pub fn loss<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>, divisor: f64) -> Value<'t> {
        let x = self.hidden(tape, micro, None); // [B, T, C]
        x.lm_head(self.wte.table(tape), None, micro.targets, divisor)
    }

    /// Keeps the weights of such a model at half the width too, as generation reads them fastest.
    pub fn halve(params: &mut Params) {
        let stored_by_input = STYLE.matrices(params).into_iter().map(|(id, _)| id).collect();
        params.halve(stored_by_input);
    }

    /// Scores of every token after the last of `ids`, which continue what the cache holds: `[1, V]`.
    ///
    /// In bf16 if the store holds its weights at half the width. Panics if cache and ids together exceed the block size.
    pub fn next_logits(&self, params: &Params, ids: &[u32], cache: &mut KeyValueCache) -> Tensor {
        let precision = if params.halved() { Precision::Bf16 } else { Precision::Full };
        let tape = Tape::no_grad(params).with_precision(precision);
        let past = cache.len();
        assert!(past + ids.len() <= self.config.n_positions, "{past} + {} tokens exceed the block size", ids.len());
        let positions: Vec<u32> = (past as u32..(past + ids.len()) as u32).collect();
        let x = self.wte.forward(&tape, ids, 1) + self.wpe.forward(&tape, &positions, 1); // [1, T, C]
        let blocks = self.h.iter().zip(&mut cache.layers);
        let x = blocks.fold(x, |x, (block, cache)| tape.scope(|| block.extend(x, cache)));
        let last = x.value().row(ids.len() - 1); // [1, C]
        let x = self.ln_f.forward(tape.constant(last));
        x.linear_t(self.wte.table(&tape), None).value()
    }
}

/// The keys and values of every layer for the positions so far.
#[derive(Clone, Debug)]
pub struct KeyValueCache {
    layers: Vec<Cache>,
}

impl KeyValueCache {
    /// An empty cache for a model.
    pub fn new(config: &GptConfig) -> Self {
        Self { layers: vec![Cache::new(config.n_positions, config.n_embd); config.n_layer] }
    }

    /// How many positions it holds.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, Cache::len)
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all positions.
    pub fn clear(&mut self) {
        self.layers.iter_mut().for_each(Cache::clear);
    }
}
