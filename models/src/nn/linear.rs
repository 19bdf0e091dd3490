//! A linear layer: y = x·W + b, with W stored as its checkpoint has it: `[inputs, outputs]` in GPT-2, `[outputs, inputs]`
//! in every other model.

use autograd::{Gelu, Init, ParamId, Scope};

use super::Value;

/// `[…, I]` → `[…, O]`: y = x·W + b.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: ParamId,       // [I, O], or [O, I] if by_output
    bias: Option<ParamId>, // [O]
    by_output: bool,
}

impl Linear {
    /// `inputs` to `outputs` with W stored as `[I, O]`, weights with the given initial deviation, bias zero.
    pub fn by_input(inputs: usize, outputs: usize, deviation: f64, mut at: Scope) -> Self {
        Self {
            weight: at.param("weight", [inputs, outputs], Init::Normal(deviation)),
            bias: Some(at.param("bias", [outputs], Init::Zeros)),
            by_output: false,
        }
    }

    /// The same with W stored as `[O, I]`.
    pub fn by_output(inputs: usize, outputs: usize, deviation: f64, at: Scope) -> Self {
        Self::stacked(&[""], inputs, outputs, deviation, at)
    }

    /// The same without b.
    pub fn without_bias(inputs: usize, outputs: usize, deviation: f64, mut at: Scope) -> Self {
        let weight = at.param("weight", [outputs, inputs], Init::Normal(deviation));
        Self { weight, bias: None, by_output: true }
    }

    /// The same for several layers of the checkpoint, which share their input and stand on one another: `outputs` is the sum
    /// of theirs, in the order of `names`.
    pub fn stacked(names: &[&str], inputs: usize, outputs: usize, deviation: f64, mut at: Scope) -> Self {
        // "query.weight", "key.weight", "value.weight"; of one layer without a name of its own "weight".
        let names_of = |last: &str| -> Vec<String> {
            names.iter().map(|name| if name.is_empty() { last.to_owned() } else { format!("{name}.{last}") }).collect()
        };
        Self {
            weight: at.stacked(&names_of("weight"), [outputs, inputs], Init::Normal(deviation)),
            bias: Some(at.stacked(&names_of("bias"), [outputs], Init::Zeros)),
            by_output: true,
        }
    }

    /// W.
    pub fn weight(&self) -> ParamId {
        self.weight
    }

    /// b, if it has one.
    pub fn bias(&self) -> Option<ParamId> {
        self.bias
    }

    /// `[…, I]` → `[…, O]`
    pub fn forward<'t>(&self, x: Value<'t>) -> Value<'t> {
        let (w, b) = (x.tape().param(self.weight), self.bias.map(|bias| x.tape().param(bias)));
        if self.by_output { x.linear_t(w, b) } else { x.linear(w, b) }
    }

    /// The same and then GELU: `[…, I]` → `[…, O]`
    pub fn forward_gelu<'t>(&self, x: Value<'t>, form: Gelu) -> Value<'t> {
        let (w, b) = (x.tape().param(self.weight), self.bias.map(|bias| x.tape().param(bias)));
        if self.by_output { x.linear_t_gelu(w, b, form) } else { x.linear_gelu(w, b, form) }
    }
}
