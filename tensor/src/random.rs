//! Keyed random streams: every random number is a function of (seed, stream, step, index), never of what was
//! drawn before it. So a run that is killed and resumed, or computed by another number of threads, sees the
//! same numbers, and there is no generator state to save.
//!
//! The function is ChaCha with 8 rounds (Bernstein 2008), a block cipher run over a counter: the key is
//! (seed, stream, step), the counter is the index. Any position of any stream can be read at once.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// What a random stream is used for. Two uses with the same seed and step draw from unrelated streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// Initial values of parameters; the step is the parameter's index.
    Init = 1,
    /// Which samples a step sees.
    Data = 2,
    /// Dropout masks; the step is combined with the operation's place on the tape.
    Dropout = 3,
    /// Tokens drawn while generating.
    Sample = 4,
    /// The built-in world, training part; the step is the story's number.
    World = 5,
    /// The built-in world, validation part.
    WorldVal = 6,
    /// Anything else: tests, benchmarks.
    Other = 7,
    /// Which tokens masked prediction hides, and behind what.
    Mask = 8,
    /// Which text of a window is taken, or which caption of a picture.
    Text = 9,
    /// The built-in world's scenes with captions, training part; the step is the scene's number.
    Pictured = 10,
    /// The built-in world's scenes with captions, validation part.
    PicturedVal = 11,
    /// What differs between two pictures of one scene.
    Drawing = 12,
    /// How a picture is cropped, moved, coloured and mirrored; the index is the sample's.
    View = 13,
}

/// A reader of one random stream, from a given index on.
///
/// ```
/// use tensor::random::{Random, Stream};
/// let mut all = Random::new(7, Stream::Data, 3);
/// let first: Vec<u32> = (0..10).map(|_| all.u32()).collect();
/// let mut later = Random::new(7, Stream::Data, 3).at(4);
/// assert_eq!(later.u32(), first[4]);
/// ```
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream keyed by `(seed, stream, step)`, at index 0.
    pub fn new(seed: u64, stream: Stream, step: u64) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(stream as u64).to_le_bytes());
        key[16..24].copy_from_slice(&step.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The same stream at `index`, counted in 32-bit draws.
    #[must_use]
    pub fn at(mut self, index: u64) -> Self {
        self.0.set_word_pos(u128::from(index));
        self
    }

    /// 32 random bits; moves on by one index.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Sixteen random bits each, two to a draw; moves on by half as many indices. An even number of them.
    pub fn fill(&mut self, bits: &mut [u16]) {
        self.0.fill_bytes(bytemuck::cast_slice_mut(bits));
    }

    /// 64 random bits; moves on by two indices.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform on [0, 1) with 53 random bits; moves on by two indices.
    pub fn uniform(&mut self) -> f64 {
        (self.u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform on 0..n: the high word of a 128-bit product (Lemire 2019), whose bias of at most n/2⁶⁴ no run can see.
    ///
    /// Panics if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below: nothing to choose from");
        ((u128::from(self.u64()) * u128::from(n)) >> 64) as u64
    }

    /// Brings some items into a random order, all orders equally probable (Fisher and Yates 1938, from the end).
    pub fn shuffle<I>(&mut self, items: &mut [I]) {
        (1..items.len()).rev().for_each(|i| items.swap(i, self.below(i as u64 + 1) as usize));
    }

    /// A standard normal number: √(−2 ln u)·cos 2πv for uniform u in (0, 1], v in [0, 1) (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ() {
        let draw = |seed, stream, step| Random::new(seed, stream, step).u64();
        let base = draw(1, Stream::Data, 0);
        assert_ne!(base, draw(1, Stream::Dropout, 0));
        assert_ne!(base, draw(1, Stream::Data, 1));
        assert_ne!(base, draw(2, Stream::Data, 0));
        assert_eq!(base, draw(1, Stream::Data, 0));
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut r = Random::new(0, Stream::Other, 0);
        let n = 100_000;
        let x: Vec<f64> = (0..n).map(|_| r.normal()).collect();
        let mean = x.iter().sum::<f64>() / n as f64;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.015, "mean {mean}"); // five standard errors of the mean
        assert!((var - 1.0).abs() < 0.025, "variance {var}");
    }

    #[test]
    fn below_reaches_every_value_about_equally_often() {
        let mut r = Random::new(3, Stream::Other, 0);
        let mut count = [0u32; 7];
        (0..70_000).for_each(|_| count[r.below(7) as usize] += 1);
        assert!(count.iter().all(|&c| (9_500..10_500).contains(&c)), "{count:?}");
    }
}
