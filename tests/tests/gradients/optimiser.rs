//! AdamW and clipping against a slow twin: one number at a time, as the papers write them.

use autograd::{AdamW, AdamWOptions, Gradients, Init, ParamId, Params};
use proptest::prelude::*;
use tensor::Float;
use tensor::parallel::{GRAIN, with_threads};
use tensor::random::{Random, Stream};

/// Loshchilov and Hutter 2019, algorithm 2, for a single weight.
struct Twin {
    w: f64,
    m: f64,
    v: f64,
}

impl Twin {
    fn step(&mut self, g: f64, t: i32, lr: f64, decay: f64, o: AdamWOptions) {
        self.m = o.beta1 * self.m + (1.0 - o.beta1) * g;
        self.v = o.beta2 * self.v + (1.0 - o.beta2) * g * g;
        let (m, v) = (self.m / (1.0 - o.beta1.powi(t)), self.v / (1.0 - o.beta2.powi(t)));
        self.w -= lr * (m / (v.sqrt() + o.epsilon) + decay * self.w);
    }
}

/// A store of a vector and a matrix.
fn store(shape: [usize; 2], seed: u64) -> ([ParamId; 2], Params) {
    Params::build(seed, |mut at| {
        [at.param("b", [shape[0]], Init::Normal(1.0)), at.param("w", shape, Init::Normal(1.0))]
    })
}

/// The largest difference after ten steps, relative to the largest weight, or to 1.
fn furthest_from_twin<T: Float>(shape: [usize; 2], lr: f64, o: AdamWOptions, seed: u64) -> f64 {
    let (ids, params) = store(shape, seed);
    let mut params: Params<T> = params.cast();
    let twins = |id| params.value(id).iter().map(|w| Twin { w: w.f64(), m: 0.0, v: 0.0 }).collect::<Vec<_>>();
    let mut twins = ids.map(twins);
    let mut adamw = AdamW::new(&params, o);
    let mut random = Random::new(seed, Stream::Other, 0);
    for t in 1..=10 {
        let mut gradients = Gradients::new(&params);
        let mut numbers = ids.map(|id| vec![0.0; params.value(id).len()]);
        // The same numbers in both precisions.
        numbers.iter_mut().flatten().for_each(|g| *g = f64::from(random.normal() as f32));
        let norm = numbers.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
        let scale = if o.grad_clip > 0.0 { (o.grad_clip / norm).min(1.0) } else { 1.0 };
        for (id, (numbers, (twins, decay))) in
            ids.iter().zip(numbers.iter().zip(twins.iter_mut().zip([0.0, o.weight_decay])))
        {
            for ((to, &g), twin) in gradients.of_mut(*id).iter_mut().zip(numbers).zip(twins) {
                *to = T::of(g);
                twin.step(scale * g, t, lr, decay, o);
            }
        }
        let before = gradients.flat();
        let said = adamw.step(&mut params, &gradients, lr);
        assert!((said - norm).abs() < 1e-6 * norm, "a norm of {said}, not {norm}");
        assert_eq!(gradients.flat(), before, "a step leaves the gradients");
    }
    let pairs = ids.iter().zip(&twins).flat_map(|(&id, twins)| params.value(id).iter().zip(twins));
    pairs.map(|(w, twin)| (w.f64() - twin.w).abs() / twin.w.abs().max(1.0)).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0), ..ProptestConfig::default() })]

    #[test]
    fn ten_steps_of_adamw_end_where_its_twin_ends(
        n in 1..40usize, c in 1..20usize, lr in 1e-4..0.1, beta1 in 0.0..0.99, beta2 in 0.5..0.999, weight_decay in 0.0..0.5,
        grad_clip in prop_oneof![Just(0.0), 0.1..30.0], seed in 0..1000u64,
    ) {
        let options = AdamWOptions { beta1, beta2, epsilon: 1e-8, weight_decay, grad_clip };
        let [double, single] = [furthest_from_twin::<f64>([n, c], lr, options, seed), furthest_from_twin::<f32>([n, c], lr, options, seed)];
        prop_assert!(double < 1e-12, "f64: {double:e}");
        prop_assert!(single < 1e-5, "f32: {single:e}"); // ten steps, each rounded to 6·10⁻⁸ a few times
    }

    #[test]
    fn clipping_scales_all_gradients_by_one_number(n in 1..100usize, limit in 0.01..10.0, seed in 0..1000u64) {
        let (id, params) = Params::build(seed, |mut at| at.param("w", [n], Init::Normal(1.0)));
        let mut gradients = Gradients::new(&params);
        gradients.of_mut(id).copy_from_slice(params.value(id));
        let norm = gradients.clip(limit);
        let plain = params.value(id).iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
        prop_assert!((norm - plain).abs() < 1e-6 * plain, "norm {norm}, {plain}");
        let scale = (limit / plain).min(1.0);
        for (clipped, &g) in gradients.of(id).iter().zip(params.value(id)) {
            prop_assert!((f64::from(*clipped) - scale * f64::from(g)).abs() < 1e-6 * plain, "{g} became {clipped}, not times {scale}");
        }
    }
}

/// Weights and both moments after three steps, on more numbers than a task takes.
fn after_three_steps(threads: usize) -> [Vec<f32>; 3] {
    with_threads(threads, || {
        let (_, mut params) = store([2 * GRAIN / 7, 10], 1);
        let mut adamw = AdamW::new(&params, AdamWOptions::default());
        for step in 0..3 {
            let (ids, numbers) = store([2 * GRAIN / 7, 10], 2 + step);
            let mut gradients = Gradients::new(&params);
            ids.iter().for_each(|&id| gradients.of_mut(id).copy_from_slice(numbers.value(id)));
            adamw.step(&mut params, &gradients, 0.01);
        }
        [params.flat().to_vec(), adamw.m.to_vec(), adamw.v.to_vec()]
    })
}

#[test]
fn a_step_of_adamw_does_not_depend_on_the_number_of_threads() {
    let one = after_three_steps(1);
    assert!([2, 3, 5, 8].iter().all(|&threads| after_three_steps(threads) == one));
}

#[test]
fn a_gradient_that_is_no_number_reaches_neither_weights_nor_moments() {
    for (bad, grad_clip) in [(f32::NAN, 1.0), (f32::INFINITY, 1.0), (f32::NAN, 0.0), (f32::NEG_INFINITY, 0.0)] {
        let ([_, w], mut params) = store([5, 7], 1);
        let mut adamw = AdamW::new(&params, AdamWOptions { grad_clip, ..AdamWOptions::default() });
        let mut gradients = Gradients::new(&params);
        gradients.of_mut(w)[34] = 0.5;
        adamw.step(&mut params, &gradients, 0.1);
        let before = (params.flat().to_vec(), adamw.m.to_vec(), adamw.v.to_vec(), adamw.steps);
        gradients.of_mut(w)[3] = bad;
        assert!(!adamw.step(&mut params, &gradients, 0.1).is_finite());
        assert_eq!((params.flat().to_vec(), adamw.m.to_vec(), adamw.v.to_vec(), adamw.steps), before, "{bad}");
    }
}

#[test]
fn a_parameter_moves_by_its_share_of_the_learning_rate() {
    let (ids, mut params) = Params::build(0, |mut at| ["a", "b", "c"].map(|name| at.param(name, [1, 2], Init::Ones)));
    let mut grads = Gradients::new(&params);
    ids.iter().for_each(|&id| grads.of_mut(id).copy_from_slice(&[0.5, -3.0]));
    let shares = [0.0, 0.25, 1.0];
    let mut adamw =
        AdamW::paced(&params, AdamWOptions::default(), |id| shares[ids.iter().position(|&other| other == id).unwrap()]);
    adamw.step(&mut params, &grads, 0.01);
    // m̂/√v̂ = sign(g) at the first step, and the decay is 0.1.
    for (id, share) in ids.into_iter().zip(shares) {
        let want = [1.0 - 0.01 * share as f32 * 1.1, 1.0 + 0.01 * share as f32 * 0.9];
        for (got, want) in params.value(id).iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{} {got} {want}", params.name(id));
        }
    }
}
