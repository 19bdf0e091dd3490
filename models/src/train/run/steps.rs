//! The loop: batch, loss, gradients, step.

use std::time::Instant;

use autograd::{Gradients, Params};

use super::super::checkpoint::Position;
use super::super::metrics::{Metric, MetricsWriter, Validation, read_metrics};
use super::super::setup::Setup;
use super::super::step::{Compute, loss_and_gradients, timed};
use super::super::watch::Watch;
use super::record::check;
use super::{METRICS, Outcome, Run};
use crate::Model;
use crate::bert::model::HEADS;
use crate::error::{Error, Result};
use crate::files;
use crate::pretext::Batch;

/// Trains until the run's last step, or until `watch` says stop.
pub fn train(run: &mut Run, watch: &mut dyn Watch) -> Result<Outcome> {
    watch.plan(&run.setup.plan(run.position.step));
    let o = run.setup.options.clone();
    let schedule = o.schedule();
    let (mut gradients, mut batch) = (Gradients::new(&run.setup.params), Batch::new());
    let first = run.position.step;
    if first == o.steps {
        // The run may have been killed between its last state and what is made from it.
        run.setup.save_model(&run.directory)?;
        run.draw()?;
    }
    if let Err(error) = catch_up(run, watch) {
        return Err(without_data(run, None, error, watch)?);
    }
    for step in first..o.steps {
        let begin = Instant::now();
        let profile = run.profile.as_ref();
        // Keyed by (seed, step): nothing to replay.
        if let Err(error) = timed(profile, "Batch", || run.setup.fill(&mut batch, step)) {
            return Err(without_data(run, (step > first).then_some(&batch), error, watch)?);
        }
        let Setup { model, params, .. } = &mut run.setup;
        let how = Compute { profile, ..o.compute() };
        let loss = loss_and_gradients(model, params, &mut gradients, &batch, how, o.seed, step);
        let lr = schedule.at(step);
        let muon_lr = o.muon_lr * lr / o.lr;
        // The gradient's norm as it was; where that is no number, there is no step.
        let norm = timed(profile, "Optimiser", || run.optimizer.step(params, &gradients, lr, muon_lr));
        check(step + 1, loss, norm, &run.directory)?;
        if let Model::Clip(clip) = model {
            clip.confine(params);
        }
        if step == first {
            let headless = batch.pairs.is_some();
            untouched(params, &gradients, headless).into_iter().for_each(|sentence| watch.note(&sentence));
        }
        let items = if batch.shows() { batch.rows } else { batch.ids.len() };
        let items_per_s = items as f64 / begin.elapsed().as_secs_f64();

        run.position.step = step + 1;
        let stop = watch.stop();
        let due = |every: u64| is_due(step + 1, every, o.steps);
        let evaluated = if due(o.eval_every) { run.evaluate(watch) } else { Ok(Validation::default()) };
        run.position.seconds += begin.elapsed().as_secs_f64();
        let Position { step, seconds, .. } = run.position;
        let validation = *evaluated.as_ref().unwrap_or(&Validation::default());
        let metric = Metric { step, loss, validation, lr, grad_norm: norm, items_per_s, seconds };
        run.metrics.write(&metric)?;
        if let Err(error) = evaluated {
            return Err(without_data(run, Some(&batch), error, watch)?);
        }
        watch.progress(&metric);
        run.advice.look(&metric).iter().for_each(|sentence| watch.note(sentence));
        if due(o.save_every) || stop {
            run.save_if_good(validation.loss, &batch, norm)?;
        }
        if validation.loss.is_some() || stop {
            run.draw()?;
        }
        if stop {
            break;
        }
    }
    run.name_broken(watch)?;
    if !run.broken.is_empty() {
        let n = run.broken.len();
        watch.note(&format!("broken pictures that were passed over, others being taken in their place: {n}"));
    }
    run.outcome()
}

/// Whether what is done after every so many steps, and after the last of all, is done after this one.
fn is_due(step: u64, every: u64, steps: u64) -> bool {
    step.is_multiple_of(every) || step == steps
}

/// Evaluates after the last step that was made, if that was due and could not be done, for pictures were broken.
fn catch_up(run: &mut Run, watch: &mut dyn Watch) -> Result<()> {
    let (step, o) = (run.position.step, &run.setup.options);
    let due = step > 0 && is_due(step, o.eval_every, o.steps);
    let path = run.directory.join(METRICS);
    let Some(metric) = read_metrics(&path)?.pop().filter(|of| due && of.step == step && of.validation.loss.is_none())
    else {
        return Ok(());
    };
    let validation = run.evaluate(watch)?;
    run.metrics = MetricsWriter::replace(&path, &Metric { validation, ..metric })?;
    run.save()?;
    run.draw()
}

/// Ends a run that gets no batch or no evaluation. Between two steps nothing is half done, and `last` is the batch of the last.
fn without_data(run: &mut Run, last: Option<&Batch>, error: Error, watch: &mut dyn Watch) -> Result<Error> {
    run.name_broken(watch)?;
    if let Some(batch) = last {
        run.save_if_good(None, batch, 0.0)?;
        run.draw()?;
    }
    let directory = files::quoted(&run.directory.to_string_lossy());
    Ok(Error::Training(format!("{error}; nothing is lost: then go on with --resume {directory}")))
}

/// Parameters whose gradient is all zero: they do not take part in what is computed, and a user should know. The head that
/// finds hidden tokens takes no part where none is hidden.
fn untouched(params: &Params, gradients: &Gradients, headless: bool) -> Vec<String> {
    let of_head = |id| headless && HEADS.iter().any(|head| params.name(id).starts_with(head));
    let zero = |id: &autograd::ParamId| !of_head(*id) && gradients.of(*id).iter().all(|&g| g == 0.0);
    let sentence = |id| format!("{} got no gradient in the first step", params.name(id));
    if params.ids().filter(|&id| !of_head(id)).all(|id| zero(&id)) {
        return vec!["the first step had nothing to tell apart, and no parameter got a gradient".to_owned()];
    }
    params.ids().filter(zero).map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bert::config::Form;
    use crate::bert::{Bert, BertConfig};

    #[test]
    fn a_parameter_without_a_gradient_is_named_but_a_head_that_nothing_asks() {
        let (_, params) = Bert::init(&BertConfig::new(Form::PreNorm, 300, 8, 1, 2, 16), 1);
        let mut gradients = Gradients::new(&params);
        let nothing = untouched(&params, &gradients, false);
        assert!(nothing.len() == 1 && nothing[0].contains("nothing to tell apart"), "{nothing:?}");
        params.ids().for_each(|id| gradients.of_mut(id)[0] = 1.0);
        assert!(untouched(&params, &gradients, false).is_empty());
        let is_head = |id: &autograd::ParamId| HEADS.iter().any(|head| params.name(*id).starts_with(head));
        let [head, body] = [true, false].map(|head| params.ids().find(|id| is_head(id) == head).unwrap());
        [head, body].iter().for_each(|id| gradients.of_mut(*id).fill(0.0));
        let named = |headless| untouched(&params, &gradients, headless);
        assert!(named(false).len() == 2 && named(true).len() == 1, "{:?}", named(false));
        assert!(named(true)[0].starts_with(params.name(body)), "{:?}", named(true));
    }
}
