//! BERT's sizes, under the names of Hugging Face's config.json.

use serde::{Deserialize, Serialize};

use super::model::{POST_NORM, PRE_NORM, ROBERTA};
use crate::nn::{Act, BlockConfig, INITIAL_DEVIATION, Style};

/// Where the norms of a block stand, by the name that the checkpoint's `model_type` has for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// After the sums, as published.
    #[default]
    #[serde(rename = "bert")]
    PostNorm,
    /// Before the layers, and one at the end: trains more steadily.
    #[serde(rename = "roberta-prelayernorm")]
    PreNorm,
    /// After the sums, with positions that are counted and a head that is named as in the form before.
    #[serde(rename = "roberta")]
    Roberta,
}

/// Sizes and rates of a BERT model; as JSON it is the checkpoint's config.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Where the norms stand.
    pub model_type: Form,
    /// V: how many tokens there are.
    pub vocab_size: usize,
    /// C: the width.
    pub hidden_size: usize,
    /// L: how many blocks.
    pub num_hidden_layers: usize,
    /// H: how many heads; they divide the width.
    pub num_attention_heads: usize,
    /// F: the width within the feed-forward layers.
    pub intermediate_size: usize,
    /// The gate of the feed-forward layers.
    #[serde(default = "gelu")]
    pub hidden_act: Act,
    /// Rows of the table of positions: the block size, and in RoBERTa's forms one or two more, since they count from one
    /// beyond the padding token's id.
    pub max_position_embeddings: usize,
    /// How many kinds of segments there are: a text, or the two of a pair.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// The padding token.
    #[serde(default)]
    pub pad_token_id: u32,
    /// Dropout of the embeddings and of what each layer adds.
    #[serde(default = "tenth")]
    pub hidden_dropout_prob: f64,
    /// Dropout of the attention probabilities.
    #[serde(default = "tenth")]
    pub attention_probs_dropout_prob: f64,
    /// ε of the layer norms.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// Deviation of the initial weights. Of those that add to the residual stream it is less here, as for GPT-2
    /// ([`BlockConfig::residual_deviation`]); BERT's own code makes no such difference.
    #[serde(default = "deviation")]
    pub initializer_range: f64,
}

fn gelu() -> Act {
    Act::Exact
}

fn two() -> usize {
    2
}

fn tenth() -> f64 {
    0.1
}

fn epsilon() -> f64 {
    1e-12
}

fn deviation() -> f64 {
    INITIAL_DEVIATION
}

impl BertConfig {
    /// A model of the given sizes without dropout.
    pub fn new(form: Form, vocab_size: usize, block_size: usize, layers: usize, heads: usize, width: usize) -> Self {
        let first = usize::from(form != Form::PostNorm);
        Self {
            model_type: form,
            vocab_size,
            hidden_size: width,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            intermediate_size: 4 * width,
            hidden_act: gelu(),
            max_position_embeddings: block_size + first,
            type_vocab_size: two(),
            pad_token_id: 0,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            layer_norm_eps: if form == Form::PreNorm { 1e-5 } else { epsilon() },
            initializer_range: INITIAL_DEVIATION,
        }
    }

    /// The same model with one share for both dropouts.
    #[must_use]
    pub fn with_dropout(self, share: f64) -> Self {
        Self { hidden_dropout_prob: share, attention_probs_dropout_prob: share, ..self }
    }

    /// The row of the table of positions that a text's first token has.
    pub fn first_position(&self) -> usize {
        match self.model_type {
            Form::PostNorm => 0,
            Form::PreNorm | Form::Roberta => self.pad_token_id as usize + 1,
        }
    }

    /// The longest text, frame included.
    pub fn block_size(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

    /// What is wrong with these sizes, as a sentence, if anything is.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("a vocabulary", self.vocab_size),
            ("a block size", self.block_size()),
            ("a width", self.hidden_size),
            ("a number of layers", self.num_hidden_layers),
            ("a number of heads", self.num_attention_heads),
            ("an intermediate_size", self.intermediate_size),
            ("a type_vocab_size", self.type_vocab_size),
        ] {
            if value == 0 {
                return Err(format!("{name} of 0 leaves no model: give 1 or more"));
            }
        }
        let [v, p, s] = [self.vocab_size, self.max_position_embeddings, self.type_vocab_size].map(|n| n as f64);
        let [c, f, l] = [self.hidden_size, self.intermediate_size, self.num_hidden_layers].map(|n| n as f64);
        crate::nn::check_count(l * (4.0 * c * c + 2.0 * c * f) + (v + p + s + c) * c)?;
        crate::nn::check_heads(self.num_attention_heads, self.hidden_size)?;
        crate::nn::check_epsilon("layer_norm_eps", self.layer_norm_eps)?;
        crate::nn::check_dropout("hidden_dropout_prob", self.hidden_dropout_prob)?;
        crate::nn::check_dropout("attention_probs_dropout_prob", self.attention_probs_dropout_prob)
    }

    /// Floating-point operations of one training step for one token in a text of `time`, forward and backward, of
    /// which a share is `hidden`: as for GPT, but a position sees all others, and the head runs for hidden tokens only. Where a
    /// share of the positions is `read`, the last block computes what follows its attention for these alone.
    pub fn flops_per_token(&self, time: usize, [read, hidden]: [f64; 2]) -> f64 {
        let (c, l, f) = (self.hidden_size as f64, self.num_hidden_layers as f64, self.intermediate_size as f64);
        let unread = (1.0 - read) * (c * c + 2.0 * c * f);
        let blocks = l * (4.0 * c * c + 2.0 * c * f) - unread;
        6.0 * (blocks + hidden * (c * c + self.vocab_size as f64 * c)) + 12.0 * l * c * time as f64
    }

    /// Order, storage and names of the blocks.
    pub fn style(&self) -> &'static Style {
        match self.model_type {
            Form::PostNorm => &POST_NORM,
            Form::PreNorm => &PRE_NORM,
            Form::Roberta => &ROBERTA,
        }
    }

    /// What the blocks need to know.
    pub fn block(&self) -> BlockConfig {
        BlockConfig {
            style: self.style(),
            width: self.hidden_size,
            hidden: self.intermediate_size,
            heads: self.num_attention_heads,
            layers: self.num_hidden_layers,
            epsilon: self.layer_norm_eps,
            gelu: self.hidden_act.into(),
            deviation: self.initializer_range,
            up_deviation: self.initializer_range,
            attn_dropout: self.attention_probs_dropout_prob,
            resid_dropout: self.hidden_dropout_prob,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bert::Bert;

    #[test]
    fn bert_base_has_110_million_parameters() {
        // Those of bert-base-uncased without its pooler and its sentence-pair head.
        let config = BertConfig::new(Form::PostNorm, 30522, 512, 12, 12, 768);
        assert_eq!(Bert::init(&config, 1).1.count(), 109_514_298);
    }

    #[test]
    fn the_pre_norm_form_has_room_for_the_block_size_too() {
        let config = BertConfig::new(Form::PreNorm, 300, 64, 1, 1, 8);
        assert_eq!((config.block_size(), config.first_position()), (64, 1));
    }
}
