//! The table: every operation, the shapes and values that it is tried on, and how it is applied to them.
//!
//! A new operation is a line in [`Case::apply`] and a row in [`table`]; every test of this directory then tries it.

use std::fmt;
use std::ops::Range;

use autograd::{DropoutKey, Gelu, IGNORE, PADDING, Tape, Var};
use proptest::prelude::*;
use proptest::sample::{Select, select};
use tensor::random::{Random, Stream};
use tensor::{Float, Shape, Tensor};

/// An operation with its settings.
#[derive(Clone, Debug)]
pub enum What {
    Add,
    Sub,
    Mul,
    Affine { scale: f64, shift: f64 },
    Exp,
    Ln,
    Tanh,
    Gelu { form: Gelu },
    Sum,
    RowSums,
    RepeatCols { cols: usize },
    ColSums,
    RepeatRows { rows: usize },
    Reshape { to: Shape },
    SwapMiddle,
    Columns { columns: Range<usize> },
    MatMul { a_t: bool, b_t: bool },
    Linear { transposed: bool },
    Embedding { ids: Vec<u32>, shape: Shape },
    LayerNorm,
    Softmax { causal: bool },
    Attention { heads: usize, causal: bool, position_ids: Option<Vec<u32>>, dropout: f64 },
    Dropout { share: f64, part: Option<Part> },
    CrossEntropy { targets: Vec<u32>, divisor: f64 },
    LmHead { targets: Vec<u32>, divisor: f64 },
}

/// A value as some rows of another: of how many, and their numbers.
#[derive(Clone, Debug)]
pub struct Part {
    pub of: usize,
    pub rows: Vec<u32>,
}

/// An operation with the values it is applied to. The values are those of f32, so that both precisions see the same.
#[derive(Clone)]
pub struct Case {
    pub what: What,
    pub inputs: Vec<Tensor<f64>>,
    seed: u64,
}

/// What a failure shows: the operation, its settings, its inputs' shapes, and the seed of their values.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes: Vec<Shape> = self.inputs.iter().map(Tensor::shape).collect();
        write!(f, "{:.300} of {shapes:?}, values of seed {}", format!("{:?}", self.what), self.seed)
    }
}

/// The masks of all cases with dropout.
pub const MASKS: DropoutKey = DropoutKey { seed: 1, step: 2, first_row: 0 };

/// Where on the tape dropout draws its mask in these tests: the same place in an operation and in its composition.
const DROPOUT_AT: usize = 32;

impl Case {
    /// The case `what` on inputs of these shapes, with values that suit it.
    fn new(what: What, shapes: &[&[usize]], seed: u64) -> Self {
        let inputs = shapes.iter().enumerate().map(|(i, &shape)| {
            let mut x = Tensor::<f64>::scratch(shape);
            let cols = x.shape().cols();
            let mut random = Random::new(seed, Stream::Other, i as u64);
            for (at, x) in x.data_mut().iter_mut().enumerate() {
                let u = 4.0 * random.uniform() - 2.0;
                let value = match what {
                    What::Ln => 2.1 + u, // from 0.1: at 0 the logarithm ends
                    // Neighbours differ by half at least: a row of equal numbers would be divided by almost nothing.
                    What::LayerNorm if i == 0 => 0.25 * u + 1.5 * (at % cols % 2) as f64,
                    _ => u,
                };
                *x = f64::from(value as f32);
            }
            x
        });
        Self { inputs: inputs.collect(), what, seed }
    }

    /// The operation's name in the table of operations.
    pub fn operation(&self) -> String {
        let shown = format!("{:?}", self.what);
        shown.split([' ', '{']).next().unwrap_or_default().to_owned()
    }

    /// The operation's result.
    pub fn apply<'t, T: Float>(&self, x: &[Var<'t, T>]) -> Var<'t, T> {
        match &self.what {
            What::Add => x[0] + x[1],
            What::Sub => x[0] - x[1],
            What::Mul => x[0] * x[1],
            What::Affine { scale, shift } => x[0].affine(*scale, *shift),
            What::Exp => x[0].exp(),
            What::Ln => x[0].ln(),
            What::Tanh => x[0].tanh(),
            What::Gelu { form } => x[0].gelu(*form),
            What::Sum => x[0].sum(),
            What::RowSums => x[0].row_sums(),
            What::RepeatCols { cols } => x[0].repeat_cols(*cols),
            What::ColSums => x[0].col_sums(),
            What::RepeatRows { rows } => x[0].repeat_rows(*rows),
            What::Reshape { to } => x[0].reshape(*to),
            What::SwapMiddle => x[0].swap_middle(),
            What::Columns { columns } => x[0].columns(columns.clone()),
            What::MatMul { a_t, b_t } => x[0].matmul_t(*a_t, x[1], *b_t),
            What::Linear { transposed: false } => x[0].linear(x[1], x.get(2).copied()),
            What::Linear { transposed: true } => x[0].linear_t(x[1], x.get(2).copied()),
            What::Embedding { ids, shape } => x[0].embedding(ids, *shape),
            What::LayerNorm => x[0].layer_norm(x[1], x[2], 1e-5),
            What::Softmax { causal } => x[0].softmax(*causal),
            What::Attention { heads, causal, position_ids, dropout } => {
                at_dropout(x[0].tape());
                x[0].attention(*heads, *causal, position_ids.as_deref(), *dropout)
            }
            What::Dropout { share, part } => {
                at_dropout(x[0].tape());
                match part {
                    None => x[0].dropout(*share),
                    Some(part) => x[0].dropout_at(*share, [part.of, x[0].shape().cols()].into(), &part.rows),
                }
            }
            What::CrossEntropy { targets, divisor } => x[0].cross_entropy(targets, *divisor),
            What::LmHead { targets, divisor } => x[0].lm_head(x[1], x.get(2).copied(), targets, *divisor),
        }
    }
}

/// Fills the tape up to the place where dropout draws its mask.
pub fn at_dropout<T: Float>(tape: &Tape<'_, T>) {
    while tape.len() < DROPOUT_AT {
        tape.constant(Tensor::zeros([0]));
    }
}

/// A row of the table.
pub struct Row {
    /// As in [`autograd::OPERATIONS`].
    pub operation: &'static str,
    /// Small cases of awkward shapes; a failure shrinks to the smallest.
    pub small: BoxedStrategy<Case>,
    /// A case of several chunks, so that threads share the work.
    pub large: Case,
}

/// One, and odd tails beside the vectors' 8 (f64) and 16 (f32) lanes. A failure shrinks towards the first.
fn dim() -> Select<usize> {
    select(&[1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33][..])
}

/// How many rows: as [`dim`], or none.
fn rows() -> Select<usize> {
    select(&[1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 0][..])
}

fn few() -> Select<usize> {
    select(&[1, 2, 3][..])
}

fn seed() -> impl Strategy<Value = u64> {
    0..1_000_000u64
}

/// Shapes of one to four dimensions.
fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        dim().prop_map(|c| vec![c]),
        (rows(), dim()).prop_map(|(n, c)| vec![n, c]),
        (few(), few(), dim()).prop_map(|(b, t, c)| vec![b, t, c]),
        (few(), few(), few(), dim()).prop_map(|(a, b, c, d)| vec![a, b, c, d]),
    ]
}

/// `inputs` inputs of one shape.
fn alike(inputs: usize, what: impl Fn(&[usize]) -> What + 'static) -> BoxedStrategy<Case> {
    (shape(), seed()).prop_map(move |(shape, seed)| Case::new(what(&shape), &vec![&shape[..]; inputs], seed)).boxed()
}

/// `n` numbers below `below`.
fn ids(n: usize, below: usize, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed, Stream::Other, 99);
    (0..n).map(|_| random.below(below as u64) as u32).collect()
}

/// `n` targets below `vocab`, of which `ignored` in four do not count.
fn targets(n: usize, vocab: usize, ignored: u64, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed, Stream::Other, 98);
    let of = |id| {
        if random.below(4) < ignored { IGNORE } else { id }
    };
    ids(n, vocab, seed).into_iter().map(of).collect()
}

fn matmul(batch: Option<usize>, [m, k, n]: [usize; 3], [a_t, b_t]: [bool; 2], seed: u64) -> Case {
    let stored = |rows, cols, t| if t { [cols, rows] } else { [rows, cols] };
    let (a, b) = (stored(m, k, a_t), stored(k, n, b_t));
    let with_batch = |[rows, cols]: [usize; 2]| batch.into_iter().chain([rows, cols]).collect::<Vec<_>>();
    Case::new(What::MatMul { a_t, b_t }, &[&with_batch(a), &with_batch(b)], seed)
}

fn linear([n, i, o]: [usize; 3], transposed: bool, bias: bool, seed: u64) -> Case {
    let weight = if transposed { [o, i] } else { [i, o] };
    let shapes: [&[usize]; 3] = [&[n, i], &weight, &[o]];
    Case::new(What::Linear { transposed }, &shapes[..2 + usize::from(bias)], seed)
}

fn attention([b, t, h, d]: [usize; 4], causal: bool, packed: bool, dropout: f64, seed: u64) -> Case {
    let mut random = Random::new(seed, Stream::Other, 97);
    let position_ids = packed.then(|| (0..b).flat_map(|_| position_ids(t, &mut random)).collect());
    Case::new(What::Attention { heads: h, causal, position_ids, dropout }, &[&[b, t, 3 * h * d]], seed)
}

/// The position ids of a row's T positions in texts of any length, with and without padding between and after them.
fn position_ids(t: usize, random: &mut Random) -> Vec<u32> {
    let mut ids = Vec::new();
    while ids.len() < t {
        if random.below(3) == 0 {
            ids.extend(vec![PADDING; 1 + random.below(t as u64) as usize]);
        }
        ids.extend(0..=random.below(t as u64) as u32);
    }
    ids.truncate(t);
    ids
}

/// Dropout of `[n, c]`, as half or so of the rows of a larger value.
pub fn dropout_of_part([n, c]: [usize; 2], share: f64, seed: u64) -> Case {
    let mut random = Random::new(seed, Stream::Other, 96);
    let mut row = 0;
    let mut next = || {
        row += 1 + random.below(3) as u32;
        row - 1
    };
    let rows: Vec<u32> = (0..n).map(|_| next()).collect();
    let part = Part { of: 1 + next() as usize, rows };
    Case::new(What::Dropout { share, part: Some(part) }, &[&[n, c]], seed)
}

fn cross_entropy([n, v]: [usize; 2], ignored: u64, seed: u64) -> Case {
    let what = What::CrossEntropy { targets: targets(n, v, ignored, seed), divisor: n as f64 + 0.5 };
    Case::new(what, &[&[n, v]], seed)
}

fn lm_head([n, c, v]: [usize; 3], bias: bool, ignored: u64, divisor: f64, seed: u64) -> Case {
    let what = What::LmHead { targets: targets(n, v, ignored, seed), divisor };
    let shapes: [&[usize]; 3] = [&[n, c], &[v, c], &[v]];
    Case::new(what, &shapes[..2 + usize::from(bias)], seed)
}

/// Lengths of a sequence: short ones, and those beside attention's block of 64 rows.
fn time() -> impl Strategy<Value = usize> {
    prop_oneof![8 => select(&[1, 2, 3, 5, 8, 9, 17][..]), 1 => select(&[63, 64, 65, 70][..])]
}

/// Every operation. Large shapes have odd tails, and more than twice the 32768 numbers of a parallel chunk.
pub fn table() -> Vec<Row> {
    const LARGE: &[usize] = &[37, 2049];
    let row = |operation, small, large| Row { operation, small, large };
    let large = |what, inputs| Case::new(what, &vec![LARGE; inputs], 7);
    let affine = |scale, shift| What::Affine { scale, shift };
    let embedding = |[n, v, c]: [usize; 3], seed| {
        let (ids, shape) = (ids(n, v, seed), Shape::from([n]));
        Case::new(What::Embedding { ids, shape }, &[&[v, c]], seed)
    };
    let columns = |[n, c]: [usize; 2], columns, seed| Case::new(What::Columns { columns }, &[&[n, c]], seed);
    let norm = |[n, c]: [usize; 2], seed| Case::new(What::LayerNorm, &[&[n, c], &[c], &[c]], seed);
    let softmax = |shape: &[usize], causal, seed| Case::new(What::Softmax { causal }, &[shape], seed);
    let ignored = || select(&[0, 1, 4][..]);
    vec![
        row("Add", alike(2, |_| What::Add), large(What::Add, 2)),
        row("Sub", alike(2, |_| What::Sub), large(What::Sub, 2)),
        row("Mul", alike(2, |_| What::Mul), large(What::Mul, 2)),
        row("Affine", alike(1, move |_| affine(-1.7, 0.3)), large(affine(-1.7, 0.3), 1)),
        row("Exp", alike(1, |_| What::Exp), large(What::Exp, 1)),
        row("Ln", alike(1, |_| What::Ln), large(What::Ln, 1)),
        row("Tanh", alike(1, |_| What::Tanh), large(What::Tanh, 1)),
        row(
            "Gelu",
            prop_oneof![
                alike(1, |_| What::Gelu { form: Gelu::Exact }),
                alike(1, |_| What::Gelu { form: Gelu::Tanh }),
                alike(1, |_| What::Gelu { form: Gelu::Quick })
            ]
            .boxed(),
            large(What::Gelu { form: Gelu::Tanh }, 1),
        ),
        row("Sum", alike(1, |_| What::Sum), large(What::Sum, 1)),
        row("RowSums", alike(1, |_| What::RowSums), large(What::RowSums, 1)),
        row(
            "RepeatCols",
            (rows(), dim(), seed())
                .prop_map(|(n, cols, seed)| Case::new(What::RepeatCols { cols }, &[&[n]], seed))
                .boxed(),
            Case::new(What::RepeatCols { cols: 2049 }, &[&[37]], 7),
        ),
        row("ColSums", alike(1, |_| What::ColSums), large(What::ColSums, 1)),
        row(
            "RepeatRows",
            (rows(), dim(), seed())
                .prop_map(|(rows, c, seed)| Case::new(What::RepeatRows { rows }, &[&[c]], seed))
                .boxed(),
            Case::new(What::RepeatRows { rows: 37 }, &[&[2049]], 7),
        ),
        row(
            "Reshape",
            alike(1, |shape| What::Reshape { to: [Shape::from(shape).elements()].into() }),
            large(What::Reshape { to: [2049, 37].into() }, 1),
        ),
        row(
            "SwapMiddle",
            ([few(), few(), few()], dim(), seed())
                .prop_map(|([a, b, c], d, seed)| Case::new(What::SwapMiddle, &[&[a, b, c, d]], seed))
                .boxed(),
            Case::new(What::SwapMiddle, &[&[2, 3, 43, 301]], 7),
        ),
        row(
            "Columns",
            (rows(), dim(), 0..33usize, 0..33usize, seed())
                .prop_map(move |(n, c, from, to, seed)| {
                    let (from, to) = (from.min(c), to.min(c));
                    columns([n, c], from.min(to)..from.max(to), seed)
                })
                .boxed(),
            columns([37, 2049], 100..2001, 7),
        ),
        row(
            "MatMul",
            (prop_oneof![Just(None), few().prop_map(Some)], [rows(), rows(), rows()], any::<[bool; 2]>(), seed())
                .prop_map(|(batch, sizes, flags, seed)| matmul(batch, sizes, flags, seed))
                .boxed(),
            matmul(Some(5), [67, 301, 45], [true, false], 7),
        ),
        row(
            "Linear",
            ([rows(), dim(), dim()], any::<bool>(), any::<bool>(), seed())
                .prop_map(|(sizes, transposed, bias, seed)| linear(sizes, transposed, bias, seed))
                .boxed(),
            linear([131, 301, 271], true, true, 7),
        ),
        row(
            "Embedding",
            ([rows(), dim(), dim()], seed()).prop_map(move |(sizes, seed)| embedding(sizes, seed)).boxed(),
            embedding([2049, 45, 37], 7),
        ),
        row(
            "LayerNorm",
            ([rows(), dim()], seed()).prop_map(move |(sizes, seed)| norm(sizes, seed)).boxed(),
            norm([37, 2049], 7),
        ),
        row(
            "Softmax",
            (shape(), any::<bool>(), seed())
                .prop_map(move |(shape, causal, seed)| softmax(&shape, causal, seed))
                .boxed(),
            softmax(&[3, 151, 151], true, 7),
        ),
        row(
            "Attention",
            (few(), time(), few(), select(&[1, 2, 3, 5][..]), any::<[bool; 2]>(), select(&[0.0, 0.3][..]), seed())
                .prop_map(|(b, t, h, d, [causal, packed], dropout, seed)| {
                    let [b, h] = if t > 60 { [1, h.min(2)] } else { [b, h] };
                    attention([b, t, h, d], causal, packed, dropout, seed)
                })
                .boxed(),
            attention([2, 131, 3, 43], true, true, 0.1, 7),
        ),
        row(
            "Dropout",
            prop_oneof![
                alike(1, |_| What::Dropout { share: 0.3, part: None }),
                ([rows(), dim()], seed()).prop_map(|(sizes, seed)| dropout_of_part(sizes, 0.3, seed)),
            ]
            .boxed(),
            large(What::Dropout { share: 0.1, part: None }, 1),
        ),
        row(
            "CrossEntropy",
            ([rows(), dim()], ignored(), seed())
                .prop_map(|(sizes, ignored, seed)| cross_entropy(sizes, ignored, seed))
                .boxed(),
            cross_entropy([37, 2049], 1, 7),
        ),
        row(
            "LmHead",
            ([rows(), dim(), dim()], any::<bool>(), ignored(), seed())
                .prop_map(|(sizes, bias, ignored, seed)| lm_head(sizes, bias, ignored, sizes[0] as f64 + 0.5, seed))
                .boxed(),
            // A chunk of 63 rows of logits, and one of a single row; the gradients of ids that are no target are some 10⁻⁵ of the
            // largest, so that is made large enough to measure them by.
            lm_head([64, 3, 66_001], true, 1, 1e-3, 7),
        ),
    ]
}
