//! The real GPT, which is f32 alone: its loss against finite differences along random directions.
//!
//! In f32 a loss near 3 is known to about 3e-7, so a direction and a step are taken along which it changes by some
//! hundredths: the difference is then good to 1e-4 or so, and a gradient that is wrong anywhere shows. (The exact
//! comparison, parameter by parameter, is that with `transformers` in `agreement`.)

use autograd::{Gradients, Params, Tape};
use models::gpt::{Gpt, GptConfig};
use models::pretext::Batch;
use tensor::random::{Random, Stream};

fn batch(config: &GptConfig, rows: usize) -> Batch {
    let mut random = Random::new(5, Stream::Other, 0);
    let mut batch = Batch::new();
    for _ in 0..rows {
        let window: Vec<u32> =
            (0..=config.n_positions).map(|_| random.below(config.vocab_size as u64) as u32).collect();
        batch.push(&window, config.n_positions);
    }
    batch
}

#[test]
fn the_whole_models_loss_changes_along_random_directions_as_its_gradient_says() {
    let config = GptConfig { initializer_range: 0.2, ..GptConfig::new(37, 9, 2, 3, 24) };
    let (model, params) = Gpt::init(&config, 3);
    let batch = batch(&config, 4);
    let loss =
        |params: &Params| f64::from(model.loss(&Tape::no_grad(params), batch.all(), batch.count() as f64).item());
    let mut gradients = Gradients::new(&params);
    model.loss(&Tape::new(&params), batch.all(), batch.count() as f64).backward(&mut gradients);
    for seed in 0..20 {
        let mut random = Random::new(seed, Stream::Other, 1);
        // A random direction of length 1, leaning towards the gradient so that the slope is not lost in rounding.
        let norm = gradients.norm();
        let n = params.flat().len() as f64;
        let lean = |&g: &f32| f64::from(g) / norm * 0.3 + random.normal() / n.sqrt();
        let direction: Vec<f64> = gradients.flat().iter().map(lean).collect();
        let slope: f64 = gradients.flat().iter().zip(&direction).map(|(&g, d)| f64::from(g) * d).sum();
        let at = |step: f64| {
            let mut moved = params.clone();
            moved.flat_mut().iter_mut().zip(&direction).for_each(|(w, d)| *w += (step * d) as f32);
            loss(&moved)
        };
        let h = 0.01;
        let difference = (at(-2.0 * h) - 8.0 * at(-h) + 8.0 * at(h) - at(2.0 * h)) / (12.0 * h);
        assert!(
            (slope - difference).abs() < 1e-3 * slope.abs(),
            "seed {seed}: gradient {slope}, difference {difference}"
        );
    }
}

#[test]
fn every_parameter_of_the_model_gets_a_gradient() {
    let config = GptConfig::new(37, 9, 2, 3, 24);
    let (model, params) = Gpt::init(&config, 3);
    let batch = batch(&config, 4);
    let mut gradients = Gradients::new(&params);
    model.loss(&Tape::new(&params), batch.all(), 1.0).backward(&mut gradients);
    for id in params.ids() {
        let g = gradients.of(id);
        assert!(g.iter().all(|g| g.is_finite()) && g.iter().any(|&g| g != 0.0), "{}", params.name(id));
    }
}
