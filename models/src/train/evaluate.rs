//! The loss on the validation part: how good the model is on text that it did not train on.

use autograd::{DropoutKey, Params, Tape};
use tensor::rows::argmax;

use super::cached;
use crate::Model;
use crate::clip::Clip;
use crate::data::{Corpus, VALIDATION};
use crate::error::Result;
use crate::nn::Value;
use crate::pretext::{Batch, Objective};

/// How good a model is on data that it did not train on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Nats a predicted token, or a text, or a pair.
    pub loss: f64,
    /// The share of hidden tokens, of second views, or of captions, whose likeliest guess is right; not measured for next-token
    /// prediction.
    pub accuracy: Option<f64>,
    /// The loss of one who guesses which caption of a batch is a picture's; not measured for tokens and texts.
    pub chance: Option<f64>,
    /// What differences of cosines are divided by, where that is learned.
    pub temperature: Option<f64>,
}

/// The loss over validation rows of `block` positions, `micro_batch` rows at a time: over all of them, or about `limit`
/// tokens in rows spread evenly over the whole. Where texts are told from one another, that happens among `batch` of them (or
/// all there are, if they are fewer), as in training, since among fewer it would be easier; what is left over is left out.
/// None if `stop`, which is asked before each batch, says so.
pub fn evaluate(
    model: &Model,
    params: &Params,
    (corpus, objective): (&Corpus, Objective),
    block: usize,
    [batch, micro_batch]: [usize; 2],
    limit: Option<usize>,
    stop: impl Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let at_once = if told_apart(objective) { batch } else { micro_batch }.max(1);
    let (mut nats, mut right, mut count, mut guess) = (0.0, 0, 0, 0.0);
    for rows in batches(&rows(corpus, objective, block, batch, limit), at_once, told_apart(objective)) {
        if stop() {
            return Ok(None);
        }
        let batch = corpus.val_batch(rows.into_iter(), objective, block)?;
        let (loss, correct) = tensor::parallel::inside(|| measure(model, params, &batch, micro_batch));
        (nats, right, count) = (nats + loss, right + correct, count + batch.count());
        if let Model::Clip(clip) = model {
            guess += batch.all().twins().chance(clip.config.sigmoid) * batch.rows as f64;
        }
    }
    let accuracy = (!matches!(objective, Objective::NextToken)).then(|| right as f64 / count as f64);
    let (chance, temperature) = match model {
        Model::Clip(clip) => (Some(guess / count as f64), Some(1.0 / clip.scale(params))),
        Model::Gpt(_) | Model::Bert(_) => (None, None),
    };
    Ok(Some(Evaluation { loss: nats / count as f64, accuracy, chance, temperature }))
}

/// Whether it is texts, or pairs, that are told from one another.
fn told_apart(objective: Objective) -> bool {
    matches!(objective, Objective::Contrastive(_) | Objective::ImageText)
}

/// The rows that an evaluation reads: all, or about `limit` tokens in rows spread evenly; whole batches of what is told apart.
pub(super) fn rows(
    corpus: &Corpus,
    objective: Objective,
    block: usize,
    batch: usize,
    limit: Option<usize>,
) -> Vec<usize> {
    let rows = corpus.val_rows(objective, block);
    let mut wanted = limit.map_or(rows, |tokens| tokens.div_ceil(block).clamp(1, rows));
    if told_apart(objective) {
        let batch = batch.max(1);
        wanted = (wanted / batch * batch).max(batch).min(rows);
    }
    (0..wanted).map(|i| i * rows / wanted).collect()
}

/// These rows, so many at once. What is told apart lies far apart as well: files often come sorted, and neighbours would be
/// harder to tell from one another than what a batch of training has.
fn batches(rows: &[usize], at_once: usize, far: bool) -> Vec<Vec<usize>> {
    let n = rows.len().div_ceil(at_once);
    let batch = |i: usize| match far {
        true => rows.iter().skip(i).step_by(n).copied().collect(),
        false => rows.iter().skip(i * at_once).take(at_once).copied().collect(),
    };
    (0..n).map(batch).collect()
}

/// The summed loss of a batch, and how many of its targets are guessed: hidden tokens, or second views. Only of these views
/// does dropout make two.
fn measure(model: &Model, params: &Params, batch: &Batch, micro_batch: usize) -> (f64, usize) {
    let tape = Tape::no_grad(params);
    if let Some(pairs) = &batch.pairs {
        let tape = tape.with_dropout(DropoutKey { seed: 0, step: VALIDATION, first_row: 0 });
        return guessed(pairs.scores(model.hidden(&tape, batch.all(), None)), &pairs.labels());
    }
    match model {
        Model::Gpt(_) => (f64::from(model.loss(&tape, batch.all(), 1.0).item()), 0),
        Model::Bert(bert) => {
            let (logits, targets) = bert.target_logits(&tape, batch.all());
            guessed(logits, &targets)
        }
        Model::Clip(clip) => found(clip, params, batch, micro_batch),
    }
}

/// The summed loss of a batch of pictures with captions, and how many pictures have their own caption (or one that says the
/// same) as the likeliest of all.
fn found(clip: &Clip, params: &Params, batch: &Batch, micro_batch: usize) -> (f64, usize) {
    let tape = Tape::no_grad(params);
    let vectors = cached::vectors(clip, batch, micro_batch, |_| Tape::no_grad(params));
    let [images, texts] = vectors.map(|vectors| tape.constant(vectors));
    let twins = batch.all().twins();
    let scores = clip.scores(images, texts).value();
    let right = |(i, scores): &(usize, &[f32])| {
        let best = argmax(scores);
        best == *i || twins.are(*i, best)
    };
    let right = scores.data().chunks_exact(batch.rows).enumerate().filter(right).count();
    (f64::from(clip.loss_of(images, texts, &twins, 1.0).item()), right)
}

/// Σ −ln p(target) of rows of scores, and how many targets have the largest.
fn guessed(logits: Value<'_>, targets: &[u32]) -> (f64, usize) {
    let scores = logits.value();
    let guesses = scores.data().chunks_exact(scores.shape().cols()).zip(targets);
    let right = guesses.filter(|(scores, target)| argmax(scores) == **target as usize).count();
    (f64::from(logits.cross_entropy(targets, 1.0).item()), right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::stories::Stories;
    use crate::data::world::World;

    #[test]
    fn what_is_told_apart_lies_far_apart_and_each_row_is_read_once() {
        let rows: Vec<usize> = (0..12).collect();
        assert_eq!(batches(&rows, 4, true), [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]);
        assert_eq!(batches(&rows, 5, false), [&rows[..5], &rows[5..10], &rows[10..]]);
        assert_eq!(batches(&rows, 16, true), [&rows[..]]);
    }

    #[test]
    fn some_rows_are_spread_over_all() {
        let bytes = Stories::train_tokenizer(256).unwrap();
        let corpus = Corpus::World(Box::new(Stories::new(World::new(1), bytes, 8)));
        let all = corpus.val_rows(Objective::NextToken, 8);
        assert!(all > 100, "{all}");
        let want: Vec<usize> = (0..10).map(|i| i * all / 10).collect();
        assert_eq!(rows(&corpus, Objective::NextToken, 8, 4, Some(80)), want);
        assert_eq!(rows(&corpus, Objective::NextToken, 8, 4, None), (0..all).collect::<Vec<_>>());
    }

    #[test]
    fn a_guess_is_right_where_the_target_has_the_largest_score() {
        let params = Params::default();
        let tape = Tape::no_grad(&params);
        let probabilities = [0.7, 0.2, 0.1, 0.1, 0.3, 0.6, 0.2, 0.5, 0.3f32];
        let scores = tensor::Tensor::of([3, 3], &probabilities.map(f32::ln));
        let (nats, right) = guessed(tape.constant(scores), &[0, 1, 1]);
        let want = -[0.7, 0.3, 0.5f64].iter().map(|p| p.ln()).sum::<f64>();
        assert!(right == 2 && (nats - want).abs() < 1e-6, "{right} {nats} {want}");
    }
}
