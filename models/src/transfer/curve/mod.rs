//! The label curve: what pre-training is worth, as accuracy against the number of labels.
//!
//! From a pool of labelled texts n of each class are drawn, for n = 1, 2, 4 and so on, and four learners see the same
//! ones: the pre-trained model, fine-tuned; the same model with random weights and the same recipe; a bag of words with
//! logistic regression, the plain method that any model has to beat; and the guess of the most frequent class. All is
//! repeated with several seeds, which draw other texts and other weights; the interval is that of the mean over them.
//!
//! [`bag`]: words as features. [`picture`]: the curve as an SVG.

pub mod bag;
pub mod picture;

use serde::Serialize;
use tensor::random::{Random, Stream};

use super::finetune::Recipe;
use super::finetune::classify::finetune;
use super::finetune::examples::{Example, Examples};
use super::logistic::Logistic;
use super::pretrained::{Pooling, Pretrained};
use super::score::{Mean, accuracy, mean};
use crate::data::labelled::classes::Labelled;
use bag::Words;

/// Who learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learner {
    /// The pre-trained model, fine-tuned.
    Pretrained,
    /// The same model and recipe from random weights.
    Scratch,
    /// Logistic regression on the words of a text.
    BagOfWords,
    /// The most frequent class.
    Majority,
}

impl Learner {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pretrained, Self::Scratch, Self::BagOfWords, Self::Majority];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrained => "pre-trained",
            Self::Scratch => "from scratch",
            Self::BagOfWords => "bag of words",
            Self::Majority => "majority",
        }
    }
}

/// How good the learners are with so many labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Labels of each class, at most: a class that has fewer gives all it has.
    pub labels: usize,
    /// Labels in all.
    pub examples: usize,
    /// The accuracy of each of [`Learner::ALL`] with each seed.
    pub accuracy: [Vec<f64>; 4],
}

impl Point {
    /// A learner's mean accuracy over the seeds, with its interval.
    pub fn mean(&self, learner: Learner) -> Mean {
        mean(&self.accuracy[learner as usize])
    }
}

/// The texts of a curve.
pub struct Data {
    /// To draw labelled texts from.
    pub pool: Labelled,
    /// To measure accuracy on.
    pub test: Labelled,
}

/// How a curve is made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Labels of a class at most.
    pub most: usize,
    /// How often all is repeated, with seeds from the recipe's on.
    pub seeds: u64,
    /// How a text becomes one vector.
    pub pooling: Pooling,
    /// How the models are fine-tuned.
    pub recipe: Recipe,
}

/// The curve of a model on a task. `note` is told what should be known about the
/// texts, `report` of each point as it is finished.
pub fn curve(
    from: &Pretrained,
    data: &Data,
    plan: &Plan,
    mut note: impl FnMut(&str),
    mut report: impl FnMut(&Point),
) -> Vec<Point> {
    let all = Examples::whole(from, &data.pool, None, Some(&data.test));
    all.notes.iter().for_each(|sentence| note(sentence));
    let words = Words::of(&data.pool.texts);
    let [pool, test] = [&data.pool, &data.test].map(|of| of.texts.iter().map(|t| words.row(t)).collect::<Vec<_>>());
    let truth: Vec<usize> = all.test.iter().map(|&(_, label)| label).collect();
    let seeds = plan.recipe.seed..plan.recipe.seed + plan.seeds;
    let mut points = Vec::new();
    for labels in steps(&all, plan.most) {
        let mut point = Point { labels, examples: 0, accuracy: Default::default() };
        for seed in seeds.clone() {
            let drawn = draw(&all.train, all.labels.len(), labels, seed);
            point.examples = drawn.len();
            let train = drawn.iter().map(|&i| all.train[i].clone()).collect();
            let some = Examples { train, labels: all.labels.clone(), ..Examples::default() };
            let recipe = Recipe { seed, ..plan.recipe.clone() };
            for (learner, model) in [(Learner::Pretrained, from), (Learner::Scratch, &from.from_scratch(seed))] {
                let (classifier, _) = finetune(model, &some, plan.pooling, &recipe, |_, _, _| {});
                let scores = classifier.scores_on(&classifier.tuned.params, &all.test);
                point.accuracy[learner as usize].push(scores.accuracy);
            }
            let of: Vec<usize> = drawn.iter().map(|&i| all.train[i].1).collect();
            let rows: Vec<_> = drawn.iter().map(|&i| pool[i].clone()).collect();
            let bag = Logistic::train(&rows, &of, all.labels.len(), words.columns(), bag::TRUST);
            let guesses: Vec<usize> = test.iter().map(|row| bag.predict(row)).collect();
            point.accuracy[Learner::BagOfWords as usize].push(accuracy(&truth, &guesses));
            let guess = vec![most_frequent(&of, all.labels.len()); truth.len()];
            point.accuracy[Learner::Majority as usize].push(accuracy(&truth, &guess));
        }
        report(&point);
        points.push(point);
    }
    points
}

/// 1, 2, 4, … labels of a class up to `most`, or to what the largest class has.
fn steps(all: &Examples, most: usize) -> Vec<usize> {
    let sizes = (0..all.labels.len()).map(|label| all.train.iter().filter(|(_, of)| *of == label).count());
    let most = sizes.max().unwrap_or(0).min(most);
    let mut steps: Vec<usize> = std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|&n| n < most).collect();
    steps.push(most);
    steps
}

/// `labels` examples of each class, or all that it has, drawn by `seed`: those of a smaller number are among those of a
/// larger one.
fn draw(pool: &[Example], classes: usize, labels: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pool.len()).collect();
    let mut random = Random::new(seed, Stream::Data, u64::MAX - 1);
    (1..order.len()).rev().for_each(|i| order.swap(i, random.below(i as u64 + 1) as usize));
    let mut left = vec![labels; classes];
    order.retain(|&i| {
        let left = &mut left[pool[i].1];
        let wanted = *left > 0;
        *left -= usize::from(wanted);
        wanted
    });
    order
}

fn most_frequent(labels: &[usize], classes: usize) -> usize {
    let count = |class: usize| labels.iter().filter(|&&label| label == class).count();
    (0..classes).reduce(|best, class| if count(class) > count(best) { class } else { best }).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Vec<Example> {
        (0..60).map(|i| (vec![i as u32], usize::from(i % 10 == 0))).collect()
    }

    #[test]
    fn each_class_gives_what_is_asked_of_it_or_all_that_it_has() {
        for (labels, want) in [(1, [1, 1]), (4, [4, 4]), (6, [6, 6]), (50, [50, 6]), (99, [54, 6])] {
            let drawn = draw(&pool(), 2, labels, 3);
            let count = |class: usize| drawn.iter().filter(|&&i| pool()[i].1 == class).count();
            assert_eq!([count(0), count(1)], want, "{labels}");
        }
    }

    #[test]
    fn fewer_labels_are_among_more_and_seeds_draw_others() {
        let [two, eight] = [2, 8].map(|labels| draw(&pool(), 2, labels, 5));
        assert!(two.iter().all(|i| eight.contains(i)));
        assert_ne!(draw(&pool(), 2, 8, 6), eight);
    }

    #[test]
    fn the_steps_end_with_all_there_are_or_as_many_as_asked() {
        let all = Examples { labels: vec!["a".into(), "b".into()], train: pool(), ..Examples::default() };
        assert_eq!(steps(&all, 1000), [1, 2, 4, 8, 16, 32, 54]);
        assert_eq!(steps(&all, 16), [1, 2, 4, 8, 16]);
        assert_eq!(steps(&all, 1), [1]);
    }
}
