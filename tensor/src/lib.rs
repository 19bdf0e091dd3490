//! Numbers.
pub mod mapped;
pub mod random;
