//! `pretext generate`: continue a text.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use models::Model;
use models::gpt::Gpt;
use models::hub::beside::Ends;
use models::hub::pretrained::Pretrained;
use models::train::options::PrecisionName;
use models::transfer::generate::{Generator, Sampling};
use tokenizer::Special;

use crate::Usage;
use crate::flags::{Threads, named};

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
    #[arg(long, default_value_t = Sampling::default().temperature, value_name = "T")]
    temperature: f64,
    /// Only the k likeliest tokens; 0 means all
    #[arg(long, default_value_t = Sampling::default().top_k, value_name = "K")]
    top_k: usize,
    /// Only the likeliest tokens that together reach this probability
    #[arg(long, default_value_t = Sampling::default().top_p, value_name = "P")]
    top_p: f64,
    /// Always the likeliest token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "samples", "seed"])]
    greedy: bool,
    /// Which random choices
    #[arg(long, default_value_t = Sampling::default().seed, value_name = "N")]
    seed: u64,
    /// Go on after the end of a document
    #[arg(long)]
    endless: bool,
    /// Weights as they are, or held in bf16: half as much to read for each token
    #[arg(long, value_name = "NAME", value_parser = named::<PrecisionName>, default_value = "f32")]
    precision: PrecisionName,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<()> {
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        return Err(Usage(format!("--temperature {}: give 0 (greedy) or more", args.temperature)).into());
    }
    if args.temperature == 0.0 && args.samples > 1 {
        let what = format!("--temperature 0 would give the same text {} times: leave --samples out", args.samples);
        return Err(Usage(what).into());
    }
    if !(args.top_p > 0.0 && args.top_p <= 1.0) {
        return Err(Usage(format!("--top-p {}: give more than 0 and at most 1", args.top_p)).into());
    }
    args.threads.set();
    let mut with = Pretrained::open(&args.dir)?;
    if args.precision == PrecisionName::Bf16 && matches!(with.model, Model::Gpt(_)) {
        Gpt::halve(&mut with.params);
    }
    let Model::Gpt(model) = &with.model else {
        return Err(anyhow!("{}: its model sees both sides of a token and cannot continue a text", args.dir.display()));
    };
    let ends = Ends::read(&args.dir, &with.tokenizer)?;
    let continue_all = |prompt: &[u8]| continue_all(args, model, &with, &ends, prompt);
    match &args.prompt {
        Some(prompt) => continue_all(prompt.as_bytes()),
        None => interactive(continue_all),
    }
}

/// Reads a line, continues it, and again until the input ends.
fn interactive(continue_all: impl Fn(&[u8]) -> Result<()>) -> Result<()> {
    let asks = std::io::stdin().is_terminal();
    if asks {
        tell!("a line is continued; an empty one starts a new text; Ctrl-D ends");
    }
    loop {
        if asks {
            let _ = write!(std::io::stderr(), "> ");
        }
        let mut line = Vec::new(); // any bytes: the tokenizer takes them all
        if std::io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let end = line.iter().rposition(|&byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        continue_all(&line[..end])?;
    }
}

fn continue_all(args: &Args, model: &Gpt, with: &Pretrained, ends: &Ends, prompt: &[u8]) -> Result<()> {
    let Pretrained { params, tokenizer, .. } = with;
    let ids = tokenizer.encode(prompt, Special::Allow)?;
    let block = model.config.n_positions;
    if ids.len() > block {
        tell!("note: the prompt has {} tokens and the model sees {block}: its beginning is cut off", ids.len());
    }
    let temperature = if args.greedy { 0.0 } else { args.temperature };
    let Args { top_k, top_p, seed, .. } = *args;
    let sampling = Sampling { temperature, top_k, top_p, seed, vocab: tokenizer.vocab_size() };
    let mut out = std::io::stdout().lock();
    for sample in 0..args.samples {
        if args.samples > 1 {
            writeln!(out, "--- {}", sample + 1)?;
        }
        out.write_all(prompt)?;
        for id in Generator::new(model, params, &ids, ends.start, sampling, sample).take(args.tokens) {
            if ends.ends.contains(&id) && !args.endless {
                break;
            }
            out.write_all(tokenizer.token(id).unwrap_or_default())?;
            out.flush()?; // a token is seen as soon as it is chosen
        }
        writeln!(out)?;
    }
    Ok(())
}
