//! `pretext bench`: how fast, as one JSON line a measurement.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use autograd::{AdamW, AdamWOptions, Gradients, IGNORE};
use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, ValueEnum};
use models::bert::BertConfig;
use models::bert::config::Form;
use models::clip::{ClipConfig, TextConfig, VisionConfig};
use models::gpt::{Gpt, GptConfig};
use models::pretext::Batch;
use models::train::options::PrecisionName;
use models::train::step::{Compute, loss_and_gradients};
use models::transfer::generate::{Generator, Sampling};
use models::{Config, Model};
use serde_json::json;
use tensor::matmul::{Mat, matmul};
use tensor::parallel;
use tensor::random::{Random, Stream};
use tokenizer::Tokenizer;

use crate::flags::{Threads, named};
use crate::tokenizer::vocab_size;

/// Measure speed; one JSON line a measurement.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  pretext bench step gpt-char --steps 20
  pretext bench matmul
  pretext bench generate
  pretext bench tokenizer book.txt --vocab 8192")]
pub enum Command {
    /// Training steps on random tokens: forward, backward, clipping at 1 and AdamW
    Step {
        /// Sizes of the model and the batch
        workload: Workload,
        /// Steps to time, after three to warm up
        #[arg(long, default_value_t = 10, value_name = "K")]
        #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
        steps: usize,
        #[command(flatten)]
        common: Common,
    },
    /// The matrix product against the machine's peak
    Matmul {
        #[command(flatten)]
        common: Common,
    },
    /// Greedy decoding of GPT-2 124M with random weights, after a prompt of 16 tokens
    Generate {
        /// Tokens to generate
        #[arg(long, default_value_t = 128, value_name = "N")]
        // With the prompt no more than the context.
        #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1008))]
        new: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Training and encoding on a text file
    Tokenizer {
        /// The text
        file: PathBuf,
        /// Tokens of the vocabulary
        #[arg(long, default_value_t = 32768, value_name = "V", value_parser = vocab_size())]
        vocab: usize,
        #[command(flatten)]
        threads: Threads,
    },
}

/// What measurements of products can be told.
#[derive(Args)]
pub struct Common {
    /// What matrix products do with their operands: nothing (f32), or round them to bf16
    #[arg(long, value_name = "NAME", value_parser = named::<PrecisionName>, default_value = "f32")]
    precision: PrecisionName,
    #[command(flatten)]
    threads: Threads,
}

/// The workloads that the comparison with other frameworks uses.
#[derive(Clone, Copy, ValueEnum)]
pub enum Workload {
    /// 4 layers, 4 heads, width 128, 12 rows of 64, 65 tokens
    #[value(name = "gpt-char")]
    GptChar,
    /// 6 layers, 6 heads, width 384, 8 rows of 256, 4,096 tokens
    #[value(name = "gpt-mini")]
    GptMini,
    /// GPT-2 124M, 4 rows of 256
    #[value(name = "gpt2-124m")]
    Gpt2,
    /// 4 layers, 4 heads, width 256, 16 rows of 128 with 15% hidden, 8,192 tokens
    #[value(name = "bert-mini")]
    BertMini,
    /// BERT's smaller size, 8 rows of 128 with 15% hidden
    #[value(name = "bert-base")]
    BertBase,
    /// 64 pairs: 64 x 64 pixels in patches of 8 and 32 of 8,192 tokens, 4 layers, 4 heads, width 256 on either side
    #[value(name = "clip-mini")]
    ClipMini,
    /// CLIP's ViT-B/32, 16 pairs of 224 x 224 pixels and 77 tokens
    #[value(name = "clip-vit-b32")]
    ClipVitB32,
}

/// The share of tokens that BERT's workloads hide.
const HIDDEN: f64 = 0.15;

impl Workload {
    /// Sizes, and rows of a batch.
    fn config(self) -> (Config, usize) {
        let bert = |v, l, h, c| Config::Bert(BertConfig::new(Form::PostNorm, v, 128, l, h, c));
        match self {
            Self::GptChar => (Config::Gpt(GptConfig::new(65, 64, 4, 4, 128)), 12),
            Self::GptMini => (Config::Gpt(GptConfig::new(4096, 256, 6, 6, 384)), 8),
            Self::Gpt2 => (Config::Gpt(GptConfig::new(50257, 256, 12, 12, 768)), 4),
            Self::BertMini => (bert(8192, 4, 4, 256), 16),
            Self::BertBase => (bert(30522, 12, 12, 768), 8),
            Self::ClipMini => (Config::Clip(clip_mini()), 64),
            Self::ClipVitB32 => (Config::Clip(ClipConfig::default()), 16),
        }
    }
}

fn clip_mini() -> ClipConfig {
    let (width, layers, heads) = (256, 4, 4);
    let (hidden_size, intermediate_size) = (width, 4 * width);
    let (num_hidden_layers, num_attention_heads) = (layers, heads);
    let text = TextConfig {
        vocab_size: 8192,
        max_position_embeddings: 32,
        eos_token_id: 8191,
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads,
        ..TextConfig::default()
    };
    let vision = VisionConfig {
        image_size: 64,
        patch_size: 8,
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads,
        ..VisionConfig::default()
    };
    ClipConfig { text_config: text, vision_config: vision, projection_dim: width, ..ClipConfig::default() }
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Step { workload, steps, common } => step(*workload, *steps, common),
        Command::Matmul { common } => products(common),
        Command::Generate { new, common } => generate(*new, common),
        Command::Tokenizer { file, vocab, threads } => encode(file, *vocab, threads),
    }
}

/// One line on standard output.
fn say(line: &serde_json::Value) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn name<E: ValueEnum>(value: E) -> String {
    value.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned())
}

fn random_ids(random: &mut Random, count: usize, vocab: usize) -> Vec<u32> {
    (0..count).map(|_| random.below(vocab as u64) as u32).collect()
}

fn step(workload: Workload, steps: usize, common: &Common) -> Result<()> {
    common.threads.set();
    let (config, rows) = workload.config();
    let (model, mut params) = config.init(0);
    let (mut gradients, mut optimizer) = (Gradients::new(&params), AdamW::new(&params, AdamWOptions::default()));
    let how = Compute { micro_batch: rows, precision: common.precision.into(), recompute: false, profile: None };
    let mut times = Vec::new();
    let mut loss = 0.0;
    for step in 0..steps + 3 {
        let mut random = Random::new(0, Stream::Other, step as u64);
        let batch = random_batch(&model, &mut random, rows);
        let start = Instant::now();
        loss = loss_and_gradients(&model, &params, &mut gradients, &batch, how, 0, step as u64);
        optimizer.step(&mut params, &gradients, 1e-4);
        if step >= 3 {
            times.push(start.elapsed().as_secs_f64());
        }
    }
    let second = median(times);
    // Pairs of pictures and texts, or tokens.
    let items = if matches!(model, Model::Clip(_)) { rows } else { rows * model.block_size() } as f64;
    let flops = config.flops_per_item(model.block_size(), [HIDDEN; 2]);
    let peak = tensor::peak::measure(Duration::from_millis(200), common.precision.into());
    let line = json!({
        "workload": name(workload), "precision": common.precision, "threads": parallel::threads(),
        "step_s": second, "items_per_s": items / second, "parameters": params.count(),
        "peak_rss_mb": peak_rss_mb(), "loss": loss,
        "share_of_peak": flops * items / second / peak,
    });
    say(&line)?;
    Ok(())
}

/// Rows of random tokens: for GPT with the next as targets, for BERT with some as their own, for CLIP with random pixels.
fn random_batch(model: &Model, random: &mut Random, rows: usize) -> Batch {
    let (block, vocab) = (model.block_size(), model.vocab_size());
    let mut batch = Batch::new();
    match model {
        Model::Gpt(_) => (0..rows).for_each(|_| batch.push(&random_ids(random, block + 1, vocab), block)),
        Model::Bert(_) => {
            let n = rows * block;
            (batch.ids, batch.targets, batch.rows) = (random_ids(random, n, vocab), vec![IGNORE; n], rows);
            for _ in 0..(HIDDEN * n as f64).round() as usize {
                let free: Vec<usize> = (0..n).filter(|&at| batch.targets[at] == IGNORE).collect();
                let at = free[random.below(free.len() as u64) as usize];
                batch.targets[at] = batch.ids[at];
            }
        }
        Model::Clip(clip) => {
            let (text, side) = (&clip.config.text_config, clip.config.vision_config.image_size);
            (batch.ids, batch.rows) = (random_ids(random, rows * block, vocab - 1), rows);
            batch.ids.iter_mut().skip(block - 1).step_by(block).for_each(|last| *last = text.eos_token_id);
            batch.pixels = (0..rows * 3 * side * side).map(|_| random.normal() as f32).collect();
            batch.pictures = (0..rows as u64).collect();
        }
    }
    batch
}

fn products(common: &Common) -> Result<()> {
    common.threads.set();
    for (m, k, n) in [(1024, 768, 3072), (2048, 2048, 2048), (768, 128, 512), (64, 64, 64)] {
        let mut random = Random::new(0, Stream::Other, 0);
        let mut numbers = |count: usize| (0..count).map(|_| random.normal() as f32).collect::<Vec<_>>();
        let (a, b, mut c) = (numbers(m * k), numbers(k * n), vec![0.0f32; m * n]);
        let mut times = Vec::new();
        let begin = Instant::now();
        while times.len() < 5 || begin.elapsed() < Duration::from_millis(500) {
            let start = Instant::now();
            let (a, b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
            parallel::inside(|| matmul(&mut c, a, b, common.precision.into()));
            times.push(start.elapsed().as_secs_f64());
        }
        let rate = 2.0 * (m * k * n) as f64 / median(times);
        let peak = tensor::peak::measure(Duration::from_millis(200), common.precision.into());
        let line = json!({
            "work": "matmul", "m": m, "k": k, "n": n, "precision": common.precision,
            "threads": parallel::threads(), "gflop_per_s": rate / 1e9, "peak_gflop_per_s": peak / 1e9,
            "share_of_peak": rate / peak,
        });
        say(&line)?;
    }
    Ok(())
}

fn generate(new: usize, common: &Common) -> Result<()> {
    common.threads.set();
    let config = GptConfig::new(50257, 1024, 12, 12, 768);
    let (model, mut params) = Gpt::init(&config, 0);
    if common.precision == PrecisionName::Bf16 {
        Gpt::halve(&mut params);
    }
    let prompt = random_ids(&mut Random::new(0, Stream::Other, 0), 16, config.vocab_size);
    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    let decode = |count| Generator::new(&model, &params, &prompt, 0, greedy, 0).take(count).for_each(drop);
    decode(8);
    let seconds = median(
        (0..3)
            .map(|_| {
                let start = Instant::now();
                decode(new);
                start.elapsed().as_secs_f64()
            })
            .collect(),
    );
    let rate = new as f64 / seconds;
    // Every token reads all weights once but the table of positions.
    let bytes = if params.halved() { 2.0 } else { 4.0 };
    let read = bytes * (params.count() - config.n_positions * config.n_embd) as f64;
    let bandwidth = tensor::peak::read_bandwidth(Duration::from_millis(300));
    let line = json!({
        "work": "generate", "precision": common.precision, "threads": parallel::threads(),
        "tokens_per_s": rate, "gb_per_s": rate * read / 1e9,
        "read_gb_per_s": bandwidth / 1e9, "share_of_bandwidth": rate * read / bandwidth,
    });
    say(&line)?;
    Ok(())
}

fn encode(file: &std::path::Path, vocab: usize, threads: &Threads) -> Result<()> {
    threads.set();
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let megabytes = text.len() as f64 / 1e6;
    let report = |work: &str, threads: usize, start: Instant, count: usize| {
        let seconds = start.elapsed().as_secs_f64();
        let rate = megabytes / seconds;
        say(&json!({"work": work, "threads": threads, "mb_per_s": rate, "seconds": seconds, "tokens": count}))
    };
    let threads = parallel::threads();
    let start = Instant::now();
    let tokenizer = Tokenizer::train(&[&text], vocab)?;
    report("train", threads, start, tokenizer.vocab_size())?;
    // One run with one thread, and, where there are more, one with all.
    for threads in if threads == 1 { vec![1] } else { vec![1, threads] } {
        let start = Instant::now();
        let count = parallel::with_threads(threads, || models::data::text::count_tokens(&text, &tokenizer));
        report("encode", threads, start, count)?;
    }
    Ok(())
}

fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x[x.len() / 2]
}

/// The most memory that this process ever held, where the system tells (Linux).
fn peak_rss_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? / 1024)
}
