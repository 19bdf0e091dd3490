//! `pretext classify`: labels for texts by a fine-tuned model, and for pictures by a CLIP that nobody taught them.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use models::transfer::clip::Encoders;
use models::transfer::clip::encode::Layer;
use models::transfer::clip::gallery::Gallery;
use models::transfer::clip::zero_shot::{self, Named, ZeroShot, best, mistakes};
use models::transfer::finetune::classify::Classifier;
use models::transfer::pretrained;
use serde_json::json;

use crate::flags::{Texts, Threads};
use crate::pictures;

/// Label texts with a model that `finetune … classify` made, or pictures with a CLIP, by nothing but the labels' names.
///
/// Texts without a word of them: line by line from --in or standard input. Pictures likewise, from --in; without any, the
/// built-in world's are named, of which some show a shape in a colour that training never did.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext classify runs/classify-1 \"Mia takes the ball and slowly sets it on the left.\"
  pretext classify runs/classify-1 --in lines.txt --top 3 --json
  pretext classify runs/clip-nano-1                                the built-in world's pictures
  pretext classify runs/clip-mini-1 cat.png --labels animals.txt --template \"a picture of a {}\" \"a drawing of a {}\"")]
pub struct Args {
    /// A model that `finetune` made, or a CLIP
    dir: PathBuf,
    #[command(flatten)]
    texts: Texts,
    /// How many labels for each [default: 1 for texts, 5 for pictures]
    #[arg(long, value_name = "K")]
    top: Option<usize>,
    /// A file with the labels to choose among, one a line
    #[arg(long, value_name = "FILE", help_heading = "Pictures")]
    labels: Option<PathBuf>,
    /// What is said of a picture with each label, {} being the label; of several, the mean counts [default: {}]
    #[arg(long, num_args = 1.., value_name = "TEMPLATE", help_heading = "Pictures")]
    template: Vec<String>,
    /// Print one JSON line a text or a picture
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: Threads,
}

/// Texts that are read and labelled at once.
const AT_ONCE: usize = 256;
/// Mistakes that are told, the most frequent first.
const MISTAKES: usize = 5;

pub fn run(args: &Args) -> Result<()> {
    args.threads.set();
    if pictures::is_clip(&args.dir)? {
        let with = Encoders::open(&args.dir)?;
        return match args.texts.given()? {
            Some(words) => label(args, &with, Gallery::Files(pictures::paths(words))),
            None => world(args, &with),
        };
    }
    pictures::refuse(&args.dir, &[("--labels", args.labels.is_some()), ("--template", !args.template.is_empty())])?;
    let (classifier, tokenizer, labels) = Classifier::open(&args.dir)?;
    args.texts.each(AT_ONCE, |texts| {
        let ids: Vec<_> = texts.iter().map(|t| pretrained::ids(&tokenizer, classifier.block_size(), t)).collect();
        let cut = ids.iter().filter(|ids| ids.cut).count();
        if cut > 0 {
            eprintln!("note: {cut} texts are longer than the {} tokens that the model sees", classifier.block_size());
        }
        let ids: Vec<&[u32]> = ids.iter().map(|ids| &ids.ids[..]).collect();
        let probabilities = classifier.probabilities(&classifier.tuned.params, &ids);
        texts.iter().zip(probabilities).try_for_each(|(text, p)| show(args, ("text", text), &labels, &p))
    })
}

/// The likeliest labels of a text or a picture with their probabilities, the likeliest first.
fn show(args: &Args, (kind, what): (&str, &str), labels: &[String], p: &[f32]) -> Result<()> {
    let top = args.top.unwrap_or(if kind == "text" { 1 } else { 5 });
    let order = best(p, top.max(1));
    let mut out = std::io::stdout().lock();
    if args.json {
        let best: Vec<_> = order.iter().map(|&i| json!({"label": labels[i], "probability": p[i]})).collect();
        writeln!(out, "{}", json!({kind: what, "labels": best}))?;
        return Ok(());
    }
    let best: Vec<_> = order.iter().map(|&i| format!("{} {:.1}%", labels[i], 100.0 * p[i])).collect();
    writeln!(out, "{}\t{what}", best.join(", "))?;
    Ok(())
}

/// The names to choose among.
fn names(args: &Args, with: &Encoders) -> Result<ZeroShot> {
    let Some(file) = &args.labels else {
        return Ok(ZeroShot::world(with));
    };
    let templates = match &args.template[..] {
        [] => zero_shot::TEMPLATES.iter().map(|&template| template.to_owned()).collect(),
        given => given.to_vec(),
    };
    Ok(ZeroShot::new(with, zero_shot::read_names(file)?, &templates)?)
}

/// Labels pictures one by one.
fn label(args: &Args, with: &Encoders, gallery: Gallery) -> Result<()> {
    if args.labels.is_none() {
        eprintln!("note: without --labels, the names are the 64 of the built-in world");
    }
    let names = names(args, with)?;
    let bar = pictures::counting(gallery.len(), "pictures");
    let seen = with.pictures(Layer::Space, gallery.len(), |i| gallery.picture(i), |n| bar.set_position(n as u64));
    bar.finish_and_clear();
    let probabilities = names.probabilities(&seen.vectors);
    for (&number, p) in seen.numbers.iter().zip(probabilities.data().chunks_exact(names.names().len())) {
        show(args, ("image", &gallery.name(number)), names.names(), p)?;
    }
    pictures::all_read(&seen.faults, gallery.len())
}

/// Names the built-in world's pictures, and says how well.
fn world(args: &Args, with: &Encoders) -> Result<()> {
    let names = names(args, with)?;
    let bar = pictures::counting(0, "pictures");
    let of = zero_shot::on_world(with, &names, |n, all| {
        bar.set_length(all as u64);
        bar.set_position(n as u64);
    });
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&of)?)?;
        return Ok(());
    }
    writeln!(out, "one object in the built-in world, named among the 64 combinations of a colour and a shape")?;
    writeln!(out, "{:<26}{:>9}{:>9}{:>9}", "combinations", "pictures", "top-1", "top-5")?;
    for (what, named) in [("never shown in training", &of.unseen), ("shown in training", &of.seen)] {
        row(&mut out, what, named)?;
    }
    let confusion = of.unseen.confusion.iter().zip(&of.seen.confusion);
    let confusion: Vec<Vec<usize>> = confusion.map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect();
    tell_mistakes(&mut out, &confusion, names.names())
}

fn row(out: &mut impl std::io::Write, what: &str, named: &Named) -> Result<()> {
    let [first, five] = [named.top_1, named.top_5].map(|share| format!("{:.1}%", 100.0 * share));
    Ok(writeln!(out, "{what:<26}{:>9}{first:>9}{five:>9}", named.pictures)?)
}

/// The most frequent mistakes, in words.
fn tell_mistakes(out: &mut impl std::io::Write, confusion: &[Vec<usize>], names: &[String]) -> Result<()> {
    let mistakes = mistakes(confusion);
    if !mistakes.is_empty() {
        writeln!(out, "most often taken for another:")?;
    }
    for &(truth, said, times) in mistakes.iter().take(MISTAKES) {
        let all: usize = confusion[truth].iter().sum();
        writeln!(out, "  {} for {}: {times} of {all}", names[truth], names[said])?;
    }
    Ok(())
}
