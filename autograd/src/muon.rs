//! Muon: a matrix moves by a matrix whose singular values are all about one.
//!
//! AdamW scales every number by itself. But the gradient of a matrix is mostly a few large directions, and a small
//! change along the many others would help as much; so Muon makes all directions of a step equally long. With the
//! gradient G (after clipping), a momentum μ, a rate lr and a decay λ:
//!
//! ```text
//! M ← μ·M + (1 − μ)·G                      a running mean of the gradient
//! U = (1 − μ)·G + μ·M                      and one step ahead of it (Nesterov)
//! O = orthogonalise(U)                     U = Σ sᵢ·uᵢvᵢᵀ becomes about Σ uᵢvᵢᵀ
//! W ← W − lr·(√max(1, out/in)·O + λ·W)     a matrix with more outputs moves each of them as far
//! ```
//!
//! Orthogonalising needs no singular value decomposition, matrix products are enough (Newton-Schulz iteration): with
//! the odd polynomial p(s) = a·s + b·s³ + c·s⁵,
//!
//! ```text
//! X ← U/‖U‖                                now all singular values are at most 1
//! five times:  X ← a·X + b·(XXᵀ)X + c·(XXᵀ)²X
//! ```
//!
//! X = Σ sᵢ·uᵢvᵢᵀ gives (XXᵀ)X = Σ sᵢ³·uᵢvᵢᵀ: the singular vectors stay and each sᵢ becomes p(sᵢ). With a = 3.4445,
//! b = −4.7750, c = 2.0315 small ones grow 3.4-fold a step, and from about 0.01 on all arrive in 0.68…1.13 and stay
//! there. That is near enough to one, and gets there sooner than a polynomial that has its fixed point at one. So coarse an
//! end asks for no exact products: where the run's are in bf16, these are too, as in the authors' own program.
//!
//! A vector has nothing to orthogonalise, and in a table of tokens each row is its own: these are left to AdamW.
//!
//! Orthogonalising is the same for the transpose, so it does not matter whether weights are stored `[in, out]` or
//! `[out, in]`; and tall matrices multiply from the right, X ← X·p(XᵀX), so that the product in between has always the
//! shorter side. Matrices that one parameter holds together (queries, keys, values) are orthogonalised each for itself,
//! since their scales differ.
//!
//! References: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; decay as in Liu et al.
//! 2025, "Muon is scalable for LLM training", section 2.2; Higham 2008, "Functions of matrices", chapter 8.

use std::ops::Range;

use tensor::matmul::{Mat, MatMut, Precision, Start, matmul_serial};
use tensor::pool::Buffer;
use tensor::{Float, Lanes, elementwise, parallel};

use crate::gradients::Gradients;
use crate::optim::{AdamW, AdamWOptions};
use crate::params::{ParamId, Params};

/// μ, of Jordan et al. Runs of a few hundred steps do better with a shorter memory.
pub const MOMENTUM: f64 = 0.95;
/// Steps of Newton-Schulz, and its a, b, c, of Jordan et al.
const STEPS: usize = 5;
const QUINTIC: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// Added to ‖U‖, against division by zero.
const EPSILON: f64 = 1e-7;

/// Muon for some matrices of a store, AdamW for everything else.
#[derive(Clone, Debug)]
pub struct Muon<T: Float = f32> {
    matrices: Vec<Matrix>,
    momentum: f64,
    options: AdamWOptions,
    precision: Precision,
    /// AdamW for the rest. Its `m` also holds the momenta of Muon's matrices, at their places; its `v` nothing there.
    pub adamw: AdamW<T>,
}

/// How k matrices stand in one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Side by side, each `[in, out]`: `[in, k·out]`.
    ByInput(usize),
    /// One on the other, each `[out, in]`: `[k·out, in]`.
    ByOutput(usize),
}

/// A parameter that is one matrix of the given size or several.
#[derive(Clone, Debug)]
struct Matrix {
    id: ParamId,
    place: Range<usize>,
    rows: usize,
    cols: usize,
    side_by_side: bool,
    /// √max(1, out/in)
    far: f64,
}

impl<T: Float> Muon<T> {
    /// An optimiser for a store, before its first step. `matrices` are parameters of rank 2, in the store's order, each
    /// with what stands in it; with none, all is AdamW. Both share the options'
    /// decay and limit of the gradient; `momentum` is Muon's μ.
    pub fn new(params: &Params<T>, matrices: &[(ParamId, Layout)], momentum: f64, options: AdamWOptions) -> Self {
        let matrix = |&(id, stored): &(ParamId, Layout)| {
            let &[rows, cols] = &params.shape(id)[..] else { panic!("{}: no matrix", params.name(id)) };
            let (rows, cols, far) = match stored {
                Layout::ByInput(k) => (rows, cols / k, (cols / k) as f64 / rows as f64),
                Layout::ByOutput(k) => (rows / k, cols, (rows / k) as f64 / cols as f64),
            };
            let side_by_side = matches!(stored, Layout::ByInput(_));
            Matrix { id, place: params.place(id), rows, cols, side_by_side, far: far.sqrt().max(1.0) }
        };
        let adamw = AdamW::for_some(params, options, |id| matrices.iter().all(|&(matrix, _)| matrix != id));
        let precision = Precision::Full;
        Self { matrices: matrices.iter().map(matrix).collect(), momentum, options, precision, adamw }
    }

    /// The same with products of this precision when it orthogonalises.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Whether a parameter is one of Muon's.
    pub fn takes(&self, id: ParamId) -> bool {
        self.matrices.iter().any(|matrix| matrix.id == id)
    }

    /// One step with learning rate `lr` for AdamW and `muon_lr` for the matrices; returns ‖g‖ over all parameters before
    /// clipping. Where that is not finite, nothing changes.
    pub fn step(&mut self, params: &mut Params<T>, grads: &Gradients<T>, lr: f64, muon_lr: f64) -> f64 {
        let norm = grads.norm();
        if !norm.is_finite() {
            return norm;
        }
        let scale = Gradients::<T>::clip_scale(norm, self.options.grad_clip);
        self.adamw.step_scaled(params, grads, lr, scale);

        // The matrices with their momenta, cut out of the flat buffers, and their gradients.
        let (mut w, mut m, mut at) = (params.flat_mut(), &mut self.adamw.m[..], 0);
        let mut turns = Vec::new();
        for matrix in &self.matrices {
            let Range { start, end } = matrix.place;
            let [w, m] = [&mut w, &mut m].map(|flat| {
                let _between = flat.split_off_mut(..start - at);
                flat.split_off_mut(..end - start).expect("in the store's order")
            });
            turns.push((matrix, w, m, grads.of(matrix.id)));
            at = end;
        }
        // One task each: the products of one matrix are small, and every block has several.
        parallel::chunks(&mut turns, 1, |_, turn| {
            let (matrix, w, m, g) = &mut turn[0];
            let rates = [scale, self.momentum, muon_lr, self.options.weight_decay];
            matrix.step(w, m, g, rates, self.precision);
        });
        norm
    }
}

impl Matrix {
    /// One step of a parameter, from its gradient times `scale`.
    fn step<T: Float>(
        &self,
        w: &mut [T],
        m: &mut [T],
        g: &[T],
        [scale, momentum, lr, decay]: [f64; 4],
        precision: Precision,
    ) {
        let lanes = T::Lanes::of;
        let (mu, rest) = (lanes(momentum), lanes((1.0 - momentum) * scale));
        elementwise::update(m, g, |m, g| mu.mul_add(m, rest * g)); // M ← μ·M + (1 − μ)·G
        let (away, keep) = (lanes(-lr * self.far), lanes(1.0 - lr * decay));
        let (rows, cols) = (self.rows, self.cols);
        let mut o = Buffer::scratch(rows * cols);
        // Of k matrices side by side the next begins a row's part further; of k on one another, all rows further.
        let parts = w.len() / (rows * cols);
        for part in 0..parts {
            let (first, stride) =
                if self.side_by_side { (part * cols, parts * cols) } else { (part * rows * cols, cols) };
            let row = |i: usize| first + i * stride..first + i * stride + cols; // of one of the matrices
            for (i, u) in o.chunks_exact_mut(cols).enumerate() {
                elementwise::zip(u, &g[row(i)], &m[row(i)], |g, m| mu.mul_add(m, rest * g)); // U = (1 − μ)·G + μ·M
            }
            orthogonalise(&mut o, rows, cols, precision);
            for (i, o) in o.chunks_exact(cols).enumerate() {
                elementwise::update(&mut w[row(i)], o, |w, o| keep.mul_add(w, away * o)); // W ← W − lr·(√…·O + λ·W)
            }
        }
    }
}

/// X = Σ sᵢ·uᵢvᵢᵀ `[rows, cols]` becomes about Σ uᵢvᵢᵀ, by five steps of Newton-Schulz with products of a precision. Zeros
/// stay zeros.
pub fn orthogonalise<T: Float>(x: &mut Buffer<T>, rows: usize, cols: usize, precision: Precision) {
    let norm = elementwise::sum_of_squares(x).sqrt();
    elementwise::scale(x, T::of(1.0 / (norm + EPSILON))); // X ← U/‖U‖
    let n = rows.min(cols);
    let [mut gram, mut inner, mut p] = [(); 3].map(|()| Buffer::scratch(n * n));
    let mut y = Buffer::scratch(x.len());
    let add_to_diagonal = |x: &mut [T], a: f64| x.iter_mut().step_by(n + 1).for_each(|x| *x += T::of(a));
    let [a, b, c] = QUINTIC;
    let product = |c: &mut [T], [m, n]: [usize; 2], a: Mat<T>, b: Mat<T>| {
        matmul_serial(MatMut::new(c, m, n), Start::Zero, a, b, precision);
    };
    for _ in 0..STEPS {
        let mat = Mat::new(x, rows, cols);
        let (left, right) = if rows <= cols { (mat, mat.t()) } else { (mat.t(), mat) };
        product(&mut gram, [n, n], left, right); // A = XXᵀ, or XᵀX where that is smaller
        elementwise::map(&mut inner, &gram, |gram| T::Lanes::of(c) * gram);
        add_to_diagonal(&mut inner, b); // b·I + c·A
        let square = |x| Mat::new(x, n, n);
        product(&mut p, [n, n], square(&gram), square(&inner));
        add_to_diagonal(&mut p, a); // P = a·I + A·(b·I + c·A)
        let (left, right) = if rows <= cols { (square(&p), mat) } else { (mat, square(&p)) };
        product(&mut y, [rows, cols], left, right); // X ← P·X, or X·P
        std::mem::swap(x, &mut y);
    }
}
