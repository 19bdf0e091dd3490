//! What is learned, and how.
//!
//! In reading order:
//!
//! - [`nn`]: the layers that all models share.
//! - [`gpt`]: GPT-2, top-down. [`bert`]: BERT, likewise. [`clip`]: CLIP, with its image encoder.
//! - [`pretext`]: free labels from raw data: next-token prediction, masked prediction, contrastive prediction.
//! - [`data`]: raw data in: texts, pictures with captions, labelled examples, the built-in world.
//! - [`mod@train`]: the loop, checkpoints, metrics.
//! - [`transfer`]: what was learned in use: generating, filling, fine-tuning, vectors and search, naming pictures.
//! - [`hub`]: Hugging Face's files, in and out, and agreement with recorded references.
//!
//! [`error`] and [`files`] are for the world outside: sentences, and files that are complete or absent.

#![forbid(unsafe_code)]

pub mod bert;
pub mod clip;
pub mod data;
pub mod error;
pub mod files;
pub mod gpt;
pub mod hub;
pub mod model;
pub mod nn;
pub mod pretext;
pub mod train;
pub mod transfer;

pub use error::{Error, Result};
pub use model::{Config, Model};
