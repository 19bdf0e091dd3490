//! Layer norm with its gain and bias.

use autograd::{Init, ParamId, Scope};

use super::Value;

/// `[…, C]` → `[…, C]`: every row to mean 0 and variance 1, then γ ⊙ x̂ + β (Ba et al. 2016).
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: ParamId, // γ [C]
    bias: ParamId,   // β [C]
    epsilon: f64,
}

impl LayerNorm {
    /// For rows of `width` numbers; gain one, bias zero.
    pub fn new(width: usize, epsilon: f64, mut at: Scope) -> Self {
        let weight = at.param("weight", [width], Init::Ones);
        Self { weight, bias: at.param("bias", [width], Init::Zeros), epsilon }
    }

    /// `[…, C]` → `[…, C]`
    pub fn forward<'t>(&self, x: Value<'t>) -> Value<'t> {
        x.layer_norm(x.tape().param(self.weight), x.tape().param(self.bias), self.epsilon)
    }

    /// x + y and its norm: `[…, C]` → `[…, C]` twice.
    pub fn after_sum<'t>(&self, x: Value<'t>, y: Value<'t>) -> (Value<'t>, Value<'t>) {
        x.add_layer_norm(y, x.tape().param(self.weight), x.tape().param(self.bias), self.epsilon)
    }
}
