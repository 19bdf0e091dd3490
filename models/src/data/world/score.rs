//! The probability of a text, from the text alone: the slow and obvious twin of the nats that a story carries.
//!
//! A listener who does not know how a text came about tries every choice of the grammar at every point, drops a path
//! as soon as it says something else than the text, and adds up the probabilities of the paths that remain.
//! If two ways of telling gave one text, this sum would be more than either: that the two agree on story after story
//! is the proof that the grammar can be decoded in one way only.

use super::grammar::tell;
use super::teller::{Choice, Path, Teller, nats};

/// The teller that only repeats: it walks one path of choices as long as its words are those of the text.
pub(super) struct Hear<'a> {
    path: Path,
    left: &'a str,
    nats: f64,
}

impl Teller for Hear<'_> {
    fn choose(&mut self, _: Choice, weights: &[u32]) -> Option<usize> {
        let taken = self.path.take(weights.len());
        self.nats += nats(weights, taken);
        Some(taken)
    }

    fn say(&mut self, text: &str) -> Option<()> {
        self.left = self.left.strip_prefix(text)?;
        Some(())
    }
}

/// −ln p(text), or `None` if no story of the world reads like this.
pub(super) fn score(text: &str) -> Option<f64> {
    let mut teller = Hear { path: Path::default(), left: text, nats: 0.0 };
    let mut probability = 0.0;
    loop {
        if tell(&mut teller).is_some() && teller.left.is_empty() {
            probability += (-teller.nats).exp();
        }
        (teller.left, teller.nats) = (text, 0.0);
        if !teller.path.next() {
            return (probability > 0.0).then(|| -f64::ln(probability));
        }
    }
}
