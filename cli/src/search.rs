//! `pretext search`: the lines of a file that are nearest to a query.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use models::transfer::embed::Index;
use models::transfer::pretrained::{Pooling, Pretrained};
use models::transfer::similar;

use crate::flags::{self, Threads};

/// Find the lines of a file whose vectors are nearest to a query's. The vectors are kept beside the file, in
/// FILE.index.safetensors, and made anew when the file or the model has changed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext search runs/bert-nano-1 \"Mia slowly paints the red ball blue.\"
  pretext search runs/bert-mini-1 \"where is the station\" --in questions.txt --top 3")]
pub struct Args {
    /// A run of `train`, or a Hugging Face checkpoint with its tokenizer.json
    dir: PathBuf,
    /// What to look for
    query: String,
    /// A file with a text on each line [default: 1000 stories of the built-in world]
    #[arg(long = "in", value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many lines
    #[arg(long, default_value_t = 5, value_name = "K")]
    top: usize,
    /// Print one JSON line a hit
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    let with = Pretrained::open(&args.dir)?;
    let index = match &args.file {
        None => Index::over(&with, similar::world_lines(), Pooling::Mean),
        Some(file) => {
            let (index, new) = Index::of(&with, file, Pooling::Mean)?;
            if new {
                flags::note_cut(&with, &index.lines().iter().map(String::as_str).collect::<Vec<_>>());
                eprintln!("note: the vectors are kept in {}", Index::path(file).display());
            }
            index
        }
    };
    let mut out = std::io::stdout().lock();
    for hit in index.search(&with, &args.query, Pooling::Mean, args.top) {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&hit)?)?;
        } else {
            writeln!(out, "{:.3}\t{}\t{}", hit.score, hit.line, hit.text)?;
        }
    }
    Ok(())
}
