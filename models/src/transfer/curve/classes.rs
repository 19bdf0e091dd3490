//! The curve of a classification: accuracy against the labels of each class.

use tensor::parallel;

use super::super::finetune::Recipe;
use super::super::finetune::classify::finetune;
use super::super::finetune::examples::Examples;
use super::super::logistic::{Logistic, Row};
use super::super::pretrained::Pretrained;
use super::super::score::accuracy;
use super::bag::{self, Words};
use super::{Plan, Subject};
use crate::data::labelled::classes::Labelled;

/// Labelled texts to draw from and to test on.
pub struct Classes {
    /// All of them, as a model sees them.
    pub examples: Examples,
    words: Words,
    /// The words of the texts to draw from, and of those to test on.
    rows: [Vec<Row>; 2],
}

impl Classes {
    /// Texts to draw from and others to test on.
    pub fn new(with: &Pretrained, pool: &Labelled, test: &Labelled) -> Self {
        let words = Words::of(&pool.texts);
        let rows = [pool, test].map(|of| of.texts.iter().map(|text| words.row(text)).collect());
        Self { examples: Examples::whole(with, pool, None, Some(test)), words, rows }
    }
}

impl Subject for Classes {
    const MEASURED: &'static str = "accuracy on test texts";
    const COUNTED: &'static str = "labels of each class";

    fn classes(&self) -> Vec<usize> {
        self.examples.train.iter().map(|&(_, label)| label).collect()
    }

    fn scores(&self, models: [&Pretrained; 2], drawn: &[usize], plan: &Plan, recipe: &Recipe) -> [f64; 4] {
        let Examples { train, test, labels, .. } = &self.examples;
        let some = Examples {
            train: drawn.iter().map(|&i| train[i].clone()).collect(),
            labels: labels.clone(),
            ..Examples::default()
        };
        let learn = |model: &Pretrained| {
            let (classifier, _) = finetune(model, &some, plan.pooling, recipe, |_, _, _| {});
            classifier.scores_on(&classifier.tuned.params, test).accuracy
        };
        // Side by side: one after the other, threads would mostly wait for each other at so few examples a step.
        let (pretrained, scratch) = parallel::both(|| learn(models[0]), || learn(models[1]));
        let truth: Vec<usize> = test.iter().map(|&(_, label)| label).collect();
        let of: Vec<usize> = drawn.iter().map(|&i| train[i].1).collect();
        let [pool, rows] = &self.rows;
        let learned: Vec<Row> = drawn.iter().map(|&i| pool[i].clone()).collect();
        let bag = Logistic::train(&learned, &of, labels.len(), self.words.columns(), bag::TRUST);
        let guesses: Vec<usize> = rows.iter().map(|row| bag.predict(row)).collect();
        let always = vec![most_frequent(&of, labels.len()); truth.len()];
        [pretrained, scratch, accuracy(&truth, &guesses), accuracy(&truth, &always)]
    }
}

/// The most frequent class; of equals the first.
fn most_frequent(labels: &[usize], classes: usize) -> usize {
    let count = |class: usize| labels.iter().filter(|&&label| label == class).count();
    (0..classes).reduce(|best, class| if count(class) > count(best) { class } else { best }).unwrap_or(0)
}
