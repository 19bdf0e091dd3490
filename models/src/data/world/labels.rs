//! What is true of a story by construction: labels that nobody had to write.
//!
//! A labelled story is told up to its questions. The people, objects and places that it names are there to be tagged. Who,
//! when and where can be asked about it, which the story answers in its own words. And its opening with the first thing that
//! happens is a text to classify: there are four kinds of things, and each is said with several verbs. Whoever knows from
//! other stories which verbs do the same needs to be told of one of them.

use std::ops::Range;
use std::sync::Arc;

use tensor::random::Stream;

use super::World;
use super::teller::Draw;
use super::words::{DAYS, ROOMS};
use crate::data::labelled::squad::{Answer, Question};

/// What a part of a story names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// "Mia"
    Person,
    /// "tiny red ball", "ball"
    Object,
    /// "in the top left"
    Place,
}

impl Entity {
    /// The name of its kind in a tag.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "PER",
            Self::Object => "OBJ",
            Self::Place => "LOC",
        }
    }
}

/// What can happen, by the number of its event.
pub const EVENTS: [&str; 4] = ["moved", "watched", "painted", "swapped"];

/// What was noted while a story was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    /// What happens, in order.
    pub events: Vec<usize>,
    /// Where each wording begins: the opening, the table, what happens, questions and answers.
    pub wordings: Vec<usize>,
    /// The length of the story before its questions.
    pub told: usize,
    pub entities: Vec<(Range<usize>, Entity)>,
}

/// A story without its questions, and what is true of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// Some sentences in one line.
    pub text: String,
    /// The people, objects and places that it names, by their bytes in the text, in order.
    pub entities: Vec<(Range<usize>, Entity)>,
}

/// Labelled stories are numbered from here on, far beyond those to validate on.
pub(super) const FIRST: u64 = 1 << 32;

impl Labelled {
    /// The story's words with a BIO tag each, punctuation a word of its own.
    pub fn tagged(&self) -> (Vec<String>, Vec<String>) {
        let (mut words, mut tags) = (Vec::new(), Vec::new());
        let mut entities = self.entities.iter().peekable();
        let mut at = 0;
        for part in self.text.split_inclusive([' ', ',', '.']) {
            let word = part.trim_end_matches([' ', ',', '.']);
            while entities.next_if(|(place, _)| place.end <= at).is_some() {}
            let tag = match entities.peek() {
                Some((place, entity)) if !word.is_empty() && place.contains(&at) => {
                    format!("{}-{}", if place.start == at { 'B' } else { 'I' }, entity.name())
                }
                _ => "O".to_owned(),
            };
            let mark = part[word.len()..].trim_end();
            for (text, tag) in [(word, tag), (mark, "O".to_owned())].into_iter().filter(|(text, _)| !text.is_empty()) {
                words.push(text.to_owned());
                tags.push(tag);
            }
            at += part.len();
        }
        (words, tags)
    }
}

impl World {
    /// Labelled story number `index`, which no model was trained or validated on.
    pub fn labelled(&self, index: u64) -> Labelled {
        let mut teller = self.tell(Stream::WorldVal, FIRST + index);
        let Labels { told, mut entities, .. } = teller.labels;
        teller.text.truncate(told);
        entities.retain(|(place, _)| place.end <= told);
        Labelled { text: teller.text, entities }
    }

    /// How labelled story number `index` opens and the first thing that happens in it, and what that is: one of [`EVENTS`].
    pub fn happening(&self, index: u64) -> (String, &'static str) {
        let Draw { text, labels: Labels { events, wordings, .. }, .. } = self.tell(Stream::WorldVal, FIRST + index);
        let [opening, happens] = [0, 2].map(|i| text[wordings[i]..wordings[i + 1]].trim_end());
        (format!("{opening} {happens}"), EVENTS[events[0]])
    }

    /// A question about labelled story number `index`: on which day it happens, in what weather, where, or who acts last.
    pub fn asked(&self, index: u64) -> Question {
        let Labelled { text, entities, .. } = self.labelled(index);
        let word_of = |words: &[&str]| words.iter().find_map(|word| text.find(word).map(|at| at..at + word.len()));
        let day = word_of(DAYS).unwrap_or_default();
        let (asked, place) = match index % 4 {
            0 => (["Which day is it?", "On which day do they meet?"], day),
            1 => {
                let before = text[..day.start].trim_end(); // "a cold Sunday"
                let start = before.rfind(' ').map_or(0, |space| space + 1);
                (["How is the weather?", "What is the weather like?"], start..before.len())
            }
            2 => (["Where are they?", "Where does it happen?"], word_of(ROOMS).unwrap_or_default()),
            _ => {
                let last = entities.into_iter().rfind(|(_, entity)| *entity == Entity::Person);
                (["Who had the last turn?", "Who came last?"], last.map_or(0..0, |(place, _)| place))
            }
        };
        let answers = vec![Answer { text: text[place.clone()].to_owned(), start: Some(place.start) }];
        let question = asked[(index / 4 % 2) as usize].to_owned();
        Question { id: format!("world-{index}"), question, context: Arc::from(text), answers }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Shape;
    use super::super::words::{PEOPLE, WEATHER};
    use super::*;

    #[test]
    fn the_tags_mark_the_same_entities() {
        let story = Labelled {
            text: "Mia and Henry see a tiny red ball at the top, it seems.".to_owned(),
            entities: vec![
                (0..3, Entity::Person),
                (8..13, Entity::Person),
                (20..33, Entity::Object),
                (34..44, Entity::Place),
            ],
        };
        let (words, tags) = story.tagged();
        assert_eq!(words.join(" "), "Mia and Henry see a tiny red ball at the top , it seems .");
        assert_eq!(tags.join(" "), "B-PER O B-PER O O B-OBJ I-OBJ I-OBJ B-LOC I-LOC I-LOC O O O O");
    }

    #[test]
    fn the_answers_are_what_the_questions_ask_for() {
        let world = World::new(1);
        for index in 0..500 {
            let asked = world.asked(index);
            let (Answer { text, .. }, start) = (&asked.answers[0], asked.learned().unwrap().start);
            assert!(asked.context[start..].starts_with(&text[..]), "{asked:?}");
            let (listed, after) = (|words: &[&str]| words.contains(&&text[..]), &asked.context[start + text.len()..]);
            let good = match &asked.question {
                q if q.contains("day") => listed(DAYS),
                q if q.contains("weather") => {
                    listed(WEATHER) && DAYS.iter().any(|day| after.starts_with(&format!(" {day}")))
                }
                q if q.starts_with("Where") => listed(ROOMS),
                _ => PEOPLE.iter().any(|p| p.name == text) && !PEOPLE.iter().any(|p| after.contains(p.name)),
            };
            assert!(good, "{asked:?}");
        }
    }

    #[test]
    fn what_happens_is_what_the_text_says_and_nothing_else() {
        let world = World::new(1);
        let verbs = |event: &str| match event {
            "moved" => &["puts", "sets", "lays", "places"][..],
            "watched" => &["looks", "points", "touches"],
            "painted" => &["paints"],
            _ => &["swaps", "exchanges"],
        };
        for index in 0..500 {
            let ((text, happens), story) = (world.happening(index), world.labelled(index).text);
            for event in EVENTS {
                let said = verbs(event).iter().any(|verb| text.contains(&format!(" {verb} ")));
                assert_eq!(said, event == happens, "{happens}: {text}");
            }
            let (opening, event) = (text.find(['.', ',']).unwrap(), text.trim_end_matches('.').rfind(". ").unwrap());
            assert!(story.starts_with(&text[..opening]) && story.contains(&text[event + 2..]), "{text} of {story}");
        }
    }

    #[test]
    fn the_labels_are_what_the_text_says() {
        let world = World::new(1);
        for index in 0..500 {
            let story = world.labelled(index);
            for (place, entity) in &story.entities {
                let named = &story.text[place.clone()];
                let good = match entity {
                    Entity::Person => named.starts_with(char::is_uppercase),
                    Entity::Object => !named.contains("the ") && named.split(' ').count() <= 3,
                    Entity::Place => ["in the ", "on the ", "at the "].iter().any(|begin| named.starts_with(begin)),
                };
                assert!(good, "{entity:?} {named}");
            }
            // And nobody is left out, and no object.
            let labelled = |of: Entity| story.entities.iter().filter(|(_, entity)| *entity == of).count();
            let words = || story.text.split(|c: char| !c.is_alphanumeric());
            let people = words().filter(|word| PEOPLE.iter().any(|person| person.name == *word)).count();
            let objects = words().filter(|word| Shape::ALL.iter().any(|shape| shape.word() == *word)).count();
            assert_eq!([labelled(Entity::Person), labelled(Entity::Object)], [people, objects], "{}", story.text);
        }
    }
}
