//! `pretext embed`: texts and pictures as vectors.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use models::Error;
use models::data::labelled::pairs;
use models::hub::beside::{self, Vectors};
use models::hub::pretrained::Pretrained;
use models::transfer::clip::gallery::Gallery;
use models::transfer::clip::search::Query;
use models::transfer::clip::{Encoders, kept, recall};
use models::transfer::embed::{cut, read_at_most, states};
use models::transfer::similar;
use serde_json::json;

use crate::flags::{self, PoolingName, Texts, Threads};
use crate::pictures::{self, WordedFlags};

/// Turn texts, and with a CLIP also pictures, into vectors, one JSON line each. Without a word: line by line from --in or
/// standard input. A text's vector is the mean of its hidden states as it is (a GPT reads the mark that ends a text before it), or
/// what the files of sentence-transformers beside the model say; a CLIP's are of length 1.
///
/// With --pairs or --retrieval: how well the vectors agree with what people say of pairs. With --data: the pictures of a set,
/// and what is said of them, become an index on the disk, for `search --in` of the same.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext embed runs/bert-mini-1 \"a text\" \"another\"
  pretext embed runs/bert-mini-1 --pairs stsb-test.tsv
  pretext embed runs/bert-nano-1 --pairs                           with the built-in world's stories
  pretext embed runs/bert-mini-1 --retrieval questions.tsv
  pretext embed runs/clip-mini-1 cat.png \"a cat\"
  pretext embed runs/clip-mini-1 --data pairs.tsv --where style=fluent
  pretext embed runs/clip-nano-1 --retrieval                       pictures and captions of the built-in world
  pretext embed runs/clip-mini-1 --retrieval pairs.tsv --where split=test")]
pub struct Args {
    /// A run of `train`, or a Hugging Face checkpoint with its tokenizer.json
    dir: PathBuf,
    #[command(flatten)]
    texts: Texts,
    /// A file of lines `score TAB text TAB text`: prints Spearman's correlation of the scores with the cosines of the texts'
    /// vectors, as they are and less their mean, as search compares them [without FILE: stories of the built-in world, told twice
    /// with changes]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["texts", "file"])]
    pairs: Option<Option<PathBuf>>,
    /// A file of lines `query TAB text`: seeks each query's texts among all of them as search does, and prints recall at 1, 5 and
    /// 10, the mean reciprocal rank and nDCG [without FILE: stories of the built-in world, told twice in other words]. With a
    /// CLIP, pictures: these seek their captions and are sought by them; recall at 1, 5 and 10 and the median rank
    #[arg(long, value_name = "FILE", conflicts_with_all = ["texts", "file", "pairs"])]
    retrieval: Option<Option<PathBuf>>,
    /// How a text becomes one vector [default: as the model's modules.json says, else mean]
    #[arg(long, value_enum)]
    pooling: Option<PoolingName>,
    #[command(flatten)]
    threads: Threads,
    /// Pictures: tables, folders, shards (.tar), IDX files
    #[arg(long, num_args = 1.., value_name = "PATH", help_heading = "Pictures", conflicts_with_all = ["texts", "file"])]
    data: Vec<PathBuf>,
    /// Where the index of --data goes [default: beside its first PATH]
    #[arg(long, value_name = "FILE", help_heading = "Pictures", requires = "data", conflicts_with = "retrieval")]
    index: Option<PathBuf>,
    #[command(flatten)]
    pictures: WordedFlags,
}

/// What is said of pairs.
#[derive(Clone, Copy)]
enum Judged {
    Alike,
    Sought,
}

/// Texts that are read and embedded at once.
const AT_ONCE: usize = 256;
/// Scenes of the built-in world of which pictures and captions seek each other.
const SCENES: usize = 1000;

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    if pictures::is_clip(&args.dir)? {
        return with_pictures(args);
    }
    pictures::refuse(&args.dir, &[("--data", !args.data.is_empty()), ("--index", args.index.is_some())])?;
    pictures::refuse(&args.dir, &args.pictures.given())?;
    let with = Pretrained::open(&args.dir)?;
    let of = beside::read_vectors(&args.dir)?;
    let of = args.pooling.map_or(of, |name| Vectors { pooling: name.into(), ..of });
    if let Some(file) = &args.pairs {
        return judge(args, (&with, of), file, Judged::Alike);
    }
    if let Some(file) = &args.retrieval {
        return judge(args, (&with, of), file, Judged::Sought);
    }
    let mut out = std::io::stdout().lock();
    let mut first = 1;
    args.texts.each(AT_ONCE, |texts| {
        let some: Vec<&str> = texts.iter().map(String::as_str).collect();
        let too_long = some.iter().map(|text| cut(&with, &[text], of) > 0);
        flags::note_cut_at(first, too_long, read_at_most(&with, of), |i| args.texts.place(i));
        first += texts.len();
        let vectors = states(&with, &some, of);
        let mut both = texts.iter().zip(vectors.data().chunks_exact(with.model.width()));
        both.try_for_each(|(text, vector)| Ok(writeln!(out, "{}", json!({"text": text, "vector": vector}))?))
    })
}

/// One JSON line with how well the vectors agree with what is said of pairs.
fn judge(args: &Args, (with, of): (&Pretrained, Vectors), wanted: &Option<PathBuf>, kind: Judged) -> Result<()> {
    let pairs = match (wanted, kind) {
        (Some(file), Judged::Alike) => pairs::read_scored(file)?,
        (Some(file), Judged::Sought) => pairs::read_sought(file)?,
        (None, Judged::Alike) => similar::world_scored(),
        (None, Judged::Sought) => similar::world_sought(),
    };
    pairs.notes.iter().for_each(|sentence| tell!("note: {sentence}"));
    let texts: Vec<&str> = pairs.pairs.iter().flatten().map(String::as_str).collect();
    let file = wanted.as_ref().map_or("the built-in world".to_owned(), |file| file.display().to_string());
    let too_long = texts.iter().map(|text| cut(with, &[text], of) > 0);
    flags::note_cut_at(1, too_long, read_at_most(with, of), |i| format!("in pair {} of {file}", i.div_ceil(2)));
    let line = match kind {
        Judged::Sought => serde_json::to_string(&similar::retrieval(with, &pairs, of))?,
        Judged::Alike => {
            let Some(agreement) = similar::agreement(with, &pairs, of) else {
                let what = "has no two pairs of different scores, or the vectors are all the same: nothing to compare";
                return Err(Error::file(wanted.as_deref().unwrap_or(&args.dir), what).into());
            };
            serde_json::to_string(&agreement)?
        }
    };
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// What a CLIP makes of texts and pictures.
fn with_pictures(args: &Args) -> Result<()> {
    let only_of_text = [
        (args.pairs.is_some(), "--pairs is for models of text: --retrieval seeks pictures and captions"),
        (args.pooling.is_some(), "--pooling is for models of text: leave it out"),
    ];
    if let Some((_, what)) = only_of_text.iter().find(|(given, _)| *given) {
        return Err(crate::Usage(format!("{} is a CLIP, and {what}", args.dir.display())).into());
    }
    if matches!(args.retrieval, Some(Some(_))) && !args.data.is_empty() {
        let what =
            "--retrieval FILE and --data both name pictures: name all of them with --data, and give --retrieval alone";
        return Err(crate::Usage(what.to_owned()).into());
    }
    let data: Vec<PathBuf> = args.retrieval.iter().flatten().chain(&args.data).cloned().collect();
    pictures::need(&data, args.retrieval.is_none(), &args.pictures.given())?;
    let with = Encoders::open(&args.dir)?;
    if args.retrieval.is_some() {
        return retrieval(args, &with, &data);
    }
    if !args.data.is_empty() {
        return index(args, &with);
    }
    if args.index.is_some() {
        let what = "--index is where the vectors of --data go: name pictures with --data, or leave it out";
        return Err(crate::Usage(what.to_owned()).into());
    }
    one_by_one(args, &with)
}

/// Makes the index of a set of pictures, if it is not there.
fn index(args: &Args, with: &Encoders) -> Result<()> {
    let gallery = args.pictures.open(with, &args.data)?;
    let path = args.index.clone().unwrap_or_else(|| kept::path(&args.data));
    let same = kept::check_same(&path, with, &gallery, true);
    if args.index.is_some() {
        same?; // as in a search, another index is never put in its place
    } else if same.is_err()
        && let Err(error) = models::files::try_at(&path)
    {
        let what = format!("cannot be written ({error}): name another place with --index");
        return Err(Error::file(&path, what).into());
    }
    let (index, new) = pictures::index(with, &gallery, true, &path)?;
    if new {
        index.keep(&path, with, &gallery)?;
    }
    let [n, texts] = index.sizes();
    let (n, texts) = (flags::count(n, "picture"), flags::count(texts, "text"));
    let how = if new { "is made" } else { "was there already" };
    Ok(writeln!(std::io::stdout(), "{}: the index of {n} and {texts} {how}", path.display())?)
}

/// A JSON line for each picture and each text that is named.
fn one_by_one(args: &Args, with: &Encoders) -> Result<()> {
    let (mut faults, mut n) = (Vec::new(), 0);
    args.texts.each(1, |words| {
        n += 1;
        let word = &words[0];
        match args.pictures.query(with, word) {
            Ok(query) => {
                let kind = if matches!(query, Query::Picture(..)) { "image" } else { "text" };
                let vector = pictures::vector(with, &query);
                writeln!(std::io::stdout(), "{}", json!({kind: word, "vector": vector.data()}))?;
            }
            Err(fault) => faults.push(fault),
        }
        Ok(())
    })?;
    pictures::all_read(&faults, n)
}

/// One JSON line with how well pictures and captions find each other.
fn retrieval(args: &Args, with: &Encoders, data: &[PathBuf]) -> Result<()> {
    let gallery = match data {
        [] => Gallery::scenes_of_several(SCENES, with.preprocess.size),
        _ => args.pictures.open(with, data)?,
    };
    let bar = pictures::counting(gallery.len());
    let measured = recall::retrieval(with, &gallery, |n| bar.set_position(n as u64));
    bar.finish_and_clear();
    let measured = measured?;
    pictures::note(&measured.seen.faults);
    flags::note_cut(measured.cut, with.block_size());
    if measured.recall.image_to_text.queries == 0 {
        return Err(anyhow::anyhow!("no picture with a caption could be read: there is nothing to seek"));
    }
    let silent = measured.seen.numbers.len() - measured.recall.image_to_text.queries;
    if silent > 0 {
        tell!("note: {} without a caption left out", flags::count(silent, "picture"));
    }
    Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(&measured.recall)?)?)
}
