//! One step's loss and gradient: the whole batch as one sum, however it is cut to fit the memory.

use autograd::{DropoutKey, Gradients, Params, Profile, Tape};
use tensor::matmul::Precision;
use tensor::parallel;

use crate::gpt::Gpt;
use crate::pretext::Batch;

/// How a step is computed. What is computed does not depend on it, but for rounding.
#[derive(Clone, Copy, Debug)]
pub struct Compute<'a> {
    /// Rows at once.
    pub micro_batch: usize,
    /// What matrix products do with their operands.
    pub precision: Precision,
    /// Keep the blocks' results alone, and compute the rest again for the gradient: less memory, a third more work.
    pub recompute: bool,
    /// Where the operations' times go, if they are wanted.
    pub profile: Option<&'a Profile>,
}

/// The loss of a whole batch; its gradient replaces what stands in `gradients`. Each micro-batch's loss is its sum over
/// tokens divided by the tokens of the *whole* batch, so that sums of gradients are the gradient of the mean.
pub fn loss_and_gradients(
    model: &Gpt,
    params: &Params,
    gradients: &mut Gradients,
    batch: &Batch,
    how: Compute<'_>,
    seed: u64,
    step: u64,
) -> f64 {
    let tokens = batch.count().max(1) as f64;
    timed(how.profile, "Zeros", || gradients.zero());
    parallel::inside(|| {
        let mut total = 0.0;
        for first in (0..batch.rows).step_by(how.micro_batch) {
            let part = batch.part(first..(first + how.micro_batch).min(batch.rows));
            let key = DropoutKey { seed, step, first_row: first as u64 };
            let tape = Tape::new(params).with_precision(how.precision).with_recomputation(how.recompute);
            let tape = tape.with_dropout(key).with_profile(how.profile);
            how.profile.inspect(|profile| profile.begin());
            let loss = model.loss(&tape, part, tokens);
            loss.backward(gradients);
            total += f64::from(loss.item());
        }
        total
    })
}

/// Runs `body`, work outside the tape, and times it if that is wanted.
pub fn timed<R>(profile: Option<&Profile>, name: &'static str, body: impl FnOnce() -> R) -> R {
    match profile {
        Some(profile) => profile.time(name, body),
        None => body(),
    }
}

/// The loss of a whole batch, without dropout, `micro_batch` rows at a time.
pub fn loss(model: &Gpt, params: &Params, batch: &Batch, micro_batch: usize) -> f64 {
    let part = |first: usize| {
        let part = batch.part(first..(first + micro_batch).min(batch.rows));
        f64::from(model.loss(&Tape::no_grad(params), part, batch.count() as f64).item())
    };
    parallel::inside(|| (0..batch.rows).step_by(micro_batch).map(part).sum())
}
