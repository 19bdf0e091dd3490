//! `pretext search`: what is nearest to a query, among the lines of a file, or among pictures and what is said of them.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::builder::RangedU64ValueParser;
use models::hub::beside;
use models::hub::pretrained::Pretrained;
use models::transfer::clip::gallery::Gallery;
use models::transfer::clip::search::{Hit, Wanted};
use models::transfer::clip::{Encoders, kept, page, search};
use models::transfer::embed::{Index, cut, read_at_most};
use models::transfer::similar;

use crate::flags::{self, Threads};
use crate::pictures::{self, WordedFlags};

/// Find what is nearest to a query.
///
/// With a model of text: lines of a file. With a CLIP: pictures by a text or by a picture, or, with --texts, what is said of
/// them. The vectors are kept beside the file, in FILE.index.safetensors, where that can be, and made anew when the file or the model has changed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext search runs/bert-nano-1 \"Mia slowly paints the red ball blue.\"
  pretext search runs/bert-mini-1 \"where is the station\" --in questions.txt --top 3
  pretext search runs/clip-nano-1 \"a small red ball left of a blue box\" --top 10 --html found.html
  pretext search runs/clip-mini-1 \"a cat that laughs\" --in emoji/pairs.tsv --where style=fluent
  pretext search runs/clip-mini-1 cat.png --in emoji/pairs.tsv --texts")]
pub struct Args {
    /// A run of `train`, or a Hugging Face checkpoint with its tokenizer.json
    dir: PathBuf,
    /// What to look for: a text, or, for a CLIP, the file of a picture as well
    query: String,
    /// A file with a text on each line, or pictures: tables, folders, shards (.tar), IDX files [default: 1000 stories, or
    /// 131072 scenes, of the built-in world]
    #[arg(long = "in", visible_alias = "data", num_args = 1.., value_name = "PATH")]
    data: Vec<PathBuf>,
    /// How many
    #[arg(long, default_value_t = 5, value_name = "K", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    top: usize,
    /// Where the vectors are kept, and looked for; others that are there stay as they are [default: beside the first PATH]
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Print one JSON line a hit
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
    /// Find what is said of pictures in the place of pictures
    #[arg(long, help_heading = "Pictures")]
    texts: bool,
    /// Also write what was found as a page that stands alone, with the pictures
    #[arg(long, value_name = "FILE", help_heading = "Pictures")]
    html: Option<PathBuf>,
    #[command(flatten)]
    pictures: WordedFlags,
}

/// Scenes of the built-in world that are searched.
const SCENES: usize = 131_072;

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    if args.query.trim().is_empty() {
        return Err(crate::Usage("the query is empty: say what to look for".to_owned()).into());
    }
    if pictures::is_clip(&args.dir)? {
        return among_pictures(args);
    }
    pictures::refuse(&args.dir, &[("--texts", args.texts), ("--html", args.html.is_some())])?;
    pictures::refuse(&args.dir, &args.pictures.given())?;
    pictures::refuse(&args.dir, &[("--in with more than one path", args.data.len() > 1)])?;
    let with = Pretrained::open(&args.dir)?;
    let of = beside::read_vectors(&args.dir)?;
    let index = match args.data.first() {
        None if args.index.is_some() => {
            let what = "--index is for the lines of a file: name one with --in, or leave it out";
            return Err(crate::Usage(what.to_owned()).into());
        }
        None => Index::over(&with, similar::world_lines(), of),
        Some(file) => {
            let (index, kept) = Index::of(&with, file, args.index.as_deref(), of)?;
            let place = |i| format!("line {i} of {}", file.display());
            flags::note_empty(index.lines(), place);
            if let Some(kept) = kept {
                let too_long = index.lines().iter().map(|line| cut(&with, &[line], of) > 0);
                flags::note_cut_at(1, too_long, read_at_most(&with, of), place);
                note_kept(kept);
            }
            index
        }
    };
    if cut(&with, &[&args.query], of) > 0 {
        tell!("note: the query is longer than the {} tokens that the model sees: cut there", read_at_most(&with, of));
    }
    let mut out = std::io::stdout().lock();
    for hit in index.search(&with, &args.query, of, args.top) {
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
    pictures::vacant([&args.html])?;
    let with = Encoders::open(&args.dir)?;
    pictures::need(&args.data, pictures::is_picture(&args.query), &args.pictures.given())?;
    let query = args.pictures.query(&with, &args.query)?;
    let (gallery, index) = searched(args, &with)?;
    let wanted = if args.texts || gallery.is_empty() { Wanted::Texts } else { Wanted::Pictures };
    if wanted == Wanted::Texts && index.sizes()[1] == 0 {
        return Err(anyhow!("nothing is said of these pictures: leave --texts out, and pictures are found"));
    }
    let hits = index.search(&gallery, &pictures::vector(&with, &query), wanted, args.top);
    hits.iter().try_for_each(|hit| show(args, hit))?;
    if let Some(page) = &args.html {
        let among = match &args.data[..] {
            [] => format!("{SCENES} scenes of the built-in world"),
            [first, more @ ..] => {
                let [pictures, texts] = index.sizes();
                let (pictures, texts) = (flags::count(pictures, "picture"), flags::count(texts, "text"));
                let and = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
                format!("{}{and}: {pictures}, {texts}", first.display())
            }
        };
        page::write(page, &query, &among, &gallery, wanted, &hits)?;
        tell!("note: the page is {}", page.display());
    }
    Ok(())
}

/// Where is searched, as vectors: kept beside the files, or in the cache, unless that cannot be.
fn searched(args: &Args, with: &Encoders) -> Result<(Gallery, search::Index)> {
    let (gallery, path) = match args.data.first() {
        None => (Gallery::scenes(SCENES, with.preprocess.size), kept::path_of_world(with, args.texts)),
        Some(lines) if lines.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("txt")) => {
            let pictures = args.pictures.given().into_iter().find_map(|(name, given)| given.then_some(name));
            if let Some(more) = pictures.or((args.data.len() > 1).then_some("another path")) {
                let what = format!(
                    "{} is a file of lines, and {more} is for pictures: leave one of them out",
                    lines.display()
                );
                return Err(crate::Usage(what).into());
            }
            let gallery = Gallery::lines(lines)?;
            gallery.notes().iter().for_each(|note| tell!("note: {note}"));
            (gallery, kept::path(&args.data))
        }
        Some(_) => (args.pictures.open(with, &args.data)?, kept::path(&args.data)),
    };
    // Of the world's pictures so much is said that it is encoded only when it is sought.
    let texts = args.texts || !args.data.is_empty();
    // A file that the user names is searched, or made where there is none: never another put in its place.
    if let Some(named) = &args.index {
        kept::check_same(named, with, &gallery, texts)?;
    }
    let path = args.index.clone().unwrap_or(path);
    let (index, new) = pictures::index(with, &gallery, texts, &path)?;
    if new {
        note_kept(index.keep(&path, with, &gallery).map(|()| path));
    }
    Ok((gallery, index))
}

/// Says where the vectors are kept, or why they are not.
fn note_kept(kept: models::Result<PathBuf>) {
    match kept {
        Ok(path) => tell!("note: the vectors are kept in {}", path.display()),
        Err(error) => tell!("note: the vectors are kept nowhere: {error} (--index FILE names a place)"),
    }
}

/// A hit on its line; of a picture, the first of what is said of it.
fn show(args: &Args, hit: &Hit) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(hit)?)?;
    } else {
        let (name, text) = (flags::on_a_line(&hit.name), hit.texts.first().map_or("", String::as_str));
        let text = flags::on_a_line(text);
        writeln!(out, "{:.3}\t{name}\t{text}", hit.score)?;
    }
    Ok(())
}
