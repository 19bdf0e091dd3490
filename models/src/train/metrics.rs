//! What a run says about itself: `metrics.jsonl`, one JSON object a line.
//!
//! Each line is written and handed to the system as soon as its step is done, so a killed run loses at most the
//! line that it was writing. A run resumed at step s first drops what the killed one wrote after s: the file of a
//! run with any number of kills holds each step once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use super::representation::Representation;
use crate::Error;
use crate::files::write_atomically;

/// One line of `metrics.jsonl`. JSON has no word for NaN and infinity: they are written as null, and read as NaN.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The number of optimiser steps taken when the line was written.
    pub step: u64,
    /// Mean training loss of the step's batch, nats an item.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// What an evaluation after the step found.
    #[serde(flatten)]
    pub validation: Validation,
    /// The learning rate of the step.
    #[serde(deserialize_with = "number")]
    pub lr: f64,
    /// Length of the gradient vector before clipping.
    #[serde(deserialize_with = "number")]
    pub grad_norm: f64,
    /// Tokens (or pairs) trained on in a second.
    #[serde(deserialize_with = "number")]
    pub items_per_s: f64,
    /// Seconds of training so far, over all resumptions.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
}

/// What an evaluation found on the validation part; all of it absent where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The mean loss, nats an item.
    #[serde(rename = "val_loss", default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub loss: Option<f64>,
    /// At the last step, where `loss` is over all of the validation part: over the rows of the evaluations before, so that
    /// these compare; absent where those were all as well.
    #[serde(
        rename = "val_loss_as_before",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_number"
    )]
    pub loss_as_before: Option<f64>,
    /// The share of hidden tokens that were guessed, or of second views or captions that were found; absent for next-token
    /// prediction.
    #[serde(
        rename = "val_accuracy",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_number"
    )]
    pub accuracy: Option<f64>,
    /// The loss of one who guesses which caption of a batch is a picture's; absent for tokens and texts.
    #[serde(rename = "val_chance", default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub chance: Option<f64>,
    /// What differences of cosines are divided by, where that is learned.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub temperature: Option<f64>,
    /// What the vectors of texts looked like.
    #[serde(flatten)]
    pub representation: Representation,
}

impl Validation {
    /// The loss over the rows that are the same at every evaluation of a run.
    pub fn compared(&self) -> Option<f64> {
        self.loss_as_before.or(self.loss)
    }
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

pub(super) fn some_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    number(from).map(Some)
}

/// Appends to a run's `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsWriter {
    file: File,
    path: PathBuf,
}

impl MetricsWriter {
    /// Begins the file at `path` anew, empty.
    pub fn create(path: &Path) -> crate::Result<Self> {
        write_atomically(path, |_| Ok(())).map_err(|source| io_error(path, source))?;
        Self::append(path)
    }

    /// Continues the file at `path` after `step`: lines of later steps and a torn last line are dropped, the rest
    /// stays byte for byte. Where there is no file, one is begun.
    ///
    /// Errors: the system's, and a whole line that is not one of metrics; then the file stays as it is.
    pub fn resume(path: &Path, step: u64) -> crate::Result<Self> {
        let Some(old) = read_file(path)? else {
            return Self::create(path);
        };
        let kept = upto(path, &old, step)?;
        if kept != old {
            write_atomically(path, |out| out.write_all(&kept)).map_err(|source| io_error(path, source))?;
        }
        Self::append(path)
    }

    /// Continues the file at `path` with this line in the place of its step's and of all later ones: the old file is there or
    /// the new one.
    ///
    /// Errors: those of [`Self::resume`].
    pub fn replace(path: &Path, metric: &Metric) -> crate::Result<Self> {
        let old = read_file(path)?.unwrap_or_default();
        let mut lines = upto(path, &old, metric.step - 1)?;
        lines.extend(line(metric).map_err(|source| io_error(path, source))?);
        write_atomically(path, |out| out.write_all(&lines)).map_err(|source| io_error(path, source))?;
        Self::append(path)
    }

    /// Adds one line, in one write; or, where that cannot be, none of it.
    pub fn write(&mut self, metric: &Metric) -> crate::Result<()> {
        let add = |file: &mut File| {
            let before = file.metadata()?.len();
            file.write_all(&line(metric)?).inspect_err(|_| drop(file.set_len(before)))
        };
        add(&mut self.file).map_err(|source| io_error(&self.path, source))
    }

    /// Makes sure that what was written outlives a stop of the machine.
    pub fn sync(&self) -> crate::Result<()> {
        self.file.sync_data().map_err(|source| io_error(&self.path, source))
    }

    fn append(path: &Path) -> crate::Result<Self> {
        let file = OpenOptions::new().append(true).open(path).map_err(|source| io_error(path, source))?;
        Ok(Self { file, path: path.to_owned() })
    }
}

/// A line of metrics.
fn line(metric: &Metric) -> io::Result<Vec<u8>> {
    Ok((serde_json::to_string(metric)? + "\n").into())
}

/// The whole lines of a file of metrics up to a step.
fn upto(path: &Path, file: &[u8], step: u64) -> crate::Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(file.len());
    for (line, _) in parse(path, file)?.into_iter().filter(|(_, metric)| metric.step <= step) {
        kept.extend_from_slice(line);
        kept.push(b'\n');
    }
    Ok(kept)
}

/// All lines of the metrics file at `path`, in its order; a torn last line is passed over.
///
/// Errors: the system's, and a whole line that is not one of metrics.
pub fn read_metrics(path: &Path) -> crate::Result<Vec<Metric>> {
    let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
    Ok(parse(path, &bytes)?.into_iter().map(|(_, metric)| metric).collect())
}

/// The whole lines of a file with their meaning. The bytes after the last line end are torn, unless they parse: then
/// only the line end is missing.
fn parse<'a>(path: &Path, bytes: &'a [u8]) -> crate::Result<Vec<(&'a [u8], Metric)>> {
    let mut metrics = Vec::new();
    for (i, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
        let (text, torn) = line.strip_suffix(b"\n").map_or((line, true), |text| (text, false));
        match serde_json::from_slice(text) {
            Ok(metric) => metrics.push((text, metric)),
            Err(_) if torn || text.trim_ascii().is_empty() => {}
            Err(e) => {
                let way_out = "mend or remove the line, or move the file away";
                return Err(Error::file(path, format!("line {} is not a line of metrics ({e}): {way_out}", i + 1)));
            }
        }
    }
    Ok(metrics)
}

fn read_file(path: &Path) -> crate::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(path, source)),
    }
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::io(path, "read or write", &source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(step: u64) -> Metric {
        let loss = step.is_multiple_of(2).then_some(2.5);
        Metric {
            step,
            loss: 1.0 / 3.0,
            validation: Validation {
                loss,
                representation: Representation { effective_rank: loss, ..Representation::default() },
                ..Validation::default()
            },
            lr: 6e-4,
            grad_norm: 0.75,
            items_per_s: 1234.5,
            seconds: 0.1,
        }
    }

    fn write(path: &Path, steps: std::ops::RangeInclusive<u64>) {
        let mut writer = MetricsWriter::resume(path, steps.start() - 1).unwrap();
        steps.for_each(|step| writer.write(&metric(step)).unwrap());
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write(&path, 1..=4);
        assert_eq!(read_metrics(&path).unwrap(), (1..=4).map(metric).collect::<Vec<_>>());
        let text = fs::read_to_string(&path).unwrap();
        let keys =
            r#"{"step":1,"loss":0.3333333333333333,"lr":0.0006,"grad_norm":0.75,"items_per_s":1234.5,"seconds":0.1}"#;
        assert_eq!(text.lines().next(), Some(keys), "val_loss is absent at odd steps");
    }

    #[test]
    fn a_killed_and_resumed_run_has_the_file_of_one_that_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
        write(&whole, 1..=9);
        let expected = fs::read(&whole).unwrap();
        for torn in ["", "{", r#"{"step":8,"lo"#, "\u{1}\u{2}"] {
            let _ = fs::remove_file(&killed);
            write(&killed, 1..=7);
            OpenOptions::new().append(true).open(&killed).unwrap().write_all(torn.as_bytes()).unwrap();
            write(&killed, 5..=9);
            assert_eq!(fs::read(&killed).unwrap(), expected, "after {torn:?}");
        }
    }

    #[test]
    fn a_line_is_replaced_with_all_that_come_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write(&path, 1..=5);
        let other = Metric { loss: 7.0, ..metric(4) };
        MetricsWriter::replace(&path, &other).unwrap().write(&metric(5)).unwrap();
        assert_eq!(read_metrics(&path).unwrap(), [metric(1), metric(2), metric(3), other, metric(5)]);
    }

    #[test]
    fn a_whole_line_that_lost_only_its_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write(&path, 1..=2);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.trim_end()).unwrap();
        write(&path, 3..=3);
        assert_eq!(read_metrics(&path).unwrap().len(), 3);
    }

    #[test]
    fn numbers_that_are_not_finite_come_back_as_nan() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let validation = Validation { loss: Some(f64::INFINITY), ..Validation::default() };
        let lost = Metric { loss: f64::NAN, validation, ..metric(1) };
        MetricsWriter::create(&path).unwrap().write(&lost).unwrap();
        let read = read_metrics(&path).unwrap()[0];
        assert!(read.loss.is_nan() && read.validation.loss.unwrap().is_nan());
        assert_eq!(read.grad_norm, 0.75);
    }

    #[test]
    fn a_foreign_line_is_an_error_with_its_place_and_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        for foreign in ["loss: 3\n", "[]\n", "{\"step\":-1}\n", "\u{0}\n"] {
            write(&path, 1..=1);
            OpenOptions::new().append(true).open(&path).unwrap().write_all(foreign.as_bytes()).unwrap();
            let before = fs::read(&path).unwrap();
            let message = MetricsWriter::resume(&path, 9).unwrap_err().to_string();
            assert!(message.contains("metrics.jsonl: line 2 is not a line of metrics"), "{message}");
            assert_eq!(fs::read(&path).unwrap(), before);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_new_run_begins_with_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write(&path, 1..=4);
        MetricsWriter::create(&path).unwrap();
        assert_eq!(read_metrics(&path).unwrap(), []);
    }
}
