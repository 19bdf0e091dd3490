//! Training: from options to a run directory that can be trusted with a night.
//!
//! - [`options`]: every option and its default; [`presets`]: what is found to work; [`setup`]: tokenizer, data and model from
//!   them; [`origin`]: the model that a run goes on from.
//! - [`mod@run`]: a run and its loop; [`step`]: one step's loss and gradient; [`cached`]: the same of a
//!   contrastive batch that is larger than the memory.
//! - [`evaluate`]: the loss on the validation part; [`representation`]: checks of the vectors that need no label; [`advice`]:
//!   what is said when either does not go as it should.
//! - [`checkpoint`]: what is saved, so that a run killed anywhere goes on with the same bits.
//! - [`metrics`], [`chart`]: what is logged and drawn.
//! - [`watch`]: how a program looks on: the plan, the progress, when to stop.

pub mod advice;
mod budget;
pub mod cached;
pub mod chart;
pub mod checkpoint;
pub mod evaluate;
pub mod metrics;
pub mod options;
pub mod origin;
pub mod presets;
pub mod representation;
pub mod run;
pub mod setup;
pub mod step;
pub mod watch;

pub use options::Options;
pub use run::{Run, train};
pub use setup::Setup;
pub use watch::Watch;
