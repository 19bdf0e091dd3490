//! The label curve: what pre-training is worth, as a score against the number of labels.
//!
//! From a pool of labelled examples n of each class are drawn, for n = 1, 2, 4 and so on, and four learners see the same
//! ones: one with what was learned before without labels; the same one with random weights; a plain method, which any model
//! has to beat; and the guess of the most frequent class. (The last is told which that is in the whole pool, and the plain
//! method how rare each word is there.) All is repeated with several seeds, which draw other examples and other weights; the
//! interval is that of the mean over them.
//!
//! A model of text is fine-tuned, and the plain method is logistic regression on words ([`bag`]): [`classes`], [`tags`]. What
//! an image encoder makes of pictures is left as it is, and logistic regression learns from it as it does from raw pixels:
//! [`probe`]. [`picture`] is the curve as an SVG.

pub mod bag;
pub mod classes;
pub mod picture;
pub mod probe;
pub mod tags;

use tensor::random::{Random, Stream};
use tensor::{parallel, rows};

use super::finetune::Recipe;
use super::finetune::tuned::Reading;
use super::score::{Mean, mean};
use crate::error::Result;
use crate::hub::pretrained::Pretrained;

/// Who learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learner {
    /// With what was learned before.
    Pretrained,
    /// The same with random weights.
    Scratch,
    /// A method without a model.
    Plain,
    /// The most frequent class.
    Majority,
}

impl Learner {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pretrained, Self::Scratch, Self::Plain, Self::Majority];

    /// Its name, where this is learned.
    pub fn name<S: Subject>(self) -> &'static str {
        match self {
            Self::Pretrained => "pre-trained",
            Self::Scratch => "from scratch",
            Self::Plain => S::PLAIN,
            Self::Majority => "majority",
        }
    }
}

/// How good the learners are with so many labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Labels of each class, at most: a class that has fewer gives all it has.
    pub labels: usize,
    /// Labels in all.
    pub examples: usize,
    /// The score of each of [`Learner::ALL`] with each seed.
    pub scores: [Vec<f64>; 4],
}

impl Point {
    /// A learner's mean score over the seeds, with its interval.
    pub fn mean(&self, learner: Learner) -> Mean {
        mean(&self.scores[learner as usize])
    }
}

/// How a curve is made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Labels of a class at most.
    pub most: usize,
    /// How often all is repeated.
    pub seeds: u64,
    /// The first seed.
    pub seed: u64,
}

/// A task that has a curve: a pool of labelled examples, and others to measure on.
pub trait Subject {
    /// What is measured on the examples to test on, in words.
    const MEASURED: &'static str;
    /// What the axis of labels counts, in words.
    const COUNTED: &'static str;
    /// What the method without a model is called.
    const PLAIN: &'static str;
    /// The class of each example of the pool, numbers from 0 on.
    fn classes(&self) -> Vec<usize>;
    /// How well each of [`Learner::ALL`] does, from 0 to 1, after it has seen the examples `drawn` from the pool; `seed`
    /// decides all that is random in it.
    ///
    /// Errors: a learner that does not learn.
    fn scores(&self, drawn: &[usize], seed: u64) -> Result<[f64; 4]>;
}

/// A model of text to be fine-tuned, and how.
#[derive(Clone, Debug)]
pub struct Tuning<'a> {
    /// The pre-trained model.
    pub from: &'a Pretrained,
    /// How a text becomes one vector, where it does.
    pub reading: Reading,
    /// How it is fine-tuned.
    pub recipe: Recipe,
}

impl Tuning<'_> {
    /// What becomes of the pre-trained model, and of the same with random weights.
    fn both(&self, seed: u64, learn: impl Fn(&Pretrained, &Recipe) -> Result<f64> + Sync) -> Result<(f64, f64)> {
        let recipe = Recipe { seed, ..self.recipe.clone() };
        let scratch = self.from.from_scratch(seed);
        // Side by side: one after the other, threads would mostly wait for each other at so few examples a step.
        let (pretrained, scratch) = parallel::both(|| learn(self.from, &recipe), || learn(&scratch, &recipe));
        Ok((pretrained?, scratch?))
    }
}

/// The curve of a task. `report` is told of the points so far when another is finished. When `stop` says so, it ends after the
/// seed at work, without the point that is not finished; so it does with an error of the task's [`Subject::scores`], which
/// stands beside the points.
pub fn curve<S: Subject>(
    subject: &S,
    plan: Plan,
    mut report: impl FnMut(&[Point]),
    stop: impl Fn() -> bool,
) -> (Vec<Point>, Result<()>) {
    let classes = subject.classes();
    let mut points = Vec::new();
    for labels in steps(&classes, plan.most) {
        let mut point = Point { labels, examples: 0, scores: Default::default() };
        for seed in plan.seed..plan.seed + plan.seeds {
            if stop() {
                return (points, Ok(()));
            }
            let drawn = draw(&classes, labels, seed);
            point.examples = drawn.len();
            let scores = match subject.scores(&drawn, seed) {
                Ok(scores) => scores,
                Err(error) => return (points, Err(error)),
            };
            point.scores.iter_mut().zip(scores).for_each(|(all, score)| all.push(score));
        }
        points.push(point);
        report(&points);
    }
    (points, Ok(()))
}

/// The most frequent class; of equals the first.
fn most_frequent(labels: &[usize], classes: usize) -> usize {
    let mut counts = vec![0; classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    rows::argmax(&counts)
}

/// 1, 2, 4, … labels of a class up to `most`, or to what the largest class has.
fn steps(classes: &[usize], most: usize) -> Vec<usize> {
    let sizes = (0..=classes.iter().copied().max().unwrap_or(0)).map(|k| classes.iter().filter(|&&of| of == k).count());
    let most = sizes.max().unwrap_or(0).min(most);
    let mut steps: Vec<usize> = std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|&n| n < most).collect();
    steps.push(most);
    steps
}

/// `labels` examples of each class, or all that it has, drawn by `seed`: those of a smaller number are among those of a
/// larger one.
fn draw(classes: &[usize], labels: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..classes.len()).collect();
    Random::new(seed, Stream::Data, u64::MAX - 1).shuffle(&mut order);
    let mut left = vec![labels; classes.iter().max().map_or(0, |most| most + 1)];
    order.retain(|&i| {
        let left = &mut left[classes[i]];
        let wanted = *left > 0;
        *left -= usize::from(wanted);
        wanted
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use crate::gpt::{Gpt, GptConfig};

    fn pool() -> Vec<usize> {
        (0..60).map(|i| usize::from(i % 10 == 0)).collect()
    }

    #[test]
    fn each_class_gives_what_is_asked_of_it_or_all_that_it_has() {
        for (labels, want) in [(1, [1, 1]), (4, [4, 4]), (6, [6, 6]), (50, [50, 6]), (99, [54, 6])] {
            let drawn = draw(&pool(), labels, 3);
            let count = |class: usize| drawn.iter().filter(|&&i| pool()[i] == class).count();
            assert_eq!([count(0), count(1)], want, "{labels}");
        }
    }

    #[test]
    fn fewer_labels_are_among_more_and_seeds_draw_others() {
        let [two, eight] = [2, 8].map(|labels| draw(&pool(), labels, 5));
        assert!(two.iter().all(|i| eight.contains(i)));
        assert_ne!(draw(&pool(), 8, 6), eight);
    }

    #[test]
    fn both_learn_by_the_seed_of_their_point_and_each_score_is_its_own() {
        let (model, params) = Gpt::init(&GptConfig::new(256, 8, 1, 1, 8), 1);
        let from = Pretrained { model: Model::Gpt(model), params, tokenizer: tokenizer::Tokenizer::bytes() };
        let with = Tuning { from: &from, reading: Reading::Mean, recipe: Recipe::default() };
        let learn = |seed: u64| {
            let score = |model: &Pretrained, recipe: &Recipe| {
                assert_eq!(model.params.flat() == from.params.flat(), std::ptr::eq(model, &from), "scratch is another");
                Ok(recipe.seed as f64 + if std::ptr::eq(model, &from) { 0.5 } else { 0.0 })
            };
            with.both(seed, score).unwrap()
        };
        assert_eq!([learn(7), learn(8)], [(7.5, 7.0), (8.5, 8.0)]);
    }

    #[test]
    fn the_steps_end_with_all_there_are_or_as_many_as_asked() {
        assert_eq!(steps(&pool(), 1000), [1, 2, 4, 8, 16, 32, 54]);
        assert_eq!(steps(&pool(), 16), [1, 2, 4, 8, 16]);
        assert_eq!(steps(&pool(), 1), [1]);
    }
}
