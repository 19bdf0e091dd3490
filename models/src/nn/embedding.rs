//! A table of learned rows, one for each token or position.

use autograd::{Init, PADDING, ParamId, Scope, Tape};
use tensor::pool::Indices;

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

/// The rows of a table of positions for `n` tokens in rows of `time`: each token's place in its text, which begins where
/// `position_ids` has a 0, or with its row if there are none. A text's first token has row `first`.
pub fn positions(n: usize, time: usize, position_ids: Option<&[u32]>, first: u32) -> Indices {
    let mut positions = Indices::scratch(n);
    for (i, position) in positions.iter_mut().enumerate() {
        *position = match position_ids.map_or((i % time) as u32, |ids| ids[i]) {
            PADDING => 0, // nobody sees it
            place => first + place,
        };
    }
    positions
}
