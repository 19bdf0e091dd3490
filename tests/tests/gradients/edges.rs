//! The edges: nothing to do, one of something, huge numbers, numbers that are none.

use autograd::{Gelu, IGNORE, Init, Params, Tape, Var};
use tensor::{Float, Shape, Tensor};

use crate::check::outcome;
use crate::table::{Case, table};

/// The value of `f` and the gradient of its sum with respect to each input.
fn run<T: Float>(inputs: &[Tensor<T>], f: impl for<'t> Fn(&[Var<'t, T>]) -> Var<'t, T>) -> (Tensor<T>, Vec<Tensor<T>>) {
    let none = Params::default();
    let tape = Tape::new(&none);
    let x: Vec<_> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
    let y = f(&x);
    (y.value(), y.sum().gradients(&x))
}

fn all_zero(x: &Tensor<f32>) -> bool {
    x.data().iter().all(|&x| x == 0.0)
}

fn all_finite(x: &Tensor<f32>) -> bool {
    x.data().iter().all(|x| x.is_finite())
}

fn scaled(x: &Tensor<f32>, by: f32) -> Tensor<f32> {
    let scaled: Vec<f32> = x.data().iter().map(|x| by * x).collect();
    Tensor::of(x.shape(), &scaled)
}

#[test]
fn rows_without_a_target_have_no_loss_and_no_gradient() {
    let (x, table) = (Tensor::filled([3, 5], 0.5f32), Tensor::filled([7, 5], 2.0));
    let (loss, gradients) = run(std::slice::from_ref(&x), |x| x[0].cross_entropy(&[IGNORE; 3], 2.0));
    assert!(loss.item() == 0.0 && all_zero(&gradients[0]));
    let (loss, gradients) = run(&[x, table], |x| x[0].lm_head(x[1], None, &[IGNORE; 3], 2.0));
    assert!(loss.item() == 0.0 && gradients.iter().all(all_zero));
}

#[test]
fn a_vocabulary_of_one_holds_no_surprise() {
    let (x, table) = (Tensor::filled([3, 5], 0.5f32), Tensor::filled([1, 5], 2.0));
    let (loss, gradients) = run(&[x, table], |x| x[0].lm_head(x[1], None, &[0; 3], 3.0));
    assert!(loss.item() == 0.0 && gradients.iter().all(all_zero));
}

#[test]
fn the_norm_of_a_single_number_is_the_bias_and_passes_no_gradient() {
    let inputs = [[3, 1], [1, 1], [1, 1]].map(|shape| Tensor::filled(shape, 1.5f32));
    let (y, gradients) = run(&inputs, |x| x[0].layer_norm(x[1], x[2], 1e-5));
    assert_eq!(y.data(), [1.5; 3]);
    assert!(all_zero(&gradients[0]) && all_zero(&gradients[1]));
    assert_eq!(gradients[2].data(), [3.0]);
}

#[test]
fn gain_and_bias_have_gradients_also_where_the_gradient_of_the_rows_goes_nowhere() {
    let (id, params) = Params::build(1, |mut at| at.param("x", [3, 2], Init::Normal(1.0)));
    let gradients = |is_parameter: bool| {
        let tape = Tape::new(&params);
        let x = if is_parameter { tape.param(id) } else { tape.variable(Tensor::of([3, 2], params.value(id))) };
        let [gain, bias] = [1.5f32, 0.5].map(|x| tape.variable(Tensor::filled([2], x)));
        x.layer_norm(gain, bias, 1e-5).sum().gradients(&[gain, bias])
    };
    let [without, with] = [true, false].map(gradients);
    assert!(without.iter().zip(&with).all(|(a, b)| a.data() == b.data()) && !with.iter().any(all_zero));
}

#[test]
fn an_empty_batch_gives_nothing_and_asks_for_nothing() {
    let empty = |shape: [usize; 3]| Tensor::<f32>::zeros(shape);
    for shape in [[0, 4, 6], [2, 0, 6]] {
        let shape_of = |cols| Shape::from(shape).with_cols(cols);
        let (o, d) = run(&[empty(shape)], |x| x[0].attention(2, true, None, 0.0));
        assert_eq!((o.shape(), d[0].shape()), (shape_of(2), shape.into()));
        let (y, d) = run(&[empty(shape), Tensor::filled([6, 3], 1.0), Tensor::filled([3], 1.0)], |x| {
            x[0].linear(x[1], Some(x[2])).softmax(true)
        });
        assert_eq!(y.shape(), shape_of(3));
        assert!(d.iter().all(all_zero));
        let (loss, d) = run(&[empty(shape), Tensor::filled([7, 6], 1.0)], |x| x[0].lm_head(x[1], None, &[], 1.0));
        assert!(loss.item() == 0.0 && d.iter().all(all_zero));
    }
    let (y, d) = run(&[Tensor::filled([7, 6], 1.0f32)], |x| x[0].embedding(&[], [0, 4]));
    assert_eq!(y.shape(), [0, 4, 6].into());
    assert!(all_zero(&d[0]));
}

#[test]
fn huge_numbers_do_not_overflow_where_the_result_is_small() {
    let x = Tensor::of([2, 3], &[1e30f32, -1e30, 1e30, -1e4, 1e4, 0.0]);
    let (p, d) = run(std::slice::from_ref(&x), |x| x[0].softmax(false));
    assert_eq!(p.data(), [0.5, 0.0, 0.5, 0.0, 1.0, 0.0]);
    assert!(all_finite(&d[0]));
    let (loss, d) = run(std::slice::from_ref(&x), |x| x[0].cross_entropy(&[0, 1], 1.0));
    assert_eq!(loss.item(), 0.0); // ln 2 is lost beside 1e30
    assert!(all_finite(&d[0]));
    let (y, d) = run(&[scaled(&x, 1e-20)], |x| x[0].tanh());
    assert_eq!(y.data()[..2], [1.0, -1.0]);
    assert!(all_zero(&Tensor::of([2], &d[0].data()[..2])));
    let (y, d) = run(&[scaled(&x, 1e-20)], |x| x[0].gelu(Gelu::Tanh));
    assert_eq!(y.data()[..2], [1e10, 0.0]);
    assert_eq!(d[0].data()[..2], [1.0, 0.0]);
    let (o, d) = run(&[Tensor::filled([1, 3, 6], 1e15f32)], |x| x[0].attention(1, false, None, 0.0));
    assert!(all_finite(&o) && all_finite(&d[0]));
}

/// A number that is none must reach the loss: a run that has gone wrong may not look healthy.
#[test]
fn no_operation_hides_a_number_that_is_none() {
    for row in table() {
        for input in 0..row.large.inputs.len() {
            let mut case: Case = row.large.clone();
            let x = case.inputs[input].data_mut();
            (1..4).for_each(|quarter| x[quarter * x.len() / 4] = f64::NAN);
            for outcome in [outcome::<f32>(&case, Case::apply), outcome::<f64>(&case, Case::apply)] {
                let (_, value) = &outcome.tensors()[0];
                assert!(value.data().iter().any(|y| y.is_nan()), "{case:?}: input {input} is NaN, its value is not");
            }
        }
    }
}

#[test]
fn the_gradient_of_one_variable_can_be_asked_for_twice() {
    let none = Params::default();
    let tape = Tape::new(&none);
    let x = tape.variable(Tensor::of([2], &[3.0f32, 4.0]));
    let [a, b] = &(x * x).sum().gradients(&[x, x])[..] else { panic!("two were asked for") };
    assert_eq!((a.data(), b.data()), (&[6.0, 8.0][..], &[6.0, 8.0][..]));
}

/// Asked for the gradients of variables, backward passes parameters by.
#[test]
fn a_parameter_may_stand_beside_variables() {
    let (id, params) = Params::build(0, |mut at| at.param("b", [2], Init::Ones));
    let tape = Tape::new(&params);
    let (x, b) = (tape.variable(Tensor::of([2], &[3.0, 4.0])), tape.param(id));
    assert_eq!((x * (x + b)).sum().gradients(&[x])[0].data(), [7.0, 9.0]);
}

#[test]
#[should_panic(expected = "this tape was differentiated before")]
fn a_second_walk_over_a_tape_is_refused_since_its_values_are_gone() {
    let none = Params::default();
    let tape = Tape::new(&none);
    let x = tape.variable(Tensor::of([2], &[3.0f32, 4.0]));
    let y = (x * x).sum();
    y.gradients(&[x]);
    y.gradients(&[x]);
}

#[test]
#[should_panic(expected = "that was given back")]
fn a_value_is_gone_after_the_walk_over_it() {
    let none = Params::default();
    let tape = Tape::new(&none);
    let x = tape.variable(Tensor::of([2], &[3.0f32, 4.0]));
    let y = x * x;
    y.sum().gradients(&[x]);
    y.exp();
}

#[test]
#[should_panic(expected = "a value that is no variable")]
fn the_gradient_of_a_value_in_between_is_refused() {
    let none = Params::default();
    let tape = Tape::new(&none);
    let x = tape.variable(Tensor::of([2], &[3.0f32, 4.0]));
    let y = x * x;
    y.sum().gradients(&[y]);
}

#[test]
#[should_panic(expected = "target 7 in a vocabulary of 7")]
fn a_head_refuses_a_target_outside_the_vocabulary() {
    let none = Params::default();
    let tape = Tape::new(&none);
    let [x, table] = [[2, 3], [7, 3]].map(|shape| tape.variable(Tensor::filled(shape, 1.0f32)));
    x.lm_head(table, None, &[0, 7], 1.0);
}
