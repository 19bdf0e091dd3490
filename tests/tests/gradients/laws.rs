//! What must hold to the last bit: gradients depend on nothing but values.

use autograd::{Gelu, Gradients, Init, Params, Tape, Var};
use tensor::parallel::with_threads;
use tensor::{Float, Tensor};

use crate::check::{Outcome, for_every_operation, outcome, outcome_wanting, weights};
use crate::table::{Case, MASKS, dropout_of_part, table};

fn same_bits(a: &Outcome, b: &Outcome) -> Result<(), String> {
    a.agrees(b, 0.0)
}

fn on_threads<T: Float>(case: &Case) -> Result<(), String> {
    let one = with_threads(1, || outcome::<T>(case, Case::apply));
    [2, 3, 5, 8].iter().try_for_each(|&threads| {
        let many = with_threads(threads, || outcome::<T>(case, Case::apply));
        same_bits(&many, &one).map_err(|worst| format!("{threads} threads: {worst}"))
    })
}

#[test]
fn values_and_gradients_do_not_depend_on_the_number_of_threads() {
    for row in table() {
        let same = on_threads::<f32>(&row.large).and(on_threads::<f64>(&row.large));
        same.unwrap_or_else(|worst| panic!("{:?}: {worst}", row.large));
    }
}

/// The rows of a part are cut into tasks at other places than the whole.
#[test]
fn dropout_of_a_large_part_does_not_depend_on_the_number_of_threads() {
    let part = dropout_of_part([37, 2049], 0.1, 7);
    let same = on_threads::<f32>(&part).and(on_threads::<f64>(&part));
    same.unwrap_or_else(|worst| panic!("{part:?}: {worst}"));
}

#[test]
fn a_gradient_does_not_depend_on_who_else_wants_one() {
    for_every_operation(16, |case| {
        let all = outcome::<f64>(case, Case::apply);
        (0..case.inputs.len()).try_for_each(|i| {
            let alone = outcome_wanting::<f64>(case, Case::apply, |input| input == i);
            let gradient = |from: &Outcome| Outcome::of(from.tensors()[1 + i].clone());
            same_bits(&gradient(&alone), &gradient(&all)).map_err(|worst| format!("alone: {worst}"))
        })
    });
}

/// Σᵢ wᵢ·xᵢ
fn weighed(x: Var<'_, f64>) -> Var<'_, f64> {
    let w = weights(x.shape().elements());
    (x * x.tape().constant(Tensor::of(x.shape(), &w))).sum()
}

/// Each input has a second use, x ⊙ w, which backward meets first: the operation finds a gradient of w in place.
#[test]
fn every_operation_adds_to_the_gradient_that_it_finds() {
    for_every_operation(16, |case| {
        let none = Params::default();
        let tape = Tape::<f64>::new(&none).with_dropout(MASKS);
        let x: Vec<_> = case.inputs.iter().map(|x| tape.variable(x.clone())).collect();
        let y = weighed(case.apply(&x));
        let found = x.iter().fold(y, |loss, &x| loss + weighed(x)).gradients(&x);
        let alone = outcome::<f64>(case, Case::apply);
        found.into_iter().zip(&alone.tensors()[1..]).try_for_each(|(found, (name, alone))| {
            let sum: Vec<f64> = alone.data().iter().zip(weights(alone.data().len())).map(|(g, w)| g + w).collect();
            let of = |x| Outcome::of((name.clone(), x));
            of(found).agrees(&of(Tensor::of(alone.shape(), &sum)), 1e-13)
        })
    });
}

#[test]
fn an_input_that_wants_no_gradient_gets_none() {
    for_every_operation(8, |case| {
        (0..case.inputs.len()).try_for_each(|i| {
            let one = outcome_wanting::<f64>(case, Case::apply, |j| j == i);
            let others = one.tensors()[1..].iter().enumerate().filter(|(j, _)| *j != i);
            let quiet = others.flat_map(|(_, (_, g))| g.data()).all(|&g| g == 0.0);
            if quiet { Ok(()) } else { Err(format!("a constant beside input {i} has a gradient")) }
        })
    });
}

#[test]
fn a_tape_without_a_graph_computes_the_same_values() {
    let value = |case: &Case, tape: Tape<'_, f32>| {
        let x: Vec<_> = case.inputs.iter().map(|x| tape.variable(x.cast())).collect();
        case.apply(&x).value()
    };
    for_every_operation(16, |case| {
        let none = Params::default();
        let [a, b] = [Tape::new(&none), Tape::no_grad(&none)].map(|tape| value(case, tape.with_dropout(MASKS)));
        if a.shape() == b.shape() && a.data() == b.data() { Ok(()) } else { Err(format!("{a:?} and {b:?}")) }
    });
}

#[test]
fn a_scope_keeps_what_a_backward_pass_reads_and_what_only_it_can_make_again() {
    let none = Params::default();
    let given_back = |tape: Tape<f32>, inner: fn(Var) -> Var| {
        let x = tape.variable(Tensor::of([3], &[1.0, 2.0, 3.0]));
        let mut seen: Option<Var> = None;
        let y = tape.scope(|| {
            let y = inner(x);
            seen = Some(y);
            y * x
        });
        assert_eq!((x.value().data(), y.value().data().len()), (&[1.0, 2.0, 3.0][..], 3));
        let value = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| seen.expect("it ran").value()));
        value.is_err()
    };
    // The product reads eˣ, which cannot be computed again but by its forward pass.
    assert!(!given_back(Tape::new(&none), |x| (x + x).exp()));
    assert!(given_back(Tape::no_grad(&none), |x| (x + x).exp()));
    // GELU is computed again when it is asked for, x + x too where memory is short.
    for recompute in [false, true] {
        assert!(!given_back(Tape::new(&none).with_recomputation(recompute), |x| (x + x).gelu(Gelu::Exact)));
        assert!(!given_back(Tape::new(&none).with_recomputation(recompute), |x| x + x));
    }
    for tape in [Tape::new(&none), Tape::no_grad(&none)] {
        let x = tape.variable(Tensor::of([3], &[1.0f32, 2.0, 3.0]));
        assert_eq!(tape.scope(|| x.exp().tanh()).value().data(), x.exp().tanh().value().data());
        assert_eq!(tape.scope(|| x).value().data(), [1.0, 2.0, 3.0]);
    }
}

/// x·W with W as a parameter, and a second parameter that the loss does not reach.
#[test]
fn a_cleared_gradient_leaves_no_trace() {
    let ([w, unreached], params) = Params::build(1, |mut at| {
        [at.param("w", [3, 5], Init::Normal(1.0)), at.param("unreached", [4], Init::Normal(1.0))]
    });
    let backward = |gradients: &mut Gradients, times: usize| {
        let tape = Tape::new(&params);
        let x = tape.constant(Tensor::of([2, 3], &[0.5, -1.0, 2.0, 0.25, 3.0, -0.125]));
        let y = (0..times).fold(x.linear(tape.param(w), None), |y, _| y + x.linear(tape.param(w), None));
        y.sum().backward(gradients);
    };
    for times in [0, 1] {
        let mut wanted = Gradients::new(&params);
        backward(&mut wanted, times);
        let mut gradients = Gradients::new(&params);
        gradients.of_mut(w).fill(f32::NAN);
        gradients.of_mut(unreached).fill(f32::NAN);
        gradients.clear();
        backward(&mut gradients, times);
        assert_eq!(gradients.flat(), wanted.flat());
        assert!(gradients.of(unreached).iter().all(|&g| g == 0.0));
        backward(&mut gradients, times); // and the next adds to it
        let twice: Vec<f32> = wanted.flat().iter().map(|g| 2.0 * g).collect();
        assert_eq!(gradients.flat(), twice);
    }
}

#[test]
fn every_operation_on_a_tape_drops_other_elements() {
    let none = Params::default();
    let tape = Tape::<f32>::new(&none).with_dropout(MASKS);
    let x = tape.constant(Tensor::filled([4, 50], 1.0));
    assert_ne!(x.dropout(0.5).value().data(), x.dropout(0.5).value().data());
}
