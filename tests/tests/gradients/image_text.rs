//! The loss of pictures with captions: against plain loops and finite differences in f64, and the real model with it, whole and
//! in parts.

use autograd::{Gradients, Params, Tape, Var, gradcheck};
use models::Model;
use models::clip::{Clip, ClipConfig, TextConfig, VisionConfig};
use models::pretext::Batch;
use models::pretext::image_text::{Twins, among_all, one_by_one};
use models::train::step::{Compute, loss_and_gradients};
use tensor::matmul::Precision;
use tensor::parallel::with_threads;
use tensor::random::{Random, Stream};
use tensor::{Float, Tensor};

use crate::check::changes_as_its_gradient_says;

const TOLERANCE: f64 = 1e-6;

/// Scores of n pictures with n captions, about 1.
fn scores(n: usize, seed: u64) -> Tensor<f64> {
    Tensor::normal([n, n], 1.5, &mut Random::new(seed, Stream::Other, 0))
}

/// No two alike; or the first and the last picture are the same, and the second and the third caption, as far as there are.
fn twins(n: usize, some: bool) -> Twins {
    let alike = |i: usize, of: usize, other: usize| if some && i == of && other < n { other } else { i };
    let pictures: Vec<usize> = (0..n).map(|i| alike(i, n - 1, 0)).collect();
    let captions: Vec<usize> = (0..n).map(|i| alike(i, 2, 1)).collect();
    Twins::new(&pictures, &captions)
}

fn transposed(s: &Tensor<f64>) -> Tensor<f64> {
    let n = s.shape().cols();
    let turned: Vec<f64> = (0..n * n).map(|at| s.data()[at % n * n + at / n]).collect();
    Tensor::of([n, n], &turned)
}

/// Both forms, of scores both ways round.
fn losses<'t, T: Float>(s: [Var<'t, T>; 2], twins: &Twins, n: usize) -> [Var<'t, T>; 2] {
    [among_all(s, twins, n as f64), one_by_one(s[0], twins, n as f64)]
}

/// The formulas at the head of image_text.rs, one number at a time.
fn slow(s: &Tensor<f64>, twins: &Twins) -> [f64; 2] {
    let n = s.shape().cols();
    let at = |i: usize, j: usize| s.data()[i * n + j];
    let counts = |i: usize, j: usize| !twins.are(i, j);
    let (mut among, mut single) = (0.0, 0.0);
    for i in 0..n {
        let row: f64 = (0..n).filter(|&j| counts(i, j)).map(|j| at(i, j).exp()).sum();
        let column: f64 = (0..n).filter(|&j| counts(j, i)).map(|j| at(j, i).exp()).sum();
        among -= (at(i, i).exp() / row).ln() + (at(i, i).exp() / column).ln();
        for j in (0..n).filter(|&j| counts(i, j)) {
            let z = if i == j { 1.0 } else { -1.0 };
            single -= (1.0 / (1.0 + (-z * at(i, j)).exp())).ln();
        }
    }
    [among / (2.0 * n as f64), single / n as f64]
}

#[test]
fn both_losses_are_what_plain_loops_make_of_the_formulas() {
    for (n, some) in [(1, false), (2, false), (5, false), (7, true), (3, true)] {
        let (s, twins) = (scores(n, 1), twins(n, some));
        let none = Params::default();
        let tape = Tape::no_grad(&none);
        let both = [tape.constant(s.clone()), tape.constant(transposed(&s))];
        let fast = losses(both, &twins, n).map(Var::item);
        let slow = slow(&s, &twins);
        for (fast, slow) in fast.iter().zip(slow) {
            assert!((fast - slow).abs() < 1e-12 * slow.max(1.0), "{n}, twins {some}: {fast} and {slow}");
        }
    }
}

#[test]
fn both_losses_agree_with_differences() {
    for (n, some) in [(1, false), (2, false), (5, true), (9, true)] {
        let twins = twins(n, some);
        for form in 0..2 {
            let s = [scores(n, 2), transposed(&scores(n, 3))];
            let worst = gradcheck(&s, |s| losses([s[0], s[1]], &twins, n)[form]).expect("there are elements");
            assert!(worst.error < TOLERANCE, "{n}, form {form}: {worst}");
        }
    }
}

#[test]
fn what_a_pair_pays_one_by_one_does_not_depend_on_the_rest_of_the_batch() {
    let (n, s) = (6, scores(6, 4));
    let none = Params::default();
    let of = |rows: &[usize]| {
        let tape = Tape::no_grad(&none);
        let chosen: Vec<f64> =
            rows.iter().flat_map(|&i| rows.iter().map(move |&j| (i, j))).map(|(i, j)| s.data()[i * n + j]).collect();
        let k = rows.len();
        one_by_one(tape.constant(Tensor::<f64>::of([k, k], &chosen)), &twins(k, false), 1.0).item()
    };
    // Every pair of different rows stands in n − 2 of the other rows' absences: inclusion and exclusion of two rows.
    let without = |gone: &[usize]| of(&(0..n).filter(|i| !gone.contains(i)).collect::<Vec<_>>());
    let crossing = of(&[0, 1]) - of(&[0]) - of(&[1]);
    let again = without(&[]) - without(&[0]) - without(&[1]) + without(&[0, 1]);
    assert!((crossing - again).abs() < 1e-12, "{crossing} and {again}");
}

pub fn model(sigmoid: bool, dropout: f64) -> (Model, Params) {
    let text = TextConfig {
        vocab_size: 40,
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        max_position_embeddings: 8,
        eos_token_id: 39,
        ..TextConfig::default()
    };
    let vision = VisionConfig {
        hidden_size: 24,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        image_size: 12,
        patch_size: 4,
        ..VisionConfig::default()
    };
    let sizes = ClipConfig { text_config: text, vision_config: vision, projection_dim: 20, ..ClipConfig::default() };
    let (model, params) = Clip::init(&ClipConfig { sigmoid, ..sizes }.with_dropout(dropout), 3);
    (Model::Clip(model), params)
}

/// Seven pictures with captions of many lengths; two captions are the same, and two pictures.
pub fn batch() -> Batch {
    let (mut random, mut batch) = (Random::new(7, Stream::Other, 0), Batch::new());
    for length in [2, 7, 4, 5, 3, 6, 1] {
        batch.ids.extend((0..8).map(|at| if at < length { random.below(39) as u32 } else { 39 }));
        batch.rows += 1;
    }
    batch.ids.copy_within(8..16, 32);
    batch.pixels = (0..7 * 3 * 12 * 12).map(|_| random.normal() as f32).collect();
    batch.pictures = vec![0, 1, 2, 3, 4, 5, 3];
    batch
}

fn step(of: &(Model, Params), threads: usize, micro_batch: usize) -> (f64, Gradients) {
    step_again(of, threads, micro_batch, false)
}

fn step_again(of: &(Model, Params), threads: usize, micro_batch: usize, recompute: bool) -> (f64, Gradients) {
    let mut gradients = Gradients::new(&of.1);
    let how = Compute { micro_batch, precision: Precision::Full, recompute, profile: None };
    let loss = with_threads(threads, || loss_and_gradients(&of.0, &of.1, &mut gradients, &batch(), how, 1, 2));
    (loss, gradients)
}

#[test]
fn the_gradients_of_a_batch_in_parts_are_those_of_the_whole() {
    for (sigmoid, dropout) in [(false, 0.0), (true, 0.0), (false, 0.2)] {
        let of = model(sigmoid, dropout);
        let (loss, whole) = step(&of, 2, 7);
        for micro_batch in [1, 2, 3, 6] {
            let (other, parts) = step(&of, 2, micro_batch);
            assert!((other - loss).abs() < 1e-5 * loss, "{micro_batch} at once: {other} and {loss}");
            let difference: f64 =
                whole.flat().iter().zip(parts.flat()).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            assert!(difference < 1e-5 * whole.norm(), "{micro_batch} at once, dropout {dropout}: {difference}");
        }
    }
}

#[test]
fn a_step_that_computes_again_has_the_same_bits() {
    for (dropout, micro_batch) in [(0.0, 7), (0.2, 7), (0.2, 3)] {
        let of = model(false, dropout);
        let [(a, gradients), (b, again)] = [false, true].map(|again| step_again(&of, 2, micro_batch, again));
        assert_eq!((a, gradients.flat()), (b, again.flat()), "dropout {dropout}, {micro_batch} at once");
    }
}

#[test]
fn a_step_has_the_same_bits_for_any_number_of_threads_and_reaches_every_parameter() {
    for micro_batch in [7, 3] {
        let of = model(false, 0.1);
        let (loss, gradients) = step(&of, 1, micro_batch);
        for threads in [2, 3, 5, 8] {
            let (other, others) = step(&of, threads, micro_batch);
            assert!(other == loss && others.flat() == gradients.flat(), "{threads} threads");
        }
        for id in of.1.ids() {
            let g = gradients.of(id);
            assert!(g.iter().all(|g| g.is_finite()) && g.iter().any(|&g| g != 0.0), "{}", of.1.name(id));
        }
    }
}

#[test]
fn the_models_loss_changes_along_random_directions_as_its_gradient_says() {
    for sigmoid in [false, true] {
        let (model, params) = model(sigmoid, 0.0);
        let (_, gradients) = step(&(model.clone(), params.clone()), 2, 7);
        let loss = |params: &Params| f64::from(model.loss(&Tape::no_grad(params), batch().all(), 7.0).item());
        changes_as_its_gradient_says(&params, &gradients, loss, (0.005, 5e-3), 5);
    }
}
