//! A step of training, of each real model: what dropout drops is a matter of (seed, step, row), and not of how the batch is cut.

use autograd::{Gradients, Params};
use models::Model;
use models::bert::config::Form;
use models::bert::{Bert, BertConfig};
use models::gpt::{Gpt, GptConfig};
use models::pretext::Batch;
use models::train::step::{Compute, loss_and_gradients};
use tensor::matmul::Precision;

use crate::{bert, gpt, image_text};

type Case = (&'static str, (Model, Params), Batch);

fn gpt() -> Case {
    let config = GptConfig { initializer_range: 0.2, ..GptConfig::new(37, 9, 2, 3, 24) }.with_dropout(0.3);
    let (model, params) = Gpt::init(&config, 3);
    ("GPT", (Model::Gpt(model), params), gpt::batch(&config, 4))
}

/// Texts of several lengths, two of them in one row. The rows of hidden tokens that a part of a batch gives the last block have
/// other numbers there than those that the whole batch gives; what dropout does to each is the same.
fn bert(form: Form) -> Case {
    let config = BertConfig { initializer_range: 0.2, ..BertConfig::new(form, 41, bert::BLOCK, 2, 3, 24) };
    let (model, params) = Bert::init(&config.with_dropout(0.3), 3);
    let t = bert::texts(&[9, 15, 12, 24, 20]);
    let batch = bert::batch(&[&t[..2], &t[2..3], &t[3..4], &t[4..]]);
    ("BERT", (Model::Bert(model), params), batch)
}

fn cases() -> [Case; 4] {
    [gpt(), bert(Form::PostNorm), bert(Form::PreNorm), ("CLIP", image_text::model(false, 0.3), image_text::batch())]
}

fn step((_, (model, params), batch): &Case, micro_batch: usize, [seed, step]: [u64; 2]) -> (f64, Vec<f32>) {
    let mut gradients = Gradients::new(params);
    let how = Compute { micro_batch, precision: Precision::Full, recompute: false, profile: None };
    (loss_and_gradients(model, params, &mut gradients, batch, how, seed, step), gradients.flat())
}

/// The norm of a difference, as a share of the second's norm.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

#[test]
fn parts_of_a_batch_drop_what_the_whole_drops() {
    for case in cases() {
        let rows = case.2.rows;
        let (loss, whole) = step(&case, rows, [1, 2]);
        for micro_batch in 1..rows {
            let (other, parts) = step(&case, micro_batch, [1, 2]);
            assert!((other - loss).abs() < 1e-5 * loss, "{}, {micro_batch} at once: {other} and {loss}", case.0);
            assert!(apart(&parts, &whole) < 1e-5, "{}, {micro_batch} at once: {}", case.0, apart(&parts, &whole));
        }
    }
}

#[test]
fn another_step_and_another_seed_drop_other_things() {
    for case in cases() {
        for micro_batch in [case.2.rows, 2] {
            let (_, gradients) = step(&case, micro_batch, [1, 2]);
            for of in [[1, 3], [4, 2], [2, 1]] {
                let (_, others) = step(&case, micro_batch, of);
                assert!(apart(&others, &gradients) > 0.1, "{}, {micro_batch} at once, {of:?}", case.0);
            }
        }
    }
}
