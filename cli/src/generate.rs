//! `pretext generate`: continue a text.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use autograd::Params;
use models::Model;
use models::gpt::Gpt;
use models::transfer::generate::{Generator, Sampling};
use models::transfer::pretrained::Pretrained;
use tokenizer::{Special, Tokenizer};

use crate::Usage;
use crate::flags::{Precision, Threads};

/// Continue a text with a trained GPT. Without a prompt: line by line from standard input.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext generate runs/gpt-nano-1 \"On a sunny Monday,\"
  pretext generate runs/gpt-nano-1 \"\" --samples 3 --temperature 0.7
  pretext generate runs/gpt-nano-1            interactive")]
pub struct Args {
    /// A run, or a Hugging Face GPT-2 checkpoint with its tokenizer.json
    dir: PathBuf,
    /// The text to continue; empty starts a new document
    prompt: Option<String>,
    /// Tokens to generate
    #[arg(long, default_value_t = 200, value_name = "N")]
    tokens: usize,
    /// How many continuations
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    samples: u64,
    /// Scores are divided by this; 0 is greedy
    #[arg(long, default_value_t = 0.8, value_name = "T")]
    temperature: f64,
    /// Only the k likeliest tokens; 0 means all
    #[arg(long, default_value_t = 50, value_name = "K")]
    top_k: usize,
    /// Only the likeliest tokens that together reach this probability
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    top_p: f64,
    /// Always the likeliest token
    #[arg(long)]
    greedy: bool,
    /// Which random choices
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Go on after the end of a document
    #[arg(long)]
    endless: bool,
    /// Weights as they are, or held in bf16: half as much to read for each token
    #[arg(long, value_enum, default_value_t = Precision::F32, value_name = "NAME", hide_possible_values = true)]
    precision: Precision,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<()> {
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        return Err(Usage(format!("--temperature {}: give 0 (greedy) or more", args.temperature)).into());
    }
    if !(args.top_p > 0.0 && args.top_p <= 1.0) {
        return Err(Usage(format!("--top-p {}: give more than 0 and at most 1", args.top_p)).into());
    }
    args.threads.set();
    let Pretrained { model, mut params, tokenizer } = Pretrained::open(&args.dir)?;
    let Model::Gpt(model) = model else {
        return Err(anyhow!("{}: its model sees both sides of a token and cannot continue a text", args.dir.display()));
    };
    if args.precision == Precision::Bf16 {
        Gpt::halve(&mut params);
    }
    match &args.prompt {
        Some(prompt) => continue_all(args, &model, &params, &tokenizer, prompt.as_bytes()),
        None => interactive(args, &model, &params, &tokenizer),
    }
}

/// Reads a line, continues it, and again until the input ends.
fn interactive(args: &Args, model: &Gpt, params: &Params, tokenizer: &Tokenizer) -> Result<()> {
    let asks = std::io::stdin().is_terminal();
    if asks {
        eprintln!("a line is continued; an empty one starts a new text; Ctrl-D ends");
    }
    loop {
        if asks {
            eprint!("> ");
        }
        let mut line = Vec::new(); // any bytes: the tokenizer takes them all
        if std::io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let end = line.iter().rposition(|&byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        continue_all(args, model, params, tokenizer, &line[..end])?;
    }
}

fn continue_all(args: &Args, model: &Gpt, params: &Params, tokenizer: &Tokenizer, prompt: &[u8]) -> Result<()> {
    let ids = tokenizer.encode(prompt, Special::Allow)?;
    let block = model.config.n_positions;
    if ids.len() > block {
        eprintln!("note: the prompt has {} tokens and the model sees {block}: its beginning is cut off", ids.len());
    }
    let temperature = if args.greedy { 0.0 } else { args.temperature };
    let sampling = Sampling { temperature, top_k: args.top_k, top_p: args.top_p, seed: args.seed };
    let end = tokenizer.end_of_text();
    let start = end.unwrap_or(u32::from(b'\n'));
    let mut out = std::io::stdout().lock();
    for sample in 0..args.samples {
        if args.samples > 1 {
            writeln!(out, "--- {}", sample + 1)?;
        }
        out.write_all(prompt)?;
        for id in Generator::new(model, params, &ids, start, sampling, sample).take(args.tokens) {
            if Some(id) == end && !args.endless {
                break;
            }
            out.write_all(tokenizer.token(id).unwrap_or_default())?;
            out.flush()?; // a token is seen as soon as it is chosen
        }
        writeln!(out)?;
    }
    Ok(())
}
