//! Dropout: during training a share p of all numbers is set to zero, at random.
//!
//! Forward: `y = m ⊙ x`, where each mᵢ is 0 with probability p and `1/(1 − p)` otherwise, so that the mean stays.
//!
//! Backward: m is a constant, so `dx = m ⊙ dy`.
//!
//! Saved: the key of m, not m: the same numbers are drawn again. They are keyed by (seed, step, place on the tape,
//! element of the whole batch), so neither threads, nor micro-batches, nor a resume changes them.
//!
//! Reference: Srivastava et al. 2014, section 10 (scaling while training, not while using).

use tensor::parallel::{GRAIN, chunks, grain_rows};
use tensor::pool::Indices;
use tensor::random::{Random, Stream};
use tensor::{Float, Shape, Tensor};

use super::{Op, Operation, Reads, Recompute};
use crate::tape::{DropoutKey, Grads, Id, Values, Var};

pub(crate) struct Dropout {
    x: Id,
    mask: Mask,
    /// Which rows of the mask, where x is a part of what it was drawn for.
    rows: Option<Indices>,
}

/// Which elements of one operation's tensor are dropped.
#[derive(Clone, Copy)]
pub(crate) struct Mask {
    p: f64,
    key: DropoutKey,
    /// The operation's place on the tape.
    place: Id,
    /// The first element's number within the whole batch.
    first: u64,
}

impl Mask {
    /// The mask of the next operation on a tape, for a value whose first dimension is the batch: `None` without dropout.
    pub fn next<T: Float>(x: Var<T>, p: f64, shape: Shape) -> Option<Self> {
        assert!((0.0..1.0).contains(&p), "dropout: a share of {p}");
        let key = x.tape.dropout().filter(|_| p > 0.0)?;
        let a_row = shape.elements() / shape.first().copied().unwrap_or(1).max(1);
        Some(Self { p, key, place: x.tape.len(), first: key.first_row * a_row as u64 })
    }

    /// x ← m ⊙ x for the elements from `at` on.
    pub fn apply<T: Float>(&self, at: u64, x: &mut [T]) {
        // Each operation has 2⁴⁰ draws of the step's stream to itself, each of which decides about two elements.
        let element = self.first + at;
        let index = ((self.place as u64) << 40) + element / 2;
        let mut random = Random::new(self.key.seed, Stream::Dropout, self.key.step).at(index);
        // The share in steps of 2⁻¹⁶; what is kept grows by just as much as is dropped.
        let dropped = (self.p * 65536.0).round() as u16;
        let scale = T::of(65536.0 / (65536.0 - f64::from(dropped)));
        let decide = |x: &mut [T], draws: &[u16]| {
            for (x, &draw) in x.iter_mut().zip(draws) {
                *x = if draw < dropped { T::ZERO } else { *x * scale };
            }
        };
        let mut draws = [0u16; 256];
        // A first element that is the second of its draw.
        let (odd, x) = x.split_at_mut((element % 2).min(x.len() as u64) as usize);
        if !odd.is_empty() {
            random.fill(&mut draws[..2]);
            decide(odd, &draws[1..]);
        }
        for x in x.chunks_mut(draws.len()) {
            let draws = &mut draws[..x.len().next_multiple_of(2)];
            random.fill(draws);
            decide(x, draws);
        }
    }
}

impl<T: Float> Var<'_, T> {
    /// Dropout with share `p`; the value itself on a tape without dropout. The first dimension is the batch.
    pub fn dropout(self, p: f64) -> Self {
        let mask = Mask::next(self, p, self.shape());
        self.masked(mask, None)
    }

    /// Dropout with share `p` of a part `[M, C]` of a value of shape `whole`, `[B, …, C]`, that is not computed: those of its
    /// rows whose numbers are `at` become what they would become in it, at the same place on the tape.
    #[track_caller]
    pub fn dropout_at(self, p: f64, whole: Shape, at: &[u32]) -> Self {
        let shape = self.shape();
        assert!((shape.rows(), shape.cols()) == (at.len(), whole.cols()), "dropout: {shape} as rows {at:?} of {whole}");
        let mask = Mask::next(self, p, whole);
        self.masked(mask, Some(at))
    }

    fn masked(self, mask: Option<Mask>, rows: Option<&[u32]>) -> Self {
        let Some(mask) = mask else {
            return self;
        };
        let op = Dropout { x: self.id, mask, rows: rows.map(Indices::of) };
        let y = self.tape.read(|at| op.forward(at));
        self.tape.record(y, &[self.id], || Op::Dropout(op))
    }
}

impl Dropout {
    /// x ← m ⊙ x, for rows of `cols` numbers.
    fn apply<T: Float>(&self, x: &mut [T], cols: usize) {
        match &self.rows {
            None => chunks(x, GRAIN, |at, part| self.mask.apply(at as u64, part)),
            Some(rows) => chunks(x, grain_rows(cols) * cols, |at, part| {
                let rows = rows[at / cols..].iter().zip(part.chunks_exact_mut(cols));
                rows.for_each(|(&row, x)| self.mask.apply(u64::from(row) * cols as u64, x));
            }),
        }
    }

    fn forward<T: Float>(&self, at: &Values<T>) -> Tensor<T> {
        let mut y = Tensor::of(at.shape(self.x), at.data(self.x));
        let cols = y.shape().cols();
        self.apply(y.data_mut(), cols); // y = m ⊙ x
        y
    }
}

impl<T: Float> Operation<T> for Dropout {
    const READS: Reads = Reads::Nothing;
    const RECOMPUTE: Recompute = Recompute::Costly;

    fn recompute(&self, at: &Values<T>) -> Tensor<T> {
        self.forward(at)
    }

    fn backward(&self, _: &Values<T>, mut dy: Tensor<T>, grads: &mut Grads<T>) {
        let cols = dy.shape().cols();
        self.apply(dy.data_mut(), cols); // dx = m ⊙ dy
        grads.give(self.x, dy);
    }
}
