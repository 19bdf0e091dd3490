//! Reductions along rows and columns of a matrix: sums, maxima, dot products, softmax, the statistics of a norm.
//!
//! All sums run over lanes first and over the lanes' total last, in an order that depends on the length alone.

use crate::parallel::{chunks, grain_rows};
use crate::pool::Buffer;
use crate::simd::{Float, Lanes, Stored};

/// Steps over a row in lanes, in four accumulators that do not wait for one another and are joined at the end; `fill`
/// stands in the lanes beyond the row's end.
#[inline(always)]
fn fold<T: Float>(
    x: &[T],
    fill: T,
    start: T::Lanes,
    step: impl Fn(T::Lanes, T::Lanes) -> T::Lanes,
    join: impl Fn(T::Lanes, T::Lanes) -> T::Lanes,
) -> T::Lanes {
    let n = T::Lanes::N;
    let mut acc = [start; 4];
    let mut fours = x.chunks_exact(4 * n);
    for four in &mut fours {
        for (acc, part) in acc.iter_mut().zip(four.chunks_exact(n)) {
            *acc = step(*acc, T::Lanes::load(part));
        }
    }
    for (acc, part) in acc.iter_mut().zip(fours.remainder().chunks(n)) {
        *acc = step(*acc, T::Lanes::load_part(part, fill));
    }
    join(join(acc[0], acc[1]), join(acc[2], acc[3]))
}

/// Σᵢ xᵢ
pub fn sum<T: Float>(x: &[T]) -> T {
    fold(x, T::ZERO, T::Lanes::splat(T::ZERO), |acc, x| acc + x, |a, b| a + b).sum()
}

/// maxᵢ xᵢ; −∞ for an empty row.
pub fn max<T: Float>(x: &[T]) -> T {
    let low = T::of(f64::NEG_INFINITY);
    fold(x, low, T::Lanes::splat(low), T::Lanes::max, T::Lanes::max).largest()
}

/// The place of the largest element; of equals the first, and 0 of none.
pub fn argmax<X: PartialOrd>(x: &[X]) -> usize {
    (0..x.len()).reduce(|best, i| if x[i] > x[best] { i } else { best }).unwrap_or(0)
}

/// The places of the `k` largest numbers, the largest first; of equals the earlier.
pub fn best(x: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[b].total_cmp(&x[a]));
    order.truncate(k);
    order
}

/// Σᵢ aᵢ·bᵢ
pub fn dot<T: Float, S: Stored<T>>(a: &[T], b: &[S]) -> T {
    assert_eq!(a.len(), b.len(), "dot: the rows differ in length");
    let n = T::Lanes::N;
    // Four sums that do not wait for one another.
    let mut acc = [T::Lanes::splat(T::ZERO); 4];
    let (mut a, mut b) = (a.chunks_exact(4 * n), b.chunks_exact(4 * n));
    for (a, b) in (&mut a).zip(&mut b) {
        for (i, acc) in acc.iter_mut().enumerate() {
            *acc = T::Lanes::load(&a[i * n..]).mul_add(S::load(&b[i * n..]), *acc);
        }
    }
    for ((a, b), acc) in a.remainder().chunks(n).zip(b.remainder().chunks(n)).zip(&mut acc) {
        let b = if b.len() == n {
            S::load(b)
        } else {
            let mut wide = [T::ZERO; 16];
            wide.iter_mut().zip(b).for_each(|(wide, b)| *wide = b.wide());
            T::Lanes::load(&wide)
        };
        *acc = T::Lanes::load_part(a, T::ZERO).mul_add(b, *acc);
    }
    ((acc[0] + acc[1]) + (acc[2] + acc[3])).sum()
}

/// One row's softmax in place: pᵢ = exp(xᵢ − m) / Σⱼ exp(xⱼ − m) with m = max x, so that no exponent overflows.
/// Returns ln Σⱼ exp xⱼ, from which every pᵢ can be computed again: pᵢ = exp(xᵢ − that).
pub fn softmax<T: Float>(x: &mut [T]) -> T {
    let (m, sum) = exp_shifted(x, T::ONE);
    let scale = T::Lanes::splat(T::ONE / sum);
    update(x, T::ZERO, |x| x * scale);
    m + T::of(sum.f64().ln())
}

/// The softmax of a·x (for a > 0) without its denominator: xᵢ ← exp(a·xᵢ − m) with m = max a·x. Returns m and the sum.
pub fn exp_shifted<T: Float>(x: &mut [T], a: T) -> (T, T) {
    let m = max(x) * a;
    let (a, shift) = (T::Lanes::splat(a), T::Lanes::splat(m));
    let mut acc = T::Lanes::splat(T::ZERO);
    update(x, T::of(f64::NEG_INFINITY), |x| {
        let e = (x * a - shift).exp(); // a·x rounded as m was; beyond the row's end e^−∞ = 0
        acc = acc + e;
        e
    });
    (m, acc.sum())
}

/// y ← x for one row, on this thread: for short rows, of which there are many.
pub fn copy<T: Float>(y: &mut [T], x: &[T]) {
    combine(y, [x], |_, [x]| x);
}

/// x ← f(x) for one row, on this thread; `fill` in the lanes beyond its end.
#[inline(always)]
pub fn update<T: Float>(x: &mut [T], fill: T, mut f: impl FnMut(T::Lanes) -> T::Lanes) {
    let mut parts = x.chunks_exact_mut(T::Lanes::N);
    for part in &mut parts {
        f(T::Lanes::load(part)).store(part);
    }
    let rest = parts.into_remainder();
    if !rest.is_empty() {
        f(T::Lanes::load_part(rest, fill)).store_part(rest);
    }
}

/// y ← f(y, x) for one row of y and of each x, on this thread; zeros in the lanes beyond their end.
#[inline(always)]
pub fn combine<T: Float, const X: usize>(
    y: &mut [T],
    x: [&[T]; X],
    mut f: impl FnMut(T::Lanes, [T::Lanes; X]) -> T::Lanes,
) {
    let n = T::Lanes::N;
    let x = x.map(|x| &x[..y.len()]);
    let whole = y.len() / n * n;
    for i in (0..whole).step_by(n) {
        f(T::Lanes::load(&y[i..]), x.map(|x| T::Lanes::load(&x[i..]))).store(&mut y[i..]);
    }
    if whole < y.len() {
        let rest = &mut y[whole..];
        f(T::Lanes::load_part(rest, T::ZERO), x.map(|x| T::Lanes::load_part(&x[whole..], T::ZERO))).store_part(rest);
    }
}

/// (x, y) ← f(x, y) for one row of each, on this thread.
#[inline(always)]
pub fn update_both<T: Float>(x: &mut [T], y: &mut [T], mut f: impl FnMut(T::Lanes, T::Lanes) -> (T::Lanes, T::Lanes)) {
    for (x, y) in x.chunks_mut(T::Lanes::N).zip(y.chunks_mut(T::Lanes::N)) {
        let (new_x, new_y) = f(T::Lanes::load_part(x, T::ZERO), T::Lanes::load_part(y, T::ZERO));
        new_x.store_part(x);
        new_y.store_part(y);
    }
}

/// The mean of a row and r = 1/√(var + ε), with var the mean squared distance from the mean.
pub fn mean_and_rstd<T: Float>(x: &[T], epsilon: f64) -> (T, T) {
    let n = x.len() as f64;
    let mean = T::of(sum(x).f64() / n);
    let centre = T::Lanes::splat(mean);
    // A second pass over the centred row: no cancellation, as E[x²] − E[x]² would have. Missing lanes hold the mean.
    let square = |acc, x: T::Lanes| (x - centre).mul_add(x - centre, acc);
    let squares = fold(x, mean, T::Lanes::splat(T::ZERO), square, |a, b| a + b).sum();
    (mean, T::of(1.0 / (squares.f64() / n + epsilon).sqrt()))
}

/// out\[j\] ← out\[j\] + Σᵢ term(i)\[j\] over all rows i of 0..rows: a sum down the columns, such as a bias' gradient.
///
/// `term(i, acc)` adds row i into `acc` of length `out.len()`. Rows are summed in fixed runs, the runs in order.
pub fn add_columns<T: Float>(out: &mut [T], rows: usize, term: impl Fn(usize, &mut [T]) + Send + Sync) {
    let cols = out.len();
    // At least 32 rows a run: the partial sums of wide rows then take a small part of the rows' own memory and time.
    let run = grain_rows(cols).max(32);
    let mut partial = Buffer::<T>::zeros(rows.div_ceil(run) * cols);
    chunks(&mut partial, cols, |at, acc| {
        let first = at / cols * run;
        (first..(first + run).min(rows)).for_each(|i| term(i, acc));
    });
    partial.chunks_exact(cols.max(1)).for_each(|part| add_row(out, part));
}

/// y ← y + x for one row, on this thread.
pub fn add_row<T: Float>(y: &mut [T], x: &[T]) {
    combine(y, [x], |y, [x]| y + x);
}

/// y ← y + a·x for one row, on this thread.
pub fn add_scaled_row<T: Float>(y: &mut [T], a: T, x: &[T]) {
    let a = T::Lanes::splat(a);
    combine(y, [x], |y, [x]| a.mul_add(x, y));
}

/// y ← y + Σᵣ aᵣ·xᵣ for four rows at once, in their order, on this thread.
pub fn add_scaled_rows<T: Float, S: Stored<T>>(y: &mut [T], a: [T; 4], x: [&[S]; 4]) {
    let lanes = a.map(T::Lanes::splat);
    let x = x.map(|x| &x[..y.len()]);
    let whole = y.len() / T::Lanes::N * T::Lanes::N;
    for i in (0..whole).step_by(T::Lanes::N) {
        let part = i..i + T::Lanes::N;
        let mut sum = T::Lanes::load(&y[part.clone()]);
        (0..4).for_each(|r| sum = lanes[r].mul_add(S::load(&x[r][part.clone()]), sum));
        sum.store(&mut y[part]);
    }
    for i in whole..y.len() {
        (0..4).for_each(|r| y[i] += a[r] * x[r][i].wide());
    }
}

/// Every row of `y` plus the same `bias`, in place.
pub fn add_to_rows<T: Float>(y: &mut [T], bias: &[T]) {
    let cols = bias.len();
    chunks(y, grain_rows(cols) * cols, |_, y| y.chunks_exact_mut(cols).for_each(|row| add_row(row, bias)));
}

/// Σ of all elements, in double precision and a fixed order.
pub fn total<T: Float>(x: &[T]) -> f64 {
    crate::parallel::sum(x.len(), crate::parallel::GRAIN, |run| x[run].chunks(256).map(|x| sum(x).f64()).sum())
}

/// y ← y + value everywhere.
pub fn add_value<T: Float>(y: &mut [T], value: T) {
    let value = T::Lanes::splat(value);
    chunks(y, crate::parallel::GRAIN, |_, y| {
        for y in y.chunks_mut(T::Lanes::N) {
            (T::Lanes::load_part(y, T::ZERO) + value).store_part(y);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 9] = [1, 2, 7, 8, 15, 16, 17, 33, 100];

    fn row(n: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 37 + 11) % 101) as f64 / 17.0 - 3.0).collect()
    }

    #[test]
    fn reductions_of_every_length_give_what_a_plain_loop_gives() {
        for n in LENGTHS {
            let x = row(n);
            assert!((sum(&x) - x.iter().sum::<f64>()).abs() < 1e-12, "sum of {n}");
            assert_eq!(max(&x), x.iter().copied().fold(f64::NEG_INFINITY, f64::max), "max of {n}");
            let plain: f64 = x.iter().map(|x| x * x).sum();
            assert!((dot(&x, &x) - plain).abs() < 1e-11, "dot of {n}");
            let (mean, r) = mean_and_rstd(&x, 0.0);
            let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            assert!(n == 1 || (r * r * var - 1.0).abs() < 1e-12, "statistics of {n}");
        }
    }

    #[test]
    fn the_largest_is_the_first_of_equals() {
        assert_eq!(argmax(&[1.0, 3.0, 2.0, 3.0]), 1);
        assert_eq!((argmax(&[7u32]), argmax::<f32>(&[])), (0, 0));
    }

    #[test]
    fn softmax_sums_to_one_and_its_log_sum_exp_gives_it_again() {
        for n in LENGTHS {
            let mut p = row(n);
            let lse = softmax(&mut p);
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-14);
            let again: Vec<f64> = row(n).iter().map(|x| (x - lse).exp()).collect();
            assert!(p.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-14));
        }
    }

    #[test]
    fn softmax_of_huge_numbers_does_not_overflow() {
        let mut x = [1e30f32, 1e30, -1e30];
        softmax(&mut x);
        assert_eq!(x, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn column_sums_do_not_depend_on_the_number_of_threads() {
        let (rows, cols) = (5000, 37);
        let x: Vec<f32> = (0..rows * cols).map(|i| (i as f32).sin()).collect();
        let sums = |threads| {
            let mut out = vec![0.0f32; cols];
            let term = |i: usize, acc: &mut [f32]| add_row(acc, &x[i * cols..(i + 1) * cols]);
            crate::parallel::with_threads(threads, || add_columns(&mut out, rows, term));
            out
        };
        assert_eq!(sums(1), sums(3));
        let plain: f64 = (0..rows).map(|i| f64::from(x[i * cols])).sum();
        assert!((f64::from(sums(1)[0]) - plain).abs() < 1e-3);
    }
}
