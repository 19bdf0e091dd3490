//! A single row times a matrix: what generating a text consists of, where nothing is worth packing.

use super::instructions::fetch;
use super::tile::Start;
use super::{Mat, begin};
use crate::parallel::{chunks, grain_rows};
use crate::pool::Buffer;
use crate::rows;
use crate::simd::{Float, Stored};

/// c ← start + x·B for a single row x: every number of B is read once, in the order in which it stands, and nothing is
/// packed. What counts is how fast B arrives from memory. A task takes some whole rows of what is stored; if these run
/// across the inner dimension, its sums are added to those of the tasks before it.
pub(super) fn vector_matrix<T: Float, S: Stored<T>>(c: &mut [T], start: Start<T>, x: &[T], b: Mat<S>) {
    begin(c, start);
    if b.transposed {
        chunks(c, grain_rows(x.len()), |j0, c| {
            c.iter_mut().enumerate().for_each(|(j, c)| *c += rows::dot(x, b.stored_row(j0 + j)));
        });
        return;
    }
    let n = c.len();
    let run = (2 * grain_rows(n)).max(x.len().div_ceil(16));
    let mut sums = Buffer::<T>::zeros(x.len().div_ceil(run) * n);
    chunks(&mut sums, n, |at, sums| {
        let first = at / n * run;
        let (fours, rest) = x[first..(first + run).min(x.len())].as_chunks::<4>();
        for (i, &four) in fours.iter().enumerate() {
            let row = |r: usize| b.stored_row((first + 4 * i + r).min(x.len() - 1));
            // Rows are short for the processor's own foresight, which begins anew with each.
            (4..8).for_each(|r| row(r).iter().step_by(64 / size_of::<S>()).for_each(fetch));
            rows::add_scaled_rows(sums, four, [0, 1, 2, 3].map(row));
        }
        let last = first + 4 * fours.len();
        for (i, &x) in rest.iter().enumerate() {
            sums.iter_mut().zip(b.stored_row(last + i)).for_each(|(sum, b)| *sum += x * b.wide());
        }
    });
    sums.chunks_exact(n.max(1)).for_each(|sums| rows::add_row(c, sums));
}

/// c ← start + x·B for a single row x `[k]` and weights of half the width, `b` `[k, n]`: what `Precision::Bf16` gives,
/// with half as much to read. On all threads.
#[track_caller]
pub fn vector_matmul_half<T: Float>(c: &mut [T], start: Start<T>, x: &[T], b: Mat<T::Half>) {
    assert_eq!((x.len(), c.len()), (b.rows, b.cols), "matmul: [1, {}] times [{}, {}]", x.len(), b.rows, b.cols);
    let mut rounded = Buffer::scratch(x.len());
    rounded.iter_mut().zip(x).for_each(|(to, x)| *to = x.half().wide());
    vector_matrix(c, start, &rounded, b);
}
