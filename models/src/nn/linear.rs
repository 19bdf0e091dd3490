//! A linear layer with GPT-2's storage: y = x·W + b, W `[inputs, outputs]`.

use autograd::{Init, ParamId, Scope};

use super::Value;

/// `[…, I]` → `[…, O]`: y = x·W + b.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: ParamId, // [I, O]
    bias: ParamId,   // [O]
}

impl Linear {
    /// `inputs` to `outputs`, weights with the given initial deviation, bias zero.
    pub fn new(inputs: usize, outputs: usize, deviation: f64, mut at: Scope) -> Self {
        Self {
            weight: at.param("weight", [inputs, outputs], Init::Normal(deviation)),
            bias: at.param("bias", [outputs], Init::Zeros),
        }
    }

    /// `[…, I]` → `[…, O]`
    pub fn forward<'t>(&self, x: Value<'t>) -> Value<'t> {
        x.linear(x.tape().param(self.weight), Some(x.tape().param(self.bias)))
    }

    /// The same and then GELU: `[…, I]` → `[…, O]`
    pub fn forward_gelu<'t>(&self, x: Value<'t>) -> Value<'t> {
        x.linear_gelu(x.tape().param(self.weight), Some(x.tape().param(self.bias)))
    }
}
