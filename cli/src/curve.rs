//! `pretext curve`: what pre-training is worth, as a score against the number of labels.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};
use models::data::labelled::{classes, conll};
use models::hub::pretrained::Pretrained;
use models::train::options::PrecisionName;
use models::transfer::clip::Encoders;
use models::transfer::curve::classes::Classes;
use models::transfer::curve::probe::Probe;
use models::transfer::curve::tags::Tags;
use models::transfer::curve::{Learner, Plan, Point, Subject, Tuning, curve, picture};
use models::transfer::finetune::Recipe;
use models::transfer::finetune::examples;
use models::transfer::finetune::tuned::Reading;
use models::{Error, files};
use serde_json::json;

use crate::Stopped;
use crate::flags::{self, ReadingName, Threads, count, named};
use crate::pictures::{self, PictureFlags};

/// Measure how good a task is learned from 1, 2, 4 … labels of each class (or tagged sentences): by the pre-trained model, by
/// the same model from scratch, by a bag of words with logistic regression, and by guessing the most frequent class. With a
/// CLIP, classes of pictures: by logistic regression on what its image encoder makes of them, on what the same with random
/// weights does, on raw pixels, and by guessing.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  pretext curve runs/bert-nano-1 classify                          the built-in world's task
  pretext curve runs/bert-mini-1 classify --data train.tsv --test-data test.tsv --most 64 --svg curve.svg
  pretext curve runs/clip-nano-1 classify                          shapes in the built-in world's pictures
  pretext curve runs/clip-mini-1 classify --data train-0000.tar train-0001.tar --test-data test-0000.tar
  pretext curve runs/bert-mini-1 tag --data train.conll --test-data test.conll --svg tags.svg")]
pub struct Args {
    /// A run of `train`, or a Hugging Face checkpoint with its tokenizer.json
    dir: PathBuf,
    #[command(subcommand)]
    task: Task,
}

/// What is learned.
#[derive(Subcommand)]
enum Task {
    /// A label for a text or a picture
    Classify {
        /// Where a text's label is read [default: mean]
        #[arg(long, value_enum)]
        pooling: Option<ReadingName>,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// A label for each word; the plain method is logistic regression on the word, those beside it and how it is written
    Tag(Box<Options>),
}

#[derive(ClapArgs)]
struct Options {
    /// Labelled examples to draw from, as for `finetune`, or pictures: tables, folders, shards (.tar), IDX files [default: 200
    /// stories, or 1024 pictures, of the built-in world]
    #[arg(long, num_args = 1.., value_name = "FILE", requires = "test_data")]
    data: Vec<PathBuf>,
    /// Labelled examples to measure on
    #[arg(long, num_args = 1.., value_name = "FILE", requires = "data")]
    test_data: Vec<PathBuf>,
    /// Labels of each class, or tagged sentences, at most [default: all]
    #[arg(long, value_name = "N")]
    most: Option<usize>,
    /// How often all is repeated
    #[arg(long, default_value_t = 5, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::from(u32::MAX)))]
    seed: u64,
    /// Learning rate of the new layer
    #[arg(long, default_value_t = Recipe::default().lr)]
    lr: f64,
    /// Steps of each fine-tuning, at least [default: 200; with --epochs 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    least_steps: Option<u64>,
    /// Passes over the examples [default: 10, or the more that make --least-steps]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// The share that dropout drops
    #[arg(long, default_value_t = Recipe::default().dropout, value_name = "SHARE")]
    dropout: f64,
    /// What matrix products do with their operands: nothing (f32), or round them to bf16
    #[arg(long, value_name = "NAME", value_parser = named::<PrecisionName>, default_value = "f32")]
    precision: PrecisionName,
    /// Where the picture goes [default: curve.svg, or the first of curve-2.svg, … that is not there yet]
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the points as one JSON line instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    pictures: PictureFlags,
}

pub fn run(args: &Args) -> Result<()> {
    let (Task::Classify { options: o, .. } | Task::Tag(o)) = &args.task;
    o.threads.set();
    o.recipe().check()?;
    if o.most == Some(0) {
        return Err(crate::Usage("--most 0 leaves nothing to learn from: give 1 or more".to_owned()).into());
    }
    if let Some(there) = o.svg.as_ref().filter(|svg| svg.exists()) {
        return Err(Error::file(there, "is there already: give the picture another name with --svg").into());
    }
    let svg = o.svg.as_deref().unwrap_or(Path::new("curve.svg"));
    files::try_at(svg).map_err(|error| Error::io(svg, "write", &error))?;
    if pictures::is_clip(&args.dir)? {
        return with_pictures(args, o);
    }
    pictures::refuse(&args.dir, &o.pictures.given())?;
    pictures::refuse(&args.dir, &[("--data with more than one file", o.data.len() > 1 || o.test_data.len() > 1)])?;
    let from = Pretrained::open(&args.dir)?;
    from.check_room(&args.dir)?;
    let with = |reading| Tuning { from: &from, reading, recipe: o.recipe() };
    match &args.task {
        Task::Classify { pooling, .. } => {
            let with = with(pooling.map_or(Reading::Mean, Reading::from));
            let [pool, test] = o.examples(classes::read, || examples::world(o.seed))?;
            pool.check_classes()?;
            let subject = Classes::new(with, &pool, &test);
            subject.examples.notes.iter().for_each(|sentence| tell!("note: {sentence}"));
            o.draw(args, &subject, test.texts.len())
        }
        Task::Tag(_) => {
            let both = o.examples(conll::read, || examples::world_sentences(o.seed))?;
            both.iter().try_for_each(conll::Tagged::check_entities)?;
            let subject = Tags::new(with(Reading::Token), both);
            subject.notes.iter().for_each(|sentence| tell!("note: {sentence}"));
            o.draw(args, &subject, subject.tests())
        }
    }
}

/// The curve of a CLIP's image encoder.
fn with_pictures(args: &Args, o: &Options) -> Result<()> {
    if matches!(args.task, Task::Tag(_)) {
        let what = "is a CLIP, and words are tagged by models of text: `classify` is what it can learn";
        return Err(Error::file(&args.dir, what).into());
    }
    let pooled = matches!(args.task, Task::Classify { pooling: Some(_), .. });
    if pooled || o.recipe() != Recipe::default() {
        let what =
            "a CLIP is not fine-tuned: leave --pooling, --lr, --epochs, --least-steps, --dropout and --precision out";
        return Err(crate::Usage(what.to_owned()).into());
    }
    pictures::need(&o.data, false, &o.pictures.given())?;
    let with = Encoders::open(&args.dir)?;
    let bar = pictures::counting(0);
    let done = |n, all| {
        bar.set_length(all as u64);
        bar.set_position(n as u64);
    };
    let probe = match (&o.data[..], &o.test_data[..]) {
        ([], _) => Probe::world(&with, done)?,
        (data, test) => Probe::new(&with, [o.pictures.open(&with, data)?, o.pictures.open(&with, test)?], done)?,
    };
    bar.finish_and_clear();
    pictures::note(&probe.faults);
    probe.notes.iter().for_each(|sentence| tell!("note: {sentence}"));
    o.draw(args, &probe, probe.tests())
}

impl Options {
    /// The examples to draw from and those to test on.
    fn examples<E>(
        &self,
        read: impl Fn(&Path) -> models::Result<E>,
        world: impl FnOnce() -> [E; 2],
    ) -> models::Result<[E; 2]> {
        match (self.data.first(), self.test_data.first()) {
            (Some(data), Some(test)) => Ok([read(data)?, read(test)?]),
            _ => Ok(world()),
        }
    }

    /// How a model of text is fine-tuned.
    fn recipe(&self) -> Recipe {
        let Self { lr, least_steps, epochs, dropout, precision, .. } = *self;
        let usual = Recipe::default();
        let least = usual.least_steps;
        Recipe { lr, dropout, precision: precision.into(), ..usual }.with_passes(epochs, least_steps, least)
    }

    /// Where the picture goes. Where nobody names it, that is a new file, with nothing in it yet, so that no other curve
    /// takes its name meanwhile.
    fn picture(&self) -> models::Result<PathBuf> {
        if let Some(named) = &self.svg {
            return Ok(named.clone());
        }
        for i in 1u32.. {
            let path = PathBuf::from(if i == 1 { "curve.svg".to_owned() } else { format!("curve-{i}.svg") });
            match File::create_new(&path) {
                Ok(_) => return Ok(path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(&path, "create", &error)),
            }
        }
        unreachable!("there are not so many files")
    }

    /// Measures the curve, shows it point by point, and draws the picture.
    fn draw<S: Subject + Sync>(&self, args: &Args, subject: &S, tests: usize) -> Result<()> {
        let plan = Plan { most: self.most.unwrap_or(usize::MAX), seeds: self.seeds, seed: self.seed };
        let mut said = Ok(());
        let mut say = |line: String| {
            if said.is_ok() && !self.json {
                said = writeln!(std::io::stdout(), "{line}");
            }
        };
        let names = Learner::ALL.map(|learner| format!("{:>14}", learner.name::<S>())).concat();
        say(format!("{:>20}  in all{names}    ({} in %)", S::COUNTED, S::MEASURED));
        let task = if matches!(args.task, Task::Tag(_)) { "tag" } else { "classify" };
        let model = args.dir.file_name().unwrap_or(args.dir.as_os_str()).display();
        let title = format!("what pre-training is worth: {model}, {task}, {} to test on", count(tests, "example"));
        let known = match self.seeds {
            1 => "one seed".to_owned(),
            n => format!("means over {n} seeds; the bars are their 95% intervals"),
        };
        let stop = Arc::new(AtomicBool::new(false));
        flags::on_ctrl_c(&stop)?;
        let svg = self.picture()?;
        // With each point the picture is drawn anew, so that whatever ends it leaves what is known by then.
        let mut drawn = Ok(());
        let report = |so_far: &[Point]| {
            so_far.last().into_iter().for_each(|point| say(row(point)));
            let draw = || picture::draw::<S>(&svg, [&title, &known], so_far);
            drawn = files::with_room(flags::waiting(&stop), draw);
        };
        let stopped = || stop.load(Ordering::SeqCst);
        let (points, end) = tensor::parallel::inside(|| curve(subject, plan, report, stopped));
        if points.is_empty() && self.svg.is_none() {
            let _ = std::fs::remove_file(&svg); // there is nothing in it
        }
        if stopped() {
            let left = if points.is_empty() { "and so without a picture" } else { "what was not finished is left out" };
            tell!("note: stopped with {}, {left}", count(points.len(), "point"));
        }
        if self.json && !(points.is_empty() && end.is_err()) {
            let points: Vec<_> = points.iter().map(told::<S>).collect();
            if drawn.is_ok() && !points.is_empty() {
                tell!("note: the picture is {}", svg.display());
            }
            said = writeln!(std::io::stdout(), "{}", json!({"measured": S::MEASURED, "points": points}));
        } else if !self.json && drawn.is_ok() && !points.is_empty() {
            said = said.and_then(|()| writeln!(std::io::stdout(), "the picture is {}", svg.display()));
        }
        // Whether somebody still listens says nothing of how it ended.
        end?;
        drawn?;
        if stopped() { Err(Stopped.into()) } else { Ok(said?) }
    }
}

/// A point with the scores of all seeds, from 0 to 1, by the learners' names.
fn told<S: Subject>(point: &Point) -> serde_json::Value {
    let scores = Learner::ALL.map(|learner| (learner.name::<S>().to_owned(), json!(point.scores[learner as usize])));
    json!({"labels": point.labels, "examples": point.examples, "scores": serde_json::Map::from_iter(scores)})
}

/// A line of the table.
fn row(point: &Point) -> String {
    let scores = Learner::ALL.map(|learner| {
        let mean = point.mean(learner);
        let half = mean.half_width.map_or(String::new(), |half| format!(" ±{:.1}", 100.0 * half));
        format!("{:>14}", format!("{:.1}{half}", 100.0 * mean.value))
    });
    format!("{:>20}  {:>6}{}", point.labels, point.examples, scores.concat())
}
