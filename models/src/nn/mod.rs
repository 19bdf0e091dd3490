//! The layers that all models share, each a handle to its parameters and a formula.
//!
//! A layer is built in a [`autograd::Scope`], which gives its parameters the names of the checkpoint, and is applied
//! to a [`Var`]: `y = layer.forward(x)`. The numbers stay in the store, so a layer is small and `Clone`.
//!
//! In reading order: [`linear`], [`norm`], [`embedding`], [`attention`], [`mlp`], [`block`].

pub mod attention;
pub mod block;
pub mod embedding;
pub mod linear;
pub mod mlp;
pub mod norm;

pub use attention::Attention;
pub use block::{Block, through};
pub use embedding::Embedding;
pub use linear::Linear;
pub use mlp::Mlp;
pub use norm::LayerNorm;

use autograd::muon::Layout;
use autograd::{Gelu, ParamId, Params, Scope, Var};
use serde::{Deserialize, Serialize};

/// How a family of models orders, stores and names the layers of a block.
#[derive(Debug, PartialEq)]
pub struct Style {
    /// Each layer's norm comes before it, on its own branch (GPT-2), or after the sum (Vaswani et al. 2017; BERT).
    pub norm_first: bool,
    /// A position sees itself and those before it, or all.
    pub causal: bool,
    /// Weights are stored `[outputs, inputs]`.
    pub by_output: bool,
    /// The scope in which the blocks stand, by their number.
    pub blocks: &'static str,
    /// The norm of the attention layer.
    pub ln_1: &'static str,
    /// Queries, keys and values: one layer, or three.
    pub qkv: &'static [&'static str],
    /// What follows the heads.
    pub attn_out: &'static str,
    /// The norm of the feed-forward layer.
    pub ln_2: &'static str,
    /// The norm behind the last block, where norms come first.
    pub last_norm: Option<&'static str>,
    /// The feed-forward layer's first part.
    pub up: &'static str,
    /// And its second.
    pub down: &'static str,
}

impl Style {
    /// A linear layer of this style.
    fn linear(&self, inputs: usize, outputs: usize, deviation: f64, at: Scope) -> Linear {
        let new = if self.by_output { Linear::by_output } else { Linear::by_input };
        new(inputs, outputs, deviation, at)
    }

    /// The matrices of the blocks, which Muon may move: those between hidden states. (Tables and vectors are not among
    /// them.)
    pub fn matrices(&self, params: &Params) -> Vec<(ParamId, Layout)> {
        let blocks = format!("{}.", self.blocks);
        let between = |&id: &ParamId| params.name(id).starts_with(&blocks) && params.shape(id).len() == 2;
        let stored = if self.by_output { Layout::ByOutput } else { Layout::ByInput };
        let parts = |id| if params.name(id).contains(self.qkv[0]) { 3 } else { 1 };
        params.ids().filter(between).map(|id| (id, stored(parts(id)))).collect()
    }
}

/// The gate of the feed-forward layers, by the names that config.json has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// x·σ(1.702·x), CLIP's as published.
    #[serde(rename = "quick_gelu")]
    Quick,
    /// x·Φ(x), BERT's.
    #[serde(rename = "gelu", alias = "gelu_python")]
    Exact,
    /// With tanh in the place of Φ, GPT-2's; all of these compute the same.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_fast", alias = "gelu_accurate")]
    Tanh,
}

impl From<Act> for Gelu {
    fn from(act: Act) -> Self {
        match act {
            Act::Quick => Self::Quick,
            Act::Exact => Self::Exact,
            Act::Tanh => Self::Tanh,
        }
    }
}

/// Sizes and rates that the blocks of one transformer share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockConfig {
    /// Order, storage and names.
    pub style: &'static Style,
    /// C: the width of the residual stream.
    pub width: usize,
    /// The feed-forward layer's width between its two parts.
    pub hidden: usize,
    /// H: heads, each of C/H columns.
    pub heads: usize,
    /// L: how many blocks stand on one another, which sets the initial deviation of what they add to the stream.
    pub layers: usize,
    /// ε under the root of every layer norm.
    pub epsilon: f64,
    /// The gate between the feed-forward layer's two parts.
    pub gelu: Gelu,
    /// Deviation of the initial weights.
    pub deviation: f64,
    /// That of the feed-forward layer's first part.
    pub up_deviation: f64,
    /// Share of attention probabilities that training drops.
    pub attn_dropout: f64,
    /// Share of what a block adds to the stream that training drops.
    pub resid_dropout: f64,
}

/// The deviation of GPT-2's initial weights (Radford et al. 2019; in their code).
pub const INITIAL_DEVIATION: f64 = 0.02;

impl BlockConfig {
    /// The initial deviation of the 2L projections that add to the residual stream: that of the others divided by
    /// √(2L), so that the stream's variance does not grow with depth (Radford et al. 2019, section 2.3).
    pub fn residual_deviation(&self) -> f64 {
        self.deviation / (2.0 * self.layers as f64).sqrt()
    }
}

/// A sentence if the heads do not divide the width.
pub(crate) fn check_heads(heads: usize, width: usize) -> Result<(), String> {
    if width.is_multiple_of(heads) {
        return Ok(());
    }
    let near = (1..=heads.min(width)).rev().find(|h| width.is_multiple_of(*h)).unwrap_or(1);
    Err(format!("{heads} heads do not divide a width of {width}: {near} would"))
}

/// A sentence if no memory holds a model or its input: `count` is how many numbers. Below it no product of sizes can
/// overflow.
pub(crate) fn check_count(count: f64) -> Result<(), String> {
    const MOST: f64 = 1e12;
    if count <= MOST {
        return Ok(());
    }
    Err(format!("sizes of {count:.1e} numbers together, where {MOST:.0e} are the most: one of them is not meant"))
}

/// A sentence if the option `name`, an ε, is none.
pub(crate) fn check_epsilon(name: &str, epsilon: f64) -> Result<(), String> {
    let good = epsilon > 0.0 && epsilon.is_finite();
    if good { Ok(()) } else { Err(format!("a {name} of {epsilon}: give more than 0")) }
}

/// A sentence if the option `name`, a share that dropout drops, is none.
pub(crate) fn check_dropout(name: &str, share: f64) -> Result<(), String> {
    if (0.0..1.0).contains(&share) {
        return Ok(());
    }
    Err(format!("a dropout ({name}) of {share} is no share: give 0 or more and less than 1"))
}

/// A value on the tape as models use it: always f32.
pub type Value<'t> = Var<'t, f32>;
