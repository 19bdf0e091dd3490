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

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Serialize;
use tensor::{Tensor, matmul, rows};

use super::Encoders;
use super::encode::Layer;
use super::gallery::Gallery;
use super::recall::SCORES;
use crate::data::labelled::utf8_of;
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

    /// Pictures' vectors `[n, E]` → their cosines with each name, `[n, K]`. They say which name is the nearest; where the scale
    /// is large, probabilities of those that are far are all zero.
    pub fn cosines(&self, pictures: &Tensor) -> Tensor {
        let ([n, e], k) = ([pictures.shape().rows(), pictures.shape().cols()], self.names.len());
        let mut cosines = Tensor::zeros([n, k]);
        let [x, t] = [(pictures, n), (&self.vectors, k)].map(|(of, rows)| matmul::Mat::new(of.data(), rows, e));
        matmul::matmul(cosines.data_mut(), x, t.t(), matmul::Precision::Full);
        cosines
    }

    /// Cosines `[n, K]` → the probability of each name for each picture, `[n, K]`.
    pub fn probabilities(&self, cosines: &Tensor) -> Tensor {
        let mut p = cosines.clone();
        for row in p.data_mut().chunks_exact_mut(self.names.len()) {
            row.iter_mut().for_each(|score| *score *= self.scale as f32);
            rows::softmax(row);
        }
        p
    }
}

/// How often the pictures of a name got a name: (the true one, the one that was said) → pictures. Of many names most pairs never
/// occur, so only those that do are kept.
pub type Confusion = BTreeMap<(usize, usize), usize>;

/// How well pictures were named.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// How many pictures.
    pub pictures: usize,
    /// The share whose nearest name is the true one.
    pub top_1: f64,
    /// The share whose true name is among the five nearest.
    pub top_5: f64,
    /// Which names were said of which.
    #[serde(skip)]
    pub confusion: Confusion,
}

/// Names pictures, `[n, E]`, and holds that against the true names' places. Of equals, the earlier name is the nearer. Pictures
/// are named so many at once that memory stays bounded.
pub fn judge(names: &ZeroShot, pictures: &Tensor, truth: &[usize]) -> Named {
    let (e, k) = (pictures.shape().cols(), names.names.len());
    let at_once = (SCORES / k).max(1);
    let mut confusion = Confusion::new();
    let [mut first, mut among_five] = [0, 0];
    for (pictures, truth) in pictures.data().chunks(at_once * e).zip(truth.chunks(at_once)) {
        let cosines = names.cosines(&Tensor::of([truth.len(), e], pictures));
        for (cosines, &truth) in cosines.data().chunks_exact(k).zip(truth) {
            let best = rows::best(cosines, 5);
            *confusion.entry((truth, best[0])).or_default() += 1;
            first += usize::from(best[0] == truth);
            among_five += usize::from(best.contains(&truth));
        }
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
        judge(names, &seen.vectors, &truth)
    };
    OfWorld { unseen: named(false), seen: named(true) }
}

/// Of each picture of a gallery the place of its class among the names, if its class is known. Classes that are whole numbers, as
/// in many shards, and no names, are places already.
///
/// Errors: no picture has a class, or one has a class that is no name.
pub fn truth(gallery: &Gallery, names: &[String]) -> Result<Vec<Option<usize>>> {
    let classes: Vec<Option<&str>> = (0..gallery.len()).map(|i| gallery.class(i)).collect();
    if classes.iter().all(Option::is_none) {
        let what = "no picture has a class, so none can be right: name the column of classes with --class-column";
        return Err(Error::Options(what.to_owned()));
    }
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let named = |class: &str| places.get(class).copied();
    let counted = |class: &str| class.parse().ok().filter(|&place: &usize| place < names.len());
    let by_name = classes.iter().flatten().any(|class| named(class).is_some());
    let found = |class: &str| if by_name { named(class) } else { counted(class) };
    for (i, class) in classes.iter().enumerate() {
        if let Some(class) = class.filter(|class| found(class).is_none()) {
            const TOLD: usize = 5;
            let (first, more) =
                (names[..names.len().min(TOLD)].join(", "), if names.len() > TOLD { ", …" } else { "" });
            let (name, labels) = (gallery.name(i), names.len());
            return Err(Error::Options(format!(
                "the class {class:?} of {name} is none of the {labels} labels ({first}{more}): write the labels as the data has \
                 them, or leave --labels out"
            )));
        }
    }
    Ok(classes.into_iter().map(|class| found(class?)).collect())
}

/// What names are most often taken for: true name, other name, how often; the most frequent first.
pub fn mistakes(confusion: &Confusion) -> Vec<(usize, usize, usize)> {
    let wrong = confusion.iter().filter(|((truth, said), _)| truth != said);
    let mut wrong: Vec<_> = wrong.map(|(&(truth, said), &times)| (truth, said, times)).collect();
    wrong.sort_by_key(|&(truth, said, times)| (std::cmp::Reverse(times), truth, said));
    wrong
}

/// Reads names, one a line; empty lines are none.
///
/// Errors: a file that cannot be read or is no text, has fewer than two names, or one of them twice.
pub fn read_names(path: &Path) -> Result<Vec<String>> {
    let text = utf8_of(path)?;
    let mut known = HashMap::new();
    let mut names = Vec::new();
    for (number, name) in (1..).zip(text.lines().map(str::trim)).filter(|(_, name)| !name.is_empty()) {
        if let Some(first) = known.insert(name, number) {
            let what = format!("line {number} has the label {name:?} of line {first} again: leave one of them out");
            return Err(Error::file(path, what));
        }
        names.push(name.to_owned());
    }
    match &names[..] {
        [] => Err(Error::file(path, "has no label: write two or more, each on its line")),
        [only] => Err(Error::file(path, format!("has one label only, {only:?}: to choose, write two or more"))),
        _ => Ok(names),
    }
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
        let p = of.probabilities(&of.cosines(&Tensor::of([1, 2], &[0.0, 1.0])));
        let want = 1.0 / (1.0 + (-2.0 - 2.0 * half).exp());
        assert!((p.data()[0] - want).abs() < 1e-6 && (p.data()[0] + p.data()[1] - 1.0).abs() < 1e-6);
    }

    /// Names whose vectors are these, at the largest scale.
    fn named(vectors: &[&[f32]]) -> ZeroShot {
        let names = (0..vectors.len()).map(|i| i.to_string()).collect();
        ZeroShot::of(names, &Tensor::of([vectors.len(), vectors[0].len()], &vectors.concat()), 100.0)
    }

    #[test]
    fn of_equally_near_names_the_earlier_is_taken() {
        let names = named(&[&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]]);
        let pictures = Tensor::of([3, 3], &[0.4, 0.4, 0.2, 0.2, 0.4, 0.4, 0.1, 0.1, 0.8]);
        let named = judge(&names, &pictures, &[1, 1, 2]);
        assert_eq!((named.pictures, named.top_1, named.top_5), (3, 2.0 / 3.0, 1.0));
        assert_eq!(named.confusion, Confusion::from([((1, 0), 1), ((1, 1), 1), ((2, 2), 1)]));
        assert_eq!(mistakes(&named.confusion), [(1, 0, 1)]);
    }

    #[test]
    fn names_that_are_so_far_that_their_probability_is_zero_are_ordered_all_the_same() {
        let circle = |degrees: f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        let around = [180.0, 170.0, 160.0, 150.0, 140.0, 130.0, 0.0].map(circle);
        let names = named(&around.each_ref().map(|of| &of[..]));
        let picture = Tensor::of([1, 2], &circle(0.0));
        let p = names.probabilities(&names.cosines(&picture));
        assert_eq!(p.data(), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!([1, 2, 5].map(|truth| judge(&names, &picture, &[truth]).top_5), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn pictures_among_very_many_names_take_no_more_memory_than_they_need() {
        let many: Vec<[f32; 1]> = vec![[1.0]; 200_000]; // a field for each pair of them would take 320 GB
        let names = named(&many.iter().map(|of| &of[..]).collect::<Vec<_>>());
        let named = judge(&names, &Tensor::of([3, 1], &[1.0, 1.0, -1.0]), &[0, 199_999, 4]);
        assert_eq!((named.top_1, named.top_5, named.confusion.len()), (1.0 / 3.0, 2.0 / 3.0, 3));
    }

    #[test]
    fn a_model_that_never_learned_names_at_random_and_words_that_cannot_be_meant_are_refused() {
        let (with, gallery) = (untrained(), Gallery::single(0, 64, 16, false));
        let names = ZeroShot::world(&with);
        let seen = with.pictures(Layer::Space, gallery.len(), |i| gallery.picture(i), |_| {}).unwrap();
        let truth: Vec<usize> =
            (0..64).map(|i| names.names().iter().position(|name| *name == gallery.captions(i)[0]).unwrap()).collect();
        let named = judge(&names, &seen.vectors, &truth);
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
