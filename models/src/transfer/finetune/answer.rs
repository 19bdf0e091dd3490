//! Answering: the passage of a text that answers a question.
//!
//! A model reads `[CLS] question [SEP] text [SEP]`, the text as the second segment, and gives each token of the text two scores: that the answer begins
//! there, and that it ends there (Devlin et al. 2019, section 4.2). A text beyond the model's context is read through
//! windows that overlap by a quarter, each with the whole question before it. With the scores sᵢ and eⱼ of a window's tokens,
//!
//! ```text
//! p(begins at i) = exp sᵢ / (exp s₀ + Σ exp sₖ)        and likewise for the end;
//! ```
//!
//! place 0, the first of all tokens, stands for "not in this window". The passage i…j of the largest p(begins at i)·p(ends
//! at j) with i ≤ j, over all windows, is the answer: a window that holds none says so, and what is left for its passages is
//! little.

use std::ops::Range;
use std::path::Path;

use autograd::{Params, Tape};
use tensor::{Tensor, parallel, rows};
use tokenizer::{Slot, Template, Tokenizer};

use super::super::pretrained::{Packed, Pretrained, portions};
use super::super::score::{answer_f1, exact_match};
use super::tuned::{Kind, Reading, Tuned};
use super::{Fitted, Recipe, Task, Watch, fit, layerwise};
use crate::Model;
use crate::data::labelled::Tally;
use crate::data::labelled::squad::Question;
use crate::error::Result;
use crate::nn::Value;
use crate::pretext::texts;

/// Tokens of an answer, at most.
const LONGEST: usize = 64;
/// Steps of fine-tuning at least: to find where an answer begins takes longer to learn than a label.
pub const LEAST_STEPS: u64 = 600;
/// Positions that a model needs for a question and some text.
pub const SMALLEST: usize = 16;
/// A score that no token has: what stands outside of a window.
const NEVER: f32 = -1e9;

/// A question and what one look at a part of the text shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Both, in their frame.
    pub ids: Vec<u32>,
    /// The segment of each.
    segments: Vec<u32>,
    /// The position of the text's first token.
    first: usize,
    /// The bytes of the text that each of its tokens here stands for.
    pub bytes: Vec<Range<usize>>,
}

/// The windows of a question about a text, for a model of `block` positions: as few as overlap by a quarter. Of a question that
/// would fill more than half of them, the beginning is taken; says whether that was so.
///
/// Panics if `block` is below [`SMALLEST`].
pub fn windows(tokenizer: &Tokenizer, block: usize, question: &str, text: &str) -> (Vec<Window>, bool) {
    assert!(block >= SMALLEST, "windows: {block} positions are too few");
    let mut asked = Vec::new();
    tokenizer.encode_ordinary(question.trim().as_bytes(), &mut asked);
    let Template { pair, .. } = texts::template(tokenizer);
    let marks = pair.iter().filter(|slot| matches!(slot, Slot::Token(..))).count();
    let most = (block / 2).saturating_sub(marks).max(1);
    let cut = asked.len() > most;
    asked.truncate(most);
    let (tokens, bytes) = tokenizer.encode_places(text);
    let room = block.saturating_sub(marks + asked.len()).max(1);
    let mut windows = Vec::new();
    for start in (0..tokens.len().max(1)).step_by((room - room / 4).max(1)) {
        let of = start..(start + room).min(tokens.len());
        let both = Template::filled(&pair, &asked, &tokens[of.clone()]);
        let bytes = bytes[of.clone()].to_vec();
        windows.push(Window { ids: both.ids, segments: both.types, first: both.second, bytes });
        if of.end == tokens.len() {
            break;
        }
    }
    (windows, cut)
}

impl Window {
    /// The places of a passage's first and last token among those that can be chosen: 0 for a window that does not hold
    /// all of it, and from 1 on the tokens of the text.
    fn places(&self, passage: &Range<usize>) -> [u32; 2] {
        let holding = |byte: usize| self.bytes.iter().position(|bytes| bytes.contains(&byte));
        match (holding(passage.start), holding(passage.end.saturating_sub(1))) {
            (Some(start), Some(end)) => [start as u32 + 1, end as u32 + 1],
            _ => [0, 0],
        }
    }
}

/// Questions to learn from or to be judged by.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The questions.
    pub questions: Vec<Question>,
    /// The windows of all of them, and which question each is of.
    windows: Vec<(usize, Window)>,
    /// The questions that are too long to be taken whole.
    cut: Tally,
}

impl Asked {
    /// Questions as a model of `block` positions sees them.
    pub fn new(tokenizer: &Tokenizer, block: usize, questions: Vec<Question>) -> Self {
        let (mut all, mut questions_cut) = (Vec::new(), Tally::default());
        for (i, q) in questions.iter().enumerate() {
            let (windows, cut) = windows(tokenizer, block, &q.question, &q.context);
            all.extend(windows.into_iter().map(|window| (i, window)));
            if cut {
                questions_cut.add(|| format!("{:?}", q.id));
            }
        }
        Self { questions, windows: all, cut: questions_cut }
    }

    /// Adds what should be known about these questions, each a `question` of the file `path`.
    pub fn note(&self, question: &str, path: &Path, notes: &mut Vec<String>) {
        let one = format!("{question} fills more than half of what the model sees, and is cut there");
        let many = format!("{question}s fill more than half of what the model sees, and are cut there");
        self.cut.note(path, &one, &many, notes);
    }

    /// Adds what should be known about their answers, if these are `part` of a task.
    pub fn note_answers(&self, part: &str, path: &Path, notes: &mut Vec<String>) {
        let mut whole = vec![None; self.questions.len()]; // how many tokens an answer has where it stands whole
        for (i, window) in &self.windows {
            let places = self.questions[*i].learned().map(|passage| window.places(&passage));
            let tokens = places.map_or(Some(0), |[first, last]| (first > 0).then_some((last - first) as usize + 1));
            whole[*i] = whole[*i].or(tokens);
        }
        let (mut torn, mut long) = (Tally::default(), Tally::default());
        for (question, tokens) in self.questions.iter().zip(whole) {
            let of = || format!("that to {:?}", question.id);
            match tokens {
                None => torn.add(of),
                Some(tokens) if tokens > LONGEST => long.add(of),
                Some(_) => {}
            }
        }
        let [one, many] = ["answer is", "answers are"]
            .map(|are| format!("{part} {are} too long to stand whole in what the model sees at once"));
        torn.note(path, &one, &many, notes);
        let [one, many] = ["answer has", "answers have"]
            .map(|have| format!("{part} {have} more than the {LONGEST} tokens that are looked for"));
        long.note(path, &one, &many, notes);
    }

    /// How many questions there are.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }
}

/// A model that finds answers.
#[derive(Clone, Debug)]
pub struct Answerer {
    /// The model and its last layer, with one output for the begin of an answer and one for its end.
    pub tuned: Tuned,
}

/// The names of the two outputs.
const OUTPUTS: [&str; 2] = ["start", "end"];

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

impl Answerer {
    /// Opens what [`Self::save`] wrote, with its tokenizer.
    ///
    /// Errors: those of [`Tuned::open`].
    pub fn open(directory: &Path) -> Result<(Self, Tokenizer)> {
        let (tuned, tokenizer, _) = Tuned::open(directory, Kind::Answer)?;
        Ok((Self { tuned }, tokenizer))
    }

    /// Writes it into a directory that holds no model yet.
    pub fn save(&self, directory: &Path, tokenizer: &Tokenizer) -> Result<()> {
        self.tuned.save(directory, Kind::Answer, tokenizer, &OUTPUTS.map(str::to_owned))
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
    use super::*;
    use crate::Model;
    use crate::bert::config::Form;
    use crate::bert::{Bert, BertConfig};
    use crate::data::labelled::squad::Answer;

    fn tokenizer() -> Tokenizer {
        let text = "Where is the ball now? It is in the middle. A naïve café — “quoted” words, and more words.";
        Tokenizer::train(&[text.repeat(3).as_bytes()], 300).unwrap().framed()
    }

    const TEXT: &str = "A naïve café has words — “quoted” words, and more words in the middle of the text.";

    #[test]
    fn windows_hold_the_whole_text_and_overlap() {
        let tokenizer = tokenizer();
        let frame = tokenizer.frame().unwrap();
        for block in [24, 32, 200] {
            let (all, cut) = windows(&tokenizer, block, " Where is the ball? ", TEXT);
            assert!(!cut);
            let mut covered = 0;
            for (i, window) in all.iter().enumerate() {
                assert!(window.ids.len() <= block);
                assert_eq!((window.ids[0], window.ids[window.first - 1]), (frame.cls, frame.sep));
                assert_eq!(window.ids.len(), window.first + window.bytes.len() + 1);
                for (id, bytes) in window.ids[window.first..].iter().zip(&window.bytes) {
                    assert_eq!(tokenizer.token(*id).unwrap(), &TEXT.as_bytes()[bytes.clone()]);
                }
                let Range { start, end } = window.bytes[0].start..window.bytes.last().unwrap().end;
                assert!(start <= covered && end > covered, "window {i} of {block}");
                covered = end;
            }
            assert_eq!(covered, TEXT.len());
            assert_eq!(all.len() == 1, block == 200);
        }
        let (long, cut) = windows(&tokenizer, SMALLEST, &"Where is it? ".repeat(30), TEXT);
        assert!(cut && long.iter().all(|window| window.ids.len() <= SMALLEST && !window.bytes.is_empty()));
        assert!(windows(&tokenizer, 24, "Where?", "").0[0].bytes.is_empty());
    }

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
    fn answers_that_cannot_be_found_are_told() {
        let tokenizer = Tokenizer::bytes();
        let context = format!("{} {}", "x".repeat(80), "y".repeat(30));
        let question = |text: &str| Question {
            id: text[..2].to_owned(),
            question: "?".to_owned(),
            context: context.as_str().into(),
            answers: vec![Answer { text: text.to_owned(), start: context.find(text) }],
        };
        let asked = |block| {
            let asked = Asked::new(&tokenizer, block, vec![question(&"x".repeat(80)), question(&"y".repeat(30))]);
            let mut notes = Vec::new();
            asked.note_answers("training", Path::new("a.json"), &mut notes);
            notes.concat()
        };
        assert_eq!(
            asked(200),
            "1 training answer has more than the 64 tokens that are looked for: that to \"xx\" of a.json"
        );
        assert!(asked(70).starts_with("1 training answer is too long to stand whole"), "{}", asked(70));
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
        assert!(fitted.loss < 0.1, "{fitted:?}");
        let scores = answerer.scores_on(&answerer.tuned.params, &asked);
        assert_eq!(scores, Scores { exact_match: 1.0, f1: 1.0 });
        let (found, cut) = answerer.answer(&from.tokenizer, "Where?", TEXT);
        assert!(!cut && answerer.answer(&from.tokenizer, &"Where? ".repeat(20), TEXT).1);
        assert_eq!((&found.text[..], found.start), ("in the middle", TEXT.find("in the middle").unwrap()));
        assert!(found.score > 0.8, "{found:?}");
    }
}
