//! The feed-forward layer: every position by itself, through four times the width and back.

use autograd::Scope;

use super::{BlockConfig, Linear, Value};

/// y = gelu(x·W₁ + b₁)·W₂ + b₂ (Vaswani et al. 2017, section 3.3, with GELU as in GPT).
#[derive(Clone, Debug)]
pub struct Mlp {
    c_fc: Linear,   // C → 4C
    c_proj: Linear, // 4C → C
    dropout: f64,
}

impl Mlp {
    /// The feed-forward layer of one block.
    pub fn new(c: &BlockConfig, mut at: Scope) -> Self {
        Self {
            c_fc: Linear::new(c.width, 4 * c.width, c.deviation, at.enter("c_fc")),
            c_proj: Linear::new(4 * c.width, c.width, c.residual_deviation(), at.enter("c_proj")),
            dropout: c.resid_dropout,
        }
    }

    /// `[B, T, C]` → `[B, T, C]`
    pub fn forward<'t>(&self, x: Value<'t>) -> Value<'t> {
        let x = self.c_fc.forward_gelu(x); // [B, T, 4C]
        self.c_proj.forward(x).dropout(self.dropout)
    }
}
