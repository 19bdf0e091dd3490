//! The fused operations against their composition from small ones: the slow and obvious form of each, as a formula.

use autograd::ops::lm_head::CHUNK;
use autograd::{Gelu, IGNORE, PADDING, Params, Tape, Var};
use tensor::matmul::Precision;
use tensor::random::{Random, Stream};
use tensor::{Float, Tensor};

use crate::check::{first_failure, outcome};
use crate::table::{Case, Part, Row, What, at_dropout, dropout_of_part, table};

/// The operations that have a composition below.
const FUSED: [&str; 9] =
    ["Gelu", "Linear", "Embedding", "LayerNorm", "Softmax", "Attention", "Dropout", "CrossEntropy", "LmHead"];

/// f64 rounds to 10⁻¹⁶; the two forms add up in different orders.
const F64: f64 = 1e-12;

/// f32 rounds to 6·10⁻⁸; see `precision` for what multiplies it. Both sides err here.
const F32: f64 = 4e-6;

fn composed<'t, T: Float>(case: &Case, x: &[Var<'t, T>]) -> Var<'t, T> {
    match &case.what {
        What::Gelu { form } => gelu(x[0], *form),
        What::Linear { transposed } => linear(x, *transposed),
        What::Embedding { ids, .. } => one_hot(x[0], ids).matmul(x[0]),
        What::LayerNorm => layer_norm(x[0], x[1], x[2]),
        What::Softmax { causal } => softmax(x[0], *causal),
        What::Attention { heads, causal, position_ids, dropout } => {
            attention(x[0], *heads, *causal, position_ids.as_deref(), *dropout)
        }
        What::Dropout { share, part } => dropout(x[0], *share, part.as_ref()),
        What::CrossEntropy { targets, divisor } => cross_entropy(x[0], targets, *divisor),
        What::LmHead { targets, divisor } => x[0].linear_t(x[1], x.get(2).copied()).cross_entropy(targets, *divisor),
        other => panic!("{other:?} is not made of others"),
    }
}

/// x/2·(1 + tanh √(2/π)·(x + 0.044715·x³)), x·σ(1.702·x), or x·Φ(x) with Φ(x) = ½ + Σₖ (−1)ᵏ·x²ᵏ⁺¹/(2ᵏ·k!·(2k + 1))/√(2π), which is
/// soon exact for the small x of these tests.
fn gelu<T: Float>(x: Var<'_, T>, form: Gelu) -> Var<'_, T> {
    if form == Gelu::Exact {
        let (mut power, mut factor, mut sum) = (x * x, 1.0, x.affine(0.5, 0.0));
        for k in 0..30 {
            let k = f64::from(k);
            sum = sum + power.affine(factor / (2.0 * k + 1.0) / (2.0 * std::f64::consts::PI).sqrt(), 0.0);
            (power, factor) = (power * x * x, -factor / 2.0 / (k + 1.0));
        }
        return sum;
    }
    if form == Gelu::Quick {
        return x * x.affine(0.851, 0.0).tanh().affine(0.5, 0.5); // σ(z) = (1 + tanh z/2)/2
    }
    let u = (x + (x * x * x).affine(0.044_715, 0.0)).affine((2.0 / std::f64::consts::PI).sqrt(), 0.0);
    x.affine(0.5, 0.0) * u.tanh().affine(1.0, 1.0)
}

/// x·W + b
fn linear<'t, T: Float>(x: &[Var<'t, T>], transposed: bool) -> Var<'t, T> {
    let y = x[0].matmul_t(false, x[1], transposed);
    x.get(2).map_or(y, |b| y + b.repeat_rows(y.shape().rows()))
}

/// (x − μ)/√(var + ε) ⊙ γ + β
fn layer_norm<'t, T: Float>(x: Var<'t, T>, gain: Var<'t, T>, bias: Var<'t, T>) -> Var<'t, T> {
    let (n, c) = (x.shape().rows(), x.shape().cols());
    let mean = |x: Var<'t, T>, shift| x.row_sums().affine(1.0 / c as f64, shift); // [N]
    let x = x - mean(x, 0.0).repeat_cols(c);
    let r = mean(x * x, 1e-5).ln().affine(-0.5, 0.0).exp(); // (var + ε)^−½
    x * r.repeat_cols(c) * gain.repeat_rows(n) + bias.repeat_rows(n)
}

/// exp(x) / Σ exp(x), over what a row sees
fn softmax<T: Float>(x: Var<'_, T>, causal: bool) -> Var<'_, T> {
    let (shape, cols) = (x.shape(), x.shape().cols());
    let height = if shape.len() >= 2 { shape[shape.len() - 2] } else { 1 };
    let sees = |at: usize| !causal || at % cols <= at / cols % height;
    let e = x.exp() * constant(x, shape, sees);
    e * e.row_sums().ln().affine(-1.0, 0.0).exp().repeat_cols(cols)
}

/// softmax(q·kᵀ/√D)·v for each head, over what a position sees: others of its text. Padding sees itself, and is made zero at
/// the end.
fn attention<'t, T: Float>(
    qkv: Var<'t, T>,
    heads: usize,
    causal: bool,
    position_ids: Option<&[u32]>,
    dropout: f64,
) -> Var<'t, T> {
    let [b, t, c3] = qkv.shape()[..] else { panic!("attention: {}", qkv.shape()) };
    let (c, d) = (c3 / 3, c3 / 3 / heads);
    let text = texts(position_ids, b, t);
    let [q, k, v] = [0, 1, 2].map(|part| {
        let x = qkv.columns(part * c..(part + 1) * c); // [B, T, C]
        x.reshape([b, t, heads, d]).swap_middle().reshape([b * heads, t, d])
    });
    let scores = q.matmul_t(false, k, true).affine((d as f64).powf(-0.5), 0.0); // [B·H, T, T]
    let sees = constant(scores, scores.shape(), |at| {
        let (b, i, j) = (at / (heads * t * t), at / t % t, at % t);
        let [i_text, j_text] = [i, j].map(|at| text[b * t + at]);
        if i_text.is_some() { i_text == j_text && (!causal || j <= i) } else { i == j }
    });
    let e = scores.exp() * sees;
    let p = (e * e.row_sums().ln().affine(-1.0, 0.0).exp().repeat_cols(t)).reshape([b, heads, t, t]);
    at_dropout(p.tape());
    let p = p.dropout(dropout).reshape([b * heads, t, t]);
    let o = p.matmul(v).reshape([b, heads, t, d]).swap_middle().reshape([b, t, c]);
    o * constant(o, o.shape(), |at| text[at / c].is_some())
}

/// Which text of all each of B·T positions belongs to: rows and zeros begin one.
fn texts(position_ids: Option<&[u32]>, b: usize, t: usize) -> Vec<Option<usize>> {
    let place = |at: usize| position_ids.map_or((at % t) as u32, |ids| ids[at]);
    let mut text = 0;
    let mut of = |at: usize| {
        text += usize::from(at.is_multiple_of(t) || place(at) == 0);
        (place(at) != PADDING).then_some(text)
    };
    (0..b * t).map(&mut of).collect()
}

/// m ⊙ x, where m is what dropout makes of ones, of which x's rows are a part
fn dropout<'t, T: Float>(x: Var<'t, T>, share: f64, part: Option<&Part>) -> Var<'t, T> {
    let whole = part.map_or(x.shape(), |part| [part.of, x.shape().cols()].into());
    let ones = constant(x, whole, |_| true);
    at_dropout(x.tape());
    let mask = ones.dropout(share);
    x * part.map_or(mask, |part| one_hot(mask, &part.rows).matmul(mask))
}

/// Σ (ln Σ exp x − x[t]) / divisor, over the rows that count
fn cross_entropy<'t, T: Float>(x: Var<'t, T>, targets: &[u32], divisor: f64) -> Var<'t, T> {
    let target = constant(x, x.shape(), |at| (at % x.shape().cols()) as u32 == targets[at / x.shape().cols()]);
    let counts = constant(x, [targets.len()].into(), |i| targets[i] != IGNORE);
    let losses = x.exp().row_sums().ln() - (x * target).row_sums();
    (losses * counts).sum().affine(1.0 / divisor, 0.0)
}

/// `[N, V]`, where row n is 1 in column idₙ, for a table `[V, C]`
fn one_hot<'t, T: Float>(table: Var<'t, T>, ids: &[u32]) -> Var<'t, T> {
    let vocab = table.shape().rows();
    constant(table, [ids.len(), vocab].into(), |at| (at % vocab) as u32 == ids[at / vocab])
}

/// 1 where `on` says so of an element's place, else 0.
fn constant<'t, T: Float>(beside: Var<'t, T>, shape: tensor::Shape, on: impl Fn(usize) -> bool) -> Var<'t, T> {
    let values: Vec<T> = (0..shape.elements()).map(|at| if on(at) { T::ONE } else { T::ZERO }).collect();
    beside.tape().constant(Tensor::of(shape, &values))
}

fn forms_agree<T: Float>(case: &Case, tolerance: f64) -> Result<(), String> {
    outcome::<T>(case, Case::apply).agrees(&outcome::<T>(case, composed), tolerance)
}

#[test]
fn fused_operations_give_what_their_composition_gives() {
    let failures: Vec<String> = table()
        .iter()
        .filter(|row| FUSED.contains(&row.operation))
        .filter_map(|row| {
            first_failure(row, 64, |case| forms_agree::<f64>(case, F64).and(forms_agree::<f32>(case, F32)))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn large_fused_operations_give_what_their_composition_gives() {
    for Row { large, .. } in table().iter().filter(|row| FUSED.contains(&row.operation)) {
        let agree = forms_agree::<f64>(large, F64).and(forms_agree::<f32>(large, F32));
        agree.unwrap_or_else(|worst| panic!("{large:?}: {worst}"));
    }
}

#[test]
fn dropout_of_a_large_part_gives_what_the_whole_gives() {
    let part = dropout_of_part([37, 2049], 0.1, 7);
    let agree = forms_agree::<f64>(&part, F64).and(forms_agree::<f32>(&part, F32));
    agree.unwrap_or_else(|worst| panic!("{part:?}: {worst}"));
}

#[test]
fn a_sum_and_its_norm_in_one_pass_are_to_the_bit_what_they_are_one_after_the_other() {
    let numbers = |n: usize, a: f32| (0..n).map(|i| (i as f32 * a).sin()).collect::<Vec<_>>();
    for [n, c] in [[1, 1], [3, 17], [700, 48]] {
        let none = Params::<f32>::default();
        let run = |fused: bool| {
            let tape = Tape::new(&none);
            let [x, y] = [0.7, 1.3].map(|a| tape.variable(Tensor::of([n, c], &numbers(n * c, a))));
            let [gain, bias] = [0.3, 0.9].map(|a| tape.variable(Tensor::of([c], &numbers(c, a))));
            let (sum, norm) = if fused {
                x.add_layer_norm(y, gain, bias, 1e-5)
            } else {
                (x + y, (x + y).layer_norm(gain, bias, 1e-5))
            };
            let values = [sum.value(), norm.value()];
            let weights = tape.constant(Tensor::of([n, c], &numbers(n * c, 0.1)));
            let gradients = ((sum + norm) * weights).sum().gradients(&[x, y, gain, bias]);
            (values, gradients)
        };
        let (fused, apart) = (run(true), run(false));
        assert_eq!(fused.0.map(|x| x.data().to_vec()), apart.0.map(|x| x.data().to_vec()), "[{n}, {c}]");
        let close = |(a, b): (&Tensor, &Tensor)| a.data().iter().zip(b.data()).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(fused.1.iter().zip(&apart.1).all(close), "[{n}, {c}]"); // apart, x gets two gradients, summed in another order
    }
}

#[test]
fn a_linear_layer_that_gates_is_to_the_bit_what_it_is_with_the_gate_after_it() {
    let numbers = |n: usize, a: f32| (0..n).map(|i| (i as f32 * a).sin()).collect::<Vec<_>>();
    let cases = [
        ([1, 5, 7], Precision::Full, Gelu::Tanh),
        ([130, 33, 1100], Precision::Bf16, Gelu::Exact),
        ([33, 40, 70], Precision::Full, Gelu::Quick),
    ];
    let cases = cases.into_iter().flat_map(|case| [false, true].map(|transposed| (case, transposed)));
    for (([n, i, o], precision, form), transposed) in cases {
        let none = Params::<f32>::default();
        let run = |fused: bool| {
            let tape = Tape::new(&none).with_precision(precision);
            let of_weight = if transposed { [o, i] } else { [i, o] };
            let [x, w] = [([n, i], 0.7), (of_weight, 1.3)]
                .map(|(shape, a)| tape.variable(Tensor::of(shape, &numbers(shape[0] * shape[1], a))));
            let b = tape.variable(Tensor::of([o], &numbers(o, 0.3)));
            let y = match (fused, transposed) {
                (true, false) => x.linear_gelu(w, Some(b), form),
                (false, false) => x.linear(w, Some(b)).gelu(form),
                (true, true) => x.linear_t_gelu(w, Some(b), form),
                (false, true) => x.linear_t(w, Some(b)).gelu(form),
            };
            (
                y.value().data().to_vec(),
                y.sum().gradients(&[x, w, b]).iter().map(|g| g.data().to_vec()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(run(true), run(false), "[{n}, {i}, {o}], transposed: {transposed}");
    }
}

#[test]
fn a_head_of_several_chunks_of_rows_gives_what_its_composition_gives() {
    let [n, c, v] = [250, 2, 70_001]; // more scores than are held at once: 239 rows, then 11
    assert!(n * v > CHUNK);
    let normal = |shape: [usize; 2], seed| Tensor::normal(shape, 1.0, &mut Random::new(seed, Stream::Other, 0));
    let inputs: [Tensor; 3] = [normal([n, c], 1), normal([v, c], 2), normal([1, v], 3).reshaped([v])];
    let targets: Vec<u32> = (0..n as u32).map(|i| if i % 7 == 3 { IGNORE } else { i * 271 }).collect();
    let [one, two] = [true, false].map(|at_once| {
        let none = Params::default();
        let tape = Tape::new(&none);
        let [x, e, b] = inputs.each_ref().map(|x| tape.variable(x.clone()));
        let loss = if at_once {
            x.lm_head(e, Some(b), &targets, 200.0)
        } else {
            x.linear_t(e, Some(b)).cross_entropy(&targets, 200.0)
        };
        (loss.item(), loss.gradients(&[x, e, b]))
    });
    assert!((one.0 - two.0).abs() < 1e-5 * two.0, "{} {}", one.0, two.0);
    for (one, two) in one.1.iter().zip(&two.1) {
        let largest = two.data().iter().fold(0.0, |m: f32, g| m.max(g.abs()));
        let apart = one.data().iter().zip(two.data()).fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
        assert!(apart < 1e-5 * largest, "{apart} of {largest}");
    }
}
