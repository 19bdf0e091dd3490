//! A reader who follows stories from their text, without the grammar: is everything that is said true?
//! And what would it cost to read without memory?

use std::collections::BTreeMap;

use super::super::scene::{Colour, Place, Shape, Size};
use super::super::words::PEOPLE;
use super::{World, stories};

#[derive(Debug)]
struct Thing<'a> {
    shape: &'a str,
    colour: &'a str,
    place: &'a str,
}

/// What the reader knows after some sentences.
#[derive(Default)]
struct Reader<'a> {
    people: Vec<&'a str>,
    things: Vec<Thing<'a>>,
    who: &'a str,
    it: usize,                          // the thing named last
    places: Vec<&'a str>,               // all that were stated, also those of the past
    colours: Vec<&'a str>,              // likewise
    costs: BTreeMap<&'static str, f64>, // nats that a reader without memory pays more
}

/// The words of a sentence, without its marks.
fn words(sentence: &str) -> Vec<&str> {
    sentence.split(' ').map(|w| w.trim_end_matches(['.', ',', '?'])).collect()
}

fn place_in(text: &str) -> Option<&'static str> {
    Place::ALL.iter().map(|p| p.word()).find(|p| text.contains(p))
}

fn is_shape(word: &str) -> bool {
    Shape::ALL.iter().any(|s| s.word() == word)
}

fn is_colour(word: &str) -> bool {
    Colour::ALL.iter().any(|c| c.word() == word)
}

fn note<'a>(list: &mut Vec<&'a str>, word: &'a str) {
    if !list.contains(&word) {
        list.push(word);
    }
}

impl<'a> Reader<'a> {
    /// `of` candidates seem possible to a reader without memory, and `are` are.
    fn cost(&mut self, what: &'static str, of: usize, are: usize) {
        *self.costs.entry(what).or_default() += (of as f64 / are as f64).ln();
    }

    fn story(&mut self, text: &'a str) {
        let mut sentences = text.trim_end().split_inclusive(['.', '?']).map(str::trim);
        let mut questions = 0;
        while let Some(sentence) = sentences.next() {
            if sentence.ends_with('?') {
                questions += 1;
                let answer = sentences.next().expect("every question is answered");
                let before = &text[..text.find(sentence).unwrap()];
                self.answer(sentence, answer, before);
            } else if !self.things.is_empty() {
                self.event(sentence);
            } else if words(sentence).into_iter().any(is_shape) {
                self.table(sentence);
            } else {
                self.people.extend(words(sentence).iter().filter(|w| PEOPLE.iter().any(|p| p.name == **w)));
            }
        }
        self.cost("no name, question, shape or place twice", 16, 15);
        if questions == 2 {
            self.cost("no name, question, shape or place twice", 4, 3);
        }
    }

    /// "They have a small red ball on the left and a …"
    fn table(&mut self, sentence: &'a str) {
        assert!(self.people.len() == 2 && self.people[0] != self.people[1]);
        for part in sentence.split(" a ").skip(1) {
            let w = words(part);
            assert!(Size::ALL.iter().any(|s| s.word() == w[0]) && is_colour(w[1]) && is_shape(w[2]), "{part}");
            let thing = Thing { colour: w[1], shape: w[2], place: place_in(part).unwrap() };
            assert!(!self.things.iter().any(|t| t.shape == thing.shape || t.place == thing.place), "{sentence}");
            self.cost("no name, question, shape or place twice", 72, (8 - self.things.len()) * (9 - self.things.len()));
            note(&mut self.places, thing.place);
            note(&mut self.colours, thing.colour);
            self.things.push(thing);
        }
        assert!((2..=3).contains(&self.things.len()), "{sentence}");
    }

    /// The things that a sentence names: "the ball", or "the red ball" if it is red.
    fn named(&mut self, w: &[&str]) -> Vec<usize> {
        let mut named = Vec::new();
        for i in (0..w.len()).filter(|&i| is_shape(w[i])) {
            let which = self.things.iter().position(|t| t.shape == w[i]).expect("only what is on the table is named");
            if w[i - 1] != "the" {
                assert_eq!(w[i - 1], self.things[which].colour, "{w:?}");
                self.cost("the shape after its colour", self.things.len(), 1);
            }
            named.push(which);
        }
        named
    }

    fn event(&mut self, sentence: &'a str) {
        let w = words(sentence);
        match w.iter().find(|w| PEOPLE.iter().any(|p| p.name == **w)) {
            Some(name) => self.who = name,
            None => {
                let she = PEOPLE.iter().find(|p| p.name == self.who).unwrap().she;
                assert_eq!(w[0], she, "{sentence}");
                self.cost("the pronoun", 2, 1);
            }
        }
        assert!(self.people.contains(&self.who), "{sentence}");
        let named = self.named(&w);
        self.it = named.first().copied().unwrap_or(self.it);
        if let Some(place) = place_in(sentence) {
            assert!(self.things.iter().all(|t| t.place != place), "taken: {sentence}");
            self.cost("a free place to move to", 9, 9 - self.things.len());
            self.things[self.it].place = place;
            note(&mut self.places, place);
        } else if sentence.contains(" paints ") {
            let colour = w[w.len() - 1];
            assert!(is_colour(colour) && colour != self.things[self.it].colour, "{sentence}");
            self.cost("another colour, another object", 8, 7);
            self.things[self.it].colour = colour;
            note(&mut self.colours, colour);
        } else if let [a, b] = named[..] {
            assert!(a != b && (sentence.contains(" swaps ") || sentence.contains(" exchanges ")), "{sentence}");
            self.cost("another colour, another object", self.things.len(), self.things.len() - 1);
            (self.things[a].place, self.things[b].place) = (self.things[b].place, self.things[a].place);
        }
    }

    /// The answer is true, and its word or phrase stands in the story before the question.
    fn answer(&mut self, question: &str, answer: &str, before: &str) {
        let w = words(question);
        let asked = self.things.iter().position(|t| w.contains(&t.shape) || question.contains(t.place));
        let (span, true_answers, candidates) = match asked.map(|i| &self.things[i]) {
            None => {
                assert!(question.starts_with("Who "), "what is asked here? {question}");
                (self.who, [format!("It was {}.", self.who), format!("{} did.", self.who)], 2)
            }
            Some(Thing { shape, colour, .. }) if question.contains("hat colour is the ") => {
                (*colour, [format!("It is {colour}."), format!("The {shape} is {colour}.")], self.colours.len())
            }
            Some(Thing { shape, place, .. }) if question.contains("here is the ") => {
                (*place, [format!("It is {place}."), format!("The {shape} is {place}.")], self.places.len())
            }
            Some(Thing { shape, .. }) => {
                assert!(question.contains("hat is "), "what is asked here? {question}");
                (*shape, [format!("It is the {shape}."), format!("The {shape} is.")], self.things.len())
            }
        };
        assert!(before.contains(span) && true_answers.iter().any(|a| a == answer), "{before} {question} {answer}");
        self.cost("the answer", candidates, 1);
        if answer.starts_with("The ") && !answer.ends_with(" is.") {
            self.cost("the shape in the question again", self.things.len(), 1);
        }
        if place_in(question).is_some() {
            self.cost("a place to ask about where something is", self.places.len(), self.things.len());
        }
    }
}

#[test]
fn everything_that_is_said_is_true_and_answers_are_spans_of_the_story() {
    stories(5_000).for_each(|story| Reader::default().story(&story.text));
}

#[test]
fn a_reader_without_memory_pays_5_to_8_percent_more_than_the_entropy() {
    let n = 5_000;
    let mut costs: BTreeMap<&str, f64> = BTreeMap::new();
    for story in stories(n) {
        let mut reader = Reader::default();
        reader.story(&story.text);
        reader.costs.iter().for_each(|(what, nats)| *costs.entry(what).or_default() += nats / n as f64);
    }
    let share = costs.values().sum::<f64>() / World::entropy();
    println!("{:.1} nats a story, and without memory {:.1}% more: {costs:.2?}", World::entropy(), 100.0 * share);
    assert!((0.05..0.08).contains(&share), "{share}");
}
