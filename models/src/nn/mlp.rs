//! The feed-forward layer: every position by itself, through a greater width (four times, as a rule) and back.

use autograd::{Gelu, Scope};

use super::{BlockConfig, Linear, Value};

/// y = gelu(x·W₁ + b₁)·W₂ + b₂ (Vaswani et al. 2017, section 3.3, with GELU as in GPT and BERT).
#[derive(Clone, Debug)]
pub struct Mlp {
    up: Linear,   // C → F
    down: Linear, // F → C
    gelu: Gelu,
}

impl Mlp {
    /// The feed-forward layer of one block.
    pub fn new(c: &BlockConfig, mut at: Scope) -> Self {
        Self {
            up: c.style.linear(c.width, c.hidden, c.up_deviation, at.enter(c.style.up)),
            down: c.style.linear(c.hidden, c.width, c.residual_deviation(), at.enter(c.style.down)),
            gelu: c.gelu,
        }
    }

    /// `[…, C]` → `[…, C]`
    pub fn forward<'t>(&self, x: Value<'t>) -> Value<'t> {
        let x = self.up.forward_gelu(x, self.gelu); // […, F]
        self.down.forward(x)
    }
}
