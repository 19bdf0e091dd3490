//! Zero-shot classification: a picture is named by the nearest of some names, without a single labelled picture.
//!
//! Each name is put into several templates, "a picture of {}", as pictures' captions would have it; the vectors of what they
//! say, of length 1, are averaged, and the mean is brought to length 1 again (Radford et al. 2021, section 3.1.4). The
//! cosines of a picture with all names, divided by the model's temperature 1/s, are the scores of a softmax:
//!
//! ```text
//! tₖ = unit( Σ over templates of unit(text(template with name k)) ),  p(k|x) = softmax(s·x·t)ₖ,  s = exp(logit_scale)
//! ```
//!
//! So a probability is one among these names: what else the picture might show is not asked.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Serialize;
use tensor::{Tensor, matmul, rows};

use super::Encoders;
use super::encode::Layer;
use super::gallery::Gallery;
use crate::data::labelled::utf8;
use crate::data::world::pictured::{combinations, name};
use crate::error::{Error, Result};

/// The place of the name in a template.
const SLOT: &str = "{}";
/// The templates where none are given: the name as it is.
pub const TEMPLATES: &[&str] = &[SLOT];
/// Those for the built-in world, in its own words.
pub const WORLD_TEMPLATES: &[&str] =
    &["{}", "{} on a table", "a picture of {}", "there is {}", "we see {}", "here is {} on a table"];

/// Names to choose among, as vectors.
pub struct ZeroShot {
    names: Vec<String>,
    /// t: `[K, E]`
    vectors: Tensor,
    /// s
    scale: f64,
    cut: usize,
}

impl ZeroShot {
    /// Of names in templates.
    ///
    /// Errors: fewer than two names, or a name twice; a template without a place for the name.
    pub fn new(with: &Encoders, names: Vec<String>, templates: &[String]) -> Result<Self> {
        let mut known = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !known.insert(name.as_str())) {
            return Err(Error::Options(format!("the label {twice:?} stands there twice: leave one of them out")));
        }
        if names.len() < 2 {
            let there = names.first().map_or("no label".to_owned(), |only| format!("one label only, {only:?}"));
            return Err(Error::Options(format!("there is {there}: to choose, give two or more, each on its line")));
        }
        if let Some(without) = templates.iter().find(|template| !template.contains(SLOT)) {
            let what =
                format!("the template {without:?} has no place for a label: write {{}} there, \"a picture of {{}}\"");
            return Err(Error::Options(what));
        }
        let said: Vec<String> =
            names.iter().flat_map(|name| templates.iter().map(move |template| template.replace(SLOT, name))).collect();
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        Ok(Self { cut: with.cut(&said), ..Self::of(names, &with.texts(&said), with.clip.scale(&with.params)) })
    }

    /// The 64 combinations of the built-in world.
    pub fn world(with: &Encoders) -> Self {
        let names = combinations().into_iter().map(name).collect();
        Self::new(with, names, &WORLD_TEMPLATES.iter().map(|&t| t.to_owned()).collect::<Vec<_>>())
            .expect("64 different names, and templates with a place for them")
    }

    /// Of K names whose sayings, as many each, have these vectors of length 1: `[K·templates, E]`.
    pub fn of(names: Vec<String>, sayings: &Tensor, scale: f64) -> Self {
        let (e, templates) = (sayings.shape().cols(), sayings.shape().rows() / names.len());
        let mut vectors = Tensor::zeros([names.len(), e]);
        for (sum, of) in vectors.data_mut().chunks_exact_mut(e).zip(sayings.data().chunks_exact(templates * e)) {
            of.chunks_exact(e).for_each(|saying| rows::add_row(sum, saying));
            let length = rows::dot(&*sum, &*sum).sqrt();
            if length > 0.0 {
                sum.iter_mut().for_each(|x| *x /= length);
            }
        }
        Self { names, vectors, scale, cut: 0 }
    }

    /// The names, in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many sayings, a name in a template each, are longer than the model reads.
    pub fn cut(&self) -> usize {
        self.cut
    }

    /// Pictures' vectors `[n, E]` → the probability of each name for each picture, `[n, K]`.
    pub fn probabilities(&self, pictures: &Tensor) -> Tensor {
        let ([n, e], k) = ([pictures.shape().rows(), pictures.shape().cols()], self.names.len());
        let mut p = Tensor::zeros([n, k]);
        let [x, t] = [(pictures, n), (&self.vectors, k)].map(|(of, rows)| matmul::Mat::new(of.data(), rows, e));
        matmul::matmul(p.data_mut(), x, t.t(), matmul::Precision::Full);
        for row in p.data_mut().chunks_exact_mut(k) {
            row.iter_mut().for_each(|score| *score *= self.scale as f32);
            rows::softmax(row);
        }
        p
    }
}

/// How well pictures were named.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// How many pictures.
    pub pictures: usize,
    /// The share whose likeliest name is the true one.
    pub top_1: f64,
    /// The share whose true name is among the five likeliest.
    pub top_5: f64,
    /// For each name, how often its pictures got each name: `[K, K]`.
    #[serde(skip)]
    pub confusion: Vec<Vec<usize>>,
}

/// Holds probabilities `[n, K]` against the true names' places. Of equals, the earlier name is the likelier.
pub fn judge(probabilities: &Tensor, truth: &[usize]) -> Named {
    let k = probabilities.shape().cols();
    let mut confusion = vec![vec![0; k]; k];
    let [mut first, mut among_five] = [0, 0];
    for (p, &truth) in probabilities.data().chunks_exact(k).zip(truth) {
        let best = rows::best(p, 5);
        confusion[truth][best[0]] += 1;
        first += usize::from(best[0] == truth);
        among_five += usize::from(best.contains(&truth));
    }
    let share = |count: usize| count as f64 / truth.len().max(1) as f64;
    Named { pictures: truth.len(), top_1: share(first), top_5: share(among_five), confusion }
}

/// How well the built-in world's pictures of one object are named, of all 64 combinations of shape and colour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfWorld {
    /// Pictures of combinations that training never shows.
    pub unseen: Named,
    /// Pictures of those that it shows.
    pub seen: Named,
}

/// Names pictures of the built-in world: as many of each unseen combination, and as many of each that was seen. `done` is
/// told how many are finished of how many.
pub fn on_world(with: &Encoders, names: &ZeroShot, mut done: impl FnMut(usize, usize)) -> OfWorld {
    const PICTURES: [usize; 2] = [8 * 128, 56 * 20];
    let mut named = |seen: bool| {
        let gallery = Gallery::single(0, PICTURES[usize::from(seen)], with.preprocess.size, seen);
        let before = if seen { PICTURES[0] } else { 0 };
        let all = PICTURES[0] + PICTURES[1];
        let seen = with.pictures(Layer::Space, gallery.len(), |i| gallery.picture(i), |n| done(before + n, all));
        let seen = seen.expect("the built-in world is not written anew");
        let place = |i| names.names.iter().position(|name| *name == gallery.captions(i)[0]);
        let truth: Vec<usize> = (0..gallery.len()).map(|i| place(i).expect("a name of the world")).collect();
        judge(&names.probabilities(&seen.vectors), &truth)
    };
    OfWorld { unseen: named(false), seen: named(true) }
}

/// The pictures of a gallery, among those of these numbers, whose class is known: their rows, and their classes' places among
/// the names. Classes that are whole numbers, as in many shards, and no names, are places already.
///
/// Errors: no picture has a class, or one has a class that is no name.
pub fn truth(gallery: &Gallery, numbers: &[usize], names: &[String]) -> Result<(Vec<usize>, Vec<usize>)> {
    let rows: Vec<usize> = (0..numbers.len()).filter(|&row| gallery.class(numbers[row]).is_some()).collect();
    let class = |row: usize| gallery.class(numbers[row]).unwrap_or_default();
    if rows.is_empty() {
        let what = "no picture has a class, so none can be right: name the column of classes with --class-column";
        return Err(Error::Options(what.to_owned()));
    }
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let named: Vec<Option<usize>> = rows.iter().map(|&row| places.get(class(row)).copied()).collect();
    let counted = |&row: &usize| class(row).parse().ok().filter(|&place: &usize| place < names.len());
    let found = match named.iter().all(Option::is_none) {
        true => rows.iter().map(counted).collect(),
        false => named,
    };
    if let Some(at) = found.iter().position(Option::is_none) {
        const TOLD: usize = 5;
        let (class, first) = (class(rows[at]), names[..names.len().min(TOLD)].join(", "));
        let more = if names.len() > TOLD { ", …" } else { "" };
        let what = format!(
            "the class {class:?} of {} is none of the {} labels ({first}{more})",
            gallery.name(numbers[rows[at]]),
            names.len()
        );
        return Err(Error::Options(what + ": write the labels as the data has them, or leave --labels out"));
    }
    Ok((rows, found.into_iter().flatten().collect()))
}

/// Names and what they are most often taken for: true name, other name, how often; the most frequent first.
pub fn mistakes(confusion: &[Vec<usize>]) -> Vec<(usize, usize, usize)> {
    let pairs = confusion.iter().enumerate().flat_map(|(truth, row)| {
        row.iter()
            .enumerate()
            .filter(move |&(said, &times)| said != truth && times > 0)
            .map(move |(s, &n)| (truth, s, n))
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by_key(|&(truth, said, times)| (std::cmp::Reverse(times), truth, said));
    pairs
}

/// Reads names, one a line; empty lines are none.
///
/// Errors: a file that cannot be read, is no text, or has no name.
pub fn read_names(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", &error))?;
    let text = utf8(path, bytes, 1)?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<String> = lines.map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Error::file(path, "has no label: write one on each line"));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::clip::untrained;

    #[test]
    fn names_are_averaged_over_templates_and_brought_to_length_one() {
        let sayings = Tensor::of([4, 2], &[1.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0]);
        let of = ZeroShot::of(vec!["a".into(), "b".into()], &sayings, 2.0);
        let half = 0.5f32.sqrt();
        assert!(of.vectors.data().iter().zip([half, half, 0.0, -1.0]).all(|(a, b)| (a - b).abs() < 1e-6));
        let p = of.probabilities(&Tensor::of([1, 2], &[0.0, 1.0]));
        let want = 1.0 / (1.0 + (-2.0 - 2.0 * half).exp());
        assert!((p.data()[0] - want).abs() < 1e-6 && (p.data()[0] + p.data()[1] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn of_equally_likely_names_the_earlier_is_taken() {
        let p = Tensor::of([3, 3], &[0.4, 0.4, 0.2, 0.2, 0.4, 0.4, 0.1, 0.1, 0.8]);
        let named = judge(&p, &[1, 1, 2]);
        assert_eq!((named.pictures, named.top_1, named.top_5), (3, 2.0 / 3.0, 1.0));
        assert_eq!(named.confusion, [[0, 0, 0], [1, 1, 0], [0, 0, 1]]);
        assert_eq!(mistakes(&named.confusion), [(1, 0, 1)]);
    }

    #[test]
    fn a_model_that_never_learned_names_at_random_and_words_that_cannot_be_meant_are_refused() {
        let (with, gallery) = (untrained(), Gallery::single(0, 64, 16, false));
        let names = ZeroShot::world(&with);
        let seen = with.pictures(Layer::Space, gallery.len(), |i| gallery.picture(i), |_| {}).unwrap();
        let truth: Vec<usize> =
            (0..64).map(|i| names.names().iter().position(|name| *name == gallery.captions(i)[0]).unwrap()).collect();
        let named = judge(&names.probabilities(&seen.vectors), &truth);
        assert!(named.top_1 < 0.1 && named.pictures == 64, "{named:?}");
        let refused = |names: &[&str], templates: &[&str]| {
            let [names, templates] = [names, templates].map(|of| of.iter().map(|&x| x.to_owned()).collect::<Vec<_>>());
            ZeroShot::new(&with, names, &templates).err().unwrap().to_string()
        };
        assert!(refused(&["cat"], TEMPLATES).contains("one label only, \"cat\""));
        assert!(refused(&["cat", "dog", "cat"], TEMPLATES).contains("\"cat\" stands there twice"));
        assert!(refused(&["cat", "dog"], &["a picture"]).contains("no place for a label"));
    }
}
