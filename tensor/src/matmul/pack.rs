//! Packing: operands copied into the order in which the tile reads them, and rounded on the way where asked for.
//!
//! A packed operand consists of words. A word is one number, or with bf16 two neighbours of the inner dimension side by
//! side, which the processor's dot instruction multiplies and adds at once. A matrix unit takes words in groups, and of a
//! number that is split into parts a group for each part.

use std::ops::Range;

use super::instructions::fetch;
use super::tile::{self, MR, NV, Start, nr};
use super::{Mat, MatMut};
use crate::parallel::{GRAIN, chunks};
use crate::pool::Buffer;
use crate::simd::{Float, Lanes};

/// How numbers become words, and how words are multiplied.
pub trait Pack<T: Float>: Send + Sync + 'static {
    /// How many inner positions a word holds.
    const STEP: usize;
    /// Whether words are the numbers themselves.
    const PLAIN: bool = false;
    /// Rows of a tile.
    const ROWS: usize = MR;
    /// Rows of A in one task, at most: few, so that the last task keeps nobody waiting.
    const TASK: usize = 48;
    /// Tasks for each thread, where there are rows enough: many, to even out the load; but all of B comes by for each.
    const SHARES: usize = 4;
    /// Inner positions in one go, at most: few, so that a task's rows of A and a panel of B, which streams by, share the
    /// second-level cache, and yet so many that C is read and written again seldom.
    const INNER: usize = 1024 * Self::STEP;
    /// Inner positions whose words belong together: beyond the last are zeros up to a multiple of it.
    const GROUP: usize = Self::STEP;
    /// Whether the words of a row of A are to stand side by side also where those of a column do in A.
    const BY_ROW: bool = false;

    /// How many words `inner` positions are.
    fn words(inner: usize) -> usize {
        inner.div_ceil(Self::STEP)
    }
    /// Where among the words of a row those of positions STEP·i on stand, or the first of them, if there are several.
    fn place(i: usize) -> usize {
        i
    }
    /// Words from a run along the inner dimension: [`Self::words`] of them.
    fn along(to: &mut [T], from: &[T]);
    /// Words from [`Self::STEP`] runs across it, one for each inner position; the last may be missing (then zeros). `to` begins
    /// with the words at a [`Self::place`], and has those of the next place `stride` further.
    fn across(to: &mut [T], stride: usize, first: &[T], second: Option<&[T]>);
    /// C ← start + A·B over the first `words` words of the panels of B.
    fn multiply(c: MatMut<T>, a: &Rows<T>, b: &Panels<T>, words: usize, start: Start<T>);
    /// Multiplies what is at hand so many times, and tells how many multiply-adds of numbers these were.
    fn exercise(rounds: usize) -> usize;
}

/// Words that are multiplied lane by lane.
pub trait Lanewise<T: Float>: Pack<T> {
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
    fn across(to: &mut [T], _: usize, first: &[T], _: Option<&[T]>) {
        to[..first.len()].copy_from_slice(first);
    }
    fn multiply(c: MatMut<T>, a: &Rows<T>, b: &Panels<T>, words: usize, start: Start<T>) {
        tile::multiply::<T, Self>(c, a, b, words, start);
    }
    fn exercise(rounds: usize) -> usize {
        tile::exercise::<T, Self>(rounds)
    }
}

impl<T: Float> Lanewise<T> for Plain {
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
const ROWS_AHEAD: usize = 8;
/// How many lines ahead, at most: with 64, packing columns of A for the matrix unit took a seventh to a third longer.
const LINES_AHEAD: usize = 32;

/// Pieces of the rows from `rows.start` on, one a word: `piece(k)` and the next are handed to `pack` with the word's number. A
/// piece is a line or a few, and the next lies a row further on, where no prefetcher foresees it: unless it is asked for, each
/// comes from memory alone, and packing takes three times as long. The rows from here up to row `end` will be wanted.
fn pieces<'a, T: Float, P: Pack<T>>(
    rows: Range<usize>,
    end: usize,
    piece: impl Fn(usize) -> &'a [T],
    mut pack: impl FnMut(usize, &'a [T], Option<&'a [T]>),
) {
    if rows.is_empty() {
        return;
    }
    let step = LINE / size_of::<T>();
    let lines = piece(rows.start).len().div_ceil(step).max(1);
    let ahead = (ROWS_AHEAD.min(LINES_AHEAD / lines) / P::STEP * P::STEP).max(P::STEP);
    for (word, k) in rows.clone().step_by(P::STEP).enumerate() {
        for k in (k + ahead..k + ahead + P::STEP).filter(|&k| k < end) {
            piece(k).iter().step_by(step).for_each(fetch);
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
        let (words, by_column) = (P::words(inner.len()), a.transposed);
        if P::PLAIN && if by_column { a.stride <= NEAR } else { rows.len() == 1 || apart::<T>(a.stride) } {
            let part = if by_column { a.t().part(inner, rows) } else { a.part(rows, inner) };
            return Self { words: Words::Here(part.data), stride: a.stride, by_column };
        }
        // What stands beyond the last row, up to whole tiles, does not matter: what it gives is not written.
        let height = if P::BY_ROW { rows.len().next_multiple_of(P::ROWS) } else { rows.len() };
        let piece = |k: usize| &a.stored_row(k)[rows.clone()];
        if by_column && !P::BY_ROW {
            let mut packed = Buffer::scratch(words * height);
            let end = inner.end;
            across::<T, P>(&mut packed, height, inner, end, piece);
            return Self { words: Words::Packed(packed), stride: height, by_column };
        }
        let stride = if apart::<T>(words) { words } else { words + LINE / size_of::<T>() };
        let mut packed = Buffer::scratch(height * stride);
        if by_column {
            // Some positions at a time, which stay in the first-level cache until they are turned.
            let mut columns = Buffer::scratch(P::words(P::GROUP) * height);
            for (group, k0) in inner.clone().step_by(P::GROUP).enumerate() {
                across::<T, P>(&mut columns, height, k0..(k0 + P::GROUP).min(inner.end), inner.end, piece);
                let words = P::words(P::GROUP);
                turn((&mut packed[group * words..], stride), (&columns, height), [height, words]);
            }
        } else {
            for (to, i) in packed.chunks_exact_mut(stride).zip(rows.clone()) {
                if i + 2 < rows.end {
                    a.stored_row(i + 2)[inner.clone()].iter().step_by(LINE / size_of::<T>()).for_each(fetch);
                }
                P::along(&mut to[..words], &a.stored_row(i)[inner.clone()]);
            }
        }
        Self { words: Words::Packed(packed), stride, by_column: false }
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
        let (words, nr) = (P::words(inner.len()), nr::<T>());
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
            across::<T, P>(panel, nr, inner.clone(), inner.end, |k| &b.stored_row(k)[j0..j0 + width]);
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

/// `to` `[words, width]` ← the words of pieces of rows `inner`, and zeros after the last up to a whole group. Rows up to `end`
/// follow.
fn across<'a, T: Float, P: Pack<T>>(
    to: &mut [T],
    width: usize,
    inner: Range<usize>,
    end: usize,
    piece: impl Fn(usize) -> &'a [T],
) {
    let whole_groups = P::words(inner.len() / P::GROUP * P::GROUP);
    to[whole_groups * width..P::words(inner.len()) * width].fill(T::ZERO);
    let nr = nr::<T>();
    pieces::<T, P>(inner, end, piece, |i, first, second| {
        let to = &mut to[P::place(i) * width..];
        if width == nr && first.len() == nr {
            P::across(to, nr, &first[..nr], second.map(|second| &second[..nr])); // a length known beforehand
        } else {
            P::across(to, width, first, second);
        }
    });
}

/// `to` `[words, nr]` ← the transpose of the words of `rows`.
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
        turn((&mut to[j0..], nr), (from, stride), [words, height]);
    }
}

/// `to` `[n, m]` ← the transpose of `from` `[m, n]`, each a slice that begins with its first number, and the length of its rows:
/// in squares that are turned in registers.
fn turn<T: Float>((to, to_stride): (&mut [T], usize), (from, stride): (&[T], usize), [n, m]: [usize; 2]) {
    let side = T::SQUARE;
    let (whole_n, whole_m) = (n / side * side, m / side * side);
    for i0 in (0..whole_n).step_by(side) {
        let to = &mut to[i0 * to_stride..][..(side - 1) * to_stride + m];
        let from = &from[i0..];
        for j0 in (0..whole_m).step_by(side) {
            T::transpose((&mut to[j0..], to_stride), (&from[j0 * stride..], stride));
        }
    }
    for j in 0..m {
        let first = if j < whole_m { whole_n } else { 0 };
        (first..n).for_each(|i| to[i * to_stride + j] = from[j * stride + i]);
    }
}
