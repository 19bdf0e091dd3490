//! Choices: the grammar asks a *teller* at every choice, and each teller makes another thing of the same grammar.
//!
//! | teller | at a choice | gives |
//! |---|---|---|
//! | [`Draw`] | draws an option from the random stream | a story and its nats |
//! | [`Retell`](super::retell) | takes what was taken before | the same story in other words |
//! | [`Expect`](super::expect::Expect) | weighs the options | the expected nats |
//! | [`Hear`](super::score::Hear) | tries every option that agrees with a given text | the probability of that text |
//!
//! So the grammar is written once, and a story, its probability and the entropy cannot drift apart.

use tensor::random::Random;

use super::labels::{Entity, Labels};

/// What a choice is about. [`World::entropy_by_choice`](super::World::entropy_by_choice) tells how many nats each is
/// worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// How many objects are on the table.
    ObjectCount,
    /// How many things happen.
    EventCount,
    /// What happens next.
    Event,
    /// How many questions are asked.
    QuestionCount,
    /// What is asked next.
    Question,
    /// Which of several wordings a sentence has.
    Wording,
    /// Weather, day and room.
    Setting,
    /// The names of the two people.
    Name,
    /// Size, colour and shape of an object when it is first named.
    Looks,
    /// The place of an object when it is first named.
    FirstPlace,
    /// Which of the two people acts.
    Who,
    /// Which object something is done with, and whether its colour is said.
    Which,
    /// How something is done, or what somebody does while looking.
    Manner,
    /// Where an object is moved.
    NewPlace,
    /// In which colour an object is painted.
    NewColour,
    /// Which object is asked about.
    Asked,
}

impl Choice {
    /// Whether the numbers of options later in the story depend on what is taken here. All other choices may be
    /// taken in any way without a change to how many nats are still to be expected.
    pub(super) fn branches(self) -> bool {
        use Choice::{Event, EventCount, ObjectCount, Question, QuestionCount};
        matches!(self, ObjectCount | EventCount | Event | QuestionCount | Question)
    }
}

/// Whoever decides at each choice of the grammar and hears the text in between.
/// `None` breaks the story off: this way of telling it is of no use.
pub(super) trait Teller {
    /// Takes one of the options, whose probabilities are `weights` divided by their sum.
    fn choose(&mut self, what: Choice, weights: &[u32]) -> Option<usize>;

    /// The next piece of text.
    fn say(&mut self, text: &str) -> Option<()>;

    /// What is said from here on, up to [`Self::end`], names something. Only who makes labels cares.
    fn begin(&mut self, _: Entity) {}

    /// The end of what was begun.
    fn end(&mut self) {}

    /// Takes one of `options` equally probable options.
    fn pick(&mut self, what: Choice, options: usize) -> Option<usize> {
        const ONES: [u32; 32] = [1; 32];
        self.choose(what, &ONES[..options])
    }
}

/// −ln p of option `taken`.
pub(super) fn nats(weights: &[u32], taken: usize) -> f64 {
    (f64::from(weights.iter().sum::<u32>()) / f64::from(weights[taken])).ln()
}

/// The teller of stories: draws each option with its probability, adds up what it was worth, and keeps what is true.
pub(super) struct Draw {
    pub random: Random,
    pub text: String,
    pub nats: f64,
    pub labels: Labels,
}

impl Draw {
    /// Keeps what is true of the story once `taken` was taken.
    pub fn note(&mut self, what: Choice, taken: usize) {
        match what {
            Choice::Event => self.labels.events.push(taken),
            Choice::Wording => self.labels.wordings.push(self.text.len()),
            Choice::QuestionCount => self.labels.told = self.text.len(),
            _ => {}
        }
    }
}

impl Teller for Draw {
    fn choose(&mut self, what: Choice, weights: &[u32]) -> Option<usize> {
        let total = weights.iter().map(|&w| u64::from(w)).sum();
        let mut left = self.random.below(total);
        let taken = weights.iter().position(|&w| {
            let here = left < u64::from(w);
            left = left.saturating_sub(u64::from(w));
            here
        })?;
        self.nats += nats(weights, taken);
        self.note(what, taken);
        Some(taken)
    }

    fn say(&mut self, text: &str) -> Option<()> {
        self.text.push_str(text);
        Some(())
    }

    fn begin(&mut self, entity: Entity) {
        self.labels.entities.push((self.text.len()..self.text.len(), entity));
    }

    fn end(&mut self) {
        if let Some((place, _)) = self.labels.entities.last_mut() {
            place.end = self.text.len();
        }
    }
}

/// One path through a tree of choices, and the step to the next: with it a teller visits all paths,
/// depth first, by telling the story again and again from its beginning.
#[derive(Default)]
pub(super) struct Path {
    steps: Vec<(usize, usize)>, // (option taken, number of options)
    depth: usize,
}

impl Path {
    /// The option that this path takes at the next of its choices.
    pub fn take(&mut self, options: usize) -> usize {
        if self.depth == self.steps.len() {
            self.steps.push((0, options));
        }
        self.depth += 1;
        self.steps[self.depth - 1].0
    }

    /// Goes back to the beginning with the last choice changed that has an option left; false after the last path.
    pub fn next(&mut self) -> bool {
        self.depth = 0;
        while let Some((taken, options)) = self.steps.pop() {
            if taken + 1 < options {
                self.steps.push((taken + 1, options));
                return true;
            }
        }
        false
    }
}
