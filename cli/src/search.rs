//! `pretext search`: what is nearest to a query, among the lines of a file, or among pictures and what is said of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use models::transfer::clip::gallery::{self, Gallery};
use models::transfer::clip::search::{Hit, Query, Wanted};
use models::transfer::clip::{Encoders, page, search};
use models::transfer::embed::Index;
use models::transfer::pretrained::{Pooling, Pretrained};
use models::transfer::similar;

use crate::flags::{self, Threads};
use crate::pictures;

/// Find what is nearest to a query.
///
/// With a model of text: lines of a file. With a CLIP: pictures by a text or by a picture, or, with --texts, what is said of
/// them. The vectors are kept beside the file, in FILE.index.safetensors, and made anew when the file or the model has changed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext search runs/bert-nano-1 \"Mia slowly paints the red ball blue.\"
  pretext search runs/bert-mini-1 \"where is the station\" --in questions.txt --top 3
  pretext search runs/clip-nano-1 \"a small red ball left of a blue box\" --html found.html
  pretext search runs/clip-nano-1 picture.png --texts")]
pub struct Args {
    /// A run of `train`, or a Hugging Face checkpoint with its tokenizer.json
    dir: PathBuf,
    /// What to look for: a text, or, for a CLIP, the file of a picture as well
    query: String,
    /// A file with a text on each line [default: 1000 stories, or 4096 scenes, of the built-in world]
    #[arg(long = "in", value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many
    #[arg(long, default_value_t = 5, value_name = "K")]
    top: usize,
    /// Find what is said of pictures in the place of pictures
    #[arg(long, help_heading = "Pictures")]
    texts: bool,
    /// Also write what was found as a page that stands alone, with the pictures
    #[arg(long, value_name = "FILE", help_heading = "Pictures")]
    html: Option<PathBuf>,
    /// Print one JSON line a hit
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

/// Scenes of the built-in world that are searched.
const SCENES: usize = 4096;

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    if pictures::is_clip(&args.dir)? {
        return among_pictures(args);
    }
    pictures::refuse(&args.dir, &[("--texts", args.texts), ("--html", args.html.is_some())])?;
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

/// The search of a CLIP.
fn among_pictures(args: &Args) -> Result<()> {
    if let Some(page) = &args.html {
        page::vacant(page)?;
    }
    let with = Encoders::open(&args.dir)?;
    let query = match pictures::is_picture(&args.query) {
        true => Query::Picture(args.query.clone(), Box::new(gallery::read(Path::new(&args.query))?)),
        false => Query::Text(args.query.clone()),
    };
    let gallery = Gallery::scenes(SCENES, with.preprocess.size);
    let bar = pictures::counting(gallery.len(), "pictures");
    let (index, faults) = search::Index::over(&with, &gallery, |n| bar.set_position(n as u64));
    bar.finish_and_clear();
    faults.iter().for_each(|fault| eprintln!("note: {fault}"));
    let wanted = if args.texts { Wanted::Texts } else { Wanted::Pictures };
    let hits = index.search(&gallery, &query.vector(&with), wanted, args.top);
    hits.iter().try_for_each(|hit| show(args, hit))?;
    if let Some(page) = &args.html {
        let among = format!("{SCENES} scenes of the built-in world");
        page::write(page, &query, &among, &gallery, wanted, &hits)?;
        if !args.json {
            writeln!(std::io::stdout(), "the page is {}", page.display())?;
        }
    }
    Ok(())
}

/// A hit on its line; of a picture, the first of what is said of it.
fn show(args: &Args, hit: &Hit) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(hit)?)?;
    } else {
        let text = hit.texts.first().map_or("", String::as_str);
        writeln!(out, "{:.3}\t{}\t{text}", hit.score, hit.name)?;
    }
    Ok(())
}
