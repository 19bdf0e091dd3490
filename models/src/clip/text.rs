//! The text encoder: a small GPT that is read at the last token.

use autograd::{Scope, Tape};

use super::TextConfig;
use super::config::TEXT;
use crate::nn::embedding::positions;
use crate::nn::{Block, Embedding, LayerNorm, Value, through};

/// The end that OpenAI's checkpoints name in their config.json, though their tokenizer's is another, the largest id of all:
/// `transformers` reads these at the largest.
pub(crate) const LEGACY_END: u32 = 2;

/// Ids → one vector a text (Radford et al. 2021, section 2.4): what the token that ends a text has gathered of it.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    config: TextConfig,
    tokens: Embedding,    // [V, C]
    positions: Embedding, // [T, C]
    layers: Vec<Block>,
    norm: LayerNorm,
}

impl TextEncoder {
    /// The encoder in a scope; its parameters are "text_model.embeddings.token_embedding.weight", …
    pub fn new(c: &TextConfig, mut at: Scope) -> Self {
        let (width, epsilon) = (c.hidden_size, c.layer_norm_eps);
        let mut embeddings = at.enter("text_model.embeddings");
        Self {
            // Deviations of the paper's code.
            tokens: Embedding::new(c.vocab_size, width, 0.02, embeddings.enter("token_embedding")),
            positions: Embedding::new(c.max_position_embeddings, width, 0.01, embeddings.enter("position_embedding")),
            layers: (0..c.num_hidden_layers).map(|i| Block::new(&c.block(), at.enter(TEXT.blocks).enter(i))).collect(),
            norm: LayerNorm::new(width, epsilon, at.enter("text_model.final_layer_norm")),
            config: c.clone(),
        }
    }

    /// Ids of B rows of T tokens, each with an end → `[B, C]`. What stands behind an end is not seen.
    pub fn forward<'t>(&self, tape: &'t Tape<'t>, ids: &[u32], batch: usize) -> Value<'t> {
        let (time, longest) = (ids.len() / batch, self.config.max_position_embeddings);
        assert!(time <= longest, "{time} tokens for a text of at most {longest}");
        let positions = positions(ids.len(), time, None, 0);
        let x = self.tokens.forward(tape, ids, batch) + self.positions.forward(tape, &positions, batch); // [B, T, C]
        let ends: Vec<u32> =
            ids.chunks_exact(time).enumerate().map(|(row, ids)| (row * time + self.end(ids)) as u32).collect();
        self.norm.forward(through(&self.layers, x, None, Some(&ends))) // [B, C]
    }

    /// Where a row of ids is read.
    fn end(&self, ids: &[u32]) -> usize {
        if self.config.eos_token_id == LEGACY_END {
            return tensor::rows::argmax(ids);
        }
        ids.iter().position(|&id| id == self.config.eos_token_id).unwrap_or(0) // 0: as there
    }
}
