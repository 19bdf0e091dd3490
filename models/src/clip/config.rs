//! CLIP's sizes, under the names of Hugging Face's config.json.
//!
//! Initial deviations are those of the paper's code: 1/√C for what a layer of width C reads, 1/√(2C) for the hidden layer's
//! first part, and 1/√C·1/√(2L) for the 2L projections that add to the stream.

use serde::{Deserialize, Serialize};

use crate::nn::{Act, BlockConfig, Style, check_count, check_dropout, check_epsilon, check_heads};

/// The blocks of the text encoder: a position sees itself and those before it, so that the last has read all.
pub const TEXT: Style = Style {
    norm_first: true,
    causal: true,
    by_output: true,
    blocks: "text_model.encoder.layers",
    ln_1: "layer_norm1",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    attn_out: "self_attn.out_proj",
    ln_2: "layer_norm2",
    last_norm: Some("text_model.final_layer_norm"),
    up: "mlp.fc1",
    down: "mlp.fc2",
};

/// The blocks of the image encoder: a patch sees all others.
pub const VISION: Style = Style {
    causal: false,
    blocks: "vision_model.encoder.layers",
    last_norm: Some("vision_model.post_layernorm"),
    ..TEXT
};

/// ln(1/0.07), the logarithm of the initial temperature's inverse (Radford et al. 2021, section 2.5).
pub const INITIAL_SCALE: f64 = 2.6592;
/// The bias that the sigmoid loss begins with (Zhai et al. 2023, section 3.2): at first all pairs are said to be none, and
/// nearly all are.
pub const INITIAL_BIAS: f64 = -10.0;

/// Sizes of the text encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextConfig {
    /// V: how many tokens there are.
    pub vocab_size: usize,
    /// C: the width.
    pub hidden_size: usize,
    /// F: the width within the feed-forward layers.
    pub intermediate_size: usize,
    /// L: how many blocks.
    pub num_hidden_layers: usize,
    /// H: how many heads; they divide the width.
    pub num_attention_heads: usize,
    /// The longest text, its ends included.
    pub max_position_embeddings: usize,
    /// The gate.
    pub hidden_act: Act,
    /// ε of the layer norms.
    pub layer_norm_eps: f64,
    /// Dropout of the attention probabilities.
    pub attention_dropout: f64,
    /// Dropout of what each layer adds. (Old checkpoints have this field; `transformers` has no such dropout any more.)
    pub dropout: f64,
    /// The token that a text begins with.
    pub bos_token_id: u32,
    /// The token that ends a text, where it is read.
    pub eos_token_id: u32,
    /// The token after the end.
    pub pad_token_id: u32,
}

/// Sizes of the image encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// C: the width.
    pub hidden_size: usize,
    /// F: the width within the feed-forward layers.
    pub intermediate_size: usize,
    /// L: how many blocks.
    pub num_hidden_layers: usize,
    /// H: how many heads; they divide the width.
    pub num_attention_heads: usize,
    /// S: the side of a picture in pixels.
    pub image_size: usize,
    /// P: the side of a patch; it divides S.
    pub patch_size: usize,
    /// The gate.
    pub hidden_act: Act,
    /// ε of the layer norms.
    pub layer_norm_eps: f64,
    /// Dropout of the attention probabilities.
    pub attention_dropout: f64,
    /// Dropout of what each layer adds. (Old checkpoints have this field; `transformers` has no such dropout any more.)
    pub dropout: f64,
}

/// CLIP's sizes; as JSON they are the checkpoint's config.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipConfig {
    /// The text encoder's.
    pub text_config: TextConfig,
    /// The image encoder's.
    pub vision_config: VisionConfig,
    /// E: how many numbers a vector of the common space has.
    pub projection_dim: usize,
    /// The logarithm of the initial temperature's inverse.
    pub logit_scale_init_value: f64,
    /// Whether pairs are told from others one by one (SigLIP), for which there is a bias to learn; not in published CLIP.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sigmoid: bool,
}

impl Default for TextConfig {
    /// What a config.json means that does not say it: ViT-B/32's.
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: Act::Quick,
            layer_norm_eps: 1e-5,
            attention_dropout: 0.0,
            dropout: 0.0,
            bos_token_id: 49406,
            eos_token_id: 49407,
            pad_token_id: 1,
        }
    }
}

impl Default for VisionConfig {
    /// What a config.json means that does not say it: ViT-B/32's.
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 32,
            hidden_act: Act::Quick,
            layer_norm_eps: 1e-5,
            attention_dropout: 0.0,
            dropout: 0.0,
        }
    }
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self {
            text_config: TextConfig::default(),
            vision_config: VisionConfig::default(),
            projection_dim: 512,
            logit_scale_init_value: INITIAL_SCALE,
            sigmoid: false,
        }
    }
}

/// What the paper's code begins a layer's weights with: the deviation of those that read a width.
fn deviation(width: usize) -> f64 {
    (width as f64).powf(-0.5)
}

/// What the blocks of either encoder need to know.
fn block(
    style: &'static Style,
    [width, hidden, heads, layers]: [usize; 4],
    epsilon: f64,
    act: Act,
    [attn_dropout, resid_dropout]: [f64; 2],
) -> BlockConfig {
    let (gelu, up_deviation) = (act.into(), deviation(2 * width));
    let deviation = deviation(width);
    BlockConfig {
        style,
        width,
        hidden,
        heads,
        layers,
        epsilon,
        gelu,
        deviation,
        up_deviation,
        attn_dropout,
        resid_dropout,
    }
}

impl TextConfig {
    /// What the blocks need to know.
    pub fn block(&self) -> BlockConfig {
        block(
            &TEXT,
            [self.hidden_size, self.intermediate_size, self.num_attention_heads, self.num_hidden_layers],
            self.layer_norm_eps,
            self.hidden_act,
            [self.attention_dropout, self.dropout],
        )
    }
}

impl VisionConfig {
    /// What the blocks need to know.
    pub fn block(&self) -> BlockConfig {
        block(
            &VISION,
            [self.hidden_size, self.intermediate_size, self.num_attention_heads, self.num_hidden_layers],
            self.layer_norm_eps,
            self.hidden_act,
            [self.attention_dropout, self.dropout],
        )
    }

    /// N: how many patches a picture has.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }
}

impl ClipConfig {
    /// The same model with one share for all dropouts.
    #[must_use]
    pub fn with_dropout(mut self, share: f64) -> Self {
        let (t, v) = (&mut self.text_config, &mut self.vision_config);
        (t.dropout, t.attention_dropout, v.dropout, v.attention_dropout) = (share, share, share, share);
        self
    }

    /// What is wrong with these sizes, as a sentence, if anything is.
    pub fn check(&self) -> Result<(), String> {
        let (t, v) = (&self.text_config, &self.vision_config);
        for (name, value) in [
            ("a vocabulary", t.vocab_size),
            ("a text of at most", t.max_position_embeddings.saturating_sub(1)),
            ("a width of texts", t.hidden_size),
            ("a number of text layers", t.num_hidden_layers),
            ("a number of text heads", t.num_attention_heads),
            ("an intermediate_size of texts", t.intermediate_size),
            ("a width of pictures", v.hidden_size),
            ("a number of vision layers", v.num_hidden_layers),
            ("a number of vision heads", v.num_attention_heads),
            ("an intermediate_size of pictures", v.intermediate_size),
            ("an image size", v.image_size),
            ("a patch size", v.patch_size),
            ("a projection_dim", self.projection_dim),
        ] {
            if value == 0 {
                return Err(format!("{name} of 0 leaves no model: give 1 or more"));
            }
        }
        check_count(self.count())?;
        check_heads(t.num_attention_heads, t.hidden_size)?;
        check_heads(v.num_attention_heads, v.hidden_size)?;
        if !v.image_size.is_multiple_of(v.patch_size) {
            let near = v.image_size.div_ceil(v.patch_size) * v.patch_size;
            let (size, patch) = (v.image_size, v.patch_size);
            return Err(format!("patches of {patch} do not divide an image size of {size}: {near} they would"));
        }
        check_epsilon("layer_norm_eps", t.layer_norm_eps)?;
        check_epsilon("layer_norm_eps", v.layer_norm_eps)?;
        [t.attention_dropout, v.attention_dropout].iter().try_for_each(|&x| check_dropout("attention_dropout", x))?;
        [t.dropout, v.dropout].iter().try_for_each(|&x| check_dropout("dropout", x))
    }

    /// About how many numbers the model learns, with those of one picture.
    fn count(&self) -> f64 {
        let (t, v) = (&self.text_config, &self.vision_config);
        let tower = |c: usize, f: usize, l: usize| {
            let (c, f, l) = (c as f64, f as f64, l as f64);
            l * (4.0 * c * c + 2.0 * c * f)
        };
        let [side, patch, e] = [v.image_size, v.patch_size, self.projection_dim].map(|n| n as f64);
        let (text, vision) = (t.hidden_size as f64, v.hidden_size as f64);
        tower(t.hidden_size, t.intermediate_size, t.num_hidden_layers)
            + tower(v.hidden_size, v.intermediate_size, v.num_hidden_layers)
            + (t.vocab_size as f64 + t.max_position_embeddings as f64 + e) * text
            + ((side / patch).powi(2) + 1.0 + 3.0 * patch * patch + e) * vision
            + 3.0 * side * side
    }

    /// Floating-point operations of one training step for a picture with a caption of `time` tokens, forward and backward:
    /// two for each use of a weight in a product and three products for each, as for GPT, in the last block for the one position
    /// that is read; and the scores between positions, of which texts see half.
    pub fn flops_per_pair(&self, time: usize) -> f64 {
        let (t, v) = (&self.text_config, &self.vision_config);
        let tower = |c: usize, f: usize, l: usize, n: usize, seen: f64| {
            let (c, f, l, n) = (c as f64, f as f64, l as f64, n as f64);
            let unread = 6.0 * (n - 1.0) * (c * c + 2.0 * c * f);
            n * l * (6.0 * (4.0 * c * c + 2.0 * c * f) + 12.0 * c * n * seen) - unread
        };
        let patches = v.patches();
        let embed = 6.0 * (patches * 3 * v.patch_size.pow(2) * v.hidden_size) as f64;
        let project = 6.0 * (self.projection_dim * (t.hidden_size + v.hidden_size)) as f64;
        tower(t.hidden_size, t.intermediate_size, t.num_hidden_layers, time, 0.5)
            + tower(v.hidden_size, v.intermediate_size, v.num_hidden_layers, patches + 1, 1.0)
            + embed
            + project
    }
}
