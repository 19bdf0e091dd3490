//! The matrix product: where training spends its time.
//!
//! C = A·B as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), and BLIS. The
//! matrices are cut into blocks that fit the caches, and each block is copied ("packed") into the order in which
//! it is read:
//!
//! ```text
//! for each block of NC columns of B             pack all of it, on all threads: panels of NR columns
//!   for each run of rows of A                   one task: threads split rows, never the inner dimension
//!     for each block of KC of the inner dimension    pack MC x KC of A: panels of MR rows
//!       for each panel of B, for each panel of A
//!         the tile: MR x NR sums in registers, one rank-1 update for each of the KC steps
//! ```
//!
//! The sum over the inner dimension runs in the same order for every element, however rows are split: the bits
//! do not depend on the number of threads. Edges are packed with zeros, so the tile itself has no special cases.

use crate::parallel::{chunks, threads};
use crate::pool::Buffer;
use crate::rows;
use crate::simd::{Float, Lanes};

// A tile of MR rows and NV vectors of sums lives in registers. AVX-512 has 32 of them: 12·2 sums, 2 vectors of B,
// one of A. AVX2 has 16 of half the size: 6·1·2 sums, 2 of B, one of A; NEON's 32 quarter ones hold the same tile.
const WIDE: bool = cfg!(target_feature = "avx512f");
const MR: usize = if WIDE { 12 } else { 6 };
const NV: usize = if WIDE { 2 } else { 1 };
/// Steps of the inner dimension in one go: a panel of B of KC x NR numbers (32 KiB) stays in the first-level cache.
const KC: usize = 256;
/// Rows of A packed at once: MC x KC numbers (96 KiB) stay in the second-level cache.
const MC: usize = 96;
/// Columns of B packed at once: bounds the packed copy to the inner dimension times NC.
const NC: usize = 2048;

/// Columns of a tile.
const fn nr<T: Float>() -> usize {
    NV * T::Lanes::N
}

/// A matrix as the product sees it: a slice with a row length, possibly read with rows and columns exchanged.
#[derive(Clone, Copy)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    transposed: bool,
}

impl<'a, T: Float> Mat<'a, T> {
    /// The row-major matrix `[rows, cols]` in `data`.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "Mat::new: {} numbers are no [{rows}, {cols}] matrix", data.len());
        Self { data, rows, cols, transposed: false }
    }

    /// The transpose: a flag, no copy.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, transposed: !self.transposed, ..self }
    }

    /// The numbers of stored row `i` (a column, when transposed).
    fn stored_row(&self, i: usize) -> &'a [T] {
        let width = if self.transposed { self.rows } else { self.cols };
        &self.data[i * width..(i + 1) * width]
    }
}

/// C ← A·B for `c` of shape `[m, n]`, `a` `[m, k]`, `b` `[k, n]`, on all threads.
#[track_caller]
pub fn matmul<T: Float>(c: &mut [T], a: Mat<T>, b: Mat<T>) {
    c.fill(T::ZERO);
    add_matmul(c, a, b);
}

/// C ← C + A·B, on all threads: how a product adds into a gradient.
#[track_caller]
pub fn add_matmul<T: Float>(c: &mut [T], a: Mat<T>, b: Mat<T>) {
    check(c, &a, &b);
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if m == 1 && n > 0 && k > 0 {
        return add_vector_matrix(c, a.data, b);
    }
    // Four runs a thread even out the load; whole tiles, and no more than a packed block of A.
    let run = m.div_ceil(4 * threads()).next_multiple_of(MR).min(MC);
    for j0 in (0..n).step_by(NC) {
        let cols = j0..(j0 + NC).min(n);
        let packed = pack_b(b, cols.clone(), true);
        chunks(c, run * n, |at, c| add_rows(c, at / n, n, cols.clone(), a, &packed, k));
    }
}

/// C ← C + A·B on this thread alone: for products that are many and small, and run side by side.
#[track_caller]
pub fn add_matmul_serial<T: Float>(c: &mut [T], a: Mat<T>, b: Mat<T>) {
    check(c, &a, &b);
    let n = b.cols;
    for j0 in (0..n).step_by(NC) {
        let cols = j0..(j0 + NC).min(n);
        let packed = pack_b(b, cols.clone(), false);
        for (i, c) in c.chunks_mut(MC * n).enumerate() {
            add_rows(c, i * MC, n, cols.clone(), a, &packed, a.cols);
        }
    }
}

/// C\[i\] ← C\[i\] + A\[i\]·B\[i\] for every i of a batch, side by side: `c` `[batch, m, n]`, `a` and `b` alike, stored
/// with or without exchanged rows and columns.
#[track_caller]
pub fn add_matmul_batched<T: Float>(c: &mut [T], a: Batch<T>, b: Batch<T>) {
    assert_eq!(a.batch, b.batch, "matmul: a batch of {} against one of {}", a.batch, b.batch);
    let size = a.at(0).map_or(0, |a| a.rows) * b.at(0).map_or(0, |b| b.cols);
    assert_eq!(c.len(), a.batch * size, "matmul: {} numbers for a batch of {} x {size}", c.len(), a.batch);
    if size > 0 {
        chunks(c, size, |at, c| {
            let (a, b) = (a.at(at / size), b.at(at / size));
            add_matmul_serial(c, a.expect("inside the batch"), b.expect("inside the batch"));
        });
    }
}

/// Matrices of one shape, one after another: `[batch, rows, cols]`, each possibly read transposed.
#[derive(Clone, Copy)]
pub struct Batch<'a, T> {
    data: &'a [T],
    batch: usize,
    rows: usize,
    cols: usize,
    transposed: bool,
}

impl<'a, T: Float> Batch<'a, T> {
    /// The row-major matrices `[batch, rows, cols]` in `data`.
    #[track_caller]
    pub fn new(data: &'a [T], batch: usize, rows: usize, cols: usize) -> Self {
        assert_eq!(
            data.len(),
            batch * rows * cols,
            "Batch::new: {} numbers, not [{batch}, {rows}, {cols}]",
            data.len()
        );
        Self { data, batch, rows, cols, transposed: false }
    }

    /// Every matrix transposed: a flag, no copy.
    #[must_use]
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn at(&self, i: usize) -> Option<Mat<'a, T>> {
        let size = self.rows * self.cols;
        let mat = (i < self.batch).then(|| Mat::new(&self.data[i * size..(i + 1) * size], self.rows, self.cols))?;
        Some(if self.transposed { mat.t() } else { mat })
    }
}

#[track_caller]
fn check<T: Float>(c: &[T], a: &Mat<T>, b: &Mat<T>) {
    let (m, k, k2, n) = (a.rows, a.cols, b.rows, b.cols);
    assert_eq!(k, k2, "matmul: [{m}, {k}] times [{k2}, {n}]: the inner lengths differ");
    assert_eq!(c.len(), m * n, "matmul: [{m}, {k}] times [{k}, {n}] does not fit an output of {}", c.len());
}

/// The rows of C that start at `first`, for one packed block of columns of B. `c` is whole rows of length `n`.
fn add_rows<T: Float>(
    c: &mut [T],
    first: usize,
    n: usize,
    cols: std::ops::Range<usize>,
    a: Mat<T>,
    b: &Buffer<T>,
    k: usize,
) {
    let m = c.len() / n;
    let nr = nr::<T>();
    let mut packed_a = Buffer::<T>::scratch(m.next_multiple_of(MR) * KC.min(k));
    for k0 in (0..k).step_by(KC) {
        let kc = KC.min(k - k0);
        pack_a(&mut packed_a, a, first..first + m, k0..k0 + kc);
        for (p, j0) in cols.clone().step_by(nr).enumerate() {
            let panel_b = &b.lanes()[(p * k + k0) * NV..][..kc * NV]; // [kc, NR]
            let width = nr.min(cols.end - j0);
            for (i0, panel_a) in (0..m).step_by(MR).zip(packed_a.chunks_exact(MR * kc)) {
                let sums = tile::<T>(panel_a, panel_b);
                add_tile(&mut c[i0 * n..], n, j0, MR.min(m - i0), width, &sums);
            }
        }
    }
}

/// The heart: Σₖ aₖ·bₖ for a packed panel of A `[kc, MR]` and of B `[kc, NR]`, all MR x NR sums in registers.
#[inline(always)]
fn tile<T: Float>(a: &[T], b: &[T::Lanes]) -> [[T::Lanes; NV]; MR] {
    let mut sums = [[T::Lanes::splat(T::ZERO); NV]; MR];
    for (a, b) in a.chunks_exact(MR).zip(b.chunks_exact(NV)) {
        for (sums, &a) in sums.iter_mut().zip(a) {
            let a = T::Lanes::splat(a);
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = a.mul_add(b, *sum);
            }
        }
    }
    sums
}

/// Adds a tile to its place in C: `rows` rows of length `n`, `width` columns from `j0` on.
#[inline(always)]
fn add_tile<T: Float>(c: &mut [T], n: usize, j0: usize, rows: usize, width: usize, sums: &[[T::Lanes; NV]; MR]) {
    for (i, sums) in sums.iter().enumerate().take(rows) {
        let row = &mut c[i * n + j0..i * n + j0 + width];
        for (part, &sum) in row.chunks_mut(T::Lanes::N).zip(sums) {
            (T::Lanes::load_part(part, T::ZERO) + sum).store_part(part);
        }
    }
}

/// Panels of MR rows of A: for each step of the inner dimension, MR numbers side by side; zeros beyond the last row.
fn pack_a<T: Float>(out: &mut [T], a: Mat<T>, rows: std::ops::Range<usize>, inner: std::ops::Range<usize>) {
    let kc = inner.len();
    for (i0, panel) in rows.clone().step_by(MR).zip(out.chunks_exact_mut(MR * kc)) {
        let height = MR.min(rows.end - i0);
        if height < MR {
            panel.fill(T::ZERO);
        }
        if a.transposed {
            for (to, k) in panel.chunks_exact_mut(MR).zip(inner.clone()) {
                to[..height].copy_from_slice(&a.stored_row(k)[i0..i0 + height]);
            }
        } else {
            for i in 0..height {
                let from = &a.stored_row(i0 + i)[inner.clone()];
                panel[i..].iter_mut().step_by(MR).zip(from).for_each(|(to, &x)| *to = x);
            }
        }
    }
}

/// Panels of NR columns of B: for each step of the inner dimension, NR numbers side by side; zeros beyond the last column.
fn pack_b<T: Float>(b: Mat<T>, cols: std::ops::Range<usize>, on_all_threads: bool) -> Buffer<T> {
    let (k, nr) = (b.rows, nr::<T>());
    let mut out = Buffer::scratch(cols.len().div_ceil(nr) * nr * k);
    let pack = |at: usize, panel: &mut [T]| {
        let j0 = cols.start + at / k;
        let width = nr.min(cols.end - j0);
        if width < nr {
            panel.fill(T::ZERO);
        }
        if b.transposed {
            for j in 0..width {
                panel[j..].iter_mut().step_by(nr).zip(b.stored_row(j0 + j)).for_each(|(to, &x)| *to = x);
            }
        } else {
            for (to, i) in panel.chunks_exact_mut(nr).zip(0..k) {
                to[..width].copy_from_slice(&b.stored_row(i)[j0..j0 + width]);
            }
        }
    };
    if on_all_threads {
        chunks(&mut out, nr * k, pack);
    } else if k > 0 {
        out.chunks_exact_mut(nr * k).enumerate().for_each(|(p, panel)| pack(p * nr * k, panel));
    }
    out
}

/// c ← c + x·B for a single row x: every number of B is read once, in order, and nothing is packed.
fn add_vector_matrix<T: Float>(c: &mut [T], x: &[T], b: Mat<T>) {
    let run = (crate::parallel::GRAIN / x.len()).max(1).next_multiple_of(T::Lanes::N);
    chunks(c, run, |j0, c| {
        if b.transposed {
            c.iter_mut().enumerate().for_each(|(j, c)| *c += rows::dot(x, b.stored_row(j0 + j)));
        } else {
            x.iter().enumerate().for_each(|(i, &x)| rows::add_scaled_row(c, x, &b.stored_row(i)[j0..j0 + c.len()]));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::with_threads;
    use crate::random::{Random, Stream};

    const SIZES: [usize; 10] = [0, 1, 2, 5, 12, 17, 32, 33, 97, 257];

    /// The slow and obvious product.
    fn plain(
        m: usize,
        n: usize,
        k: usize,
        a: impl Fn(usize, usize) -> f64,
        b: impl Fn(usize, usize) -> f64,
    ) -> Vec<f64> {
        (0..m * n).map(|at| (0..k).map(|p| a(at / n, p) * b(p, at % n)).sum()).collect()
    }

    fn numbers<T: Float>(n: usize, seed: u64) -> Vec<T> {
        let mut r = Random::new(seed, Stream::Other, 0);
        (0..n).map(|_| T::of(r.uniform() - 0.5)).collect()
    }

    fn agrees<T: Float>(tolerance: f64) {
        for (m, n, k) in SIZES.iter().flat_map(|&m| SIZES.iter().map(move |&n| (m, n, (m * 7 + n * 3) % 300))) {
            let (a, b) = (numbers::<T>(m * k, 1), numbers::<T>(k * n, 2));
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                let mat_a = if ta { Mat::new(&a, k, m).t() } else { Mat::new(&a, m, k) };
                let mat_b = if tb { Mat::new(&b, n, k).t() } else { Mat::new(&b, k, n) };
                let want = plain(
                    m,
                    n,
                    k,
                    |i, p| if ta { a[p * m + i] } else { a[i * k + p] }.f64(),
                    |p, j| if tb { b[j * k + p] } else { b[p * n + j] }.f64(),
                );
                let (mut all, mut one) = (vec![T::ONE; m * n], vec![T::ONE; m * n]);
                matmul(&mut all, mat_a, mat_b);
                add_matmul_serial(&mut one, mat_a, mat_b);
                for ((x, y), want) in all.iter().zip(&one).zip(&want) {
                    let close = |x: f64| (x - want).abs() < tolerance * (1.0 + k as f64).sqrt();
                    assert!(close(x.f64()) && close(y.f64() - 1.0), "[{m}, {k}] x [{k}, {n}] {ta} {tb}: {x} {want}");
                }
            }
        }
    }

    #[test]
    fn awkward_sizes_and_transposes_agree_with_the_plain_loop() {
        agrees::<f64>(1e-14);
        agrees::<f32>(1e-6);
    }

    #[test]
    fn columns_beyond_one_packed_block_agree_too() {
        let (m, n, k) = (3, NC + 50, 300);
        let (a, b) = (numbers::<f64>(m * k, 3), numbers::<f64>(k * n, 4));
        let mut c = vec![0.0; m * n];
        matmul(&mut c, Mat::new(&a, m, k), Mat::new(&b, k, n));
        let want = plain(m, n, k, |i, p| a[i * k + p], |p, j| b[p * n + j]);
        assert!(c.iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-12));
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        let (m, n, k) = (131, 70, 600);
        let (a, b) = (numbers::<f32>(m * k, 5), numbers::<f32>(k * n, 6));
        let product = |threads| {
            let mut c = vec![0.0; m * n];
            with_threads(threads, || matmul(&mut c, Mat::new(&a, m, k), Mat::new(&b, k, n)));
            c
        };
        let one = product(1);
        assert!([2, 3, 5, 8].iter().all(|&threads| product(threads) == one));
    }

    #[test]
    fn a_batch_gives_each_product_of_its_own() {
        let (a, b) = (numbers::<f64>(3 * 4 * 5, 7), numbers::<f64>(3 * 6 * 5, 8));
        let mut c = vec![0.0; 3 * 4 * 6];
        add_matmul_batched(&mut c, Batch::new(&a, 3, 4, 5), Batch::new(&b, 3, 6, 5).t());
        for i in 0..3 {
            let mut one = vec![0.0; 24];
            matmul(&mut one, Mat::new(&a[i * 20..][..20], 4, 5), Mat::new(&b[i * 30..][..30], 6, 5).t());
            assert!(c[i * 24..][..24].iter().zip(&one).all(|(x, y)| (x - y).abs() < 1e-14));
        }
    }

    #[test]
    #[should_panic(expected = "[2, 3] times [4, 5]: the inner lengths differ")]
    fn a_product_that_does_not_fit_names_both_shapes() {
        matmul(&mut [0.0f32; 10], Mat::new(&[0.0; 6], 2, 3), Mat::new(&[0.0; 20], 4, 5));
    }
}
