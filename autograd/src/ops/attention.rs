//! Attention of all heads, without the T x T matrix of probabilities in memory.
//!
//! Forward: from one projection `[B, T, 3C]`, for each of B rows and H heads of D = C/H columns: q, k, v `[T, D]`,
//! scores `S = q·kᵀ/√D`, probabilities `P = softmax(S)` over the positions that a position sees (itself and those before
//! it when `causal`), `o = P·v`; the heads side by side are the output `[B, T, C]`. Only a block of rows of S exists at a
//! time, since a row of o needs a row of P and no more. With dropout, `o = (m ⊙ P)·v`.
//!
//! Backward: given do, `dv = (m ⊙ P)ᵀ·do` and `dP = m ⊙ (do·vᵀ)`. Through the softmax, `dS = P ⊙ (dP − δ)` with
//! `δᵢ = Σⱼ dPᵢⱼ·Pᵢⱼ`; since o is linear in P, `Σⱼ Pᵢⱼ·mᵢⱼ·(doᵢ·vⱼ) = doᵢ·oᵢ`, so δ needs no P at all. Then
//! `dq = dS·k/√D`, `dk = dSᵀ·q/√D`.
//!
//! Saved: the log-sum-exp of each row of S, from which a block of P is computed again: `P = exp(S − lse)`.
//!
//! Reference: Vaswani et al. 2017, section 3.2; Dao et al. 2022 (FlashAttention), appendix B, for the backward pass.

use tensor::matmul::{Mat, add_matmul_serial};
use tensor::parallel::{chunks, chunks2};
use tensor::pool::Buffer;
use tensor::{Float, Lanes, Shape, Tensor, elementwise, rows};

use super::Op;
use super::dropout::Mask;
use crate::tape::{Grads, Id, Values, Var};

pub(crate) struct Attention<T: Float> {
    qkv: Id,
    sizes: Sizes,
    mask: Option<Mask>,
    /// `[B, H, T]`
    lse: Tensor<T>,
}

/// Rows of S that exist at a time.
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
    fn blocks(self) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
        (0..self.time).step_by(ROWS).map(move |i| {
            let end = (i + ROWS).min(self.time);
            (i..end, if self.causal { end } else { self.time })
        })
    }

    /// How many positions position `i` sees.
    fn seen(&self, i: usize) -> usize {
        if self.causal { i + 1 } else { self.time }
    }

    /// Calls `f(i, place)` for each of the T rows of head `bh`: row i stands at `place` of a `[B, T, stride]` buffer whose
    /// heads begin at column `offset`.
    fn each_row(&self, bh: usize, stride: usize, offset: usize, mut f: impl FnMut(usize, usize)) {
        let (b, h) = (bh / self.heads, bh % self.heads);
        (0..self.time).for_each(|t| f(t, (b * self.time + t) * stride + offset + h * self.head));
    }

    /// Head `bh`'s own rows, copied together: `[T, D]`, times `scale`.
    fn gather<T: Float>(&self, from: &[T], bh: usize, stride: usize, offset: usize, scale: f64) -> Buffer<T> {
        let d = self.head;
        let mut own = Buffer::zeros(self.time * d);
        self.each_row(bh, stride, offset, |t, at| {
            rows::add_scaled_row(&mut own[t * d..][..d], T::of(scale), &from[at..at + d]);
        });
        own
    }

    /// One head's q/√D, k and v.
    fn q_k_v<T: Float>(&self, qkv: &[T], bh: usize) -> [Buffer<T>; 3] {
        let c = self.width();
        [(0, (self.head as f64).powf(-0.5)), (c, 1.0), (2 * c, 1.0)].map(|(at, s)| self.gather(qkv, bh, 3 * c, at, s))
    }
}

impl<T: Float> Var<'_, T> {
    /// Attention of `heads` heads over the projection q, k, v side by side: `[B, T, 3C]` → `[B, T, C]`. A position sees
    /// itself and those before it when `causal`, else all. Probabilities are dropped with share `dropout`.
    #[track_caller]
    pub fn attention(self, heads: usize, causal: bool, dropout: f64) -> Self {
        let shape = self.shape();
        let &[batch, time, width3] = &shape[..] else { panic!("attention: {shape} is not [B, T, 3C]") };
        assert!(width3 % (3 * heads) == 0, "attention: {heads} heads do not divide a third of {shape}");
        let s = Sizes { batch, time, heads, head: width3 / 3 / heads, causal };
        let mask = Mask::next(self, dropout, Shape::from([batch, heads, time, time]));
        let (mut o, mut lse) = (Buffer::scratch(batch * time * s.width()), Tensor::scratch([batch, heads, time]));
        self.tape.read(|at| {
            let qkv = at.data(self.id);
            chunks2((&mut o, time * s.head), (lse.data_mut(), time), |bh, o, lse| forward(o, lse, qkv, bh, s, mask));
        });
        let mut y = Tensor::scratch([batch, time, s.width()]);
        merge(y.data_mut(), &o, s);
        self.tape.record(y, &[self.id], || Op::Attention(Attention { qkv: self.id, sizes: s, mask, lse }))
    }
}

/// One head: o `[T, D]` and lse `[T]` from its columns of qkv.
fn forward<T: Float>(o: &mut [T], lse: &mut [T], qkv: &[T], bh: usize, s: Sizes, mask: Option<Mask>) {
    let (t, d) = (s.time, s.head);
    let [q, k, v] = s.q_k_v(qkv, bh);
    o.fill(T::ZERO);
    for (block, seen) in s.blocks() {
        let mut p = scores(&q, &k, d, block.clone(), seen); // S = q·kᵀ/√D
        for (i, p) in block.clone().zip(p.chunks_exact_mut(seen)) {
            lse[i] = rows::softmax(&mut p[..s.seen(i)]); // P = softmax(S)
            p[s.seen(i)..].fill(T::ZERO);
            if let Some(mask) = mask {
                mask.apply(((bh * t + i) * t) as u64, p); // m ⊙ P
            }
        }
        let o = &mut o[block.start * d..block.end * d];
        add_matmul_serial(o, Mat::new(&p, block.len(), seen), Mat::new(&v[..seen * d], seen, d)); // o = P·v
    }
}

/// Rows `block` of q·kᵀ over the first `seen` positions: `[block, seen]`.
fn scores<T: Float>(q: &[T], k: &[T], d: usize, block: std::ops::Range<usize>, seen: usize) -> Buffer<T> {
    let mut s = Buffer::zeros(block.len() * seen);
    let q = Mat::new(&q[block.start * d..block.end * d], block.len(), d);
    add_matmul_serial(&mut s, q, Mat::new(&k[..seen * d], seen, d).t());
    s
}

/// The heads `[B, H, T, D]` side by side: `[B, T, C]`.
fn merge<T: Float>(y: &mut [T], o: &[T], s: Sizes) {
    let (d, c) = (s.head, s.width());
    chunks(y, s.time * c, |at, y| {
        let b = at / (s.time * c);
        for (row, y) in y.chunks_exact_mut(d).enumerate() {
            let (t, h) = (row / s.heads, row % s.heads);
            y.copy_from_slice(&o[((b * s.heads + h) * s.time + t) * d..][..d]);
        }
    });
}

impl<T: Float> Attention<T> {
    pub(crate) fn backward(&self, at: &Values<T>, dy: Tensor<T>, grads: &mut Grads<T>) {
        let s = self.sizes;
        let (qkv, y, lse) = (at.data(self.qkv), at.output(), self.lse.data());
        let Some(d_qkv) = grads.of(self.qkv) else {
            return;
        };
        let size = 3 * s.time * s.head;
        let mut d = Buffer::<T>::zeros(s.batch * s.heads * size); // [B, H, 3, T, D]
        chunks(&mut d, size, |at, d| {
            let bh = at / size;
            let lse = &lse[bh * s.time..][..s.time];
            backward(d, dy.data(), qkv, y, lse, bh, s, self.mask);
        });
        chunks(d_qkv, s.time * 3 * s.width(), |at, d_qkv| {
            let b = at / (s.time * 3 * s.width());
            for (row, to) in d_qkv.chunks_exact_mut(s.head).enumerate() {
                let (t, part, h) = (row / (3 * s.heads), row / s.heads % 3, row % s.heads);
                let from = (((b * s.heads + h) * 3 + part) * s.time + t) * s.head;
                rows::add_row(to, &d[from..][..s.head]);
            }
        });
    }
}

/// One head: dq, dk, dv `[3, T, D]`.
fn backward<T: Float>(d: &mut [T], dy: &[T], qkv: &[T], y: &[T], lse: &[T], bh: usize, s: Sizes, mask: Option<Mask>) {
    let (t, w) = (s.time, s.head);
    let [q, k, v] = s.q_k_v(qkv, bh);
    let [d_o, o] = [dy, y].map(|from| s.gather(from, bh, s.width(), 0, 1.0));
    let (dq, rest) = d.split_at_mut(t * w);
    let (dk, dv) = rest.split_at_mut(t * w);
    for (block, seen) in s.blocks() {
        let (n, own) = (block.len(), block.start * w..block.end * w);
        let d_o_rows = Mat::new(&d_o[own.clone()], n, w);
        let mut p = scores(&q, &k, w, block.clone(), seen);
        let mut dp = Buffer::zeros(n * seen);
        add_matmul_serial(&mut dp, d_o_rows, Mat::new(&v[..seen * w], seen, w).t()); // do·vᵀ
        let mut kept = Buffer::scratch(if mask.is_some() { n * seen } else { 0 });
        for (r, i) in block.clone().enumerate() {
            let (p, dp) = (&mut p[r * seen..][..seen], &mut dp[r * seen..][..seen]);
            rows::softmax_again(&mut p[..s.seen(i)], lse[i]); // P = exp(S − lse)
            p[s.seen(i)..].fill(T::ZERO);
            if let Some(mask) = mask {
                let at = ((bh * t + i) * t) as u64;
                kept[r * seen..][..seen].copy_from_slice(p);
                mask.apply(at, &mut kept[r * seen..][..seen]); // m ⊙ P
                mask.apply(at, dp); // dP = m ⊙ (do·vᵀ)
            }
            let row = i * w..(i + 1) * w;
            let delta = T::Lanes::splat(rows::dot(&d_o[row.clone()], &o[row])); // δ = do·o
            let from = &*p;
            elementwise::update(dp, from, |dp, p| p * (dp - delta)); // dS = P ⊙ (dP − δ)
        }
        let ds = Mat::new(&dp, n, seen);
        let p = Mat::new(if mask.is_some() { &kept } else { &p }, n, seen);
        add_matmul_serial(&mut dv[..seen * w], p.t(), d_o_rows); // dv = (m ⊙ P)ᵀ·do
        add_matmul_serial(&mut dq[own.clone()], ds, Mat::new(&k[..seen * w], seen, w)); // dq = dS·k
        add_matmul_serial(&mut dk[..seen * w], ds.t(), Mat::new(&q[own], n, w)); // dk = dSᵀ·q/√D
    }
    elementwise::scale(dq, T::of((w as f64).powf(-0.5))); // dq = dS·k/√D
}
