//! What the processor could do at most: multiply-adds on registers, or tiles that the first-level cache holds, on all threads.
//!
//! Training and `bench` give their speed as a share of this figure, measured in the same minute on the same
//! machine, since absolute figures of shared machines mean little.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::matmul::{Pack, Plain, Precision, as_packed, unit};
use crate::simd::Float;

/// Multiply-adds of f32 that all threads together do in a second, counted as two operations each, with operands of a
/// precision.
pub fn measure(time: Duration, precision: Precision) -> f64 {
    let threads = crate::parallel::threads();
    let thread = |_| as_packed!(f32, precision, unit::here(), measure_thread(time));
    let rates: Vec<f64> = (0..threads).into_par_iter().with_max_len(1).map(thread).collect();
    rates.iter().sum()
}

/// Bytes that all threads together read from memory in a second: the limit of decoding, which reads every weight for
/// every token.
pub fn read_bandwidth(time: Duration) -> f64 {
    // Far more than any cache holds, and written: pages that nobody has written are all one page of zeros, in the cache.
    let mut numbers = crate::pool::Buffer::<f32>::scratch(1 << 27);
    numbers.par_chunks_mut(crate::parallel::GRAIN).for_each(|part| part.fill(1.0));
    let run = numbers.len() / (4 * crate::parallel::threads());
    let (start, mut best) = (Instant::now(), 0.0f64);
    while start.elapsed() < time || best == 0.0 {
        let begin = Instant::now();
        let sum: f32 = numbers.par_chunks(run).map(crate::rows::sum).sum();
        assert!(sum > 0.0, "what was read is not what was written");
        best = best.max(size_of_val(&numbers[..]) as f64 / begin.elapsed().as_secs_f64());
    }
    best
}

fn measure_thread<T: Float, P: Pack<T>>(time: Duration) -> f64 {
    let mut best = 0.0f64;
    let start = Instant::now();
    while start.elapsed() < time {
        let begin = Instant::now();
        let multiply_adds = P::exercise(2_000);
        best = best.max((2 * multiply_adds) as f64 / begin.elapsed().as_secs_f64());
    }
    best
}
