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
pub use block::Block;
pub use embedding::Embedding;
pub use linear::Linear;
pub use mlp::Mlp;
pub use norm::LayerNorm;

use autograd::Var;

/// Sizes and rates that the blocks of one transformer share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockConfig {
    /// C: the width of the residual stream.
    pub width: usize,
    /// H: heads, each of C/H columns.
    pub heads: usize,
    /// L: how many blocks stand on one another, which sets the initial deviation of what they add to the stream.
    pub layers: usize,
    /// ε under the root of every layer norm.
    pub epsilon: f64,
    /// Deviation of the initial weights.
    pub deviation: f64,
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

/// A value on the tape as models use it: always f32.
pub type Value<'t> = Var<'t, f32>;
