//! The curve of a linear probe: what an image encoder makes of pictures is left as it is, and logistic regression learns
//! classes from it (Radford et al. 2021, section 3.2).
//!
//! Beside it the same from what an encoder with random weights makes of them, and from raw pixels. All features are brought
//! to mean 0 and deviation 1 over the pool, whose pictures but not whose labels are known, and a row to about length 1, so
//! that one strength means the same for each of them. The strength is chosen on every fourth label of a class, which is then
//! learned from as well; where fewer than half of the classes have four there is too little to choose by, and the strength is
//! a middle one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tensor::Tensor;

use super::super::clip::encode::{Layer, Seen, raw_pixels};
use super::super::clip::gallery::Gallery;
use super::super::clip::{Encoders, chosen};
use super::super::logistic::{Features, Logistic};
use super::super::score::accuracy;
use super::{Subject, most_frequent};
use crate::data::labelled::Tally;
use crate::error::{Error, Result};

/// Strengths that are tried: C of [`Logistic`], the largest trusting the examples most.
const STRENGTHS: [f64; 7] = [1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5];
/// The one where there is nothing to choose by.
const MIDDLE: f64 = 1e2;
/// Of so many labels of a class one is to choose by.
const CHOOSES: usize = 4;
/// Raw pixels are at most 32 x 32, as in CIFAR: more of them only take longer.
const SIDE: usize = 32;
/// Pictures of the built-in world to draw from and to test on.
const WORLD: [usize; 2] = [1024, 1000];

/// Features of the pictures to draw from and of those to test on: `[n, columns]` each.
type Pair = [Tensor; 2];

/// Pictures with classes to draw from, and others to test on.
pub struct Probe<'a> {
    with: &'a Encoders,
    galleries: [Gallery; 2],
    /// The numbers of the pictures that can be read and whose class is known.
    numbers: [Vec<usize>; 2],
    /// Their classes. One that the pool does not have is a number beyond its classes, which nobody says.
    labels: [Vec<usize>; 2],
    classes: usize,
    trained: Pair,
    raw: Pair,
    /// With random weights, by their seed: computed when first asked for.
    scratch: Mutex<HashMap<u64, Arc<Pair>>>,
    /// What is wrong with the pictures that could not be read.
    pub faults: Vec<Error>,
    /// What else is to be known, a sentence each.
    pub notes: Vec<String>,
}

impl<'a> Probe<'a> {
    /// Pictures to draw from, and others to test on. `done` is told how many pictures are finished of how many.
    ///
    /// Those without a class are left out, and counted in the notes.
    ///
    /// Errors: no picture with a class, or all of one class; one that goes away meanwhile.
    pub fn new(with: &'a Encoders, galleries: [Gallery; 2], mut done: impl FnMut(usize, usize)) -> Result<Self> {
        let all = galleries.iter().map(Gallery::len).sum::<usize>();
        let mut before = 0;
        let mut seen = |of: &Gallery| {
            let seen = states(with, of, |n| done(before + n, all));
            before += of.len();
            seen
        };
        let mut seen = [seen(&galleries[0])?, seen(&galleries[1])?];
        let faults = seen.iter_mut().flat_map(|seen| std::mem::take(&mut seen.faults)).collect();
        let mut notes = Vec::new();
        notes.extend(galleries[1].shared_with(&galleries[0]));
        let rows = [0, 1].map(|i| known(&galleries[i], &seen[i], ["to learn from", "to test on"][i], &mut notes));
        let class = |i: usize, row: usize| galleries[i].class(seen[i].numbers[row]).expect("chosen for it").to_owned();
        let mut names: Vec<String> = rows[0].iter().map(|&row| class(0, row)).collect();
        names.sort();
        names.dedup();
        let [n, tests] = [rows[0].len(), rows[1].len()];
        if names.len() < 2 || tests == 0 {
            let what = match (n, names.len()) {
                (0, _) => "no picture has a class to learn: name the column with --class-column".to_owned(),
                (_, 1) => format!("all {n} pictures are of one class, {:?}: there is nothing to tell apart", names[0]),
                _ => "no picture to test on has a class: name the column with --class-column".to_owned(),
            };
            return Err(Error::Options(what));
        }
        let place = |i: usize, row: usize| names.binary_search(&class(i, row)).unwrap_or(names.len());
        let labels = [0, 1].map(|i| rows[i].iter().map(|&row| place(i, row)).collect::<Vec<_>>());
        let mut strange = Tally::default();
        for (&row, _) in rows[1].iter().zip(&labels[1]).filter(|(_, label)| **label == names.len()) {
            strange.add(|| format!("{} ({:?})", galleries[1].name(seen[1].numbers[row]), class(1, row)));
        }
        if strange.count == tests {
            let what = format!(
                "no picture to test on is of a class that is learned: the first, {}, is of none of them",
                strange.first
            );
            return Err(Error::Options(what));
        }
        let [one, many] = ["picture to test on is of a class", "pictures to test on are of classes"]
            .map(|are| format!("{are} that those to learn from do not have"));
        strange.say(&one, &many, &mut notes);
        let numbers = [0, 1].map(|i| rows[i].iter().map(|&row| seen[i].numbers[row]).collect::<Vec<_>>());
        let trained = standardised([0, 1].map(|i| chosen(&seen[i].vectors, &rows[i])));
        let side = with.preprocess.size.min(SIDE);
        let pixels =
            |i: usize| raw_pixels(side, numbers[i].len(), |at| galleries[i].picture(numbers[i][at]), |_| {})?.whole();
        let (classes, raw, scratch) = (names.len(), standardised([pixels(0)?, pixels(1)?]), Mutex::default());
        Ok(Self { with, galleries, numbers, labels, classes, trained, raw, scratch, faults, notes })
    }

    /// Pictures of one object in the built-in world, of every combination that training shows; their classes are the shapes.
    pub fn world(with: &'a Encoders, done: impl FnMut(usize, usize)) -> Result<Self> {
        let [pool, test] = WORLD;
        let galleries = [
            Gallery::single(test, pool, with.preprocess.size, true),
            Gallery::single(0, test, with.preprocess.size, true),
        ];
        Self::new(with, galleries, done)
    }

    /// How many pictures there are to test on.
    pub fn tests(&self) -> usize {
        self.numbers[1].len()
    }

    /// What the same encoder with random weights makes of the pictures.
    ///
    /// Errors: one of them is gone, or no picture any more.
    fn scratch(&self, seed: u64) -> Result<Arc<Pair>> {
        let mut known = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(features) = known.get(&seed) {
            return Ok(features.clone());
        }
        let with = self.with.from_scratch(seed);
        let states = |i: usize| {
            let (gallery, numbers) = (&self.galleries[i], &self.numbers[i]);
            with.pictures(Layer::State, numbers.len(), |at| gallery.picture(numbers[at]), |_| {})?.whole()
        };
        let features = Arc::new(standardised([states(0)?, states(1)?]));
        known.insert(seed, features.clone());
        Ok(features)
    }

    /// The accuracy on the pictures to test on, of what was learned from some of the others.
    fn learned(&self, [pool, test]: &Pair, drawn: &[usize], labels: &[usize]) -> f64 {
        let some = chosen(pool, drawn);
        let classifier = fitted(&some, labels, self.classes);
        accuracy(&self.labels[1], &classifier.predictions(test))
    }
}

impl Subject for Probe<'_> {
    const MEASURED: &'static str = "accuracy on test pictures";
    const COUNTED: &'static str = "labels of each class";
    const PLAIN: &'static str = "raw pixels";

    fn classes(&self) -> Vec<usize> {
        self.labels[0].clone()
    }

    fn scores(&self, drawn: &[usize], seed: u64) -> Result<[f64; 4]> {
        let labels: Vec<usize> = drawn.iter().map(|&i| self.labels[0][i]).collect();
        let scratch = self.scratch(seed)?;
        let [trained, random, raw] = [&self.trained, &*scratch, &self.raw].map(|of| self.learned(of, drawn, &labels));
        let always = vec![most_frequent(&self.labels[0], self.classes); self.labels[1].len()];
        Ok([trained, random, raw, accuracy(&self.labels[1], &always)])
    }
}

/// What the image encoder makes of pictures, before the projection to the space of texts.
fn states(with: &Encoders, gallery: &Gallery, done: impl FnMut(usize)) -> Result<Seen> {
    with.pictures(Layer::State, gallery.len(), |i| gallery.picture(i), done)
}

/// The rows of `seen` whose class is known. The others, of pictures that are `part` of the task, are counted in a note.
fn known(gallery: &Gallery, seen: &Seen, part: &str, notes: &mut Vec<String>) -> Vec<usize> {
    let (rows, others): (Vec<_>, Vec<_>) =
        (0..seen.numbers.len()).partition(|&row| gallery.class(seen.numbers[row]).is_some());
    let mut left_out = Tally::default();
    others.iter().for_each(|&row| left_out.add(|| gallery.name(seen.numbers[row])));
    let [one, many] = ["picture", "pictures"].map(|of| format!("{of} {part} without a class left out"));
    left_out.say(&one, &many, notes);
    rows
}

/// Each column less its mean over the pool, by its deviation there and by √columns; a column that is the same everywhere is 0.
fn standardised([mut pool, mut test]: Pair) -> Pair {
    let [n, columns] = [pool.shape().rows(), pool.shape().cols()];
    let (mut mean, mut square) = (vec![0.0f64; columns], vec![0.0f64; columns]);
    for row in pool.data().chunks_exact(columns) {
        for (column, &x) in row.iter().enumerate() {
            mean[column] += f64::from(x) / n as f64;
            square[column] += f64::from(x).powi(2) / n as f64;
        }
    }
    let scale: Vec<f64> = mean
        .iter()
        .zip(&square)
        .map(|(mean, square)| {
            let variance = square - mean * mean;
            if variance > 1e-10 { (variance * columns as f64).powf(-0.5) } else { 0.0 }
        })
        .collect();
    for row in pool.data_mut().chunks_exact_mut(columns).chain(test.data_mut().chunks_exact_mut(columns)) {
        let with = mean.iter().zip(&scale);
        row.iter_mut().zip(with).for_each(|(x, (mean, scale))| *x = ((f64::from(*x) - mean) * scale) as f32);
    }
    [pool, test]
}

/// A classifier whose strength is chosen on some of the labels, and which then learns from all.
fn fitted(rows: &Tensor, labels: &[usize], classes: usize) -> Logistic {
    let mut met = vec![0usize; classes];
    let (judges, learns): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|&i| {
        met[labels[i]] += 1;
        met[labels[i]].is_multiple_of(CHOOSES)
    });
    let fresh = Logistic::new(classes, rows.shape().cols());
    // A class or two do not choose for all.
    if 2 * met.iter().filter(|&&n| n >= CHOOSES).count() < met.iter().filter(|&&n| n > 0).count() {
        return fresh.trained(Features::Dense(rows), labels, MIDDLE);
    }
    let of = |some: &[usize]| (chosen(rows, some), some.iter().map(|&i| labels[i]).collect::<Vec<_>>());
    let ((learned, its), (judged, theirs)) = (of(&learns), of(&judges));
    let mut best = (f64::INFINITY, MIDDLE, fresh.clone());
    let mut at = fresh;
    for c in STRENGTHS {
        at = at.trained(Features::Dense(&learned), &its, c);
        let nats = at.nats(Features::Dense(&judged), &theirs);
        if nats > 1.5 * best.0 {
            break; // the weaker the hold, the longer it takes, and the worse it becomes
        }
        if nats < best.0 {
            best = (nats, c, at.clone());
        }
    }
    best.2.trained(Features::Dense(rows), labels, best.1)
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, curve};
    use super::*;
    use crate::data::pictures::PictureOptions;
    use crate::transfer::clip::untrained;

    #[test]
    fn columns_have_mean_zero_and_rows_about_length_one_whatever_they_were() {
        let pool = Tensor::of([4, 2], &[1.0, 7.0, 3.0, 7.0, 1.0, 7.0, 3.0, 7.0]);
        let [pool, test] = standardised([pool, Tensor::of([1, 2], &[4.0, 8.0])]);
        let one = 0.5f32.sqrt();
        let want = [-one, 0.0, one, 0.0, -one, 0.0, one, 0.0];
        assert!(pool.data().iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{pool:?}");
        assert!((test.data()[0] - 2.0 * one).abs() < 1e-6 && test.data()[1] == 0.0);
    }

    #[test]
    fn a_weak_hold_is_chosen_where_examples_can_be_trusted_and_a_strong_one_where_not() {
        let mut random = tensor::random::Random::new(2, tensor::random::Stream::Other, 0);
        let noise = Tensor::normal([80, 30], 0.2, &mut random);
        let labels: Vec<usize> = (0..80).map(|i| i % 2).collect();
        let weights = |of: &Tensor| {
            let learned = fitted(of, &labels, 2);
            (0..30).map(|column| learned.weight(Some(column), 0).powi(2)).sum::<f64>()
        };
        let mut clear = noise.clone();
        clear.data_mut().chunks_exact_mut(30).zip(&labels).for_each(|(row, &label)| row[0] = label as f32 - 0.5);
        assert!(weights(&clear) > 10.0 * weights(&noise), "{} {}", weights(&clear), weights(&noise));
    }

    #[test]
    fn what_is_learned_at_last_is_learned_from_all_labels() {
        let mut random = tensor::random::Random::new(3, tensor::random::Stream::Other, 0);
        let mut some = Tensor::normal([80, 6], 0.2, &mut random);
        let labels: Vec<usize> = (0..80).map(|i| i % 2).collect();
        // A column that only the examples know by which the strength is chosen.
        for (i, row) in some.data_mut().chunks_exact_mut(6).enumerate() {
            row[5] = if (i / 2 + 1).is_multiple_of(CHOOSES) { labels[i] as f32 - 0.5 } else { 0.0 };
        }
        let learned = fitted(&some, &labels, 2);
        assert!(learned.weight(Some(5), 1) > 0.01, "{}", learned.weight(Some(5), 1));
    }

    #[test]
    fn each_score_is_of_its_own_features() {
        let with = untrained();
        let galleries = [Gallery::single(100, 116, 16, true), Gallery::single(0, 100, 16, true)];
        let mut probe = Probe::new(&with, galleries, |_, _| {}).unwrap();
        let telling = |labels: &[usize], classes: usize| {
            let mut rows = Tensor::zeros([labels.len(), classes]);
            rows.data_mut().chunks_exact_mut(classes).zip(labels).for_each(|(row, &label)| row[label] = 1.0);
            rows
        };
        let drawn = super::super::draw(&probe.classes(), 2, 1);
        probe.trained = [0, 1].map(|i| telling(&probe.labels[i], probe.classes));
        let [trained, scratch, raw, majority] = probe.scores(&drawn, 1).unwrap();
        assert!(trained == 1.0 && scratch < 0.9 && raw < 0.9 && majority < 0.5, "{trained} {scratch} {raw} {majority}");
        (probe.trained, probe.raw) = (probe.raw.clone(), probe.trained.clone());
        assert_eq!(probe.scores(&drawn, 1).unwrap(), [raw, scratch, trained, majority]);
        let other = probe.scores(&drawn, 2).unwrap();
        assert!(other[1] != scratch && [other[0], other[2], other[3]] == [raw, trained, majority], "{other:?}");
    }

    #[test]
    fn where_few_classes_have_labels_to_choose_by_the_strength_is_a_middle_one() {
        let mut random = tensor::random::Random::new(5, tensor::random::Stream::Other, 0);
        let some = Tensor::normal([10, 6], 1.0, &mut random);
        let labels = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]; // one class of three has four
        let weights = |of: &Logistic| (0..6).map(|column| of.weight(Some(column), 1)).collect::<Vec<_>>();
        let middle = Logistic::new(3, 6).trained(Features::Dense(&some), &labels, MIDDLE);
        assert_eq!(weights(&fitted(&some, &labels, 3)), weights(&middle));
        let all = Tensor::normal([12, 6], 1.0, &mut random);
        let labels = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];
        let middle = Logistic::new(3, 6).trained(Features::Dense(&all), &labels, MIDDLE);
        assert_ne!(weights(&fitted(&all, &labels, 3)), weights(&middle), "noise is held more strongly");
    }

    #[test]
    fn a_picture_that_goes_away_meanwhile_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut table = "path\tclass\n".to_owned();
        for i in 0..6u8 {
            image::RgbImage::from_pixel(4, 4, image::Rgb([40 * i; 3]))
                .save(directory.path().join(format!("{i}.png")))
                .unwrap();
            table += &format!("{i}.png\t{}\n", i % 2);
        }
        let path = directory.path().join("t.tsv");
        std::fs::write(&path, table).unwrap();
        let open = || Gallery::open(PictureOptions { data: vec![path.clone()], ..PictureOptions::default() }).unwrap();
        let with = untrained();
        let probe = Probe::new(&with, [open(), open()], |_, _| {}).unwrap();
        std::fs::remove_file(directory.path().join("2.png")).unwrap();
        let error = curve(&probe, Plan { most: 2, seeds: 1, seed: 1 }, |_| {}, || false).1.unwrap_err().to_string();
        assert!(error.contains("2.png"), "{error}");
    }

    #[test]
    fn the_curve_of_an_untrained_encoder_is_no_better_than_that_of_another() {
        let with = untrained();
        let galleries = [Gallery::single(100, 112, 16, true), Gallery::single(0, 100, 16, true)];
        let probe = Probe::new(&with, galleries, |_, _| {}).unwrap();
        let plan = Plan { most: 8, seeds: 2, seed: 1 };
        assert_eq!(curve(&probe, plan, |_| {}, || true).0.len(), 0);
        let (points, end) = curve(&probe, plan, |_| {}, || false);
        end.unwrap();
        assert_eq!(points.iter().map(|point| point.labels).collect::<Vec<_>>(), [1, 2, 4, 8]);
        let last = &points[3];
        assert_eq!(last.examples, 64);
        let [trained, scratch] = [0, 1].map(|i| last.scores[i].iter().sum::<f64>() / 2.0);
        assert!((trained - scratch).abs() < 0.1, "{last:?}");
        let one = [Gallery::single(0, 1, 16, true), Gallery::single(0, 3, 16, true)];
        let refused = Probe::new(&with, one, |_, _| {}).err().unwrap().to_string();
        assert!(refused.contains("of one class, \"ball\""), "{refused}");
        let none = [Gallery::scenes_of_several(3, 16), Gallery::single(0, 3, 16, true)];
        let refused = Probe::new(&with, none, |_, _| {}).err().unwrap().to_string();
        assert!(refused.contains("no picture has a class"), "{refused}");
    }
}
