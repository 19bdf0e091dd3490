//! Embedding: each number becomes a row of a table.
//!
//! Forward: `yₙ = table[idₙ]`, table `[V, C]`, y `[…, C]`.
//!
//! Backward: y is the product of a one-hot matrix with the table, so the table's gradient is the product of its
//! transpose with dy: `dtable[v] = Σ dyₙ over all n with idₙ = v`.
//!
//! Saved: the ids.
//!
//! Reference: Bengio et al. 2003, section 2 (the matrix C of word features).

use tensor::parallel::{chunks, grain_rows};
use tensor::pool::Indices;
use tensor::{Float, Shape, Tensor, rows};

use super::{Op, Operation, Reads, Recompute};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct Embedding {
    table: Id,
    /// Of the ids.
    shape: Shape,
    ids: Indices,
}

impl<T: Float> Var<'_, T> {
    /// Rows of this table `[V, C]` by their numbers: `[shape…, C]`. Panics if an id is V or more.
    #[track_caller]
    pub fn embedding(self, ids: &[u32], shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.elements(), ids.len(), "embedding: {} ids for a shape of {shape}", ids.len());
        let op = Embedding { table: self.id, shape, ids: Indices::of(ids) };
        let y = self.tape.read(|at| {
            let table = at.shape(self.id);
            if let Some(id) = ids.iter().find(|&&id| (id as usize) >= table.rows()) {
                panic!("embedding: id {id} in a table of shape {table}");
            }
            op.forward(at)
        });
        self.tape.record(y, &[self.id], || Op::Embedding(op))
    }
}

impl Embedding {
    fn forward<T: Float>(&self, at: &Values<T>) -> Tensor<T> {
        let (table, cols) = (at.data(self.table), at.shape(self.table).cols());
        let lengths: Vec<usize> = self.shape.iter().copied().chain([cols]).collect();
        let mut y = Tensor::scratch(&lengths[..]);
        chunks(y.data_mut(), grain_rows(cols) * cols, |at, y| {
            let ids = &self.ids[at / cols..];
            y.chunks_exact_mut(cols).zip(ids).for_each(|(y, &id)| y.copy_from_slice(row(table, id, cols)));
        });
        y
    }
}

fn row<T>(table: &[T], id: u32, cols: usize) -> &[T] {
    &table[id as usize * cols..][..cols]
}

impl<T: Float> Operation<T> for Embedding {
    const READS: Reads = Reads::Nothing;
    const RECOMPUTE: Recompute = Recompute::Costly;

    fn recompute(&self, at: &Values<T>) -> Tensor<T> {
        self.forward(at)
    }

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        let cols = at.shape(self.table).cols();
        if let Some(table) = grads.of(self.table) {
            // A task owns a range of the table's rows and looks through all ids for its own, in order.
            let rows_a_task = (table.len() / cols).div_ceil(16);
            chunks(table, rows_a_task * cols, |at, part| {
                let own = at / cols..(at + part.len()) / cols;
                for (n, &id) in self.ids.iter().enumerate().filter(|(_, id)| own.contains(&(**id as usize))) {
                    let to = (id as usize - own.start) * cols;
                    rows::add_row(&mut part[to..to + cols], row(dy.data(), n as u32, cols)); // dtable[idₙ] += dyₙ
                }
            });
        }
    }
}
