//! Options that cannot be met are refused, with the way out.

use toml::{Table, Value};

use super::{ModelName, OptimizerName, Options, ScheduleName, clip, objective};
use crate::error::{Error, Result};

impl Options {
    /// An error if a flag was given that would have no effect.
    pub(super) fn check_flags(&self, flags: &Table) -> Result<()> {
        let given = |keys: &[&str]| keys.iter().any(|key| flags.contains_key(*key));
        let of_clip = flags.get("clip").and_then(Value::as_table);
        let of_clip = |keys: &[&str]| keys.iter().any(|key| of_clip.is_some_and(|clip| clip.contains_key(*key)));
        let untrue = self.clip.as_ref().is_some_and(|of| of.flip || of.hue > 0.0 || of.grey > 0.0);
        let adamw = self.optimizer == OptimizerName::Adamw;
        refuse([
            (
                given(&["val_share"]) && !self.val_data.is_empty(),
                "--val-share holds back a part of --data, and --val-data is there to validate on: leave one of them out",
            ),
            (
                given(&["val_share"]) && self.data.is_empty(),
                "--val-share holds back a part of --data: without that it is the built-in world that is learned",
            ),
            (
                of_clip(&["memory"]) && self.data.is_empty(),
                "--memory is for pictures in files: name these with --data, or leave it out",
            ),
            (
                of_clip(&["flip", "hue", "grey"]) && untrue && self.data.is_empty(),
                "the built-in world's captions speak of left and right and of colours, which --flip, --hue and --grey would \
                 make untrue: leave them out, or name pictures with --data",
            ),
            (
                given(&["muon_lr", "muon_momentum"]) && adamw,
                "--muon-lr and --muon-momentum are of --optimizer muon: leave them out",
            ),
            (
                given(&["decay_share"]) && self.schedule != ScheduleName::WarmupStableDecay,
                "--decay-share is of --schedule warmup-stable-decay: leave it out",
            ),
            (
                given(&["min_lr"]) && self.schedule == ScheduleName::Constant,
                "--min-lr is where a falling rate ends, and --schedule constant does not fall: leave one of them out",
            ),
            (
                given(&["warmup"]) && self.warmup >= self.steps && self.minutes.is_none(),
                "--warmup takes all of the steps, and --lr is never reached: give less than --steps",
            ),
            (
                given(&["vocab_size"]) && self.tokenizer.is_some(),
                "--vocab-size is for a tokenizer that is trained, and one is given: leave --vocab-size out",
            ),
        ])
    }

    /// An error if these options do not fit together.
    pub(super) fn check(&self) -> Result<()> {
        let fail = |what: String| Err(Error::Options(what));
        clip::check(self)?;
        if self.data.is_empty() && !self.val_data.is_empty() {
            return fail(
                "--val-data goes with --data: without that it is the built-in world that is learned".to_owned(),
            );
        }
        let (more, what) = match self.model {
            ModelName::Gpt => (0, "all 256 bytes"),
            ModelName::Bert => (tokenizer::FRAME.len(), "all 256 bytes and [PAD], [CLS], [SEP], [MASK]"),
            ModelName::Clip => (1, "all 256 bytes and the end of a text"),
        };
        let least = 256 + more;
        // A tokenizer that is there already may know words and no bytes.
        if self.vocab_size < least && self.from.is_none() && self.tokenizer.is_none() {
            let had = self.vocab_size;
            return fail(format!("a vocabulary of {had} cannot hold {what}: give {least} or more"));
        }
        self.config().check().map_err(Error::Options)?;
        objective::check(self)?;
        if self.model == ModelName::Bert && self.block_size < 3 {
            return fail(format!(
                "a block size of {} has no room between [CLS] and [SEP]: give 3 or more",
                self.block_size
            ));
        }
        self.check_numbers()
    }

    /// An error if a number is outside of what it can be.
    fn check_numbers(&self) -> Result<()> {
        let counts = [
            ("batch-size", self.batch_size as u64),
            ("micro-batch", self.micro_batch as u64),
            ("steps", self.steps),
            ("eval-every", self.eval_every),
            ("eval-tokens", self.eval_tokens as u64),
            ("save-every", self.save_every),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(Error::Options(format!("--{name} 0 leaves nothing to do: give 1 or more")));
        }
        const TEN_YEARS: f64 = 60.0 * 24.0 * 3660.0;
        let more = |x: f64| x.is_finite() && x > 0.0;
        let some = |x: f64| x.is_finite() && x >= 0.0;
        let below_1 = |x: f64| (0.0..1.0).contains(&x);
        let minutes = self.minutes.unwrap_or(TEN_YEARS);
        let numbers = [
            ("lr", self.lr, more(self.lr), "more than 0"),
            ("min-lr", self.min_lr, (0.0..=self.lr).contains(&self.min_lr), "0 or more, and no more than --lr"),
            ("muon-lr", self.muon_lr, more(self.muon_lr), "more than 0"),
            ("muon-momentum", self.muon_momentum, below_1(self.muon_momentum), "0 or more, and less than 1"),
            ("beta2", self.beta2, below_1(self.beta2), "0 or more, and less than 1"),
            (
                "decay-share",
                self.decay_share,
                more(self.decay_share) && self.decay_share <= 1.0,
                "more than 0, and 1 at most",
            ),
            ("weight-decay", self.weight_decay, some(self.weight_decay), "0 or more"),
            ("grad-clip", self.grad_clip, some(self.grad_clip), "0 (no clipping) or more"),
            ("initializer-range", self.initializer_range, more(self.initializer_range), "more than 0"),
            ("val-share", self.val_share, more(self.val_share) && self.val_share < 1.0, "more than 0, and less than 1"),
            ("minutes", minutes, more(minutes) && minutes <= TEN_YEARS, "more than 0, and ten years at most"),
        ];
        good(numbers)
    }
}

/// An error if one of these numbers is not good: (its option, the number, whether it is, what would be).
pub(crate) fn good<const N: usize>(numbers: [(&str, f64, bool, &str); N]) -> Result<()> {
    match numbers.into_iter().find(|(_, _, good, _)| !good) {
        Some((name, number, _, give)) => Err(Error::Options(format!("--{name} {number}: give {give}"))),
        None => Ok(()),
    }
}

/// The sentence of the first of these that is so, as an error.
pub(super) fn refuse<const N: usize>(reasons: [(bool, impl Into<String>); N]) -> Result<()> {
    match reasons.into_iter().find(|(so, _)| *so) {
        Some((_, what)) => Err(Error::Options(what.into())),
        None => Ok(()),
    }
}
