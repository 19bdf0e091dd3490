//! Answered questions as windows of their texts. All that is asked about one text is held out together, or its answers would be
//! known.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tensor::random::{Random, Stream};

use super::super::windows::Asked;
use super::{BUILT_IN, ENOUGH, HELD_OUT, WORLD_TEST, WORLD_TRAIN, note_known};
use crate::data::labelled::{Tally, squad};
use crate::data::world::World;
use crate::hub::pretrained::Pretrained;

/// A question-answering task's questions.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// To learn from.
    pub train: Asked,
    /// To choose the best weights by.
    pub val: Asked,
    /// To say at the end how good the model is.
    pub test: Asked,
    /// What should be known about them, as sentences.
    pub notes: Vec<String>,
}

impl Questions {
    /// The questions of some files. Without `val` some of `train` are held out, if there are enough, with all that is asked
    /// about the same context. Questions that have no answer are left out, and in training those whose answers have no place.
    pub fn new(
        with: &Pretrained,
        train: squad::Answered,
        val: Option<squad::Answered>,
        test: Option<squad::Answered>,
        seed: u64,
    ) -> Self {
        let mut notes = Vec::new();
        let mut answered = |mut from: squad::Answered| {
            notes.append(&mut from.notes);
            let mut unanswered = Tally::default();
            for question in from.questions.iter().filter(|question| question.answers.is_empty()) {
                unanswered.add(|| format!("{:?}", question.id));
            }
            let (one, many) = ("question has no answer, and is left out", "questions have no answer, and are left out");
            unanswered.note(&from.path, one, many, &mut notes);
            from.questions.retain(|question| !question.answers.is_empty());
            from
        };
        let mut train = answered(train);
        let val = val.map(&mut answered);
        let test = answered(test.unwrap_or_default());
        let text = |of: &squad::Question| (of.question.clone(), of.context.clone());
        let placed =
            |of: &squad::Answered| of.questions.iter().map(|asked| (text(asked), format!("{:?}", asked.id))).collect();
        let others = [val.as_ref(), Some(&test)].map(|of| of.map(|of| (of.path.as_path(), placed(of))));
        note_known("question", train.questions.iter().map(text), others, &mut notes);
        let mut nowhere = Tally::default();
        train.questions.retain(|question| {
            let placed = question.learned().is_some();
            if !placed {
                nowhere.add(|| format!("{:?}", question.id));
            }
            placed
        });
        let [one, many] = ["training question has", "training questions have"]
            .map(|have| format!("{have} no answer with a place in its text: left out"));
        nowhere.note(&train.path, &one, &many, &mut notes);
        let val = val.unwrap_or_else(|| {
            let enough = train.questions.len() >= ENOUGH;
            let questions = if enough { hold_out_contexts(&mut train.questions, seed) } else { Vec::new() };
            if enough && questions.is_empty() {
                let what = "each training text has more than a fifth of the questions: none is held out to validate on";
                notes.push(what.to_owned());
            }
            squad::Answered { questions, path: train.path.clone(), notes: Vec::new() }
        });
        let [train, val, test] = [("training", train), ("validation", val), ("test", test)].map(|(part, of)| {
            let asked = Asked::new(&with.tokenizer, with.model.block_size(), of.questions);
            asked.note(&format!("{part} question"), &of.path, &mut notes);
            asked.note_answers(part, &of.path, &mut notes);
            asked
        });
        Self { train, val, test, notes }
    }

    /// The built-in world's stories, each with a question.
    pub fn world(with: &Pretrained, seed: u64) -> Self {
        let world = World::new(seed);
        let [train, test] = [0..WORLD_TRAIN, WORLD_TRAIN..WORLD_TRAIN + WORLD_TEST].map(|numbers| squad::Answered {
            questions: numbers.map(|index| world.asked(index)).collect(),
            path: BUILT_IN.into(),
            notes: Vec::new(),
        });
        Self::new(with, train, None, Some(test), seed)
    }
}

/// Takes out a share of the questions, no more than [`hold_out`](super::hold_out) would, with all that is asked about a context.
pub(super) fn hold_out_contexts(questions: &mut Vec<squad::Question>, seed: u64) -> Vec<squad::Question> {
    let mut asked: HashMap<Arc<str>, usize> = HashMap::new();
    let mut contexts: Vec<Arc<str>> = Vec::new();
    for question in questions.iter() {
        let count = asked.entry(question.context.clone()).or_default();
        if *count == 0 {
            contexts.push(question.context.clone());
        }
        *count += 1;
    }
    Random::new(seed, Stream::Data, u64::MAX).shuffle(&mut contexts);
    let (mut left, mut held) = (questions.len() / HELD_OUT, HashSet::new());
    for context in contexts.into_iter().rev() {
        if asked[&context] <= left {
            left -= asked[&context];
            held.insert(context);
        }
    }
    let (out, rest) = questions.drain(..).partition(|question| held.contains(&question.context));
    *questions = rest;
    out
}
