//! Next-token prediction: a window of text is both input and label, shifted by one.
//!
//! From T + 1 tokens x₀ … x_T, the input is x₀ … x_{T−1} and the target at position i is xᵢ₊₁: one window trains T
//! predictions at once, since a causal model sees at each position only what came before. (Bengio et al. 2003.)

use autograd::IGNORE;

use super::Batch;

impl Batch {
    /// Adds a row from a window of T + 1 tokens. A shorter window is filled up to `time` with positions that do not count.
    pub fn push(&mut self, window: &[u32], time: usize) {
        let n = window.len().saturating_sub(1).min(time);
        self.ids.extend_from_slice(&window[..n]);
        self.ids.resize(self.ids.len() + time - n, 0);
        self.targets.extend_from_slice(&window[window.len().min(1)..][..n]);
        self.targets.resize(self.targets.len() + time - n, IGNORE);
        self.rows += 1;
    }
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
        assert_eq!(batch.micro(1..2).targets, [2, IGNORE, IGNORE]);
    }
}
