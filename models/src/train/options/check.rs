//! Options that cannot be met are refused, with the way out.

use toml::Table;

use super::{ModelName, OptimizerName, Options, ScheduleName, clip, objective};
use crate::error::{Error, Result};

impl Options {
    /// An error if a flag was given that would have no effect.
    pub(super) fn check_flags(&self, flags: &Table) -> Result<()> {
        let given = |keys: &[&str]| keys.iter().any(|key| flags.contains_key(*key));
        let adamw = self.optimizer == OptimizerName::Adamw;
        let idle = [
            (
                given(&["val_share"]) && !self.val_data.is_empty(),
                "--val-share holds back a part of --data, and --val-data is there to validate on: leave one of them out",
            ),
            (
                given(&["val_share"]) && self.data.is_empty(),
                "--val-share holds back a part of --data: without that it is the built-in world that is learned",
            ),
            (
                given(&["muon_lr", "muon_momentum"]) && adamw,
                "--muon-lr and --muon-momentum are of --optimizer muon: leave them out",
            ),
            (
                given(&["decay_share"]) && self.schedule != ScheduleName::WarmupStableDecay,
                "--decay-share is of --schedule warmup-stable-decay: leave it out",
            ),
        ];
        match idle.iter().find(|(idle, _)| *idle) {
            Some((_, what)) => Err(Error::Options((*what).to_owned())),
            None => Ok(()),
        }
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
        // A model that is gone on from has a tokenizer of its own, which may know words and no bytes.
        if self.vocab_size < least && self.from.is_none() {
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
        for (name, value) in [
            ("batch-size", self.batch_size as u64),
            ("micro-batch", self.micro_batch as u64),
            ("steps", self.steps),
            ("eval-every", self.eval_every),
            ("eval-tokens", self.eval_tokens as u64),
            ("save-every", self.save_every),
        ] {
            if value == 0 {
                return fail(format!("--{name} 0 leaves nothing to do: give 1 or more"));
            }
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(self.lr) || !(0.0..=self.lr).contains(&self.min_lr) {
            return fail(format!(
                "learning rates from {} down to {}: give --lr more than 0, and --min-lr from 0 to that",
                self.lr, self.min_lr
            ));
        }
        if !positive(self.muon_lr) {
            return fail(format!("a muon-lr of {}: give more than 0", self.muon_lr));
        }
        if !(0.0..1.0).contains(&self.muon_momentum) {
            return fail(format!("a muon-momentum of {}: give 0 or more, and less than 1", self.muon_momentum));
        }
        if !(self.decay_share > 0.0 && self.decay_share <= 1.0) {
            return fail(format!("a decay-share of {}: give more than 0, and 1 at most", self.decay_share));
        }
        if !positive(self.initializer_range) {
            return fail(format!("initial weights of deviation {}: give more than 0", self.initializer_range));
        }
        let some = |x: f64| (0.0..f64::INFINITY).contains(&x);
        if !(0.0..1.0).contains(&self.beta2) || !some(self.weight_decay) || !some(self.grad_clip) {
            let (b, d, c) = (self.beta2, self.weight_decay, self.grad_clip);
            return fail(format!(
                "beta2 {b}, weight-decay {d}, grad-clip {c}: give 0 <= beta2 < 1, the others 0 or more"
            ));
        }
        if !(self.val_share > 0.0 && self.val_share < 1.0) {
            return fail(format!("a held-out share of {}: give more than 0 and less than 1", self.val_share));
        }
        if self.minutes.is_some_and(|minutes| !positive(minutes)) {
            return fail("--minutes must be more than 0".to_owned());
        }
        if self.minutes.is_some_and(|minutes| minutes > 60.0 * 24.0 * 3660.0) {
            return fail("--minutes is more than ten years: give a smaller budget".to_owned());
        }
        Ok(())
    }
}
