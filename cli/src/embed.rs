//! `pretext embed`: texts as vectors.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use models::Error;
use models::data::labelled::pairs;
use models::transfer::embed::states;
use models::transfer::pretrained::Pretrained;
use models::transfer::similar;
use serde_json::json;

use crate::flags::{self, PoolingName, Texts, Threads};

/// Turn texts into vectors, one JSON line each: the mean of the hidden states as it is. Without a text: line by line from
/// --in or standard input. With --pairs or --retrieval: how well the vectors agree with what people say of pairs of texts.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext embed runs/bert-mini-1 \"a text\" \"another\"
  pretext embed runs/bert-mini-1 --pairs stsb-test.tsv
  pretext embed runs/bert-nano-1 --pairs                           with the built-in world's stories
  pretext embed runs/bert-mini-1 --retrieval questions.tsv")]
pub struct Args {
    /// A run of `train`, or a Hugging Face checkpoint with its tokenizer.json
    dir: PathBuf,
    #[command(flatten)]
    texts: Texts,
    /// A file of lines `score TAB text TAB text`: prints Spearman's correlation of the scores with the cosines of the texts'
    /// vectors, less what all of them share [without FILE: stories of the built-in world, told twice with changes]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["texts", "file"])]
    pairs: Option<Option<PathBuf>>,
    /// A file of lines `query TAB text`: seeks each query's texts among all of them, and prints recall at 1, 5 and 10, the
    /// mean reciprocal rank and nDCG [without FILE: stories of the built-in world, told twice in other words]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["texts", "file", "pairs"])]
    retrieval: Option<Option<PathBuf>>,
    /// How a text becomes one vector
    #[arg(long, value_enum, default_value_t = PoolingName::Mean)]
    pooling: PoolingName,
    #[command(flatten)]
    threads: Threads,
}

/// What is said of pairs.
#[derive(Clone, Copy)]
enum Judged {
    Alike,
    Sought,
}

/// Texts that are read and embedded at once.
const AT_ONCE: usize = 256;

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    let with = Pretrained::open(&args.dir)?;
    if let Some(file) = &args.pairs {
        return judge(args, &with, file, Judged::Alike);
    }
    if let Some(file) = &args.retrieval {
        return judge(args, &with, file, Judged::Sought);
    }
    let mut out = std::io::stdout().lock();
    args.texts.each(AT_ONCE, |texts| {
        let some: Vec<&str> = texts.iter().map(String::as_str).collect();
        flags::note_cut(&with, &some);
        let vectors = states(&with, &some, args.pooling.into());
        let mut both = texts.iter().zip(vectors.data().chunks_exact(with.model.width()));
        both.try_for_each(|(text, vector)| Ok(writeln!(out, "{}", json!({"text": text, "vector": vector}))?))
    })
}

/// One JSON line with how well the vectors agree with what is said of pairs.
fn judge(args: &Args, with: &Pretrained, wanted: &Option<PathBuf>, kind: Judged) -> Result<()> {
    let pairs = match (wanted, kind) {
        (Some(file), Judged::Alike) => pairs::read_scored(file)?,
        (Some(file), Judged::Sought) => pairs::read_sought(file)?,
        (None, Judged::Alike) => similar::world_scored(),
        (None, Judged::Sought) => similar::world_sought(),
    };
    pairs.notes.iter().for_each(|sentence| eprintln!("note: {sentence}"));
    flags::note_cut(with, &pairs.pairs.iter().flatten().map(String::as_str).collect::<Vec<_>>());
    let pooling = args.pooling.into();
    let line = match kind {
        Judged::Sought => serde_json::to_string(&similar::retrieval(with, &pairs, pooling))?,
        Judged::Alike => {
            let Some(spearman) = similar::agreement(with, &pairs, pooling) else {
                let what = "has no two pairs of different scores, or the vectors are all the same: nothing to compare";
                return Err(Error::file(wanted.as_deref().unwrap_or(&args.dir), what).into());
            };
            json!({"pairs": pairs.pairs.len(), "spearman": spearman}).to_string()
        }
    };
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
