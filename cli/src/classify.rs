//! `pretext classify`: labels for texts by a fine-tuned model, and for pictures by a CLIP that nobody taught them.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::builder::RangedU64ValueParser;
use models::pretext::texts;
use models::train::run::learned_world;
use models::transfer::clip::encode::{Layer, Seen};
use models::transfer::clip::gallery::Gallery;
use models::transfer::clip::zero_shot::{self, Confusion, Named, ZeroShot, mistakes};
use models::transfer::clip::{Encoders, chosen, confusion};
use models::transfer::finetune::classify::Classifier;
use serde_json::json;

use crate::flags::{Texts, Threads, count, note_cut, note_cut_at, on_a_line};
use crate::pictures::{self, PictureFlags};

/// Label texts with a model that `finetune … classify` made, or pictures with a CLIP, by nothing but the labels' names.
///
/// Texts without a word of them: line by line from --in or standard input. Pictures are files, or, with --data, a set whose
/// classes are known: then it is said how many are named rightly. Without any, the built-in world's pictures are named, some
/// of which show a shape in a colour that training never did.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext classify runs/classify-1 \"Mia takes the ball and slowly sets it on the left.\"
  pretext classify runs/classify-1 --in lines.txt --top 3 --json
  pretext classify runs/clip-nano-1                                the built-in world's pictures
  pretext classify runs/clip-mini-1 cat.png --labels animals.txt --template \"a picture of a {}\" \"a drawing of a {}\"
  pretext classify runs/clip-mini-1 --data pairs.tsv --where split=test --class-column label --svg confusion.svg")]
pub struct Args {
    /// A model that `finetune` made, or a CLIP
    dir: PathBuf,
    #[command(flatten)]
    texts: Texts,
    /// How many labels for each [default: 1 for texts, 5 for pictures]
    #[arg(long, value_name = "K", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    top: Option<usize>,
    /// Print one JSON line a text or a picture, or one with the figures
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
    /// Pictures whose classes are known: tables, folders, shards (.tar), IDX files
    #[arg(long, num_args = 1.., value_name = "PATH", help_heading = "Pictures", conflicts_with_all = ["texts", "file"])]
    data: Vec<PathBuf>,
    /// A file with the labels to choose among, one a line [default: the classes of --data]
    #[arg(long, value_name = "FILE", help_heading = "Pictures")]
    labels: Option<PathBuf>,
    /// What is said of a picture with each label, {} being the label; of several, the mean counts [default: {}]
    #[arg(long, num_args = 1.., value_name = "TEMPLATE", help_heading = "Pictures")]
    template: Vec<String>,
    /// Also draw which labels are taken for which
    #[arg(long, value_name = "FILE", help_heading = "Pictures", conflicts_with_all = ["texts", "file"])]
    svg: Option<PathBuf>,
    #[command(flatten)]
    pictures: PictureFlags,
}

/// Texts that are read and labelled at once.
const AT_ONCE: usize = 256;
/// Mistakes that are told, the most frequent first.
const MISTAKES: usize = 5;

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    if pictures::is_clip(&args.dir)? {
        let words = args.texts.given()?;
        if words.as_ref().is_some_and(Vec::is_empty) {
            return Err(crate::Usage("no picture is named: name some, or give --data".to_owned()).into());
        }
        pictures::vacant([&args.svg])?;
        pictures::need(&args.data, words.is_some(), &args.pictures.given())?;
        let with = Encoders::open(&args.dir)?;
        return match words {
            Some(words) => label(args, &with, words),
            None if args.data.is_empty() => world(args, &with),
            None => measure(args, &with),
        };
    }
    let given = [
        ("--data", !args.data.is_empty()),
        ("--labels", args.labels.is_some()),
        ("--template", !args.template.is_empty()),
        ("--svg", args.svg.is_some()),
    ];
    pictures::refuse(&args.dir, &given)?;
    pictures::refuse(&args.dir, &args.pictures.given())?;
    let (classifier, tokenizer, labels) = Classifier::open(&args.dir)?;
    let mut first = 1;
    args.texts.each(AT_ONCE, |texts| {
        let ids: Vec<_> = texts.iter().map(|t| texts::ids(&tokenizer, classifier.block_size(), t)).collect();
        note_cut_at(first, ids.iter().map(|ids| ids.cut), classifier.block_size(), |i| args.texts.place(i));
        first += texts.len();
        let ids: Vec<&[u32]> = ids.iter().map(|ids| &ids.ids[..]).collect();
        let probabilities = classifier.probabilities(&classifier.tuned.params, &ids);
        texts.iter().zip(probabilities).try_for_each(|(text, p)| show(args, ("text", text), &labels, [&p, &p]))
    })
}

/// The labels of a text or a picture that have the best scores, the best first, with their probabilities.
fn show(args: &Args, (kind, what): (&str, &str), labels: &[String], [scores, p]: [&[f32]; 2]) -> Result<()> {
    let top = args.top.unwrap_or(if kind == "text" { 1 } else { 5 });
    let order = tensor::rows::best(scores, top);
    let mut out = std::io::stdout().lock();
    if args.json {
        let best: Vec<_> = order.iter().map(|&i| json!({"label": labels[i], "probability": p[i]})).collect();
        writeln!(out, "{}", json!({kind: what, "labels": best}))?;
        return Ok(());
    }
    let best: Vec<_> = order.iter().map(|&i| format!("{} {:.1}%", on_a_line(&labels[i]), 100.0 * p[i])).collect();
    let what = if kind == "text" { what.to_owned() } else { on_a_line(what) };
    writeln!(out, "{}\t{what}", best.join(", "))?;
    Ok(())
}

/// Labels as names of pictures, in the templates that are given.
fn names(args: &Args, with: &Encoders, labels: Vec<String>) -> Result<ZeroShot> {
    let templates = match &args.template[..] {
        [] => zero_shot::TEMPLATES.iter().map(|&template| template.to_owned()).collect(),
        given => given.to_vec(),
    };
    let names = ZeroShot::new(with, labels, &templates)?;
    note_cut(names.cut(), with.block_size());
    Ok(names)
}

/// Labels pictures one by one.
fn label(args: &Args, with: &Encoders, words: Vec<String>) -> Result<()> {
    let names = match &args.labels {
        Some(file) => names(args, with, zero_shot::read_names(file)?)?,
        None if !args.template.is_empty() || !learned_world(&args.dir) => {
            let what = match args.template.is_empty() {
                true => {
                    "name the labels with --labels FILE, one a line: nothing says that this model has learned the built-in world's"
                }
                false => "--template is for labels of your own: name them with --labels FILE, or leave --template out",
            };
            return Err(crate::Usage(what.to_owned()).into());
        }
        None => {
            tell!("note: without --labels, the names are the 64 of the built-in world");
            ZeroShot::world(with)
        }
    };
    let gallery = Gallery::Files(words.into_iter().map(PathBuf::from).collect(), args.pictures.ground(with));
    let seen = seen(with, &gallery)?;
    let (cosines, k) = (names.cosines(&seen.vectors), names.names().len());
    let probabilities = names.probabilities(&cosines);
    for (row, &number) in seen.numbers.iter().enumerate() {
        let of_it = [&cosines, &probabilities].map(|all| &all.data()[row * k..][..k]);
        show(args, ("image", &gallery.name(number)), names.names(), of_it)?;
    }
    pictures::all_read(&seen.faults, gallery.len())
}

fn seen(with: &Encoders, gallery: &Gallery) -> Result<Seen> {
    let bar = pictures::counting(gallery.len());
    let seen = with.pictures(Layer::Space, gallery.len(), |i| gallery.picture(i), |n| bar.set_position(n as u64));
    bar.finish_and_clear();
    Ok(seen?)
}

/// Names pictures whose classes are known, and says how well.
fn measure(args: &Args, with: &Encoders) -> Result<()> {
    if args.top.is_some() {
        let what = "--top is for pictures that are labelled one by one, and of --data figures are told: leave it out";
        return Err(crate::Usage(what.to_owned()).into());
    }
    let given = args.labels.as_deref().map(zero_shot::read_names).transpose()?;
    let gallery = args.pictures.open_named(with, &args.data, given.clone().unwrap_or_default())?;
    if gallery.classes().is_empty() {
        let what = "no picture of --data has a class, so none can be right: name the column of classes with --class-column \
                    (folder, where each class has one), or give the pictures' files in the place of --data, and each is told \
                    its labels";
        return Err(crate::Usage(what.to_owned()).into());
    }
    let names = names(args, with, given.unwrap_or_else(|| gallery.classes().to_vec()))?;
    let truth = zero_shot::truth(&gallery, names.names())?;
    let seen = seen(with, &gallery)?;
    pictures::note(&seen.faults);
    if seen.numbers.is_empty() {
        return Err(anyhow!("none of {} can be read, as said above", count(gallery.len(), "picture")));
    }
    let known = seen.numbers.iter().enumerate().filter_map(|(row, &number)| Some((row, truth[number]?)));
    let (rows, truth): (Vec<_>, Vec<_>) = known.unzip();
    if rows.is_empty() {
        return Err(anyhow!(
            "no picture that can be read has a class, so none can be right: see above what is left out"
        ));
    }
    if rows.len() < seen.numbers.len() {
        tell!("note: {} without a class left out", count(seen.numbers.len() - rows.len(), "picture"));
    }
    let named = zero_shot::judge(&names, &chosen(&seen.vectors, &rows), &truth);
    figures(args, &named, &names, gallery.len() + gallery.missing())?;
    draw(args, &names, &named.confusion)
}

/// The figures of `all` pictures whose classes are known.
fn figures(args: &Args, named: &Named, names: &ZeroShot, all: usize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let labels = names.names().len();
        let (left_out, Named { pictures, top_1, top_5, .. }) = (all - named.pictures, named);
        let line =
            json!({"pictures": pictures, "left_out": left_out, "labels": labels, "top_1": top_1, "top_5": top_5});
        return Ok(writeln!(out, "{line}")?);
    }
    writeln!(out, "pictures named among {} labels", names.names().len())?;
    heading(&mut out)?;
    row(&mut out, "all", named)?;
    show_mistakes(&mut out, &named.confusion, names.names())
}

/// Draws which names are taken for which, if that is wanted.
fn draw(args: &Args, names: &ZeroShot, confusion: &Confusion) -> Result<()> {
    if let Some(path) = &args.svg {
        let pictures: usize = confusion.values().sum();
        let title = format!("{}, named among {} labels", count(pictures, "picture"), names.names().len());
        confusion::draw(path, &title, names.names(), confusion)?;
        tell!("note: the picture is {}", path.display());
    }
    Ok(())
}

/// Names the built-in world's pictures, and says how well.
fn world(args: &Args, with: &Encoders) -> Result<()> {
    if args.labels.is_some() || !args.template.is_empty() {
        let what = "labels and templates are for pictures of your own: give some, or --data, or leave them out";
        return Err(crate::Usage(what.to_owned()).into());
    }
    if args.top.is_some() {
        let what = "--top is for pictures that are labelled one by one, and of the built-in world's figures are told: leave it \
                    out";
        return Err(crate::Usage(what.to_owned()).into());
    }
    if !learned_world(&args.dir) {
        tell!(
            "note: these are the built-in world's pictures, and nothing says that this model has learned them: give some, or \
             --data"
        );
    }
    let names = ZeroShot::world(with);
    let bar = pictures::counting(0);
    let of = zero_shot::on_world(with, &names, |n, all| {
        bar.set_length(all as u64);
        bar.set_position(n as u64);
    });
    bar.finish_and_clear();
    let mut confusion = of.unseen.confusion.clone();
    of.seen.confusion.iter().for_each(|(&pair, times)| *confusion.entry(pair).or_default() += times);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&of)?)?;
    } else {
        writeln!(out, "one object in the built-in world, named among the 64 combinations of a colour and a shape")?;
        heading(&mut out)?;
        row(&mut out, "never shown in training", &of.unseen)?;
        row(&mut out, "shown in training", &of.seen)?;
        show_mistakes(&mut out, &confusion, names.names())?;
    }
    draw(args, &names, &confusion)
}

fn heading(out: &mut impl std::io::Write) -> Result<()> {
    Ok(writeln!(out, "{:<26}{:>9}{:>9}{:>9}", "", "pictures", "top-1", "top-5")?)
}

fn row(out: &mut impl std::io::Write, what: &str, named: &Named) -> Result<()> {
    let [first, five] = [named.top_1, named.top_5].map(|share| format!("{:.1}%", 100.0 * share));
    Ok(writeln!(out, "{what:<26}{:>9}{first:>9}{five:>9}", named.pictures)?)
}

/// The most frequent mistakes, in words.
fn show_mistakes(out: &mut impl std::io::Write, confusion: &Confusion, names: &[String]) -> Result<()> {
    let mistakes = mistakes(confusion);
    if !mistakes.is_empty() {
        writeln!(out, "most often taken for another:")?;
    }
    for &(truth, said, times) in mistakes.iter().take(MISTAKES) {
        let all = confusion::pictures_of(confusion, truth);
        let [truth, said] = [truth, said].map(|name| on_a_line(&names[name]));
        writeln!(out, "  {truth} for {said}: {times} of {all}")?;
    }
    Ok(())
}
