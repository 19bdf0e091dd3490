//! The image encoder: a picture is cut into patches, and these are read like the words of a text.

use autograd::{Init, ParamId, Scope, Tape};
use tensor::{Tensor, patches};

use super::VisionConfig;
use super::config::VISION;
use crate::nn::embedding::positions;
use crate::nn::{Block, Embedding, LayerNorm, Value, through};

/// Pixels → one vector a picture: the vision transformer (Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words"), with
/// one more norm before its blocks (Radford et al. 2021, section 2.4). A class token that stands before the patches, and is
/// the same for every picture, gathers what there is to see.
#[derive(Clone, Debug)]
pub struct ImageEncoder {
    config: VisionConfig,
    class: ParamId,       // [C]
    patches: ParamId,     // [C, 3, P, P]: what a patch of 3·P·P numbers becomes
    positions: Embedding, // [1 + N, C]
    pre_norm: LayerNorm,
    layers: Vec<Block>,
    post_norm: LayerNorm,
}

impl ImageEncoder {
    /// The encoder in a scope; its parameters are "vision_model.embeddings.class_embedding", …
    pub fn new(c: &VisionConfig, mut at: Scope) -> Self {
        let (width, epsilon, patch) = (c.hidden_size, c.layer_norm_eps, c.patch_size);
        let sigma = (width as f64).powf(-0.5); // of the class token and the positions, in the paper's code
        let mut embeddings = at.enter("vision_model.embeddings");
        Self {
            class: embeddings.param("class_embedding", [width], Init::Normal(sigma)),
            // A convolution's in PyTorch, which the paper's code leaves as it is.
            patches: embeddings.enter("patch_embedding").param(
                "weight",
                [width, 3, patch, patch],
                Init::Normal((3.0 * (3 * patch * patch) as f64).powf(-0.5)),
            ),
            positions: Embedding::new(c.patches() + 1, width, sigma, embeddings.enter("position_embedding")),
            // The checkpoint's own spelling.
            pre_norm: LayerNorm::new(width, epsilon, at.enter("vision_model.pre_layrnorm")),
            layers: (0..c.num_hidden_layers)
                .map(|i| Block::new(&c.block(), at.enter(VISION.blocks).enter(i)))
                .collect(),
            post_norm: LayerNorm::new(width, epsilon, at.enter("vision_model.post_layernorm")),
            config: c.clone(),
        }
    }

    /// Pixels `[B, 3, S, S]` → `[B, C]`.
    pub fn forward<'t>(&self, tape: &'t Tape<'t>, pixels: &[f32], batch: usize) -> Value<'t> {
        let VisionConfig { image_size: side, patch_size: patch, hidden_size: width, .. } = self.config;
        let (rows, numbers) = (self.config.patches() + 1, 3 * patch * patch); // 1 + N, 3·P·P
        let mut cut = Tensor::scratch([batch, rows, numbers]);
        patches::cut(cut.data_mut(), pixels, side, patch);
        // The class token's row is all zeros there, and has its own embedding instead.
        let weight = tape.param(self.patches).reshape([width, numbers]);
        let x = tape.constant(cut).linear_t(weight, None); // [B, 1 + N, C]
        let classes = tape.constant(patches::first_of(batch, rows)); // [B·(1 + N), 1]: 1 where a class token stands
        let class = classes.matmul(tape.param(self.class).reshape([1, width]));
        let places = positions(batch * rows, rows, None, 0);
        let x = x + class.reshape([batch, rows, width]) + self.positions.forward(tape, &places, batch);
        let x = self.pre_norm.forward(x);
        let first: Vec<u32> = (0..batch).map(|i| (i * rows) as u32).collect();
        self.post_norm.forward(through(&self.layers, x, None, Some(&first))) // [B, C]
    }
}
