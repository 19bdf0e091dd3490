//! What the processor could do at most: multiply-adds on registers alone, on all threads.
//!
//! Training and `bench` give their speed as a share of this figure, measured in the same minute on the same
//! machine, since absolute figures of shared machines mean little.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::matmul::{Pack, Plain, Precision};
use crate::simd::{Float, Lanes};

/// Independent sums: enough to fill the pipelines of two multiply-add units of four cycles' latency.
const CHAINS: usize = 12;

/// Multiply-adds of f32 that all threads together do in a second, counted as two operations each, with operands of a
/// precision.
pub fn measure(time: Duration, precision: Precision) -> f64 {
    let thread = match precision {
        Precision::Full => measure_thread::<f32, Plain>,
        Precision::Bf16 => measure_thread::<f32, <f32 as Float>::Bf16>,
    };
    let threads = crate::parallel::threads();
    let rates: Vec<f64> = (0..threads).into_par_iter().with_max_len(1).map(|_| thread(time)).collect();
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
    let (a, b) = (std::hint::black_box(T::Lanes::of(0.999)), std::hint::black_box(T::Lanes::of(1e-3)));
    let mut best = 0.0f64;
    let start = Instant::now();
    while start.elapsed() < time {
        let mut sums = [T::Lanes::splat(T::ONE); CHAINS];
        let rounds = 20_000;
        let begin = Instant::now();
        for _ in 0..rounds {
            sums.iter_mut().for_each(|s| *s = P::add_product(*s, a, b));
        }
        let seconds = begin.elapsed().as_secs_f64();
        std::hint::black_box(sums);
        best = best.max((rounds * CHAINS * T::Lanes::N * P::STEP * 2) as f64 / seconds);
    }
    best
}
