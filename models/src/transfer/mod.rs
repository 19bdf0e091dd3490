//! What was learned, in use.
//!
//! [`generate`]: a GPT continues a text.

pub mod generate;
