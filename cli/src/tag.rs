//! `pretext tag`: what the words of a text name, by a fine-tuned model.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::Result;
use models::transfer::finetune::tag::Tagger;
use serde_json::json;

use crate::flags::{self, Threads};

/// Find entities with a model that `finetune … tag` made. Without a text: line by line from --in or standard input.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext tag runs/tag-1 \"Mia sees a tiny red ball at the top.\"
  pretext tag runs/tag-1 --in lines.txt --json")]
pub struct Args {
    /// A model that `finetune` made
    dir: PathBuf,
    /// Texts
    texts: Vec<String>,
    /// A file with a text on each line
    #[arg(long = "in", value_name = "FILE", conflicts_with = "texts")]
    file: Option<PathBuf>,
    /// Print one JSON line a text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    let (tagger, tokenizer) = Tagger::open(&args.dir)?;
    let mut out = std::io::stdout().lock();
    let mut tag = |text: &str| -> Result<()> {
        let found = tagger.find(&tokenizer, text);
        if args.json {
            writeln!(out, "{}", json!({"text": text, "entities": found}))?;
            return Ok(());
        }
        for entity in &found {
            writeln!(out, "{}\t{:.1}%\t{}", entity.kind, 100.0 * entity.score, entity.text)?;
        }
        Ok(writeln!(out)?)
    };
    if !args.texts.is_empty() {
        return args.texts.iter().try_for_each(|text| tag(text));
    }
    for line in flags::lines(args.file.as_deref())?.split(b'\n') {
        tag(String::from_utf8_lossy(&line?).trim_end())?;
    }
    Ok(())
}
