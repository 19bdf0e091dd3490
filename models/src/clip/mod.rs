//! CLIP: a picture and what is said of it become vectors in one space, and there they lie together.
//!
//! Two encoders that know nothing of each other, one of pictures and one of texts, each end in a projection to E numbers. A
//! picture's vector is compared with a text's by the cosine, divided by a temperature that is learned (Radford et al. 2021,
//! "Learning Transferable Visual Models From Natural Language Supervision"). So a picture can be named by any words, also
//! by those of classes that nobody trained for, and be found by a sentence.
//!
//! [`config`] has the sizes; [`vision`] is the image encoder, [`text`] the text encoder, [`model`] both together.

pub mod config;
pub mod model;
pub mod text;
pub mod vision;

pub use config::{ClipConfig, TextConfig, VisionConfig};
pub use model::Clip;
