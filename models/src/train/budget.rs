//! A budget of minutes instead of a number of steps.

use std::time::Instant;

use autograd::Gradients;

use super::evaluate::evaluate;
use super::setup::Setup;
use super::step::loss_and_gradients;
use crate::error::Result;
use crate::pretext::Batch;

/// How many steps fit into `seconds` (at least one), and whether even one does; an evaluation follows each `eval_every(steps)`.
/// A few steps, an evaluation and a measurement of vectors are timed on a copy of the model, which is thrown away: so the run is
/// the same as with `--steps`.
pub(super) fn steps_in(seconds: f64, setup: &Setup, eval_every: impl Fn(u64) -> Result<u64>) -> Result<(u64, bool)> {
    /// At least so many steps, and this share of the budget: a machine that others use too is now fast and now slow.
    const LEAST_STEPS: usize = 8;
    const LEAST_SHARE: f64 = 0.005;
    /// And no more than this share, though steps be few: it is time that the run goes without.
    const MOST_SHARE: f64 = 0.2;
    /// The first steps fill the buffer pool, and tell nothing of the others.
    const WARM_UP: usize = 2;
    let o = &setup.options;
    let begin = Instant::now();
    let mut params = setup.params.clone();
    let (mut gradients, mut optimizer) = (Gradients::new(&params), setup.optimizer());
    let mut batch = Batch::new();
    let mut times = Vec::new();
    let spent = |share: f64| begin.elapsed().as_secs_f64() >= share * seconds; // of less than nothing, all
    while times.is_empty() || !spent(LEAST_SHARE) || times.len() < LEAST_STEPS && !spent(MOST_SHARE) {
        let (start, step) = (Instant::now(), times.len() as u64);
        setup.fill(&mut batch, step)?;
        loss_and_gradients(&setup.model, &params, &mut gradients, &batch, o.compute(), o.seed, step);
        optimizer.step(&mut params, &gradients, 0.0, 0.0);
        times.push(start.elapsed().as_secs_f64());
    }
    times.drain(..WARM_UP.min(times.len() - 1));
    let a_step = times.iter().sum::<f64>() / times.len() as f64;
    let start = Instant::now();
    let few = batch.at_once(o.micro_batch) * o.block_size;
    let sizes = [o.batch_size, o.micro_batch];
    evaluate(&setup.model, &params, (&setup.corpus, setup.validation()), o.block_size, sizes, Some(few), || false)?;
    let a_token = start.elapsed().as_secs_f64() / few as f64;
    let start = Instant::now();
    setup.representation()?;
    let vectors = start.elapsed().as_secs_f64();
    let positions = if o.clip.is_some() { o.block_size } else { 1 };
    let all = (setup.corpus.val_tokens() * positions as u64) as f64;
    let evaluation = a_token * all.min(o.eval_tokens as f64) + vectors;
    // The last evaluation reads the whole, too.
    let left = seconds - begin.elapsed().as_secs_f64() - a_token * all;
    let fit = |steps: u64| {
        let evaluations = steps.div_ceil(eval_every(steps)?);
        Ok(steps as f64 * a_step + evaluations as f64 * evaluation <= left)
    };
    Ok((most(((left / a_step) as u64).max(1), fit)?, fit(1)?))
}

/// The most steps that fit, of so many at most; at least one.
fn most(bound: u64, fit: impl Fn(u64) -> Result<bool>) -> Result<u64> {
    let mut steps = 1..bound + 1;
    while steps.end - steps.start > 1 {
        let tried = u64::midpoint(steps.start, steps.end);
        match fit(tried)? {
            true => steps.start = tried,
            false => steps.end = tried,
        }
    }
    Ok(steps.start)
}

#[cfg(test)]
mod tests {
    use super::most;

    #[test]
    fn as_many_steps_as_fit_and_never_none() {
        let within = |seconds: u64, every: u64| most(100, |n| Ok(n + 3 * n.div_ceil(every) <= seconds)).unwrap();
        assert_eq!(within(100, 200), 97);
        assert_eq!(within(100, 10), 76); // 8 evaluations
        assert_eq!(within(100, 1), 25);
        assert_eq!(within(1000, 10), 100);
        assert_eq!(within(0, 10), 1);
    }
}
