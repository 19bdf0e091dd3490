//! What a run keeps and says of itself: evaluations, the best model, checkpoints, broken pictures, the picture of its losses,
//! and how it ended.

use std::path::Path;
use std::time::Instant;

use super::super::chart::{self, Level};
use super::super::checkpoint::{self, Position};
use super::super::evaluate::{self, Evaluation, evaluate};
use super::super::metrics::{Metric, MetricsWriter, Validation, read_metrics};
use super::super::representation::Representation;
use super::super::setup::Setup;
use super::super::step;
use super::super::watch::Watch;
use super::{BROKEN, METRICS, Run};
use crate::error::{Error, Result};
use crate::files;
use crate::pretext::{Batch, Objective};

/// How a run ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// Steps made.
    pub step: u64,
    /// Whether all steps of the run were made, and the last evaluation.
    pub finished: bool,
    /// Nats a token, a text or a pair over the whole validation part, if the run finished.
    pub val_loss: Option<f64>,
    /// The same over the rows of the evaluations before, so that it compares with `best`, if these were fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_loss_as_before: Option<f64>,
    /// `val_loss` in bits a byte of text, for a model that predicts every token.
    pub bits_per_byte: Option<f64>,
    /// The share of hidden tokens, of second views of texts, or of captions, whose likeliest guess is right, for a model that
    /// finds those.
    pub val_accuracy: Option<f64>,
    /// What differences of cosines are divided by, where that is learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// What the vectors of validation texts look like.
    #[serde(flatten)]
    pub representation: Representation,
    /// The best validation loss, over the rows that are the same at every evaluation, and after which step.
    pub best: Option<(f64, u64)>,
    /// Seconds trained, over all sessions.
    pub seconds: f64,
}

/// A step that was made.
pub(super) struct Made {
    pub loss: f64,
    pub lr: f64,
    pub grad_norm: f64,
    /// When its batch was asked for.
    pub begin: Instant,
}

/// Writes a part of what is kept: [`files::with_room`].
pub(super) fn patiently(watch: &mut dyn Watch, write: impl FnMut() -> Result<()>) -> Result<()> {
    let look = |said: Option<&str>| {
        said.into_iter().for_each(|sentence| watch.note(sentence));
        watch.stop()
    };
    files::with_room(look, write)
}

/// Whether what is done after every so many steps, and after the last of all, is done after this one.
fn is_due(step: u64, every: u64, steps: u64) -> bool {
    step.is_multiple_of(every) || step == steps
}

impl Run {
    /// What follows a step: an evaluation, if one is due; its line of metrics and what is said of it; a checkpoint and the
    /// picture of the losses, if these are due. Says whether to end here, for `watch` wants it.
    pub(super) fn record(&mut self, made: Made, batch: &Batch, watch: &mut dyn Watch) -> Result<bool> {
        let Made { loss, lr, grad_norm, begin } = made;
        let items = if batch.shows() { batch.rows } else { batch.ids.len() };
        let items_per_s = items as f64 / begin.elapsed().as_secs_f64();
        self.position.step += 1;
        let (o, step) = (&self.setup.options, self.position.step);
        let [evaluate, save] = [o.eval_every, o.save_every].map(|every| is_due(step, every, o.steps));
        // One that is told to end is made up when the run goes on.
        let evaluated = if evaluate { self.evaluate(watch) } else { Ok(None) };
        let stop = watch.stop();
        self.position.seconds += begin.elapsed().as_secs_f64();
        let validation = evaluated.as_ref().ok().copied().flatten().unwrap_or_default();
        let metric = Metric { step, loss, validation, lr, grad_norm, items_per_s, seconds: self.position.seconds };
        patiently(watch, || self.metrics.write(&metric))?;
        if let Err(error) = evaluated {
            return Err(self.without_data(Some(batch), error, watch)?);
        }
        watch.progress(&metric);
        self.advice.look(&metric).iter().for_each(|sentence| watch.note(sentence));
        if save || stop || self.position.seconds - self.saved > files::LONGEST_UNSAVED.as_secs_f64() {
            self.save_if_good(validation.loss, batch, grad_norm, watch)?;
        }
        if validation.loss.is_some() || stop {
            self.draw(watch)?;
        }
        Ok(stop)
    }

    /// Evaluates after the last step that was made, if that was due and was not done: pictures were broken, or it was told
    /// to end.
    pub(super) fn catch_up(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let (step, o) = (self.position.step, &self.setup.options);
        let due = step > 0 && is_due(step, o.eval_every, o.steps);
        let path = self.directory.join(METRICS);
        let last = read_metrics(&path)?.pop();
        let Some(metric) = last.filter(|of| due && of.step == step && of.validation.loss.is_none()) else {
            return Ok(());
        };
        let Some(validation) = self.evaluate(watch)? else { return Ok(()) };
        let replace = || {
            self.metrics = MetricsWriter::replace(&path, &Metric { validation, ..metric })?;
            Ok(())
        };
        patiently(watch, replace)?;
        self.save(watch)?;
        self.draw(watch)
    }

    /// The error that ends a run which gets no batch or no evaluation. Between two steps nothing is half done, and `last` is the
    /// batch of the last.
    pub(super) fn without_data(&mut self, last: Option<&Batch>, error: Error, watch: &mut dyn Watch) -> Result<Error> {
        self.name_broken(watch)?;
        if let Some(batch) = last {
            self.save_if_good(None, batch, 0.0, watch)?;
            self.draw(watch)?;
        }
        let directory = files::quoted(&self.directory.to_string_lossy());
        Ok(Error::Training(format!("{error}; nothing is lost: then go on with --resume {directory}")))
    }

    /// Saves everything that the next step depends on, and the model for everyone else; what was said of the steps before
    /// lasts as long.
    pub(super) fn save(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let save = || {
            self.metrics.sync()?;
            checkpoint::save(&self.directory, &self.position, &self.setup.params, &self.optimizer)?;
            self.setup.save_model(&self.directory)
        };
        patiently(watch, save)?;
        self.saved = self.position.seconds;
        Ok(())
    }

    /// Evaluates after a step, the loss and the vectors of texts; after the last, the loss over the whole validation part, and
    /// also over the rows of the evaluations before, if these were fewer. A model better on those rows than all before is kept
    /// in `best/`. None if `watch` says stop.
    pub(super) fn evaluate(&mut self, watch: &mut dyn Watch) -> Result<Option<Validation>> {
        let Setup { options: o, model, params, corpus, .. } = &self.setup;
        let data = (corpus, self.setup.validation());
        let sizes = [o.batch_size, o.micro_batch];
        let over = |limit| evaluate(model, params, data, o.block_size, sizes, limit, || watch.stop());
        let read = |limit| evaluate::rows(data.0, data.1, o.block_size, o.batch_size, limit).len();
        let Some(some) = over(Some(o.eval_tokens))? else { return Ok(None) };
        let more = self.position.step == o.steps && read(None) > read(Some(o.eval_tokens));
        let Some(all) = (if more { over(None)? } else { Some(some) }) else { return Ok(None) };
        let representation = self.setup.representation()?;
        self.name_broken(watch)?;
        let loss = some.loss;
        if loss.is_finite() && self.position.best.is_none_or(|(best, _)| loss < best) {
            let best = self.directory.join("best");
            let save = || {
                std::fs::create_dir_all(&best).map_err(|error| Error::io(&best, "create", &error))?;
                self.setup.save_model(&best)
            };
            patiently(watch, save)?;
            self.position.best = Some((loss, self.position.step)); // not before it is there
        }
        if !loss.is_finite() {
            watch.note(&format!("the validation loss after step {} is {loss}", self.position.step));
        }
        let Evaluation { loss, accuracy, chance, temperature } = all;
        Ok(Some(Validation {
            loss: Some(loss),
            loss_as_before: more.then_some(some.loss),
            accuracy,
            chance,
            temperature,
            representation,
        }))
    }

    /// Names the pictures that were found broken since this was last asked.
    pub(super) fn name_broken(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let mut new = false;
        for (name, sentence) in self.setup.corpus.broken() {
            if self.broken.insert(name) {
                watch.note(&sentence);
                new = true;
            }
        }
        if new {
            let (path, names) = (self.directory.join(BROKEN), self.broken.iter());
            let lines: String = names.map(|name| format!("{name}\n")).collect();
            let write = || files::write(&path, lines.as_bytes()).map_err(|error| Error::io(&path, "write", &error));
            patiently(watch, write)?;
        }
        Ok(())
    }

    /// Saves, if the weights give a loss that is a number: a step that was too large shows only here.
    pub(super) fn save_if_good(
        &mut self,
        val_loss: Option<f64>,
        batch: &Batch,
        norm: f64,
        watch: &mut dyn Watch,
    ) -> Result<()> {
        let Setup { model, params, options, .. } = &self.setup;
        let next = val_loss.unwrap_or_else(|| step::loss(model, params, batch, options.micro_batch));
        check(self.step(), next, norm, &self.directory)?;
        self.save(watch)
    }

    /// How the run stands, with the loss over the whole validation part if it is finished.
    pub(super) fn outcome(&self) -> Result<Outcome> {
        let Setup { options, corpus, .. } = &self.setup;
        let Position { step, best, seconds, .. } = self.position;
        let metrics = read_metrics(&self.directory.join(METRICS))?;
        let evaluated = metrics.last().is_none_or(|last| last.step < step || last.validation.loss.is_some());
        let finished = step >= options.steps && evaluated;
        let last = metrics.last().filter(|_| finished).map(|metric| metric.validation).unwrap_or_default();
        let Validation { loss: val_loss, loss_as_before, accuracy: val_accuracy, temperature, representation, .. } =
            last;
        let every_token = matches!(self.setup.objective(), Objective::NextToken);
        let bits = |nats| Some(nats / corpus.bytes_per_token()? / std::f64::consts::LN_2);
        let bits_per_byte = val_loss.filter(|_| every_token).and_then(bits);
        Ok(Outcome {
            step,
            finished,
            val_loss,
            val_loss_as_before: loss_as_before,
            bits_per_byte,
            val_accuracy,
            temperature,
            representation,
            best,
            seconds,
        })
    }

    /// Draws the losses so far, with the levels that are known.
    pub(super) fn draw(&self, watch: &mut dyn Watch) -> Result<()> {
        let plan = self.setup.plan(0);
        let level = |name: &str, nats| Level { name: name.to_owned(), nats };
        let metrics = read_metrics(&self.directory.join(METRICS))?;
        let mut levels = vec![level("uniform", plan.uniform)];
        // Pairs that say the same are not told apart, which makes guessing easier.
        let measured = metrics.iter().rev().find_map(|metric| metric.validation.chance);
        let val_uniform = measured.unwrap_or(plan.val_uniform);
        if val_uniform != plan.uniform {
            levels.push(level("uniform, validation", val_uniform));
        }
        levels.extend(plan.unigram.map(|unigram| level("unigram", unigram)));
        levels.extend(plan.floor.map(|floor| level("entropy of the data", floor)));
        let title = format!("{} on {}", plan.model, plan.data);
        let draw = || chart::draw(&self.directory.join("loss.svg"), &title, plan.item, &metrics, &levels);
        patiently(watch, draw)
    }
}

/// A loss or gradient that is no number ends the run before it reaches a checkpoint.
pub(super) fn check(step: u64, loss: f64, norm: f64, directory: &Path) -> Result<()> {
    if loss.is_finite() && norm.is_finite() {
        return Ok(());
    }
    let kept = if directory.join(checkpoint::STATE).exists() {
        format!("the last good checkpoint is kept in {}", directory.display())
    } else {
        "no checkpoint was saved yet".to_owned()
    };
    Err(Error::Training(format!(
        "step {step}: the loss is {loss} and the gradient's norm {norm}; {kept}; a smaller --lr or a longer --warmup usually helps"
    )))
}
