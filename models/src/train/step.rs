//! One step's loss and gradient: the whole batch as one sum, however it is cut to fit the memory and the cores.

use std::ops::Range;

use autograd::{DropoutKey, Gradients, Params, Profile, Tape};
use tensor::matmul::Precision;
use tensor::parallel;

use super::cached;
use crate::Model;
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

impl<'a> Compute<'a> {
    /// A new tape that computes so.
    pub(super) fn tape(&self, params: &'a Params, key: DropoutKey) -> Tape<'a> {
        self.profile.inspect(|profile| profile.begin());
        let tape = Tape::new(params).with_precision(self.precision).with_recomputation(self.recompute);
        tape.with_dropout(key).with_profile(self.profile)
    }
}

/// The loss of a whole batch; its gradient replaces what stands in `gradients`. Each micro-batch's loss is its sum over
/// tokens divided by the tokens of the *whole* batch, so that sums of gradients are the gradient of the mean. Texts that are
/// told from one another are no such sum: they are computed at once. Pictures with captions are none either, see [`cached`].
pub fn loss_and_gradients(
    model: &Model,
    params: &Params,
    gradients: &mut Gradients,
    batch: &Batch,
    how: Compute<'_>,
    seed: u64,
    step: u64,
) -> f64 {
    if let Model::Clip(clip) = model {
        return parallel::inside(|| cached::loss_and_gradients(clip, params, gradients, batch, how, [seed, step]));
    }
    let tokens = batch.count().max(1) as f64;
    let at_once = batch.at_once(how.micro_batch);
    let micro_batches = |rows: Range<usize>, at_once: usize, gradients: &mut Gradients| {
        let mut total = 0.0;
        for first in rows.clone().step_by(at_once) {
            let micro = batch.micro(first..(first + at_once).min(rows.end));
            let key = DropoutKey { seed, step, first_row: first as u64 };
            let tape = how.tape(params, key);
            let loss = model.loss(&tape, micro, tokens);
            loss.backward(gradients);
            total += f64::from(loss.item());
        }
        total
    };
    gradients.clear();
    if batch.pairs.is_some() || !in_halves(params.count(), batch.rows, at_once) {
        return parallel::inside(|| micro_batches(0..batch.rows, at_once, gradients));
    }
    // Each half has its own gradient, and its loops are still cut for all threads: one that is done helps the other.
    let (middle, at_once) = (batch.rows / 2, at_once / 2);
    let mut others = gradients.another();
    let first = || micro_batches(0..middle, at_once, gradients);
    let second = || micro_batches(middle..batch.rows, at_once, &mut others);
    let (a, b) = match how.profile {
        Some(_) => (parallel::inside(first), parallel::inside(second)), // times of one operation after the other
        None => parallel::both(first, second),
    };
    timed(how.profile, "Halves", || gradients.add(&others));
    a + b
}

/// Whether a step's batch is computed as two halves side by side: for models up to this size one after the other would
/// cost more, in threads that wait for each other at every operation, than a second buffer of gradients does. A rule of
/// sizes alone, since the sum's last bits depend on it.
pub fn in_halves(parameters: usize, rows: usize, micro_batch: usize) -> bool {
    parameters <= 1 << 24 && rows.min(micro_batch) >= 2
}

/// Runs `body`, work outside the tape, and times it if that is wanted.
pub fn timed<R>(profile: Option<&Profile>, name: &'static str, body: impl FnOnce() -> R) -> R {
    match profile {
        Some(profile) => profile.time(name, body),
        None => body(),
    }
}

/// The loss of a whole batch, without dropout, `micro_batch` rows at a time.
pub fn loss(model: &Model, params: &Params, batch: &Batch, micro_batch: usize) -> f64 {
    if let Model::Clip(clip) = model {
        return parallel::inside(|| cached::loss(clip, params, batch, micro_batch));
    }
    let at_once = batch.at_once(micro_batch);
    let part = |first: usize| {
        let micro = batch.micro(first..(first + at_once).min(batch.rows));
        f64::from(model.loss(&Tape::no_grad(params), micro, batch.count().max(1) as f64).item())
    };
    parallel::inside(|| (0..batch.rows).step_by(at_once).map(part).sum())
}
