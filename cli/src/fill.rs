//! `pretext fill`: what may stand in the place of each \[MASK\].

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::builder::RangedU64ValueParser;
use models::hub::pretrained::Pretrained;
use models::transfer::fill::{Guess, able, fill};
use serde_json::json;

use crate::flags::{Texts, Threads, count};

/// Find the likeliest tokens for each `[MASK]` of a text: whole words and pieces of words; a rare word takes several `[MASK]`.
///
/// Without a text: line by line from --in or standard input; a line without `[MASK]` is left out, which is said at the end.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext fill runs/bert-nano-1 \"Mia takes the red [MASK] and slowly sets it on the left.\"
  pretext fill runs/bert-nano-1 \"Who had the [MASK] turn? It was [MASK].\" --top 3")]
pub struct Args {
    /// A run of `train bert`, or a Hugging Face BERT checkpoint with its tokenizer.json
    dir: PathBuf,
    #[command(flatten)]
    texts: Texts,
    /// How many tokens for each place
    #[arg(long, default_value_t = 5, value_name = "K", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    top: usize,
    /// Print one JSON line a text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    let with = Pretrained::open(&args.dir)?;
    able(&with)?;
    let (mut n, mut left_out, mut first) = (0, 0, None);
    args.texts.each(1, |texts| {
        n += 1;
        match tensor::parallel::inside(|| fill(&with, &texts[0], args.top)) {
            Ok(places) => show(args, &texts[0], &places)?,
            Err(error) => {
                left_out += 1;
                first.get_or_insert((n, error));
            }
        }
        Ok(())
    })?;
    match first {
        None => Ok(()),
        Some((_, error)) if args.texts.one() => Err(error.into()),
        Some((i, error)) => {
            let is = if left_out == 1 { "is" } else { "are" };
            let place = args.texts.place(i);
            Err(anyhow!(
                "{left_out} of {} {is} left out, the others are done; first {place}: {error}",
                count(n, "text")
            ))
        }
    }
}

fn show(args: &Args, text: &str, places: &[Vec<Guess>]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", json!({"text": text, "masks": places}))?);
    }
    if !args.texts.one() {
        writeln!(out, "{text}")?;
    }
    for (i, guesses) in places.iter().enumerate() {
        if places.len() > 1 {
            writeln!(out, "[MASK] number {}:", i + 1)?;
        }
        for guess in guesses {
            writeln!(out, "{:6.2}%  {}", 100.0 * guess.probability, guess.token.escape_debug())?;
        }
    }
    if args.texts.one() { Ok(()) } else { Ok(writeln!(out)?) }
}
