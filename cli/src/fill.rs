//! `pretext fill`: what may stand in the place of each \[MASK\].

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use models::transfer::fill::fill;
use models::transfer::pretrained::Pretrained;

use crate::flags::{Texts, Threads};

/// Find the likeliest tokens for each `[MASK]` of a text. Without a text: line by line from --in or standard input.
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
    #[arg(long, default_value_t = 5, value_name = "K")]
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
    args.texts.each(1, |texts| show(args, &with, &texts[0]))
}

fn show(args: &Args, with: &Pretrained, text: &str) -> Result<()> {
    let places = tensor::parallel::inside(|| fill(with, text, args.top))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&places)?)?;
        return Ok(());
    }
    for (i, guesses) in places.iter().enumerate() {
        if places.len() > 1 {
            writeln!(out, "[MASK] number {}:", i + 1)?;
        }
        for guess in guesses {
            writeln!(out, "{:6.2}%  {}", 100.0 * guess.probability, guess.token.escape_debug())?;
        }
    }
    Ok(())
}
