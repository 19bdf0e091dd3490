//! A small GPT: that the operations are right together, with parameters in a store, dropout and a tied table.

use autograd::{DropoutKey, Gelu, Gradients, IGNORE, Init, ParamId, Params, Scope, Tape, Var};
use tensor::Float;
use tensor::matmul::Precision;
use tensor::parallel::with_threads;
use tensor::random::{Random, Stream};

const VOCAB: usize = 11;
const WIDTH: usize = 6;
const TIME: usize = 5;

/// One block, pre-norm, as GPT-2's. Weights are large, so that no gradient is small.
struct Model {
    wte: ParamId,
    wpe: ParamId,
    norms: [[ParamId; 2]; 3],
    attn: [[ParamId; 2]; 2],
    mlp: [[ParamId; 2]; 2],
    head: ParamId,
}

impl Model {
    fn new(mut at: Scope) -> Self {
        let mut param = |name: &str, shape: &[usize]| at.param(name, shape, Init::Normal(0.5));
        let mut norm =
            |i: usize| [param(&format!("ln_{i}.weight"), &[WIDTH]), param(&format!("ln_{i}.bias"), &[WIDTH])];
        let norms = [norm(1), norm(2), norm(3)];
        let mut linear = |name: &str, from: usize, to: usize| {
            [param(&format!("{name}.weight"), &[from, to]), param(&format!("{name}.bias"), &[to])]
        };
        Self {
            norms,
            attn: [linear("c_attn", WIDTH, 3 * WIDTH), linear("c_proj", WIDTH, WIDTH)],
            mlp: [linear("c_fc", WIDTH, 4 * WIDTH), linear("c_out", 4 * WIDTH, WIDTH)],
            wte: param("wte", &[VOCAB, WIDTH]),
            wpe: param("wpe", &[TIME, WIDTH]),
            head: param("head", &[VOCAB, WIDTH]),
        }
    }

    /// The loss of rows of `TIME` ids and targets, with the output table `head`.
    fn loss<'t, T: Float>(&self, tape: &'t Tape<'t, T>, [ids, targets]: [&[u32]; 2], head: ParamId) -> Var<'t, T> {
        let rows = ids.len() / TIME;
        let linear = |x: Var<'t, T>, [w, b]: [ParamId; 2]| x.linear(tape.param(w), Some(tape.param(b)));
        let norm =
            |x: Var<'t, T>, i: usize| x.layer_norm(tape.param(self.norms[i][0]), tape.param(self.norms[i][1]), 1e-5);
        let position_ids: Vec<u32> = (0..ids.len()).map(|i| (i % TIME) as u32).collect();
        let x = tape.param(self.wte).embedding(ids, [rows, TIME])
            + tape.param(self.wpe).embedding(&position_ids, [rows, TIME]);
        let x = x.dropout(0.2); // [B, T, C]
        let x = tape.scope(|| {
            x + linear(linear(norm(x, 0), self.attn[0]).attention(2, true, None, 0.2), self.attn[1]).dropout(0.2)
        });
        let x = tape.scope(|| x + linear(linear(norm(x, 1), self.mlp[0]).gelu(Gelu::Tanh), self.mlp[1]).dropout(0.2));
        norm(x, 2).lm_head(tape.param(head), None, targets, DIVISOR)
    }
}

/// How many rows the whole batch has, and how many of its targets count.
const ROWS: usize = 4;
const DIVISOR: f64 = 15.0;

fn batch() -> [Vec<u32>; 2] {
    let mut random = Random::new(3, Stream::Other, 0);
    let ids: Vec<u32> = (0..ROWS * TIME).map(|_| random.below(VOCAB as u64) as u32).collect();
    let targets = ids.iter().enumerate().map(|(i, &id)| if i % 4 == 3 { IGNORE } else { (id * 7 + 1) % VOCAB as u32 });
    [ids.clone(), targets.collect()]
}

/// A tape with the masks of the whole batch's rows from `first_row` on.
fn tape<T: Float>(params: &Params<T>, records: bool, first_row: usize) -> Tape<'_, T> {
    let tape = if records { Tape::new(params) } else { Tape::no_grad(params) };
    tape.with_dropout(DropoutKey { seed: 1, step: 4, first_row: first_row as u64 })
}

/// Adds the gradients of some rows of the batch; returns their loss.
fn backward<T: Float>(
    model: &Model,
    params: &Params<T>,
    rows: std::ops::Range<usize>,
    head: ParamId,
    into: &mut Gradients<T>,
) -> T {
    let [ids, targets] = batch();
    let part = rows.start * TIME..rows.end * TIME;
    let tape = tape(params, true, rows.start);
    let loss = model.loss(&tape, [&ids[part.clone()], &targets[part]], head);
    loss.backward(into);
    loss.item()
}

fn model() -> (Model, Params<f64>) {
    let (model, params) = Params::build(2, Model::new);
    (model, params.cast())
}

fn gradients<T: Float>(model: &Model, params: &Params<T>, head: ParamId) -> Gradients<T> {
    let mut gradients = Gradients::new(params);
    backward(model, params, 0..ROWS, head, &mut gradients);
    gradients
}

/// |a − b| over |b|, as vectors.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

#[test]
fn the_loss_falls_along_any_direction_as_its_gradient_says() {
    let (model, params) = model();
    let [ids, targets] = batch();
    let gradients = gradients(&model, &params, model.wte);
    for direction in 0..20 {
        let mut random = Random::new(direction, Stream::Other, 1);
        let d: Vec<f64> = params.flat().iter().map(|_| random.normal()).collect();
        let value = |t: f64| {
            let mut moved = params.clone();
            moved.flat_mut().iter_mut().zip(&d).for_each(|(x, d)| *x += t * d);
            let tape = tape(&moved, false, 0);
            model.loss(&tape, [&ids, &targets], model.wte).item()
        };
        let h = 2e-4;
        let difference = (value(-2.0 * h) - 8.0 * value(-h) + 8.0 * value(h) - value(2.0 * h)) / (12.0 * h);
        let slope: f64 = gradients.flat().iter().zip(&d).map(|(g, d)| g * d).sum();
        let error = (slope - difference).abs() / gradients.norm();
        assert!(
            error < 1e-6,
            "direction {direction}: slope {slope:e}, finite difference {difference:e}, error {error:.1e}"
        );
    }
}

#[test]
fn micro_batches_add_up_to_the_gradient_of_the_whole_batch_with_its_masks() {
    let (model, params) = model();
    let mut whole = Gradients::new(&params);
    let loss = backward(&model, &params, 0..ROWS, model.wte, &mut whole);
    for cuts in [&[0, 2, 4][..], &[0, 1, 4], &[0, 1, 2, 3, 4]] {
        let mut sum = Gradients::new(&params);
        let losses: f64 =
            cuts.windows(2).map(|cut| backward(&model, &params, cut[0]..cut[1], model.wte, &mut sum)).sum();
        assert!((losses - loss).abs() < 1e-12, "{cuts:?}: {losses} and {loss}");
        let error = distance(&sum.flat(), &whole.flat());
        assert!(error < 1e-12, "{cuts:?}: relative error {error:.1e}");
    }
}

#[test]
fn a_tied_table_gets_the_gradients_of_both_its_uses() {
    let (model, mut params) = model();
    let same = params.value(model.wte).to_vec();
    params.value_mut(model.head).copy_from_slice(&same);
    let tied = gradients(&model, &params, model.wte);
    let apart = gradients(&model, &params, model.head);
    let sum: Vec<f64> = apart.of(model.wte).iter().zip(apart.of(model.head)).map(|(a, b)| a + b).collect();
    let error = distance(tied.of(model.wte), &sum);
    assert!(error < 1e-13, "relative error {error:.1e}");
    assert!(tied.of(model.head).iter().all(|&g| g == 0.0), "an unused parameter has a gradient");
}

#[test]
fn every_parameter_that_is_used_has_a_finite_gradient_that_is_not_all_zero() {
    let (model, params) = model();
    let gradients = gradients(&model, &params, model.head);
    for id in params.ids() {
        let g = gradients.of(id);
        assert!(g.iter().all(|g| g.is_finite()) && g.iter().any(|&g| g != 0.0), "{}: {g:?}", params.name(id));
    }
}

#[test]
fn a_tape_without_a_graph_gives_the_same_loss_with_the_same_masks() {
    let (model, params) = model();
    let [ids, targets] = batch();
    let [with, without] = [true, false].map(|records| {
        let tape = tape(&params, records, 0);
        model.loss(&tape, [&ids, &targets], model.wte).item()
    });
    assert_eq!(with, without);
}

#[test]
fn the_gradients_of_a_model_do_not_depend_on_the_number_of_threads_nor_on_what_is_computed_again() {
    let (model, params) = Params::build(2, Model::new);
    let [ids, targets] = batch();
    for precision in [Precision::Full, Precision::Bf16] {
        let on = |threads, recompute| {
            let mut gradients = Gradients::new(&params);
            with_threads(threads, || {
                let tape = tape(&params, true, 0).with_precision(precision).with_recomputation(recompute);
                model.loss(&tape, [&ids, &targets], model.wte).backward(&mut gradients);
            });
            gradients
        };
        let one = on(1, false);
        assert!([2, 3, 5, 8].iter().all(|&threads| on(threads, false).flat() == one.flat()));
        assert!(on(1, true).flat() == one.flat());
    }
}

#[test]
fn in_bf16_the_gradients_are_near_those_in_full_precision() {
    let (model, params) = model();
    let full = gradients(&model, &params, model.wte);
    let [ids, targets] = batch();
    let tape = tape(&params, true, 0).with_precision(Precision::Bf16);
    let mut rounded = Gradients::new(&params);
    model.loss(&tape, [&ids, &targets], model.wte).backward(&mut rounded);
    let error = distance(&rounded.flat(), &full.flat());
    assert!(error > 1e-4, "nothing was rounded: {error:e}");
    assert!(error < 2e-2, "relative error {error:.1e}");
}
