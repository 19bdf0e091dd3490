//! `pretext tokenizer`: text to ids and back, and how a vocabulary came to be.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use clap::builder::RangedU64ValueParser;
use models::data::text::{Source, TextFiles, TextOptions, default_cache};
use models::train::run::BEGINNING;
use tokenizer::{Special, Tokenizer};

use crate::Usage;

/// Train a tokenizer, turn text to ids and back, look into a vocabulary.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  pretext tokenizer train --data book.txt --vocab-size 8192 --out my-tokenizer
  echo \"Hello, world\" | pretext tokenizer encode my-tokenizer
  pretext tokenizer encode my-tokenizer --text \"Hello\" | pretext tokenizer decode my-tokenizer
  pretext tokenizer inspect my-tokenizer --text \"Hello, world\"")]
pub enum Command {
    /// Learn byte pairs from text files and write tokenizer.json
    Train {
        /// Text files and folders
        #[arg(long, num_args = 1.., required = true, value_name = "PATH")]
        data: Vec<String>,
        /// Tokens of the vocabulary; 256 means bytes
        #[arg(long, default_value_t = 8192, value_name = "N", value_parser = vocab_size())]
        vocab_size: usize,
        /// Directory for tokenizer.json
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Turn text into ids, a line of numbers
    Encode {
        /// A tokenizer.json or a directory that holds one
        tokenizer: PathBuf,
        /// The text [default: standard input]
        #[arg(long)]
        text: Option<String>,
        /// The names of special tokens inside the text: refuse, allow or text
        #[arg(long, default_value = "text", value_parser = special, value_name = "HOW")]
        special: Special,
    },
    /// Turn ids into text
    Decode {
        /// A tokenizer.json or a directory that holds one
        tokenizer: PathBuf,
        /// The ids [default: from standard input]
        ids: Vec<u32>,
    },
    /// Show the vocabulary, or how a text falls into tokens
    Inspect {
        /// A tokenizer.json or a directory that holds one
        tokenizer: PathBuf,
        /// Show this text's tokens
        #[arg(long, conflicts_with = "last")]
        text: Option<String>,
        /// The names of special tokens inside the text: refuse, allow or text
        #[arg(long, default_value = "text", value_parser = special, value_name = "HOW", requires = "text")]
        special: Special,
        /// How many of the last tokens to show
        #[arg(long, default_value_t = 20, value_name = "N")]
        last: usize,
    },
}

/// A vocabulary has all bytes at least.
pub fn vocab_size() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(256..)
}

fn special(name: &str) -> Result<Special, String> {
    match name {
        "refuse" => Ok(Special::Refuse),
        "allow" => Ok(Special::Allow),
        "text" => Ok(Special::AsText),
        other => Err(format!("{other}: choose refuse, allow or text")),
    }
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Train { data, vocab_size, out } => train(data, *vocab_size, out),
        Command::Encode { tokenizer, text, special } => {
            let ids = Tokenizer::open(tokenizer)?.encode(&given(text.as_deref())?, *special)?;
            let words: Vec<String> = ids.iter().map(u32::to_string).collect();
            writeln!(std::io::stdout(), "{}", words.join(" "))?;
            Ok(())
        }
        Command::Decode { tokenizer, ids } => {
            let ids = if ids.is_empty() { numbers(&given(None)?)? } else { ids.clone() };
            std::io::stdout().write_all(&Tokenizer::open(tokenizer)?.decode(&ids)?)?;
            Ok(())
        }
        Command::Inspect { tokenizer, text, special, last } => {
            let tokenizer = Tokenizer::open(tokenizer)?;
            match text {
                Some(text) => show_text(&tokenizer, text, *special),
                None => show_last(&tokenizer, *last),
            }
        }
    }
}

/// The text of the command line, or all of standard input.
fn given(text: Option<&str>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match text {
        Some(text) => bytes.extend_from_slice(text.as_bytes()),
        None => drop(std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?),
    }
    Ok(bytes)
}

fn numbers(text: &[u8]) -> Result<Vec<u32>> {
    let words = String::from_utf8_lossy(text);
    let id = |word: &str| word.parse().map_err(|_| Usage(format!("{word} is no id: give whole numbers")).into());
    words.split_whitespace().map(id).collect()
}

fn train(data: &[String], vocab_size: usize, out: &Path) -> Result<()> {
    let data = data.iter().map(|source| source.parse()).collect::<Result<Vec<Source>, _>>()?;
    if let Some(source) = data.iter().find(|source| source.weight.is_some()) {
        let what = "a tokenizer learns from all that is in the files, and takes no weights: leave =WEIGHT out";
        return Err(Usage(format!("{}: {what}", source.path.display())).into());
    }
    let path = out.join("tokenizer.json");
    let there = ["tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", BEGINNING].map(|name| out.join(name));
    if let Some(there) = there.iter().find(|path| path.exists()) {
        return Err(models::Error::file(there, "is there already, and stays as it is: give another --out").into());
    }
    models::files::try_in(out)?;
    let options = TextOptions { data, val_data: Vec::new(), val_share: 0.0, cache: default_cache() };
    let files = TextFiles::open(&options)?;
    let tokenizer = Tokenizer::train(&files.training_documents()?.slices(), vocab_size)?;
    std::fs::create_dir_all(out).map_err(|error| models::Error::io(out, "create", &error))?;
    tokenizer.save(&path)?;
    writeln!(std::io::stdout(), "{}: {} tokens", path.display(), tokenizer.vocab_size())?;
    Ok(())
}

/// A token on its line.
fn show(out: &mut impl Write, tokenizer: &Tokenizer, id: u32) -> std::io::Result<()> {
    writeln!(out, "{id:>7}  {:?}", String::from_utf8_lossy(tokenizer.token(id).unwrap_or_default()))
}

fn show_text(tokenizer: &Tokenizer, text: &str, special: Special) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let ids = tokenizer.encode(text.as_bytes(), special)?;
    ids.iter().try_for_each(|&id| show(&mut out, tokenizer, id))?;
    writeln!(out, "{} bytes in {} tokens", text.len(), ids.len())?;
    Ok(())
}

fn show_last(tokenizer: &Tokenizer, last: usize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let count = tokenizer.vocab_size();
    writeln!(out, "{count} tokens, {} merges", tokenizer.merges().len())?;
    if let Some(end) = tokenizer.end_of_text() {
        writeln!(out, "end of text: {end}")?;
    }
    for id in count.saturating_sub(last)..count {
        show(&mut out, tokenizer, id as u32)?;
    }
    Ok(())
}
