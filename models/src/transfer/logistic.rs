//! Logistic regression: the simplest thing that learns classes from features, and so the measure of what features are worth.
//!
//! With a weight row for each of K classes and a bias, p(k|x) = softmax(W·x + b)ₖ; W and b minimise
//!
//! ```text
//! L = Σᵢ −ln p(kᵢ|xᵢ) + ‖W‖²/(2·C)
//! ```
//!
//! a convex function, so there is one answer and any descent finds it. The gradient is ∂L/∂W = Σᵢ (p(·|xᵢ) −
//! onehot(kᵢ))·xᵢᵀ + W/C. Instead of its inverse second derivative, which would be large, L-BFGS keeps what the last few
//! steps have shown of it (Nocedal and Wright 2006, algorithms 7.4 and 7.5).
//!
//! Features are sparse rows of (column, value), which serves a bag of words with its ten thousand columns, or a matrix of
//! what stands in every column, the numbers of a hidden state or of pixels, for which all of it is two matrix products.

use std::collections::VecDeque;

use tensor::{Tensor, matmul, rows};

/// One example's features: columns and values.
pub type Row = Vec<(u32, f32)>;

/// The features of some examples.
#[derive(Clone, Copy, Debug)]
pub enum Features<'a> {
    /// Row by row, what is not zero; columns are below the second number.
    Sparse(&'a [Row], usize),
    /// `[n, columns]`
    Dense(&'a Tensor),
}

impl Features<'_> {
    fn columns(&self) -> usize {
        match self {
            Self::Sparse(_, columns) => *columns,
            Self::Dense(matrix) => matrix.shape().cols(),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Sparse(rows, _) => rows.len(),
            Self::Dense(matrix) => matrix.shape().rows(),
        }
    }
}

/// A trained classifier.
#[derive(Clone, Debug)]
pub struct Logistic {
    classes: usize,
    /// For each column a weight for each class, and in the last row the biases: `[columns + 1, K]`.
    weights: Vec<f64>,
}

/// Steps that the descent remembers, and makes at most.
const MEMORY: usize = 10;
const STEPS: usize = 300;
/// Rows of a matrix that are held in double precision at once.
const AT_ONCE: usize = 1024;

impl Logistic {
    /// Learns the labels, numbers below `classes`, of rows with columns below `columns`. `c` is C: a larger one trusts
    /// the examples more.
    pub fn train(rows: &[Row], labels: &[usize], classes: usize, columns: usize, c: f64) -> Self {
        Self::new(classes, columns).trained(Features::Sparse(rows, columns), labels, c)
    }

    /// One that gives all classes the same score.
    pub fn new(classes: usize, columns: usize) -> Self {
        Self { classes, weights: vec![0.0; (columns + 1) * classes] }
    }

    /// Learns the labels, going on from these weights. The loss has one lowest point: where they begin decides how near to
    /// it the last of 300 steps comes, where these are not enough.
    #[must_use]
    pub fn trained(&self, on: Features, labels: &[usize], c: f64) -> Self {
        let classes = self.classes;
        assert_eq!(on.rows(), labels.len(), "a label for each row");
        assert_eq!((on.columns() + 1) * classes, self.weights.len(), "weights for each column");
        let mut at = self.clone();
        let (mut loss, mut gradient) = at.loss(on, labels, c);
        let mut steps: VecDeque<Step> = VecDeque::new();
        for _ in 0..STEPS {
            let direction = direction(&gradient, &steps);
            let slope = dot(&direction, &gradient);
            let mut length = if steps.is_empty() { 1.0 / (1.0 + dot(&gradient, &gradient).sqrt()) } else { 1.0 };
            // Half as far, until the loss falls as the slope promises (Armijo).
            let (next, next_loss, next_gradient) = loop {
                let moved = at.weights.iter().zip(&direction).map(|(w, d)| w + length * d).collect();
                let next = Self { classes, weights: moved };
                let (next_loss, next_gradient) = next.loss(on, labels, c);
                if next_loss <= loss + 1e-4 * length * slope || length < 1e-10 {
                    break (next, next_loss, next_gradient);
                }
                length /= 2.0;
            };
            let s: Vec<f64> = next.weights.iter().zip(&at.weights).map(|(a, b)| a - b).collect();
            let y: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
            let curvature = dot(&s, &y);
            let done = loss - next_loss <= 1e-7 * loss.abs().max(1.0);
            (at, loss, gradient) = (next, next_loss, next_gradient);
            if done {
                break;
            }
            if curvature > 0.0 {
                steps.push_back(Step { s, y, curvature });
                if steps.len() > MEMORY {
                    steps.pop_front();
                }
            }
        }
        at
    }

    /// W·x + b: a score for each class.
    pub fn scores(&self, row: &[(u32, f32)]) -> Vec<f64> {
        let k = self.classes;
        let mut scores = self.weights[self.weights.len() - k..].to_vec();
        for &(column, value) in row {
            let weights = &self.weights[column as usize * k..][..k];
            scores.iter_mut().zip(weights).for_each(|(score, w)| *score += f64::from(value) * w);
        }
        scores
    }

    /// The likeliest class; of equals the first.
    pub fn predict(&self, row: &[(u32, f32)]) -> usize {
        rows::argmax(&self.scores(row))
    }

    /// The weight of a column for a class, or its bias with `None`.
    pub fn weight(&self, column: Option<usize>, class: usize) -> f64 {
        let row = column.unwrap_or(self.weights.len() / self.classes - 1);
        self.weights[row * self.classes + class]
    }

    /// The likeliest class of each row of a matrix; of equals the first.
    pub fn predictions(&self, matrix: &Tensor) -> Vec<usize> {
        let (mut all, columns) = (Vec::new(), matrix.shape().cols());
        for some in matrix.data().chunks(AT_ONCE * columns) {
            let scores = self.dense_scores(&doubled(some), columns);
            all.extend(scores.chunks_exact(self.classes).map(rows::argmax));
        }
        all
    }

    /// Σ −ln p(label) over examples that it may never have seen.
    pub fn nats(&self, on: Features, labels: &[usize]) -> f64 {
        self.loss(on, labels, f64::INFINITY).0
    }

    /// L and its gradient.
    fn loss(&self, on: Features, labels: &[usize], c: f64) -> (f64, Vec<f64>) {
        let k = self.classes;
        let biases = self.weights.len() - k;
        let mut gradient: Vec<f64> = self.weights[..biases].iter().map(|w| w / c).collect();
        gradient.resize(self.weights.len(), 0.0);
        let mut loss = self.weights[..biases].iter().map(|w| w * w).sum::<f64>() / (2.0 * c);
        match on {
            Features::Sparse(rows, _) => {
                for (row, &label) in rows.iter().zip(labels) {
                    let mut p = self.scores(row);
                    loss += surprise(&mut p, label);
                    for &(column, value) in row {
                        let to = &mut gradient[column as usize * k..][..k];
                        to.iter_mut().zip(&p).for_each(|(g, p)| *g += f64::from(value) * p);
                    }
                    gradient[biases..].iter_mut().zip(&p).for_each(|(g, p)| *g += p);
                }
            }
            Features::Dense(matrix) => {
                let columns = matrix.shape().cols();
                for (rows, labels) in matrix.data().chunks(AT_ONCE * columns).zip(labels.chunks(AT_ONCE)) {
                    let rows = doubled(rows);
                    let mut p = self.dense_scores(&rows, columns);
                    for (p, &label) in p.chunks_exact_mut(k).zip(labels) {
                        loss += surprise(p, label);
                        gradient[biases..].iter_mut().zip(&*p).for_each(|(g, p)| *g += p);
                    }
                    let (x, p) =
                        (matmul::Mat::new(&rows, labels.len(), columns), matmul::Mat::new(&p, labels.len(), k));
                    matmul::add_matmul(&mut gradient[..biases], x.t(), p, matmul::Precision::Full);
                }
            }
        }
        (loss, gradient)
    }

    /// x·W + b of each row: `[rows, columns]` → `[rows, K]`.
    fn dense_scores(&self, rows: &[f64], columns: usize) -> Vec<f64> {
        let (k, n) = (self.classes, rows.len() / columns);
        let (weights, biases) = self.weights.split_at(columns * k);
        let mut scores = biases.repeat(n);
        let (x, w) = (matmul::Mat::new(rows, n, columns), matmul::Mat::new(weights, columns, k));
        matmul::add_matmul(&mut scores, x, w, matmul::Precision::Full);
        scores
    }
}

/// Turns scores into p − onehot(label), and returns −ln p(label).
fn surprise(scores: &mut [f64], label: usize) -> f64 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let own = scores[label] - largest;
    scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|p| *p /= sum);
    scores[label] -= 1.0;
    sum.ln() - own // −ln p = ln Σ exp − score
}

fn doubled(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&x| f64::from(x)).collect()
}

/// What a step has shown: how the weights changed, how the gradient did, and the product of the two.
struct Step {
    s: Vec<f64>,
    y: Vec<f64>,
    curvature: f64,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// −H·g with the inverse second derivative H that the last steps suggest (the two loops of algorithm 7.4).
fn direction(gradient: &[f64], steps: &VecDeque<Step>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        let a = dot(&step.s, &q) / step.curvature;
        q.iter_mut().zip(&step.y).for_each(|(q, y)| *q -= a * y);
        shares.push(a);
    }
    if let Some(last) = steps.back() {
        let scale = last.curvature / dot(&last.y, &last.y);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for (step, a) in steps.iter().zip(shares.into_iter().rev()) {
        let b = dot(&step.y, &q) / step.curvature;
        q.iter_mut().zip(&step.s).for_each(|(q, s)| *q += (a - b) * s);
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor::random::{Random, Stream};

    /// Three clouds of points in five dimensions, some of which overlap.
    fn clouds() -> (Vec<Row>, Vec<usize>) {
        let mut random = Random::new(4, Stream::Other, 0);
        let example = |i: usize| {
            let centre = |column: u32| if column as usize == i % 3 { 2.0 } else { 0.0 };
            (0..5).map(|column| (column, (centre(column) + random.normal()) as f32)).collect()
        };
        ((0..300).map(example).collect(), (0..300).map(|i| i % 3).collect())
    }

    #[test]
    fn the_gradient_is_zero_at_the_end() {
        let (rows, labels) = clouds();
        let learned = Logistic::train(&rows, &labels, 3, 5, 1.0);
        let (loss, gradient) = learned.loss(Features::Sparse(&rows, 5), &labels, 1.0);
        assert!(dot(&gradient, &gradient).sqrt() < 0.05, "{gradient:?}");
        // Every other place is higher.
        for i in 0..learned.weights.len() {
            for by in [-0.1, 0.1] {
                let mut other = learned.clone();
                other.weights[i] += by;
                assert!(other.loss(Features::Sparse(&rows, 5), &labels, 1.0).0 > loss, "weight {i}");
            }
        }
        let right = rows.iter().zip(&labels).filter(|(row, label)| learned.predict(row) == **label).count();
        assert!(right > 240, "{right} of 300");
    }

    #[test]
    fn the_gradient_is_the_slope() {
        let (rows, labels) = clouds();
        let mut random = Random::new(5, Stream::Other, 0);
        let at = Logistic { classes: 3, weights: (0..18).map(|_| random.normal()).collect() };
        let gradient = at.loss(Features::Sparse(&rows, 5), &labels, 0.5).1;
        for (i, &gradient) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut moved = at.clone();
                moved.weights[i] += by;
                moved.loss(Features::Sparse(&rows, 5), &labels, 0.5).0
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - gradient).abs() < 1e-5 * slope.abs().max(1.0), "{i}: {slope} {gradient}");
        }
    }

    #[test]
    fn a_matrix_teaches_what_its_rows_do_wherever_learning_begins() {
        let (rows, labels) = clouds();
        let numbers: Vec<f32> = rows.iter().flatten().map(|&(_, value)| value).collect();
        let matrix = Tensor::of([300, 5], &numbers);
        let mut random = Random::new(6, Stream::Other, 0);
        let at = Logistic { classes: 3, weights: (0..18).map(|_| random.normal()).collect() };
        let [sparse, dense] =
            [Features::Sparse(&rows, 5), Features::Dense(&matrix)].map(|on| at.loss(on, &labels, 2.0));
        assert!((sparse.0 - dense.0).abs() < 1e-9 * sparse.0);
        assert!(sparse.1.iter().zip(&dense.1).all(|(a, b)| (a - b).abs() < 1e-9), "{:?}\n{:?}", sparse.1, dense.1);
        let by_rows = Logistic::train(&rows, &labels, 3, 5, 2.0);
        let by_matrix = at.trained(Features::Dense(&matrix), &labels, 2.0);
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 5e-3;
        assert!(by_rows.weights[..15].iter().zip(&by_matrix.weights).all(near), "{by_rows:?}\n{by_matrix:?}");
        let guesses: Vec<usize> = rows.iter().map(|row| by_matrix.predict(row)).collect();
        assert_eq!(by_matrix.predictions(&matrix), guesses);
        assert!(by_matrix.nats(Features::Dense(&matrix), &labels) < at.nats(Features::Dense(&matrix), &labels));
    }
}
