//! Gradients: how a model finds out in which direction to change.
//!
//! A model is a composition of operations. Each knows its own derivative; the chain rule does the rest. What is
//! here, in reading order:
//!
//! - [`tape`]: values and the operations that made them, in order; backward is one walk from the end.
//! - [`ops`]: every operation, a file each: derivation, forward, backward.
//! - [`params`]: where parameters live, named as in the checkpoint; [`gradients`]: the gradient of each, and clipping.
//! - [`optim`]: AdamW; [`muon`]: Muon, for matrices, beside it; [`schedule`]: the learning rate as a function of the step.
//! - [`profile`]: where the time goes.
//! - [`mod@gradcheck`]: any operation's gradient against finite differences; use it on your own.
//!
//! ```
//! use autograd::{Params, Tape};
//! use tensor::Tensor;
//!
//! let none = Params::default();
//! let tape = Tape::<f32>::new(&none);
//! let x = tape.variable(Tensor::of([2], &[3.0, 4.0]));
//! let y = (x * x).sum(); // y = Σ xᵢ²
//! assert_eq!(y.item(), 25.0);
//! assert_eq!(y.gradients(&[x])[0].data(), [6.0, 8.0]); // ∂y/∂xᵢ = 2xᵢ
//! ```

#![forbid(unsafe_code)]

pub mod gradcheck;
pub mod gradients;
pub mod muon;
pub mod ops;
pub mod optim;
pub mod params;
pub mod profile;
pub mod schedule;
pub mod tape;

pub use gradcheck::gradcheck;
pub use gradients::Gradients;
pub use muon::Muon;
pub use ops::OPERATIONS;
pub use ops::attention::PADDING;
pub use ops::cross_entropy::IGNORE;
pub use ops::gelu::Gelu;
pub use optim::{AdamW, AdamWOptions};
pub use params::{Init, ParamId, Params, Piece, Scope};
pub use profile::Profile;
pub use schedule::Schedule;
pub use tape::{DropoutKey, Tape, Var};
