//! Raw data in: so far the built-in [`world`].
pub mod world;
