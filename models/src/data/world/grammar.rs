//! How a story is told: the one grammar, from the opening to the answers, asking a teller at every choice.
//!
//! Choices are made in the order in which the text shows them, and a choice that cannot be taken any more (a name that
//! is in use, a place where something stands) is not offered. So each choice is among options of known probability,
//! the text shows which was taken, and p(text) is the product of these probabilities.

use super::labels::Entity;
use super::scene::{Colour, Object, Place, Scene, Shape, Size, without};
use super::teller::{Choice, Teller};
use super::words::{
    ADVERBS, DAYS, EVENTS, OPENINGS, PEOPLE, Part, Person, QUESTIONS, REACTIONS, ROOMS, TABLES, WEATHER, parts,
};

/// Tells one story, as `teller` chooses; `None` if it broke off.
pub(super) fn tell(teller: &mut impl Teller) -> Option<()> {
    Telling { teller, scene: Scene::default(), people: Vec::new(), who: 0, object: 0 }.story()
}

/// A story being told: what is on the table, who is there, and who and what was named last.
struct Telling<'a, T> {
    teller: &'a mut T,
    scene: Scene,
    people: Vec<Person>,
    who: usize,    // index into people
    object: usize, // index into scene.objects
}

impl<T: Teller> Telling<'_, T> {
    /// Two or three objects, two or three events, one question or now and then two, and a newline as the mark of the end.
    fn story(mut self) -> Option<()> {
        self.speak(OPENINGS)?;
        self.next_sentence(TABLES)?;
        let weights: Vec<u32> = EVENTS.iter().map(|event| event.weight).collect();
        for _ in 0..2 + self.teller.pick(Choice::EventCount, 2)? {
            let event = self.teller.choose(Choice::Event, &weights)?;
            self.next_sentence(EVENTS[event].wordings)?;
        }
        let mut unasked: Vec<_> = QUESTIONS.iter().collect();
        for _ in 0..1 + self.teller.choose(Choice::QuestionCount, &[3, 1])? {
            let question = unasked.remove(self.teller.pick(Choice::Question, unasked.len())?);
            self.next_sentence(question.asked)?;
            self.next_sentence(question.answered)?;
        }
        self.teller.say("\n")
    }

    fn next_sentence(&mut self, wordings: &[&str]) -> Option<()> {
        self.teller.say(" ")?;
        self.speak(wordings)
    }

    /// Says one of the wordings, with its slots filled.
    fn speak(&mut self, wordings: &[&str]) -> Option<()> {
        let wording = wordings[self.teller.pick(Choice::Wording, wordings.len())?];
        parts(wording).try_for_each(|part| match part {
            Part::Text(text) => self.teller.say(text),
            Part::Recalled(known) => self.recall(known),
            Part::Drawn(slot) => self.fill(slot),
        })
    }

    /// Fills a slot with something drawn, and does to the scene what the text then says.
    fn fill(&mut self, slot: &str) -> Option<()> {
        match slot {
            "weather" => self.say_one_of(Choice::Setting, WEATHER),
            "day" => self.say_one_of(Choice::Setting, DAYS),
            "room" => self.say_one_of(Choice::Setting, ROOMS),
            "adverb" => self.say_one_of(Choice::Manner, ADVERBS),
            "reaction" => self.say_one_of(Choice::Manner, REACTIONS),
            "name" => {
                let strangers = without(PEOPLE, |p| self.people.contains(&p));
                let person = self.one_of(Choice::Name, &strangers)?;
                self.people.push(person);
                self.named(Entity::Person, person.name)
            }
            "objects" => self.set_table(),
            "who" => {
                self.who = self.teller.pick(Choice::Who, self.people.len())?;
                self.recall("who")
            }
            "object" => {
                let all: Vec<usize> = (0..self.scene.objects.len()).collect();
                self.refer(&all)
            }
            "another" => {
                let first = self.object;
                let others: Vec<usize> = (0..self.scene.objects.len()).filter(|&o| o != first).collect();
                self.refer(&others)?;
                self.exchange(first, self.object);
                Some(())
            }
            "place" => {
                let free = self.scene.free_places();
                self.scene.objects[self.object].place = self.one_of(Choice::NewPlace, &free)?;
                self.recall("place")
            }
            "colour" => {
                let others = without(Colour::ALL, |c| c == self.scene.objects[self.object].colour);
                self.scene.objects[self.object].colour = self.one_of(Choice::NewColour, &others)?;
                self.recall("colour")
            }
            "shape" | "spot" => {
                self.object = self.teller.pick(Choice::Asked, self.scene.objects.len())?;
                self.recall(if slot == "spot" { "place" } else { slot })
            }
            _ => panic!("no choice fills the slot {{{slot}}}"),
        }
    }

    /// Fills a slot with what is known: how the person or the object that was named last is called, or is now.
    fn recall(&mut self, slot: &str) -> Option<()> {
        let (who, object) = (self.people[self.who], self.scene.objects[self.object]);
        match slot {
            "who" => self.named(Entity::Person, who.name),
            "She" => self.teller.say(who.she),
            "shape" => self.named(Entity::Object, object.shape.word()),
            "colour" => self.teller.say(object.colour.word()),
            "place" => self.named(Entity::Place, object.place.word()),
            _ => panic!("nothing known fills the slot {{={slot}}}"),
        }
    }

    /// Says what names something.
    fn named(&mut self, entity: Entity, words: &str) -> Option<()> {
        self.teller.begin(entity);
        self.teller.say(words)?;
        self.teller.end();
        Some(())
    }

    /// "a small red ball on the left, a …": puts two or three objects on the table.
    fn set_table(&mut self) -> Option<()> {
        let count = 2 + self.teller.pick(Choice::ObjectCount, 2)?;
        for i in 0..count {
            self.teller.say(match i {
                0 => "a ",
                _ if i == count - 1 => " and a ",
                _ => ", a ",
            })?;
            self.teller.begin(Entity::Object);
            let size = self.one_of(Choice::Looks, Size::ALL)?;
            self.teller.say(size.word())?;
            let colour = self.one_of(Choice::Looks, Colour::ALL)?;
            self.teller.say(&format!(" {} ", colour.word()))?;
            let shape: Shape = self.one_of(Choice::Looks, &self.scene.unused_shapes())?;
            self.teller.say(shape.word())?;
            self.teller.end();
            self.teller.say(" ")?;
            let place: Place = self.one_of(Choice::FirstPlace, &self.scene.free_places())?;
            self.named(Entity::Place, place.word())?;
            self.scene.objects.push(Object { shape, colour, size, place });
        }
        Some(())
    }

    /// "the ball" or, one time in eight, "the red ball": one of `candidates`, which becomes the object named last.
    fn refer(&mut self, candidates: &[usize]) -> Option<()> {
        self.object = self.one_of(Choice::Which, candidates)?;
        self.teller.say("the ")?;
        let Object { shape, colour, .. } = self.scene.objects[self.object];
        self.teller.begin(Entity::Object);
        if self.teller.choose(Choice::Which, &[7, 1])? == 1 {
            self.teller.say(colour.word())?;
            self.teller.say(" ")?;
        }
        self.teller.say(shape.word())?;
        self.teller.end();
        Some(())
    }

    /// Two objects change places.
    fn exchange(&mut self, a: usize, b: usize) {
        let place = self.scene.objects[a].place;
        self.scene.objects[a].place = self.scene.objects[b].place;
        self.scene.objects[b].place = place;
    }

    fn one_of<I: Copy>(&mut self, what: Choice, items: &[I]) -> Option<I> {
        Some(items[self.teller.pick(what, items.len())?])
    }

    fn say_one_of(&mut self, what: Choice, words: &[&str]) -> Option<()> {
        let word = self.one_of(what, words)?;
        self.teller.say(word)
    }
}
