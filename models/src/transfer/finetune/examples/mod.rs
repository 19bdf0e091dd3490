//! From labelled texts, tagged sentences and answered questions to what a model learns from: to learn, to validate on, and to
//! test on.
//!
//! - [`Examples`]: ids and a label's number. [`Sentences`]: words and their tags. [`Questions`]: windows and where the answer
//!   is.

mod questions;
mod sentences;
mod texts;

use std::collections::HashSet;
use std::hash::Hash;
use std::path::Path;

use tensor::random::{Random, Stream};

pub use questions::Questions;
pub(in crate::transfer) use sentences::known_sentences;
pub use sentences::{Sentences, world_sentences};
pub use texts::{Example, Examples, world};

use crate::data::labelled::Tally;

/// Of fewer examples none is held out: all are needed.
const ENOUGH: usize = 50;
/// One example of so many is held out to validate on.
const HELD_OUT: usize = 5;
/// The world's examples to learn from and to test on.
const WORLD_TRAIN: u64 = 200;
const WORLD_TEST: u64 = 1000;

/// What stands in the place of a file's name where there is none.
const BUILT_IN: &str = "the built-in world";

/// The texts of a part with their places in its file.
type Placed<'a, T> = (&'a Path, Vec<(T, String)>);

/// Says which texts to validate on and to test on are in a part before as well: what is measured on them says nothing of what
/// is new. Texts are compared and not files, which may be copies. `what` is what a text is called.
pub(in crate::transfer) fn note_known<T: Eq + Hash>(
    what: &str,
    learned: impl Iterator<Item = T>,
    [val, test]: [Option<Placed<T>>; 2],
    notes: &mut Vec<String>,
) {
    let mut before: Vec<(&str, HashSet<T>)> = vec![("training", learned.collect())];
    for (part, of) in [("validation", val), ("test", test)] {
        let Some((path, texts)) = of else { continue };
        for (other, known) in &before {
            let mut both = Tally::default();
            texts.iter().filter(|(text, _)| known.contains(text)).for_each(|(_, place)| both.add(|| place.clone()));
            let [one, many] = [" is", "s are"].map(|is| format!("{part} {what}{is} among the {other} {what}s as well"));
            both.note(path, &one, &many, notes);
        }
        before.push((part, texts.into_iter().map(|(text, _)| text).collect()));
    }
}

/// Says how many of what is held out have copies that are learned from.
fn note_copies<T: Eq + Hash>(
    what: &str,
    held: &[T],
    train: impl Iterator<Item = T>,
    path: &Path,
    notes: &mut Vec<String>,
) {
    let train: HashSet<T> = train.collect();
    let (n, all) = (held.iter().filter(|text| train.contains(text)).count(), held.len());
    if n > 0 {
        let path = path.display();
        notes.push(format!(
            "{n} of the {all} {what}s that are held out to validate on have copies that are learned from: each in {path} once \
             would say more of what is new"
        ));
    }
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

#[cfg(test)]
mod tests;
