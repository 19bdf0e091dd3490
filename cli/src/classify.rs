//! `pretext classify`: labels for texts, by a fine-tuned model.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use models::transfer::finetune::classify::Classifier;
use models::transfer::pretrained;
use serde_json::json;

use crate::flags::{Texts, Threads};

/// Label texts with a model that `finetune … classify` made. Without a text: line by line from --in or standard input.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext classify runs/classify-1 \"Mia takes the ball and slowly sets it on the left.\"
  pretext classify runs/classify-1 --in lines.txt --top 3 --json")]
pub struct Args {
    /// A model that `finetune` made
    dir: PathBuf,
    #[command(flatten)]
    texts: Texts,
    /// How many labels for each text
    #[arg(long, default_value_t = 1, value_name = "K")]
    top: usize,
    /// Print one JSON line a text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

/// Texts that are read and labelled at once.
const AT_ONCE: usize = 256;

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    let (classifier, tokenizer, labels) = Classifier::open(&args.dir)?;
    args.texts.each(AT_ONCE, |texts| {
        let ids: Vec<_> = texts.iter().map(|t| pretrained::ids(&tokenizer, classifier.block_size(), t)).collect();
        let cut = ids.iter().filter(|ids| ids.cut).count();
        if cut > 0 {
            eprintln!("note: {cut} texts are longer than the {} tokens that the model sees", classifier.block_size());
        }
        let ids: Vec<&[u32]> = ids.iter().map(|ids| &ids.ids[..]).collect();
        let probabilities = classifier.probabilities(&classifier.tuned.params, &ids);
        texts.iter().zip(probabilities).try_for_each(|(text, p)| show(args, text, &labels, &p))
    })
}

/// The likeliest labels of a text with their probabilities, the likeliest first.
fn show(args: &Args, text: &str, labels: &[String], p: &[f32]) -> Result<()> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    order.truncate(args.top.max(1));
    let mut out = std::io::stdout().lock();
    if args.json {
        let best: Vec<_> = order.iter().map(|&i| json!({"label": labels[i], "probability": p[i]})).collect();
        writeln!(out, "{}", json!({"text": text, "labels": best}))?;
        return Ok(());
    }
    let best: Vec<_> = order.iter().map(|&i| format!("{} {:.1}%", labels[i], 100.0 * p[i])).collect();
    writeln!(out, "{}\t{text}", best.join(", "))?;
    Ok(())
}
