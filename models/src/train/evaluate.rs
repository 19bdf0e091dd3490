//! The loss on the validation part: how good the model is on text that it did not train on.

use autograd::{Params, Tape};

use crate::data::Corpus;
use crate::gpt::Gpt;

/// Nats a token over validation rows of `block` positions, `micro_batch` rows at a time: all of them, or about
/// `limit` tokens in rows spread evenly over the whole.
pub fn evaluate(
    model: &Gpt,
    params: &Params,
    corpus: &Corpus,
    block: usize,
    micro_batch: usize,
    limit: Option<usize>,
) -> f64 {
    let rows = corpus.val_rows(block);
    let wanted = limit.map_or(rows, |tokens| tokens.div_ceil(block).clamp(1, rows));
    let chosen: Vec<usize> = (0..wanted).map(|i| i * rows / wanted).collect();
    let (mut nats, mut count) = (0.0, 0);
    for rows in chosen.chunks(micro_batch.max(1)) {
        let batch = corpus.val_batch(rows.iter().copied(), block);
        let loss = || model.loss(&Tape::no_grad(params), batch.all(), 1.0).item(); // summed, not averaged
        nats += f64::from(tensor::parallel::inside(loss));
        count += batch.count();
    }
    nats / count as f64
}
