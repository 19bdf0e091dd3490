//! The built-in world: short stories about objects on a table, without end, from a seed, with a known entropy.
//!
//! > On a cold Sunday, Mia and Henry sit in the attic. They have a tiny red ball on the left and a big blue star at the
//! > top. Henry takes the red ball and slowly sets it in the middle. Mia looks at the star and hums a song. So where is
//! > the ball? It is in the middle.
//!
//! A model trains on this world before anybody has found a file for it, and, which no file offers, it can be told how
//! far it still has to go. Every choice in a story is drawn with a known probability, and the text shows which option
//! was taken. So p(text) is the product of the probabilities of its choices, [`Story::nats`] is −ln p(text), and the
//! expected nats of a story ([`World::entropy`]) are the loss, per story, that no model can beat.
//!
//! Most of these nats are in choices that nothing predicts: names, looks, places, adverbs. A model learns their
//! frequencies and pays for them for ever. The rest of the text follows from what was said before: who "She" is, which
//! shape "the red …" has, where there is room, the answers. A model that follows the story pays nothing for it. A
//! reader without memory, who guesses among what the story has named, pays about 7% more than the entropy of 59.4 nats
//! (`cargo test -p models memory -- --nocapture` prints where), and one who does not even look back at the names far
//! more than that.
//!
//! The files, in the order to read them: [`scene`] is what there is, `words` the sentences, `grammar` fills them,
//! `teller` decides; `expect` computes the entropy, `score` the probability of any text; [`labels`] is what is true of a story,
//! `retell` the same story in other words.
//!
//! A scene can be looked at as well: [`pictured`] sets a table of its own, `captions` says in several ways what is on it,
//! and `draw` shows it, each shape by its formula in `shapes`. So images and texts that belong together come without
//! end, with combinations of shape and colour that training never shows.

mod captions;
mod draw;
mod expect;
mod grammar;
pub mod labels;
pub mod pictured;
mod retell;
pub mod scene;
mod score;
mod shapes;
mod teller;
mod words;

#[cfg(test)]
mod tests;

use tensor::random::{Random, Stream};

pub use teller::Choice;

/// The name of the stories that seeds give, for who keeps something that was made of them: another as soon as a seed gives others
/// (a test holds them to it).
pub const VERSION: &str = "world";
/// The same of scenes, their pictures and captions (a test holds scenes and captions to it).
pub const PICTURED: &str = "pictured 2";

/// One story and what it is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Some sentences of plain English in ASCII; a newline ends it, and there is no other in it.
    pub text: String,
    /// −ln p(text), exactly, in nats.
    pub nats: f64,
}

/// All stories of one seed.
///
/// ```
/// use models::data::world::World;
/// use tensor::random::Stream;
/// let world = World::new(1);
/// let story = world.story(Stream::WorldVal, 7);
/// assert_eq!(story, world.story(Stream::WorldVal, 7)); // whatever was asked for in between
/// let recomputed = World::score(&story.text).unwrap(); // from the text alone
/// assert!((story.nats - recomputed).abs() < 1e-9);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct World {
    seed: u64,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The world that models are validated and compared on, whatever seed they learn from; the tokenizer of stories is of it, too,
    /// since losses a token compare only then.
    pub fn shared() -> Self {
        Self { seed: 1 }
    }

    /// Story number `index` of a stream: [`Stream::World`] to train on, [`Stream::WorldVal`] to validate on.
    /// It depends on (seed, stream, index) alone.
    pub fn story(&self, stream: Stream, index: u64) -> Story {
        let teller = self.tell(stream, index);
        Story { text: teller.text, nats: teller.nats }
    }

    fn tell(&self, stream: Stream, index: u64) -> teller::Draw {
        let random = Random::new(self.seed, stream, index);
        let mut teller = teller::Draw { random, text: String::new(), nats: 0.0, labels: labels::Labels::default() };
        grammar::tell(&mut teller).expect("a teller that draws never breaks off");
        teller
    }

    /// The expected nats of a story, exactly; the same for every seed.
    ///
    /// It is to be compared with a model's loss summed over a whole story, from its first token, which the model
    /// predicts from the newline before, to its own newline. A row that begins in the middle of a story misses what the
    /// rest refers to, and no model reaches the entropy there.
    pub fn entropy() -> f64 {
        Self::entropy_by_choice().iter().map(|(_, nats)| nats).sum()
    }

    /// The expected nats of a story, split by what its choices are about.
    pub fn entropy_by_choice() -> Vec<(Choice, f64)> {
        expect::expected_nats(|_| 0)
    }

    /// −ln p(text) of any text, newline included, or `None` if this world tells no such story. Slow (milliseconds):
    /// it tries all choices.
    pub fn score(text: &str) -> Option<f64> {
        score::score(text)
    }
}
