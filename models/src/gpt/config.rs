//! GPT's sizes, under the names of Hugging Face's config.json.

use serde::{Deserialize, Serialize};

use super::model::STYLE;
use crate::nn::{Act, BlockConfig, INITIAL_DEVIATION, check_count, check_dropout, check_epsilon, check_heads};

/// Sizes and rates of a GPT-2 model; as JSON it is the checkpoint's config.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GptConfig {
    /// V: how many tokens there are.
    pub vocab_size: usize,
    /// The block size: how many positions the model can see.
    pub n_positions: usize,
    /// C: the width.
    pub n_embd: usize,
    /// L: how many blocks.
    pub n_layer: usize,
    /// H: how many heads; they divide the width.
    pub n_head: usize,
    /// F: the width within the feed-forward layers, if it is not 4·C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_inner: Option<usize>,
    /// The gate of the feed-forward layers.
    #[serde(default = "gelu_new")]
    pub activation_function: Act,
    /// Dropout of what each block adds.
    #[serde(default = "tenth")]
    pub resid_pdrop: f64,
    /// Dropout of the embeddings.
    #[serde(default = "tenth")]
    pub embd_pdrop: f64,
    /// Dropout of the attention probabilities.
    #[serde(default = "tenth")]
    pub attn_pdrop: f64,
    /// ε of the layer norms.
    #[serde(default = "gpt2_epsilon")]
    pub layer_norm_epsilon: f64,
    /// Deviation of the initial weights.
    #[serde(default = "gpt2_deviation")]
    pub initializer_range: f64,
}

fn gelu_new() -> Act {
    Act::Tanh
}

fn tenth() -> f64 {
    0.1
}

fn gpt2_deviation() -> f64 {
    INITIAL_DEVIATION
}

fn gpt2_epsilon() -> f64 {
    1e-5
}

impl GptConfig {
    /// A model of the given sizes without dropout.
    pub fn new(vocab_size: usize, block_size: usize, layers: usize, heads: usize, width: usize) -> Self {
        Self {
            vocab_size,
            n_positions: block_size,
            n_embd: width,
            n_layer: layers,
            n_head: heads,
            n_inner: None,
            activation_function: gelu_new(),
            resid_pdrop: 0.0,
            embd_pdrop: 0.0,
            attn_pdrop: 0.0,
            layer_norm_epsilon: gpt2_epsilon(),
            initializer_range: INITIAL_DEVIATION,
        }
    }

    /// The same model with one share for all three dropouts.
    #[must_use]
    pub fn with_dropout(self, share: f64) -> Self {
        Self { resid_pdrop: share, embd_pdrop: share, attn_pdrop: share, ..self }
    }

    /// What is wrong with these sizes, as a sentence, if anything is.
    pub fn check(&self) -> Result<(), String> {
        let Self { vocab_size, n_positions, n_embd, n_layer, n_head, .. } = self;
        for (name, value) in [
            ("a vocabulary", vocab_size),
            ("a block size", n_positions),
            ("a width", n_embd),
            ("a number of layers", n_layer),
            ("a number of heads", n_head),
            ("an n_inner", &self.inner()),
        ] {
            if *value == 0 {
                return Err(format!("{name} of 0 leaves no model: give 1 or more"));
            }
        }
        let [v, t, c, f, l] = [*vocab_size, *n_positions, *n_embd, self.inner(), *n_layer].map(|n| n as f64);
        check_count(l * (4.0 * c * c + 2.0 * c * f) + (v + t) * c)?;
        check_epsilon("layer_norm_epsilon", self.layer_norm_epsilon)?;
        check_heads(*n_head, *n_embd)?;
        for (name, share) in
            [("resid_pdrop", self.resid_pdrop), ("embd_pdrop", self.embd_pdrop), ("attn_pdrop", self.attn_pdrop)]
        {
            check_dropout(name, share)?;
        }
        Ok(())
    }

    /// F: the width within the feed-forward layers.
    pub fn inner(&self) -> usize {
        self.n_inner.unwrap_or(self.n_embd.saturating_mul(4))
    }

    /// How many numbers the model learns: 4·C² + 2·C·F + 9·C + F for each block, the tables, the last norm.
    pub fn parameters(&self) -> usize {
        let (c, f) = (self.n_embd, self.inner());
        self.n_layer * (4 * c * c + 2 * c * f + 9 * c + f) + (self.vocab_size + self.n_positions) * c + 2 * c
    }

    /// Floating-point operations of one training step for one token in a row of `time`, forward and backward: two
    /// for each use of a weight in a product, three products for each (output, and the gradients of input and
    /// weight); likewise for the half of the T x T scores that is seen. (Chowdhery et al. 2022, appendix B.)
    pub fn flops_per_token(&self, time: usize) -> f64 {
        let (c, f, l) = (self.n_embd as f64, self.inner() as f64, self.n_layer as f64);
        6.0 * (l * (4.0 * c * c + 2.0 * c * f) + self.vocab_size as f64 * c) + 6.0 * l * c * time as f64
    }

    /// What the blocks need to know.
    pub fn block(&self) -> BlockConfig {
        BlockConfig {
            style: &STYLE,
            width: self.n_embd,
            hidden: self.inner(),
            heads: self.n_head,
            layers: self.n_layer,
            epsilon: self.layer_norm_epsilon,
            gelu: self.activation_function.into(),
            deviation: self.initializer_range,
            up_deviation: self.initializer_range,
            attn_dropout: self.attn_pdrop,
            resid_dropout: self.resid_pdrop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpt2_has_124_million_parameters() {
        assert_eq!(GptConfig::new(50257, 1024, 12, 12, 768).parameters(), 124_439_808);
    }

    #[test]
    fn heads_that_do_not_divide_the_width_are_refused_with_a_number_that_would() {
        let said = GptConfig::new(256, 64, 4, 5, 128).check().unwrap_err();
        assert_eq!(said, "5 heads do not divide a width of 128: 4 would");
    }
}
