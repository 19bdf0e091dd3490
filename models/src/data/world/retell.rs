//! The same story in other words: texts that mean the same, or nearly, which nobody had to judge.
//!
//! All wordings of a sentence ask for the same choices, each kind of choice in the same order. So a story is told again by
//! taking, at each choice of a kind, what was taken the last time at that kind's next choice, and drawing the wording
//! anew. If some of the other choices are drawn anew too, each with probability q, the two stories share less, the
//! less the larger q is. (One that is drawn anew may come out as it was, and may change what later ones can be.)

use tensor::random::{Random, Stream};

use super::labels::{Entity, FIRST, Labels};
use super::teller::{Choice, Draw, Teller};
use super::{World, grammar};

/// A teller that keeps what it took, and takes it again where it is told to.
struct Retell {
    draw: Draw,
    /// What was taken the last time, the first at the end.
    again: Vec<(Choice, usize)>,
    taken: Vec<(Choice, usize)>,
    /// Decides what is drawn anew, each with this probability.
    anew: (Random, f64),
}

impl Teller for Retell {
    fn choose(&mut self, what: Choice, weights: &[u32]) -> Option<usize> {
        let at = self.again.iter().rposition(|(kind, _)| *kind == what);
        let before = at.map(|at| self.again.remove(at).1);
        let kept = before.filter(|&taken| what != Choice::Wording && taken < weights.len());
        let kept = kept.filter(|_| self.anew.0.uniform() >= self.anew.1);
        let taken = match kept {
            Some(taken) => {
                self.draw.note(what, taken);
                taken
            }
            None => self.draw.choose(what, weights)?,
        };
        self.taken.push((what, taken));
        Some(taken)
    }

    fn say(&mut self, text: &str) -> Option<()> {
        self.draw.say(text)
    }

    fn begin(&mut self, entity: Entity) {
        self.draw.begin(entity);
    }

    fn end(&mut self) {
        self.draw.end();
    }
}

impl World {
    /// Labelled story number `index` up to its questions, and the same told again with everything but its wording drawn anew
    /// with probability `anew`.
    pub fn twice(&self, index: u64, anew: f64) -> [String; 2] {
        let random = |stream| Random::new(self.seed, stream, FIRST + index);
        let tell = |random: Random, again: Vec<(Choice, usize)>, anew| {
            let draw = Draw { random, text: String::new(), nats: 0.0, labels: Labels::default() };
            let mut teller = Retell { draw, again, taken: Vec::new(), anew };
            grammar::tell(&mut teller).expect("a teller that draws never breaks off");
            teller.taken.reverse();
            teller.draw.text.truncate(teller.draw.labels.told);
            (teller.draw.text, teller.taken)
        };
        let never = (Random::new(0, Stream::Other, 0), 0.0);
        let (first, taken) = tell(random(Stream::WorldVal), Vec::new(), never);
        let mut other = random(Stream::Other);
        let other_words = Random::new(self.seed, Stream::Other, other.below(u64::MAX));
        let (second, _) = tell(other_words, taken, (other, anew));
        [first, second]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a text that are not a matter of wording, in order of the alphabet.
    fn named(text: &str) -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphabetic()).map(str::to_owned);
        let (people, rest): (Vec<String>, Vec<String>) = words
            .filter(|w| {
                super::super::words::PEOPLE.iter().any(|p| p.name == *w) || super::super::words::ROOMS.contains(&&w[..])
            })
            .partition(|w| w.starts_with(char::is_uppercase));
        let mut all: Vec<String> = people.into_iter().chain(rest).collect();
        all.sort();
        all
    }

    #[test]
    fn a_story_told_again_says_the_same_in_other_words() {
        let world = World::new(1);
        let (mut other_words, mut same_story) = (0, 0);
        for index in 0..200 {
            let [first, second] = world.twice(index, 0.0);
            assert_eq!(first, world.labelled(index).text);
            assert_eq!(named(&first), named(&second), "{first}\n{second}");
            other_words += usize::from(first != second);
            let [_, third] = world.twice(index, 1.0);
            same_story += usize::from(named(&first) == named(&third));
        }
        assert!(other_words > 190, "{other_words}");
        assert!(same_story < 10, "{same_story}");
    }
}
