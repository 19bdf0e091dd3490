//! `pretext embed`: texts as vectors.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::Result;
use models::Error;
use models::transfer::embed::{common_part, directions, states};
use models::transfer::pretrained::Pretrained;
use models::transfer::score::spearman;
use serde_json::json;

use crate::flags::{self, PoolingName, Threads};

/// Turn texts into vectors, one JSON line each: the mean of the hidden states as it is. Without a text: line by line from
/// --in or standard input. With --pairs: how well the vectors agree with what people say of pairs of texts.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext embed runs/bert-mini-1 \"a text\" \"another\"
  pretext embed runs/bert-mini-1 --pairs stsb-test.tsv")]
pub struct Args {
    /// A run of `train`, or a Hugging Face checkpoint with its tokenizer.json
    dir: PathBuf,
    /// Texts
    texts: Vec<String>,
    /// A file with a text on each line
    #[arg(long = "in", value_name = "FILE", conflicts_with = "texts")]
    file: Option<PathBuf>,
    /// A file of lines `score TAB text TAB text`: prints Spearman's correlation of the scores with the cosines of the texts'
    /// vectors, less what all of them share
    #[arg(long, value_name = "FILE", conflicts_with_all = ["texts", "file"])]
    pairs: Option<PathBuf>,
    /// How a text becomes one vector
    #[arg(long, value_enum, default_value_t = PoolingName::Mean)]
    pooling: PoolingName,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    let with = Pretrained::open(&args.dir)?;
    if let Some(file) = &args.pairs {
        return pairs(args, &with, file);
    }
    let texts = match &args.texts[..] {
        [] => {
            let lines = flags::lines(args.file.as_deref())?.split(b'\n').collect::<Result<Vec<_>, _>>()?;
            lines.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect()
        }
        texts => texts.to_vec(),
    };
    let some: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = states(&with, &some, args.pooling.into());
    let mut out = std::io::stdout().lock();
    for (text, vector) in texts.iter().zip(vectors.data().chunks_exact(with.model.width())) {
        writeln!(out, "{}", json!({"text": text, "vector": vector}))?;
    }
    Ok(())
}

fn pairs(args: &Args, with: &Pretrained, file: &PathBuf) -> Result<()> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::io(file, "read", &error))?;
    let (mut scores, mut texts) = (Vec::new(), Vec::new());
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (Some(score), &[_, a, b]) = (fields[0].trim().parse::<f64>().ok(), &fields[..]) else {
            let what = format!("line {} is no pair: write a score, a TAB, a text, a TAB and a text", i + 1);
            return Err(Error::file(file, what).into());
        };
        scores.push(score);
        texts.extend([a, b]);
    }
    let states = states(with, &texts, args.pooling.into());
    let common = common_part(&states);
    let vectors = directions(states, &common);
    let both = vectors.data().chunks_exact(2 * common.len()).map(|both| both.split_at(common.len()));
    let cosines: Vec<f64> = both.map(|(a, b)| f64::from(tensor::rows::dot(a, b))).collect();
    let Some(correlation) = spearman(&scores, &cosines) else {
        return Err(Error::file(file, "has no two pairs of different scores: nothing can be compared").into());
    };
    writeln!(std::io::stdout(), "{}", json!({"pairs": scores.len(), "spearman": correlation}))?;
    Ok(())
}
