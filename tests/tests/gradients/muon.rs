//! Muon against a slow twin on `[out, in]`, loop by loop as the paper writes it; and what it does to singular values.

use autograd::muon::{Layout, MOMENTUM, orthogonalise};
use autograd::{AdamW, AdamWOptions, Gradients, Init, Muon, ParamId, Params};
use proptest::prelude::*;
use tensor::Float;
use tensor::matmul::Precision;
use tensor::parallel::with_threads;
use tensor::pool::Buffer;
use tensor::random::{Random, Stream};

/// A matrix as rows of numbers.
type Rows = Vec<Vec<f64>>;

fn transpose(x: &Rows) -> Rows {
    (0..x[0].len()).map(|j| x.iter().map(|row| row[j]).collect()).collect()
}

fn product(a: &Rows, b: &Rows) -> Rows {
    let b = transpose(b);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    a.iter().map(|a| b.iter().map(|b| dot(a, b)).collect()).collect()
}

/// f(a, b), element by element.
fn zip(a: &Rows, b: &Rows, f: impl Fn(f64, f64) -> f64) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()).collect()
}

fn norm(x: &Rows) -> f64 {
    x.iter().flatten().map(|x| x * x).sum::<f64>().sqrt()
}

/// Jordan et al. 2024, for any `[out, in]`.
fn newton_schulz(u: &Rows) -> Rows {
    if u.len() > u[0].len() {
        return transpose(&newton_schulz(&transpose(u)));
    }
    let length = norm(u) + 1e-7;
    let mut x = zip(u, u, |u, _| u / length);
    for _ in 0..5 {
        let a = product(&x, &transpose(&x));
        let b = zip(&a, &product(&a, &a), |a, aa| -4.7750 * a + 2.0315 * aa);
        x = zip(&x, &product(&b, &x), |x, bx| 3.4445 * x + bx);
    }
    x
}

/// The singular values in ascending order: roots of the eigenvalues of XXᵀ, found by Jacobi's rotations.
fn singular_values(x: &Rows) -> Vec<f64> {
    let x = if x.len() > x[0].len() { transpose(x) } else { x.clone() };
    let mut s = product(&x, &transpose(&x));
    let n = s.len();
    for _ in 0..12 {
        for (p, q) in (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))) {
            let angle = 0.5 * (2.0 * s[p][q]).atan2(s[q][q] - s[p][p]);
            let (sin, cos) = angle.sin_cos();
            for row in &mut s {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
            let (a, b) = (s[p].clone(), s[q].clone());
            s[p] = a.iter().zip(&b).map(|(a, b)| cos * a - sin * b).collect();
            s[q] = a.iter().zip(&b).map(|(a, b)| sin * a + cos * b).collect();
        }
    }
    let mut values: Vec<f64> = (0..n).map(|i| s[i][i].max(0.0).sqrt()).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Normal numbers, the same in both precisions.
fn numbers(rows: usize, cols: usize, seed: u64) -> Rows {
    let mut random = Random::new(seed, Stream::Other, 0);
    (0..rows).map(|_| (0..cols).map(|_| f64::from(random.normal() as f32)).collect()).collect()
}

/// What the fast one makes of it.
fn orthogonalised<T: Float>(x: &Rows, precision: Precision) -> Rows {
    let (rows, cols) = (x.len(), x[0].len());
    let mut buffer = Buffer::<T>::zeros(rows * cols);
    buffer.iter_mut().zip(x.iter().flatten()).for_each(|(to, &x)| *to = T::of(x));
    orthogonalise(&mut buffer, rows, cols, precision);
    buffer.chunks(cols).map(|row| row.iter().map(|x| x.f64()).collect()).collect()
}

fn furthest(a: &Rows, b: &Rows) -> f64 {
    assert_eq!((a.len(), a[0].len()), (b.len(), b[0].len()));
    zip(a, b, |a, b| (a - b).abs()).into_iter().flatten().fold(0.0, f64::max)
}

/// One matrix under Muon, on `[out, in]`.
struct Twin {
    w: Rows,
    m: Rows,
}

impl Twin {
    fn step(&mut self, g: &Rows, mu: f64, lr: f64, decay: f64) {
        self.m = zip(&self.m, g, |m, g| mu * m + (1.0 - mu) * g);
        let o = newton_schulz(&zip(&self.m, g, |m, g| mu * m + (1.0 - mu) * g));
        let scale = (o.len() as f64 / o[0].len() as f64).max(1.0).sqrt();
        self.w = zip(&self.w, &o, |w, o| w - lr * (scale * o + decay * w));
    }
}

/// One matrix of a parameter: which parameter, how many stand in it, which of them, and whether these stand on one another.
#[derive(Clone, Copy)]
struct Place(ParamId, usize, usize, bool);

impl Place {
    /// The matrix as `[out, in]`, from the parameter's numbers.
    fn matrix<T: Float>(self, x: &[T], outputs: usize) -> Rows {
        if self.3 {
            let inputs = x.len() / (self.1 * outputs);
            let rows = x.chunks(inputs).skip(self.2 * outputs).take(outputs);
            return rows.map(|row| row.iter().map(|x| x.f64()).collect()).collect();
        }
        let of = |row: &[T]| row[self.2 * outputs..(self.2 + 1) * outputs].iter().map(|x| x.f64()).collect();
        transpose(&x.chunks(self.1 * outputs).map(of).collect())
    }
}

/// A vector, a matrix for Muon, one for AdamW, and for Muon three matrices side by side, and two on one another.
fn store([inputs, outputs]: [usize; 2], seed: u64) -> ([ParamId; 5], Params) {
    Params::build(seed, |mut at| {
        let normal = Init::Normal(1.0);
        [
            at.param("b", [outputs], normal),
            at.param("w", [inputs, outputs], normal),
            at.param("table", [outputs, inputs], normal),
            at.param("qkv", [inputs, 3 * outputs], normal),
            at.stacked(&["k", "v"], [2 * outputs, inputs], normal),
        ]
    })
}

/// Those of them that are Muon's.
fn matrices([_, w, _, qkv, kv]: [ParamId; 5]) -> [(ParamId, Layout); 3] {
    [(w, Layout::ByInput(1)), (qkv, Layout::ByInput(3)), (kv, Layout::ByOutput(2))]
}

/// The largest difference after five steps between Muon's matrices and their twins.
fn furthest_from_twin<T: Float>([inputs, outputs]: [usize; 2], mu: f64, lr: f64, o: AdamWOptions, seed: u64) -> f64 {
    let (ids, params) = store([inputs, outputs], seed);
    let [b, w, table, qkv, kv] = ids;
    let mut params: Params<T> = params.cast();
    let mut of_adamw = params.clone();
    let place = |id, parts, part| Place(id, parts, part, id == kv);
    let places = [(w, 1, 0), (qkv, 3, 0), (qkv, 3, 1), (qkv, 3, 2), (kv, 2, 0), (kv, 2, 1)];
    let places = places.map(|(id, parts, part)| place(id, parts, part));
    let mut twins = places.map(|place| {
        let w = place.matrix(params.value(place.0), outputs);
        Twin { m: zip(&w, &w, |_, _| 0.0), w }
    });
    let mut muon = Muon::new(&params, &matrices(ids), mu, o);
    assert_eq!(ids.map(|id| muon.takes(id)), [false, true, false, true, true]);
    let mut adamw = AdamW::new(&of_adamw, o);
    for step in 0..5 {
        let mut gradients = Gradients::new(&params);
        for id in ids {
            let random = numbers(1, params.value(id).len(), seed + 10 * step + params.place(id).start as u64);
            gradients.of_mut(id).iter_mut().zip(&random[0]).for_each(|(g, &x)| *g = T::of(x));
        }
        let norm = gradients.norm();
        let scale = if o.grad_clip > 0.0 { (o.grad_clip / norm).min(1.0) } else { 1.0 };
        for (twin, place) in twins.iter_mut().zip(places) {
            let g = place.matrix(gradients.of(place.0), outputs);
            twin.step(&zip(&g, &g, |g, _| scale * g), mu, lr, o.weight_decay);
        }
        assert_eq!(muon.step(&mut params, &gradients, 0.1 * lr, lr), norm);
        adamw.step(&mut of_adamw, &gradients, 0.1 * lr);
    }
    for id in [b, table] {
        assert_eq!(params.value(id), of_adamw.value(id), "the rest is AdamW's, to the bit");
    }
    let matrices = places.map(|place| place.matrix(params.value(place.0), outputs));
    twins.iter().zip(&matrices).map(|(twin, w)| furthest(&twin.w, w)).fold(0.0, f64::max)
}

/// Square, wide, tall, a single row or column.
fn shapes() -> impl Strategy<Value = [usize; 2]> {
    prop_oneof![
        (1..24usize).prop_map(|n| [n, n]),
        (1..24usize, 1..70usize).prop_map(|(n, m)| [n, m]),
        (1..70usize, 1..24usize).prop_map(|(n, m)| [n, m]),
        (1..70usize).prop_map(|n| [1, n]),
        (1..70usize).prop_map(|n| [n, 1]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0), ..ProptestConfig::default() })]

    #[test]
    fn every_singular_value_of_an_orthogonalised_matrix_is_near_one([rows, cols] in shapes(), size in -3..6i32, seed in 0..1000u64) {
        let size = 10f64.powi(size); // how large a gradient is does not matter
        let x = numbers(rows, cols, seed);
        let length = norm(&x);
        // A step's polynomial is at most 1.20237 up to 1.2, at 0.5545; bf16 rounds each of its products to 8 bits.
        for (precision, most) in [(Precision::Full, 1.2024), (Precision::Bf16, 1.25)] {
            let y = orthogonalised::<f32>(&zip(&x, &x, |x, _| size * x), precision);
            for (before, after) in singular_values(&x).into_iter().zip(singular_values(&y)) {
                let what = format!("[{rows}, {cols}] {precision:?}: {before} of {length} became {after}");
                // The smallest of a square matrix may be tiny, and then grows at most 3.44-fold a step.
                prop_assert!(after > 0.65 || before < 0.01 * length, "{}", what);
                prop_assert!(after < most, "{}", what);
            }
        }
    }

    #[test]
    fn orthogonalising_agrees_with_the_papers_loop([rows, cols] in shapes(), seed in 0..1000u64) {
        let x = numbers(rows, cols, seed);
        let want = newton_schulz(&x);
        let (double, single) = (furthest(&orthogonalised::<f64>(&x, Precision::Full), &want), furthest(&orthogonalised::<f32>(&x, Precision::Full), &want));
        prop_assert!(double < 1e-11, "f64: {double:e}");
        prop_assert!(single < 1e-3, "f32: {single:e}"); // a rounding grows up to 3.44⁵ = 485 times
    }

    #[test]
    fn five_steps_of_muon_end_where_its_twin_ends(
        shape in shapes(), mu in 0.0..0.99, lr in 1e-3..0.1, weight_decay in 0.0..0.5, grad_clip in prop_oneof![Just(0.0), 0.1..30.0], seed in 0..1000u64,
    ) {
        let options = AdamWOptions { weight_decay, grad_clip, ..AdamWOptions::default() };
        let [double, single] = [furthest_from_twin::<f64>(shape, mu, lr, options, seed), furthest_from_twin::<f32>(shape, mu, lr, options, seed)];
        prop_assert!(double < 1e-10, "f64: {double:e}");
        prop_assert!(single < 1e-2 * lr + 1e-5, "f32: {single:e} at a rate of {lr}");
    }
}

#[test]
fn a_matrix_without_gradient_only_decays() {
    let (ids, mut params) = store([6, 10], 3);
    let before = params.clone();
    let options = AdamWOptions { weight_decay: 0.5, ..AdamWOptions::default() };
    let gradients = Gradients::new(&params);
    Muon::new(&params, &matrices(ids), MOMENTUM, options).step(&mut params, &gradients, 0.0, 0.1);
    for (id, _) in matrices(ids) {
        let mut pairs = params.value(id).iter().zip(before.value(id));
        assert!(pairs.all(|(after, before)| (after - 0.95 * before).abs() < 1e-6), "{}", params.name(id));
    }
}

#[test]
fn a_step_of_muon_does_not_depend_on_the_number_of_threads() {
    let after = |threads| {
        with_threads(threads, || {
            let (ids, mut params) = store([150, 270], 1);
            let mut muon = Muon::new(&params, &matrices(ids), MOMENTUM, AdamWOptions::default());
            for step in 0..2 {
                let (ids, random) = store([150, 270], 2 + step);
                let mut gradients = Gradients::new(&params);
                ids.iter().for_each(|&id| gradients.of_mut(id).copy_from_slice(random.value(id)));
                muon.step(&mut params, &gradients, 0.01, 0.02);
            }
            (params.flat().to_vec(), muon.adamw.m.to_vec())
        })
    };
    let one = after(1);
    assert!([2, 3, 5, 8].iter().all(|&threads| after(threads) == one));
}

#[test]
fn a_gradient_that_is_no_number_reaches_no_matrix() {
    let (ids, mut params) = store([4, 6], 1);
    let b = ids[0];
    let mut muon = Muon::new(&params, &matrices(ids), MOMENTUM, AdamWOptions::default());
    let before = params.flat().to_vec();
    for bad in [f32::NAN, f32::INFINITY] {
        let mut gradients = Gradients::new(&params);
        gradients.of_mut(b)[2] = bad; // in the vector alone: the norm is that of all gradients together
        assert!(!muon.step(&mut params, &gradients, 0.1, 0.1).is_finite());
        assert!(params.flat() == before && muon.adamw.m.iter().all(|&m| m == 0.0) && muon.adamw.steps == 0, "{bad}");
    }
}
