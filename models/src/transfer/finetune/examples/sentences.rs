//! Tagged sentences as words and tags. Where entities are rare, some with one are held out all the same: without any nothing can
//! be measured.

use std::collections::BTreeMap;

use super::super::super::score::entities;
use super::super::tag::{self, Tagged};
use super::{BUILT_IN, ENOUGH, HELD_OUT, WORLD_TEST, WORLD_TRAIN, give_back, hold_out, note_copies, note_known};
use crate::data::labelled::{Tally, conll};
use crate::data::world::World;
use crate::hub::pretrained::Pretrained;

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
        known_sentences(&train, [val.as_ref(), test.as_ref()], &mut notes);
        let val = val.unwrap_or_else(|| {
            let enough = train.sentences.len() >= ENOUGH;
            let mut sentences = if enough { hold_out_sentences(&mut train.sentences, seed) } else { Vec::new() };
            give_back(&mut train.sentences, &mut sentences, |sentence| sentence.tags.clone());
            let held: Vec<_> = sentences.iter().map(|sentence| &sentence.words).collect();
            let learned = train.sentences.iter().map(|sentence| &sentence.words);
            note_copies("sentence", &held, learned, &train.path, &mut notes);
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

/// As [`note_known`], of sentences.
pub(in crate::transfer) fn known_sentences(
    train: &conll::Tagged,
    others: [Option<&conll::Tagged>; 2],
    notes: &mut Vec<String>,
) {
    let words = |sentence: &conll::Sentence| sentence.words.join(" ");
    let placed = |of: &conll::Tagged| {
        of.sentences.iter().map(|sentence| (words(sentence), format!("line {}", sentence.line))).collect()
    };
    let others = others.map(|of| of.map(|of| (of.path.as_path(), placed(of))));
    note_known("sentence", train.sentences.iter().map(words), others, notes);
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

/// Takes out some sentences as [`hold_out`] does. Where entities are rare, chance may leave few or none of them, and without any
/// nothing can be measured: below half of their share, sentences are exchanged until they have it.
fn hold_out_sentences(sentences: &mut Vec<conll::Sentence>, seed: u64) -> Vec<conll::Sentence> {
    let names = |sentence: &conll::Sentence| !entities(&sentence.tags).is_empty();
    let share = (sentences.iter().filter(|sentence| names(sentence)).count() / HELD_OUT).max(1);
    let mut held = hold_out(sentences, seed);
    let has = held.iter().filter(|sentence| names(sentence)).count();
    if 2 * has < share {
        let plain = held.iter_mut().filter(|sentence| !names(sentence));
        let rich = sentences.iter_mut().filter(|sentence| names(sentence));
        plain.zip(rich).take(share - has).for_each(|(plain, rich)| std::mem::swap(plain, rich));
    }
    held
}
