//! Entities, as `conlleval` counts them.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::Counts;

/// A named thing in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entity {
    /// Its type: what stands behind `B-` and `I-`.
    pub kind: String,
    /// Its words.
    pub words: Range<usize>,
}

/// The entities of one sentence from the tags of its words: `B-PER` begins a person, `I-PER` goes on with it, `O` is
/// outside of all.
///
/// A model may write what no annotator would. As in `conlleval`, `I-PER` then begins a person wherever there is none to
/// go on with: at the start, after `O`, after another type. Any other tag counts as `O`.
///
/// ```
/// use models::transfer::score::entities;
///
/// let found = entities(&["B-PER", "I-PER", "O", "I-LOC", "B-LOC"]);
/// let words: Vec<_> = found.iter().map(|entity| entity.words.clone()).collect();
/// assert_eq!(words, [0..2, 3..4, 4..5]);
/// ```
pub fn entities<T: AsRef<str>>(tags: &[T]) -> Vec<Entity> {
    let mut found: Vec<Entity> = Vec::new();
    for (at, tag) in tags.iter().enumerate() {
        let (place, kind) = tag.as_ref().split_once('-').unwrap_or((tag.as_ref(), ""));
        match found.last_mut() {
            Some(open) if place == "I" && open.words.end == at && open.kind == kind => open.words.end += 1,
            _ if place == "B" || place == "I" => found.push(Entity { kind: kind.to_owned(), words: at..at + 1 }),
            _ => {}
        }
    }
    found
}

/// The entities of all types together, from true and predicted tags for each sentence (Sang and Buchholz 2000: an
/// entity with one word too many is as wrong as none).
pub fn entity_score<T: AsRef<str>, P: AsRef<str>>(truth: &[Vec<T>], predicted: &[Vec<P>]) -> Counts {
    entity_score_by_type(truth, predicted).into_values().sum()
}

/// The same for each type that is there or was found.
pub fn entity_score_by_type<T: AsRef<str>, P: AsRef<str>>(
    truth: &[Vec<T>],
    predicted: &[Vec<P>],
) -> BTreeMap<String, Counts> {
    assert_eq!(truth.len(), predicted.len(), "predicted tags for each sentence");
    let mut scores: BTreeMap<String, Counts> = BTreeMap::new();
    for (truth, predicted) in truth.iter().zip(predicted) {
        assert_eq!(truth.len(), predicted.len(), "a predicted tag for each word");
        let expected: HashSet<Entity> = entities(truth).into_iter().collect();
        for entity in entities(predicted) {
            let right = expected.contains(&entity);
            let score = scores.entry(entity.kind).or_default();
            score.found += 1;
            score.correct += usize::from(right);
        }
        for entity in expected {
            scores.entry(entity.kind).or_default().expected += 1;
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn an_inside_tag_with_nothing_to_continue_begins_an_entity() {
        let spans = |tags: &str| -> Vec<(String, Range<usize>)> {
            let tags: Vec<&str> = tags.split(' ').collect();
            entities(&tags).into_iter().map(|entity| (entity.kind, entity.words)).collect()
        };
        let span = |kind: &str, words: Range<usize>| (kind.to_owned(), words);
        assert_eq!(spans("I-A I-A O I-A"), [span("A", 0..2), span("A", 3..4)]);
        assert_eq!(spans("B-A I-B I-B B-B"), [span("A", 0..1), span("B", 1..3), span("B", 3..4)]);
        assert_eq!(spans("B-A-x I-A-x I-A"), [span("A-x", 0..2), span("A", 2..3)]);
        assert!(spans("O [PAD] o").is_empty());
    }

    #[test]
    fn an_entity_counts_only_with_its_type_and_all_its_words() {
        let truth = [vec!["B-PER", "I-PER", "O"], vec!["B-LOC", "O", "B-PER"]];
        let predicted = [vec!["B-PER", "O", "O"], vec!["B-LOC", "B-ORG", "B-PER"]];
        let score = entity_score(&truth, &predicted);
        assert_eq!(score, Counts { correct: 2, found: 4, expected: 3 });
        assert!(near(score.precision(), 0.5) && near(score.recall(), 2.0 / 3.0) && near(score.f1(), 4.0 / 7.0));
        let by_type = entity_score_by_type(&truth, &predicted);
        assert_eq!(by_type["PER"], Counts { correct: 1, found: 2, expected: 2 });
        assert_eq!(by_type["ORG"].recall(), 0.0);
        // The end of a sentence ends its entities.
        let cut = [vec!["B-PER"], vec!["I-PER"]];
        assert_eq!(entity_score(&cut, &cut).expected, 2);
    }
}
