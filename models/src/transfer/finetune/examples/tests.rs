//! What is learned from, held out, and said of either.

use autograd::Params;

use super::super::super::score::macro_f1;
use super::super::tuned::Tuned;
use super::super::{Recipe, Watch, tag};
use super::questions::hold_out_contexts;
use super::*;
use crate::Model;
use crate::data::labelled::classes::Labelled;
use crate::data::labelled::{conll, squad};
use crate::data::world::World;
use crate::gpt::{Gpt, GptConfig};
use crate::hub::pretrained::Pretrained;

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
        words: vec![format!("word{i}"), "word".to_owned()],
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
        words: vec![format!("word{i}"), "word".to_owned()],
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
    let said: Vec<_> = parts.notes.iter().filter(|note| note.contains("sentence has an entity")).collect();
    assert!(!parts.val.has_entity() && said.len() == 2, "{:?}", parts.notes);
    assert!(said[0].contains("no validation sentence has an entity"), "{:?}", parts.notes);
    let recipe = Recipe { epochs: 2, least_steps: 1, ..Recipe::default() };
    let mut scores = Vec::new();
    let watch = |_, _, score: Option<f64>| scores.push(score);
    let (tagger, fitted) = tag::finetune(&model(), [&parts.train, &parts.val], &parts.tags, &recipe, watch).unwrap();
    assert_eq!((fitted.best, scores), (None, vec![None, None]));
    let once = Recipe { epochs: 1, ..recipe };
    let (first, _) = tag::finetune(&model(), [&parts.train, &parts.val], &parts.tags, &once, |_, _, _| {}).unwrap();
    assert_ne!(tagger.tuned.params.flat(), first.tuned.params.flat());
    // Bytes have no tokens around a text: of an empty one there is nothing at all.
    assert_eq!(tagger.find(&model().tokenizer, " "), (vec![], 0));
    assert_eq!(tagger.find(&model().tokenizer, &format!("a {} b", "c".repeat(99))).1, 1);
}

/// What would have been kept after each pass.
struct Keeps(Vec<Vec<f32>>);

impl Watch for &mut Keeps {
    fn pass(&mut self, _: u64, _: f64, _: Option<f64>) {}

    fn kept(&mut self, of: &Tuned, best: &Params) {
        assert_eq!(of.params.count(), best.count());
        self.0.push(best.flat().to_vec());
    }
}

#[test]
fn after_each_pass_is_told_what_would_be_kept() {
    let sentence = |i: usize| conll::Sentence {
        words: vec![format!("word{}", i % 3), "word".to_owned()],
        tags: vec!["O".to_owned(), if i.is_multiple_of(3) { "B-X" } else { "O" }.to_owned()],
        line: 3 * i + 1,
    };
    let all = conll::Tagged { sentences: (0..80).map(sentence).collect(), path: "a".into(), notes: Vec::new() };
    let parts = Sentences::new(&model(), all, None, None, 1);
    let none = tag::Tagged::default();
    for val in [&none, &parts.val] {
        let recipe = Recipe { epochs: 4, least_steps: 1, ..Recipe::default() };
        let mut keeps = Keeps(Vec::new());
        let (tagger, fitted) = tag::finetune(&model(), [&parts.train, val], &parts.tags, &recipe, &mut keeps).unwrap();
        assert_eq!((keeps.0.len(), fitted.best.is_some()), (4, val.has_entity()));
        assert_eq!(keeps.0[3], tagger.tuned.params.flat());
        let best = fitted.best_pass.unwrap_or(4) as usize;
        assert!(keeps.0[best - 1..].iter().all(|kept| *kept == keeps.0[3]), "none is better than that of pass {best}");
        assert!(keeps.0[0] != keeps.0[3] || best == 1);
    }
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
            "2 test texts are among the training texts as well, the first is line 1 of test.tsv",
        ]
    );
    let sentence = |line: usize, words: usize, tag: &str| conll::Sentence {
        words: vec!["word".to_owned(); words],
        tags: [vec!["O".to_owned(); words - 1], vec![tag.to_owned()]].concat(),
        line,
    };
    let of = |path: &str, sentences: Vec<_>| conll::Tagged { sentences, path: path.into(), notes: Vec::new() };
    let mut endless = sentence(5, 9, "O");
    endless.words[7] = "word".repeat(9);
    let train = of("train.conll", vec![sentence(1, 3, "B-X"), endless]);
    let test = of("test.conll", vec![sentence(2, 3, "B-Y"), sentence(7, 2, "I-Y")]);
    assert_eq!(
        Sentences::new(&model(), train, None, Some(test), 1).notes,
        [
            "1 type of entity has one training example only: X in line 3 of train.conll",
            "1 test sentence is among the training sentences as well: line 2 of test.conll",
            "1 training sentence is longer than the 24 tokens that the model sees, and is read in parts: line 5 of \
             train.conll",
            "1 training word is longer than the 24 tokens that the model sees, and is cut there: line 12 of train.conll",
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
    let question = |i: u64| squad::Question { context: format!("context {}", i / 4).into(), ..World::new(1).asked(i) };
    let mut rest: Vec<_> = (0..80).map(question).collect();
    let out = hold_out_contexts(&mut rest, 1);
    assert_eq!((out.len(), rest.len()), (16, 64));
    assert!(out.iter().all(|held| rest.iter().all(|other| other.context != held.context)));
    let few = |contexts: u64| {
        let question =
            |i: u64| squad::Question { context: format!("{}", i % contexts).into(), ..World::new(1).asked(i) };
        hold_out_contexts(&mut (0..60).map(question).collect(), 1).len()
    };
    assert_eq!([few(1), few(2), few(5), few(6)], [0, 0, 12, 10]);
}

#[test]
fn a_text_that_is_in_two_parts_is_said_whatever_its_file_is_called() {
    let [train, val, test] = [("a", &["a", "b"][..]), ("b", &["b", "c"]), ("c", &["b", "c", "d", "a"])]
        .map(|(name, labels)| labelled(name, labels));
    let said = |notes: Vec<String>| notes.into_iter().filter(|note| note.contains("as well")).collect::<Vec<_>>();
    assert_eq!(
        said(Examples::whole(&model(), &train, Some(&val), Some(&test)).notes),
        [
            "1 validation text is among the training texts as well: line 1 of b",
            "2 test texts are among the training texts as well, the first is line 1 of c",
            "2 test texts are among the validation texts as well, the first is line 1 of c",
        ]
    );
    let of = |path: &str, numbers: std::ops::Range<u64>| squad::Answered {
        questions: numbers.map(|index| World::new(1).asked(index)).collect(),
        path: path.into(),
        notes: Vec::new(),
    };
    let notes = Questions::new(&model(), of("a", 0..9), Some(of("b", 8..10)), Some(of("c", 20..25)), 1).notes;
    assert_eq!(said(notes).len(), 1);
}

#[test]
fn copies_on_both_sides_of_what_is_held_out_and_torn_texts_are_said() {
    let mut train = labelled("a", &["x", "y", "z"].repeat(20));
    let copies = |notes: &[String]| notes.iter().filter(|note| note.contains("copies that are learned from")).count();
    let notes = Examples::new(&model(), &train, None, None, 1).notes;
    assert!(notes.len() == 1 && copies(&notes) == 1 && notes[0].starts_with("12 of the 12 texts"), "{notes:?}");
    for (i, text) in train.texts.iter_mut().enumerate() {
        *text += &format!(" {i}");
    }
    assert_eq!(Examples::new(&model(), &train, None, None, 1).notes, [""; 0]);
    train.texts[7] = train.texts[3].clone();
    let notes = Examples::whole(&model(), &train, None, None).notes;
    assert_eq!(notes, ["1 training text has another label elsewhere: line 8 (\"y\", and \"x\" in line 4) of a"]);
    let sentence =
        |line| conll::Sentence { words: vec!["a".into(); 1 + line % 2], tags: vec!["B-X".into(); 1 + line % 2], line };
    let tagged = conll::Tagged { sentences: (1..61).map(sentence).collect(), path: "a".into(), notes: Vec::new() };
    assert_eq!(copies(&Sentences::new(&model(), tagged, None, None, 1).notes), 1);
}
