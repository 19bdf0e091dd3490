//! Checks that need no label: what shape the cloud of texts' vectors has.
//!
//! A loss says how well the task is learned. Whether the vectors of texts are of use is another question, and three
//! numbers answer some of it without a label:
//!
//! - the *effective rank*: how many dimensions the vectors use. Of the matrix of vectors less their mean, with singular
//!   values σ, it is `exp(−Σ pₖ ln pₖ)`, `pₖ = σₖ/Σσ`: r for r equal ones, and less for uneven ones (Roy and Vetterli 2007, "The
//!   Effective Rank: A Measure of Effective Dimensionality").
//! - *alignment*: how close two views of a text lie, `mean ‖f(x) − f(x′)‖²` of vectors of length 1. Small is good.
//! - *uniformity*: how evenly different texts spread over all directions, `ln mean exp(−2·‖f(x) − f(y)‖²)`. 0 if all point the
//!   same way, and the further below the better; evenly spread directions in many dimensions reach −4 (Wang and Isola 2020,
//!   "Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere").
//!
//! Vectors that have collapsed, to a point or to a line, are of no use whatever the loss may be.

use std::collections::HashSet;

use autograd::{DropoutKey, Params};
use serde::{Deserialize, Serialize};
use tensor::parallel;
use tensor::random::{Random, Stream};
use tensor::rows::dot;
use tensor::{Tensor, bytemuck};

use super::metrics::some_number;
use crate::Model;
use crate::data::VALIDATION;
use crate::model::texts::{Pooling, pooled_states, pooled_view};
use crate::pretext::{Batch, Masking, ROW_DRAWS};

/// Validation texts that are looked at: three passes over some thousands of tokens, a hundredth of what training costs.
pub const TEXTS: usize = 256;
/// Of fewer nothing is said: n vectors use n − 1 dimensions at most.
const FEWEST: usize = 16;

/// What was measured; nothing where there were too few texts, and no alignment where a model has one view of a text only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Representation {
    /// How many dimensions the vectors use: from 1 to the width, or to one less than the number of texts; 0 of a point.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub effective_rank: Option<f64>,
    /// The mean squared distance of two views of a text: 0 to 4.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub alignment: Option<f64>,
    /// How evenly texts spread: from 0 downwards.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub uniformity: Option<f64>,
}

/// Where a second view of a text comes from.
#[derive(Clone, Copy, Debug)]
pub enum Views<'a> {
    /// Other numbers are dropped.
    Dropout,
    /// Other tokens are hidden.
    Masks(Masking<'a>),
    /// There is one view only.
    One,
}

impl Representation {
    /// Measures the mean of the hidden states of some texts, which are different ones, as ids.
    pub fn of(model: &Model, params: &Params, texts: &[Vec<u32>], views: Views) -> Self {
        if texts.len() < FEWEST {
            return Self::default();
        }
        let slices: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let plain = directions(&pooled_states(model, params, Pooling::Mean, &slices));
        let view = |seed| match views {
            Views::Dropout => {
                let key = DropoutKey { seed, step: VALIDATION, first_row: 0 };
                Some(pooled_view(model, params, Pooling::Mean, &slices, key))
            }
            Views::Masks(masking) => {
                let hidden = texts.iter().zip(0..).map(|(text, i)| hide(masking, text, seed, i));
                let hidden: Vec<Vec<u32>> = hidden.collect();
                let slices: Vec<&[u32]> = hidden.iter().map(Vec::as_slice).collect();
                Some(pooled_states(model, params, Pooling::Mean, &slices))
            }
            Views::One => None,
        };
        let both = view(1).zip(view(2));
        Self {
            effective_rank: Some(effective_rank(&plain)),
            alignment: both.map(|(a, b)| alignment(&directions(&a), &directions(&b))),
            uniformity: Some(uniformity(&plain)),
        }
    }

    /// Measures the vectors of pictures and of their captions, rows of length 1: alignment is that of a picture with its
    /// caption, the rest is of the pictures.
    pub fn of_pairs(images: &Tensor, texts: &Tensor) -> Self {
        // Copies of a picture use no dimension of their own.
        let cols = images.shape().cols();
        let different: HashSet<&[u8]> = images.data().chunks_exact(cols).map(bytemuck::cast_slice).collect();
        if different.len() < FEWEST {
            return Self::default();
        }
        let [images, texts] = [images, texts].map(directions);
        Self {
            effective_rank: Some(effective_rank(&images)),
            alignment: Some(alignment(&images, &texts)),
            uniformity: Some(uniformity(&images)),
        }
    }

    /// What a user should know of so many vectors of this width, `[width, vectors]`, if they have collapsed. Healthy ones
    /// use a tenth of the dimensions that they can or more (n vectors have n − 1 at most); a fiftieth, or two dimensions,
    /// is what is left when all texts lie on a line or nearly so. All in nearly one direction, with cosines above 0.9997,
    /// is what is left of them at a point. These bounds are `strict` times as high. The sentence says of what the vectors
    /// are, "texts" or "pictures".
    pub fn collapse(&self, of: &str, [width, vectors]: [usize; 2], strict: f64) -> Option<String> {
        let (rank, uniformity) = (self.effective_rank?, self.uniformity?);
        let most = width.min(vectors.saturating_sub(1));
        if rank < strict * (0.02 * most as f64).max(2.0) {
            return Some(format!(
                "the vectors of different {of} use {rank:.1} of {width} dimensions: they have collapsed"
            ));
        }
        let point = uniformity > -0.001 * strict;
        point.then(|| format!("the vectors of different {of} all point in one direction: they have collapsed"))
    }
}

/// A text in which some tokens are hidden.
fn hide(masking: Masking, text: &[u32], seed: u64, index: u64) -> Vec<u32> {
    let mut batch = Batch::new();
    masking.push(&mut batch, text, Random::new(seed, Stream::Mask, VALIDATION).at(index * ROW_DRAWS));
    batch.ids
}

/// Rows at length 1, in double precision; a row of zeros stays.
fn directions(x: &Tensor) -> Tensor<f64> {
    let mut x = x.cast::<f64>();
    let cols = x.shape().cols();
    for row in x.data_mut().chunks_exact_mut(cols) {
        let length = dot(&*row, &*row).sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|x| *x /= length);
        }
    }
    x
}

/// exp(−Σ pₖ ln pₖ) of the singular values of `[n, C]` less the mean of its rows; 0 if all rows are the same.
pub fn effective_rank(x: &Tensor<f64>) -> f64 {
    let [n, cols] = [x.shape().rows(), x.shape().cols()];
    let mut centred = x.data().to_vec();
    for j in 0..cols {
        let mean = (0..n).map(|i| x.data()[i * cols + j]).sum::<f64>() / n as f64;
        (0..n).for_each(|i| centred[i * cols + j] -= mean);
    }
    let sigma = singular_values(&centred, n, cols);
    // What is left of the rounding of f32 is no dimension.
    let rounding = 1e-6 * dot(x.data(), x.data()).sqrt();
    let sigma: Vec<f64> = sigma.into_iter().filter(|&s| s > rounding).collect();
    let total: f64 = sigma.iter().sum();
    let entropy: f64 = sigma.iter().map(|s| -(s / total) * (s / total).ln()).sum();
    if sigma.is_empty() { 0.0 } else { entropy.exp() }
}

/// The singular values of an `[n, C]` matrix, by turning pairs of vectors until every two are orthogonal: then their lengths
/// are the singular values (Hestenes 1958, one-sided Jacobi). A turn of two rows a, b with `ζ = (b·b − a·a)/(2·a·b)` has the
/// tangent `t = sign ζ/(|ζ| + √(1 + ζ²))`.
pub fn singular_values(x: &[f64], n: usize, cols: usize) -> Vec<f64> {
    const ORTHOGONAL: f64 = 1e-9; // the cosine; an entropy does not need more
    const SWEEPS: usize = 30; // six or so are needed
    // Rows or columns, whichever are fewer.
    let transposed = || (0..cols).flat_map(|j| (0..n).map(move |i| x[i * cols + j])).collect();
    let (mut rows, long): (Vec<f64>, usize) = if n <= cols { (x.to_vec(), cols) } else { (transposed(), n) };
    let short = n.min(cols);
    for _ in 0..SWEEPS {
        let mut turned = false;
        for i in 0..short {
            for j in i + 1..short {
                let (before, after) = rows.split_at_mut(j * long);
                let (a, b) = (&mut before[i * long..][..long], &mut after[..long]);
                let [aa, bb, ab] = [dot(&*a, &*a), dot(&*b, &*b), dot(&*a, &*b)];
                if ab.abs() <= ORTHOGONAL * (aa * bb).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (bb - aa) / (2.0 * ab);
                let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cosine = 1.0 / (1.0 + t * t).sqrt();
                let sine = cosine * t;
                for (a, b) in a.iter_mut().zip(b) {
                    (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
                }
            }
        }
        if !turned {
            break;
        }
    }
    rows.chunks_exact(long.max(1)).map(|row| dot(row, row).sqrt()).collect()
}

/// mean ‖aᵢ − bᵢ‖² of rows of length 1.
pub fn alignment(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    let distance: f64 = a.data().iter().zip(b.data()).map(|(a, b)| (a - b).powi(2)).sum();
    distance / a.shape().rows() as f64
}

/// ln mean exp(−2·‖xᵢ − xⱼ‖²) over all pairs of rows of length 1.
pub fn uniformity(x: &Tensor<f64>) -> f64 {
    let (n, cols) = (x.shape().rows(), x.shape().cols());
    let row = |i: usize| &x.data()[i * cols..(i + 1) * cols];
    // ‖a − b‖² = 2 − 2·a·b
    let near = |i: usize| (0..i).map(|j| (4.0 * (dot(row(i), row(j)) - 1.0)).exp()).sum::<f64>();
    let total = parallel::sum(n, 16, |part| part.map(near).sum());
    (total / (n * (n - 1) / 2) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(n: usize, cols: usize, of: impl Fn(usize, &mut Random) -> f64) -> Tensor<f64> {
        let mut random = Random::new(1, Stream::Other, 0);
        let values: Vec<f64> = (0..n * cols).map(|at| of(at % cols, &mut random)).collect();
        directions(&Tensor::<f64>::of([n, cols], &values).cast())
    }

    fn of(x: &Tensor<f64>) -> Representation {
        let [rank, uniformity] = [effective_rank(x), uniformity(x)];
        Representation { effective_rank: Some(rank), alignment: None, uniformity: Some(uniformity) }
    }

    #[test]
    fn vectors_in_all_directions_are_healthy() {
        let x = cloud(256, 32, |_, random| random.normal());
        let r = of(&x);
        assert!(r.effective_rank.unwrap() > 30.0 && r.uniformity.unwrap() < -3.5, "{r:?}");
        assert_eq!(r.collapse("texts", [32, 256], 1.0), None);
        // A large common part is no collapse: that is how hidden states are.
        let r = of(&cloud(256, 32, |j, random| random.normal() + if j == 0 { 20.0 } else { 0.0 }));
        assert!(r.effective_rank.unwrap() > 25.0 && r.collapse("texts", [32, 256], 1.0).is_none(), "{r:?}");
    }

    #[test]
    fn a_few_wide_vectors_use_no_more_dimensions_than_they_can_and_have_not_collapsed_for_that() {
        let r = of(&cloud(FEWEST, 1024, |_, random| random.normal()));
        assert!(r.effective_rank.unwrap() < 0.02 * 1024.0, "{r:?}");
        assert_eq!([1.0, 2.0].map(|strict| r.collapse("texts", [1024, FEWEST], strict)), [None, None]);
    }

    #[test]
    fn vectors_on_a_line_and_at_a_point_have_collapsed() {
        let line = cloud(256, 128, |j, random| if j == 0 { random.normal() } else { 1.0 + 1e-6 * random.normal() });
        assert!(
            of(&line).collapse("texts", [128, 256], 1.0).is_some_and(|said| said.contains("of 128 dimensions")),
            "{:?}",
            of(&line)
        );
        let point = of(&cloud(40, 16, |j, _| j as f64));
        assert_eq!(point.effective_rank, Some(0.0));
        assert!(point.collapse("texts", [16, 40], 1.0).is_some());
        let near = of(&cloud(40, 16, |j, random| j as f64 + 0.01 * random.normal()));
        assert!(near.collapse("texts", [16, 40], 1.0).is_some_and(|said| said.contains("one direction")), "{near:?}");
    }

    #[test]
    fn the_singular_values_of_known_matrices_are_found() {
        // diag(3, 2) turned, with a row that is the sum of both.
        let (c, s) = (0.6, 0.8);
        let x = [3.0 * c, 3.0 * s, -2.0 * s, 2.0 * c];
        let mut sigma = singular_values(&x, 2, 2);
        sigma.sort_by(f64::total_cmp);
        assert!((sigma[0] - 2.0).abs() < 1e-12 && (sigma[1] - 3.0).abs() < 1e-12, "{sigma:?}");
        // Σσ² is the sum of squares, and turning rows and columns round changes nothing.
        let mut random = Random::new(2, Stream::Other, 0);
        let x: Vec<f64> = (0..7 * 4).map(|_| random.normal()).collect();
        let t: Vec<f64> = (0..4).flat_map(|j| (0..7).map(move |i| (i, j))).map(|(i, j)| x[i * 4 + j]).collect();
        let [mut a, mut b] = [singular_values(&x, 7, 4), singular_values(&t, 4, 7)];
        a.sort_by(f64::total_cmp);
        b.sort_by(f64::total_cmp);
        assert!(a.len() == 4 && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-9), "{a:?} {b:?}");
        assert!((a.iter().map(|s| s * s).sum::<f64>() - dot(&x, &x)).abs() < 1e-9);
    }

    #[test]
    fn the_formulas_are_those_of_the_papers() {
        let x = Tensor::<f64>::of([4, 2], &[1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0]);
        assert!((effective_rank(&x) - 2.0).abs() < 1e-12); // two equal singular values
        // Of the six pairs four are at squared distance 2, two at 4.
        let mean = (4.0 * (-4.0f64).exp() + 2.0 * (-8.0f64).exp()) / 6.0;
        assert!((uniformity(&x) - mean.ln()).abs() < 1e-12);
        let turned = Tensor::<f64>::of([4, 2], &[0.0, 1.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0]);
        assert!((alignment(&x, &turned) - 0.5).abs() < 1e-12);
    }
}
