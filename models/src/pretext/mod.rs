//! Free labels from raw data: the part of a sample that is hidden is the label.
//!
//! [`next_token`]: every token is the label of those before it.

pub mod next_token;

pub use next_token::{Batch, Part};
