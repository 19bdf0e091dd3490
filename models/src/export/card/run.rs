//! What the files of a run tell: from which data, by which options, how far, how well.

use std::path::Path;

use toml::Table;

use super::super::Source;
use crate::error::{Error, Result};
use crate::train::chart::thousands;
use crate::train::checkpoint::{self, STATE};
use crate::train::metrics::{Metric, read_metrics};
use crate::train::options::{ModelName, ObjectiveName, Options};
use crate::train::run::{METRICS, of_model};

/// Evaluations that a card shows, at most.
const SHOWN: usize = 12;

/// A run of `train`.
pub(super) struct Run {
    options: Options,
    /// What was measured up to the exported weights.
    metrics: Vec<Metric>,
    /// Whether these are the best of the run, and not the last.
    best: bool,
}

impl Run {
    /// Reads what stands beside a model: in its directory, or, of the best model of a run, in that above. Of a checkpoint that
    /// no run made there is nothing.
    ///
    /// Errors: files that are damaged.
    pub(super) fn open(directory: &Path) -> Result<Option<Self>> {
        let Some((at, best)) = of_model(directory) else { return Ok(None) };
        let path = at.join("train.toml");
        let options = Options::resolve(&Options::read_run(&path)?, &Table::new());
        let options = options.map_err(|error| Error::file(&path, error))?;
        let metrics = at.join(METRICS);
        let mut metrics = if metrics.exists() { read_metrics(&metrics)? } else { Vec::new() };
        let last = if best {
            let evaluated = metrics.iter().filter_map(|metric| Some((metric.validation.compared()?, metric.step)));
            evaluated.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, step)| step)
        } else if at.join(STATE).exists() {
            Some(checkpoint::position(&at)?.step) // metrics may have gone on since
        } else {
            None
        };
        metrics.retain(|metric| last.is_none_or(|last| metric.step <= last));
        Ok(Some(Self { options, metrics, best }))
    }

    /// Whether it learned vectors of whole texts.
    pub(super) fn of_sentences(&self) -> bool {
        self.options.objective == Some(ObjectiveName::Simcse)
    }

    /// By what it was trained.
    pub(super) fn learned(&self) -> &'static str {
        match (self.options.model, self.options.objective) {
            (ModelName::Gpt, _) => "trained by predicting the next token",
            (_, Some(ObjectiveName::Simcse)) => {
                "trained by finding the other view, that dropout makes, of a sentence among those of others (SimCSE)"
            }
            (ModelName::Bert, _) => "trained by finding hidden tokens (masked prediction)",
            (_, Some(ObjectiveName::Siglip)) => {
                "trained by telling whether a picture and a caption belong together (SigLIP)"
            }
            (ModelName::Clip, _) => "trained by telling which caption of a batch belongs to which picture",
        }
    }

    /// What a loss is counted by.
    fn item(&self) -> &'static str {
        match (self.options.model, self.options.objective) {
            (ModelName::Gpt, _) => "token",
            (ModelName::Clip, _) => "pair",
            (_, Some(ObjectiveName::Simcse)) => "text",
            (ModelName::Bert, _) => "hidden token",
        }
    }

    /// The section on the data.
    pub(super) fn data(&self) -> String {
        let o = &self.options;
        let list = |sources: &[String]| {
            let names = sources.iter().map(|source| format!("- `{}`", last_name(source)));
            names.collect::<Vec<_>>().join("\n")
        };
        let mut text = "## Data\n\n".to_owned();
        if o.data.is_empty() {
            let what = if o.model == ModelName::Clip { "pictures with captions" } else { "small stories" };
            let seed = o.seed;
            return text
                + &format!("The built-in world of Pretext: {what} of objects on a table, generated from seed {seed}.");
        }
        text += &list(&o.data);
        text += "\n\n";
        if o.val_data.is_empty() {
            let which =
                if o.model == ModelName::Clip { "Of them, as their names drew them," } else { "Of each, the last" };
            text += &format!("{which} {}% were held out to validate on.", (1e6 * o.val_share).round() / 1e4);
        } else {
            text += &format!("To validate on:\n\n{}", list(&o.val_data));
        }
        text
    }

    /// The section on what was measured.
    pub(super) fn results(&self, source: &Source) -> String {
        let o = &self.options;
        let Some(last) = self.metrics.last() else { return "## Results\n\nNothing was measured.".to_owned() };
        let rows = if o.model == ModelName::Clip { o.batch_size } else { o.batch_size * o.block_size };
        let seen = match self.item() {
            "pair" => format!("{} pairs, ", thousands(last.step * rows as u64)),
            "text" => format!("{} texts, ", thousands(last.step * o.batch_size as u64)),
            _ => format!("{} tokens, ", thousands(last.step * rows as u64)),
        };
        let which = if self.best { "The best weights of the run, those after step" } else { "After step" };
        let mut text = format!(
            "## Results\n\n{which} {} of {} ({seen}{:.0} s of training):\n\n| | |\n|---|---|",
            last.step, o.steps, last.seconds
        );
        let mut line = |what: &str, value: String| text += &format!("\n| {what} | {value} |");
        let item = self.item();
        let validation = &last.validation;
        if let Some(loss) = validation.loss {
            line("validation loss", format!("{loss:.4} nats a {item}"));
        }
        let choices = if matches!(item, "pair" | "text") { o.batch_size } else { source.model.vocab_size() };
        if o.objective != Some(ObjectiveName::Siglip) {
            let guess = validation.chance.unwrap_or((choices as f64).ln());
            line("the loss of a guess at random", format!("{guess:.4} nats a {item}"));
        }
        line("training loss of the last step", format!("{:.4} nats a {item}", last.loss));
        let found = match item {
            "pair" => "captions found in their batch",
            "text" => "other views found in their batch",
            _ => "hidden tokens guessed",
        };
        let [of, alike] = match item {
            "pair" => ["pictures", "pictures with their captions"],
            _ => ["texts", "two views"],
        };
        for (what, value, percent) in [
            (found, validation.accuracy, true),
            ("temperature", validation.temperature, false),
            (
                &format!("dimensions that the vectors of {of} use (effective rank)"),
                validation.representation.effective_rank,
                false,
            ),
            (&format!("alignment of {alike}"), validation.representation.alignment, false),
            ("uniformity of the vectors", validation.representation.uniformity, false),
        ] {
            let shown = |x: f64| if percent { format!("{:.1}%", 100.0 * x) } else { format!("{x:.4}") };
            if let Some(value) = value {
                line(what, shown(value));
            }
        }
        text + &self.curve()
    }

    /// Some of the evaluations, the last among them.
    fn curve(&self) -> String {
        let evaluated: Vec<(&Metric, f64)> =
            self.metrics.iter().filter_map(|metric| Some((metric, metric.validation.compared()?))).collect();
        if evaluated.len() < 2 {
            return String::new();
        }
        let every = evaluated.len().div_ceil(SHOWN);
        let skipped = (evaluated.len() - 1) % every;
        let shown = evaluated.iter().skip(skipped).step_by(every);
        let rows = shown.map(|(m, val_loss)| format!("\n| {} | {:.4} | {val_loss:.4} |", m.step, m.loss));
        let rows: String = rows.collect();
        format!("\n\n| step | loss | validation loss |\n|---|---|---|{rows}")
    }

    /// The section on the options, and the command that repeats the run.
    pub(super) fn training(&self) -> String {
        let data = if self.options.data.is_empty() { "" } else { " beside the data," };
        let from = self.options.from.as_ref().map_or(String::new(), |from| {
            format!("The run began with the weights of `{}`.\n\n", last_name(&from.to_string_lossy()))
        });
        format!(
            "## How it was trained\n\n{from}Saved as `options.toml`,{data} these options repeat the run:\n\n    pretext train \
             --config options.toml\n\n```toml\n{}```",
            self.told().to_text()
        )
    }

    /// The options as a card tells them: with the last names of paths, and without the minutes from which the number of steps
    /// was measured.
    fn told(&self) -> Options {
        let mut o = self.options.clone();
        o.minutes = None;
        for source in o.data.iter_mut().chain(&mut o.val_data) {
            *source = last_name(source);
        }
        for path in [&mut o.tokenizer, &mut o.from].into_iter().flatten() {
            *path = last_name(&path.to_string_lossy()).into();
        }
        o
    }
}

/// The last name of a path, which may have a weight behind it: `wiki.txt=2` of `/data/wiki.txt=2`.
fn last_name(source: &str) -> String {
    let (path, weight) = match source.rsplit_once('=') {
        Some((path, weight)) if weight.parse::<f64>().is_ok() => (path, format!("={weight}")),
        _ => (source, String::new()),
    };
    format!("{}{weight}", super::last_name(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_the_last_name_is_told_with_its_weight() {
        let names = ["/data/wiki/", "/data/wiki/=2.5", "books.txt", "/a=b/c=d.txt", "/"].map(last_name);
        assert_eq!(names, ["wiki", "wiki=2.5", "books.txt", "c=d.txt", "/"]);
    }
}
