//! Pictures and what people say of them: raw data for contrastive learning of images and text.
//!
//! | what | where |
//! |---|---|
//! | bytes → pixels, whatever kind of file it is | [`decode`] |
//! | pixels → what a model sees: a square of numbers about 0 | [`preprocess`] |
//! | the same picture, a little different each time | [`augment`] |
//! | tables, folders, shards and IDX files → pictures with captions | [`files`] |
//! | which picture comes when | [`order`] |
//!
//! There are many ways to keep pictures, and these are found by the path:
//!
//! | path | what is read |
//! |---|---|
//! | `.tsv`, `.csv`, `.jsonl` (`.json`, `.ndjson`) | a row for each picture: its path from the table's folder on, captions, perhaps a class |
//! | a folder | its `captions.tsv` (`.csv`, `.jsonl`), `pairs.tsv` or `metadata.csv` (`.jsonl`); its shards; or `KEY.png` beside `KEY.txt` |
//! | `.tar` | a WebDataset shard: `KEY.jpg` with `KEY.txt`, `KEY.json`, `KEY.cls`, read where it lies |
//! | `…idx3-ubyte` | MNIST and its likes, with the classes beside it |
//!
//! ```
//! use models::data::pictures::{Augment, Picture, PictureFiles, PictureOptions, Preprocess};
//! # let dir = tempfile::tempdir().unwrap();
//! # let png = image::RgbImage::from_pixel(8, 8, image::Rgb([200, 0, 0]));
//! # png.save(dir.path().join("a.png")).unwrap();
//! # png.save(dir.path().join("b.png")).unwrap();
//! let table = dir.path().join("captions.tsv");
//! std::fs::write(&table, "path\tlabel\na.png\tan apple\nb.png\t\n")?;
//! let options = PictureOptions { data: vec![table], captions: vec!["a photo of {label}".into()], ..Default::default() };
//! let pictures = PictureFiles::open(&options)?;
//! assert_eq!(pictures.captions(0), ["a photo of an apple"]);
//! assert_eq!(pictures.notes(), ["1 picture without a caption passed over: b.png of captions.tsv"]);
//!
//! let clip = Preprocess { size: 4, ..Preprocess::default() };
//! let mut numbers = vec![0.0; clip.numbers()]; // [3, 4, 4]
//! let (_, picture) = pictures.sample(pictures.order(7, 0)[0] as usize)?;
//! Augment::default().apply(&picture, &clip, [7, 0, 0], &mut numbers);
//! assert!(numbers[0] > 1.0, "red");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod augment;
pub mod decode;
pub mod files;
pub mod order;
pub mod preprocess;
mod sources;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use augment::Augment;
pub use files::PictureFiles;
pub use preprocess::Preprocess;
pub use sources::{is_foreign, is_picture};

/// A picture as a program sees it: H rows of W pixels, from the top left, each of red, green and blue from 0 to 255.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Picture {
    /// W: pixels of a row.
    pub width: usize,
    /// H: rows.
    pub height: usize,
    /// 3·W·H numbers: red, green and blue of each pixel.
    pub rgb: Vec<u8>,
}

/// Which pictures, and what is said of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PictureOptions {
    /// Tables, folders, shards and IDX files.
    pub data: Vec<PathBuf>,
    /// What lies under what is transparent: red, green and blue.
    pub ground: [u8; 3],
    /// The column of a table that holds the pictures' paths; else the first there is of path, image, file, file_name,
    /// filename, filepath and image_path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Templates over columns, a caption each: `a drawing of {label}`. If there is none, each of the columns caption,
    /// captions, text and title that is there is a caption, or else label.
    pub captions: Vec<String>,
    /// The column of classes; else the first there is of class, cls and label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The names of the classes 0, 1, 2, … of IDX files.
    pub classes: Vec<String>,
    /// `COLUMN=VALUE` or `COLUMN!=VALUE`; a picture counts if all of them hold.
    pub filters: Vec<String>,
    /// Bytes of decoded pictures that are kept in memory.
    pub memory: u64,
    /// Whether pictures of which nothing is said are kept: they teach nothing, but can be found and named.
    #[serde(skip)]
    pub silent: bool,
}

impl Default for PictureOptions {
    /// No source; white under what is transparent; a gigabyte of decoded pictures, which is 300,000 of 32 x 32; none of which
    /// nothing is said.
    fn default() -> Self {
        Self {
            data: Vec::new(),
            ground: decode::WHITE,
            image: None,
            captions: Vec::new(),
            class: None,
            classes: Vec::new(),
            filters: Vec::new(),
            memory: 1 << 30,
            silent: false,
        }
    }
}
