//! The same formula for every element: the loops under GELU, dropout, addition, AdamW.
//!
//! A formula is a closure over lanes, so it is written once, beside its derivation, and runs as vector code on
//! all threads. Outputs come first, as in every kernel.

use std::ops::Range;

use rayon::prelude::*;

use crate::parallel::{GRAIN, chunks};
use crate::rows;
use crate::simd::{Float, Lanes};

/// y ← f(x), element by element. `y` and `x` have the same length.
pub fn map<T: Float>(y: &mut [T], x: &[T], f: impl Fn(T::Lanes) -> T::Lanes + Send + Sync) {
    each(y, [x], |_, [x]| f(x));
}

/// y ← f(a, b), element by element. All have the same length.
pub fn zip<T: Float>(y: &mut [T], a: &[T], b: &[T], f: impl Fn(T::Lanes, T::Lanes) -> T::Lanes + Send + Sync) {
    each(y, [a, b], |_, [a, b]| f(a, b));
}

/// y ← f(y, x), element by element.
pub fn update<T: Float>(y: &mut [T], x: &[T], f: impl Fn(T::Lanes, T::Lanes) -> T::Lanes + Send + Sync) {
    each(y, [x], |y, [x]| f(y, x));
}

/// y ← y + f(x), element by element: how a gradient is added to.
pub fn add_map<T: Float>(y: &mut [T], x: &[T], f: impl Fn(T::Lanes) -> T::Lanes + Send + Sync) {
    each(y, [x], |y, [x]| y + f(x));
}

/// y ← y + f(a, b), element by element.
pub fn add_zip<T: Float>(y: &mut [T], a: &[T], b: &[T], f: impl Fn(T::Lanes, T::Lanes) -> T::Lanes + Send + Sync) {
    each(y, [a, b], |y, [a, b]| y + f(a, b));
}

/// y ← f(y, x…), element by element, on all threads.
fn each<T: Float, const X: usize>(
    y: &mut [T],
    x: [&[T]; X],
    f: impl Fn(T::Lanes, [T::Lanes; X]) -> T::Lanes + Send + Sync,
) {
    assert!(x.iter().all(|x| x.len() == y.len()), "elementwise: output and inputs differ in length");
    chunks(y, GRAIN, |at, y| rows::combine(y, x.map(|x| &x[at..at + y.len()]), &f));
}

/// y ← y + x
pub fn add<T: Float>(y: &mut [T], x: &[T]) {
    add_map(y, x, |x| x);
}

/// y ← a·y
pub fn scale<T: Float>(y: &mut [T], a: T) {
    let a = T::Lanes::splat(a);
    each(y, [], |y, []| y * a);
}

/// (w, m, v) ← f(part, w, m, v, g), element by element: an optimiser's one pass over all parameters, two moments and
/// the gradient. `parts` are ranges of the parameters in ascending order, each with what the formula wants to know of it, of
/// which `gradient` gives its g; numbers between them stay.
pub fn update3<'g, T: Float, P: Sync>(
    w: &mut [T],
    m: &mut [T],
    v: &mut [T],
    gradient: impl Fn(&P) -> &'g [T] + Send + Sync,
    parts: &[(Range<usize>, P)],
    f: impl Fn(&P, T::Lanes, T::Lanes, T::Lanes, T::Lanes) -> (T::Lanes, T::Lanes, T::Lanes) + Send + Sync,
) {
    assert!(w.len() == m.len() && w.len() == v.len(), "update3: lengths differ");
    let n = T::Lanes::N;
    let load = |x: &[T]| T::Lanes::load_part(x, T::ZERO);
    let chunks = w.par_chunks_mut(GRAIN).zip(m.par_chunks_mut(GRAIN)).zip(v.par_chunks_mut(GRAIN));
    chunks.enumerate().for_each(|(i, ((w, m), v))| {
        let (at, end) = (i * GRAIN, i * GRAIN + w.len());
        let first = parts.partition_point(|(part, _)| part.end <= at);
        for (part, about) in parts[first..].iter().take_while(|(part, _)| part.start < end) {
            let (from, to) = (part.start.max(at), part.end.min(end));
            let (here, g) = (from - at..to - at, gradient(about));
            assert_eq!(g.len(), part.len(), "update3: a gradient of {} for {} numbers", g.len(), part.len());
            let (w, m, v) = (&mut w[here.clone()], &mut m[here.clone()], &mut v[here]);
            let g = &g[from - part.start..to - part.start];
            for (((w, m), v), g) in w.chunks_mut(n).zip(m.chunks_mut(n)).zip(v.chunks_mut(n)).zip(g.chunks(n)) {
                let (new_w, new_m, new_v) = f(about, load(w), load(m), load(v), load(g));
                new_w.store_part(w);
                new_m.store_part(m);
                new_v.store_part(v);
            }
        }
    });
}

/// Σ x², in double precision, in fixed runs: the squared length that gradient clipping needs.
pub fn sum_of_squares<T: Float>(x: &[T]) -> f64 {
    crate::parallel::sum(x.len(), GRAIN, |run| {
        // Runs of 256 in lanes, so that single precision never adds up more than 16 squares before f64 takes over.
        x[run].chunks(256).map(|x| rows::dot(x, x).f64()).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_gives_what_a_plain_loop_gives() {
        for n in [0, 1, 7, 8, 15, 16, 17, 33, GRAIN + 3] {
            let a: Vec<f32> = (0..n).map(|i| i as f32 * 0.5).collect();
            let b: Vec<f32> = (0..n).map(|i| 3.0 - i as f32).collect();
            let mut y = vec![1.0; n];
            add_zip(&mut y, &a, &b, |a, b| a * b);
            assert!((0..n).all(|i| y[i] == 1.0 + a[i] * b[i]), "n = {n}");
            map(&mut y, &a, |a| a + a);
            assert!((0..n).all(|i| y[i] == 2.0 * a[i]), "n = {n}");
            let squares: f64 = a.iter().map(|&a| f64::from(a) * f64::from(a)).sum();
            assert!((sum_of_squares(&a) - squares).abs() <= 1e-6 * squares, "n = {n}");
        }
    }

    #[test]
    fn an_update_meets_every_number_of_every_part_once_and_none_between() {
        let n = 2 * GRAIN + 100;
        // Empty, next to each other, a gap, across two borders of chunks, up to the end.
        let places = [0..0, 0..5, 5..16, 32..33, 40..2 * GRAIN + 7, 2 * GRAIN + 16..n];
        let parts: Vec<_> = places.iter().cloned().zip(1..).collect();
        let [mut w, mut m, mut v] = [(); 3].map(|()| vec![0.5f32; n]);
        let g: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let gradient = |&part: &i32| &g[places[part as usize - 1].clone()];
        update3(&mut w, &mut m, &mut v, gradient, &parts, |&part, w, m, v, g| {
            (w + <f32 as Float>::Lanes::of(f64::from(part)), m + g, v * v)
        });
        for i in 0..n {
            let part = parts.iter().find(|(place, _)| place.contains(&i)).map(|&(_, part)| part as f32);
            let want = part.map_or((0.5, 0.5, 0.5), |part| (0.5 + part, 0.5 + g[i], 0.25));
            assert_eq!((w[i], m[i], v[i]), want, "at {i}");
        }
    }
}
