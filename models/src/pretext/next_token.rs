//! Next-token prediction: a window of text is both input and label, shifted by one.
//!
//! From T + 1 tokens x₀ … x_T, the input is x₀ … x_{T−1} and the target at position i is xᵢ₊₁: one window trains T
//! predictions at once, since a causal model sees at each position only what came before. (Bengio et al. 2003.)

use std::ops::Range;

use autograd::IGNORE;

/// Rows of token ids with the target of every position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Inputs: `rows` rows of equal length.
    pub ids: Vec<u32>,
    /// The token to be predicted at each position, or [`IGNORE`].
    pub targets: Vec<u32>,
    /// B: how many rows.
    pub rows: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row from a window of T + 1 tokens. A shorter window is filled up to `time` with positions that do not count.
    pub fn push(&mut self, window: &[u32], time: usize) {
        let n = window.len().saturating_sub(1).min(time);
        self.ids.extend_from_slice(&window[..n]);
        self.ids.resize(self.ids.len() + time - n, 0);
        self.targets.extend_from_slice(&window[window.len().min(1)..][..n]);
        self.targets.resize(self.targets.len() + time - n, IGNORE);
        self.rows += 1;
    }

    /// Takes all rows out, and keeps the memory for the next.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.targets.clear();
        self.rows = 0;
    }

    /// Some of the rows: a micro-batch.
    pub fn part(&self, rows: Range<usize>) -> Part<'_> {
        let time = self.ids.len() / self.rows.max(1);
        let place = rows.start * time..rows.end * time;
        Part { ids: &self.ids[place.clone()], targets: &self.targets[place], rows: rows.len() }
    }

    /// All rows.
    pub fn all(&self) -> Part<'_> {
        self.part(0..self.rows)
    }

    /// How many positions count.
    pub fn count(&self) -> usize {
        self.targets.iter().filter(|&&t| t != IGNORE).count()
    }
}

/// Some rows of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// As [`Batch::ids`].
    pub ids: &'a [u32],
    /// As [`Batch::targets`].
    pub targets: &'a [u32],
    /// How many rows.
    pub rows: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_to_predict_the_token_after_it() {
        let mut batch = Batch::new();
        batch.push(&[5, 6, 7, 8], 3);
        batch.push(&[1, 2], 3);
        assert_eq!(batch.ids, [5, 6, 7, 1, 0, 0]);
        assert_eq!(batch.targets, [6, 7, 8, 2, IGNORE, IGNORE]);
        assert_eq!(batch.count(), 4);
        assert_eq!(batch.part(1..2).targets, [2, IGNORE, IGNORE]);
    }
}
