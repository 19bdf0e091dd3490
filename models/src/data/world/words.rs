//! The English of the stories: names, weather, and every wording of every sentence.
//!
//! A wording is a sentence with slots. `{object}` is a *choice*: what fills it is drawn, and what is drawn may change
//! the scene. `{=place}` is *recalled*: the story so far determines it, and a model that has followed the story
//! predicts it without loss. [`grammar`](super::grammar) fills the slots.
//!
//! Two rules keep the probability of a text equal to the probability of the one way to tell it.
//!
//! - In each list, no entry begins another entry, so the text itself shows where a word ends and which it was.
//! - The wordings of one sentence offer the same numbers of choices, so that the expected nats of a story do not
//!   depend on which wording was taken.

/// A part of a wording.
pub(super) enum Part<'a> {
    /// What is said as it stands.
    Text(&'a str),
    /// A slot for what is drawn: `{object}`.
    Drawn(&'a str),
    /// A slot for what is known by then: `{=place}`.
    Recalled(&'a str),
}

/// The parts of a wording, in order: what stands outside of braces and inside takes turns.
pub(super) fn parts(wording: &str) -> impl Iterator<Item = Part<'_>> {
    wording.split(['{', '}']).enumerate().map(|(i, part)| match part.strip_prefix('=') {
        _ if i % 2 == 0 => Part::Text(part),
        Some(known) => Part::Recalled(known),
        None => Part::Drawn(part),
    })
}

/// A person of the stories: the name, and the pronoun that begins a sentence about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub name: &'static str,
    pub she: &'static str,
}

const fn she(name: &'static str) -> Person {
    Person { name, she: "She" }
}

const fn he(name: &'static str) -> Person {
    Person { name, she: "He" }
}

#[rustfmt::skip]
pub(super) const PEOPLE: &[Person] = &[
    she("Anna"), he("Ben"), she("Clara"), he("David"), she("Emma"), he("Felix"), she("Grace"), he("Henry"),
    she("Iris"), he("Jack"), she("Kate"), he("Leo"), she("Mia"), he("Noah"), she("Olga"), he("Paul"),
    she("Julia"), he("Karl"), she("Lena"), he("Max"), she("Nina"), he("Otto"), she("Rosa"), he("Sam"),
];

#[rustfmt::skip]
pub(super) const WEATHER: &[&str] = &[
    "sunny", "rainy", "windy", "snowy", "foggy", "stormy", "warm", "cold",
    "hot", "dry", "grey", "bright", "misty", "quiet", "mild", "frosty",
];

pub(super) const DAYS: &[&str] = &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[rustfmt::skip]
pub(super) const ROOMS: &[&str] = &[
    "kitchen", "garden", "attic", "library", "hall", "shed", "barn", "cellar",
    "studio", "park", "yard", "tower", "cabin", "loft", "porch", "school",
];

#[rustfmt::skip]
pub(super) const ADVERBS: &[&str] = &[
    "slowly", "quickly", "gently", "softly", "boldly", "proudly", "happily", "calmly",
    "kindly", "neatly", "swiftly", "bravely", "eagerly", "gladly", "wisely", "firmly",
];

#[rustfmt::skip]
pub(super) const REACTIONS: &[&str] = &[
    "smiles", "laughs", "nods", "yawns", "sings", "hums a song", "counts to ten", "claps",
    "waves", "grins", "whistles", "sighs",
];

/// Who plays, when and where.
pub(super) const OPENINGS: &[&str] = &[
    "On a {weather} {day}, {name} and {name} sit in the {room}.",
    "It is a {weather} {day}. {name} and {name} play in the {room}.",
    "One {weather} {day}, {name} and {name} meet in the {room}.",
    "{name} and {name} spend a {weather} {day} in the {room}.",
];

/// What is on the table.
pub(super) const TABLES: &[&str] =
    &["On the table is {objects}.", "There is {objects}.", "They see {objects}.", "They have {objects}."];

/// Something that happens: its share among all events, and its wordings.
pub(super) struct Event {
    pub weight: u32,
    pub wordings: &'static [&'static str],
}

/// What can happen: an object is moved, looked at or painted, or two are exchanged.
pub(super) const EVENTS: &[Event] = &[
    Event {
        weight: 4,
        wordings: &[
            "{who} {adverb} puts {object} {place}.",
            "{who} takes {object} and {adverb} sets it {place}.",
            "{who} picks up {object}. {=She} {adverb} lays it {place}.",
            "Next, {who} {adverb} places {object} {place}.",
        ],
    },
    Event {
        weight: 2,
        wordings: &[
            "{who} looks at {object} and {reaction}.",
            "{who} points at {object} and {reaction}.",
            "{who} touches {object} and {reaction}.",
        ],
    },
    Event {
        weight: 1,
        wordings: &[
            "{who} {adverb} paints {object} {colour}.",
            "{who} finds a brush and {adverb} paints {object} {colour}.",
        ],
    },
    Event {
        weight: 1,
        wordings: &["{who} {adverb} swaps {object} and {another}.", "{who} {adverb} exchanges {object} and {another}."],
    },
];

/// A kind of question: its wordings, and those of its answer.
pub(super) struct Question {
    pub asked: &'static [&'static str],
    pub answered: &'static [&'static str],
}

/// What can be asked: where an object is, what colour it has, what is at a place, and who came last.
/// Each answer holds one word or phrase that stands in the story before the question.
pub(super) const QUESTIONS: &[Question] = &[
    Question {
        asked: &["Where is the {shape} now?", "So where is the {shape}?", "And where is the {shape} now?"],
        answered: &["It is {=place}.", "The {=shape} is {=place}."],
    },
    Question {
        asked: &["What colour is the {shape}?", "And what colour is the {shape} now?"],
        answered: &["It is {=colour}.", "The {=shape} is {=colour}."],
    },
    Question {
        asked: &["What is {spot} now?", "And what is {spot}?"],
        answered: &["It is the {=shape}.", "The {=shape} is."],
    },
    Question { asked: &["Who had the last turn?", "Who came last?"], answered: &["It was {=who}.", "{=who} did."] },
];
