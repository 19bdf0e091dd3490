//! Opening: each number of a checkpoint is touched once, on its way from the file to its place.

#![cfg(target_os = "linux")] // which says how much memory a program has had

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use models::gpt::{Gpt, GptConfig};
use models::{Model, hub};
use tests::pretext;
use tokenizer::Tokenizer;

/// A checkpoint of so many blocks, and the bytes of its weights.
fn checkpoint(directory: &Path, layers: usize) -> u64 {
    let (model, params) = Gpt::init(&GptConfig::new(256, 32, layers, 8, 512), 1);
    let tokenizer = Tokenizer::bytes();
    hub::save(directory, &Model::Gpt(model), &params, &tokenizer).unwrap();
    tokenizer.save(directory).unwrap();
    fs::metadata(directory.join("model.safetensors")).unwrap().len()
}

/// The most memory that the program has had by the time of its first tokens, in bytes. It waits for another line meanwhile.
fn peak(directory: &Path) -> u64 {
    let mut program = pretext();
    program.arg("generate").arg(directory).args(["--tokens", "1"]);
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    writeln!(stdin, "Hello").unwrap();
    let mut line = Vec::new();
    BufReader::new(stdout).read_until(b'\n', &mut line).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    drop(stdin);
    assert!(line.starts_with(b"Hello") && child.wait().unwrap().success());
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    1024 * peak.split_whitespace().next().unwrap().parse::<u64>().unwrap()
}

#[test]
fn a_checkpoint_is_opened_in_little_more_memory_than_its_file() {
    let [small, large] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let more = checkpoint(large.path(), 7) - checkpoint(small.path(), 1);
    let takes = peak(large.path()) - peak(small.path());
    assert!(more > 70_000_000 && takes < more * 12 / 10, "{takes} bytes of memory for {more} of weights");
}
