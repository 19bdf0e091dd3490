//! The loop: batch, loss, gradients, step; and around it what makes a run safe to leave alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use autograd::{Gradients, Muon, Params, Profile};
use toml::{Table, Value};

use super::advice::Advice;
use super::budget::steps_in;
use super::chart::{self, Level};
use super::checkpoint::{self, Position};
use super::evaluate::{self, Evaluation, evaluate};
use super::metrics::{Metric, MetricsWriter, read_metrics};
use super::options::{ObjectiveName, OptimizerName, Options};
use super::representation::Representation;
use super::setup::Setup;
use super::step::{self, Compute, loss_and_gradients, timed};
use super::watch::Watch;
use crate::Model;
use crate::bert::model::HEADS;
use crate::data::Corpus;
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{self, beside};
use crate::pretext::{Batch, Objective};

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
    metrics: MetricsWriter,
    advice: Advice,
    /// The broken pictures that were named.
    broken: BTreeSet<String>,
    /// Where the time goes, if that is wanted.
    pub profile: Option<Profile>,
}

/// How a run ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// Steps made.
    pub step: u64,
    /// Whether all steps of the run were made.
    pub finished: bool,
    /// Nats a token over the whole validation part, if the run finished.
    pub val_loss: Option<f64>,
    /// The same in bits a byte of text, for a model that predicts every token.
    pub bits_per_byte: Option<f64>,
    /// The share of hidden tokens, of second views of texts, or of captions, whose likeliest guess is right, for a model that
    /// finds those.
    pub val_accuracy: Option<f64>,
    /// What differences of cosines are divided by, where that is learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// What the vectors of validation texts look like.
    #[serde(flatten)]
    pub representation: Representation,
    /// The best validation loss, over the rows that are the same at every evaluation, and after which step.
    pub best: Option<(f64, u64)>,
    /// Seconds trained, over all sessions.
    pub seconds: f64,
}

/// What a run writes, or what would be taken for a part of its model: nothing that somebody else keeps is written over.
const WRITTEN: [&str; 11] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "state.safetensors",
    METRICS,
    BROKEN,
    "loss.svg",
];

impl Run {
    /// A new run with these options in `directory`, which must not hold one yet. With a budget of minutes, the first
    /// steps are timed here and the number of steps set.
    pub fn create(directory: &Path, file: &Table, flags: &Table, watch: &mut dyn Watch) -> Result<Self> {
        if directory.join("train.toml").exists() {
            let what = "already holds a run: go on with --resume, or give another --out";
            return Err(Error::file(directory, what));
        }
        if let Some(file) = WRITTEN.iter().find(|file| directory.join(file).exists()) {
            let what =
                format!("already holds a model, or a part of one ({file}), which stays as it is: give another --out");
            return Err(Error::file(directory, what));
        }
        let begin = Instant::now();
        let mut setup = Setup::new(Options::resolve(file, flags)?, None, watch)?;
        if let Some(minutes) = setup.options.minutes {
            let steps = steps_in(60.0 * minutes - begin.elapsed().as_secs_f64(), &setup)
                .inspect_err(|_| setup.corpus.broken().values().for_each(|sentence| watch.note(sentence)))?;
            let s = if steps == 1 { "" } else { "s" };
            let mut flags = flags.clone();
            flags.insert("steps".to_owned(), (steps as i64).into());
            let vocab_size = setup.options.vocab_size;
            setup.options = Options { vocab_size, ..Options::resolve(file, &flags)? };
            watch.note(&format!("{minutes} minutes are enough for {steps} step{s}, evaluations included"));
        }
        std::fs::create_dir_all(directory).map_err(|error| Error::io(directory, "create", &error))?;
        let tokenizer = directory.join("tokenizer.json");
        setup.tokenizer.save(&tokenizer).map_err(|error| Error::file(&tokenizer, error))?;
        if setup.options.from.is_some() {
            // What the run begins with is its first checkpoint: from here on it does without the other.
            let optimizer = optimizer(&setup.options, &setup.model, &setup.params);
            let position = Position { data: setup.corpus.fingerprint(), ..Position::default() };
            checkpoint::save(directory, &position, &setup.params, &optimizer)?;
            hub::save(directory, &setup.model, &setup.params, &setup.tokenizer)?;
        }
        let toml = directory.join("train.toml"); // last, so that it never stands without a tokenizer
        let text = setup.options.to_toml();
        files::write(&toml, text.as_bytes()).map_err(|error| Error::io(&toml, "write", &error))?;
        Self::begin(directory, setup)
    }

    /// Goes on with the run in `directory` from its last checkpoint, or from the start if it has none yet. `flags` may
    /// repeat its options and must not contradict them.
    pub fn resume(directory: &Path, flags: &Table, watch: &mut dyn Watch) -> Result<Self> {
        let path = directory.join("train.toml");
        if !path.exists() {
            return Err(Error::file(directory, "holds no run to resume: it has no train.toml"));
        }
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
        for place in [directory, &directory.join("best")] {
            files::sweep(place).map_err(|error| Error::io(place, "tidy", &error))?;
        }
        let run = Self::begin(directory, setup)?;
        if run.step() == 0 && run.setup.options.from.is_none() {
            watch.note("this run has no checkpoint yet: it begins at its first step");
        }
        Ok(run)
    }

    /// Reads the last checkpoint, if there is one.
    fn begin(directory: &Path, mut setup: Setup) -> Result<Self> {
        let mut optimizer = optimizer(&setup.options, &setup.model, &setup.params);
        let mut position = Position { data: setup.corpus.fingerprint(), ..Position::default() };
        if directory.join(checkpoint::STATE).exists() {
            let saved = checkpoint::load(directory, &mut setup.params, &mut optimizer)?;
            if saved.data != position.data {
                let what = format!(
                    "the data has changed since this run began: bring the old files back, or begin a new run \
                     (with --from {} it goes on with these weights)",
                    files::quoted(&directory.to_string_lossy())
                );
                return Err(Error::file(directory, what));
            }
            if saved.step > setup.options.steps {
                let (made, asked) = (saved.step, setup.options.steps);
                let what = format!("asks for {asked} steps, but {made} are made already: give {made} or more");
                return Err(Error::file(directory.join("train.toml"), what));
            }
            position = saved;
        }
        let metrics = MetricsWriter::resume(&directory.join(METRICS), position.step)?;
        if let Ok(names) = std::fs::read_to_string(directory.join(BROKEN)) {
            setup.corpus.look_again(&names.lines().map(str::to_owned).collect());
        }
        let mut advice = Advice::new(&setup.options, setup.corpus.unigram_entropy());
        for metric in read_metrics(&directory.join(METRICS))? {
            advice.look(&metric); // what was said before is not said again
        }
        Ok(Self {
            directory: directory.to_owned(),
            setup,
            optimizer,
            position,
            metrics,
            advice,
            broken: BTreeSet::new(),
            profile: None,
        })
    }

    /// How many steps were made.
    pub fn step(&self) -> u64 {
        self.position.step
    }

    /// Saves everything that the next step depends on, and the model for everyone else.
    fn save(&self) -> Result<()> {
        checkpoint::save(&self.directory, &self.position, &self.setup.params, &self.optimizer)?;
        self.save_model(&self.directory)
    }

    fn save_model(&self, directory: &Path) -> Result<()> {
        let Setup { model, params, tokenizer, corpus, .. } = &self.setup;
        if self.setup.options.objective == Some(ObjectiveName::Simcse) {
            beside::write_pooling(directory, model)?;
        }
        if let Corpus::Captioned(captioned) = corpus {
            hub::clip::write_preprocessor(directory, &captioned.rows().preprocess)?;
        }
        hub::save(directory, model, params, tokenizer)
    }

    /// Evaluates after a step, the loss and the vectors of texts; after the last, the loss over the whole validation part, and
    /// also over the rows of the evaluations before, if these were fewer. A model better on those rows than all before is kept
    /// in `best/`.
    fn evaluate(&mut self, watch: &mut dyn Watch) -> Result<(Evaluation, Option<f64>, Representation)> {
        let Setup { options: o, model, params, corpus, .. } = &self.setup;
        let data = (corpus, self.setup.validation());
        let over = |limit| evaluate(model, params, data, o.block_size, [o.batch_size, o.micro_batch], limit);
        let read = |limit| evaluate::rows(data.0, data.1, o.block_size, o.batch_size, limit).len();
        let some = over(Some(o.eval_tokens))?;
        let more = self.position.step == o.steps && read(None) > read(Some(o.eval_tokens));
        let all = if more { over(None)? } else { some };
        let representation = self.setup.representation()?;
        self.name_broken(watch)?;
        let loss = some.loss;
        if loss.is_finite() && self.position.best.is_none_or(|(best, _)| loss < best) {
            self.position.best = Some((loss, self.position.step));
            let best = self.directory.join("best");
            std::fs::create_dir_all(&best).map_err(|error| Error::io(&best, "create", &error))?;
            self.save_model(&best)?;
        }
        if !loss.is_finite() {
            watch.note(&format!("the validation loss after step {} is {loss}", self.position.step));
        }
        Ok((all, more.then_some(loss), representation))
    }

    /// Names the pictures that were found broken since this was last asked.
    fn name_broken(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let mut new = false;
        for (name, sentence) in self.setup.corpus.broken() {
            if self.broken.insert(name) {
                watch.note(&sentence);
                new = true;
            }
        }
        if new {
            let (path, names) = (self.directory.join(BROKEN), self.broken.iter());
            let lines: String = names.map(|name| format!("{name}\n")).collect();
            files::write(&path, lines.as_bytes()).map_err(|error| Error::io(&path, "write", &error))?;
        }
        Ok(())
    }

    /// Saves, if the weights give a loss that is a number: a step that was too large shows only here.
    fn save_if_good(&self, val_loss: Option<f64>, batch: &Batch, norm: f64) -> Result<()> {
        let Setup { model, params, options, .. } = &self.setup;
        let next = val_loss.unwrap_or_else(|| step::loss(model, params, batch, options.micro_batch));
        check(self.step(), next, norm, &self.directory)?;
        self.save()
    }

    /// How the run stands, with the loss over the whole validation part if it is finished.
    fn outcome(&self) -> Result<Outcome> {
        let Setup { options, corpus, .. } = &self.setup;
        let Position { step, best, seconds, .. } = self.position;
        let finished = step >= options.steps;
        let metrics = read_metrics(&self.directory.join(METRICS))?;
        let last = metrics.last().filter(|_| finished);
        let val_loss = last.and_then(|metric| metric.val_loss);
        let val_accuracy = last.and_then(|metric| metric.val_accuracy);
        let representation = last.map_or(Representation::default(), |metric| metric.representation);
        let every_token = matches!(self.setup.objective(), Objective::NextToken);
        let bits = |nats| Some(nats / corpus.bytes_per_token()? / std::f64::consts::LN_2);
        let bits_per_byte = val_loss.filter(|_| every_token).and_then(bits);
        let temperature = last.and_then(|metric| metric.temperature);
        Ok(Outcome {
            step,
            finished,
            val_loss,
            bits_per_byte,
            val_accuracy,
            temperature,
            representation,
            best,
            seconds,
        })
    }

    fn draw(&self) -> Result<()> {
        let plan = self.setup.plan(0);
        let level = |name: &str, nats| Level { name: name.to_owned(), nats };
        let metrics = read_metrics(&self.directory.join(METRICS))?;
        let mut levels = vec![level("uniform", plan.uniform)];
        // Pairs that say the same are not told apart, which makes guessing easier.
        let measured = metrics.iter().rev().find_map(|metric| metric.val_chance);
        let val_uniform = measured.unwrap_or(plan.val_uniform);
        if val_uniform != plan.uniform {
            levels.push(level("uniform, validation", val_uniform));
        }
        levels.extend(plan.unigram.map(|unigram| level("unigram", unigram)));
        levels.extend(plan.floor.map(|floor| level("entropy of the data", floor)));
        let title = format!("{} on {}", plan.model, plan.data);
        Ok(chart::draw(&self.directory.join("loss.svg"), &title, plan.item, &metrics, &levels)?)
    }
}

/// Trains until the run's last step, or until `watch` says stop.
pub fn train(run: &mut Run, watch: &mut dyn Watch) -> Result<Outcome> {
    watch.plan(&run.setup.plan(run.position.step));
    let o = run.setup.options.clone();
    let schedule = o.schedule();
    let (mut gradients, mut batch) = (Gradients::new(&run.setup.params), Batch::new());
    let first = run.position.step;
    if first == o.steps {
        // The run may have been killed between its last state and what is made from it.
        run.save_model(&run.directory)?;
        run.draw()?;
    }
    for step in first..o.steps {
        let begin = Instant::now();
        let profile = run.profile.as_ref();
        // Keyed by (seed, step): nothing to replay.
        if let Err(error) = timed(profile, "Batch", || run.setup.fill(&mut batch, step)) {
            // Between two steps nothing is half done, and the batch is still that of the last.
            run.name_broken(watch)?;
            if step > first {
                run.save_if_good(None, &batch, 0.0)?;
                run.draw()?;
            }
            let directory = files::quoted(&run.directory.to_string_lossy());
            let what = format!("{error}; nothing is lost: then go on with --resume {directory}");
            return Err(Error::Training(what));
        }
        let Setup { model, params, .. } = &mut run.setup;
        let how = Compute { profile, ..o.compute() };
        let loss = loss_and_gradients(model, params, &mut gradients, &batch, how, o.seed, step);
        let lr = schedule.at(step);
        let muon_lr = o.muon_lr * lr / o.lr;
        // The gradient's norm as it was; where that is no number, there is no step.
        let norm = timed(profile, "Optimiser", || run.optimizer.step(params, &gradients, lr, muon_lr));
        check(step + 1, loss, norm, &run.directory)?;
        if let Model::Clip(clip) = model {
            clip.confine(params);
        }
        if step == first {
            let headless = batch.pairs.is_some();
            untouched(params, &gradients, headless).into_iter().for_each(|sentence| watch.note(&sentence));
        }
        let items = if batch.shows() { batch.rows } else { batch.ids.len() };
        let items_per_s = items as f64 / begin.elapsed().as_secs_f64();

        run.position.step = step + 1;
        let done = step + 1 == o.steps;
        let stop = watch.stop();
        let due = |every: u64| (step + 1) % every == 0 || done;
        let evaluation = if due(o.eval_every) { Some(run.evaluate(watch)?) } else { None };
        let val_loss = evaluation.map(|(evaluation, ..)| evaluation.loss);
        let val_loss_as_before = evaluation.and_then(|(_, loss, _)| loss);
        let val_accuracy = evaluation.and_then(|(evaluation, ..)| evaluation.accuracy);
        let val_chance = evaluation.and_then(|(evaluation, ..)| evaluation.chance);
        let temperature = evaluation.and_then(|(evaluation, ..)| evaluation.temperature);
        let representation = evaluation.map_or(Representation::default(), |(.., representation)| representation);
        run.position.seconds += begin.elapsed().as_secs_f64();
        let seconds = run.position.seconds;
        let step = step + 1;
        let grad_norm = norm;
        let metric = Metric {
            step,
            loss,
            val_loss,
            val_loss_as_before,
            val_accuracy,
            val_chance,
            temperature,
            representation,
            lr,
            grad_norm,
            items_per_s,
            seconds,
        };
        run.metrics.write(&metric)?;
        watch.progress(&metric);
        run.advice.look(&metric).iter().for_each(|sentence| watch.note(sentence));
        if due(o.save_every) || stop {
            run.save_if_good(val_loss, &batch, norm)?;
        }
        if val_loss.is_some() || stop {
            run.draw()?;
        }
        if stop {
            break;
        }
    }
    run.name_broken(watch)?;
    if !run.broken.is_empty() {
        let n = run.broken.len();
        watch.note(&format!("broken pictures that were passed over, others being taken in their place: {n}"));
    }
    run.outcome()
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

/// The optimiser that the options name, before its first step.
pub(super) fn optimizer(o: &Options, model: &Model, params: &Params) -> Muon {
    let matrices = match o.optimizer {
        OptimizerName::Adamw => Vec::new(),
        OptimizerName::Muon => model.matrices(params),
    };
    Muon::new(params, &matrices, o.muon_momentum, o.adamw()).with_precision(o.precision.into())
}

/// A loss or gradient that is no number ends the run before it reaches a checkpoint.
fn check(step: u64, loss: f64, norm: f64, directory: &Path) -> Result<()> {
    if loss.is_finite() && norm.is_finite() {
        return Ok(());
    }
    let kept = if directory.join(checkpoint::STATE).exists() {
        format!("the last good checkpoint is kept in {}", directory.display())
    } else {
        "no checkpoint was saved yet".to_owned()
    };
    Err(Error::Training(format!(
        "step {step}: the loss is {loss} and the gradient's norm {norm}; {kept}; a smaller --lr or a longer --warmup usually helps"
    )))
}

/// Parameters whose gradient is all zero: they do not take part in what is computed, and a user should know. The head that
/// finds hidden tokens takes no part where none is hidden.
fn untouched(params: &Params, gradients: &Gradients, headless: bool) -> Vec<String> {
    let of_head = |id| headless && HEADS.iter().any(|head| params.name(id).starts_with(head));
    let zero = |id: &autograd::ParamId| !of_head(*id) && gradients.of(*id).iter().all(|&g| g == 0.0);
    let sentence = |id| format!("{} got no gradient in the first step", params.name(id));
    if params.ids().filter(|&id| !of_head(id)).all(|id| zero(&id)) {
        return vec!["the first step had nothing to tell apart, and no parameter got a gradient".to_owned()];
    }
    params.ids().filter(zero).map(sentence).collect()
}

/// A new directory for something called `what`: `runs/WHAT-1`, or the first number that is free. It is made at once, so that
/// nobody else takes the same one.
///
/// Errors: no directory can be made here.
pub fn new_directory(what: &str) -> Result<PathBuf> {
    let runs = Path::new("runs");
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
