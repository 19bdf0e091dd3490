//! `pretext finetune`: a pre-trained model learns a task from labelled examples. What is said and put away while one seed after
//! the other learns is in [`seeds`].

mod seeds;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};
use models::data::labelled::{classes, conll, squad};
use models::hub::pretrained::Pretrained;
use models::train::options::PrecisionName;
use models::transfer::finetune::Recipe;
use models::transfer::finetune::answer::{self, Answerer};
use models::transfer::finetune::classify::{self, Classifier};
use models::transfer::finetune::examples::{Examples, Questions, Sentences};
use models::transfer::finetune::tag::{self, Tagged, Tagger};
use models::transfer::finetune::trials::Scores;
use models::transfer::finetune::tuned::{self, Kind, Place};
use models::transfer::finetune::windows::{self, Asked};
use models::transfer::score::Counts;
use serde::Serialize;

use self::seeds::Report;
use crate::flags::{ReadingName, Threads, check_names, count, named};

/// Fine-tune a pre-trained model on labelled examples.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  pretext finetune runs/bert-nano-1 classify                              the built-in world's task
  pretext finetune runs/bert-mini-1 classify --data train.tsv --test-data test.tsv
  pretext finetune runs/bert-mini-1 classify --data reviews.csv --seeds 5 --json
  pretext finetune runs/bert-mini-1 tag --data train.conll --val-data valid.conll --test-data test.conll
  pretext finetune runs/bert-mini-1 answer --data train-v1.1.json --test-data dev-v1.1.json --epochs 2")]
pub struct Args {
    /// A run of `train`, or a Hugging Face checkpoint with its tokenizer.json
    dir: PathBuf,
    #[command(subcommand)]
    task: Task,
}

/// What is learned.
#[derive(Subcommand)]
enum Task {
    /// A label for a text: lines `label TAB text`, CSV with the columns text and label, or JSON lines with these fields;
    /// without --data openings of the built-in world's stories, labelled by what happens in them
    Classify {
        /// Where a text's label is read
        #[arg(long, value_enum, default_value_t = ReadingName::Mean)]
        pooling: ReadingName,
        #[command(flatten)]
        options: Options,
    },
    /// A label for each word: CoNLL files, a word and its BIO tag a line and an empty line after each sentence; without
    /// --data the built-in world's stories, with people, objects and places tagged
    Tag(Options),
    /// The passage of a text that answers a question: SQuAD's JSON (v1.1); without --data the built-in world's stories:
    /// on which day, in what weather, where, and who acts last
    Answer(Options),
}

#[derive(ClapArgs, Serialize)]
struct Options {
    /// Labelled examples to learn from [default: 200 stories of the built-in world]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Labelled examples to choose the best weights by [default: a fifth of --data, if there are 50]
    #[arg(long, value_name = "FILE", requires = "data")]
    val_data: Option<PathBuf>,
    /// Labelled examples to say at the end how good the model is
    #[arg(long, value_name = "FILE", requires = "data")]
    test_data: Option<PathBuf>,
    /// Directory of the fine-tuned model [default: a new one under runs/]
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    out: Option<PathBuf>,
    /// Begin with random weights: what there would be without pre-training
    #[arg(long)]
    scratch: bool,
    /// Passes over the examples, fewer if the validation score does not rise any more [default: 10, or the more that make
    /// --least-steps]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[serde(skip)]
    epochs: Option<u64>,
    /// Steps, at least, unless the validation score does not rise any more [default: 200, to answer 600; with --epochs 1]
    #[arg(long, value_name = "N")]
    #[serde(skip)]
    least_steps: Option<u64>,
    /// Examples of a step
    #[arg(long, default_value_t = Recipe::default().batch_size as u64, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1 << 16))]
    batch_size: u64,
    /// Learning rate of the new layer
    #[arg(long, default_value_t = Recipe::default().lr)]
    lr: f64,
    /// Each block's learning rate as a share of the one above it
    #[arg(long, default_value_t = Recipe::default().layer_decay, value_name = "SHARE")]
    layer_decay: f64,
    /// The share that dropout drops
    #[arg(long, default_value_t = Recipe::default().dropout, value_name = "SHARE")]
    dropout: f64,
    /// Repeat with so many seeds and give the mean; the best on the validation examples is kept
    #[arg(long, default_value_t = 1, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::from(u32::MAX)))]
    seed: u64,
    /// What matrix products do with their operands: nothing (f32), or round them to bf16
    #[arg(long, value_name = "NAME", value_parser = named::<PrecisionName>, default_value = "f32")]
    precision: PrecisionName,
    /// Print the results as one JSON line
    #[arg(long)]
    #[serde(skip)]
    json: bool,
    #[command(flatten)]
    #[serde(skip)]
    threads: Threads,
    /// Set by Ctrl-C.
    #[arg(skip)]
    #[serde(skip)]
    stop: Arc<AtomicBool>,
}

/// What stands beside a fine-tuned model: the words of the command that made it.
#[derive(Serialize)]
struct Told<'a> {
    from: &'a Path,
    task: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pooling: Option<ReadingName>,
    epochs: u64,
    least_steps: u64,
    #[serde(flatten)]
    options: &'a Options,
}

pub fn run(args: &Args) -> Result<()> {
    match &args.task {
        Task::Classify { pooling, options } => classify(args, options, *pooling),
        Task::Tag(options) => tag(args, options),
        Task::Answer(options) => answer(args, options),
    }
}

fn classify(args: &Args, o: &Options, pooling: ReadingName) -> Result<()> {
    let (recipe, from) = o.begin(args, Recipe::default().least_steps)?;
    let examples = match &o.data {
        None => Examples::world(&from, o.seed),
        Some(data) => {
            let [val, test] = o.others(classes::read)?;
            let train = classes::read(data)?;
            train.check_classes()?;
            Examples::new(&from, &train, val.as_ref(), test.as_ref(), o.seed)
        }
    };
    let sizes = [examples.train.len(), examples.val.len(), examples.test.len()];
    introduce(&examples.notes, &(count(examples.labels.len(), "label") + "; "), "example", sizes);
    let place = Place::take(o.out.as_deref(), Kind::Classify)?;
    let learn = |recipe: &Recipe, report: Report| {
        let body = o.body(&from, recipe);
        classify::finetune(&body, &examples, pooling.into(), recipe, report)
    };
    let test = |classifier: &Classifier| {
        let scores = (sizes[2] > 0).then(|| classifier.scores_on(&classifier.tuned.params, &examples.test));
        scores.map_or(Scores::new(), |s| [("accuracy", s.accuracy), ("macro F1", s.macro_f1)].into())
    };
    let told = o.told(args, Kind::Classify, Some(pooling), &recipe);
    o.trials(Kind::Classify, &told, &place, &recipe, (&from.tokenizer, &examples.labels), learn, test)
}

fn tag(args: &Args, o: &Options) -> Result<()> {
    let (recipe, from) = o.begin(args, Recipe::default().least_steps)?;
    let sentences = match &o.data {
        None => Sentences::world(&from, o.seed),
        Some(data) => {
            let [val, test] = o.others(conll::read)?;
            let train = conll::read(data)?;
            train.check_entities()?;
            Sentences::new(&from, train, val, test, o.seed)
        }
    };
    let sizes = [&sentences.train, &sentences.val, &sentences.test].map(Tagged::sentences);
    introduce(&sentences.notes, &(count(sentences.tags.len(), "tag") + "; "), "example", sizes);
    let place = Place::take(o.out.as_deref(), Kind::Tag)?;
    let learn = |recipe: &Recipe, report: Report| {
        let body = o.body(&from, recipe);
        let parts = [&sentences.train, &sentences.val];
        tag::finetune(&body, parts, &sentences.tags, recipe, report)
    };
    let test = |tagger: &Tagger| {
        let score = sentences.test.has_entity().then(|| tagger.scores_on(&tagger.tuned.params, &sentences.test));
        let named = |s: Counts| [("precision", s.precision()), ("recall", s.recall()), ("entity F1", s.f1())].into();
        score.map_or(Scores::new(), named)
    };
    let told = o.told(args, Kind::Tag, None, &recipe);
    o.trials(Kind::Tag, &told, &place, &recipe, (&from.tokenizer, &sentences.tags), learn, test)
}

fn answer(args: &Args, o: &Options) -> Result<()> {
    let (recipe, from) = o.begin(args, answer::LEAST_STEPS)?;
    windows::check_room(&args.dir, &from.model)?;
    let questions = match &o.data {
        None => Questions::world(&from, o.seed),
        Some(data) => {
            let [val, test] = o.others(squad::read)?;
            let questions = Questions::new(&from, squad::read(data)?, val, test, o.seed);
            if questions.train.is_empty() {
                let what = "has no question whose answer stands in its context: there is nothing to learn from";
                return Err(models::Error::file(data, what).into());
            }
            questions
        }
    };
    let sizes = [&questions.train, &questions.val, &questions.test].map(Asked::len);
    introduce(&questions.notes, "", "question", sizes);
    let place = Place::take(o.out.as_deref(), Kind::Answer)?;
    let learn = |recipe: &Recipe, report: Report| {
        let body = o.body(&from, recipe);
        let parts = [&questions.train, &questions.val];
        answer::finetune(&body, parts, recipe, report)
    };
    let test = |answerer: &Answerer| {
        let score = (sizes[2] > 0).then(|| answerer.scores_on(&answerer.tuned.params, &questions.test));
        let named = |s: answer::Scores| [("exact match", s.exact_match), ("answer F1", s.f1)].into();
        score.map_or(Scores::new(), named)
    };
    let told = o.told(args, Kind::Answer, None, &recipe);
    o.trials(Kind::Answer, &told, &place, &recipe, (&from.tokenizer, &answer::OUTPUTS.map(str::to_owned)), learn, test)
}

fn introduce(notes: &[String], labels: &str, example: &str, [train, val, test]: [usize; 3]) {
    notes.iter().for_each(|note| tell!("note: {note}"));
    tell!("{labels}{} to learn from, {val} to validate on, {test} to test on", count(train, example));
}

impl Options {
    /// The recipe. `least_steps` are the task's own.
    fn recipe(&self, least_steps: u64) -> Recipe {
        Recipe {
            batch_size: self.batch_size as usize,
            lr: self.lr,
            layer_decay: self.layer_decay,
            dropout: self.dropout,
            precision: self.precision.into(),
            seed: self.seed,
            ..Recipe::default()
        }
        .with_passes(self.epochs, self.least_steps, least_steps)
    }

    /// What every task needs before its examples: the recipe and the model.
    fn begin(&self, args: &Args, least_steps: u64) -> Result<(Recipe, Pretrained)> {
        self.threads.set();
        let dir = Some(args.dir.clone());
        check_names(tuned::OPTIONS, [&dir, &self.data, &self.val_data, &self.test_data, &self.out])?;
        let recipe = self.recipe(least_steps);
        recipe.check()?;
        let from = Pretrained::open(&args.dir)?;
        from.check_room(&args.dir)?;
        if let Some(out) = &self.out {
            tuned::vacant(out)?;
        }
        Ok((recipe, from))
    }

    /// What a trial begins with: what was pre-trained, or the same with random weights.
    fn body<'a>(&self, from: &'a Pretrained, recipe: &Recipe) -> Cow<'a, Pretrained> {
        if self.scratch { Cow::Owned(from.from_scratch(recipe.seed)) } else { Cow::Borrowed(from) }
    }

    /// The validation and test files, where they are given.
    fn others<E>(&self, read: impl Fn(&Path) -> models::Result<E>) -> models::Result<[Option<E>; 2]> {
        let read = |path: &Option<PathBuf>| path.as_deref().map(&read).transpose();
        Ok([read(&self.val_data)?, read(&self.test_data)?])
    }

    /// The words of this command, with what the recipe made of them.
    fn told<'a>(&'a self, args: &'a Args, kind: Kind, pooling: Option<ReadingName>, recipe: &Recipe) -> Told<'a> {
        let Recipe { epochs, least_steps, .. } = *recipe;
        Told { from: &args.dir, task: kind.command(), pooling, epochs, least_steps, options: self }
    }
}
