//! From labelled texts to examples: ids and a label's number, and some of them held out to validate on; and likewise from
//! tagged sentences and answered questions.

use std::collections::{BTreeSet, HashSet};

use tensor::random::{Random, Stream};

use super::super::pretrained::Pretrained;
use super::answer::Asked;
use super::tag::{self, Tagged};
use crate::data::labelled::classes::Labelled;
use crate::data::labelled::{conll, squad};
use crate::data::world::World;

/// A text as ids, and its label's number; the number of labels stands for one that training never saw.
pub type Example = (Vec<u32>, usize);

/// A task's examples.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// The names of the labels, in order; their places are their numbers.
    pub labels: Vec<String>,
    /// To learn from.
    pub train: Vec<Example>,
    /// To choose the best weights by.
    pub val: Vec<Example>,
    /// To say at the end how good the model is.
    pub test: Vec<Example>,
    /// What should be known about them, as sentences.
    pub notes: Vec<String>,
}

/// Of fewer examples none is held out: all are needed.
const ENOUGH: usize = 50;
/// One example of so many is held out to validate on.
const HELD_OUT: usize = 5;
/// The world's examples to learn from and to test on.
const WORLD_TRAIN: u64 = 200;
const WORLD_TEST: u64 = 1000;

impl Examples {
    /// The examples of some labelled texts. Without `val` some of `train` are held out, if there are enough.
    pub fn new(
        with: &Pretrained,
        train: &Labelled,
        val: Option<&Labelled>,
        test: Option<&Labelled>,
        seed: u64,
    ) -> Self {
        let mut examples = Self::whole(with, train, val, test);
        if val.is_none() && examples.train.len() >= ENOUGH {
            examples.val = hold_out(&mut examples.train, seed);
        }
        examples
    }

    /// The same with nothing held out.
    pub fn whole(with: &Pretrained, train: &Labelled, val: Option<&Labelled>, test: Option<&Labelled>) -> Self {
        let labels: BTreeSet<&String> = train.labels.iter().collect();
        let mut examples = Self { labels: labels.into_iter().cloned().collect(), ..Self::default() };
        let mut notes = Vec::new();
        examples.train = examples.of(with, train, "training", &mut notes);
        for (i, label) in examples.labels.iter().enumerate() {
            if examples.train.iter().filter(|(_, of)| *of == i).count() == 1 {
                notes.push(format!("{label:?} has one training example only"));
            }
        }
        examples.val = val.map_or_else(Vec::new, |val| examples.of(with, val, "validation", &mut notes));
        examples.test = test.map_or_else(Vec::new, |test| examples.of(with, test, "test", &mut notes));
        examples.notes = notes;
        examples
    }

    /// The built-in world's stories, labelled by what happens last in them.
    pub fn world(with: &Pretrained, seed: u64) -> Self {
        let [train, test] = world(seed);
        Self::new(with, &train, None, Some(&test), seed)
    }

    fn of(&self, with: &Pretrained, from: &Labelled, part: &str, notes: &mut Vec<String>) -> Vec<Example> {
        notes.extend(from.notes.iter().cloned());
        let (mut examples, mut cut, mut unseen) = (Vec::new(), 0, Vec::new());
        for (text, label) in from.texts.iter().zip(&from.labels) {
            let ids = with.ids(text);
            cut += usize::from(ids.cut);
            let number = self.labels.binary_search(label).unwrap_or_else(|_| {
                unseen.push(label);
                self.labels.len()
            });
            examples.push((ids.ids, number));
        }
        if cut > 0 {
            let most = with.model.block_size();
            notes.push(format!("{cut} {part} texts are longer than the {most} tokens that the model sees: cut there"));
        }
        if let Some(first) = unseen.first() {
            let n = unseen.len();
            notes.push(format!("{n} {part} examples have labels that training never saw (first {first:?}): all wrong"));
        }
        examples
    }
}

/// The built-in world's stories, labelled by what happens last in them: some to learn from, and some to test on.
pub fn world(seed: u64) -> [Labelled; 2] {
    let world = World::new(seed);
    [0..WORLD_TRAIN, WORLD_TRAIN..WORLD_TRAIN + WORLD_TEST].map(|numbers| {
        let stories = numbers.map(|index| world.labelled(index));
        let (texts, labels) = stories.map(|story| (story.text, story.last_event.to_owned())).unzip();
        Labelled { texts, labels, notes: Vec::new() }
    })
}

/// Takes out some of many, chosen by `seed`; the others are shuffled.
fn hold_out<E>(examples: &mut Vec<E>, seed: u64) -> Vec<E> {
    Random::new(seed, Stream::Data, u64::MAX).shuffle(examples);
    examples.split_off(examples.len() - examples.len() / HELD_OUT)
}

/// The same of questions, with all that is asked about a context.
fn hold_out_contexts(questions: &mut Vec<squad::Question>, seed: u64) -> Vec<squad::Question> {
    let mut contexts: Vec<_> = questions.iter().map(|question| question.context.clone()).collect();
    contexts.dedup();
    let held = hold_out(&mut contexts, seed);
    let held: HashSet<_> = held.iter().collect();
    let (out, rest) = questions.drain(..).partition(|question| held.contains(&question.context));
    *questions = rest;
    out
}

/// A tagging task's sentences.
#[derive(Clone, Debug, Default)]
pub struct Sentences {
    /// The tags that training saw, in order.
    pub tags: Vec<String>,
    /// To learn from.
    pub train: Tagged,
    /// To choose the best weights by.
    pub val: Tagged,
    /// To say at the end how good the model is.
    pub test: Tagged,
    /// What should be known about them, as sentences.
    pub notes: Vec<String>,
}

/// Words and a tag for each.
pub type Sentence = (Vec<String>, Vec<String>);

impl Sentences {
    /// The sentences of some files. Without `val` some of `train` are held out, if there are enough.
    pub fn new(
        with: &Pretrained,
        train: conll::Tagged,
        val: Option<conll::Tagged>,
        test: Option<conll::Tagged>,
        seed: u64,
    ) -> Self {
        let mut notes = Vec::new();
        let mut pairs = |from: conll::Tagged| -> Vec<Sentence> {
            notes.extend(from.notes);
            from.sentences.into_iter().map(|s| (s.words, s.tags)).collect()
        };
        let mut train = pairs(train);
        let test = test.map_or_else(Vec::new, &mut pairs);
        let val = match val {
            Some(val) => pairs(val),
            None if train.len() >= ENOUGH => hold_out(&mut train, seed),
            None => Vec::new(),
        };
        Self::of(with, train, val, test, notes)
    }

    fn of(
        with: &Pretrained,
        train: Vec<Sentence>,
        val: Vec<Sentence>,
        test: Vec<Sentence>,
        notes: Vec<String>,
    ) -> Self {
        let tags = tag::known(train.iter().map(|(_, tags)| tags));
        let mut sentences = Self { notes, ..Self::default() };
        for (part, of) in [("validation", &val), ("test", &test)] {
            let unseen: Vec<_> =
                of.iter().flat_map(|(_, of)| of).filter(|tag| tags.binary_search(tag).is_err()).collect();
            if let Some(first) = unseen.first() {
                let n = unseen.len();
                sentences.notes.push(format!(
                    "{n} {part} words have tags that training never saw (first {first}): not to be found"
                ));
            }
        }
        let [train, val, test] = [train, val, test].map(|of| Tagged::new(with, of, &tags));
        Self { tags, train, val, test, ..sentences }
    }

    /// The built-in world's stories, with the people, objects and places tagged that they name.
    pub fn world(with: &Pretrained, seed: u64) -> Self {
        let [mut train, test] = world_sentences(seed);
        let val = hold_out(&mut train, seed);
        Self::of(with, train, val, test, Vec::new())
    }
}

/// The built-in world's stories, tagged: some to learn from, and some to test on.
pub fn world_sentences(seed: u64) -> [Vec<Sentence>; 2] {
    let world = World::new(seed);
    [0..WORLD_TRAIN, WORLD_TRAIN..WORLD_TRAIN + WORLD_TEST]
        .map(|numbers| numbers.map(|index| world.labelled(index).tagged()).collect())
}

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
    /// about the same context. Questions that have no answer are left out.
    pub fn new(
        with: &Pretrained,
        train: squad::Answered,
        val: Option<squad::Answered>,
        test: Option<squad::Answered>,
        seed: u64,
    ) -> Self {
        let mut notes = Vec::new();
        let mut questions = |from: squad::Answered| {
            notes.extend(from.notes);
            let answered = from.questions.into_iter().filter(|question| !question.answers.is_empty());
            answered.collect::<Vec<_>>()
        };
        let mut train = questions(train);
        let val = val.map(&mut questions);
        let test = test.map_or_else(Vec::new, &mut questions);
        let val =
            val.unwrap_or_else(|| if train.len() >= ENOUGH { hold_out_contexts(&mut train, seed) } else { Vec::new() });
        let [train, val, test] = [train, val, test].map(|of| Asked::new(&with.tokenizer, with.model.block_size(), of));
        for (part, asked) in [("training", &train), ("validation", &val), ("test", &test)] {
            notes.extend(asked.notes(part));
        }
        Self { train, val, test, notes }
    }

    /// The built-in world's stories, each with a question.
    pub fn world(with: &Pretrained, seed: u64) -> Self {
        let world = World::new(seed);
        let [train, test] = [0..WORLD_TRAIN, WORLD_TRAIN..WORLD_TRAIN + WORLD_TEST].map(|numbers| squad::Answered {
            questions: numbers.map(|index| world.asked(index)).collect(),
            notes: Vec::new(),
        });
        Self::new(with, train, None, Some(test), seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_about_a_context_is_held_out_with_it() {
        let question =
            |i: u64| squad::Question { context: format!("context {}", i / 4).into(), ..World::new(1).asked(i) };
        let mut rest: Vec<_> = (0..80).map(question).collect();
        let out = hold_out_contexts(&mut rest, 1);
        assert_eq!((out.len(), rest.len()), (16, 64));
        assert!(out.iter().all(|held| rest.iter().all(|other| other.context != held.context)));
    }
}
