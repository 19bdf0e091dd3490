//! What a trained run is used for: generating, and its files in the hands of others.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use tests::{pretext, run, said};

use super::train;

#[test]
fn a_run_generates_the_same_text_for_the_same_seed() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert!(run(train(&out, &["--steps", "3"])).status.success());
    let dir = out.to_str().unwrap();
    let text = |more: &[&str]| {
        let output = run([&["generate", dir, "On a sunny", "--tokens", "40"], more].concat());
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    };
    let first = text(&[]);
    assert!(first.starts_with(b"On a sunny"));
    assert_eq!(first, text(&["--threads", "1"]));
    assert_ne!(first, text(&["--seed", "5"]));
    assert_eq!(text(&["--greedy"]), text(&["--temperature", "0", "--seed", "5"]));
    tests::fails(["generate", dir, "a", "--greedy", "--seed", "5"], 2, &["--greedy", "--seed"]);
    let same = ["generate", dir, "a", "--samples", "3", "--temperature", "0"];
    tests::fails(same, 2, &["the same text 3 times", "leave --samples out"]);
    let long = "a very long beginning ".repeat(30);
    let output = run(["generate", dir, &long, "--tokens", "3"]);
    assert!(output.status.success() && said(&output).contains("its beginning is cut off"), "{}", said(&output));
}

#[test]
fn without_a_prompt_lines_are_continued() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert!(run(train(&out, &["--steps", "2"])).status.success());
    let mut child = pretext()
        .args(["generate", out.to_str().unwrap(), "--tokens", "5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"One\nTwo\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.starts_with("One") && said.contains("\nTwo"), "{said}");
}

#[test]
fn the_tokenizer_commands_go_there_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("text.txt");
    fs::write(&data, "there and back again, and there again. ".repeat(30)).unwrap();
    let dir = directory.path().to_str().unwrap();
    let trained = run(["tokenizer", "train", "--data", data.to_str().unwrap(), "--vocab-size", "280", "--out", dir]);
    assert!(trained.status.success(), "{}", said(&trained));
    let ids = run(["tokenizer", "encode", dir, "--text", "there again ü"]).stdout;
    let ids = String::from_utf8(ids).unwrap();
    // What is full at once, where the system has it.
    if let Ok(full) = fs::File::options().write(true).open("/dev/full") {
        let full = pretext().args(["tokenizer", "encode", dir, "--text", "there"]).stdout(full).output().unwrap();
        assert_eq!(full.status.code(), Some(1), "{}", said(&full));
        assert!(said(&full).contains("cannot write standard output"), "{}", said(&full));
    }
    let words: Vec<&str> = [&["tokenizer", "decode", dir], &ids.split_whitespace().collect::<Vec<_>>()[..]].concat();
    assert_eq!(run(&words).stdout, "there again ü".as_bytes());
    let shown = said(&run(["tokenizer", "inspect", dir, "--text", "there again"]));
    assert!(shown.contains("\"there\"") && shown.contains("11 bytes in"), "{shown}");
    let (made, data) = (fs::read(directory.path().join("tokenizer.json")).unwrap(), data.to_str().unwrap());
    let again = said(&run(["tokenizer", "train", "--data", data, "--vocab-size", "270", "--out", dir]));
    assert!(again.contains("tokenizer.json: is there already"), "{again}");
    assert_eq!(fs::read(directory.path().join("tokenizer.json")).unwrap(), made);
    let weighted = said(&run(["tokenizer", "train", "--data", &format!("{data}=2"), "--out", "nowhere"]));
    assert!(weighted.contains("takes no weights"), "{weighted}");
}

#[test]
fn a_reader_that_has_gone_ends_the_program_quietly() {
    let mut child = pretext().args(["bench", "matmul"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
}
