//! The transformer block: attention between positions, then a feed-forward layer at each.
//!
//! Around each of the two is a sum, so that a layer learns what to add to the stream, and a norm. In the first
//! transformers the norm came after the sum; before the layer it leaves the stream itself untouched, and deep models
//! train more steadily (Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture").

use autograd::Scope;

use super::attention::Cache;
use super::{Attention, BlockConfig, LayerNorm, Mlp, Value};

/// A transformer block, with the norm
///
/// - before each layer (GPT-2, Radford et al. 2019): x ← x + attn(ln₁ x);  x ← x + mlp(ln₂ x), or
/// - after each sum (BERT, Devlin et al. 2019): x ← ln₁(x + attn x);  x ← ln₂(x + mlp x).
#[derive(Clone, Debug)]
pub struct Block {
    ln_1: LayerNorm,
    attn: Attention,
    ln_2: LayerNorm,
    mlp: Mlp,
    norm_first: bool,
    /// Share of what a layer adds to the stream that training drops.
    dropout: f64,
}

impl Block {
    /// One block, in its scope; the names of its parameters are the style's.
    pub fn new(c: &BlockConfig, mut at: Scope) -> Self {
        Self {
            ln_1: LayerNorm::new(c.width, c.epsilon, at.enter(c.style.ln_1)),
            attn: Attention::new(c, at.here()),
            ln_2: LayerNorm::new(c.width, c.epsilon, at.enter(c.style.ln_2)),
            mlp: Mlp::new(c, at.here()),
            norm_first: c.style.norm_first,
            dropout: c.resid_dropout,
        }
    }

    /// `[B, T, C]` → `[B, T, C]`. `position_ids` are those of [`Var::attention`](autograd::Var::attention).
    ///
    /// With `at`, numbers of M positions among the B·T, the same at these alone: `[M, C]`. All positions are seen from there,
    /// and what follows is each one's own business: three quarters of the block's products, spared for all others. (Dropout
    /// draws other masks, since these stand elsewhere on the tape.)
    fn forward<'t>(&self, x: Value<'t>, position_ids: Option<&[u32]>, at: Option<&[u32]>) -> Value<'t> {
        let whole = x.shape();
        let pick = |x: Value<'t>| at.map_or(x, |at| x.embedding(at, [at.len()]));
        let drop = |x: Value<'t>| match at {
            Some(at) => x.dropout_at(self.dropout, whole, at),
            None => x.dropout(self.dropout),
        };
        if self.norm_first {
            let gathered = pick(self.attn.gather(self.ln_1.forward(x), position_ids));
            let (x, normed) = self.ln_2.after_sum(pick(x), drop(self.attn.out(gathered)));
            x + drop(self.mlp.forward(normed))
        } else {
            let gathered = pick(self.attn.gather(x, position_ids));
            let (_, x) = self.ln_1.after_sum(pick(x), drop(self.attn.out(gathered)));
            self.ln_2.after_sum(x, drop(self.mlp.forward(x))).1
        }
    }

    /// The same for one row that continues what the cache holds, with the norm first: `[1, T, C]` → `[1, T, C]`.
    pub fn extend<'t>(&self, x: Value<'t>, cache: &mut Cache) -> Value<'t> {
        let x = x + self.attn.extend(self.ln_1.forward(x), cache);
        x + self.mlp.forward(self.ln_2.forward(x))
    }
}

/// Blocks on one another: `[B, T, C]` → `[B, T, C]`, or `[M, C]` if only the states at some positions are wanted, by their
/// numbers: then these are all that the last block computes.
pub fn through<'t>(blocks: &[Block], x: Value<'t>, position_ids: Option<&[u32]>, at: Option<&[u32]>) -> Value<'t> {
    blocks.iter().enumerate().fold(x, |x, (i, block)| {
        let at = at.filter(|_| i + 1 == blocks.len());
        x.tape().scope(|| block.forward(x, position_ids, at))
    })
}
