//! `pretext verify`: do we compute what others compute?

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use tensor::matmul::Precision;

use crate::flags::Threads;

/// Compare a Hugging Face GPT-2 or BERT checkpoint's logits, loss and gradients with those recorded beside it.
///
/// DIR holds config.json, model.safetensors and reference.safetensors (input_ids, labels, logits, loss, grad.NAME).
/// Prints one JSON line; exit code 0 if all agree, 1 if not.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  pretext verify tests/fixtures/gpt2")]
pub struct Args {
    /// The checkpoint's directory
    dir: PathBuf,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    args.threads.set();
    let agreement = models::hub::verify::verify(&args.dir, Precision::Full)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&agreement)?)?;
    Ok(ExitCode::from(if agreement.agrees { 0 } else { 1 }))
}
