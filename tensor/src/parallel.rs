//! Loops over several cores that give the same bits for any number of them.
//!
//! Work is cut into chunks whose size depends on the data alone (that of a matrix product on the number of threads as well, but
//! only between rows, none of whose sums is cut). Which thread computes a chunk is left to rayon; what is computed in it, and the
//! order in which partial results are added up, is not. Every chunk can be taken over by a thread that has nothing left to do
//! (`with_max_len(1)`; by itself rayon makes runs of several, at whose end others wait).

use rayon::prelude::*;

use crate::pool::Buffer;

/// About how many numbers one task should touch: some tens of microseconds of work, a thousand times the cost of
/// handing the task over.
pub const GRAIN: usize = 1 << 15;

/// How many rows of `cols` numbers make a task of about [`GRAIN`] numbers.
pub fn grain_rows(cols: usize) -> usize {
    (GRAIN / cols.max(1)).max(1)
}

/// Runs `body(first, part)` for every run of `size` elements of `y`, on all threads; `first` is the part's place in `y`.
pub fn chunks<Y: Send>(y: &mut [Y], size: usize, body: impl Fn(usize, &mut [Y]) + Send + Sync) {
    let size = size.max(1);
    if y.len() <= size {
        if !y.is_empty() {
            body(0, y);
        }
        return;
    }
    y.par_chunks_mut(size).enumerate().with_max_len(1).for_each(|(i, part)| body(i * size, part));
}

/// As [`chunks`], over two slices cut into the same number of parts.
pub fn chunks2<Y: Send, Z: Send>(
    (y, y_size): (&mut [Y], usize),
    (z, z_size): (&mut [Z], usize),
    body: impl Fn(usize, &mut [Y], &mut [Z]) + Send + Sync,
) {
    let parts = y.par_chunks_mut(y_size.max(1)).zip(z.par_chunks_mut(z_size.max(1)));
    parts.enumerate().with_max_len(1).for_each(|(i, (y, z))| body(i, y, z));
}

/// As [`chunks`], over three slices cut into the same number of parts.
pub fn chunks3<X: Send, Y: Send, Z: Send>(
    (x, x_size): (&mut [X], usize),
    (y, y_size): (&mut [Y], usize),
    (z, z_size): (&mut [Z], usize),
    body: impl Fn(usize, &mut [X], &mut [Y], &mut [Z]) + Send + Sync,
) {
    let parts = x.par_chunks_mut(x_size.max(1)).zip(y.par_chunks_mut(y_size.max(1)));
    let parts = parts.zip(z.par_chunks_mut(z_size.max(1)));
    parts.enumerate().with_max_len(1).for_each(|(i, ((x, y), z))| body(i, x, y, z));
}

/// What `f` makes of each of `xs`, in their order, each a task of its own.
pub fn map<X: Sync, Y: Send>(xs: &[X], f: impl Fn(&X) -> Y + Send + Sync) -> Vec<Y> {
    xs.par_iter().with_max_len(1).map(f).collect()
}

/// The sum of `f(first..end)` over fixed runs of `size` indices of `0..n`, in double precision and in order.
pub fn sum(n: usize, size: usize, f: impl Fn(std::ops::Range<usize>) -> f64 + Send + Sync) -> f64 {
    let part = |i: usize| f(i * size..((i + 1) * size).min(n));
    let parts = n.div_ceil(size);
    if parts <= 1 {
        return (0..parts).map(part).sum();
    }
    let mut partial = Buffer::<f64>::scratch(parts);
    partial.par_iter_mut().enumerate().with_max_len(1).for_each(|(i, p)| *p = part(i));
    partial.iter().sum()
}

/// Runs `body` on one of the loops' own threads. A loop that is begun there hands over half of its work and does the
/// other half itself; one begun elsewhere waits for a thread to wake up, many times in a training step.
pub fn inside<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| body())
}

/// Runs `a` and `b` side by side, if there are threads for both.
pub fn both<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    rayon::join(a, b)
}

/// Sets how many threads the whole program uses (0: as many as there are cores). Only the first call has an effect.
pub fn set_threads(threads: usize) {
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
}

/// How many threads the loops of this module use.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Runs `body` with a given number of threads: how tests show that results do not depend on it.
pub fn with_threads<R: Send>(threads: usize, body: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("the system refused to start threads").install(body)
}
