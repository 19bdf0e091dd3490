//! Where the time goes: how long each operation takes, forward and backward, and how much of the machine it uses.
//!
//! Operations follow one another on a tape, so the time between two of them is the later one's forward pass. A profile
//! costs two looks at the clock an operation.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Times by operation, added up over all tapes that were given this profile.
#[derive(Debug, Default)]
pub struct Profile(Mutex<Times>);

#[derive(Debug, Default)]
struct Times {
    rows: HashMap<(&'static str, Pass), Spent>,
    last: Option<Instant>,
}

/// The direction of a pass, or work outside both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Values from inputs.
    Forward,
    /// Gradients of inputs from that of the value.
    Backward,
    /// What is not on the tape: batches, clipping, the optimiser.
    Other,
}

/// What one kind of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// How often it was done.
    pub count: u64,
    /// How long it took in all.
    pub time: Duration,
    /// Floating-point operations of its matrix products.
    pub flops: f64,
}

impl Profile {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().expect("nothing panics while it holds the profile")
    }

    /// The next operation begins now.
    pub fn begin(&self) {
        self.times().last = Some(Instant::now());
    }

    /// An operation ended, and the next begins.
    pub(crate) fn end(&self, name: &'static str, pass: Pass, flops: f64) {
        let (now, mut times) = (Instant::now(), self.times());
        let time = times.last.replace(now).map_or(Duration::ZERO, |last| now - last);
        let spent = times.rows.entry((name, pass)).or_default();
        *spent = Spent { count: spent.count + 1, time: spent.time + time, flops: spent.flops + flops };
    }

    /// Runs and times `body`, work outside the tape.
    pub fn time<R>(&self, name: &'static str, body: impl FnOnce() -> R) -> R {
        self.begin();
        let result = body();
        self.end(name, Pass::Other, 0.0);
        result
    }

    /// Every kind of work and what it took, the longest first.
    pub fn rows(&self) -> Vec<(&'static str, Pass, Spent)> {
        let mut rows: Vec<_> = self.times().rows.iter().map(|(&(name, pass), &spent)| (name, pass, spent)).collect();
        rows.sort_by_key(|&(name, pass, spent)| (std::cmp::Reverse(spent.time), name, pass as u8));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gelu, Params, Tape};
    use tensor::Tensor;

    #[test]
    fn every_operation_of_a_tape_stands_in_its_profile_once_a_pass() {
        let (none, profile) = (Params::default(), Profile::default());
        let tape = Tape::new(&none).with_profile(Some(&profile));
        let x = tape.variable(Tensor::filled([4, 6], 0.5f32));
        let w = tape.variable(Tensor::filled([6, 3], 0.5f32));
        profile.begin();
        x.linear(w, None).gelu(Gelu::Exact).sum().gradients(&[x]);
        let count = |name: &str, pass: Pass| {
            let rows = profile.rows();
            rows.into_iter().find(|row| (row.0, row.1) == (name, pass)).map(|row| (row.2.count, row.2.flops))
        };
        assert_eq!(count("Linear", Pass::Forward), Some((1, 144.0))); // 2·4·6·3
        assert_eq!(count("Linear", Pass::Backward), Some((1, 288.0)));
        assert_eq!(count("Gelu", Pass::Backward), Some((1, 0.0)));
        assert_eq!(count("AdamW", Pass::Other), None);
    }
}
