//! Retrieval: whether pictures find their captions among all captions, and captions their pictures among all pictures.
//!
//! A query's rank is the place of the first of what belongs to it, when all candidates are ordered by their cosine with it,
//! of equals the earlier. Recall at k is the share of queries with a rank of k or less, as is usual for pairs of pictures and
//! captions (Karpathy and Fei-Fei 2015, section 4.2): one of a picture's captions is enough.
//!
//! Captions that are the same text are one candidate, which belongs to all of their pictures.

use serde::Serialize;
use tensor::{Tensor, matmul};

use super::encode::{Layer, Seen};
use super::gallery::Gallery;
use super::{Encoders, chosen, distinct};
use crate::error::Result;

/// How well queries find what belongs to them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recall {
    /// How many queries.
    pub queries: usize,
    /// Among how many candidates each is sought.
    pub candidates: usize,
    /// The share of queries with a rank of 1.
    pub recall_at_1: f64,
    /// Of 5 or less.
    pub recall_at_5: f64,
    /// Of 10 or less.
    pub recall_at_10: f64,
    /// The middle of the ranks, from 1; of two middle ones the mean.
    pub median_rank: f64,
}

/// Numbers of scores that are kept at once, whatever the size of both sides: 16 MiB.
pub(super) const SCORES: usize = 1 << 22;

/// Seeks what belongs to each query: `queries` `[Q, E]`, `candidates` `[C, E]`, and for each query the candidates that belong
/// to it, at least one.
pub fn recall(queries: &Tensor, candidates: &Tensor, belongs: &[Vec<usize>]) -> Recall {
    let mut ranks = ranks(queries, candidates, belongs);
    ranks.sort_unstable();
    let n = ranks.len();
    let within = |k: usize| ranks.iter().filter(|&&rank| rank <= k).count() as f64 / n.max(1) as f64;
    let middle = if n == 0 { 0.0 } else { (ranks[(n - 1) / 2] + ranks[n / 2]) as f64 / 2.0 };
    Recall {
        queries: n,
        candidates: candidates.shape().rows(),
        recall_at_1: within(1),
        recall_at_5: within(5),
        recall_at_10: within(10),
        median_rank: middle,
    }
}

/// The rank of each query, from 1. Scores are computed for so many queries at once that memory stays bounded.
pub fn ranks(queries: &Tensor, candidates: &Tensor, belongs: &[Vec<usize>]) -> Vec<usize> {
    let (e, c) = (queries.shape().cols(), candidates.shape().rows());
    let at_once = (SCORES / c.max(1)).max(1);
    let mut ranks = Vec::with_capacity(belongs.len());
    for (queries, belongs) in queries.data().chunks(at_once * e).zip(belongs.chunks(at_once)) {
        let mut scores = Tensor::scratch([belongs.len(), c]);
        let (x, y) = (matmul::Mat::new(queries, belongs.len(), e), matmul::Mat::new(candidates.data(), c, e));
        matmul::matmul(scores.data_mut(), x, y.t(), matmul::Precision::Full);
        ranks.extend(scores.data().chunks_exact(c).zip(belongs).map(|(scores, belongs)| rank(scores, belongs)));
    }
    ranks
}

/// The place of the first candidate that belongs, from 1, when the scores are ordered; of equals the earlier stands first.
fn rank(scores: &[f32], belongs: &[usize]) -> usize {
    let better = |a: usize, b: usize| scores[a] > scores[b] || scores[a] == scores[b] && a < b;
    let first = belongs.iter().copied().reduce(|best, i| if better(i, best) { i } else { best });
    let first = first.expect("something belongs to every query");
    1 + (0..scores.len()).filter(|&i| better(i, first)).count()
}

/// Recall of pictures and captions, both ways.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BothWays {
    /// Each picture seeks its captions among all different captions.
    pub image_to_text: Recall,
    /// Each different caption seeks its pictures among all pictures.
    pub text_to_image: Recall,
}

/// What was measured, and the pictures that could not be.
pub struct Measured {
    /// The figures.
    pub recall: BothWays,
    /// Captions that are longer than the model reads.
    pub cut: usize,
    /// What became of the pictures.
    pub seen: Seen,
}

/// Recall in a gallery whose pictures have captions, `done` being told how many pictures are finished.
///
/// Errors: data that was written anew meanwhile.
pub fn retrieval(with: &Encoders, gallery: &Gallery, done: impl FnMut(usize)) -> Result<Measured> {
    let seen = with.pictures(Layer::Space, gallery.len(), |i| gallery.picture(i), done)?;
    let captions: Vec<Vec<String>> = seen.numbers.iter().map(|&i| gallery.captions(i)).collect();
    let told: Vec<usize> = (0..captions.len()).filter(|&row| !captions[row].is_empty()).collect();
    let said: Vec<&str> = told.iter().flat_map(|&row| &captions[row]).map(String::as_str).collect();
    let (texts, of) = distinct(&said);
    let (mut of_picture, mut of_text) = (Vec::with_capacity(told.len()), vec![Vec::new(); texts.len()]);
    let mut of = of.into_iter();
    for (picture, &row) in told.iter().enumerate() {
        let own: Vec<usize> = of.by_ref().take(captions[row].len()).collect();
        own.iter().for_each(|&text| of_text[text].push(picture));
        of_picture.push(own);
    }
    let (images, vectors) = (chosen(&seen.vectors, &told), with.texts(&texts));
    let recall = BothWays {
        image_to_text: recall(&images, &vectors, &of_picture),
        text_to_image: recall(&vectors, &images, &of_text),
    };
    Ok(Measured { recall, cut: with.cut(&texts), seen })
}

#[cfg(test)]
mod tests {
    use tensor::random::{Random, Stream};

    use super::*;
    use crate::transfer::clip::untrained;

    #[test]
    fn the_first_of_what_belongs_counts_and_of_equals_the_earlier_stands_first() {
        let scores = [0.5, 0.9, 0.9, 0.1];
        assert_eq!([0, 1, 2, 3].map(|i| rank(&scores, &[i])), [3, 1, 2, 4]);
        assert_eq!(rank(&scores, &[3, 0, 2]), 2);
        let (queries, candidates) = (Tensor::of([2, 1], &[1.0, -1.0]), Tensor::of([4, 1], &scores));
        let found = recall(&queries, &candidates, &[vec![3], vec![0]]);
        assert_eq!((found.recall_at_1, found.recall_at_5, found.median_rank), (0.0, 1.0, 3.0)); // ranks 4 and 2
    }

    #[test]
    fn ranks_do_not_depend_on_how_many_queries_are_scored_at_once() {
        let mut random = Random::new(3, Stream::Other, 0);
        let [q, c, e] = [40, 70, 9];
        let (queries, candidates) =
            (Tensor::normal([q, e], 1.0, &mut random), Tensor::normal([c, e], 1.0, &mut random));
        let belongs: Vec<Vec<usize>> = (0..q).map(|i| vec![i, (7 * i) % c]).collect();
        let one_by_one: Vec<usize> =
            (0..q).flat_map(|i| ranks(&queries.row(i).reshaped([1, e]), &candidates, &belongs[i..=i])).collect();
        assert_eq!(ranks(&queries, &candidates, &belongs), one_by_one);
    }

    #[test]
    fn captions_that_are_the_same_text_belong_to_all_of_their_pictures() {
        // Eight combinations, each shown twice: 16 pictures and 8 different captions.
        let (with, gallery) = (untrained(), Gallery::single(0, 16, 16, false));
        let measured = retrieval(&with, &gallery, |_| {});
        let BothWays { image_to_text, text_to_image } = measured.unwrap().recall;
        let texts: Vec<String> = (0..8).flat_map(|i| gallery.captions(i)).collect();
        let texts = with.texts(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let images = with.pictures(Layer::Space, 16, |i| gallery.picture(i), |_| {}).unwrap().vectors;
        let own: Vec<Vec<usize>> = (0..16).map(|i| vec![i % 8]).collect();
        let shown: Vec<Vec<usize>> = (0..8).map(|i| vec![i, i + 8]).collect();
        assert_eq!(image_to_text, recall(&images, &texts, &own));
        assert_eq!(text_to_image, recall(&texts, &images, &shown));
        assert_eq!([image_to_text.queries, image_to_text.candidates], [16, 8]);
        assert_eq!([text_to_image.queries, text_to_image.candidates], [8, 16]);
    }
}
