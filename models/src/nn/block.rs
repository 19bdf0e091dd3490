//! The transformer block: attention between positions, then a feed-forward layer at each.

use autograd::Scope;

use super::attention::Cache;
use super::{Attention, BlockConfig, LayerNorm, Mlp, Value};

/// Pre-norm transformer block (GPT-2, Radford et al. 2019): x ← x + attn(ln₁ x);  x ← x + mlp(ln₂ x).
#[derive(Clone, Debug)]
pub struct Block {
    ln_1: LayerNorm,
    attn: Attention,
    ln_2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    /// One block; its parameters are "ln_1.weight", "attn.c_attn.weight", … in the scope.
    pub fn new(c: &BlockConfig, mut at: Scope) -> Self {
        Self {
            ln_1: LayerNorm::new(c.width, c.epsilon, at.enter("ln_1")),
            attn: Attention::new(c, at.enter("attn")),
            ln_2: LayerNorm::new(c.width, c.epsilon, at.enter("ln_2")),
            mlp: Mlp::new(c, at.enter("mlp")),
        }
    }

    /// `[B, T, C]` → `[B, T, C]`
    pub fn forward<'t>(&self, x: Value<'t>) -> Value<'t> {
        let (x, normed) = self.ln_2.after_sum(x, self.attn.forward(self.ln_1.forward(x)));
        x + self.mlp.forward(normed)
    }

    /// The same for one row that continues what the cache holds: `[1, T, C]` → `[1, T, C]`.
    pub fn extend<'t>(&self, x: Value<'t>, cache: &mut Cache) -> Value<'t> {
        let x = x + self.attn.extend(self.ln_1.forward(x), cache);
        x + self.mlp.forward(self.ln_2.forward(x))
    }
}
