//! The option `--precision` of commands that have no train.toml.

use clap::ValueEnum;
use tensor::matmul;

/// What matrix products do with their operands.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// Nothing
    F32,
    /// Round them to bf16
    Bf16,
}

impl From<Precision> for matmul::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::Full,
            Precision::Bf16 => Self::Bf16,
        }
    }
}
