//! Packing: operands copied into the order in which the tile reads them, and rounded on the way where asked for.
//!
//! A packed operand consists of words. A word is one number, or with bf16 two neighbours of the inner dimension side by
//! side, which the processor's dot instruction multiplies and adds at once.

use std::ops::Range;

use super::Mat;
use super::instructions::fetch;
use super::tile::{NV, nr};
use crate::parallel::{GRAIN, chunks};
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

/// Columns are read where they stand up to this distance from one inner position to the next. Beyond, each step of a
/// tile is a page of its own.
const NEAR: usize = 512;

/// Bytes in a line of the cache.
const LINE: usize = 64;
/// Lines whose distance is a multiple of this many bytes share a set of the first-level cache, which holds eight to twelve
/// of them: the MR rows that a tile reads side by side had better not.
const WAY: usize = 4096;

/// How many rows ahead a piece of a row is asked for.
const AHEAD: usize = 8;

/// Pieces of the rows from `rows.start` on, one a word: `piece(k)` and the next are handed to `pack` with the word's number. A
/// piece is a line or a few, and the next lies a row further on, where no prefetcher foresees it: unless it is asked for, each
/// comes from memory alone, and packing takes three times as long.
fn pieces<'a, T: Float, P: Pack<T>>(
    rows: Range<usize>,
    piece: impl Fn(usize) -> &'a [T],
    mut pack: impl FnMut(usize, &'a [T], Option<&'a [T]>),
) {
    for (word, k) in rows.clone().step_by(P::STEP).enumerate() {
        for k in (k + AHEAD..k + AHEAD + P::STEP).filter(|k| rows.contains(k)) {
            piece(k).iter().step_by(LINE / size_of::<T>()).for_each(fetch);
        }
        pack(word, piece(k), (P::STEP > 1 && k + 1 < rows.end).then(|| piece(k + 1)));
    }
}

/// Whether rows of A at this distance may be read side by side: at twice the distance they are not in one set yet.
fn apart<T>(stride: usize) -> bool {
    !(2 * stride * size_of::<T>()).is_multiple_of(WAY)
}

/// Some rows of A for some inner positions, as the tile reads them.
pub struct Rows<'a, T: Float> {
    words: Words<'a, T>,
    /// From one row to the next, or from one inner position to the next.
    pub stride: usize,
    /// Word k of row i stands at `k·stride + i`, else at `i·stride + k`.
    pub by_column: bool,
}

enum Words<'a, T: Float> {
    Here(&'a [T]),
    Packed(Buffer<T>),
}

impl<'a, T: Float> Rows<'a, T> {
    /// Where they stand, if the words are the numbers and the tile can read them side by side there; else copied.
    pub fn new<P: Pack<T>>(a: Mat<'a, T>, rows: Range<usize>, inner: Range<usize>) -> Self {
        let (words, by_column) = (inner.len().div_ceil(P::STEP), a.transposed);
        if P::PLAIN && if by_column { a.stride <= NEAR } else { rows.len() == 1 || apart::<T>(a.stride) } {
            let part = if by_column { a.t().part(inner, rows) } else { a.part(rows, inner) };
            return Self { words: Words::Here(part.data), stride: a.stride, by_column };
        }
        let (stride, runs) = match words {
            words if by_column => (rows.len(), words),
            words if apart::<T>(words) => (words, rows.len()),
            words => (words + LINE / size_of::<T>(), rows.len()),
        };
        let mut packed = Buffer::scratch(runs * stride);
        if by_column {
            let piece = |k: usize| &a.stored_row(k)[rows.clone()];
            pieces::<T, P>(inner.clone(), piece, |word, first, second| {
                P::across(&mut packed[word * stride..][..stride], first, second);
            });
        } else {
            for (to, i) in packed.chunks_exact_mut(stride).zip(rows) {
                P::along(&mut to[..words], &a.stored_row(i)[inner.clone()]);
            }
        }
        Self { words: Words::Packed(packed), stride, by_column }
    }

    pub fn words(&self) -> &[T] {
        match &self.words {
            Words::Here(words) => words,
            Words::Packed(words) => words,
        }
    }
}

/// A block of B in panels of NR columns: for each word of the inner dimension NR words side by side, zeros beyond the last
/// column.
pub struct Panels<T: Float> {
    words: usize,
    buffer: Buffer<T>,
}

impl<T: Float> Panels<T> {
    /// Packs a block, on all threads if `parallel`.
    pub fn new<P: Pack<T>>(b: Mat<T>, cols: Range<usize>, inner: Range<usize>, parallel: bool) -> Self {
        let (words, nr) = (inner.len().div_ceil(P::STEP), nr::<T>());
        let mut buffer = Buffer::scratch(cols.len().div_ceil(nr) * nr * words);
        let pack = |at: usize, panel: &mut [T]| {
            let j0 = cols.start + at / words;
            let width = nr.min(cols.end - j0);
            if width < nr {
                panel.fill(T::ZERO);
            }
            if b.transposed {
                transpose::<T, P>(panel, nr, words, b.t().part(j0..j0 + width, inner.clone()));
                return;
            }
            let piece = |k: usize| &b.stored_row(k)[j0..j0 + width];
            pieces::<T, P>(inner.clone(), piece, |word, first, second| {
                let to = &mut panel[word * nr..][..nr];
                if width == nr {
                    P::across(to, &first[..nr], second.map(|second| &second[..nr])); // a length known beforehand
                } else {
                    P::across(&mut to[..width], first, second);
                }
            });
        };
        if parallel && buffer.len() > GRAIN {
            chunks(&mut buffer, nr * words, pack);
        } else {
            buffer.chunks_exact_mut((nr * words).max(1)).enumerate().for_each(|(p, panel)| pack(p * nr * words, panel));
        }
        Self { words, buffer }
    }

    /// The first `words` words of panel p: `[words, NR]`.
    pub fn panel(&self, p: usize, words: usize) -> &[T::Lanes] {
        &self.buffer.lanes()[p * self.words * NV..][..words * NV]
    }
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
