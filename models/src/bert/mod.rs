//! BERT: a transformer that sees a text from both sides and finds hidden tokens again.
//!
//! [`config`]: sizes. [`model`]: the model itself, top-down as in the paper (Devlin et al. 2019, "BERT: Pre-training of
//! Deep Bidirectional Transformers for Language Understanding"), with the parameter names of Hugging Face's checkpoint.

pub mod config;
pub mod model;

pub use config::BertConfig;
pub use model::Bert;
