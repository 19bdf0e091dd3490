//! One seed after the other learns: what is said of each, what is put away meanwhile, and how it ends.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow};
use autograd::Params;
use models::Error;
use models::files::{self, LONGEST_UNSAVED, quoted};
use models::transfer::finetune::trials::{self, Outcome, Scores, Trial};
use models::transfer::finetune::tuned::{self, Kind, Learned, Place, Tuned};
use models::transfer::finetune::{Fitted, Recipe, Watch};
use tokenizer::Tokenizer;

use super::{Options, Told};
use crate::Stopped;
use crate::flags::{self, Placed, count};

/// Writes a model with these weights.
type PutAway<'a> = &'a (dyn Fn(&Tuned, &Params) + Sync);

/// A line for each pass over the examples; and at times what would be kept if it ended here is put away.
pub struct Report<'a> {
    seed: String,
    score: &'static str,
    stop: Arc<AtomicBool>,
    put_away: Option<PutAway<'a>>,
    /// When that was last done.
    since: Instant,
}

impl Watch for Report<'_> {
    fn pass(&mut self, number: u64, loss: f64, val: Option<f64>) {
        let val = val.map_or(String::new(), |val| format!("  validation {} {:.1}%", self.score, 100.0 * val));
        tell!("{}pass {number}  loss {loss:.4}{val}", self.seed);
    }

    fn kept(&mut self, of: &Tuned, best: &Params) {
        if let Some(put_away) = self.put_away.filter(|_| self.since.elapsed() > LONGEST_UNSAVED) {
            put_away(of, best);
            self.since = Instant::now();
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// The score that chooses the best weights.
fn validated_by(kind: Kind) -> &'static str {
    match kind {
        Kind::Classify => "accuracy",
        Kind::Tag => "entity F1",
        Kind::Answer => "answer F1",
    }
}

impl Options {
    /// How a line begins that is of one seed: of several it says which.
    fn named(&self, seed: u64) -> String {
        if self.seeds > 1 { format!("seed {seed}  ") } else { String::new() }
    }

    /// Learns once a seed, says of each which weights it keeps, and puts the best away before it is tested (the model before
    /// the results, which a crash may leave a seed behind); the first seed's also on the way. Ctrl-C, or a seed that fails
    /// after others, ends it early, with what there is by then.
    pub fn trials<M: Learned>(
        &self,
        kind: Kind,
        told: &Told,
        place: &Place,
        recipe: &Recipe,
        (tokenizer, labels): (&Tokenizer, &[String]),
        learn: impl Fn(&Recipe, Report) -> models::Result<(M, Fitted)> + Sync,
        test: impl Fn(&M) -> Scores + Sync,
    ) -> Result<()> {
        flags::on_ctrl_c(&self.stop)?;
        let save = |tuned: &Tuned, params: &Params| {
            std::fs::create_dir_all(&place.directory).map_err(|error| Error::io(&place.directory, "create", &error))?;
            tuned::save_options(&place.directory, told)?; // first: without it nobody knows what the model is
            tuned.save(params, &place.directory, kind, tokenizer, labels)
        };
        let early = AtomicBool::new(false);
        let on_the_way = |tuned: &Tuned, params: &Params| match save(tuned, params) {
            Ok(()) => early.store(true, Ordering::SeqCst),
            Err(error) => tell!("note: {error}; it goes on"),
        };
        let learn = |recipe: &Recipe| {
            let report = Report {
                seed: self.named(recipe.seed),
                score: validated_by(kind),
                stop: Arc::clone(&self.stop),
                put_away: (recipe.seed == self.seed).then_some(&on_the_way),
                since: Instant::now(),
            };
            learn(recipe, report)
        };
        let (mut unsaved, mut kept): (Option<Tuned>, _) = (None, Ok(()));
        let keep = |model: Option<&M>, so_far: &Outcome| {
            // Once a trial: before its test.
            let new = so_far.trials.last().filter(|trial| !trial.fitted.stopped && trial.test.is_empty());
            new.into_iter().for_each(|trial| self.chosen(trial));
            let best = model.map(Learned::tuned).or(unsaved.as_ref());
            let put_away = || {
                best.map_or(Ok(()), |tuned| save(tuned, &tuned.params))?;
                tuned::save_results(&place.directory, so_far)
            };
            kept = files::with_room(flags::waiting(&self.stop), put_away);
            // What could not be put away is tried again with the next.
            unsaved = kept.as_ref().err().and_then(|_| best.cloned());
            if let Err(error) = &kept
                && self.seeds > 1
            {
                tell!("note: {error}");
            }
        };
        let outcome = match trials::trials(recipe, self.seeds, learn, test, keep).inspect_err(|_| place.leave()) {
            Err(error) if early.load(Ordering::SeqCst) => {
                tell!("note: what was learned some passes before is in {}", place.directory.display());
                return Err(error.into());
            }
            Err(error) if self.stop.load(Ordering::SeqCst) => {
                tell!("note: {error}, and nothing is kept");
                return Err(Stopped.into());
            }
            learned => learned?,
        };
        self.conclude(kind, place, outcome, kept)
    }

    /// Says which of a trial's weights were chosen.
    fn chosen(&self, trial: &Trial) {
        let named = self.named(trial.seed);
        if let Some(broken) = &trial.fitted.broken {
            tell!("{named}note: {broken}; what was best before is kept");
        }
        match (trial.fitted.best_pass, trial.fitted.best) {
            (Some(pass), Some(best)) => tell!("{named}kept: pass {pass}, {:.1}%", 100.0 * best),
            _ => tell!("{named}kept: the last weights, for there was nothing to choose by"),
        }
    }

    /// Says how it went, and ends as it ended. What could not be `kept` is an error, but the scores are told all the same.
    fn conclude(&self, kind: Kind, place: &Place, mut outcome: Outcome, kept: models::Result<()>) -> Result<()> {
        let failed = outcome.failed.take();
        if failed.is_some() && kept.is_ok() {
            let seed = outcome.trials.last().map_or(self.seed, |trial| trial.seed + 1);
            tell!("note: seed {seed} failed, and what was learned before is kept");
        }
        if let Some(Trial { seed, fitted, .. }) = outcome.stopped().filter(|_| kept.is_ok()) {
            let is_kept = match *seed == outcome.kept {
                true => "what was learned by then is kept, untested".to_owned(),
                false => format!("seed {seed} is left out, and seed {} is kept", outcome.kept),
            };
            tell!("note: stopped after {}: {is_kept}", count(fitted.steps as usize, "step"));
        }
        let broken = outcome.trials.iter().find_map(|trial| trial.fitted.broken.clone());
        let end = match (failed, broken) {
            (Some(error), _) => Err(error.into()),
            (None, Some(broken)) => Err(anyhow!("{broken}")),
            (None, None) if outcome.stopped().is_some() || self.stop.load(Ordering::SeqCst) => Err(Stopped.into()),
            (None, None) => Ok(()),
        };
        // Whether somebody still listens says nothing of how it ended.
        let told = self.scores(&place.directory, kind, &outcome, kept.is_ok());
        if let (Err(_), Err(end)) = (&kept, &end)
            && !end.is::<Stopped>()
        {
            tell!("note: {end}");
        }
        kept?;
        end.and(told)
    }

    /// Says how good it is, and, if the model is `kept`, where.
    fn scores(&self, out: &Path, kind: Kind, outcome: &Outcome, kept: bool) -> Result<()> {
        let mut to = std::io::stdout().lock();
        if self.json {
            return Ok(writeln!(to, "{}", serde_json::to_string(&Placed::at(out, outcome))?)?);
        }
        let chosen = outcome.validation.iter().filter(|_| outcome.test.is_empty());
        let validation = chosen.map(|mean| ("validation", validated_by(kind), mean));
        let test = outcome.test.iter().map(|(name, mean)| ("test", *name, mean));
        for (part, name, mean) in validation.chain(test) {
            let seeds = outcome.through();
            let interval =
                mean.half_width.map_or(String::new(), |half| format!(" ± {:.1} ({seeds} seeds)", 100.0 * half));
            writeln!(to, "{part} {name} {:.1}%{interval}", 100.0 * mean.value)?;
        }
        if !kept {
            return Ok(());
        }
        let which = if self.seeds > 1 { format!("model of seed {}", outcome.kept) } else { "model".to_owned() };
        writeln!(to, "the {which} is in {}; use it with", out.display())?;
        let words = if kind == Kind::Answer { "\"a question\" \"a text\"" } else { "\"a text\"" };
        writeln!(to, "  pretext {} {} {words}", kind.command(), quoted(&out.to_string_lossy()))?;
        Ok(())
    }
}
