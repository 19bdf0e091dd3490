//! What a run says of itself when it does not go as it should, in a plain sentence, once; and once more when it goes again.
//!
//! Masked prediction begins with a long flat stretch: at first a model learns how often each token occurs, and there the
//! loss stays, at the unigram level, until attention finds out what hidden tokens have to do with their neighbours. Small
//! models leave it after some hundred steps. One that does not, never uses the context, and looks as busy as any. Pictures
//! and captions begin at such a level too: that of guessing which caption of the batch it is.

use super::Options;
use super::metrics::Metric;
use super::options::{NormName, ObjectiveName, OptimizerName};
use super::representation::Representation;

/// From this share of the unigram level on, a loss is still at it.
const AT: f64 = 0.98;
/// From this share on, it has not come down to it.
const BEYOND: f64 = 1.05;
/// Below this share, it has left it.
const LEFT: f64 = 0.95;
/// From this share on it is worse than that of any guess, if it is so for a guess among all tokens as well: this is said at once.
const LOST: f64 = 2.0;
/// From this share of the loss of a guess among all tokens on, a loss is worse than that.
const ABOVE_ALL: f64 = 1.1;
/// Evaluations, and steps, that a run is given before anything is said: as many as small models that learn need.
const EVALUATIONS: usize = 3;
const STEPS: u64 = 500;

/// What was said so far.
#[derive(Clone, Debug)]
pub struct Advice {
    /// The loss of one that does not see what it is about, in nats; `None` where that is not known, or is measured with the loss.
    level: Option<f64>,
    /// That of a guess among all tokens, in nats.
    uniform: f64,
    /// Whether it is of pictures and captions.
    pictures: bool,
    /// What helps against staying there, as far as the run has not got it.
    helps: String,
    /// The highest learning rate.
    lr: f64,
    /// When the user can expect it, in steps.
    due: u64,
    /// Numbers of a vector, and how many vectors are measured.
    width: usize,
    vectors: usize,
    /// What helps against learning by heart, as far as the run has not got it.
    varied: String,
    evaluations: usize,
    flat: Said,
    collapsed: bool,
    blind: bool,
}

/// What was said of the unigram level.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    Nothing,
    Stuck,
    Left,
}

impl Advice {
    /// For a run of these options, whose corpus has this unigram level, if it has one, and which measures so many vectors.
    pub fn new(o: &Options, unigram: Option<f64>, vectors: usize) -> Self {
        let level = match o.objective {
            Some(ObjectiveName::Masked) => unigram.filter(|level| level.is_finite()),
            _ => None,
        };
        Self {
            level,
            uniform: if o.clip.is_some() { 0.0 } else { (o.vocab_size as f64).ln() },
            pictures: o.clip.is_some(),
            helps: helps(o),
            lr: o.lr,
            due: STEPS.min(o.steps.max(STEPS / 5)),
            width: o.clip.as_ref().map_or(o.width, |of| of.embed_dim),
            vectors,
            varied: varied(o),
            evaluations: 0,
            flat: Said::Nothing,
            collapsed: false,
            blind: false,
        }
    }

    /// What there is to say after a step, as its line of metrics has it. Steps that were not evaluated say nothing.
    pub fn look(&mut self, metric: &Metric) -> Vec<String> {
        let Metric { step, validation, .. } = metric;
        let Some(loss) = validation.loss else { return Vec::new() };
        self.evaluations += 1;
        let flat = self.flat(*step, [metric.loss, loss], self.level.or(validation.chance));
        let collapse = self.collapse(*step, &validation.representation);
        self.blind(validation.chance).into_iter().chain(flat).chain(collapse).collect()
    }

    /// What there is to say of the training loss and the validation loss, beside the level.
    fn flat(&mut self, step: u64, [training, loss]: [f64; 2], level: Option<f64>) -> Option<String> {
        let level = level?;
        let lost = loss > (LOST * level).max(ABOVE_ALL * self.uniform);
        let due = self.evaluations >= EVALUATIONS && step >= self.due || lost;
        let [knowing, not_yet, name] = match self.pictures {
            false => [
                "knowing how often each token occurs",
                "the model does not use the text around a hidden token yet",
                "the unigram level",
            ],
            true => ["guessing among a batch's captions", "the model does not tell pictures apart yet", "chance"],
        };
        if self.flat == Said::Nothing && due && loss > AT * level {
            self.flat = Said::Stuck;
            let Self { helps, lr, varied, .. } = self;
            return Some(if training < LEFT * level {
                format!(
                    "after {step} steps the validation loss, {loss:.3}, is no better than {knowing}, {level:.3}, and the \
                     training loss, {training:.3}, far below: it learns its examples by heart; what helps: more data, \
                     {varied}fewer --steps; the best weights on the way are in best/"
                )
            } else if loss > BEYOND * level {
                let change = format!("another --lr (it is {lr}), another --warmup or more --steps");
                format!(
                    "after {step} steps the loss, {loss:.3}, is worse than {knowing}, {level:.3}; what helps: {change}"
                )
            } else {
                let is = format!("is still that of {knowing}, {level:.3}: {not_yet}");
                format!("after {step} steps the loss, {loss:.3}, {is}; what helps: {helps}")
            });
        }
        if self.flat == Said::Stuck && loss < LEFT * level {
            self.flat = Said::Left;
            return Some(format!("after {step} steps the loss, {loss:.3}, has left {name}, {level:.3}"));
        }
        None
    }

    /// Where no pair of the validation part can be told from another (all have one caption or one picture, or there is only
    /// one), everything is right.
    fn blind(&mut self, chance: Option<f64>) -> Option<String> {
        let said = std::mem::replace(&mut self.blind, chance == Some(0.0));
        (self.blind && !said).then(|| {
            let what = "the pairs to validate on all have the same caption or the same picture, or there is only one";
            format!("{what}, so the validation loss says nothing: give --val-data, or a larger --val-share")
        })
    }

    fn collapse(&mut self, step: u64, representation: &Representation) -> Option<String> {
        // What has collapsed has to come well clear of it, or a run at the bound would say so at every turn.
        let strict = if self.collapsed { 2.0 } else { 1.0 };
        let of = if self.pictures { "pictures" } else { "texts" };
        match (representation.collapse(of, [self.width, self.vectors], strict), self.collapsed) {
            (Some(sentence), false) => {
                self.collapsed = true;
                Some(format!("after {step} steps {sentence}; if it lasts, a smaller --lr or a longer --warmup helps"))
            }
            (None, true) if representation.effective_rank.is_some() => {
                self.collapsed = false;
                Some(format!("after {step} steps the vectors of different {of} spread out again"))
            }
            _ => None,
        }
    }
}

/// What varies the examples more than the run does, each with a comma behind it.
fn varied(o: &Options) -> String {
    let still = o.clip.as_ref().is_some_and(|of| of.crop >= 1.0 && of.shift == 0.0 && of.hue == 0.0);
    let all = [(still, "pictures that vary (--crop, --shift, --hue), "), (o.dropout < 0.1, "--dropout 0.1, ")];
    all.iter().filter(|(lacks, _)| *lacks).map(|(_, what)| *what).collect()
}

fn helps(o: &Options) -> String {
    if let Some(of) = &o.clip {
        let all = [
            (true, "another --lr, or a longer --warmup"),
            (of.crop < 0.5, "a larger --crop"),
            (true, "captions that say what the pictures show"),
        ];
        return listed(&all);
    }
    let new = o.from.is_none(); // who goes on from a model has its sizes
    let all = [
        (new && o.norm != Some(NormName::Pre), "norms before the layers (--norm pre)"),
        (new && o.tokenizer.is_none(), "a smaller --vocab-size"),
        (o.mask_share.is_some_and(|share| share < 0.3), "a higher --mask-share (0.3)"),
        (new, "a shorter --block-size"),
        (!new, "another --lr, or a longer --warmup"),
        (o.optimizer != OptimizerName::Muon, "--optimizer muon"),
    ];
    listed(&all)
}

/// What a run lacks.
fn listed(all: &[(bool, &str)]) -> String {
    let some: Vec<&str> = all.iter().filter(|(lacks, _)| *lacks).map(|&(_, what)| what).collect();
    some.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Validation;
    use super::*;
    use toml::Table;

    fn advice(more: &str) -> Advice {
        let flags: Table = format!("model = \"bert\"\nsteps = 3000\n{more}").parse().unwrap();
        Advice::new(&Options::resolve(&Table::new(), &flags).unwrap(), Some(5.0), 400)
    }

    fn metric(step: u64, val_loss: f64, rank: f64) -> Metric {
        let representation = Representation { effective_rank: Some(rank), alignment: None, uniformity: Some(-1.0) };
        let validation = Validation { loss: Some(val_loss), representation, ..Validation::default() };
        Metric { step, loss: val_loss, validation, lr: 1.0, grad_norm: 1.0, items_per_s: 1.0, seconds: 1.0 }
    }

    /// What is said at which step, when these losses are met every 200 steps.
    fn said(advice: &mut Advice, losses: &[f64]) -> Vec<(u64, String)> {
        let at = |(i, &loss): (usize, &f64)| {
            let step = 200 * (i as u64 + 1);
            advice.look(&metric(step, loss, 40.0)).into_iter().map(move |said| (step, said)).collect::<Vec<_>>()
        };
        losses.iter().enumerate().flat_map(at).collect()
    }

    #[test]
    fn a_loss_that_stays_at_the_unigram_level_is_named_once_and_once_more_when_it_leaves() {
        let said = said(&mut advice("mask_share = 0.15"), &[5.4, 5.0, 4.99, 5.01, 4.85, 4.7, 3.0, 5.0]);
        assert_eq!(said.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [600, 1200]);
        assert!(said[0].1.contains("after 600 steps the loss, 4.990") && said[0].1.contains("mask-share"), "{said:?}");
        assert!(!said[0].1.contains("muon") && !said[0].1.contains("--norm"), "this run has both: {said:?}");
        assert!(said[1].1.contains("has left the unigram level"), "{said:?}");
    }

    #[test]
    fn a_loss_far_beyond_the_unigram_level_is_told_from_one_that_stays_at_it() {
        let said = said(&mut advice("lr = 1e-6"), &[9.0, 8.0, 7.0, 6.0, 5.0, 4.0]);
        assert_eq!(said.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [600, 1200]);
        assert!(said[0].1.contains("is worse than knowing") && said[0].1.contains("--lr (it is 0.000001)"), "{said:?}");
        assert!(!said[0].1.contains("mask-share") && said[1].1.contains("has left"), "{said:?}");
    }

    #[test]
    fn a_loss_that_falls_or_is_of_something_else_is_not_named() {
        assert_eq!(said(&mut advice(""), &[5.0, 4.9, 4.0, 3.0, 2.0]), []);
        let flags: Table = "model = \"gpt\"".parse().unwrap();
        let gpt = Options::resolve(&Table::new(), &flags).unwrap();
        assert_eq!(said(&mut Advice::new(&gpt, Some(5.0), 400), &[5.0; 9]), []);
    }

    #[test]
    fn what_is_learned_by_heart_and_what_is_lost_are_told_apart() {
        let mut heart = advice("");
        let learned = |step, loss| Metric { loss, ..metric(step, 5.3, 40.0) };
        let said: Vec<String> = (1..9).flat_map(|i| heart.look(&learned(200 * i, 3.0))).collect();
        assert!(said.len() == 1 && said[0].contains("by heart") && said[0].contains("best/"), "{said:?}");
        assert!(!said[0].contains("--crop"), "{said:?}");
        let mut drops = advice("dropout = 0.2");
        let said: Vec<String> = (1..9).flat_map(|i| drops.look(&learned(200 * i, 3.0))).collect();
        assert!(!said[0].contains("--dropout"), "{said:?}");
        let early = Options::resolve(&Table::new(), &"model = \"bert\"\nvocab_size = 2000".parse().unwrap()).unwrap();
        assert_eq!(
            Advice::new(&early, Some(2.0), 400).look(&metric(5, 7.3, 40.0)),
            [""; 0],
            "a guess among all pays 7.6"
        );
        let lost = advice("").look(&metric(60, 18950.0, 40.0));
        assert!(lost.len() == 1 && lost[0].contains("is worse than") && lost[0].contains("--lr"), "{lost:?}");
    }

    #[test]
    fn what_helps_is_what_the_run_has_not_got() {
        let mut advice = advice("norm = \"post\"\noptimizer = \"adamw\"\nmask_share = 0.4");
        let said = said(&mut advice, &[5.0; 9]);
        assert!(said.len() == 1 && said[0].1.contains("--norm pre") && said[0].1.contains("muon"), "{said:?}");
        assert!(!said[0].1.contains("mask-share"), "{said:?}");
    }

    #[test]
    fn a_collapse_is_named_when_it_comes_and_when_it_goes() {
        let mut advice = advice("");
        let said: Vec<String> =
            [40.0, 1.5, 2.6, 1.2, 30.0, 31.0].iter().flat_map(|&rank| advice.look(&metric(100, 3.0, rank))).collect();
        assert!(
            said.len() == 2 && said[0].contains("use 1.5 of 128") && said[1].contains("spread out again"),
            "{said:?}"
        );
    }
}
