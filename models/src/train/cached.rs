//! Gradient caching: a contrastive batch that is larger than what memory holds.
//!
//! In contrastive prediction of pictures and texts every pair is compared with all others, so the loss is no sum over parts of
//! the batch. But it depends on a part only through its vectors. With z for all vectors and zₚ for those of part p, which the
//! model computes with parameters θ, `dℓ/dθ = Σₚ (∂ℓ/∂zₚ)·(∂zₚ/∂θ)`. So, exactly (Gao et al. 2021, "Scaling Deep Contrastive
//! Learning Batch Size under Memory Limited Setup"):
//!
//! 1. the vectors of all parts, part by part, of which nothing else is kept;
//! 2. the loss of all vectors, and its gradient gₚ with respect to each part's;
//! 3. for each part its vectors once more, now with all that the way back needs, and the gradient of the number `Σ zₚ⊙gₚ`, in
//!    which gₚ is a constant.
//!
//! It costs the forward passes twice, as much memory as one part takes, and no accuracy.

use std::ops::Range;

use autograd::{DropoutKey, Gradients, Params, Tape};
use tensor::Tensor;

use super::step::Compute;
use crate::clip::Clip;
use crate::pretext::Batch;

/// The loss of a whole batch of pictures with captions, the mean over its pairs; its gradient replaces what stands in
/// `gradients`. A batch of one part is computed once.
pub fn loss_and_gradients(
    clip: &Clip,
    params: &Params,
    gradients: &mut Gradients,
    batch: &Batch,
    how: Compute<'_>,
    [seed, step]: [u64; 2],
) -> f64 {
    let at_once = how.micro_batch.min(batch.rows);
    let rows = batch.rows as f64;
    let key = |first: usize| DropoutKey { seed, step, first_row: first as u64 };
    gradients.clear();
    if at_once == batch.rows {
        let tape = how.tape(params, key(0));
        let loss = clip.loss(&tape, batch.all(), rows);
        loss.backward(gradients);
        return f64::from(loss.item());
    }
    let e = clip.config.projection_dim;
    let quick = |first| Tape::no_grad(params).with_precision(how.precision).with_dropout(key(first));
    let [images, texts] = vectors(clip, batch, at_once, quick); // z

    let tape = Tape::new(params).with_precision(how.precision);
    let (x, y) = (tape.variable(images), tape.variable(texts));
    let loss = clip.loss_of(x, y, &batch.all().twins(), rows);
    let g = loss.gradients_and(Some(&mut *gradients), &[x, y]); // dℓ/dz, and the temperature's gradient

    for part in parts(batch, at_once) {
        let tape = how.tape(params, key(part.start));
        let (x, y) = clip.vectors(&tape, batch.micro(part.clone()));
        let g = |i: usize| tape.constant(Tensor::of([part.len(), e], &g[i].data()[part.start * e..part.end * e]));
        (x * g(0) + y * g(1)).sum().backward(gradients);
    }
    f64::from(loss.item())
}

/// The same loss alone, without dropout.
pub fn loss(clip: &Clip, params: &Params, batch: &Batch, micro_batch: usize) -> f64 {
    let tape = Tape::no_grad(params);
    let [images, texts] = vectors(clip, batch, micro_batch, |_| Tape::no_grad(params)).map(|of| tape.constant(of));
    f64::from(clip.loss_of(images, texts, &batch.all().twins(), batch.rows as f64).item())
}

/// The vectors of a batch's pictures and captions, `[B, E]` each, at most `at_once` rows at a time, on a tape for each part's
/// first row.
pub(super) fn vectors<'p>(clip: &Clip, batch: &Batch, at_once: usize, tape: impl Fn(usize) -> Tape<'p>) -> [Tensor; 2] {
    let e = clip.config.projection_dim;
    let [mut images, mut texts] = [(); 2].map(|()| Tensor::scratch([batch.rows, e]));
    for part in parts(batch, at_once) {
        let tape = tape(part.start);
        let (x, y) = clip.vectors(&tape, batch.micro(part.clone()));
        images.data_mut()[part.start * e..part.end * e].copy_from_slice(x.value().data());
        texts.data_mut()[part.start * e..part.end * e].copy_from_slice(y.value().data());
    }
    [images, texts]
}

/// The rows of a batch in parts of at most `at_once`.
fn parts(batch: &Batch, at_once: usize) -> impl Iterator<Item = Range<usize>> {
    let rows = batch.rows;
    (0..rows).step_by(at_once).map(move |first| first..(first + at_once).min(rows))
}
