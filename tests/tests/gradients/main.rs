//! Is every gradient right? Each operation, on awkward shapes and random values, against witnesses of three
//! kinds (differences, the other precision, its composition from small operations), and against the laws of the house.
//!
//! - [`table`]: every operation, how its inputs are drawn, how it is applied. One row each; the tests walk it.
//! - [`check`]: what the tests share.
//! - [`differences`]: backward against finite differences, in f64.
//! - [`precision`]: f32 against f64.
//! - [`composed`]: the fused operations against their composition from small ones.
//! - [`edges`]: nothing, one, huge numbers, numbers that are none.
//! - [`laws`]: the bits do not depend on threads, on who else wants a gradient, or on whether a graph is kept.
//! - [`model`]: a small GPT, all operations at once: differences, micro-batches, tied weights, threads.
//! - [`gpt`], [`bert`]: the real models of the `models` crate, in f32.
//! - [`contrastive`]: the loss that tells texts apart, and the real BERT with it.
//! - [`step`]: a step of training, of all three, in parts, with dropout.
//! - [`image_text`]: the loss that tells pictures and captions apart, and the real CLIP with it, whole and in parts.
//! - [`optimiser`]: AdamW against one number at a time.
//! - [`muon`]: Muon against plain loops, and what it does to singular values.

mod bert;
mod check;
mod composed;
mod contrastive;
mod differences;
mod edges;
mod gpt;
mod image_text;
mod laws;
mod model;
mod muon;
mod optimiser;
mod precision;
mod step;
mod table;
