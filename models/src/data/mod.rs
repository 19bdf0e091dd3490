//! Raw data in.

pub mod world;
