//! Search among pictures and what is said of them, by a text or by a picture.
//!
//! An [`Index`] is the vectors of a gallery's pictures and of all their different captions. A query is a vector of the same
//! space, and what lies nearest to it is found: pictures or captions, whichever are wanted.
//!
//! Cosines are compared within one kind only. Pictures and texts each keep to a region of their own, so that even a true
//! caption is less near to its picture than any other picture is (Liang et al. 2022, "Mind the Gap").

use std::collections::HashSet;

use serde::Serialize;
use tensor::{Tensor, rows};

use super::Encoders;
use super::encode::Layer;
use super::gallery::Gallery;
use crate::data::pictures::Picture;
use crate::error::{Error, Result};

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Pictures.
    Pictures,
    /// What is said of pictures.
    Texts,
}

/// A gallery as vectors.
#[derive(Clone, Debug)]
pub struct Index {
    /// The numbers of the pictures that could be read.
    pub(super) numbers: Vec<usize>,
    /// Their vectors: `[numbers.len(), E]`.
    pub(super) pictures: Tensor,
    /// The different captions.
    pub(super) captions: Vec<String>,
    /// Which picture each is of, the first of several.
    pub(super) of: Vec<usize>,
    /// Their vectors: `[captions.len(), E]`.
    pub(super) texts: Tensor,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// Its place, from 1.
    pub rank: usize,
    /// The cosine of the angle between it and the query.
    pub score: f32,
    /// The picture's number in its gallery: of a caption, that of the first picture of which it is said.
    pub number: usize,
    /// The picture's name.
    pub name: String,
    /// The caption that was found, or all that is said of the picture.
    pub texts: Vec<String>,
}

impl Index {
    /// The index of a gallery, and what is wrong with the pictures that could not be read; without what is said of them, if
    /// pictures alone are to be found. `done` is told how many pictures are finished.
    ///
    /// Errors: data that was written anew meanwhile.
    pub fn over(
        with: &Encoders,
        gallery: &Gallery,
        texts: bool,
        done: impl FnMut(usize),
    ) -> Result<(Self, Vec<Error>)> {
        let seen = with.pictures(Layer::Space, gallery.len(), |i| gallery.picture(i), done)?;
        let (captions, of) = if texts { told(gallery, &seen.numbers) } else { Default::default() };
        let texts = with.texts(&captions.iter().map(String::as_str).collect::<Vec<_>>());
        Ok((Self { numbers: seen.numbers, pictures: seen.vectors, captions, of, texts }, seen.faults))
    }

    /// How many pictures and how many different captions there are.
    pub fn sizes(&self) -> [usize; 2] {
        [self.numbers.len(), self.captions.len()]
    }

    /// The different captions.
    pub fn captions(&self) -> &[String] {
        &self.captions
    }

    /// The `k` nearest to a query's vector, the nearest first; of equals the earlier.
    pub fn search(&self, gallery: &Gallery, query: &Tensor, wanted: Wanted, k: usize) -> Vec<Hit> {
        let among = if wanted == Wanted::Pictures { &self.pictures } else { &self.texts };
        let scores: Vec<f32> =
            among.data().chunks_exact(query.data().len()).map(|vector| cosine(query.data(), vector)).collect();
        let hit = |(i, at): (usize, usize)| {
            let number = if wanted == Wanted::Pictures { self.numbers[at] } else { self.of[at] };
            let texts = match wanted {
                Wanted::Pictures => gallery.captions(number),
                Wanted::Texts => vec![self.captions[at].clone()],
            };
            Hit { rank: i + 1, score: scores[at], number, name: gallery.name(number), texts }
        };
        rows::best(&scores, k).into_iter().enumerate().map(hit).collect()
    }
}

/// The cosine of two vectors of length 1, which rounding may take beyond one.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    rows::dot(a, b).clamp(-1.0, 1.0)
}

/// The different captions of these pictures, and the first picture of each; or the different lines.
pub(super) fn told(gallery: &Gallery, numbers: &[usize]) -> (Vec<String>, Vec<usize>) {
    let lines: Vec<usize> = match gallery {
        Gallery::Lines(lines, _) => (0..lines.len()).collect(),
        _ => Vec::new(),
    };
    let numbers = if lines.is_empty() { numbers } else { &lines };
    let all: Vec<(String, usize)> =
        numbers.iter().flat_map(|&i| gallery.captions(i).into_iter().map(move |caption| (caption, i))).collect();
    let mut known = HashSet::new();
    all.into_iter().filter(|(caption, _)| known.insert(caption.clone())).unzip()
}

/// A query as a vector `[1, E]`.
pub enum Query {
    /// A text.
    Text(String),
    /// A picture, and its name.
    Picture(String, Box<Picture>),
}

impl Query {
    /// Its vector.
    pub fn vector(&self, with: &Encoders) -> Tensor {
        match self {
            Self::Text(text) => with.texts(&[text]),
            Self::Picture(_, picture) => with.picture(Layer::Space, picture),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::clip::untrained;

    #[test]
    fn a_picture_and_a_caption_find_themselves_first() {
        let (with, gallery) = (untrained(), Gallery::scenes(60, 16));
        let (index, faults) = Index::over(&with, &gallery, true, |_| {}).unwrap();
        assert!(faults.is_empty() && index.sizes()[0] == 60 && index.sizes()[1] > 200);
        let picture = Query::Picture("x".into(), Box::new((*gallery.picture(17).unwrap()).clone())).vector(&with);
        let hits = index.search(&gallery, &picture, Wanted::Pictures, 3);
        assert_eq!((hits.len(), hits[0].rank, hits[0].number, &hits[0].name[..]), (3, 1, 17, "scene 17"));
        assert!((hits[0].score - 1.0).abs() < 1e-5 && hits[0].score >= hits[1].score);
        assert_eq!(hits[0].texts, gallery.captions(17));
        let caption = gallery.captions(33).swap_remove(0);
        let hits = index.search(&gallery, &Query::Text(caption.clone()).vector(&with), Wanted::Texts, 99_999);
        assert_eq!((hits.len(), &hits[0].texts, hits[0].number), (index.sizes()[1], &vec![caption], 33));
    }
}
