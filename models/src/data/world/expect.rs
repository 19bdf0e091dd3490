//! The entropy of the stories: the expected nats, exactly, without telling all 10²⁶ of them.
//!
//! The entropy is the sum over all choices of (probability that the choice comes up) × (entropy of the choice).
//! The grammar has two kinds of choices. Most leave the number of options of all later choices as it is: whether Anna
//! moves the ball or Ben the star, eight adverbs and six free places follow. Such a choice is worth its own entropy,
//! −Σ p ln p, whatever is taken. The few others ([`Choice::branches`]: how many objects, what happens, what is asked)
//! decide which choices follow, and they have few options: all their combinations, some thousands, are walked
//! through, each weighted with its probability.

use super::grammar::tell;
use super::teller::{Choice, Path, Teller, nats};

/// The teller that weighs: it walks one path of the branching choices, and takes the others as `any` says.
pub(super) struct Expect<'a> {
    path: Path,
    any: &'a mut dyn FnMut(usize) -> usize,
    weight: f64, // probability of the path so far
    seen: Vec<(Choice, f64)>,
}

impl Teller for Expect<'_> {
    fn choose(&mut self, what: Choice, weights: &[u32]) -> Option<usize> {
        if what.branches() {
            let taken = self.path.take(weights.len());
            self.seen.push((what, nats(weights, taken)));
            self.weight *= probability(weights, taken);
            return Some(taken);
        }
        let entropy = (0..weights.len()).map(|i| probability(weights, i) * nats(weights, i)).sum();
        self.seen.push((what, entropy));
        Some((self.any)(weights.len()))
    }

    fn say(&mut self, _: &str) -> Option<()> {
        Some(())
    }
}

fn probability(weights: &[u32], taken: usize) -> f64 {
    f64::from(weights[taken]) / f64::from(weights.iter().sum::<u32>())
}

/// The expected nats of a story, by what the choices are about. `any(n)` takes one of n options where, so the claim,
/// it makes no difference which.
pub(super) fn expected_nats(mut any: impl FnMut(usize) -> usize) -> Vec<(Choice, f64)> {
    let mut sums: Vec<(Choice, f64)> = Vec::new();
    let mut teller = Expect { path: Path::default(), any: &mut any, weight: 1.0, seen: Vec::new() };
    loop {
        tell(&mut teller);
        for (what, worth) in teller.seen.drain(..) {
            match sums.iter_mut().find(|(other, _)| *other == what) {
                Some((_, sum)) => *sum += teller.weight * worth,
                None => sums.push((what, teller.weight * worth)),
            }
        }
        teller.weight = 1.0;
        if !teller.path.next() {
            return sums;
        }
    }
}
