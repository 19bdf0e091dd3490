//! Options that only CLIP has: the table `[clip]` of train.toml.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokenizer::Tokenizer;
use toml::{Table, Value};

use super::check::{good, refuse};
use super::{ModelName, Options};
use crate::clip::{ClipConfig, TextConfig, VisionConfig};
use crate::data::captioned::ends;
use crate::data::pictures::{Augment, PictureOptions};
use crate::error::Result;

/// The largest set of decoded pictures that is kept in memory, in MiB.
const MEMORY: i64 = 1024;

/// What a model of pictures needs beside the options of all models, whose layers, heads and width are its text encoder's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipOptions {
    /// The side of a picture in pixels.
    pub image_size: usize,
    /// The side of a patch in pixels.
    pub patch_size: usize,
    /// How many blocks the image encoder has.
    pub vision_layers: usize,
    /// How many attention heads.
    pub vision_heads: usize,
    /// Its width.
    pub vision_width: usize,
    /// How many numbers a vector of the common space has.
    pub embed_dim: usize,
    /// The column of a table that names the picture; none means the first of the usual names that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// What is said of a picture, as templates over a table's columns: `{label}, {tags}`; none means every usual column.
    pub captions: Vec<String>,
    /// Which rows of a table are taken: `COLUMN=VALUE` or `COLUMN!=VALUE`, all of which hold.
    #[serde(rename = "where")]
    pub filters: Vec<String>,
    /// The least share of a picture's area that a random crop leaves; 1 means no crop.
    pub crop: f64,
    /// By how much of its side a picture is moved at most, to any side.
    pub shift: f64,
    /// By how much brightness, contrast and saturation change at most.
    pub colour: f64,
    /// By how much of the circle hues are turned at most.
    pub hue: f64,
    /// The share of pictures that are seen without their colours.
    pub grey: f64,
    /// Whether half of the pictures are mirrored. Captions that speak of left and right are then wrong.
    pub flip: bool,
    /// The colour that shows through transparent pictures: red, green and blue from 0 to 255.
    pub ground: [u8; 3],
    /// The largest set of decoded pictures that is kept in memory, in MiB.
    pub memory: usize,
}

impl ClipOptions {
    /// Which pictures of `data` are read, and how.
    pub fn pictures(&self, data: &[String]) -> PictureOptions {
        PictureOptions {
            data: data.iter().map(PathBuf::from).collect(),
            ground: self.ground,
            image: self.image_column.clone(),
            captions: self.captions.clone(),
            filters: self.filters.clone(),
            memory: (self.memory as u64) << 20,
            ..PictureOptions::default()
        }
    }

    /// What training does to pictures.
    pub fn augment(&self) -> Augment {
        Augment {
            crop: if self.crop < 1.0 { self.crop } else { 0.0 },
            shift: self.shift,
            brightness: self.colour,
            contrast: self.colour,
            saturation: self.colour,
            hue: self.hue,
            grey: self.grey,
            flip: self.flip,
            ..Augment::default()
        }
    }
}

/// What nobody said, in the table of a model of pictures.
pub(super) fn derive(table: &mut Table) {
    let none = || Value::Array(vec![]);
    let defaults: [(&str, Value); 10] = [
        ("captions", none()),
        ("where", none()),
        ("crop", 1.0.into()),
        ("shift", 0.0.into()),
        ("colour", 0.0.into()),
        ("hue", 0.0.into()),
        ("grey", 0.0.into()),
        ("flip", false.into()),
        ("ground", Value::Array(vec![255.into(); 3])),
        ("memory", MEMORY.into()),
    ];
    for (key, value) in defaults {
        table.entry(key).or_insert(value);
    }
}

/// The sizes that options ask for. The tokens that end a text are the tokenizer's: the last, until it is known.
pub(super) fn config(o: &Options, of: &ClipOptions) -> ClipConfig {
    let end = o.vocab_size.saturating_sub(1) as u32;
    let sigmoid = o.objective == Some(super::ObjectiveName::Siglip);
    let text = TextConfig {
        vocab_size: o.vocab_size,
        hidden_size: o.width,
        intermediate_size: 4 * o.width,
        num_hidden_layers: o.layers,
        num_attention_heads: o.heads,
        max_position_embeddings: o.block_size,
        bos_token_id: end,
        eos_token_id: end,
        pad_token_id: end,
        ..TextConfig::default()
    };
    let vision = VisionConfig {
        hidden_size: of.vision_width,
        intermediate_size: 4 * of.vision_width,
        num_hidden_layers: of.vision_layers,
        num_attention_heads: of.vision_heads,
        image_size: of.image_size,
        patch_size: of.patch_size,
        ..VisionConfig::default()
    };
    ClipConfig {
        text_config: text,
        vision_config: vision,
        projection_dim: of.embed_dim,
        logit_scale_init_value: ClipConfig::initial_scale(sigmoid),
        sigmoid,
    }
    .with_dropout(o.dropout)
}

/// The same with the tokens that the tokenizer has for a text's ends.
pub(super) fn ended(mut config: ClipConfig, tokenizer: &Tokenizer) -> ClipConfig {
    let (first, last) = ends(tokenizer);
    let text = &mut config.text_config;
    (text.bos_token_id, text.eos_token_id, text.pad_token_id) = (first.unwrap_or(last), last, last);
    config
}

/// Refuses what does not go together.
pub(super) fn check(o: &Options) -> Result<()> {
    let Some(of) = &o.clip else {
        return refuse([(o.model == ModelName::Clip, "a run of CLIP needs the table [clip]")]);
    };
    let (block, batch) = (o.block_size, o.batch_size);
    let named = !(of.captions.is_empty() && of.filters.is_empty() && of.image_column.is_none());
    let [crop, shift, colour, hue, grey] = [of.crop, of.shift, of.colour, of.hue, of.grey];
    let share = |x: f64| (0.0..=1.0).contains(&x);
    refuse([
        (block < 2, format!("a block size of {block} has no room for a token and the end of a text: give 2 or more")),
        (
            o.data.is_empty() && named,
            "captions, conditions and columns are of tables: name these with --data, or leave them out".to_owned(),
        ),
        (batch < 2, format!("a batch of {batch} has no other caption to be told from: give --batch-size 2 or more")),
    ])?;
    good([
        ("crop", crop, crop > 0.0 && crop <= 1.0, "a share of the picture, more than 0 and 1 at most"),
        ("shift", shift, (0.0..=0.5).contains(&shift), "0 to 0.5, beyond which a picture is out of sight"),
        ("colour", colour, share(colour), "0 (as they are) to 1"),
        ("hue", hue, (0.0..=0.5).contains(&hue), "0 (as they are) to 0.5 (half the circle, either way)"),
        ("grey", grey, share(grey), "0 (none) to 1 (all)"),
    ])
}
