//! What was learned, in use.
//!
//! - [`generate`]: a GPT continues a text.
//! - [`clip`]: pictures and texts in one space: naming, searching, retrieval.
//! - [`fill`]: a BERT finds hidden tokens.
//! - [`embed`]: texts as vectors, and the search among them; [`kept`]: vectors in files; [`similar`]: how good
//!   these are.
//! - [`finetune`]: a model learns a task from labelled examples; [`score`]: how good it is then, as others state it.
//! - [`curve`]: what pre-training was worth, against the number of labels; [`logistic`]: what simple features are worth.

pub mod clip;
pub mod curve;
pub mod embed;
pub mod fill;
pub mod finetune;
pub mod generate;
pub mod kept;
pub mod logistic;
pub mod score;
pub mod similar;
