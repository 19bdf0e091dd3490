//! Every operation, a file each: its derivation, its forward pass, and its backward pass right under it.
//!
//! | file | operations |
//! |---|---|
//! | [`arithmetic`] | x + y, x − y, x ⊙ y, a·x + b |
//! | [`pointwise`] | eˣ, ln x, tanh x |
//! | [`gelu`] | the gate of the feed-forward layers, as in GPT-2 and as in BERT |
//! | [`reduce`] | sums over all, over rows, over columns, and their mirror images: repetition |
//! | [`layout`] | reshape, exchange of the middle axes, a range of columns |
//! | [`matmul`] | A·B with transpose flags, and for a batch |
//! | [`linear`] | x·W + b, also with GELU in one go |
//! | [`embedding`] | rows of a table by their number |
//! | [`layer_norm`] | each row to mean 0 and variance 1, then gain and bias; also of a sum |
//! | [`softmax`] | each row to probabilities, causal or full |
//! | [`attention`] | softmax(q·kᵀ/√D)·v for all heads, without the T x T matrix in memory |
//! | [`dropout`] | zeros at random, keyed |
//! | [`cross_entropy`] | −ln p of the targets, from logits |
//! | [`lm_head`] | the same from hidden states and the output table, without all the logits in memory |
//!
//! An operation's struct names its inputs and holds what backward needs beside their values. The enum of them is
//! closed: to add one, write its file and a row in the table below; a test then asks for its gradient check.

pub mod arithmetic;
pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod gelu;
pub mod layer_norm;
pub mod layout;
pub mod linear;
pub mod lm_head;
pub mod matmul;
pub mod pointwise;
pub mod reduce;
pub mod softmax;

use tensor::{Float, Tensor};

use crate::params::ParamId;
use crate::tape::{Grads, Values};

/// What an operation can do beside its forward pass.
pub(crate) trait Operation<T: Float> {
    /// Which values backward reads: those that nobody reads are given back early.
    const READS: Reads = Reads::Inputs;
    /// Whether the value can be computed again from the inputs' values, and for how much.
    const RECOMPUTE: Recompute = Recompute::Never;

    /// The value, computed again to the same bits.
    fn recompute(&self, _: &Values<T>) -> Tensor<T> {
        unreachable!("an operation that cannot be repeated keeps its value")
    }

    /// Floating-point operations of the matrix products in the forward pass; backward has twice as many.
    fn flops(&self, _: &Values<T>) -> f64 {
        0.0
    }

    /// Given the gradient `dy` of the output, adds to the gradients of the inputs.
    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>);
}

/// Values that a backward pass reads. (Shapes stay in any case.)
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    Nothing,
    Inputs,
    Output,
    Both,
}

/// What it takes to compute a value again instead of keeping it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recompute {
    /// It cannot be.
    Never,
    /// One pass over the inputs: not worth the memory.
    Cheap,
    /// More: worth it where memory is short.
    Costly,
}

/// The table of operations: the enum, the walk's dispatch and the list of names from one place.
macro_rules! operations {
    ($($name:ident($payload:ty)),* $(,)?) => {
        /// What made a node.
        pub(crate) enum Op<T: Float> {
            /// An input, or something that nobody wants the gradient of.
            Leaf,
            /// A parameter of the store.
            Param(ParamId),
            $($name($payload),)*
        }

        impl<T: Float> Op<T> {
            /// As [`Operation::backward`].
            pub fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
                match self {
                    Op::Leaf | Op::Param(_) => {}
                    $(Op::$name(op) => op.backward(at, dy, grads),)*
                }
            }

            /// As [`Operation::recompute`].
            pub fn recompute(&self, at: &Values<T>) -> Tensor<T> {
                match self {
                    Op::Leaf | Op::Param(_) => panic!("a value was asked for that was given back: by its scope, or by the walk back over its tape"),
                    $(Op::$name(op) => op.recompute(at),)*
                }
            }

            /// As [`Operation::flops`].
            pub fn flops(&self, at: &Values<T>) -> f64 {
                match self {
                    Op::Leaf | Op::Param(_) => 0.0,
                    $(Op::$name(op) => op.flops(at),)*
                }
            }

            /// As in [`OPERATIONS`].
            pub fn name(&self) -> &'static str {
                match self {
                    Op::Leaf => "Leaf",
                    Op::Param(_) => "Param",
                    $(Op::$name(_) => stringify!($name),)*
                }
            }

            /// As [`Operation::READS`].
            pub fn reads(&self) -> Reads {
                match self {
                    Op::Leaf | Op::Param(_) => Reads::Nothing,
                    $(Op::$name(_) => <$payload as Operation<T>>::READS,)*
                }
            }

            /// As [`Operation::RECOMPUTE`].
            pub fn recomputes(&self) -> Recompute {
                match self {
                    Op::Leaf | Op::Param(_) => Recompute::Never,
                    $(Op::$name(_) => <$payload as Operation<T>>::RECOMPUTE,)*
                }
            }
        }

        /// The names of all operations: the list that the gradient tests must cover.
        pub const OPERATIONS: &[&str] = &[$(stringify!($name)),*];
    };
}

operations! {
    Add(arithmetic::Add),
    Sub(arithmetic::Sub),
    Mul(arithmetic::Mul),
    Affine(arithmetic::Affine),
    Exp(pointwise::Exp),
    Ln(pointwise::Ln),
    Tanh(pointwise::Tanh),
    Gelu(gelu::Gated),
    Sum(reduce::Sum),
    RowSums(reduce::RowSums),
    RepeatCols(reduce::RepeatCols),
    ColSums(reduce::ColSums),
    RepeatRows(reduce::RepeatRows),
    Reshape(layout::Reshape),
    SwapMiddle(layout::SwapMiddle),
    Columns(layout::Columns),
    MatMul(matmul::MatMul),
    Linear(linear::Linear),
    Embedding(embedding::Embedding),
    LayerNorm(layer_norm::LayerNorm<T>),
    Softmax(softmax::Softmax),
    Attention(attention::Attention<T>),
    Dropout(dropout::Dropout),
    CrossEntropy(cross_entropy::CrossEntropy<T>),
    LmHead(lm_head::LmHead<T>),
}
