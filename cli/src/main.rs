//! The `pretext` program.
fn main() {}
