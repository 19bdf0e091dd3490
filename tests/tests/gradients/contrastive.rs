//! The contrastive loss: its composition against finite differences and plain loops in f64, and the real model with it.

use autograd::{DropoutKey, Gradients, Params, Tape, Var, gradcheck};
use models::Model;
use models::bert::config::Form;
use models::bert::model::HEADS;
use models::bert::{Bert, BertConfig};
use models::model::texts::{Pooling, pooled_states};
use models::pretext::contrastive::{cosines, unit};
use models::pretext::{Batch, Contrast, Pairs};
use models::train::step::{Compute, loss_and_gradients};
use tensor::matmul::Precision;
use tensor::parallel::with_threads;
use tensor::random::{Random, Stream};
use tensor::{Float, Tensor};

use crate::check::changes_as_its_gradient_says;

const TOLERANCE: f64 = 1e-6;

fn contrast(temperature: f64, hardness: f64) -> Contrast {
    Contrast { temperature, hardness }
}

/// Two views of n texts, of `cols` numbers each.
fn views(n: usize, cols: usize, seed: u64) -> [Tensor<f64>; 2] {
    let a = Tensor::normal([n, cols], 1.0, &mut Random::new(seed, Stream::Other, 0));
    let noise: Tensor<f64> = Tensor::normal([n, cols], 0.7, &mut Random::new(seed, Stream::Other, 1));
    let b: Vec<f64> = a.data().iter().zip(noise.data()).map(|(a, b)| a + b).collect();
    let b = Tensor::of([n, cols], &b);
    [a, b]
}

/// Which texts are alike: none, or the first and the last.
fn same(n: usize, twins: bool) -> Vec<u32> {
    (0..n as u32).map(|i| if twins && i as usize + 1 == n { 0 } else { i }).collect()
}

fn loss<'t, T: Float>(scores: Var<'t, T>) -> Var<'t, T> {
    let n = scores.shape().rows();
    scores.cross_entropy(&(0..n as u32).collect::<Vec<_>>(), n as f64)
}

/// −1/N·Σᵢ ln( exp(sᵢᵢ) / (exp(sᵢᵢ) + Σⱼ wᵢⱼ·exp(sᵢⱼ)) ), one number at a time.
fn slow_loss(a: &Tensor<f64>, b: &Tensor<f64>, of: Contrast, same: &[u32]) -> f64 {
    let n = same.len();
    let row = |x: &Tensor<f64>, i: usize| x.data()[i * x.shape().cols()..(i + 1) * x.shape().cols()].to_vec();
    let cosine = |i: usize, j: usize| {
        let (a, b) = (row(a, i), row(b, j));
        let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
    };
    let mut total = 0.0;
    for i in 0..n {
        let others: Vec<usize> = (0..n).filter(|&j| same[j] != same[i]).collect();
        let near: f64 = others.iter().map(|&j| (of.hardness * cosine(i, j)).exp()).sum();
        let own = (cosine(i, i) / of.temperature).exp();
        let mut sum = own;
        for &j in &others {
            let weight = others.len() as f64 * (of.hardness * cosine(i, j)).exp() / near;
            sum += weight * (cosine(i, j) / of.temperature).exp();
        }
        total -= (own / sum).ln();
    }
    total / n as f64
}

#[test]
fn the_loss_is_what_plain_loops_make_of_the_formula() {
    for (n, cols, twins) in [(1, 3, false), (2, 1, false), (5, 7, false), (9, 33, true), (2, 4, true)] {
        for of in [contrast(0.05, 0.0), contrast(0.5, 1.0), contrast(0.2, 3.0)] {
            let [a, b] = views(n, cols, 1);
            let none = Params::default();
            let tape = Tape::no_grad(&none);
            let fast = loss(of.scores(tape.constant(a.clone()), tape.constant(b.clone()), &same(n, twins))).item();
            let slow = slow_loss(&a, &b, of, &same(n, twins));
            assert!((fast - slow).abs() < 1e-12 * slow.max(1.0), "{n} x {cols}, {of:?}: {fast} and {slow}");
        }
    }
}

#[test]
fn the_loss_agrees_with_differences() {
    for (n, cols, twins) in [(1, 3, false), (2, 5, false), (5, 8, true), (9, 17, false)] {
        let (views, same) = (views(n, cols, 2), same(n, twins));
        for of in [contrast(0.5, 0.0), contrast(0.3, 2.0)] {
            let none = Params::default();
            let tape = Tape::no_grad(&none);
            let [a, b] = [0, 1].map(|i| tape.constant(views[i].clone()));
            // The weights are constants of the loss: differences must not move them.
            let weights = of.log_weights(&cosines(a, b).value(), &same);
            let worst = gradcheck(&views, |x| loss(of.weighed(cosines(x[0], x[1]), weights.clone())));
            let worst = worst.expect("there are elements");
            assert!(worst.error < TOLERANCE, "{n} x {cols}, {of:?}: {worst}");
        }
    }
}

#[test]
fn no_gradient_passes_through_the_weights_of_negatives() {
    let (of, same) = (contrast(0.3, 2.0), same(6, false));
    let gradients = |fixed: bool| {
        let none = Params::default();
        let tape = Tape::<f64>::new(&none);
        let x = views(6, 9, 3).map(|x| tape.variable(x));
        let weights = of.log_weights(&cosines(x[0], x[1]).value(), &same);
        let scores = if fixed { of.weighed(cosines(x[0], x[1]), weights) } else { of.scores(x[0], x[1], &same) };
        loss(scores).gradients(&x).iter().map(|g| g.data().to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(gradients(true), gradients(false));
}

#[test]
fn rows_of_length_one_agree_with_differences_and_rows_of_zeros_stay() {
    let [x, _] = views(4, 7, 4);
    let [w, _] = views(4, 7, 5);
    let worst = gradcheck(&[x, w], |x| (unit(x[0]) * x[1]).sum()).expect("there are elements");
    assert!(worst.error < TOLERANCE, "{worst}");
    let none = Params::default();
    let tape = Tape::<f32>::new(&none);
    let x = tape.variable(Tensor::of([2, 2], &[0.0, 0.0, 3.0, -4.0]));
    let y = unit(x);
    assert!(y.value().data().iter().zip([0.0, 0.0, 0.6, -0.8]).all(|(y, want)| (y - want).abs() < 1e-6));
    assert!(y.sum().gradients(&[x])[0].data().iter().all(|g| g.is_finite()));
}

const KEY: DropoutKey = DropoutKey { seed: 1, step: 2, first_row: 0 };

fn model(dropout: f64) -> (Model, Params) {
    let config = BertConfig::new(Form::PreNorm, 40, 16, 2, 2, 16).with_dropout(dropout);
    let (model, params) = Bert::init(&BertConfig { initializer_range: 0.3, ..config }, 3);
    (Model::Bert(model), params)
}

/// Texts of many lengths, of which two are alike.
fn texts() -> Vec<Vec<u32>> {
    let mut random = Random::new(7, Stream::Other, 0);
    let mut texts: Vec<Vec<u32>> =
        [3, 9, 5, 14, 4, 7].iter().map(|&n| (0..n).map(|_| 4 + random.below(36) as u32).collect()).collect();
    texts.push(texts[2].clone());
    texts
}

fn batch() -> Batch {
    Pairs::batch(contrast(0.1, 1.0), &texts(), 16)
}

fn compute(micro_batch: usize) -> Compute<'static> {
    Compute { micro_batch, precision: Precision::Full, recompute: false, profile: None }
}

#[test]
fn the_models_loss_is_that_of_its_texts_vectors() {
    let (model, params) = model(0.0);
    let texts = texts();
    let slices: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let vectors: Tensor<f64> = pooled_states(&model, &params, Pooling::Mean, &slices).cast();
    let slow = slow_loss(&vectors, &vectors, contrast(0.1, 1.0), &[0, 1, 2, 3, 4, 5, 2]);
    let loss = model.loss(&Tape::no_grad(&params), batch().all(), 7.0).item();
    assert!((f64::from(loss) - slow).abs() < 1e-4 * slow, "{loss} and {slow}");
}

#[test]
fn the_models_loss_changes_along_random_directions_as_its_gradient_says() {
    let (model, params) = model(0.1);
    // With negatives that count all alike, since the weights of near ones would move with the parameters.
    let batch = Pairs::batch(contrast(0.2, 0.0), &texts(), 16);
    let mut gradients = Gradients::new(&params);
    let tape = Tape::new(&params).with_dropout(KEY);
    model.loss(&tape, batch.all(), 7.0).backward(&mut gradients);
    let loss = |params: &Params| {
        let tape = Tape::no_grad(params).with_dropout(KEY);
        f64::from(model.loss(&tape, batch.all(), 7.0).item())
    };
    changes_as_its_gradient_says(&params, &gradients, loss, (0.01, 3e-3), 10);
}

#[test]
fn a_step_is_the_whole_batch_to_the_same_bits_for_any_threads_and_micro_batches() {
    let (model, params) = model(0.1);
    let step = |threads, micro_batch| {
        let mut gradients = Gradients::new(&params);
        let loss = with_threads(threads, || {
            loss_and_gradients(&model, &params, &mut gradients, &batch(), compute(micro_batch), 1, 2)
        });
        (loss, gradients)
    };
    let (loss, gradients) = step(1, 7);
    for (threads, micro_batch) in [(2, 7), (3, 7), (5, 7), (2, 1), (2, 3)] {
        let (other, others) = step(threads, micro_batch);
        assert!(other == loss && others.flat() == gradients.flat(), "{threads} threads, {micro_batch} at once");
    }
    for id in params.ids() {
        let (g, name) = (gradients.of(id), params.name(id));
        let of_head = HEADS.iter().any(|head| name.starts_with(head));
        let zero = g.iter().all(|&g| g == 0.0);
        assert!(g.iter().all(|g| g.is_finite()) && zero == of_head, "{name}");
    }
}
