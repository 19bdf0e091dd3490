//! `pretext verify`: do we compute what others compute?

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use tensor::matmul::Precision;

use crate::flags::Threads;

/// Compare a Hugging Face checkpoint's outputs, loss and gradients with those recorded beside it.
///
/// DIR holds config.json, model.safetensors and reference.safetensors. That has what goes in: input_ids, attention_mask and
/// labels, or for answers start_positions and end_positions, or with pictures pixel_values; what comes out: logits, or
/// start_logits and end_logits, or image_embeds, text_embeds and logits_per_image, or of a model without its head
/// last_hidden_state; loss; and its gradients, grad.NAME.
/// Prints one JSON line; exit code 0 if all agree, 1 if not.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext verify tests/fixtures/gpt2
  pretext verify runs/gpt-nano-1 --record      write down what is computed here, to hold another program against")]
pub struct Args {
    /// The checkpoint's directory
    dir: PathBuf,
    /// Write reference.safetensors instead, with random inputs and what this program makes of them
    #[arg(long)]
    record: bool,
    /// What the random inputs depend on
    #[arg(long, default_value_t = 1, requires = "record")]
    seed: u64,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    args.threads.set();
    if args.record {
        let path = models::verify::record::record(&args.dir, args.seed)?;
        writeln!(std::io::stdout(), "{}", path.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let agreement = models::verify::verify(&args.dir, Precision::Full)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&agreement)?)?;
    Ok(ExitCode::from(if agreement.agrees { 0 } else { 1 }))
}
