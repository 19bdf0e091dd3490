//! The curve of a classification: accuracy against the labels of each class.

use super::super::finetune::classify::finetune;
use super::super::finetune::examples::Examples;
use super::super::logistic::{Logistic, Row};
use super::super::score::accuracy;
use super::bag::{self, Words};
use super::{Subject, Tuning, most_frequent};
use crate::data::labelled::classes::Labelled;
use crate::error::Result;

/// Labelled texts to draw from and to test on.
pub struct Classes<'a> {
    with: Tuning<'a>,
    /// All of them, as a model sees them.
    pub examples: Examples,
    words: Words,
    /// The words of the texts to draw from, and of those to test on.
    rows: [Vec<Row>; 2],
}

impl<'a> Classes<'a> {
    /// Texts to draw from and others to test on.
    pub fn new(with: Tuning<'a>, pool: &Labelled, test: &Labelled) -> Self {
        let words = Words::of(&pool.texts);
        let rows = [pool, test].map(|of| of.texts.iter().map(|text| words.row(text)).collect());
        Self { examples: Examples::whole(with.from, pool, None, Some(test)), with, words, rows }
    }
}

impl Subject for Classes<'_> {
    const MEASURED: &'static str = "accuracy on test texts";
    const COUNTED: &'static str = "labels of each class";
    const PLAIN: &'static str = "bag of words";

    fn classes(&self) -> Vec<usize> {
        self.examples.train.iter().map(|&(_, label)| label).collect()
    }

    fn scores(&self, drawn: &[usize], seed: u64) -> Result<[f64; 4]> {
        let Examples { train, test, labels, .. } = &self.examples;
        let some = Examples {
            train: drawn.iter().map(|&i| train[i].clone()).collect(),
            labels: labels.clone(),
            ..Examples::default()
        };
        let (pretrained, scratch) = self.with.both(seed, |model, recipe| {
            let (classifier, _) = finetune(model, &some, self.with.reading, recipe, |_, _, _| {})?;
            Ok(classifier.scores_on(&classifier.tuned.params, test).accuracy)
        })?;
        let truth: Vec<usize> = test.iter().map(|&(_, label)| label).collect();
        let of: Vec<usize> = drawn.iter().map(|&i| train[i].1).collect();
        let [pool, rows] = &self.rows;
        let learned: Vec<Row> = drawn.iter().map(|&i| pool[i].clone()).collect();
        let bag = Logistic::train(&learned, &of, labels.len(), self.words.columns(), bag::TRUST);
        let guesses: Vec<usize> = rows.iter().map(|row| bag.predict(row)).collect();
        let always = vec![most_frequent(&self.classes(), labels.len()); truth.len()];
        Ok([pretrained, scratch, accuracy(&truth, &guesses), accuracy(&truth, &always)])
    }
}
