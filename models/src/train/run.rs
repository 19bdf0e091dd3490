//! A training run: its directory, how one is begun, and how it goes on from where it stood.
//!
//! `steps` is the loop, `record` what a run keeps and says of itself on the way.

mod record;
mod steps;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use autograd::{Muon, Profile};
use toml::{Table, Value};

pub use record::Outcome;
pub use steps::train;

use super::advice::Advice;
use super::budget::steps_in;
use super::checkpoint::{self, Position};
use super::metrics::{MetricsWriter, read_metrics};
use super::options::Options;
use super::setup::Setup;
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{self, beside};

/// Where runs are whose directory nobody names.
const RUNS: &str = "runs";
/// The file of metrics in a run directory.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// The file of names of broken pictures in a run directory, one a line: a session that resumes the run looks at them again.
const BROKEN: &str = "broken.txt";

/// A training run: its directory, everything it trains with, and where it stands.
pub struct Run {
    /// The run directory.
    pub directory: PathBuf,
    /// Options, tokenizer, data, model and weights.
    pub setup: Setup,
    optimizer: Muon,
    position: Position,
    /// Seconds trained by the last checkpoint.
    saved: f64,
    metrics: MetricsWriter,
    advice: Advice,
    /// The broken pictures that were named.
    broken: BTreeSet<String>,
    /// Where the time goes, if that is wanted.
    pub profile: Option<Profile>,
    /// The directory, locked as long as this run is at work in it.
    _held: Option<File>,
}

/// Stands in a run directory while a run is begun there. Killed by then, it is begun anew, and what else a run writes is taken
/// away: who else writes there refuses a directory that has it.
pub const BEGINNING: &str = ".beginning";

/// What a run writes, or what would be taken for a part of its model: nothing that somebody else keeps is written over.
const WRITTEN: [&str; 14] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "state.safetensors",
    METRICS,
    BROKEN,
    "loss.svg",
];

impl Run {
    /// A new run with these options in `directory`, which must not hold one yet, or in a new one under `runs`. With a budget of
    /// minutes, the first steps are timed here and the number of steps set. Nothing is written before all is ready to begin.
    pub fn create(directory: Option<&Path>, file: &Table, flags: &Table, watch: &mut dyn Watch) -> Result<Self> {
        directory.map_or(Ok(()), vacant)?;
        files::try_in(directory.unwrap_or(Path::new(RUNS)))?;
        let begin = Instant::now();
        let mut setup = Setup::new(Options::resolve(file, flags)?, None, watch)?;
        if let Some(minutes) = setup.options.minutes {
            let vocab_size = setup.options.vocab_size;
            let with = |steps: u64| -> Result<Options> {
                let mut flags = flags.clone();
                flags.insert("steps".to_owned(), (steps as i64).into());
                flags.remove("minutes");
                Ok(Options { vocab_size, minutes: Some(minutes), ..Options::laid_over(file, &flags)? })
            };
            let left = 60.0 * minutes - begin.elapsed().as_secs_f64();
            let (steps, fit) = steps_in(left, &setup, |steps| Ok(with(steps)?.eval_every))
                .inspect_err(|_| setup.corpus.broken().values().for_each(|sentence| watch.note(sentence)))?;
            setup.options = with(steps)?;
            let s = if steps == 1 { "" } else { "s" };
            watch.note(&match fit {
                true => format!("{minutes} minutes are enough for {steps} step{s}, evaluations included"),
                false => {
                    format!("{minutes} minutes are too few for a step and its evaluation: one is made all the same")
                }
            });
        }
        let made = directory.is_none_or(|named| !named.exists());
        let directory = match directory {
            Some(named) => named.to_owned(),
            None => new_directory(&format!("{}-{}", setup.options.model.name(), setup.options.preset))?,
        };
        let directory = directory.as_path();
        std::fs::create_dir_all(directory).map_err(|error| Error::io(directory, "create", &error))?;
        let held = files::hold(directory)?;
        vacant(directory)?; // somebody else may have begun a run by now
        files::sweep(directory).map_err(|error| Error::io(directory, "tidy", &error))?;
        if directory.join(BEGINNING).exists() {
            clear(directory);
        }
        lay_down(directory, &setup).inspect_err(|_| {
            clear(directory);
            if made {
                let _ = std::fs::remove_dir(directory);
            }
        })?;
        Self::begin(directory, setup, held)
    }

    /// Goes on with the run in `directory` from its last checkpoint, or from the start if it has none yet. `flags` may
    /// repeat its options and must not contradict them.
    pub fn resume(directory: &Path, flags: &Table, watch: &mut dyn Watch) -> Result<Self> {
        let path = directory.join("train.toml");
        if !path.exists() {
            let what = match directory.join(BEGINNING).exists() {
                true => "holds a run that ended while it was begun: nothing is lost, begin it again",
                false => "holds no run to resume: it has no train.toml",
            };
            return Err(Error::file(directory, what));
        }
        let held = files::hold(directory)?;
        let table = Options::read_run(&path)?;
        agree(&table, flags).map_err(|what| Error::Options(format!("{}: {what}", path.display())))?;
        let options = Options::resolve(&table, &Table::new()).map_err(|error| Error::file(&path, error))?;
        let vocab_size = options.vocab_size;
        let setup = Setup::new(options, Some(directory), watch)?;
        if setup.options.vocab_size != vocab_size {
            let had = setup.options.vocab_size;
            let what = format!("has {had} tokens, but the run's model has {vocab_size}: it is another run's tokenizer");
            return Err(Error::file(directory.join("tokenizer.json"), what));
        }
        if !directory.join(checkpoint::STATE).exists() && directory.join("model.safetensors").exists() {
            let what =
                "has weights but no state.safetensors to go on from: bring it back from a copy, or begin a new run";
            return Err(Error::file(directory, what));
        }
        let _ = std::fs::remove_file(directory.join(BEGINNING)); // it was begun, but for this
        for place in [directory, &directory.join("best")] {
            files::sweep(place).map_err(|error| Error::io(place, "tidy", &error))?;
        }
        let run = Self::begin(directory, setup, held)?;
        if run.step() == 0 && run.setup.options.from.is_none() {
            watch.note("this run has no checkpoint yet: it begins at its first step");
        }
        Ok(run)
    }

    /// Reads the last checkpoint, if there is one.
    fn begin(directory: &Path, mut setup: Setup, held: Option<File>) -> Result<Self> {
        let mut optimizer = setup.optimizer();
        let mut position = setup.beginning();
        if directory.join(checkpoint::STATE).exists() {
            same_model(directory, &setup)?;
            let saved = checkpoint::load(directory, &mut setup.params, &mut optimizer)?;
            if !saved.tokenizer.is_empty() && saved.tokenizer != position.tokenizer {
                let what = "is not the one that this run began with: bring it back from a copy";
                return Err(Error::file(directory.join("tokenizer.json"), what));
            }
            if saved.data != position.data {
                let what = format!(
                    "the data has changed since this run began, or what train.toml says of how it is read: bring the old \
                     back, or begin a new run (with --from {} it goes on with these weights)",
                    files::quoted(&directory.to_string_lossy())
                );
                return Err(Error::file(directory, what));
            }
            if saved.step > setup.options.steps {
                let (made, asked) = (saved.step, setup.options.steps);
                let what = format!("asks for {asked} steps, but {made} are made already: give {made} or more");
                return Err(Error::file(directory.join("train.toml"), what));
            }
            // A state of before tokenizers were kept gets the one of now.
            position = Position { tokenizer: position.tokenizer, ..saved };
        }
        let metrics = MetricsWriter::resume(&directory.join(METRICS), position.step)?;
        if let Ok(names) = std::fs::read_to_string(directory.join(BROKEN)) {
            setup.corpus.look_again(&names.lines().map(str::to_owned).collect());
        }
        let mut advice = Advice::new(&setup.options, setup.corpus.unigram_entropy(), setup.vectors());
        for metric in read_metrics(&directory.join(METRICS))? {
            advice.look(&metric); // what was said before is not said again
        }
        Ok(Self {
            directory: directory.to_owned(),
            setup,
            optimizer,
            saved: position.seconds,
            position,
            metrics,
            advice,
            broken: BTreeSet::new(),
            profile: None,
            _held: held,
        })
    }

    /// How many steps were made.
    pub fn step(&self) -> u64 {
        self.position.step
    }
}

/// Writes what a run begins with into a directory that holds none.
fn lay_down(directory: &Path, setup: &Setup) -> Result<()> {
    let beginning = directory.join(BEGINNING);
    files::write(&beginning, b"").map_err(|error| Error::io(&beginning, "write", &error))?;
    beside::write_tokenizer(directory, &setup.tokenizer)?;
    if setup.options.from.is_some() {
        // What the run begins with is its first checkpoint: from here on it does without the other.
        let optimizer = setup.optimizer();
        checkpoint::save(directory, &setup.beginning(), &setup.params, &optimizer)?;
        setup.save_model(directory)?;
    }
    let toml = directory.join("train.toml"); // last, so that it never stands without a tokenizer
    let text = setup.options.to_toml();
    files::write(&toml, text.as_bytes()).map_err(|error| Error::io(&toml, "write", &error))?;
    std::fs::remove_file(&beginning).map_err(|error| Error::io(&beginning, "remove", &error))
}

/// Takes away what a run that did not come to its beginning left.
fn clear(directory: &Path) {
    WRITTEN.iter().chain([&"train.toml", &BEGINNING]).for_each(|file| drop(std::fs::remove_file(directory.join(file))));
    let _ = std::fs::remove_dir(directory.join("1_Pooling")); // if nothing else is in it
}

/// An error if a directory holds a run, or what a run would write over.
fn vacant(directory: &Path) -> Result<()> {
    if directory.join("train.toml").exists() {
        let what = "already holds a run: go on with --resume, or give another --out";
        return Err(Error::file(directory, what));
    }
    let there = |file: &&str| directory.join(file).exists();
    // A run that was begun has no best model yet.
    let best = WRITTEN.iter().map(|file| format!("best/{file}")).find(|file| there(&&file[..]));
    let kept = WRITTEN.iter().copied().find(there).filter(|_| !directory.join(BEGINNING).exists());
    if let Some(file) = kept.map(str::to_owned).or(best) {
        let what =
            format!("already holds a model, or a part of one ({file}), which stays as it is: give another --out");
        return Err(Error::file(directory, what));
    }
    Ok(())
}

/// An error if the model beside a checkpoint has other sizes than train.toml asks for, which somebody has changed: weights of
/// the same shapes may be another model with them. How much it drops in training is no part of a model.
fn same_model(directory: &Path, setup: &Setup) -> Result<()> {
    let path = directory.join("config.json");
    if !path.exists() {
        return Ok(());
    }
    // Of the model only this: killed in its first checkpoint, a run has sizes and a state, and no weights beside them yet.
    let (had, _) = hub::read_config(&path)?;
    let [had, asked] = [had, setup.model.config()].map(|config| config.with_dropout(0.0));
    if had == asked {
        return Ok(());
    }
    let what = "is of another model than train.toml asks for: bring back the one of the two that was changed, or begin a new run";
    Err(Error::file(path, what))
}

/// A sentence if flags say another thing than a run's own table of options, or than the tables in it.
fn agree(table: &Table, flags: &Table) -> std::result::Result<(), String> {
    for (key, value) in flags {
        match (table.get(key), value) {
            (Some(Value::Table(table)), Value::Table(flags)) => agree(table, flags)?,
            (Some(had), value) if had == value => {}
            (had, _) => {
                let had = had.map_or("not set".to_owned(), ToString::to_string);
                let name = key.replace('_', "-");
                let flag = if key == "model" { "the model's word".to_owned() } else { format!("--{name}") };
                return Err(format!("{name} is {had} in this run, not {value}: leave {flag} out, or begin a new run"));
            }
        }
    }
    Ok(())
}

/// The directory of the run that a model is of, and whether it is the best of the run and not the last: then the run's is that
/// above it. Of a model that no run made there is none.
pub fn of_model(model: &Path) -> Option<(PathBuf, bool)> {
    let model = model.canonicalize().or_else(|_| std::path::absolute(model)).ok()?;
    let is_run = |at: &&Path| at.join("train.toml").exists();
    let above = model.parent().filter(|_| model.ends_with("best"));
    let best = above.filter(|_| !is_run(&&*model));
    best.or(Some(&*model)).filter(is_run).map(|at| (at.to_owned(), best.is_some()))
}

/// Whether a model, a run's last or its best, is known to have learned the built-in world.
pub fn learned_world(model: &Path) -> bool {
    let options = of_model(model).and_then(|(run, _)| Options::read_table(&run.join("train.toml")).ok());
    options.is_some_and(|table| table.get("data").and_then(Value::as_array).is_none_or(Vec::is_empty))
}

/// A new directory for something called `what`: `runs/WHAT-1`, or the first number that is free. It is made at once, so that
/// nobody else takes the same one.
///
/// Errors: no directory can be made here.
pub fn new_directory(what: &str) -> Result<PathBuf> {
    let runs = Path::new(RUNS);
    std::fs::create_dir_all(runs).map_err(|error| Error::io(runs, "create", &error))?;
    for i in 1u32.. {
        let path = runs.join(format!("{what}-{i}"));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(&path, "create", &error)),
        }
    }
    unreachable!("there are not so many directories")
}
