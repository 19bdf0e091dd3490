//! From labelled texts to examples: ids and a label's number, and some of them held out to validate on; and likewise from
//! tagged sentences and answered questions.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use tensor::random::{Random, Stream};

use super::super::score::entities;
use super::tag::{self, Tagged};
use super::windows::Asked;
use crate::data::labelled::classes::Labelled;
use crate::data::labelled::{Tally, conll, squad};
use crate::data::world::World;
use crate::hub::pretrained::Pretrained;

/// A text as ids, and its label's number; the numbers beyond the labels are for those that training never saw, one for each.
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
            give_back(&mut examples.train, &mut examples.val, |&(_, class)| vec![class]);
        }
        examples
    }

    /// The same with nothing held out.
    pub fn whole(with: &Pretrained, train: &Labelled, val: Option<&Labelled>, test: Option<&Labelled>) -> Self {
        let mut count: BTreeMap<&String, usize> = BTreeMap::new();
        train.labels.iter().for_each(|label| *count.entry(label).or_default() += 1);
        let mut examples = Self { labels: count.keys().copied().cloned().collect(), ..Self::default() };
        let mut notes = Vec::new();
        examples.train = examples.of(with, train, "training", &mut notes);
        let mut single = Tally::default();
        for (label, line) in train.labels.iter().zip(&train.lines).filter(|(label, _)| count[label] == 1) {
            single.add(|| format!("{label:?} in line {line}"));
        }
        let [one, many] = ["label has", "labels have"].map(|of| format!("{of} one training example only"));
        single.note(&train.path, &one, &many, &mut notes);
        examples.val = val.map_or_else(Vec::new, |val| examples.of(with, val, "validation", &mut notes));
        examples.test = test.map_or_else(Vec::new, |test| examples.of(with, test, "test", &mut notes));
        examples.notes = notes;
        examples
    }

    /// The built-in world's openings of stories, labelled by what happens in them.
    pub fn world(with: &Pretrained, seed: u64) -> Self {
        let [train, test] = world(seed);
        Self::new(with, &train, None, Some(&test), seed)
    }

    fn of(&self, with: &Pretrained, from: &Labelled, part: &str, notes: &mut Vec<String>) -> Vec<Example> {
        notes.extend(from.notes.iter().cloned());
        let (mut examples, mut cut, mut unseen) = (Vec::new(), Tally::default(), Tally::default());
        let mut strange: Vec<&String> = Vec::new(); // the labels that training never saw
        for ((text, label), line) in from.texts.iter().zip(&from.labels).zip(&from.lines) {
            let ids = with.ids(text);
            if ids.cut {
                cut.add(|| format!("line {line}"));
            }
            let number = self.labels.binary_search(label).unwrap_or_else(|_| {
                unseen.add(|| format!("line {line} ({label:?})"));
                let place = strange.iter().position(|other| *other == label).unwrap_or_else(|| {
                    strange.push(label);
                    strange.len() - 1
                });
                self.labels.len() + place
            });
            examples.push((ids.ids, number));
        }
        let sees = with.model.block_size();
        let one = format!("{part} text is longer than the {sees} tokens that the model sees, and is cut there");
        let many = format!("{part} texts are longer than the {sees} tokens that the model sees, and are cut there");
        cut.note(&from.path, &one, &many, notes);
        let one = format!("{part} example has a label that training never saw, and counts as wrong");
        let many = format!("{part} examples have labels that training never saw, and count as wrong");
        unseen.note(&from.path, &one, &many, notes);
        examples
    }
}

/// What stands in the place of a file's name where there is none.
const BUILT_IN: &str = "the built-in world";

/// The built-in world's openings of stories, labelled by what happens in them: some to learn from, and some to test on.
pub fn world(seed: u64) -> [Labelled; 2] {
    let world = World::new(seed);
    [0..WORLD_TRAIN, WORLD_TRAIN..WORLD_TRAIN + WORLD_TEST].map(|numbers| {
        let lines = (1..=numbers.clone().count()).collect();
        let stories = numbers.map(|index| world.happening(index));
        let (texts, labels) = stories.map(|(text, happens)| (text, happens.to_owned())).unzip();
        Labelled { texts, labels, lines, path: BUILT_IN.into(), notes: Vec::new() }
    })
}

/// Takes out some of two or more, chosen by `seed`; the others are shuffled.
fn hold_out<E>(examples: &mut Vec<E>, seed: u64) -> Vec<E> {
    Random::new(seed, Stream::Data, u64::MAX).shuffle(examples);
    let out = (examples.len() / HELD_OUT).max(usize::from(examples.len() > 1));
    examples.split_off(examples.len() - out)
}

/// Gives back an example of each class that has none to learn from any more.
fn give_back<E: Clone, C: Eq + Hash>(train: &mut Vec<E>, held: &mut Vec<E>, classes: impl Fn(&E) -> Vec<C>) {
    let mut known: HashSet<C> = train.iter().flat_map(&classes).collect();
    held.retain(|example| {
        let new = classes(example).iter().any(|class| !known.contains(class));
        if new {
            known.extend(classes(example));
            train.push(example.clone());
        }
        !new
    });
}

/// Takes out some sentences likewise. Where entities are rare, chance may leave few or none of them: then more are exchanged, up
/// to their share, for without any nothing can be measured.
fn hold_out_sentences(sentences: &mut Vec<conll::Sentence>, seed: u64) -> Vec<conll::Sentence> {
    let names = |sentence: &conll::Sentence| !entities(&sentence.tags).is_empty();
    let share = sentences.iter().filter(|sentence| names(sentence)).count() / HELD_OUT;
    let mut held = hold_out(sentences, seed);
    let has = held.iter().filter(|sentence| names(sentence)).count();
    if 2 * has < share.max(1) {
        let plain = held.iter_mut().filter(|sentence| !names(sentence));
        let rich = sentences.iter_mut().filter(|sentence| names(sentence));
        plain.zip(rich).take(share.max(1) - has).for_each(|(plain, rich)| std::mem::swap(plain, rich));
    }
    held
}

/// Takes out some questions likewise, with all that is asked about a context.
fn hold_out_contexts(questions: &mut Vec<squad::Question>, seed: u64) -> Vec<squad::Question> {
    let mut contexts: Vec<_> = questions.iter().map(|question| question.context.clone()).collect();
    let mut known = HashSet::new();
    contexts.retain(|context| known.insert(context.clone()));
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

impl Sentences {
    /// The sentences of some files. Without `val` some of `train` are held out, if there are enough.
    pub fn new(
        with: &Pretrained,
        mut train: conll::Tagged,
        val: Option<conll::Tagged>,
        test: Option<conll::Tagged>,
        seed: u64,
    ) -> Self {
        let mut notes = Vec::new();
        note_single(&train, &mut notes);
        let val = val.unwrap_or_else(|| {
            let enough = train.sentences.len() >= ENOUGH;
            let mut sentences = if enough { hold_out_sentences(&mut train.sentences, seed) } else { Vec::new() };
            give_back(&mut train.sentences, &mut sentences, |sentence| sentence.tags.clone());
            conll::Tagged { sentences, path: train.path.clone(), notes: Vec::new() }
        });
        let tags = tag::known(&train.sentences);
        let parts = [("training", train), ("validation", val), ("test", test.unwrap_or_default())];
        let [train, val, test] = parts.map(|(part, of)| {
            notes.extend(of.notes);
            let tagged = Tagged::new(with, of.sentences, &tags);
            tagged.note(part, &of.path, with.model.block_size(), &mut notes);
            tagged
        });
        Self { tags, train, val, test, notes }
    }

    /// The built-in world's stories, with the people, objects and places tagged that they name.
    pub fn world(with: &Pretrained, seed: u64) -> Self {
        let [train, test] = world_sentences(seed);
        Self::new(with, train, None, Some(test), seed)
    }
}

/// Says of which types there is one entity only.
fn note_single(train: &conll::Tagged, notes: &mut Vec<String>) {
    let entities = || {
        let of = |sentence: &conll::Sentence| entities(&sentence.tags).into_iter().map(|of| (of.kind, of.words.start));
        train.sentences.iter().flat_map(move |sentence| of(sentence).map(|(kind, at)| (kind, sentence.line + at)))
    };
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    entities().for_each(|(kind, _)| *count.entry(kind).or_default() += 1);
    let mut single = Tally::default();
    for (kind, line) in entities().filter(|(kind, _)| count[kind] == 1) {
        single.add(|| format!("{kind} in line {line}"));
    }
    let [one, many] =
        ["type of entity has", "types of entities have"].map(|of| format!("{of} one training example only"));
    single.note(&train.path, &one, &many, notes);
}

/// The built-in world's stories, tagged: some to learn from, and some to test on.
pub fn world_sentences(seed: u64) -> [conll::Tagged; 2] {
    let world = World::new(seed);
    [0..WORLD_TRAIN, WORLD_TRAIN..WORLD_TRAIN + WORLD_TEST].map(|numbers| {
        let sentence = |(line, index)| {
            let (words, tags) = world.labelled(index).tagged();
            conll::Sentence { words, tags, line }
        };
        conll::Tagged {
            sentences: (1..).zip(numbers).map(sentence).collect(),
            path: BUILT_IN.into(),
            notes: Vec::new(),
        }
    })
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
        let asked = train.questions.len();
        train.questions.retain(|question| question.learned().is_some());
        let left_out = asked - train.questions.len();
        if left_out > 0 {
            let are = if left_out == 1 { "question is" } else { "questions are" };
            notes.push(format!("{left_out} training {are} left out, having no answer with a place in its text"));
        }
        let val = val.unwrap_or_else(|| {
            let enough = train.questions.len() >= ENOUGH;
            let questions = if enough { hold_out_contexts(&mut train.questions, seed) } else { Vec::new() };
            if enough && questions.is_empty() {
                notes.push("all training questions are about one text: none is held out to validate on".to_owned());
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

#[cfg(test)]
mod tests {
    use super::super::super::score::macro_f1;
    use super::super::Recipe;
    use super::*;
    use crate::Model;
    use crate::gpt::{Gpt, GptConfig};

    /// A model of bytes that sees 24 of them.
    fn model() -> Pretrained {
        let (model, params) = Gpt::init(&GptConfig::new(256, 24, 1, 1, 8), 1);
        Pretrained { model: Model::Gpt(model), params, tokenizer: tokenizer::Tokenizer::bytes() }
    }

    fn labelled(name: &str, labels: &[&str]) -> Labelled {
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let texts = labels.iter().map(|label| format!("a text of {label}")).collect();
        Labelled { texts, lines: (1..=labels.len()).collect(), labels, path: name.into(), notes: Vec::new() }
    }

    #[test]
    fn labels_that_training_never_saw_are_classes_of_their_own() {
        let train = labelled("train.tsv", &["a", "b", "a", "b"]);
        let examples = Examples::whole(&model(), &train, None, Some(&labelled("test.tsv", &["a", "b", "c", "d", "c"])));
        let truth: Vec<usize> = examples.test.iter().map(|(_, label)| *label).collect();
        assert_eq!(truth, [0, 1, 2, 3, 2]);
        // scikit-learn 1.9: f1_score(list("abcdc"), list("abaaa"), average="macro")
        assert!((macro_f1(&truth, &[0, 1, 0, 0, 0]) - 0.35).abs() < 1e-12);
    }

    #[test]
    fn what_is_held_out_leaves_an_example_of_each_class() {
        let labels: Vec<&str> = (0..60).map(|i| if i < 58 { ["a", "b"][i % 2] } else { ["c", "d"][i % 2] }).collect();
        let train = labelled("train.tsv", &labels);
        let without = |seed: u64| Examples::new(&model(), &train, None, None, seed);
        let all: Vec<Examples> = (0..40).map(without).collect();
        let learned = |of: &Examples, class| of.train.iter().any(|&(_, label)| label == class);
        assert!(all.iter().all(|of| (0..4).all(|class| learned(of, class)) && of.train.len() + of.val.len() == 60));
        assert!(all.iter().any(|of| of.val.len() < 12), "in none of 40 draws was one given back");
    }

    #[test]
    fn a_tag_of_one_sentence_is_learned_whatever_is_held_out() {
        let sentence = |i: usize| conll::Sentence {
            words: vec!["word".to_owned(); 2],
            tags: vec!["O".to_owned(), if i == 7 { "B-RARE" } else { "B-X" }.to_owned()],
            line: 3 * i + 1,
        };
        let train = conll::Tagged { sentences: (0..60).map(sentence).collect(), path: "a".into(), notes: Vec::new() };
        for seed in 0..20 {
            let of = Sentences::new(&model(), train.clone(), None, None, seed);
            assert_eq!(of.tags, ["B-RARE", "B-X", "O"]);
            assert_eq!(of.notes, ["1 type of entity has one training example only: RARE in line 23 of a"]);
            assert_eq!(of.train.sentences() + of.val.sentences(), 60);
        }
    }

    #[test]
    fn where_entities_are_rare_some_are_held_out_and_without_any_the_last_weights_are_kept() {
        let sentence = |i: usize| conll::Sentence {
            words: vec!["word".to_owned(); 2],
            tags: vec!["O".to_owned(), if i.is_multiple_of(10) { "B-X" } else { "O" }.to_owned()],
            line: 3 * i + 1,
        };
        let of = |sentences: Vec<_>| conll::Tagged { sentences, path: "a".into(), notes: Vec::new() };
        let all = of((0..80).map(sentence).collect());
        for seed in 0..20 {
            let parts = Sentences::new(&model(), all.clone(), None, None, seed);
            assert_eq!([parts.train.sentences(), parts.val.sentences()], [64, 16]);
            assert!(parts.val.has_entity() && parts.train.has_entity() && parts.notes.is_empty(), "{:?}", parts.notes);
        }
        let plain = of((1..10).map(sentence).collect());
        let parts = Sentences::new(&model(), all, Some(plain.clone()), Some(plain), 1);
        assert!(!parts.val.has_entity() && parts.notes.len() == 2, "{:?}", parts.notes);
        assert!(parts.notes[0].contains("no validation sentence has an entity"), "{:?}", parts.notes);
        let recipe = Recipe { epochs: 2, least_steps: 1, ..Recipe::default() };
        let mut scores = Vec::new();
        let watch = |_, _, score: Option<f64>| scores.push(score);
        let (tagger, fitted) =
            tag::finetune(&model(), [&parts.train, &parts.val], &parts.tags, &recipe, watch).unwrap();
        assert_eq!((fitted.best, scores), (None, vec![None, None]));
        let once = Recipe { epochs: 1, ..recipe };
        let (first, _) = tag::finetune(&model(), [&parts.train, &parts.val], &parts.tags, &once, |_, _, _| {}).unwrap();
        assert_ne!(tagger.tuned.params.flat(), first.tuned.params.flat());
    }

    #[test]
    fn what_is_odd_about_examples_is_counted_and_said_with_its_first_line() {
        let mut train = labelled("train.tsv", &["a", "b", "a", "c", "d"]);
        train.texts[2] += &" and more".repeat(9);
        let test = labelled("test.tsv", &["a", "x", "b", "y"]);
        assert_eq!(
            Examples::whole(&model(), &train, None, Some(&test)).notes,
            [
                "1 training text is longer than the 24 tokens that the model sees, and is cut there: line 3 of train.tsv",
                "3 labels have one training example only, the first is \"b\" in line 2 of train.tsv",
                "2 test examples have labels that training never saw, and count as wrong, the first is line 2 (\"x\") of \
                 test.tsv",
            ]
        );
        let sentence = |line: usize, words: usize, tag: &str| conll::Sentence {
            words: vec!["word".to_owned(); words],
            tags: [vec!["O".to_owned(); words - 1], vec![tag.to_owned()]].concat(),
            line,
        };
        let of = |path: &str, sentences: Vec<_>| conll::Tagged { sentences, path: path.into(), notes: Vec::new() };
        let train = of("train.conll", vec![sentence(1, 3, "B-X"), sentence(5, 9, "O")]);
        let test = of("test.conll", vec![sentence(2, 3, "B-Y"), sentence(7, 2, "I-Y")]);
        assert_eq!(
            Sentences::new(&model(), train, None, Some(test), 1).notes,
            [
                "1 type of entity has one training example only: X in line 3 of train.conll",
                "1 training sentence is longer than the 24 tokens that the model sees, and is read in parts: line 5 of \
                 train.conll",
                "2 test words have tags that training never saw, which the model never gives, the first is line 4 (B-Y) of \
                 test.conll",
            ]
        );
        let mut long = World::new(1).asked(0);
        (long.id, long.question) = ("q".to_owned(), "Where? ".repeat(9));
        let bare = squad::Question { answers: Vec::new(), ..long.clone() };
        let train = squad::Answered { questions: vec![bare, long], path: "train.json".into(), notes: Vec::new() };
        let notes = Questions::new(&model(), train, None, None, 1).notes;
        assert_eq!(notes[0], "1 question has no answer, and is left out: \"q\" of train.json");
        assert!(notes[1].starts_with("1 training question fills more than half"), "{notes:?}");
    }

    #[test]
    fn what_is_asked_about_a_context_is_held_out_with_it() {
        let question =
            |i: u64| squad::Question { context: format!("context {}", i / 4).into(), ..World::new(1).asked(i) };
        let mut rest: Vec<_> = (0..80).map(question).collect();
        let out = hold_out_contexts(&mut rest, 1);
        assert_eq!((out.len(), rest.len()), (16, 64));
        assert!(out.iter().all(|held| rest.iter().all(|other| other.context != held.context)));
        let few = |contexts: u64| {
            let question =
                |i: u64| squad::Question { context: format!("{}", i % contexts).into(), ..World::new(1).asked(i) };
            hold_out_contexts(&mut (0..60).map(question).collect(), 1).len()
        };
        assert_eq!([few(1), few(2), few(4)], [0, 30, 15]);
    }
}
