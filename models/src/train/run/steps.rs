//! The loop: batch, loss, gradients, step.

use std::time::Instant;

use autograd::{Gradients, Params};

use super::super::setup::Setup;
use super::super::step::{Compute, loss_and_gradients, timed};
use super::super::watch::Watch;
use super::record::{Made, check, patiently};
use super::{Outcome, Run};
use crate::Model;
use crate::bert::model::HEADS;
use crate::error::Result;
use crate::pretext::Batch;

/// Trains until the run's last step, or until `watch` says stop.
pub fn train(run: &mut Run, watch: &mut dyn Watch) -> Result<Outcome> {
    watch.plan(&run.setup.plan(run.position.step));
    let o = run.setup.options.clone();
    let (mut gradients, mut batch) = (Gradients::new(&run.setup.params), Batch::new());
    let first = run.position.step;
    if first == o.steps {
        // The run may have been killed between its last state and what is made from it.
        patiently(watch, || run.setup.save_model(&run.directory))?;
        run.draw(watch)?;
    }
    if let Err(error) = run.catch_up(watch) {
        return Err(run.without_data(None, error, watch)?);
    }
    for step in first..o.steps {
        if step == first && watch.stop() {
            break; // nothing is made yet; later who is told to end saves first, which `record` does
        }
        let begin = Instant::now();
        let profile = run.profile.as_ref();
        // Keyed by (seed, step): nothing to replay.
        if let Err(error) = timed(profile, "Batch", || run.setup.fill(&mut batch, step)) {
            return Err(run.without_data((step > first).then_some(&batch), error, watch)?);
        }
        let Setup { model, params, .. } = &mut run.setup;
        let how = Compute { profile, ..o.compute() };
        let loss = loss_and_gradients(model, params, &mut gradients, &batch, how, o.seed, step);
        let [lr, muon_lr] = o.rates(step);
        // The gradient's norm as it was; where that is no number, there is no step.
        let grad_norm = timed(profile, "Optimiser", || run.optimizer.step(params, &gradients, lr, muon_lr));
        check(step + 1, loss, grad_norm, &run.directory)?;
        if let Model::Clip(clip) = model {
            clip.confine(params);
        }
        if step == first {
            let head_unused = batch.pairs.is_some();
            untouched(params, &gradients, head_unused).into_iter().for_each(|sentence| watch.note(&sentence));
        }
        if run.record(Made { loss, lr, grad_norm, begin }, &batch, watch)? {
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

/// Parameters whose gradient is all zero: they do not take part in what is computed, and a user should know. The head that
/// finds hidden tokens takes no part where none is hidden.
fn untouched(params: &Params, gradients: &Gradients, head_unused: bool) -> Vec<String> {
    let of_head = |id| head_unused && HEADS.iter().any(|head| params.name(id).starts_with(head));
    let zero = |id: &autograd::ParamId| !of_head(*id) && gradients.of(*id).iter().all(|&g| g == 0.0);
    let sentence = |id| format!("{} got no gradient in the first step: the loss did not depend on it", params.name(id));
    if params.ids().filter(|&id| !of_head(id)).all(|id| zero(&id)) {
        let what = "the first step had nothing to tell apart, and no parameter got a gradient: give a larger --batch-size, or \
                    data that says more than one thing";
        return vec![what.to_owned()];
    }
    params.ids().filter(zero).map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use toml::Table;

    use super::super::super::checkpoint;
    use super::super::super::metrics::{Metric, read_metrics};
    use super::super::METRICS;
    use super::*;
    use crate::bert::config::Form;
    use crate::bert::{Bert, BertConfig};
    use crate::files::LONGEST_UNSAVED;

    /// Says stop from the question of this number on.
    struct Patience(Cell<usize>);

    impl Watch for Patience {
        fn stop(&self) -> bool {
            self.0.set(self.0.get().saturating_sub(1));
            self.0.get() == 0
        }
    }

    /// A run of a very small GPT on bytes.
    fn flags(more: &str) -> Table {
        let sizes = "layers = 1\nheads = 1\nwidth = 8\nblock_size = 64\nbatch_size = 64\nvocab_size = 256";
        format!("model = \"gpt\"\noptimizer = \"adamw\"\n{sizes}\n{more}").parse().unwrap()
    }

    #[test]
    fn a_run_that_is_told_to_end_anywhere_also_in_an_evaluation_ends_as_one_that_was_not_when_it_goes_on() {
        let flags = flags("steps = 3\neval_every = 1\neval_tokens = 8192\nsave_every = 9");
        let here = tempfile::tempdir().unwrap();
        let begin = |out: &Path| Run::create(Some(out), &Table::new(), &flags, &mut ()).unwrap();
        let kept = |out: &Path| {
            let files =
                ["model.safetensors", "best/model.safetensors"].map(|name| std::fs::read(out.join(name)).unwrap());
            let metrics = read_metrics(&out.join(METRICS)).unwrap();
            let told = |of: Metric| (of.step, of.loss, of.validation.loss, of.validation.loss_as_before);
            (files, metrics.into_iter().map(told).collect::<Vec<_>>())
        };
        let whole = here.path().join("whole");
        let outcome = train(&mut begin(&whole), &mut ()).unwrap();
        let bits = outcome.val_loss.unwrap() / 2f64.ln(); // a token is a byte here
        assert!(outcome.finished && (outcome.bits_per_byte.unwrap() - bits).abs() < 1e-12, "{outcome:?}");
        let mut stopped = 0;
        // At every question: before the first step, in each evaluation, behind each step.
        for questions in 1.. {
            let out = here.path().join(questions.to_string());
            let outcome = train(&mut begin(&out), &mut Patience(Cell::new(questions))).unwrap();
            if outcome.finished {
                assert!(questions > 9, "asked {questions} times only");
                break;
            }
            assert!(outcome.val_loss.is_none(), "{questions}: {outcome:?}");
            stopped += usize::from(outcome.step == 3);
            let mut run = Run::resume(&out, &Table::new(), &mut ()).unwrap();
            assert_eq!(run.position.step, outcome.step, "{questions}: what was made is lost");
            let outcome = train(&mut run, &mut ()).unwrap();
            assert!(outcome.finished && kept(&out) == kept(&whole), "{questions}");
        }
        assert!(stopped > 0, "none was stopped in its last evaluation");
    }

    /// What the checkpoint in a directory is of, each time that a step is told of.
    struct Looks<'a>(&'a Path, Vec<Option<u64>>);

    impl Watch for Looks<'_> {
        fn progress(&mut self, _: &Metric) {
            self.1.push(checkpoint::position(self.0).ok().map(|position| position.step));
        }
    }

    #[test]
    fn what_was_trained_for_long_is_saved_however_few_steps_it_is() {
        let here = tempfile::tempdir().unwrap();
        let mut run =
            Run::create(Some(here.path()), &Table::new(), &flags("steps = 4\nsave_every = 9"), &mut ()).unwrap();
        run.saved = -2.0 * LONGEST_UNSAVED.as_secs_f64(); // so long ago
        let mut looks = Looks(here.path(), Vec::new());
        train(&mut run, &mut looks).unwrap();
        // It is told of a step before the checkpoint behind it: the first is saved, and the last.
        assert_eq!(looks.1, [None, Some(1), Some(1), Some(1)]);
        assert_eq!(checkpoint::position(here.path()).unwrap().step, 4);
    }

    #[test]
    fn a_step_of_pictures_and_texts_leaves_the_temperature_within_its_bound() {
        let flags: Table = "model = \"clip\"\nlayers = 1\nheads = 2\nwidth = 16\nbatch_size = 4\nvocab_size = 300\n\
                            block_size = 40\nsteps = 1\nlr = 1e-3\nclip.image_size = 16\nclip.patch_size = 8\n\
                            clip.vision_layers = 1\nclip.vision_heads = 2\nclip.vision_width = 16\nclip.embed_dim = 8"
            .parse()
            .unwrap();
        let here = tempfile::tempdir().unwrap();
        let mut run = Run::create(Some(&here.path().join("run")), &Table::new(), &flags, &mut ()).unwrap();
        let params = &mut run.setup.params;
        let scale = params.ids().find(|&id| params.name(id) == "logit_scale").unwrap();
        params.value_mut(scale)[0] = 9.0; // e⁹ is 8,103
        train(&mut run, &mut ()).unwrap();
        let Model::Clip(clip) = &run.setup.model else { unreachable!("it was asked for") };
        assert!((clip.scale(&run.setup.params) - 100.0).abs() < 1e-3, "{}", clip.scale(&run.setup.params));
    }

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
        let named = |head_unused| untouched(&params, &gradients, head_unused);
        assert!(named(false).len() == 2 && named(true).len() == 1, "{:?}", named(false));
        assert!(named(true)[0].starts_with(params.name(body)), "{:?}", named(true));
    }
}
