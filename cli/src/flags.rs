//! Options that several commands share.

use std::borrow::Cow;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use models::data::labelled::utf8;
use models::model::texts::Pooling;
use models::transfer::finetune::tuned::Reading;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tensor::parallel;

/// How many cores to use.
#[derive(Args)]
pub struct Threads {
    /// Threads to use; results do not depend on it [default: one a core]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    // More than any machine has cores would bring it to a halt.
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(0..=256))]
    threads: usize,
}

impl Threads {
    /// Before the first loop over several cores.
    pub fn set(&self) {
        parallel::set_threads(self.threads);
    }
}

/// An error if the name of one of these files is not UTF-8, as the file of options that will hold it has to be.
pub fn check_names<'a>(
    options: &str,
    paths: impl IntoIterator<Item = &'a Option<PathBuf>>,
) -> Result<(), crate::Usage> {
    match paths.into_iter().flatten().find(|path| path.to_str().is_none()) {
        Some(path) => {
            let what = format!("{options} is UTF-8, and this name is not: rename it, or name a link to it");
            Err(crate::Usage(format!("{}: {what}", path.display())))
        }
        None => Ok(()),
    }
}

/// Parses an option by the name that train.toml gives it.
pub fn named<T: serde::de::DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(name)).map_err(|error| error.to_string())
}

/// Where the label of a text is read.
#[derive(Clone, Copy, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ReadingName {
    /// The mean of its tokens, which a block more begins with
    Mean,
    /// The one token that sees all of it
    Token,
}

impl From<ReadingName> for Reading {
    fn from(name: ReadingName) -> Self {
        match name {
            ReadingName::Mean => Self::Mean,
            ReadingName::Token => Self::Token,
        }
    }
}

/// How a text becomes one vector.
#[derive(Clone, Copy, ValueEnum)]
pub enum PoolingName {
    /// The first token's
    First,
    /// The last token's
    Last,
    /// The mean of all tokens'
    Mean,
}

impl From<PoolingName> for Pooling {
    fn from(name: PoolingName) -> Self {
        match name {
            PoolingName::First => Self::First,
            PoolingName::Last => Self::Last,
            PoolingName::Mean => Self::Mean,
        }
    }
}

/// A name or a caption that came with data, as a part of a line: what would end the line, or command the terminal, is a space.
pub fn on_a_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A number of things, `one` of which is called so.
pub fn count(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// Says how many texts are longer than the tokens that a model sees.
pub fn note_cut(cut: usize, sees: usize) {
    if cut > 0 {
        let are = if cut == 1 { "text is" } else { "texts are" };
        tell!("note: {cut} {are} longer than the {sees} tokens that the model sees: cut there");
    }
}

/// The same of texts that are told one by one whether they are, the first being number `first`; says where the first of
/// those stands.
pub fn note_cut_at(first: usize, cut: impl Iterator<Item = bool>, sees: usize, place: impl Fn(usize) -> String) {
    let cut: Vec<usize> = (first..).zip(cut).filter_map(|(i, cut)| cut.then_some(i)).collect();
    note_texts(&cut, &format!("longer than the {sees} tokens that the model sees: cut there"), place);
}

/// Says how many of some texts, the first being number 1, are empty, and where the first of those stands.
pub fn note_empty(texts: &[String], place: impl Fn(usize) -> String) {
    note_texts(&empty(1, texts).collect::<Vec<_>>(), "empty", place);
}

/// The numbers, from `first` on, of the texts that are empty.
fn empty(first: usize, texts: &[String]) -> impl Iterator<Item = usize> {
    (first..).zip(texts).filter(|(_, text)| text.trim().is_empty()).map(|(i, _)| i)
}

fn note_texts(numbers: &[usize], what: &str, place: impl Fn(usize) -> String) {
    if let Some(&i) = numbers.first() {
        let (n, are) = (count(numbers.len(), "text"), if numbers.len() == 1 { "is" } else { "are" });
        tell!("note: {n} {are} {what}; first {}", place(i));
    }
}

/// Texts that a command works on.
#[derive(Args)]
pub struct Texts {
    /// Texts
    texts: Vec<String>,
    /// A file with a text on each line
    #[arg(long = "in", value_name = "FILE", conflicts_with = "texts")]
    file: Option<PathBuf>,
}

impl Texts {
    /// Whether there is one, and no more can come.
    pub fn one(&self) -> bool {
        self.texts.len() == 1
    }

    /// Where text number `i` stands, from 1 on.
    pub fn place(&self, i: usize) -> String {
        match &self.file {
            Some(file) => format!("line {i} of {}", file.display()),
            None if self.texts.is_empty() => format!("line {i} of {STANDARD_INPUT}"),
            None => format!("text {i}"),
        }
    }

    /// All of the words, or the lines of --in; `None` if there is neither.
    pub fn given(&self) -> Result<Option<Vec<String>>> {
        if self.texts.is_empty() && self.file.is_none() {
            return Ok(None);
        }
        let mut all = Vec::new();
        self.each(usize::MAX, |texts| {
            all.extend(texts.iter().filter(|text| !text.is_empty()).cloned());
            Ok(())
        })?;
        Ok(Some(all))
    }

    /// Calls `body` with the texts, or the lines of --in or of standard input: so many at once, or as many as have come, for
    /// somebody may wait for the answer to a line before writing the next.
    pub fn each(&self, at_once: usize, mut body: impl FnMut(&[String]) -> Result<()>) -> Result<()> {
        let (mut first, mut without) = (1, Vec::new());
        let mut counted = |texts: &[String]| {
            without.extend(empty(first, texts));
            first += texts.len();
            body(texts)
        };
        if self.texts.is_empty() {
            self.each_line(at_once, &mut counted)
        } else {
            self.texts.chunks(at_once).try_for_each(&mut counted)
        }?;
        note_texts(&without, "empty", |i| self.place(i));
        Ok(())
    }

    fn each_line(&self, at_once: usize, body: &mut impl FnMut(&[String]) -> Result<()>) -> Result<()> {
        let name = self.file.as_deref().unwrap_or(Path::new(STANDARD_INPUT));
        let (mut from, mut texts, mut line) = (lines(self.file.as_deref())?, Vec::new(), Vec::new());
        for number in 1.. {
            line.clear();
            let read = from.read_until(b'\n', &mut line);
            let end = read.with_context(|| format!("{}: cannot be read to its end", name.display()))? == 0;
            if end && number == 1 && self.file.is_some() {
                tell!("note: {} is empty", name.display());
            }
            if !end {
                line.pop_if(|last| *last == b'\n');
                line.pop_if(|last| *last == b'\r');
                texts.push(utf8(name, line.clone(), number)?);
            }
            let more_came = from.buffer().contains(&b'\n');
            if !texts.is_empty() && (end || texts.len() == at_once || !more_came) {
                body(&texts)?;
                texts.clear();
            }
            if end {
                break;
            }
        }
        Ok(())
    }
}

/// What came of a training, as JSON, and where it is.
#[derive(Serialize)]
pub struct Placed<'a, O> {
    directory: Cow<'a, str>,
    #[serde(flatten)]
    outcome: &'a O,
}

impl<'a, O> Placed<'a, O> {
    pub fn at(directory: &'a Path, outcome: &'a O) -> Self {
        Self { directory: directory.to_string_lossy(), outcome }
    }
}

/// From now on Ctrl-C sets `stop`, and after that ends the program at once. The system's requests to end set it, too, and as
/// often as they like: who closes a terminal, or shuts a machine down, sends several.
pub fn on_ctrl_c(stop: &Arc<AtomicBool>) -> Result<()> {
    let listen = || {
        // Who comes first: it looks whether `stop` is set before the other sets it.
        flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(stop))?;
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, Arc::clone(stop))?;
        }
        #[cfg(unix)]
        if !passed_over(signal_hook::consts::SIGHUP) {
            flag::register(signal_hook::consts::SIGHUP, Arc::clone(stop))?;
        }
        std::io::Result::Ok(())
    };
    listen().context("cannot listen for Ctrl-C")
}

/// Who looks on while a full disk is waited for.
pub fn waiting(stop: &AtomicBool) -> impl FnMut(Option<&str>) -> bool {
    |said| {
        said.into_iter().for_each(|sentence| tell!("note: {sentence}"));
        stop.load(Ordering::SeqCst)
    }
}

/// Whether this signal is to be passed over, as `nohup` asks for with that of a terminal that is closed. Where the system does
/// not say, it is not.
#[cfg(unix)]
fn passed_over(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// The number of the character that begins at this byte of a text: what other programs call its place.
pub fn character(text: &str, byte: usize) -> usize {
    text[..byte].chars().count()
}

/// What stands in the place of a file's name where there is none.
pub const STANDARD_INPUT: &str = "standard input";

/// What is in a file, or comes from standard input.
pub fn lines(file: Option<&Path>) -> Result<BufReader<Box<dyn Read>>> {
    let from: Box<dyn Read> = match file {
        None => Box::new(std::io::stdin()),
        Some(path) => {
            let opened = std::fs::File::open(path);
            Box::new(opened.with_context(|| format!("{}: cannot read it: check the path", path.display()))?)
        }
    };
    Ok(BufReader::with_capacity(1 << 16, from))
}
