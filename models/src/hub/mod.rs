//! Hugging Face's files, in and out: config.json, model.safetensors, tokenizer.json.
//!
//! A run directory is such a checkpoint, and such a checkpoint can be opened here. [`weights`] reads and writes
//! safetensors; [`gpt2`] knows GPT-2's config and the names of its parameters; [`verify`] holds our numbers against
//! recorded ones.

pub mod gpt2;
pub mod verify;
pub mod weights;
