//! `pretext tag`: what the words of a text name, by a fine-tuned model.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use models::transfer::finetune::tag::Tagger;
use serde_json::json;

use crate::flags::{Texts, Threads, character, count};

/// Find entities with a model that `finetune … tag` made. Without a text: line by line from --in or standard input.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext tag runs/tag-1 \"Mia sees a tiny red ball at the top.\"
  pretext tag runs/tag-1 --in lines.txt --json")]
pub struct Args {
    /// A model that `finetune` made
    dir: PathBuf,
    #[command(flatten)]
    texts: Texts,
    /// Print one JSON line a text; start and end of an entity count characters
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    let (tagger, tokenizer) = Tagger::open(&args.dir)?;
    let mut out = std::io::stdout().lock();
    let mut number = 0;
    args.texts.each(1, |texts| {
        let (found, cut) = tagger.find(&tokenizer, &texts[0]);
        number += 1;
        if cut > 0 {
            let (place, words, sees) = (args.texts.place(number), count(cut, "word"), tagger.tuned.model.block_size());
            tell!("note: {place} has {words} longer than the {sees} tokens that the model sees: cut there");
        }
        if args.json {
            let place = |byte| character(&texts[0], byte);
            let told = found.iter().map(|of| {
                json!({"kind": of.kind, "start": place(of.start), "end": place(of.end), "text": of.text, "score": of.score})
            });
            writeln!(out, "{}", json!({"text": texts[0], "entities": told.collect::<Vec<_>>()}))?;
            return Ok(());
        }
        for entity in &found {
            writeln!(out, "{}\t{:.1}%\t{}", entity.kind, 100.0 * entity.score, entity.text)?;
        }
        Ok(writeln!(out)?)
    })
}
