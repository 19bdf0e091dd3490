//! Schedules: the learning rate as a function of the step.
//!
//! All begin with a linear warm-up, since Adam's early steps rest on few gradients. Then:
//!
//! - constant;
//! - cosine (Loshchilov and Hutter 2017): `min + (lr − min)·(1 + cos πx)/2`, x the share of the remaining steps done;
//! - warm-up-stable-decay (Hu et al. 2024): constant, then a straight line down to `min` over the last part.

/// The shape of the learning rate after warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Stays at the full rate.
    Constant,
    /// Half a cosine from the full rate to the smallest.
    Cosine,
    /// The full rate, and a straight line to the smallest over this share of all steps at the end.
    WarmupStableDecay(f64),
}

/// The learning rate as a function of the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The full rate, reached after warm-up.
    pub lr: f64,
    /// The smallest rate, which the step after the last would have.
    pub min_lr: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Steps of the run.
    pub steps: u64,
    /// What follows the warm-up.
    pub shape: Shape,
}

impl Schedule {
    /// The learning rate of step `step`, from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.lr * (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let share = |from: u64| (step - from) as f64 / self.steps.saturating_sub(from).max(1) as f64;
        let down = match self.shape {
            Shape::Constant => 0.0,
            Shape::Cosine => (1.0 - (std::f64::consts::PI * share(self.warmup).min(1.0)).cos()) / 2.0,
            Shape::WarmupStableDecay(tail) => {
                let from = (((1.0 - tail) * self.steps as f64) as u64).max(self.warmup);
                if step < from { 0.0 } else { share(from).min(1.0) }
            }
        };
        self.lr + (self.min_lr - self.lr) * down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_rises_to_its_rate_and_none_exceeds_it() {
        for shape in [Shape::Constant, Shape::Cosine, Shape::WarmupStableDecay(0.2)] {
            let s = Schedule { lr: 1.0, min_lr: 0.1, warmup: 10, steps: 100, shape };
            assert!(s.at(0) > 0.0 && s.at(0) < 0.2, "{shape:?}");
            assert_eq!(s.at(10), 1.0, "{shape:?}");
            assert!((0..200).all(|step| (0.0..=1.0).contains(&s.at(step))), "{shape:?}");
            let end = if shape == Shape::Constant { 1.0 } else { 0.1 };
            assert!((s.at(100) - end).abs() < 1e-9, "{shape:?}");
        }
    }

    #[test]
    fn the_stable_part_is_constant_and_the_decay_straight() {
        let s = Schedule { lr: 1.0, min_lr: 0.0, warmup: 0, steps: 100, shape: Shape::WarmupStableDecay(0.5) };
        assert_eq!((s.at(1), s.at(49), s.at(75)), (1.0, 1.0, 0.5));
    }

    #[test]
    fn the_warm_up_is_straight_and_the_fall_half_a_cosine() {
        let s = Schedule { lr: 1.0, min_lr: 0.0, warmup: 20, steps: 120, shape: Shape::Cosine };
        let want = [(0, 1.0 / 21.0), (9, 10.0 / 21.0), (19, 20.0 / 21.0), (20, 1.0)];
        let falling =
            [45, 70, 95].map(|step| (step, (1.0 + (std::f64::consts::PI * (step - 20) as f64 / 100.0).cos()) / 2.0));
        for (step, want) in want.into_iter().chain(falling) {
            assert!((s.at(step) - want).abs() < 1e-12, "{step}: {} {want}", s.at(step));
        }
        assert!(s.at(45) > 0.85 && s.at(95) < 0.15, "flat at both ends, as a straight line is not");
    }
}
