//! Options that are a choice of few things, by the names that train.toml and the command line have for them.

use serde::{Deserialize, Serialize};
use tensor::matmul::Precision;

use super::super::presets::{BERT_PRESETS, CLIP_PRESETS, PRESETS, Preset};

/// Which model is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// Next-token prediction.
    #[default]
    Gpt,
    /// Masked prediction.
    Bert,
    /// Contrastive prediction of pictures and texts.
    Clip,
}

impl ModelName {
    /// As files and options call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt => "gpt",
            Self::Bert => "bert",
            Self::Clip => "clip",
        }
    }

    /// As people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Gpt => "GPT",
            Self::Bert => "BERT",
            Self::Clip => "CLIP",
        }
    }

    /// Its presets; the first is the default.
    pub fn presets(self) -> &'static [Preset] {
        match self {
            Self::Gpt => PRESETS,
            Self::Bert => BERT_PRESETS,
            Self::Clip => CLIP_PRESETS,
        }
    }

    /// How many of the vocabulary's tokens are neither bytes nor learned, beside the end of a text.
    pub fn frame_size(self) -> usize {
        match self {
            Self::Gpt | Self::Clip => 0,
            Self::Bert => tokenizer::FRAME.len() - 1,
        }
    }
}

/// What BERT or CLIP learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveName {
    /// To find hidden tokens.
    Masked,
    /// To find the other view of a sentence among those of others; goes on from a model that has learned the first.
    Simcse,
    /// To find the caption of a picture among those of others, and the picture of a caption.
    Clip,
    /// To say of each picture and each caption whether they belong together.
    Siglip,
}

/// Where the norms of BERT's blocks stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormName {
    /// Before the layers.
    Pre,
    /// After the sums, as published.
    Post,
}

/// What the learning rate does after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleName {
    /// Stays.
    Constant,
    /// Falls as half a cosine.
    Cosine,
    /// Stays, then falls in a straight line over the last part, `decay_share` of the run.
    WarmupStableDecay,
}

/// How weights follow gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    /// AdamW.
    Adamw,
    /// Muon for the matrices of the blocks, AdamW for the rest.
    Muon,
}

/// What matrix products do with their operands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionName {
    /// Nothing: products of f32.
    #[default]
    F32,
    /// Round them to bf16; sums and weights stay f32.
    Bf16,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Precision::Full,
            PrecisionName::Bf16 => Precision::Bf16,
        }
    }
}
