//! Packing: operands copied into the order in which the tile reads them, and rounded on the way where asked for.
//!
//! A packed panel consists of words. A word is one number, or with bf16 two neighbours of the inner dimension side by
//! side, which the processor's dot instruction multiplies and adds at once.

use std::ops::Range;

use super::Mat;
use super::tile::{MR, nr};
use crate::parallel::chunks;
use crate::pool::Buffer;
use crate::simd::{Float, Lanes};

/// How numbers become words, and how words are multiplied.
pub trait Pack<T: Float>: Send + Sync + 'static {
    /// How many inner positions a word holds.
    const STEP: usize;
    /// Whether words are the numbers themselves.
    const PLAIN: bool;
    /// Words from a run along the inner dimension.
    fn along(to: &mut [T], from: &[T]);
    /// Words from [`Self::STEP`] runs across it, one for each inner position; the last may be missing (then zeros).
    fn across(to: &mut [T], first: &[T], second: Option<&[T]>);
    /// sum + a·b, over all positions of the words.
    fn add_product(sum: T::Lanes, a: T::Lanes, b: T::Lanes) -> T::Lanes;
}

/// Numbers as they are.
pub struct Plain;

impl<T: Float> Pack<T> for Plain {
    const STEP: usize = 1;
    const PLAIN: bool = true;
    #[inline(always)]
    fn along(to: &mut [T], from: &[T]) {
        to.copy_from_slice(from);
    }
    #[inline(always)]
    fn across(to: &mut [T], first: &[T], _: Option<&[T]>) {
        to.copy_from_slice(first);
    }
    #[inline(always)]
    fn add_product(sum: T::Lanes, a: T::Lanes, b: T::Lanes) -> T::Lanes {
        a.mul_add(b, sum)
    }
}

/// The rows of A that one thread works on, for some inner positions, as the tile reads them.
pub enum Rows<'a, T: Float> {
    /// Row by row where they stand.
    Here(Mat<'a, T>),
    /// Words row by row: `[rows, words]`.
    ByRow(Buffer<T>),
    /// Panels of MR rows: for each word of the inner dimension, MR words side by side.
    Panels(Buffer<T>),
}

impl<'a, T: Float> Rows<'a, T> {
    pub fn new<P: Pack<T>>(a: Mat<'a, T>, rows: Range<usize>, inner: Range<usize>) -> Self {
        let words = inner.len().div_ceil(P::STEP);
        if a.transposed {
            let mut packed = Buffer::scratch(rows.len().div_ceil(MR) * MR * words);
            for (i0, panel) in rows.clone().step_by(MR).zip(packed.chunks_exact_mut(MR * words)) {
                let height = MR.min(rows.end - i0);
                for (to, k) in panel.chunks_exact_mut(MR).zip(inner.clone().step_by(P::STEP)) {
                    let row = |k: usize| &a.stored_row(k)[i0..i0 + height];
                    let second = (P::STEP > 1 && k + 1 < inner.end).then(|| row(k + 1));
                    match <&mut [T; MR]>::try_from(&mut to[..]) {
                        Ok(to) if height == MR => P::across(to, &row(k)[..MR], second.map(|r| &r[..MR])),
                        _ => P::across(&mut to[..height], row(k), second),
                    }
                }
            }
            Rows::Panels(packed)
        } else if P::PLAIN {
            Rows::Here(a.part(rows, inner))
        } else {
            let mut packed = Buffer::scratch(rows.len() * words);
            for (to, i) in packed.chunks_exact_mut(words).zip(rows) {
                P::along(to, &a.stored_row(i)[inner.clone()]);
            }
            Rows::ByRow(packed)
        }
    }
}

/// Panels of NR columns of B: for each word of the inner dimension, NR words side by side; zeros beyond the last column.
pub fn pack_b<T: Float, P: Pack<T>>(b: Mat<T>, cols: Range<usize>, inner: Range<usize>, parallel: bool) -> Buffer<T> {
    let (words, nr) = (inner.len().div_ceil(P::STEP), nr::<T>());
    let mut out = Buffer::scratch(cols.len().div_ceil(nr) * nr * words);
    let pack = |at: usize, panel: &mut [T]| {
        let j0 = cols.start + at / words;
        let width = nr.min(cols.end - j0);
        if width < nr {
            panel.fill(T::ZERO);
        }
        if b.transposed {
            transpose::<T, P>(panel, nr, words, b.t().part(j0..j0 + width, inner.clone()));
        } else {
            let row = |k: usize| &b.stored_row(k)[j0..j0 + width];
            for (to, k) in panel.chunks_exact_mut(nr).zip(inner.clone().step_by(P::STEP)) {
                P::across(&mut to[..width], row(k), (P::STEP > 1 && k + 1 < inner.end).then(|| row(k + 1)));
            }
        }
    };
    if parallel {
        chunks(&mut out, nr * words, pack);
    } else {
        out.chunks_exact_mut(nr * words).enumerate().for_each(|(p, panel)| pack(p * nr * words, panel));
    }
    out
}

/// `to` `[words, nr]` ← the transpose of the words of `rows`, in squares that are turned in registers.
fn transpose<T: Float, P: Pack<T>>(to: &mut [T], nr: usize, words: usize, rows: Mat<T>) {
    let side = T::SQUARE;
    let mut packed = Buffer::<T>::scratch(if P::PLAIN { 0 } else { side * words });
    for j0 in (0..rows.rows).step_by(side) {
        let height = side.min(rows.rows - j0);
        let here = &rows.data[j0 * rows.stride..];
        let (from, stride) = if P::PLAIN {
            (here, rows.stride)
        } else {
            let each = packed.chunks_exact_mut(words).zip(here.chunks(rows.stride)).take(height);
            each.for_each(|(to, row)| P::along(to, &row[..rows.cols]));
            (&packed[..], words)
        };
        let turned = if height == side { words / side * side } else { 0 };
        for k0 in (0..turned).step_by(side) {
            T::transpose((&mut to[k0 * nr + j0..], nr), (&from[k0..], stride));
        }
        for j in 0..height {
            (turned..words).for_each(|k| to[k * nr + j0 + j] = from[j * stride + k]);
        }
    }
}
