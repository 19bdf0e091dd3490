//! GPT-2: a transformer that predicts the next token.
//!
//! [`config`]: sizes. [`model`]: the model itself, top-down as in the paper (Radford et al. 2019,
//! "Language Models are Unsupervised Multitask Learners"), with the parameter names of Hugging Face's checkpoint.

pub mod config;
pub mod model;

pub use config::GptConfig;
pub use model::{Gpt, KeyValueCache, STYLE};
