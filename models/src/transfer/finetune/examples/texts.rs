//! Labelled texts as ids and the number of a label, and what is said of them: cut texts, labels of one example, labels that
//! training never saw.

use std::collections::{BTreeMap, HashMap};

use super::{BUILT_IN, ENOUGH, Placed, WORLD_TEST, WORLD_TRAIN, give_back, hold_out, note_copies, note_known};
use crate::data::labelled::Tally;
use crate::data::labelled::classes::Labelled;
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
            let held: Vec<&Vec<u32>> = examples.val.iter().map(|(ids, _)| ids).collect();
            note_copies("text", &held, examples.train.iter().map(|(ids, _)| ids), &train.path, &mut examples.notes);
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
        note_torn(train, &mut notes);
        examples.val = val.map_or_else(Vec::new, |val| examples.of(with, val, "validation", &mut notes));
        examples.test = test.map_or_else(Vec::new, |test| examples.of(with, test, "test", &mut notes));
        note_known("text", train.texts.iter(), [val, test].map(|of| of.map(placed)), &mut notes);
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
        let mut strange: HashMap<&String, usize> = HashMap::new(); // the labels that training never saw
        for ((text, label), line) in from.texts.iter().zip(&from.labels).zip(&from.lines) {
            let ids = with.ids(text);
            if ids.cut {
                cut.add(|| format!("line {line}"));
            }
            let number = self.labels.binary_search(label).unwrap_or_else(|_| {
                unseen.add(|| format!("line {line} ({label:?})"));
                let next = self.labels.len() + strange.len();
                *strange.entry(label).or_insert(next)
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

/// Says which texts have another label elsewhere in the file.
fn note_torn(train: &Labelled, notes: &mut Vec<String>) {
    let (mut labels, mut torn) = (HashMap::new(), Tally::default());
    for ((text, label), line) in train.texts.iter().zip(&train.labels).zip(&train.lines) {
        let (first, first_line) = *labels.entry(text).or_insert((label, line));
        if first != label {
            torn.add(|| format!("line {line} ({label:?}, and {first:?} in line {first_line})"));
        }
    }
    let [one, many] =
        ["text has another label", "texts have other labels"].map(|of| format!("training {of} elsewhere"));
    torn.note(&train.path, &one, &many, notes);
}

/// Texts with their lines.
fn placed(of: &Labelled) -> Placed<'_, &String> {
    (&of.path, of.texts.iter().zip(of.lines.iter().map(|line| format!("line {line}"))).collect())
}

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
