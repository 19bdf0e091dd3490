//! Attention of all heads, without the T x T matrix of probabilities in memory.
//!
//! Forward: from one projection `[B, T, 3C]`, for each of B rows and H heads of D = C/H columns: q, k, v `[T, D]`,
//! scores `S = q·kᵀ/√D`, probabilities `P = softmax(S)` over the positions that a position sees (itself and those before
//! it when `causal`), `o = P·v`; the heads side by side are the output `[B, T, C]`. Only a block of rows of S exists at a
//! time, since a row of o needs a row of P and no more. With dropout, `o = (m ⊙ P)·v`. A row may hold several texts, one
//! after another, which do not see each other, and padding, which nobody sees and which gets zeros: for each text the
//! same as if it stood alone, so packing texts into rows costs no more than the texts.
//!
//! Backward: given do, `dv = (m ⊙ P)ᵀ·do` and `dP = m ⊙ (do·vᵀ)`. Through the softmax, `dS = P ⊙ (dP − δ)` with
//! `δᵢ = Σⱼ dPᵢⱼ·Pᵢⱼ`; since o is linear in P, `Σⱼ Pᵢⱼ·mᵢⱼ·(doᵢ·vⱼ) = doᵢ·oᵢ`, so δ needs no P at all. Then
//! `dq = dS·k/√D`, `dk = dSᵀ·q/√D`.
//!
//! Saved: the log-sum-exp of each row of S, from which a block of P is computed again: `P = exp(S − lse)`.
//!
//! Reference: Vaswani et al. 2017, section 3.2; Dao et al. 2022 (FlashAttention), appendix B, for the backward pass.

use std::ops::Range;

use tensor::matmul::{Mat, MatMut, Packed, Precision, Start, matmul_packed, matmul_serial};
use tensor::parallel::{chunks, chunks2, grain_rows};
use tensor::pool::{Buffer, Indices};
use tensor::{Float, Lanes, Shape, Tensor, rows};

use super::dropout::Mask;
use super::{Op, Operation, Reads, Recompute};
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct Attention<T: Float> {
    qkv: Id,
    sizes: Sizes,
    /// Of each of the B·T positions, its place in its text; empty if each row is one text.
    position_ids: Indices,
    mask: Option<Mask>,
    /// `[B, H, T]`
    lse: Tensor<T>,
}

/// The place of a position that belongs to no text.
pub const PADDING: u32 = u32::MAX;

/// Rows of S that exist at a time, at most.
const ROWS: usize = 64;

#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    time: usize,
    heads: usize,
    head: usize,
    causal: bool,
}

impl Sizes {
    fn width(&self) -> usize {
        self.heads * self.head
    }

    /// The positions of each block of rows, and how many positions its last row sees.
    fn blocks(self) -> impl DoubleEndedIterator<Item = (Range<usize>, usize)> {
        // Fewer where that spares a good part of what a causal position does not see.
        let rows = if self.time > ROWS { ROWS } else { ROWS / 2 };
        (0..self.time).step_by(rows).map(move |i| {
            let end = (i + rows).min(self.time);
            (i..end, if self.causal { end } else { self.time })
        })
    }

    /// How many positions position `i` sees.
    fn seen(&self, i: usize) -> usize {
        if self.causal { i + 1 } else { self.time }
    }

    /// Head `bh`'s columns of a `[B, T, parts·C]` buffer, where they stand: `[T, D]`.
    fn head<'a, T: Float>(&self, from: &'a [T], bh: usize, part: usize, parts: usize) -> Head<'a, T> {
        let (b, h, c) = (bh / self.heads, bh % self.heads, self.width());
        Head { data: &from[b * self.time * parts * c + part * c + h * self.head..], stride: parts * c, head: self.head }
    }

    /// The part of row i of S that is worth a look, in whole vectors: with `masked` where position i does not see, and
    /// zeros beyond, which its exponential would be.
    fn unmask<'a, T: Float>(&self, i: usize, row: &'a mut [T], masked: T) -> &'a mut [T] {
        let seen = self.seen(i);
        let end = seen.next_multiple_of(T::Lanes::N).min(row.len());
        let (near, far) = row.split_at_mut(end);
        near[seen..].fill(masked);
        far.fill(T::ZERO);
        near
    }

    /// 1/√D
    fn scale<T: Float>(&self) -> T {
        T::of((self.head as f64).powf(-0.5))
    }
}

/// One head's rows within rows of all heads.
#[derive(Clone, Copy)]
struct Head<'a, T> {
    data: &'a [T],
    stride: usize,
    head: usize,
}

impl<'a, T: Float> Head<'a, T> {
    /// The rows from `first` on.
    fn from(self, first: usize) -> Self {
        Self { data: &self.data[first * self.stride..], ..self }
    }

    fn row(&self, i: usize) -> &'a [T] {
        &self.data[i * self.stride..][..self.head]
    }

    fn rows(&self, rows: Range<usize>) -> Mat<'a, T> {
        let data = if rows.is_empty() { &[] } else { &self.data[rows.start * self.stride..] };
        Mat::strided(data, rows.len(), self.head, self.stride)
    }
}

impl<T: Float> Var<'_, T> {
    /// Attention of `heads` heads over the projection q, k, v side by side: `[B, T, 3C]` → `[B, T, C]`. A position sees
    /// itself and those before it when `causal`, else all of its row; with `position_ids`, only those of its own text: they give
    /// the place of each of the B·T positions in its text, so that every 0 begins one, and [`PADDING`] belongs to none.
    /// Padding is neither read nor changed: its output and gradient are zero. Probabilities are dropped with share
    /// `dropout`.
    #[track_caller]
    pub fn attention(self, heads: usize, causal: bool, position_ids: Option<&[u32]>, dropout: f64) -> Self {
        let shape = self.shape();
        let &[batch, time, width3] = &shape[..] else { panic!("attention: {shape} is not [B, T, 3C]") };
        assert!(width3 % (3 * heads) == 0, "attention: {heads} heads do not divide a third of {shape}");
        let position_ids = Indices::of(position_ids.unwrap_or_default());
        let fits = position_ids.is_empty() || position_ids.len() == batch * time;
        assert!(fits, "attention: {} position ids for {shape}", position_ids.len());
        let s = Sizes { batch, time, heads, head: width3 / 3 / heads, causal };
        let mask = Mask::next(self, dropout, Shape::from([batch, heads, time, time]));
        let mut op = Attention { qkv: self.id, sizes: s, position_ids, mask, lse: Tensor::scratch([0]) };
        let (y, lse) = self.tape.read(|at| op.forward(at));
        op.lse = lse;
        self.tape.record(y, &[self.id], || Op::Attention(op))
    }
}

impl<T: Float> Attention<T> {
    /// The texts in row `b`, each as its positions there: runs of position ids that rise by one.
    fn texts(&self, b: usize) -> impl Iterator<Item = Range<usize>> {
        let time = self.sizes.time;
        let position_ids =
            if self.position_ids.is_empty() { &[] } else { &self.position_ids[b * time..(b + 1) * time] };
        let all = position_ids.is_empty().then_some(0..time);
        let mut end = 0;
        let packed = std::iter::from_fn(move || {
            let start = end + position_ids[end..].iter().position(|&id| id != PADDING)?;
            let rising = position_ids[start..]
                .windows(2)
                .take_while(|pair| pair[1] == pair[0].wrapping_add(1) && pair[1] != PADDING);
            end = start + 1 + rising.count();
            Some(start..end)
        });
        all.into_iter().chain(packed)
    }

    /// The sizes of one text, and the mask of head `bh` there: that of a row of all T positions, from the text's corner.
    fn of(&self, bh: usize, text: &Range<usize>) -> (Sizes, Option<(Mask, u64)>) {
        let s = self.sizes;
        let corner = bh * s.time * s.time + text.start * s.time + text.start;
        (Sizes { time: text.len(), ..s }, self.mask.map(|mask| (mask, corner as u64)))
    }

    /// Zeros for a head's rows of padding in row `b`: `[T, D]`.
    fn fill_padding<U: Float>(&self, b: usize, rows: &mut [U]) {
        let s = self.sizes;
        if !self.position_ids.is_empty() {
            let position_ids = &self.position_ids[b * s.time..(b + 1) * s.time];
            let padding = rows.chunks_exact_mut(s.head).zip(position_ids).filter(|(_, id)| **id == PADDING);
            padding.for_each(|(row, _)| row.fill(U::ZERO));
        }
    }

    /// The output `[B, T, C]` and lse `[B, H, T]`.
    fn forward(&self, at: &Values<T>) -> (Tensor<T>, Tensor<T>) {
        let s = self.sizes;
        let mut o = Buffer::scratch(s.batch * s.time * s.width()); // [B, H, T, D]
        let mut lse = Tensor::scratch([s.batch, s.heads, s.time]);
        let (qkv, precision) = (at.data(self.qkv), at.precision);
        chunks2((&mut o, s.time * s.head), (lse.data_mut(), s.time), |bh, o, lse| {
            self.fill_padding(bh / s.heads, o);
            for text in self.texts(bh / s.heads) {
                let (here, mask) = self.of(bh, &text);
                let [o, lse] = [(&mut *o, s.head), (&mut *lse, 1)].map(|(x, w)| &mut x[text.start * w..text.end * w]);
                let qkv = [0, 1, 2].map(|part| s.head(qkv, bh, part, 3).from(text.start));
                forward(o, lse, qkv, here, mask, s.time, precision);
            }
        });
        let mut y = Tensor::scratch([s.batch, s.time, s.width()]);
        side_by_side(y.data_mut(), &o, s, 1);
        (y, lse)
    }
}

/// One head: o `[T, D]` and lse `[T]` from its q, k, v.
fn forward<T: Float>(
    o: &mut [T],
    lse: &mut [T],
    [q, k, v]: [Head<T>; 3],
    s: Sizes,
    mask: Option<(Mask, u64)>,
    stride: usize,
    precision: Precision,
) {
    let (t, d, scale) = (s.time, s.head, s.scale::<T>());
    let [k, v] = [k.rows(0..t).t(), v.rows(0..t)].map(|b| Packed::new(b, precision));
    let mut p = Buffer::scratch(ROWS.min(t) * t);
    let mut sums = [T::ONE; ROWS];
    for (block, seen) in s.blocks() {
        let (n, o) = (block.len(), &mut o[block.start * d..block.end * d]);
        let p = &mut p[..n * seen];
        matmul_packed(MatMut::new(p, n, seen), Start::Zero, q.rows(block.clone()), &k); // q·kᵀ
        for (i, p) in block.clone().zip(p.chunks_exact_mut(seen)) {
            let (m, sum) = rows::exp_shifted(s.unmask(i, p, T::of(f64::NEG_INFINITY)), scale); // exp(q·kᵀ/√D − m)
            (lse[i], sums[i - block.start]) = (m, sum);
            if let Some((mask, first)) = mask {
                mask.apply(first + (i * stride) as u64, p); // m ⊙ P
            }
        }
        matmul_packed(MatMut::new(o, n, d), Start::Zero, Mat::new(p, n, seen), &v); // o = P·v
        // The softmax' denominators, on the few columns of o instead of those of P.
        for (o, &sum) in o.chunks_exact_mut(d).zip(&sums) {
            let share = T::Lanes::splat(T::ONE / sum);
            rows::update(o, T::ZERO, |o| o * share);
        }
        rows::update_both(&mut lse[block.clone()], &mut sums[..n], |m, sum| (m + sum.ln(), sum));
    }
}

/// The heads of each of some parts, `[B, H, parts, T, D]`, side by side: `[B, T, parts·C]`. One head after the other, since its
/// rows follow each other in x, and more places at once than a few no prefetcher foresees.
fn side_by_side<T: Float>(y: &mut [T], x: &[T], s: Sizes, parts: usize) {
    let (d, row) = (s.head, parts * s.width());
    chunks(y, grain_rows(row) * row, |at, y| {
        let first = at / row;
        for (part, h) in (0..parts).flat_map(|part| (0..s.heads).map(move |h| (part, h))) {
            for (i, y) in y.chunks_exact_mut(row).enumerate() {
                let (b, t) = ((first + i) / s.time, (first + i) % s.time);
                let x = &x[(((b * s.heads + h) * parts + part) * s.time + t) * d..][..d];
                rows::copy(&mut y[(part * s.heads + h) * d..][..d], x);
            }
        }
    });
}

impl<T: Float> Operation<T> for Attention<T> {
    const READS: Reads = Reads::Both;
    const RECOMPUTE: Recompute = Recompute::Costly;

    fn recompute(&self, at: &Values<T>) -> Tensor<T> {
        self.forward(at).0
    }

    fn flops(&self, _: &Values<T>) -> f64 {
        // q·kᵀ and P·v, over the positions that are seen.
        let seen = |s: Sizes| (0..s.time).map(|i| s.seen(i)).sum::<usize>();
        let texts = (0..self.sizes.batch).flat_map(|b| self.texts(b));
        let a_head = |text: Range<usize>| 4.0 * (self.sizes.head * seen(self.of(0, &text).0)) as f64;
        self.sizes.heads as f64 * texts.map(a_head).sum::<f64>()
    }

    fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        let s = self.sizes;
        if !grads.wanted(self.qkv) {
            return;
        }
        let (qkv, y, lse, precision) = (at.data(self.qkv), at.output(), self.lse.data(), at.precision);
        let size = 3 * s.time * s.head;
        let mut all = Buffer::<T>::scratch(s.batch * s.heads * size); // dq, dk and dv of each head: [B, H, 3, T, D]
        chunks(&mut all, size, |start, of_head| {
            let bh = start / size;
            let mut parts = of_head.chunks_exact_mut((s.time * s.head).max(1));
            let mut parts = [(); 3].map(|()| parts.next().unwrap_or_default());
            parts.iter_mut().for_each(|part| self.fill_padding(bh / s.heads, part));
            for text in self.texts(bh / s.heads) {
                let (here, mask) = self.of(bh, &text);
                let [q, k, v] = [0, 1, 2].map(|part| s.head(qkv, bh, part, 3).from(text.start));
                let [d_o, o] = [dy.data(), y].map(|from| s.head(from, bh, 0, 1).from(text.start));
                let of_text = parts.each_mut().map(|part| &mut part[text.start * s.head..text.end * s.head]);
                let lse = &lse[bh * s.time..][text.clone()];
                backward(of_text, [q, k, v, o, d_o], lse, here, mask, s.time, precision);
            }
        });
        let mut d_qkv = Tensor::scratch(at.shape(self.qkv));
        side_by_side(d_qkv.data_mut(), &all, s, 3);
        grads.give(self.qkv, d_qkv);
    }
}

/// One head: dq, dk, dv `[T, D]`.
fn backward<T: Float>(
    [dq, dk, dv]: [&mut [T]; 3],
    [q, k, v, o, d_o]: [Head<T>; 5],
    lse: &[T],
    s: Sizes,
    mask: Option<(Mask, u64)>,
    stride: usize,
    precision: Precision,
) {
    let (t, w) = (s.time, s.head);
    let scale = T::Lanes::splat(s.scale::<T>());
    let [k_t, v_t, k] = [k.rows(0..t).t(), v.rows(0..t).t(), k.rows(0..t)].map(|b| Packed::new(b, precision));
    let [mut p, mut ds] = [(); 2].map(|()| Buffer::scratch(ROWS.min(t) * t));
    // The last block first: it sees all positions, so the others add to its dk and dv.
    for (block, seen) in s.blocks().rev() {
        let n = block.len();
        let sum = if block.end == t { Start::Zero } else { Start::There };
        let (p, ds) = (&mut p[..n * seen], &mut ds[..n * seen]);
        let [q_rows, d_o_rows] = [q, d_o].map(|x| x.rows(block.clone()));
        matmul_packed(MatMut::new(p, n, seen), Start::Zero, q_rows, &k_t); // q·kᵀ
        matmul_packed(MatMut::new(ds, n, seen), Start::Zero, d_o_rows, &v_t); // do·vᵀ
        for ((i, p), ds) in block.clone().zip(p.chunks_exact_mut(seen)).zip(ds.chunks_exact_mut(seen)) {
            let lse = T::Lanes::splat(lse[i]);
            let delta = T::Lanes::splat(rows::dot(d_o.row(i), o.row(i))); // δ = do·o
            let mask = mask.map(|(mask, first)| (mask, first + (i * stride) as u64));
            if let Some((mask, first)) = mask {
                mask.apply(first, ds); // dP = m ⊙ (do·vᵀ)
            }
            let near = s.unmask(i, p, T::of(f64::NEG_INFINITY));
            ds[near.len()..].fill(T::ZERO);
            rows::update_both(near, &mut ds[..near.len()], |p, dp| {
                let p = (p * scale - lse).exp(); // P = exp(S − lse)
                (p, p * (dp - delta) * scale) // dS/√D = P ⊙ (dP − δ)/√D
            });
            if let Some((mask, first)) = mask {
                mask.apply(first, p); // m ⊙ P
            }
        }
        let (p, ds) = (Mat::new(p, n, seen), Mat::new(ds, n, seen));
        let [dk, dv] = [&mut *dk, &mut *dv].map(|d| MatMut::new(&mut d[..seen * w], seen, w));
        matmul_serial(dv, sum, p.t(), d_o_rows, precision); // dv = (m ⊙ P)ᵀ·do
        matmul_serial(dk, sum, ds.t(), q_rows, precision); // dk = dSᵀ·q/√D
        let dq = MatMut::new(&mut dq[block.start * w..block.end * w], n, w);
        matmul_packed(dq, Start::Zero, ds, &k); // dq = dS·k/√D
    }
}
