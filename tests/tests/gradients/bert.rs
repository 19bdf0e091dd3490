//! The real BERT: texts packed into a row against each in a row of its own, the head at hidden positions against the head
//! everywhere, and recomputation against what was kept.

use autograd::{DropoutKey, Gradients, IGNORE, Params, Tape};
use models::bert::config::Form;
use models::bert::{Bert, BertConfig};
use models::pretext::Batch;
use tensor::random::{Random, Stream};
use tokenizer::Frame;

const FRAME: Frame = Frame { pad: 0, cls: 1, sep: 2, mask: 3 };
pub const BLOCK: usize = 24;

fn model(form: Form) -> (Bert, Params) {
    Bert::init(&BertConfig { initializer_range: 0.2, ..BertConfig::new(form, 41, BLOCK, 2, 3, 24) }, 3)
}

/// Framed texts of these lengths, with some tokens hidden.
pub fn texts(lengths: &[usize]) -> Vec<(Vec<u32>, Vec<u32>)> {
    let mut random = Random::new(5, Stream::Other, 0);
    let mut text = |&n: &usize| {
        let inner = (2..n).map(|_| 4 + random.below(37) as u32);
        let mut ids: Vec<u32> = [FRAME.cls].into_iter().chain(inner).chain([FRAME.sep]).collect();
        let mut targets = vec![IGNORE; n];
        for at in (1..n - 1).step_by(3) {
            (ids[at], targets[at]) = (FRAME.mask, ids[at]);
        }
        (ids, targets)
    };
    lengths.iter().map(&mut text).collect()
}

/// One row for each group of texts, filled up with padding.
pub fn batch(rows: &[&[(Vec<u32>, Vec<u32>)]]) -> Batch {
    let mut batch = Batch::new();
    for row in rows {
        let mut ids: Vec<u32> = row.iter().flat_map(|(ids, _)| ids).copied().collect();
        ids.resize(BLOCK, FRAME.pad);
        let first = batch.ids.len();
        batch.push_text(&ids, FRAME);
        let targets = row.iter().flat_map(|(_, targets)| targets).copied();
        targets.enumerate().for_each(|(i, target)| batch.targets[first + i] = target);
    }
    batch
}

fn loss_and_gradients(model: &Bert, params: &Params, batch: &Batch) -> (f32, Gradients) {
    let (tape, mut gradients) = (Tape::new(params), Gradients::new(params));
    let loss = model.loss(&tape, batch.all(), batch.count() as f64);
    loss.backward(&mut gradients);
    (loss.item(), gradients)
}

/// The largest difference of two gradients, relative to their largest element.
fn apart(a: &Gradients, b: &Gradients) -> f32 {
    let largest = |x: &mut dyn Iterator<Item = f32>| x.fold(0.0f32, |m, x| m.max(x.abs()));
    largest(&mut a.flat().iter().zip(b.flat()).map(|(a, b)| a - b)) / largest(&mut a.flat().iter().copied())
}

#[test]
fn texts_packed_into_a_row_learn_what_each_learns_in_a_row_of_its_own() {
    for form in [Form::PostNorm, Form::PreNorm] {
        let (model, params) = model(form);
        let t = texts(&[9, 5, 10, 7, 16, 3]);
        let packed = batch(&[&t[..3], &t[3..5]]);
        let alone = batch(&[&t[..1], &t[1..2], &t[2..3], &t[3..4], &t[4..5]]);
        assert_eq!((packed.rows, alone.rows, packed.count()), (2, 5, alone.count()));
        let (a, b) = (loss_and_gradients(&model, &params, &packed), loss_and_gradients(&model, &params, &alone));
        assert!((a.0 - b.0).abs() < 1e-6 * a.0, "{form:?}: {} {}", a.0, b.0);
        assert!(apart(&a.1, &b.1) < 1e-5, "{form:?}: {}", apart(&a.1, &b.1));
    }
}

#[test]
fn the_head_at_hidden_positions_gives_the_gradients_of_the_head_everywhere() {
    let t = texts(&[9, 15, 24]);
    let batch = batch(&[&t[..2], &t[2..]]);
    for form in [Form::PostNorm, Form::PreNorm] {
        let (model, params) = model(form);
        let some = loss_and_gradients(&model, &params, &batch);
        let (tape, mut gradients) = (Tape::new(&params), Gradients::new(&params));
        let logits = model.logits(&tape, batch.all());
        let loss = logits.cross_entropy(&batch.targets, batch.count() as f64);
        loss.backward(&mut gradients);
        assert!((some.0 - loss.item()).abs() < 1e-6 * some.0, "{form:?}: {} {}", some.0, loss.item());
        assert!(apart(&some.1, &gradients) < 1e-5, "{form:?}: {}", apart(&some.1, &gradients));
    }
}

#[test]
fn a_padded_position_changes_nothing() {
    let (model, params) = model(Form::PreNorm);
    let t = texts(&[9, 15]);
    let mut one = batch(&[&t[..1]]);
    let before = loss_and_gradients(&model, &params, &one);
    one.ids[BLOCK - 1] = 17;
    let after = loss_and_gradients(&model, &params, &one);
    assert_eq!((before.0, before.1.flat()), (after.0, after.1.flat()));
}

#[test]
fn every_parameter_of_the_model_gets_a_gradient() {
    for form in [Form::PostNorm, Form::PreNorm] {
        let (model, params) = model(form);
        let (_, gradients) = loss_and_gradients(&model, &params, &batch(&[&texts(&[24])]));
        for id in params.ids() {
            let g = gradients.of(id);
            assert!(g.iter().all(|g| g.is_finite()) && g.iter().any(|&g| g != 0.0), "{}", params.name(id));
        }
    }
}

#[test]
fn a_pass_that_computes_again_gives_the_same_bits() {
    let t = texts(&[9, 15, 12]);
    let batch = batch(&[&t[..2], &t[2..]]);
    for form in [Form::PostNorm, Form::PreNorm] {
        for dropout in [0.0, 0.3] {
            let config = BertConfig::new(form, 41, BLOCK, 2, 3, 24).with_dropout(dropout);
            let (model, params) = Bert::init(&config, 3);
            let of = |recompute: bool| {
                let key = DropoutKey { seed: 1, step: 2, first_row: 0 };
                let tape = Tape::new(&params).with_dropout(key).with_recomputation(recompute);
                let (loss, mut gradients) = (model.loss(&tape, batch.all(), 7.0), Gradients::new(&params));
                loss.backward(&mut gradients);
                (loss.item(), gradients.flat())
            };
            assert_eq!(of(true), of(false), "{form:?}, dropout {dropout}");
        }
    }
}
