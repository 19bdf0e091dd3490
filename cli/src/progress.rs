//! How training shows itself: a bar with the figures on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use autograd::Profile;
use indicatif::{ProgressBar, ProgressStyle};
use models::train::Watch;
use models::train::metrics::{Metric, Validation};
use models::train::watch::Plan;
use tensor::matmul::Precision;

use crate::flags;

/// Prints a profile as a table, the longest first, with the share of the machine's peak that matrix products reached.
pub fn print_profile(profile: &Profile, precision: Precision) {
    let peak = tensor::peak::measure(Duration::from_millis(60), precision);
    let rows = profile.rows();
    let total: f64 = rows.iter().map(|(.., spent)| spent.time.as_secs_f64()).sum();
    tell!("\n{:<14} {:<9} {:>8} {:>10} {:>7} {:>9}", "operation", "pass", "times", "ms each", "share", "of peak");
    for (name, pass, spent) in rows {
        let seconds = spent.time.as_secs_f64();
        let each = 1e3 * seconds / spent.count as f64;
        let share = 100.0 * seconds / total;
        let of_peak = match spent.flops {
            0.0 => String::new(),
            flops => format!("{:.0}%", 100.0 * flops / seconds / peak),
        };
        let pass = format!("{pass:?}").to_lowercase();
        tell!("{name:<14} {pass:<9} {:>8} {each:>10.3} {share:>6.1}% {of_peak:>9}", spent.count);
    }
}

/// A line on standard output, or where a script reads that, on the other one; a reader that has gone does not stop the
/// training.
macro_rules! say {
    ($self:ident, $($words:tt)*) => {
        if $self.json {
            tell!($($words)*);
        } else {
            let _ = writeln!(std::io::stdout(), $($words)*);
        }
    };
}

pub struct Progress {
    stop: Arc<AtomicBool>,
    /// Standard output is for the outcome alone.
    json: bool,
    bar: Option<ProgressBar>,
    plan: Option<Plan>,
    /// Floating-point operations that all threads can do in a second, measured at the start.
    peak: f64,
    begin: Instant,
    /// The last line printed where there is no terminal.
    printed: Instant,
    /// Exponential means, so that the figures can be read.
    loss: f64,
    rate: f64,
    /// What the last evaluation found.
    validation: Validation,
}

impl Progress {
    pub fn new(stop: Arc<AtomicBool>, json: bool) -> Self {
        let now = Instant::now();
        Self {
            stop,
            json,
            bar: None,
            plan: None,
            peak: f64::NAN,
            begin: now,
            printed: now,
            loss: f64::NAN,
            rate: f64::NAN,
            validation: Validation::default(),
        }
    }

    /// Leaves the last state of the bar on the screen.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }

    fn line(&self, plan: &Plan, p: &Metric) -> String {
        let share = 100.0 * self.rate * plan.step_flops / plan.step_tokens as f64 / self.peak;
        let left =
            self.begin.elapsed().as_secs_f64() / (p.step - plan.first_step) as f64 * (plan.steps - p.step) as f64;
        let Validation { loss, accuracy, chance, representation, .. } = self.validation;
        let chance = chance.map_or(String::new(), |chance| format!(" (chance {chance:.4})"));
        let val = loss.map_or(String::new(), |loss| format!("  val {loss:.4}{chance}"));
        let right = accuracy.map_or(String::new(), |right| format!("  right {:.1}%", 100.0 * right));
        let rank = representation.effective_rank.map_or(String::new(), |rank| format!("  rank {rank:.1}"));
        format!(
            "loss {:.4}{val}{right}{rank}  lr {:.1e}  {}/s ({share:.0}% of peak)  {} left",
            self.loss,
            p.lr,
            count(self.rate),
            duration(left)
        )
    }
}

impl Watch for Progress {
    fn plan(&mut self, plan: &Plan) {
        self.peak = tensor::peak::measure(Duration::from_millis(60), plan.precision);
        let counted = plan.counted;
        let items =
            plan.train_tokens.map_or(format!("no end of {counted}s"), |n| format!("{} {counted}s", count(n as f64)));
        let val = count(plan.val_tokens as f64);
        say!(
            self,
            "model    {}, {} parameters, {} {counted}s a step",
            plan.model,
            count(plan.parameters as f64),
            plan.step_tokens
        );
        say!(self, "data     {}: {items} to train on, {val} to validate on", plan.data);
        let floor = plan.floor.map_or(String::new(), |floor| format!(", floor {floor:.4} (the data's entropy)"));
        let unigram = plan.unigram.map_or(String::new(), |unigram| format!(", unigram {unigram:.4}"));
        let fewer = plan.val_uniform != plan.uniform;
        let val_uniform =
            if fewer { format!(", in validation at most {:.4}", plan.val_uniform) } else { String::new() };
        say!(self, "chance   uniform {:.4}{val_uniform}{unigram}{floor}, in nats a {}", plan.uniform, plan.item);
        say!(
            self,
            "machine  {} of {}, peak {:.0} GFLOP/s; about {} of memory",
            flags::count(tensor::parallel::threads(), "thread"),
            tensor::simd::level(),
            self.peak / 1e9,
            bytes(plan.memory)
        );
        match plan.first_step {
            0 => {
                say!(self, "steps    {}\n", plan.steps);
            }
            first => {
                say!(self, "steps    {first} of {} are done\n", plan.steps);
            }
        }
        self.begin = Instant::now();
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}\n{msg}").expect("a plain template");
            let bar = ProgressBar::new(plan.steps).with_style(style).with_position(plan.first_step);
            self.bar = Some(bar);
        }
        self.plan = Some(plan.clone());
    }

    fn note(&mut self, sentence: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("note: {sentence}")),
            None => {
                say!(self, "note: {sentence}");
            }
        }
    }

    fn progress(&mut self, p: &Metric) {
        let smooth = |mean: f64, x: f64| if mean.is_nan() { x } else { 0.9 * mean + 0.1 * x };
        self.loss = smooth(self.loss, p.loss);
        self.rate = smooth(self.rate, p.items_per_s);
        let evaluated = p.validation.loss.is_some();
        if evaluated {
            self.validation = p.validation;
        }
        let Some(plan) = &self.plan else { return };
        let line = self.line(plan, p);
        match &self.bar {
            Some(bar) => {
                bar.set_position(p.step);
                bar.set_message(line);
            }
            None => {
                let due = self.printed.elapsed() > Duration::from_secs(10);
                if evaluated || due || p.step == plan.first_step + 1 {
                    say!(self, "step {}/{}  {line}", p.step, plan.steps);
                    self.printed = Instant::now();
                }
            }
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// 1234567 as "1.23M".
fn count(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2}G", n / 1e9),
        n if n >= 1e6 => format!("{:.2}M", n / 1e6),
        n if n >= 1e4 => format!("{:.1}k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// 1234567 as "1 MiB".
pub fn bytes(n: usize) -> String {
    let kib = n as f64 / 1024.0;
    match kib {
        0.0..1.0 => format!("{n} bytes"),
        1.0..1024.0 => format!("{kib:.0} KiB"),
        1024.0..1_048_576.0 => format!("{:.0} MiB", kib / 1024.0),
        _ => format!("{:.1} GiB", kib / 1_048_576.0),
    }
}

fn duration(seconds: f64) -> String {
    let s = seconds as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02} min", s / 60, s % 60),
        _ => format!("{}:{:02} h", s / 3600, s / 60 % 60),
    }
}
