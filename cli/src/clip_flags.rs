//! The options of training that only CLIP has: the table `[clip]` of train.toml.

use serde::Serialize;

/// Those not given are left to the file and the preset.
#[derive(clap::Args, Serialize)]
#[command(next_help_heading = "CLIP")]
pub struct ClipFlags {
    /// Side of a picture in pixels, to which its shorter side is resized
    #[arg(long, value_name = "N")]
    image_size: Option<usize>,
    /// Side of a patch in pixels; it divides the image size
    #[arg(long, value_name = "N")]
    patch_size: Option<usize>,
    /// Transformer blocks of the image encoder (--layers are the text encoder's)
    #[arg(long, value_name = "N")]
    vision_layers: Option<usize>,
    /// Attention heads of the image encoder
    #[arg(long, value_name = "N")]
    vision_heads: Option<usize>,
    /// Width of the image encoder
    #[arg(long, value_name = "N")]
    vision_width: Option<usize>,
    /// Numbers of a vector of the common space
    #[arg(long, value_name = "N")]
    embed_dim: Option<usize>,
    /// The column of a table that names the picture [default: the first of path, image, file, … that is there]
    #[arg(long, value_name = "COLUMN")]
    image_column: Option<String>,
    /// What is said of a picture, as templates over a table's columns, such as "{label}, {tags}"; in folders the columns are
    /// text (of the file beside it), folder and file, in IDX files class; of several, one is drawn at each visit [default: the
    /// columns caption, text and title, or else label]
    #[arg(long, num_args = 1.., value_name = "TEMPLATE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    captions: Vec<String>,
    /// Take the rows of tables for which this holds: COLUMN=VALUE or COLUMN!=VALUE
    #[arg(long = "where", num_args = 1.., value_name = "CONDITION")]
    #[serde(rename = "where", skip_serializing_if = "Vec::is_empty")]
    filters: Vec<String>,
    /// The least share of a picture's area that a random crop leaves; 1 means no crop [default: the preset's, or
    /// 1]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    crop: Option<f64>,
    /// By how much of its side a picture is moved at most [default: the preset's, or 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    shift: Option<f64>,
    /// By how much brightness, contrast and saturation change at most, from 0 to 1 [default: the preset's, or 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    colour: Option<f64>,
    /// By how much of the circle hues are turned at most, up to 0.5: then a thing is known by its shape (captions that name
    /// colours are then wrong) [default: 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    hue: Option<f64>,
    /// The share of pictures that are seen in grey (as for --hue) [default: 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    grey: Option<f64>,
    /// Mirror half of the pictures (captions that speak of left and right are then wrong)
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    flip: bool,
    /// The colour behind transparent pictures: red, green and blue from 0 to 255 [default: 255 255 255]
    #[arg(long, num_args = 3, value_names = ["R", "G", "B"])]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ground: Vec<u8>,
    /// The largest set of decoded pictures that is kept in memory, in MiB [default: 1024]
    #[arg(long, value_name = "MIB")]
    memory: Option<usize>,
}

impl ClipFlags {
    /// Whether none was given.
    pub fn nothing(&self) -> bool {
        toml::Table::try_from(self).is_ok_and(|table| table.is_empty())
    }
}
