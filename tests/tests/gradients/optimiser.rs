//! AdamW and clipping against a slow twin: one number at a time, as the papers write them.

use autograd::{AdamW, AdamWOptions, Gradients, Init, ParamId, Params};
use proptest::prelude::*;
use tensor::Float;
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

/// The largest difference after ten steps, relative to the largest weight, or to 1.
fn furthest_from_twin<T: Float>(shape: [usize; 2], lr: f64, o: AdamWOptions, seed: u64) -> f64 {
    let build = |mut at: autograd::Scope| -> [ParamId; 2] {
        [at.param("b", [shape[0]], Init::Normal(1.0)), at.param("w", shape, Init::Normal(1.0))]
    };
    let (ids, params) = Params::build(seed, build);
    let mut params: Params<T> = params.cast();
    let twins = |id| params.value(id).iter().map(|w| Twin { w: w.f64(), m: 0.0, v: 0.0 }).collect::<Vec<_>>();
    let mut twins = ids.map(twins);
    let mut adamw = AdamW::new(&params, o);
    let mut random = Random::new(seed, Stream::Other, 0);
    for t in 1..=10 {
        let mut gradients = Gradients::new(&params);
        for (id, (twins, decay)) in ids.iter().zip(twins.iter_mut().zip([0.0, o.weight_decay])) {
            for (g, twin) in gradients.of_mut(*id).iter_mut().zip(twins) {
                *g = T::of(f64::from(random.normal() as f32)); // the same number in both precisions
                twin.step(g.f64(), t, lr, decay, o);
            }
        }
        adamw.step(&mut params, &gradients, lr);
    }
    let pairs = ids.iter().zip(&twins).flat_map(|(&id, twins)| params.value(id).iter().zip(twins));
    pairs.map(|(w, twin)| (w.f64() - twin.w).abs() / twin.w.abs().max(1.0)).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0), ..ProptestConfig::default() })]

    #[test]
    fn ten_steps_of_adamw_end_where_its_twin_ends(
        n in 1..40usize, c in 1..20usize, lr in 1e-4..0.1, beta1 in 0.0..0.99, beta2 in 0.5..0.999, weight_decay in 0.0..0.5, seed in 0..1000u64,
    ) {
        let options = AdamWOptions { beta1, beta2, epsilon: 1e-8, weight_decay };
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
