//! `pretext train`: pre-train a model on raw data.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use autograd::Profile;
use clap::ValueEnum;
use models::files::quoted;
use models::pretext::texts::line_end;
use models::pretext::{Objective, Unit};
use models::train::options::{ModelName, NormName, ObjectiveName, OptimizerName, Options, PrecisionName, ScheduleName};
use models::train::representation::Representation;
use models::train::run::{Outcome, Run, train};
use models::transfer::generate::{Generator, Sampling};
use serde::Serialize;

use crate::Stopped;
use crate::clip_flags::ClipFlags;
use crate::flags::{self, Placed, Threads, named};
use crate::progress::Progress;

const EXAMPLES: &str = "\
Examples:
  pretext train                                              GPT on the built-in world, a few minutes
  pretext train bert                                         BERT on it
  pretext train clip                                         CLIP on its pictures and captions
  pretext train clip --data photos/ --preset mini --minutes 20    your own: tables, folders or tar shards
  pretext train --data book.txt --preset mini --minutes 60   your own text
  pretext train --data wiki=2 books=1 --val-data valid.txt   several sources with weights
  pretext train bert --objective simcse --from runs/bert-nano-1   a new run that goes on from a BERT, so that like sentences
                                                             lie together
  pretext train --resume runs/gpt-nano-1                     go on after an interruption";

/// Examples, and every model's presets.
fn after_help() -> String {
    let mut text =
        format!("{EXAMPLES}\n\nPresets (the first is the default; --config wins over them, and flags over both):");
    for model in [ModelName::Gpt, ModelName::Bert, ModelName::Clip] {
        for (i, preset) in model.presets().iter().enumerate() {
            let title = if i == 0 { model.title() } else { "" };
            text += &format!("\n  {title:<5} {:<10} {}", preset.name, preset.about);
        }
    }
    text
}

/// Pre-train a model on raw data: on text files, or without any on the built-in world of small stories.
#[derive(clap::Args)]
#[command(args_override_self = true)]
#[command(after_help = after_help())]
pub struct Args {
    /// Which model to train [default: gpt]
    #[arg(value_enum)]
    model: Option<Model>,
    /// Directory of the run [default: a new one under runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with a run that was interrupted
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "config"])]
    resume: Option<PathBuf>,
    /// A file of options, like the train.toml of a run; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
    /// Print at the end where the time went, by operation, and which share of the machine's peak each reached
    #[arg(long)]
    profile: bool,
    /// Print the outcome as one JSON line on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Flags,
}

/// What can be trained.
#[derive(Clone, Copy, ValueEnum)]
enum Model {
    /// Next-token prediction: each token from those before it
    Gpt,
    /// Masked prediction: hidden tokens from all others
    Bert,
    /// Contrastive prediction: which caption belongs to which picture
    Clip,
}

/// The options of train.toml as flags; those not given are left to the file and the preset.
#[derive(clap::Args, Serialize)]
struct Flags {
    /// Sizes and recipe: see below
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Begin with the model and the tokenizer of another run, or of a Hugging Face checkpoint, which stays as it is
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// BERT: what it learns from, masked (hidden tokens) or simcse (the two views that dropout makes of a sentence, for a
    /// model that --from names); CLIP: clip (which caption of the batch) or siglip (each pair by itself) [default: masked;
    /// clip]
    #[arg(long, value_name = "NAME", value_parser = named::<ObjectiveName>)]
    objective: Option<ObjectiveName>,
    /// Text files and folders, each with an optional weight; for CLIP, without weights, tables of pictures with captions,
    /// folders with a text file for each picture, tar shards [default: the built-in world]
    #[arg(long, num_args = 1.., value_name = "PATH[=WEIGHT]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data: Vec<String>,
    /// Text files and folders, or pictures, to validate on [default: the last part of each of --data; of pictures, some that
    /// their names draw]
    #[arg(long, num_args = 1.., value_name = "PATH")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    val_data: Vec<String>,
    /// The share of --data held out for validation [default: 0.1]
    #[arg(long, value_name = "SHARE")]
    val_share: Option<f64>,
    /// A tokenizer.json to use [default: one trained on the data]
    #[arg(long, value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// Tokens of the vocabulary; 256 means bytes, which a GPT can learn from
    #[arg(long, value_name = "N", conflicts_with = "tokenizer")]
    vocab_size: Option<usize>,
    /// Steps to train
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    steps: Option<u64>,
    /// A budget instead of --steps: the first steps are timed and the number of steps set
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Batch size: rows of a step
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Rows computed at once, to save memory; the result is the whole batch's [default: the preset's, or the
    /// batch]
    #[arg(long, value_name = "N")]
    micro_batch: Option<usize>,
    /// Positions that the model sees
    #[arg(long, value_name = "N")]
    block_size: Option<usize>,
    /// Transformer blocks
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
    /// Attention heads; they divide the width
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Width of the model
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// BERT: where the norms stand, pre (before the layers) or post (after the sums, as published) [default: the
    /// preset's, or pre]
    #[arg(long, value_name = "PLACE", value_parser = named::<NormName>)]
    norm: Option<NormName>,
    /// BERT: share of the tokens that training hides [default: 0.15; of the presets nano 0.3, mini 0.2]
    #[arg(long, value_name = "SHARE")]
    mask_share: Option<f64>,
    /// BERT: what is hidden together: token, word or span [default: token]
    #[arg(long, value_name = "UNIT", value_parser = named::<Unit>)]
    mask_unit: Option<Unit>,
    /// simcse: the temperature τ, by which cosines are divided; a smaller one is sharper [default: 0.05]
    #[arg(long, value_name = "TAU")]
    temperature: Option<f64>,
    /// simcse: the weight β of hard negatives, the nearest other sentences of a batch; 0 means all alike [default: 5]
    #[arg(long, value_name = "BETA")]
    hardness: Option<f64>,
    /// Share that dropout drops [default: the preset's, or 0]
    #[arg(long, value_name = "SHARE")]
    dropout: Option<f64>,
    /// Standard deviation of the initial weights [default: the preset's, or 0.02]
    #[arg(long, value_name = "SIGMA")]
    initializer_range: Option<f64>,
    /// How weights follow gradients: adamw, or muon for the blocks' matrices with adamw for the rest [default: the
    /// preset's, or adamw]
    #[arg(long, value_name = "NAME", value_parser = named::<OptimizerName>)]
    optimizer: Option<OptimizerName>,
    /// Full learning rate; AdamW's, where Muon is beside it
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Muon's full learning rate, which rises and falls in step with --lr [default: the preset's, or 0.02]
    #[arg(long, value_name = "RATE")]
    muon_lr: Option<f64>,
    /// Muon's momentum μ; a smaller one suits runs of a few hundred steps [default: the preset's, or 0.95]
    #[arg(long, value_name = "MU")]
    muon_momentum: Option<f64>,
    /// Learning rate at the end [default: the preset's, or a tenth of --lr]
    #[arg(long, value_name = "RATE")]
    min_lr: Option<f64>,
    /// Steps of warm-up [default: the preset's, or none; a tenth of the run at most]
    #[arg(long, value_name = "N")]
    warmup: Option<u64>,
    /// After warm-up: constant, cosine or warmup-stable-decay [default: the preset's, or cosine]
    #[arg(long, value_name = "NAME", value_parser = named::<ScheduleName>)]
    schedule: Option<ScheduleName>,
    /// The share of the run over which warmup-stable-decay falls, in a straight line [default: the preset's, or 0.2]
    #[arg(long, value_name = "SHARE")]
    decay_share: Option<f64>,
    /// AdamW's β₂, the decay of its mean of squared gradients
    #[arg(long, value_name = "BETA")]
    beta2: Option<f64>,
    /// Weight decay λ, of matrices alone [default: the preset's, or 0.1]
    #[arg(long, value_name = "RATE")]
    weight_decay: Option<f64>,
    /// Clip the gradient's norm to this; 0 means no limit [default: 1]
    #[arg(long, value_name = "NORM")]
    grad_clip: Option<f64>,
    /// What matrix products do with their operands: nothing (f32), or round them to bf16 [default: as
    /// the preset has it, and train.toml then says]
    #[arg(long, value_name = "NAME", value_parser = named::<PrecisionName>)]
    precision: Option<PrecisionName>,
    /// Keep less of the blocks' values and compute them again for the gradient: for long contexts
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recompute: bool,
    /// Random seed: what makes one run different from another with the same options [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// Steps between evaluations [default: the preset's, or a tenth of the run]
    #[arg(long, value_name = "N")]
    eval_every: Option<u64>,
    /// Validation tokens of an evaluation on the way; the last one reads them all, or all whole batches where texts or
    /// pictures are told apart [default: 20000]
    #[arg(long, value_name = "N")]
    eval_tokens: Option<usize>,
    /// Steps between checkpoints, which are ten minutes apart at most [default: as --eval-every]
    #[arg(long, value_name = "N")]
    save_every: Option<u64>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "ClipFlags::nothing")]
    clip: ClipFlags,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    args.threads.set();
    flags::check_names("train.toml", [&args.options.from, &args.options.tokenizer])?;
    let mut flags = toml::Table::try_from(&args.options).context(
        "a number is larger than 9223372036854775807, the largest that train.toml holds: give a smaller one",
    )?;
    if let Some(model) = args.model {
        let name = match model {
            Model::Gpt => "gpt",
            Model::Bert => "bert",
            Model::Clip => "clip",
        };
        flags.insert("model".into(), name.into());
    }
    Options::absolute(&mut flags);
    let stop = Arc::new(AtomicBool::new(false));
    let mut progress = Progress::new(Arc::clone(&stop), args.json);
    let mut run = match &args.resume {
        Some(directory) => Run::resume(directory, &flags, &mut progress)?,
        None => {
            let mut file = args.config.as_deref().map(Options::read_table).transpose()?.unwrap_or_default();
            Options::absolute(&mut file);
            // For the words of its error alone.
            Options::resolve(&file, &flags).map_err(|error| match &args.config {
                // The file's own mistake, if it is one without the flags too.
                Some(path) if Options::resolve(&file, &toml::Table::new()).is_err() => {
                    models::Error::Options(format!("{}: {error}", path.display()))
                }
                _ => error,
            })?;
            Run::create(args.out.as_deref(), &file, &flags, &mut progress)?
        }
    };
    run.profile = args.profile.then(Profile::default);
    flags::on_ctrl_c(&stop)?; // asked twice it ends at once; the last checkpoint is complete
    let outcome = train(&mut run, &mut progress)?;
    progress.end();
    if let Some(profile) = &run.profile {
        crate::progress::print_profile(profile, run.setup.options.precision.into());
    }
    // Whether somebody still listens says nothing of how it ended.
    let told = report(&run, &outcome, args.json);
    if outcome.finished { told } else { Err(Stopped.into()) }
}

/// What a user wants to know at the end: how good, an example, and how to go on.
fn report(run: &Run, outcome: &Outcome, json: bool) -> anyhow::Result<()> {
    let directory = run.directory.display();
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&Placed::at(&run.directory, outcome))?)?;
        return Ok(());
    }
    if !outcome.finished {
        let quoted = quoted(&run.directory.to_string_lossy());
        writeln!(out, "\nstopped after step {}; go on with\n  pretext train --resume {quoted}", outcome.step)?;
        return Ok(());
    }
    if let Some(loss) = outcome.val_loss {
        let bits = outcome.bits_per_byte.map_or(String::new(), |bits| format!("{bits:.4} bits a byte, "));
        let (found, item) = match run.setup.objective() {
            Objective::NextToken => ("", "token"),
            Objective::Masked(_) => ("of them guessed", "hidden token"),
            Objective::Contrastive(_) => ("of them found in their batch", "text"),
            Objective::ImageText => ("of captions found in their batch", "pair"),
        };
        let right = outcome.val_accuracy.map_or(String::new(), |a| format!("{:.1}% {found}, ", 100.0 * a));
        let after = format!("{bits}{right}after");
        writeln!(out, "\nvalidation loss {loss:.4} nats a {item}, {after} {:.0} s", outcome.seconds)?;
        if let Some(floor) = run.setup.corpus.floor() {
            writeln!(out, "{:.1}% above the entropy of the data, {floor:.4}", 100.0 * (loss / floor - 1.0))?;
        }
        if let Some((best, step)) = outcome.best.filter(|&(_, step)| step < outcome.step) {
            let now =
                outcome.val_loss_as_before.map_or(String::new(), |now| format!(" (over the same rows now {now:.4})"));
            let what = format!("{best:.4} after step {step}{now}, is kept in {directory}/best");
            writeln!(out, "the best of the evaluations on the way, {what}")?;
        }
    }
    vectors(&mut out, &outcome.representation, run.setup.model.width())?;
    let models::train::Setup { model, params, tokenizer, .. } = &run.setup;
    let models::Model::Gpt(model) = model else {
        writeln!(out, "the run is in {directory}")?;
        return Ok(());
    };
    let start = tokenizer.end_of_text().unwrap_or_else(|| line_end(tokenizer));
    let sampling = Sampling { vocab: tokenizer.vocab_size(), ..Sampling::default() };
    let ids = Generator::new(model, params, &[], start, sampling, 0);
    let ids: Vec<u32> = ids.take(120).take_while(|&id| Some(id) != tokenizer.end_of_text()).collect();
    let text = tokenizer.decode(&ids)?;
    writeln!(out, "\na sample:\n{}\n", String::from_utf8_lossy(&text).trim_end())?;
    let word = quoted(&directory.to_string());
    writeln!(out, "the run is in {directory}; generate more with\n  pretext generate {word}")?;
    Ok(())
}

/// What the vectors of texts look like, as far as it was measured.
fn vectors(out: &mut impl Write, of: &Representation, width: usize) -> std::io::Result<()> {
    let (Some(rank), Some(uniformity)) = (of.effective_rank, of.uniformity) else { return Ok(()) };
    let alignment = of.alignment.map_or(String::new(), |alignment| format!("alignment {alignment:.3}, "));
    writeln!(out, "vectors use {rank:.1} of {width} dimensions; {alignment}uniformity {uniformity:.2}")
}
