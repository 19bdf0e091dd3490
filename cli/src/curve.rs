//! `pretext curve`: what pre-training is worth, as accuracy against the number of labels.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};
use models::data::labelled::classes;
use models::transfer::curve::{Data, Learner, Plan, Point, curve, picture};
use models::transfer::finetune::Recipe;
use models::transfer::finetune::examples;
use models::transfer::pretrained::{Pooling, Pretrained};

use crate::flags::{Precision, Threads};

/// Measure how good a task is learned from 1, 2, 4 … labels of each class: by the pre-trained model, by the same model
/// from scratch, by a bag of words with logistic regression, and by guessing the most frequent class.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  pretext curve runs/bert-nano-1 classify                          the built-in world's task
  pretext curve runs/bert-mini-1 classify --data train.tsv --test-data test.tsv --most 64 --svg curve.svg")]
pub struct Args {
    /// A run of `train`, or a Hugging Face checkpoint with its tokenizer.json
    dir: PathBuf,
    #[command(subcommand)]
    task: Task,
}

/// What is learned.
#[derive(Subcommand)]
enum Task {
    /// A label for a text
    Classify(Options),
}

#[derive(ClapArgs)]
struct Options {
    /// Labelled texts to draw from, as for `finetune` [default: 200 stories of the built-in world]
    #[arg(long, value_name = "FILE", requires = "test_data")]
    data: Option<PathBuf>,
    /// Labelled texts to measure accuracy on
    #[arg(long, value_name = "FILE", requires = "data")]
    test_data: Option<PathBuf>,
    /// Labels of each class, at most [default: all]
    #[arg(long, value_name = "N")]
    most: Option<usize>,
    /// How often all is repeated
    #[arg(long, default_value_t = 5, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Learning rate of the new layer
    #[arg(long, default_value_t = Recipe::default().lr)]
    lr: f64,
    /// Steps of each fine-tuning, at least
    #[arg(long, default_value_t = Recipe::default().least_steps, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    least_steps: u64,
    /// Passes over the examples, at least
    #[arg(long, default_value_t = Recipe::default().epochs, value_name = "N")]
    epochs: u64,
    /// Precision of the matrix product
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Where the picture goes
    #[arg(long, default_value = "curve.svg", value_name = "FILE")]
    svg: PathBuf,
    /// Print the points as one JSON line instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<()> {
    let Task::Classify(o) = &args.task;
    o.threads.set();
    if !(o.lr > 0.0 && o.lr.is_finite()) || o.most == Some(0) {
        return Err(crate::Usage("--lr wants more than 0, --most at least 1".to_owned()).into());
    }
    let from = Pretrained::open(&args.dir)?;
    let [pool, test] = match (&o.data, &o.test_data) {
        (Some(data), Some(test)) => [classes::read(data)?, classes::read(test)?],
        _ => examples::world(o.seed),
    };
    let (lr, least_steps, epochs, seed) = (o.lr, o.least_steps, o.epochs, o.seed);
    let recipe = Recipe { lr, least_steps, epochs, seed, precision: o.precision.into(), ..Recipe::default() };
    let plan = Plan { most: o.most.unwrap_or(usize::MAX), seeds: o.seeds, pooling: Pooling::Mean, recipe };
    let data = Data { pool, test };
    let mut said = Ok(());
    let mut say = |line: String| {
        if said.is_ok() {
            said = writeln!(std::io::stdout(), "{line}");
        }
    };
    if !o.json {
        let names = Learner::ALL.map(|learner| format!("{:>14}", learner.name())).concat();
        say(format!("labels of a class  in all{names}    (test accuracy in %)"));
    }
    let show = |point: &Point| {
        if !o.json {
            say(row(point));
        }
    };
    let note = |sentence: &str| eprintln!("note: {sentence}");
    let points = tensor::parallel::inside(|| curve(&from, &data, &plan, note, show));
    let title = format!("what pre-training is worth: {} texts to test on, {} seeds", data.test.texts.len(), o.seeds);
    picture::draw(&o.svg, &title, &points)?;
    said?;
    if o.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&points)?)?;
    } else {
        writeln!(std::io::stdout(), "the picture is {}", o.svg.display())?;
    }
    Ok(())
}

/// A line of the table.
fn row(point: &Point) -> String {
    let scores = Learner::ALL.map(|learner| {
        let mean = point.mean(learner);
        let half = mean.half_width.map_or(String::new(), |half| format!(" ±{:.1}", 100.0 * half));
        format!("{:>14}", format!("{:.1}{half}", 100.0 * mean.value))
    });
    format!("{:>17}  {:>6}{}", point.labels, point.examples, scores.concat())
}
