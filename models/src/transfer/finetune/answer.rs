//! Answering: the passage of a text that answers a question.
//!
//! A model reads a window, the question and a part of the text ([`windows`](super::windows)), and gives each token of that part
//! two scores: that the answer begins there, and that it ends there (Devlin et al. 2019, section 4.2). With the scores sᵢ and eⱼ
//! of a window's tokens,
//!
//! ```text
//! p(begins at i) = exp sᵢ / (exp s₀ + Σ exp sₖ)        and likewise for the end;
//! ```
//!
//! place 0, the first of all tokens, stands for "not in this window". The passage i…j of the largest p(begins at i)·p(ends
//! at j), of 64 tokens at most, over all windows, is the answer: a window that holds none says so, and what is left for its
//! passages is little. (To a GPT, which reads from left to right, place 0 is the same in every window, as in the heads that
//! `transformers` has for it: there a window can only say so by low scores of all its tokens.)

use std::ops::Range;
use std::path::Path;

use autograd::{Params, Tape};
use tensor::{Tensor, parallel, rows};
use tokenizer::Tokenizer;

use super::super::score::{answer_f1, exact_match};
use super::tuned::{Kind, Learned, Reading, Tuned};
use super::windows::{Asked, LONGEST, Window, check_room};
use super::{Fitted, Recipe, Task, Watch, fit, layerwise};
use crate::Model;
use crate::data::labelled::squad::Question;
use crate::error::Result;
use crate::hub::pretrained::Pretrained;
use crate::model::texts::portions;
use crate::nn::Value;
use crate::pretext::texts::Packed;

/// Steps of fine-tuning at least: to find where an answer begins takes longer to learn than a label.
pub const LEAST_STEPS: u64 = 600;
/// A score that no token has: what stands outside of a window.
const NEVER: f32 = -1e9;

/// A model that finds answers.
#[derive(Clone, Debug)]
pub struct Answerer {
    /// The model and its last layer, with one output for the begin of an answer and one for its end.
    pub tuned: Tuned,
}

/// The names of the two outputs.
pub const OUTPUTS: [&str; 2] = ["start", "end"];

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Found {
    /// Its words, as they stand in the text.
    pub text: String,
    /// Its first byte in the text.
    pub start: usize,
    /// The first byte beyond.
    pub end: usize,
    /// p(begins there)·p(ends there).
    pub score: f32,
}

/// How good answers are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// The share that is equal to one of the right answers, but for case, punctuation and articles.
    pub exact_match: f64,
    /// The mean overlap of their words with the right answers'.
    pub f1: f64,
}

impl Learned for Answerer {
    fn tuned(&self) -> &Tuned {
        &self.tuned
    }
}

impl Answerer {
    /// Opens what [`Tuned::save`] wrote, with its tokenizer.
    ///
    /// Errors: those of [`Tuned::open`], and a model that sees fewer tokens than a window has.
    pub fn open(directory: &Path) -> Result<(Self, Tokenizer)> {
        let (tuned, tokenizer, _) = Tuned::open(directory, Kind::Answer)?;
        check_room(directory, &tuned.model)?;
        Ok((Self { tuned }, tokenizer))
    }

    /// Scores of the places of n windows where an answer may begin, and end: two of `[n, W]` for the longest window's W
    /// places; where a window has fewer, the rest have [`NEVER`].
    fn scores<'t>(&self, tape: &'t Tape<'t>, windows: &[&Window], dropout: f64) -> [Value<'t>; 2] {
        let model = &self.tuned.model;
        let mut packed = Packed::new(windows.iter().map(|window| &window.ids[..]), model.block_size());
        if matches!(model, Model::Bert(bert) if bert.config.type_vocab_size > 1) {
            packed = packed.with_segments(windows.iter().map(|window| &window.segments[..]));
        }
        let scores = self.tuned.head.out.forward(packed.hidden(model, tape).dropout(dropout)); // [N, 2]
        let most = 1 + windows.iter().map(|window| window.bytes.len()).max().unwrap_or(0);
        let mut positions = Vec::with_capacity(windows.len() * most);
        let mut outside = Tensor::zeros([windows.len(), most]);
        for ((window, at), outside) in windows.iter().zip(&packed.texts).zip(outside.data_mut().chunks_exact_mut(most))
        {
            let here = window.bytes.len();
            positions.push(at.start as u32);
            positions.extend((0..here).map(|i| (at.start + window.first + i) as u32));
            positions.resize(positions.len() + most - 1 - here, at.start as u32);
            outside[1 + here..].fill(NEVER);
        }
        let outside = tape.constant(outside);
        [0..1, 1..2].map(|column| {
            let chosen = scores.columns(column).embedding(&positions, [positions.len()]); // [n·W, 1]
            chosen.reshape([windows.len(), most]) + outside
        })
    }

    /// The answer that each window suggests: its tokens by their places in the window from 0 on, and its score; none for a
    /// window without text.
    fn best(&self, params: &Params, windows: &[&Window]) -> Vec<Option<(Range<usize>, f32)>> {
        let tape = Tape::no_grad(params);
        let [mut starts, mut ends] = self.scores(&tape, windows, 0.0).map(Value::value);
        let most = starts.shape().cols();
        let rows_of = starts.data_mut().chunks_exact_mut(most).zip(ends.data_mut().chunks_exact_mut(most));
        let of_window = |(window, (start, end)): (&&Window, (&mut [f32], &mut [f32]))| {
            rows::softmax(start);
            rows::softmax(end);
            let (start, end) = (&start[1..=window.bytes.len()], &end[1..=window.bytes.len()]);
            let n = window.bytes.len();
            let pairs = (0..n).flat_map(|i| (i..n.min(i + LONGEST)).map(move |j| (i, j)));
            let scored = pairs.map(|(i, j)| (i..j + 1, start[i] * end[j]));
            scored.reduce(|best, other| if other.1 > best.1 { other } else { best })
        };
        windows.iter().zip(rows_of).map(of_window).collect()
    }

    /// The answer to each question with these parameters.
    pub fn answers(&self, params: &Params, asked: &Asked) -> Vec<Found> {
        let mut found = vec![Found::default(); asked.questions.len()];
        let some = |windows: &[(usize, Window)]| {
            let windows: Vec<&Window> = windows.iter().map(|(_, window)| window).collect();
            self.best(params, &windows)
        };
        let best: Vec<_> =
            parallel::inside(|| portions(&asked.windows, |(_, window)| window.ids.len()).flat_map(some).collect());
        for ((question, window), best) in asked.windows.iter().zip(best) {
            let Some((tokens, score)) = best else { continue };
            let so_far = &found[*question];
            if score > so_far.score || so_far.text.is_empty() {
                let bytes = window.bytes[tokens.start].start..window.bytes[tokens.end - 1].end;
                found[*question] = passage(&asked.questions[*question].context, bytes, score);
            }
        }
        found
    }

    /// The answer to one question about a text, and whether the question was cut, being too long to be taken whole.
    pub fn answer(&self, tokenizer: &Tokenizer, question: &str, text: &str) -> (Found, bool) {
        let question =
            Question { id: String::new(), question: question.to_owned(), context: text.into(), answers: Vec::new() };
        let asked = Asked::new(tokenizer, self.tuned.model.block_size(), vec![question]);
        (self.answers(&self.tuned.params, &asked).swap_remove(0), asked.cut.count > 0)
    }

    /// How good its answers are with these parameters.
    pub fn scores_on(&self, params: &Params, on: &Asked) -> Scores {
        let found = self.answers(params, on);
        let mean = |score: fn(&str, &[&str]) -> f64| {
            let each = found.iter().zip(&on.questions).map(|(found, question)| {
                let right: Vec<&str> = question.answers.iter().map(|answer| &answer.text[..]).collect();
                score(&found.text, &right)
            });
            each.sum::<f64>() / on.questions.len().max(1) as f64
        };
        Scores {
            exact_match: mean(|found, right| exact_match(found, right)),
            f1: mean(|found, right| answer_f1(found, right)),
        }
    }
}

/// Some bytes of a text, without the spaces at their ends and with all of the characters that they touch.
fn passage(text: &str, bytes: Range<usize>, score: f32) -> Found {
    let between = |at: &usize| text.is_char_boundary(*at);
    let start = (0..=bytes.start).rev().find(between).unwrap_or(0);
    let end = (bytes.end..text.len()).find(between).unwrap_or(text.len());
    let whole = &text[start..end];
    let start = start + whole.len() - whole.trim_start().len();
    let said = whole.trim();
    Found { text: said.to_owned(), start, end: start + said.len(), score }
}

/// Fine-tunes what was pre-trained on questions. The best weights by the F1 on `val` are kept, if there are any.
///
/// Errors: those of [`fit`].
pub fn finetune(
    from: &Pretrained,
    [train, val]: [&Asked; 2],
    recipe: &Recipe,
    watch: impl Watch,
) -> Result<(Answerer, Fitted)> {
    let mut answerer = Answerer { tuned: Tuned::new(from, Kind::Answer, OUTPUTS.len(), Reading::Token, recipe) };
    let mut params = answerer.tuned.params.clone();
    let pace = layerwise(&answerer.tuned.model, recipe.layer_decay);
    let task = Learning { answerer: &answerer, windows: &learned_from(train), dropout: recipe.dropout };
    let score = |params: &Params| (!val.is_empty()).then(|| answerer.scores_on(params, val).f1);
    let fitted = fit(&task, &mut params, recipe, pace, score, watch)?;
    answerer.tuned.params = params;
    Ok((answerer, fitted))
}

/// The windows of questions whose answer has a place, each with the places of its begin and end.
fn learned_from(asked: &Asked) -> Vec<(&Window, [u32; 2])> {
    let learned = asked.windows.iter().filter_map(|(question, window)| {
        let passage = asked.questions[*question].learned()?;
        Some((window, window.places(&passage)))
    });
    learned.collect()
}

struct Learning<'a> {
    answerer: &'a Answerer,
    windows: &'a [(&'a Window, [u32; 2])],
    dropout: f64,
}

impl Task for Learning<'_> {
    fn examples(&self) -> usize {
        self.windows.len()
    }

    fn tuned(&self) -> Option<&Tuned> {
        Some(&self.answerer.tuned)
    }

    fn loss<'t>(&self, tape: &'t Tape<'t>, examples: &[usize], divisor: f64) -> Value<'t> {
        let windows: Vec<&Window> = examples.iter().map(|&i| self.windows[i].0).collect();
        let [starts, ends] = self.answerer.scores(tape, &windows, self.dropout);
        let [first, last] = [0, 1].map(|k| examples.iter().map(|&i| self.windows[i].1[k]).collect::<Vec<u32>>());
        // The mean of the two, each −ln p of its place.
        starts.cross_entropy(&first, 2.0 * divisor) + ends.cross_entropy(&last, 2.0 * divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::windows::tests::{TEXT, tokenizer};
    use super::super::windows::windows;
    use super::*;
    use crate::bert::config::Form;
    use crate::bert::{Bert, BertConfig};
    use crate::data::labelled::squad::Answer;

    #[test]
    fn a_passage_is_found_again_from_its_places() {
        let tokenizer = tokenizer();
        for wanted in ["naïve café", "“quoted”", "A", "text.", "words"] {
            let start = TEXT.rfind(wanted).unwrap();
            let mut seen = 0;
            for window in windows(&tokenizer, 40, "Where?", TEXT).0 {
                let [first, last] = window.places(&(start..start + wanted.len())).map(|place| place as usize);
                if first > 0 {
                    let bytes = window.bytes[first - 1].start..window.bytes[last - 1].end;
                    let found = passage(TEXT, bytes, 1.0);
                    assert!(found.text.contains(wanted), "{wanted}: {found:?}");
                    assert_eq!(&TEXT[found.start..found.end], found.text);
                    seen += 1;
                }
            }
            assert!(seen > 0, "{wanted}");
        }
    }

    #[test]
    fn a_model_of_two_segments_is_told_which_is_the_question() {
        let tokenizer = tokenizer();
        let config = BertConfig::new(Form::PostNorm, tokenizer.vocab_size(), 64, 1, 2, 32);
        let (model, params) = Bert::init(&config, 1);
        let from = Pretrained { model: Model::Bert(model), params, tokenizer };
        let mut answerer =
            Answerer { tuned: Tuned::new(&from, Kind::Answer, OUTPUTS.len(), Reading::Token, &Recipe::default()) };
        let window = &windows(&from.tokenizer, 64, "Where is it?", TEXT).0[0];
        let scores = |of: &Answerer| {
            let tape = Tape::no_grad(&of.tuned.params);
            of.scores(&tape, &[window], 0.0)[0].value().data().to_vec()
        };
        let before = scores(&answerer);
        let params = &mut answerer.tuned.params;
        let table = params.ids().find(|&id| params.name(id).ends_with("token_type_embeddings.weight")).unwrap();
        let second = &mut params.value_mut(table)[32..];
        second.iter_mut().enumerate().for_each(|(i, x)| *x += i as f32);
        assert_ne!(scores(&answerer), before);
    }

    #[test]
    fn an_answerer_learns_its_questions_and_windows_without_the_answer_stay_silent() {
        let tokenizer = tokenizer();
        let config = BertConfig {
            initializer_range: 0.1,
            ..BertConfig::new(Form::PreNorm, tokenizer.vocab_size(), 32, 1, 2, 32)
        };
        let (model, params) = Bert::init(&config, 1);
        let from = Pretrained { model: Model::Bert(model), params, tokenizer };
        let question = |asked: &str, text: &str| {
            let answers = vec![Answer { text: text.to_owned(), start: TEXT.find(text) }];
            Question { id: asked.to_owned(), question: asked.to_owned(), context: TEXT.into(), answers }
        };
        let asked =
            Asked::new(&from.tokenizer, 32, vec![question("What?", "café"), question("Where?", "in the middle")]);
        assert!(asked.windows.len() > 2, "{}", asked.windows.len());
        let recipe = Recipe { lr: 1e-2, dropout: 0.0, ..Recipe::default() };
        let (answerer, fitted) = finetune(&from, [&asked, &Asked::default()], &recipe, |_, _, _| {}).unwrap();
        assert!(fitted.loss.is_some_and(|loss| loss < 0.1), "{fitted:?}");
        let scores = answerer.scores_on(&answerer.tuned.params, &asked);
        assert_eq!(scores, Scores { exact_match: 1.0, f1: 1.0 });
        let (found, cut) = answerer.answer(&from.tokenizer, "Where?", TEXT);
        assert!(!cut && answerer.answer(&from.tokenizer, &"Where? ".repeat(20), TEXT).1);
        assert_eq!((&found.text[..], found.start), ("in the middle", TEXT.find("in the middle").unwrap()));
        assert!(found.score > 0.8, "{found:?}");
    }
}
