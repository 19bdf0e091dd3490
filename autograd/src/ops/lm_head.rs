//! The head of a language model in one operation: hidden states to logits to loss, a few rows at a time.
//!
//! Forward: `loss = Σₙ −ln softmax(xₙ·Eᵀ + b)[tₙ] / divisor`, x `[N, C]`, E `[V, C]` (the token table: output and input are
//! tied), and b `[V]` if the model has such a bias (BERT's does, GPT-2's does not). The logits `[N, V]` are the largest tensor of a small model, so they are made in chunks of rows, each
//! reduced to its losses before the next: memory for a chunk, not for all.
//!
//! Backward: with `G = (softmax(x·Eᵀ + b) − onehot(t))·dloss/divisor` as in `cross_entropy`: `dx = G·E`, `dE = Gᵀ·x`, `db = Σₙ Gₙ`. The logits
//! of a chunk are computed again, one more product of three; if there is but one chunk, its softmax is kept instead.
//!
//! Saved: lse of each row, and the softmax of an only chunk.
//!
//! Reference: the composition of `linear_t` and `cross_entropy`, which the tests hold it against.

use std::cell::Cell;

use tensor::matmul::{Mat, Precision, Start, add_matmul, matmul_onto};
use tensor::pool::{Buffer, Indices};
use tensor::{Float, Tensor};

use super::cross_entropy::{check_targets, gradient, losses, softmax_again};
use super::reduce::add_col_sums;
use super::{Op, Operation};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct LmHead<T: Float> {
    x: Id,
    table: Id,
    bias: Option<Id>,
    targets: Indices,
    divisor: f64,
    saved: Tensor<T>,
    kept: Cell<Option<Buffer<T>>>,
}

/// How many logits stand in memory at once: 64 MiB of f32.
pub const CHUNK: usize = 1 << 24;

fn chunk_rows(vocab: usize) -> usize {
    (CHUNK / vocab).max(32)
}

impl<T: Float> Var<'_, T> {
    /// Σₙ −ln softmax(xₙ·Eᵀ + b)\[tₙ\] / divisor for hidden states x `[…, C]`, a table E `[V, C]` and a bias b `[V]`: a single
    /// number.
    #[track_caller]
    pub fn lm_head(self, table: Self, bias: Option<Self>, targets: &[u32], divisor: f64) -> Self {
        let (loss, saved, kept) = self.tape.read(|at| {
            let (shape, [vocab, cols]) = (at.shape(self.id), [at.shape(table.id).rows(), at.shape(table.id).cols()]);
            assert_eq!(shape.cols(), cols, "lm_head: hidden states {shape} for a table {}", at.shape(table.id));
            check_targets(targets, shape.rows(), vocab);
            let bias = bias.map(|b| at.data(b.id));
            assert!(bias.is_none_or(|b| b.len() == vocab), "lm_head: a bias for a vocabulary of {vocab}");
            let run = chunk_rows(vocab);
            let (mut saved, mut kept) = (Tensor::scratch([shape.rows(), 2]), None);
            let chunks = at.data(self.id).chunks(run * cols).zip(saved.data_mut().chunks_mut(run * 2));
            for ((x, saved), targets) in chunks.zip(targets.chunks(run)) {
                let mut logits = logits(x, at.data(table.id), bias, cols, at.precision);
                losses(&mut logits, saved, targets, vocab);
                kept = (shape.rows() <= run).then_some(logits);
            }
            let total: f64 = saved.data().iter().skip(1).step_by(2).map(|l| l.f64()).sum();
            (Tensor::scalar(T::of(total / divisor)), saved, kept)
        });
        let op = LmHead {
            x: self.id,
            table: table.id,
            bias: bias.map(|b| b.id),
            targets: Indices::of(targets),
            divisor,
            saved,
            kept: Cell::new(kept),
        };
        self.tape.record(loss, &[self.id, table.id, bias.unwrap_or(table).id], || Op::LmHead(op))
    }
}

/// x·Eᵀ + b for some rows: `[rows, V]`
fn logits<T: Float>(x: &[T], table: &[T], bias: Option<&[T]>, cols: usize, precision: Precision) -> Buffer<T> {
    let (rows, vocab) = (x.len() / cols, table.len() / cols);
    let mut logits = Buffer::scratch(rows * vocab);
    let start = bias.map_or(Start::Zero, Start::Row);
    matmul_onto(&mut logits, start, Mat::new(x, rows, cols), Mat::new(table, vocab, cols).t(), precision);
    logits
}

impl<T: Float> Operation<T> for LmHead<T> {
    fn flops(&self, at: &Values<T>) -> f64 {
        2.0 * at.shape(self.x).rows() as f64 * at.shape(self.table).elements() as f64
    }

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        let (table, shape, bias) = (at.data(self.table), at.shape(self.table), self.bias.map(|b| at.data(b)));
        let (vocab, cols, run) = (shape.rows(), shape.cols(), chunk_rows(shape.rows()));
        let scale = dy.item().f64() / self.divisor;
        let chunks = at.data(self.x).chunks(run * cols).zip(self.saved.data().chunks(run * 2));
        for (i, ((x, saved), targets)) in chunks.zip(self.targets.chunks(run)).enumerate() {
            let rows = targets.len();
            let mut g = self.kept.take().unwrap_or_else(|| {
                let mut x = logits(x, table, bias, cols, at.precision);
                softmax_again(&mut x, saved, vocab);
                x
            });
            gradient(&mut g, targets, vocab, scale); // G = (p − onehot)·dloss/divisor
            if let Some(db) = self.bias.and_then(|b| grads.of(b)) {
                add_col_sums(db, &g); // db = Σₙ Gₙ
            }
            let g = Mat::new(&g, rows, vocab);
            if let Some(dx) = grads.of(self.x) {
                let dx = &mut dx[i * run * cols..][..rows * cols];
                add_matmul(dx, g, Mat::new(table, vocab, cols), at.precision); // dx = G·E
            }
            if let Some((d_table, start)) = grads.product(self.table) {
                matmul_onto(d_table, start, g.t(), Mat::new(x, rows, cols), at.precision); // dE = Gᵀ·x
            }
        }
    }
}
