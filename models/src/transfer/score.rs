//! How good is it? The scores in which results of language models are stated, counted exactly as the scripts do that
//! everybody uses, so that a number from here may stand beside a published one.
//!
//! - Classes: [`accuracy`], [`macro_f1`].
//! - Entities: [`entities`], [`entity_score`], [`entity_score_by_type`], as `conlleval` counts.
//! - Answers: [`exact_match`], [`answer_f1`], as SQuAD's script counts, that of version 1.1.
//! - Similarities: [`spearman`].
//! - Search: [`recall_at`], [`reciprocal_rank`], [`ndcg_at`].
//! - Several seeds: [`mean`] with its 95% interval.
//!
//! Three shares come back in many forms. Of what was found, precision is the share that is right; of what was to be
//! found, recall is the share that was; F1 is their harmonic mean:
//!
//! ```text
//! P = correct/found,  R = correct/expected,  F1 = 2·P·R/(P + R) = 2·correct/(found + expected)
//! ```
//!
//! All shares are between 0 and 1, and 0 where nothing could be divided.

mod answers;
mod entities;
mod ranks;
mod seeds;

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::Add;

pub use answers::{answer_f1, exact_match, normalize_answer};
pub use entities::{Entity, entities, entity_score, entity_score_by_type};
pub use ranks::{ndcg_at, recall_at, reciprocal_rank, spearman};
pub use seeds::{Mean, mean};

/// a/b, and 0 for 0/0.
fn share(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// The share of examples whose predicted class is the true one.
pub fn accuracy(truth: &[usize], predicted: &[usize]) -> f64 {
    assert_eq!(truth.len(), predicted.len(), "a prediction for each example");
    let right = truth.iter().zip(predicted).filter(|(t, p)| t == p).count();
    share(right as f64, truth.len() as f64)
}

/// The mean of the classes' F1, so that a rare class counts as much as a common one. Classes are those that occur in
/// the truth or among the predictions; others have no F1.
pub fn macro_f1(truth: &[usize], predicted: &[usize]) -> f64 {
    assert_eq!(truth.len(), predicted.len(), "a prediction for each example");
    let mut classes: BTreeMap<usize, Counts> = BTreeMap::new();
    for (&t, &p) in truth.iter().zip(predicted) {
        classes.entry(t).or_default().expected += 1;
        classes.entry(p).or_default().found += 1;
        classes.entry(t).or_default().correct += usize::from(t == p);
    }
    share(classes.values().map(Counts::f1).sum(), classes.len() as f64)
}

/// How many of what was to be found were, entities, examples of a class or words, with the shares that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Found, and right: an entity with the type and exactly the words that were expected.
    pub correct: usize,
    /// Found, rightly or not.
    pub found: usize,
    /// Those that are there.
    pub expected: usize,
}

impl Counts {
    /// correct/found
    pub fn precision(&self) -> f64 {
        share(self.correct as f64, self.found as f64)
    }

    /// correct/expected
    pub fn recall(&self) -> f64 {
        share(self.correct as f64, self.expected as f64)
    }

    /// 2·correct/(found + expected)
    pub fn f1(&self) -> f64 {
        share(2.0 * self.correct as f64, (self.found + self.expected) as f64)
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            correct: self.correct + other.correct,
            found: self.found + other.found,
            expected: self.expected + other.expected,
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(scores: I) -> Self {
        scores.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn a_class_that_is_only_predicted_lowers_macro_f1() {
        assert!(near(accuracy(&[0, 0, 1, 1], &[0, 0, 1, 7]), 0.75));
        // F1: 1 of class 0, 2/3 of class 1, 0 of class 7.
        assert!(near(macro_f1(&[0, 0, 1, 1], &[0, 0, 1, 7]), 5.0 / 9.0));
        assert_eq!((accuracy(&[], &[]), macro_f1(&[], &[])), (0.0, 0.0));
    }
}
