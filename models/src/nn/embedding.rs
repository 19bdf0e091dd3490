//! A table of learned rows, one for each token or position.

use autograd::{Init, ParamId, Scope, Tape};

use super::Value;

/// Numbers to rows: ids `[B, T]` → `[B, T, C]`.
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: ParamId, // [V, C]
}

impl Embedding {
    /// A table of `rows` rows of `width` numbers, initially normal with the given deviation.
    pub fn new(rows: usize, width: usize, deviation: f64, mut at: Scope) -> Self {
        Self { weight: at.param("weight", [rows, width], Init::Normal(deviation)) }
    }

    /// The rows of `ids`, which are B rows of T numbers: `[B, T, C]`.
    pub fn forward<'t>(&self, tape: &'t Tape<'t>, ids: &[u32], batch: usize) -> Value<'t> {
        self.table(tape).embedding(ids, [batch, ids.len() / batch])
    }

    /// The table itself `[V, C]`, for an output tied to the input.
    pub fn table<'t>(&self, tape: &'t Tape<'t>) -> Value<'t> {
        tape.param(self.weight)
    }
}
