//! One fine-tuning with several seeds: each learns and is tested, and the model that validates best is kept.
//!
//! What a fine-tuning is worth varies with its seed, which draws the new layer, the order of examples and dropout's masks: so
//! the score that is told is the mean over the seeds, with its interval ([`mean`]).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Fitted, Recipe};
use crate::error::{Error, Result};
use crate::transfer::score::{Mean, mean};

/// Scores by their names, from 0 to 1.
pub type Scores = BTreeMap<&'static str, f64>;

/// What came of one seed.
#[derive(Debug, Serialize)]
pub struct Trial {
    /// What made it different from the others.
    pub seed: u64,
    /// How the learning went.
    pub fitted: Fitted,
    /// How good it is on the test examples, if there are any; empty if it was told to end before it was through.
    pub test: Scores,
}

/// What came of all seeds.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The seed of the model that is kept.
    pub kept: u64,
    /// The mean of the best validation scores, if there was something to validate on.
    pub validation: Option<Mean>,
    /// The mean of each test score.
    pub test: BTreeMap<&'static str, Mean>,
    /// The trials, in order. If the last was told to end, it counts in neither mean.
    pub trials: Vec<Trial>,
    /// Why there are no more trials, if one failed after others had not.
    #[serde(skip)]
    pub failed: Option<Error>,
}

impl Outcome {
    /// What these trials come to, of which that of the seed `kept` is kept.
    fn of(trials: Vec<Trial>, kept: u64) -> Self {
        let through = || trials.iter().filter(|trial| !trial.fitted.stopped);
        let over_seeds = |scores: Vec<f64>| (!scores.is_empty()).then(|| mean(&scores));
        let validation = over_seeds(through().filter_map(|trial| trial.fitted.best).collect());
        let of_test = |name: &'static str| {
            let scores = through().filter_map(|trial| trial.test.get(name).copied());
            Some((name, over_seeds(scores.collect())?))
        };
        let test = trials[0].test.keys().filter_map(|name| of_test(name)).collect();
        Self { kept, validation, test, trials, failed: None }
    }

    /// The trial that was told to end before it was through, if one was.
    pub fn stopped(&self) -> Option<&Trial> {
        self.trials.last().filter(|trial| trial.fitted.stopped)
    }

    /// How many trials were through. One whose loss became no number is, with what was best before.
    pub fn through(&self) -> usize {
        self.trials.len() - usize::from(self.stopped().is_some())
    }
}

/// Trains once with each of `seeds` seeds, from the recipe's on; the model with the best validation score is kept (of equals
/// the first). A trial that was stopped never takes the place of one that was through. It ends early when one is stopped, or
/// fails after another did not.
///
/// `keep` gets what came of all so far: after each trial, with its model if that is the best, and after the `test`, with its
/// scores if there are any. What it puts away outlives whatever ends the test or the next trial.
///
/// Errors: that of the first trial, also if it was stopped before its first step.
pub fn trials<M: Send + Sync>(
    recipe: &Recipe,
    seeds: u64,
    learn: impl Fn(&Recipe) -> Result<(M, Fitted)> + Sync,
    test: impl Fn(&M) -> Scores + Sync,
    mut keep: impl FnMut(Option<&M>, &Outcome),
) -> Result<Outcome> {
    assert!(seeds > 0, "trials of no seed");
    let mut outcome: Option<Outcome> = None;
    let mut best = None;
    for seed in recipe.seed..recipe.seed + seeds {
        let recipe = Recipe { seed, ..recipe.clone() };
        let (model, fitted) = match tensor::parallel::inside(|| learn(&recipe)) {
            // Told to end before it began, it has learned nothing.
            Ok((_, fitted)) if fitted.stopped && fitted.steps == 0 && outcome.is_none() => {
                return Err(Error::Training("stopped before the first step".to_owned()));
            }
            Ok(learned) => learned,
            Err(error) => match outcome {
                None => return Err(error),
                Some(outcome) => return Ok(Outcome { failed: Some(error), ..outcome }),
            },
        };
        let (score, stopped) = (fitted.best, fitted.stopped);
        let better = outcome.is_none() || !stopped && score > best;
        let (kept, mut trials) = outcome.take().map_or((seed, Vec::new()), |before| (before.kept, before.trials));
        trials.push(Trial { seed, fitted, test: Scores::new() });
        if better {
            best = score;
        }
        let kept = if better { seed } else { kept };
        let learned = outcome.insert(Outcome::of(trials, kept));
        keep(better.then_some(&model), learned);
        if stopped {
            break;
        }
        let scores = tensor::parallel::inside(|| test(&model));
        if let Some(last) = learned.trials.last_mut().filter(|_| !scores.is_empty()) {
            last.test = scores;
            *learned = Outcome::of(std::mem::take(&mut learned.trials), kept);
            keep(None, learned);
        }
    }
    Ok(outcome.expect("there was a trial"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a trial comes to: its validation score and whether it was told to end, or nothing where it fails.
    type Made = Option<(Option<f64>, bool)>;

    /// The model's name is its seed; its test score is a tenth of that.
    fn of(made: &[Made]) -> Result<(u64, Outcome)> {
        let recipe = Recipe { seed: 5, ..Recipe::default() };
        let learn = |recipe: &Recipe| {
            let made = made[(recipe.seed - 5) as usize];
            let (best, stopped) = made.ok_or_else(|| Error::Training("no number".to_owned()))?;
            let steps = if stopped && best.is_none() { 0 } else { 9 };
            let fitted = Fitted { steps, stopped, best, best_pass: best.map(|_| 1), loss: None, broken: None };
            Ok((recipe.seed, fitted))
        };
        let test = |model: &u64| [("accuracy", *model as f64 / 10.0)].into();
        let (mut put_away, mut trained, mut tested) = (None, 0, 0);
        let outcome = trials(&recipe, made.len() as u64, learn, test, |model, so_far| {
            put_away = model.copied().or(put_away);
            let last = so_far.trials.last().unwrap();
            (trained, tested) = if last.test.is_empty() { (trained + 1, tested) } else { (trained, tested + 1) };
            assert_eq!((put_away, so_far.trials.len()), (Some(so_far.kept), trained), "it could end here");
        })?;
        assert_eq!((put_away, outcome.trials.len(), outcome.through()), (Some(outcome.kept), trained, tested));
        Ok((outcome.kept, outcome))
    }

    #[test]
    fn the_model_that_validates_best_is_kept_and_of_equals_the_first() {
        let through = |score: f64| Some((Some(score), false));
        for (made, kept) in [
            (vec![through(0.5), through(0.9), through(0.7)], 6),
            (vec![through(0.9), through(0.9)], 5),
            (vec![Some((None, false)), Some((None, false))], 5),
            (vec![through(0.1), Some((Some(0.9), true))], 5),
            (vec![Some((Some(0.9), true)), through(1.0)], 5),
            (vec![through(0.1), None, through(0.9)], 5),
        ] {
            assert_eq!(of(&made).unwrap().0, kept, "{made:?}");
        }
    }

    #[test]
    fn a_trial_that_was_told_to_end_is_the_last_and_counts_in_no_mean() {
        let (_, outcome) =
            of(&[Some((Some(0.4), false)), Some((Some(0.6), false)), Some((Some(0.1), true)), None]).unwrap();
        assert_eq!((outcome.trials.len(), outcome.through()), (3, 2));
        assert_eq!(outcome.stopped().map(|trial| trial.seed), Some(7));
        assert_eq!((outcome.validation.unwrap().value, outcome.test["accuracy"].value), (0.5, 0.55));
        let (_, outcome) = of(&[Some((Some(0.4), true))]).unwrap();
        assert_eq!((outcome.validation, outcome.test.len(), outcome.through()), (None, 0, 0));
    }

    #[test]
    fn a_trial_that_fails_after_others_ends_it_with_what_they_learned_and_the_first_that_fails_is_an_error() {
        let (_, outcome) = of(&[Some((Some(0.4), false)), None, Some((Some(0.6), false))]).unwrap();
        assert_eq!((outcome.trials.len(), outcome.through()), (1, 1));
        assert!(outcome.failed.is_some() && outcome.stopped().is_none());
        assert!(of(&[None, Some((Some(0.6), false))]).is_err());
        assert!(of(&[Some((None, true))]).is_err(), "stopped before it began");
    }
}
