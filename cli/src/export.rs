//! `pretext export`: a model for others, with narrower numbers and a model card, as a GGUF file, or its tokenizer for tiktoken.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args as ClapArgs, ValueEnum};
use models::export::{self, Dtype, Written};

use crate::Usage;

/// Write a model for others: Hugging Face's files with narrower numbers and a model card, GGUF, or tiktoken's ranks.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  pretext export runs/gpt-nano-1 my-gpt --dtype bf16         a directory for transformers, with a model card
  pretext export runs/gpt-nano-1/best my-gpt                 the weights with the best validation loss
  pretext export runs/gpt-nano-1 my-gpt.gguf --dtype f16     GPT-2 with its tokenizer for llama.cpp
  pretext export runs/gpt-nano-1 my-gpt.tiktoken             ranks, for a tokenizer of GPT-2's kind

tiktoken reads ranks together with a pattern and the special tokens, which are not in the file:
  tiktoken.Encoding(\"my-gpt\", pat_str=PATTERN, special_tokens={\"<|endoftext|>\": 511},
                    mergeable_ranks=tiktoken.load.load_tiktoken_bpe(\"my-gpt.tiktoken\"))
The command prints both; the pattern is GPT-2's.")]
pub struct Args {
    /// A run, a fine-tuned model, or a Hugging Face checkpoint
    dir: PathBuf,
    /// What is written: NAME.gguf, NAME.tiktoken, or a directory
    out: PathBuf,
    /// Type of the numbers, rounded to the nearest: bf16 and f16 take half the room, f32 loses nothing [default: f32]
    #[arg(long, value_enum, value_name = "TYPE", hide_possible_values = true)]
    dtype: Option<DtypeName>,
}

/// Types of numbers.
#[derive(Clone, Copy, ValueEnum)]
enum DtypeName {
    Bf16,
    F16,
    F32,
}

impl From<DtypeName> for Dtype {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::Bf16 => Self::Bf16,
            DtypeName::F16 => Self::F16,
            DtypeName::F32 => Self::F32,
        }
    }
}

pub fn run(args: &Args) -> Result<()> {
    let dtype = args.dtype.map_or(Dtype::F32, Dtype::from);
    let ending = args.out.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    let written = match ending.as_deref().and_then(|ending| ending.to_str()) {
        Some("tiktoken") if args.dtype.is_some() => {
            return Err(Usage("ranks have no numbers to round: leave --dtype out".to_owned()).into());
        }
        Some("tiktoken") => return tiktoken(&args.dir, &args.out),
        Some("gguf") => export::gguf::write(&args.dir, &args.out, dtype)?,
        _ => export::directory(&args.dir, &args.out, dtype)?,
    };
    let Written { parameters, bytes } = written;
    let (parameters, megabytes) = (parameters as f64 / 1e6, bytes as f64 / 1e6);
    let (out, dtype) = (args.out.display(), dtype.name());
    writeln!(std::io::stdout(), "{out}: {parameters:.3}M parameters as {dtype}, {megabytes:.3} MB")?;
    Ok(())
}

/// Writes the ranks and says what else tiktoken wants to know.
fn tiktoken(dir: &Path, out: &Path) -> Result<()> {
    let tokenizer = export::tiktoken(dir, out)?;
    let mut to = std::io::stdout().lock();
    let ranks = tokenizer.vocab_size() - tokenizer.added().len();
    writeln!(to, "{}: {ranks} ranks; tiktoken.Encoding takes them with", out.display())?;
    writeln!(to, "  pat_str=r\"\"\"{}\"\"\"", tokenizer::PATTERN)?;
    let special = |(name, id): &(&str, u32)| format!("{}: {id}", serde_json::Value::from(*name));
    let specials: Vec<String> = tokenizer.specials().iter().map(special).collect();
    writeln!(to, "  special_tokens={{{}}}", specials.join(", "))?;
    Ok(())
}
