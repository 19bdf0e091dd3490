//! Continuing a text: the model's probabilities for the next token, a choice, and again.
//!
//! Choosing always the likeliest token ("greedy") soon repeats itself; choosing by the raw probabilities now and
//! then falls into the long tail of unlikely tokens. Temperature divides the scores (below 1 sharpens), top-k keeps
//! the k likeliest tokens (Fan et al. 2018), top-p the fewest that together hold probability p (Holtzman et al. 2020).

use autograd::Params;
use tensor::random::{Random, Stream};

use crate::gpt::{Gpt, KeyValueCache};

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Scores are divided by this; 0 means greedy.
    pub temperature: f64,
    /// Only the k likeliest tokens; 0 means all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability; 1 means all.
    pub top_p: f64,
    /// Which random choices: a function of (seed, sample, position).
    pub seed: u64,
    /// Only ids below this: a model's table may be padded beyond the tokens that there are.
    pub vocab: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.8, top_k: 50, top_p: 1.0, seed: 0, vocab: usize::MAX }
    }
}

impl Sampling {
    /// The id chosen from these scores `[V]`, for token number `position` of text number `sample`.
    pub fn choose(&self, scores: &[f32], sample: u64, position: u64) -> u32 {
        let scores = &scores[..scores.len().min(self.vocab)];
        // Likeliest first; equal scores by id, so that the choice is the same everywhere.
        let mut ranked: Vec<u32> = (0..scores.len() as u32).collect();
        let better = |&a: &u32, &b: &u32| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b));
        if self.temperature <= 0.0 {
            return ranked.into_iter().min_by(better).unwrap_or(0);
        }
        if self.top_k > 0 && self.top_k < ranked.len() {
            ranked.select_nth_unstable_by(self.top_k - 1, better);
            ranked.truncate(self.top_k);
        }
        ranked.sort_unstable_by(better);
        let best = f64::from(scores[ranked[0] as usize]);
        let weight = |&id: &u32| ((f64::from(scores[id as usize]) - best) / self.temperature).exp();
        let weights: Vec<f64> = ranked.iter().map(weight).collect();
        let kept = nucleus(&weights, self.top_p);
        let total: f64 = weights[..kept].iter().sum();
        let mut left = Random::new(self.seed, Stream::Sample, sample).at(2 * position).uniform() * total;
        let drawn = weights[..kept].iter().position(|w| {
            left -= w;
            left < 0.0
        });
        ranked[drawn.unwrap_or(kept - 1)]
    }
}

/// How many of the sorted weights it takes to reach the share `top_p` of their sum; at least one.
fn nucleus(weights: &[f64], top_p: f64) -> usize {
    let enough = top_p * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let reached = weights.iter().position(|w| {
        sum += w;
        sum >= enough
    });
    reached.map_or(weights.len(), |i| i + 1)
}

/// Continues `prompt` token by token. Yields ids without end; take as many as are wanted.
pub struct Generator<'a> {
    model: &'a Gpt,
    params: &'a Params,
    sampling: Sampling,
    sample: u64,
    ids: Vec<u32>,
    cache: KeyValueCache,
    /// How many ids were generated.
    made: u64,
}

impl<'a> Generator<'a> {
    /// A continuation of `prompt`, number `sample` of those with the same seed. Of a prompt longer than the block the
    /// end is used; of an empty one nothing is known, and `start` stands in for it.
    pub fn new(
        model: &'a Gpt,
        params: &'a Params,
        prompt: &[u32],
        start: u32,
        sampling: Sampling,
        sample: u64,
    ) -> Self {
        let ids = if prompt.is_empty() { vec![start] } else { prompt.to_vec() };
        Self { model, params, sampling, sample, ids, cache: KeyValueCache::new(&model.config), made: 0 }
    }

    /// The scores of every token for the next place.
    ///
    /// Positions are learned, so the cache holds as long as the text begins where it began. When the block is full
    /// the window moves on by half a block and is read again.
    fn scores(&mut self) -> Vec<f32> {
        let block = self.model.config.n_positions;
        let known = self.cache.len();
        if known + 1 > block || known == 0 {
            self.cache.clear();
            let keep = if known == 0 { block } else { block.div_ceil(2) };
            self.ids.drain(..self.ids.len().saturating_sub(keep));
        }
        let (new, cache) = (&self.ids[self.cache.len()..], &mut self.cache);
        let scores = || self.model.next_logits(self.params, new, cache).data().to_vec();
        tensor::parallel::inside(scores)
    }
}

impl Iterator for Generator<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let scores = self.scores();
        let id = self.sampling.choose(&scores, self.sample, self.made);
        self.ids.push(id);
        self.made += 1;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_takes_the_best_and_the_first_of_equals() {
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(greedy.choose(&[0.1, 3.0, 3.0, -1.0], 0, 0), 1);
        let padded = Sampling { vocab: 1, ..greedy };
        assert_eq!(padded.choose(&[0.1, 3.0, 3.0, -1.0], 0, 0), 0, "no token has another id");
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let scores = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        // At temperature ½ each probability is squared, before they are made to sum to one.
        for (temperature, want) in [(1.0, [0.5, 0.3, 0.2]), (0.5, [0.25, 0.09, 0.04].map(|p| p / 0.38))] {
            let sampling = Sampling { temperature, top_k: 0, seed: 5, ..Sampling::default() };
            let mut counts = [0.0f64; 3];
            (0..20_000).for_each(|i| counts[sampling.choose(&scores, 0, i) as usize] += 1.0 / 20_000.0);
            for (got, want) in counts.iter().zip(want) {
                assert!((got - want).abs() < 0.015, "{temperature}: {counts:?}"); // four standard errors
            }
        }
    }

    #[test]
    fn top_k_and_top_p_leave_the_tail_out() {
        let scores = [0.5f32.ln(), 0.3f32.ln(), 0.15f32.ln(), 0.05f32.ln()];
        let drawn = |top_k, top_p| {
            let sampling = Sampling { temperature: 1.0, top_k, top_p, seed: 1, ..Sampling::default() };
            (0..2000).map(|i| sampling.choose(&scores, 3, i)).max()
        };
        assert_eq!(drawn(2, 1.0), Some(1));
        assert_eq!(drawn(0, 0.75), Some(1));
        assert_eq!(drawn(0, 0.9), Some(2));
        assert_eq!(drawn(0, 1.0), Some(3));
    }

    #[test]
    fn the_cache_gives_the_scores_of_the_whole_row() {
        use crate::gpt::GptConfig;
        use crate::pretext::Batch;
        use autograd::Tape;
        let (model, mut params) = Gpt::init(&GptConfig::new(20, 8, 2, 3, 12), 1);
        params.flat_mut().iter_mut().for_each(|w| *w *= 10.0); // far from uniform
        let ids = [3, 1, 4, 1, 5, 9, 2, 6];
        let mut batch = Batch::new();
        batch.push(&[&ids[..], &[0]].concat(), 8);
        let tape = Tape::no_grad(&params);
        let whole = model.logits(&tape, batch.all()).value();
        let mut cache = KeyValueCache::new(&model.config);
        for (range, last) in [(0..3, 2), (3..4, 3), (4..8, 7)] {
            let next = model.next_logits(&params, &ids[range], &mut cache);
            for (a, b) in next.data().iter().zip(&whole.data()[last * 20..]) {
                assert!((a - b).abs() < 1e-4, "position {last}: {a} {b}");
            }
        }
    }

    #[test]
    fn weights_at_half_the_width_give_nearly_the_same_scores() {
        use crate::gpt::GptConfig;
        let (model, mut params) = Gpt::init(&GptConfig::new(300, 8, 2, 4, 36), 1);
        let scores = |params: &Params| {
            let mut cache = KeyValueCache::new(&model.config);
            let many = model.next_logits(params, &[3, 1, 4], &mut cache);
            [many, model.next_logits(params, &[1], &mut cache)]
        };
        let full = scores(&params);
        Gpt::halve(&mut params);
        let half = scores(&params);
        for (full, half) in full.iter().zip(&half) {
            let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
            let off = norm(&mut full.data().iter().zip(half.data()).map(|(a, b)| a - b));
            let share = off / norm(&mut full.data().iter().copied());
            assert!(share > 1e-4 && share < 2e-2, "{share}");
        }
        params.flat_mut()[0] += 1.0;
        assert!(!params.halved(), "changed weights beside old halves");
    }

    #[test]
    fn generation_goes_on_beyond_the_block() {
        let (model, params) = Gpt::init(&crate::gpt::GptConfig::new(20, 8, 1, 1, 8), 1);
        let long: Vec<u32> = (0..30).map(|i| i % 20).collect();
        let ids: Vec<u32> = Generator::new(&model, &params, &long, 0, Sampling::default(), 0).take(40).collect();
        assert!(ids.len() == 40 && ids.iter().all(|&id| id < 20));
    }

    #[test]
    fn of_a_prompt_longer_than_the_block_the_end_is_read() {
        let (model, mut params) = Gpt::init(&crate::gpt::GptConfig::new(20, 8, 2, 2, 8), 1);
        params.flat_mut().iter_mut().for_each(|w| *w *= 10.0); // far from uniform: what is read tells
        let long: Vec<u32> = (0..30).map(|i| i * 7 % 20).collect();
        let scores = |prompt: &[u32]| Generator::new(&model, &params, prompt, 0, Sampling::default(), 0).scores();
        assert_eq!(scores(&long), scores(&long[22..]));
        assert_ne!(scores(&long), scores(&long[..8]));
    }
}
