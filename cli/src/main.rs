//! The `pretext` program: learns from raw data without labels, and uses what was learned.
//!
//! A file a command, each a thin call into the `models` crate: `train`, `generate`, `fill`, `finetune`, `classify`,
//! `tag`, `answer`, `embed`, `search`, `curve`, `import`, `tokenizer`, `export`, `verify`, `bench`. Exit codes: 0, 1 (it
//! failed), 2 (the words were off) and 130 (stopped by Ctrl-C).

#![forbid(unsafe_code)]
#![deny(clippy::print_stderr, clippy::print_stdout)] // a line that nobody can read any more ends no work

/// A line on standard error, of which nothing depends on its being read: `eprintln!` would end the program, and with it hours
/// of work, when the terminal is closed.
macro_rules! tell {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

mod answer;
mod bench;
mod classify;
mod clip_flags;
mod curve;
mod embed;
mod export;
mod fill;
mod finetune;
mod flags;
mod generate;
mod import;
mod pictures;
mod progress;
mod search;
mod tag;
mod tokenizer;
mod train;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Learns from raw data without labels, and uses what was learned.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 110)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<train::Args>),
    Generate(generate::Args),
    Fill(fill::Args),
    Finetune(finetune::Args),
    Classify(classify::Args),
    Tag(tag::Args),
    Answer(answer::Args),
    Embed(embed::Args),
    Search(search::Args),
    Curve(curve::Args),
    Import(import::Args),
    #[command(subcommand)]
    Tokenizer(tokenizer::Command),
    Export(export::Args),
    Verify(verify::Args),
    #[command(subcommand)]
    Bench(bench::Command),
}

/// The words of the command line were off: exit code 2.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Ctrl-C ended it, and what there was by then is kept: exit code 130, so that what a script would do next is not done.
#[derive(Debug)]
struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

fn main() -> ExitCode {
    let program = Program::parse();
    let result = tensor::simd::supported().map_err(anyhow::Error::msg).and_then(|()| {
        match program.command {
            Command::Train(args) => train::run(&args),
            Command::Generate(args) => generate::run(&args),
            Command::Fill(args) => fill::run(&args),
            Command::Finetune(args) => finetune::run(&args),
            Command::Classify(args) => classify::run(&args),
            Command::Tag(args) => tag::run(&args),
            Command::Answer(args) => answer::run(&args),
            Command::Embed(args) => embed::run(&args),
            Command::Search(args) => search::run(&args),
            Command::Curve(args) => curve::run(&args),
            Command::Import(args) => import::run(&args),
            Command::Tokenizer(command) => tokenizer::run(&command),
            Command::Export(args) => export::run(&args),
            Command::Verify(args) => return verify::run(&args),
            Command::Bench(command) => bench::run(&command),
        }
        .map(|()| ExitCode::SUCCESS)
    });
    result.unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS; // the reader has seen enough
        }
        if error.is::<Stopped>() {
            return ExitCode::from(130);
        }
        tell!("error: {}", sentence(&error));
        let words = error.is::<Usage>() || matches!(error.downcast_ref(), Some(models::Error::Options(_)));
        ExitCode::from(if words { 2 } else { 1 })
    })
}

/// An error and its causes, each said once: many sentences name their cause themselves. Whoever works on a file names it, so
/// what the system says alone is of a line to print.
fn sentence(error: &anyhow::Error) -> String {
    if error.is::<std::io::Error>() && error.chain().len() == 1 {
        return format!("cannot write standard output ({error}): make room there, or send it elsewhere");
    }
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |said, cause| if said.contains(&cause) { said } else { format!("{said}: {cause}") })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let Some(error) = error.downcast_ref::<std::io::Error>() else { return false };
    let closed_terminal = cfg!(unix) && error.raw_os_error() == Some(5); // EIO
    error.kind() == std::io::ErrorKind::BrokenPipe || closed_terminal
}
