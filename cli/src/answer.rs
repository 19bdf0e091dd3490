//! `pretext answer`: the passage of a text that answers a question, by a fine-tuned model.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use models::data::labelled::{squad, utf8};
use models::transfer::finetune::answer::Answerer;
use models::transfer::finetune::windows::Asked;
use serde_json::json;

use crate::flags::{self, Threads};

/// Answer a question about a text with a model that `finetune … answer` made. Without a text: the whole of --in or of
/// standard input is the text.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext answer runs/answer-1 \"Where is the ball now?\" \"They see a tiny red ball on the left.\"
  pretext answer runs/answer-1 \"Who wrote it?\" --in article.txt --json
  pretext answer runs/answer-1 --data dev-v1.1.json > predictions.json")]
pub struct Args {
    /// A model that `finetune` made
    dir: PathBuf,
    /// The question
    #[arg(required_unless_present = "data")]
    question: Option<String>,
    /// The text that holds the answer
    text: Option<String>,
    /// A file with the text
    #[arg(long = "in", value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// SQuAD's JSON, also without answers: answers all of its questions, as one JSON object of ids and answers, which SQuAD's own
    /// script judges
    #[arg(long, value_name = "FILE", conflicts_with_all = ["question", "text", "file", "json"])]
    data: Option<PathBuf>,
    /// Print one JSON line; start and end of the answer count characters
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    let (answerer, tokenizer) = Answerer::open(&args.dir)?;
    let mut out = std::io::stdout().lock();
    if let Some(data) = &args.data {
        let answered = squad::read_asked(data)?;
        let mut notes = answered.notes;
        let asked = Asked::new(&tokenizer, answerer.tuned.model.block_size(), answered.questions);
        asked.note("question", &answered.path, &mut notes);
        notes.iter().for_each(|sentence| tell!("note: {sentence}"));
        let found = answerer.answers(&answerer.tuned.params, &asked);
        let by_id: BTreeMap<_, _> = asked.questions.iter().zip(found).map(|(q, found)| (&q.id, found.text)).collect();
        writeln!(out, "{}", serde_json::to_string(&by_id)?)?;
        return Ok(());
    }
    let question = args.question.as_deref().unwrap_or_default();
    let text = match &args.text {
        Some(text) => text.clone(),
        None => {
            let name = args.file.as_deref().unwrap_or(Path::new(flags::STANDARD_INPUT));
            let mut bytes = Vec::new();
            let read = flags::lines(args.file.as_deref())?.read_to_end(&mut bytes);
            read.with_context(|| format!("{}: cannot be read to its end", name.display()))?;
            utf8(name, bytes, 1)?
        }
    };
    for (what, is) in [("question", question), ("text", &text)] {
        if is.trim().is_empty() {
            let what = format!("the {what} is empty: give a question, and a text that holds its answer");
            return Err(crate::Usage(what).into());
        }
    }
    let (found, cut) = answerer.answer(&tokenizer, question, &text);
    if cut {
        let sees = answerer.tuned.model.block_size();
        tell!("note: the question fills more than half of the {sees} tokens that the model sees, and is cut there");
    }
    if args.json {
        let [start, end] = [found.start, found.end].map(|byte| flags::character(&text, byte));
        let answer = json!({"text": found.text, "start": start, "end": end, "score": found.score});
        writeln!(out, "{}", json!({"question": question, "answer": answer}))?;
    } else {
        writeln!(out, "{:.1}%\t{}", 100.0 * found.score, found.text)?;
    }
    Ok(())
}
