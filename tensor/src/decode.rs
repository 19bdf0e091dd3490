//! Attention of a few new positions over many kept ones: what generation does for each token.

use crate::parallel::chunks;
use crate::pool::Buffer;
use crate::rows;
use crate::simd::Float;

/// Attention of T new positions, of which the first is number `first`: each head of each position takes a mean of
/// the values of all positions up to itself, weighted by softmax(q·kᵀ/√D).
///
/// `y` `[T, C]`, `qkv` `[T, 3C]` (only the queries are read), `keys` and `values` `[≥ first + T, C]`.
pub fn attend<T: Float>(y: &mut [T], qkv: &[T], keys: &[T], values: &[T], width: usize, heads: usize, first: usize) {
    let d = width / heads;
    let scale = T::of((d as f64).powf(-0.5));
    chunks(y, d, |at, y| {
        let (i, h) = (at / width, at % width / d);
        let q = &qkv[i * 3 * width + h * d..][..d];
        let head = |of: usize| of * width + h * d..of * width + (h + 1) * d;
        let mut p = Buffer::<T>::scratch(first + i + 1);
        p.iter_mut().enumerate().for_each(|(j, p)| *p = rows::dot(q, &keys[head(j)]) * scale); // q·kᵀ/√D
        rows::softmax(&mut p);
        y.fill(T::ZERO);
        p.iter().enumerate().for_each(|(j, &p)| rows::add_scaled_row(y, p, &values[head(j)])); // Σⱼ pⱼ·vⱼ
    });
}
