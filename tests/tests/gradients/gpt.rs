//! The real GPT, which is f32 alone: its loss against finite differences along random directions.
//!
//! In f32 a loss near 3 is known to about 3e-7, so a direction and a step are taken along which it changes by some
//! hundredths: the difference is then good to 1e-4 or so, and a gradient that is wrong anywhere shows. (The exact
//! comparison, parameter by parameter, is that with `transformers` in `agreement`.)

use autograd::{Gradients, Params, Tape};
use models::gpt::{Gpt, GptConfig};
use models::pretext::Batch;
use tensor::random::{Random, Stream};

use crate::check::changes_as_its_gradient_says;

pub fn batch(config: &GptConfig, rows: usize) -> Batch {
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
    changes_as_its_gradient_says(&params, &gradients, loss, (0.01, 1e-3), 20);
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
