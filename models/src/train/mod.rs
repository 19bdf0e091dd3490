//! Training: from options to a run directory that can be trusted with a night.
//!
//! - [`options`]: every option and its default; [`presets`]: what is found to work; [`setup`]: tokenizer, data and model from them.
//! - [`mod@run`]: the loop itself, on one screen; [`step`]: one step's loss and gradient.
//! - [`evaluate`]: the loss on the validation part.
//! - [`checkpoint`]: what is saved, so that a run killed anywhere goes on with the same bits.
//! - [`metrics`], [`chart`]: what is logged and drawn.
//! - [`watch`]: how a program looks on: the plan, the progress, when to stop.

pub mod chart;
pub mod checkpoint;
pub mod evaluate;
pub mod metrics;
pub mod options;
pub mod presets;
pub mod run;
pub mod setup;
pub mod step;
pub mod watch;

pub use options::Options;
pub use run::{Run, train};
pub use setup::Setup;
pub use watch::Watch;
