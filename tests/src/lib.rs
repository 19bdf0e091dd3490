//! What the tests share: the program as a user runs it.
//!
//! The tests themselves stand in `tests/tests`: `gradients` (property tests of every operation), `agreement` (against
//! recorded answers of others), `score` (against scores that others count), `readers` (damaged files, of which the fuzzers in
//! `tests/fuzz` make more), `program` (the program end to end: crashes, threads, bad input).

pub mod readers;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The `pretext` program, built from the same sources; building it takes no time when it is up to date.
pub fn pretext() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        // What cargo tells the tests of their own package would make it build anew what looks at such variables.
        let of_tests = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        for (name, _) in std::env::vars().filter(|(name, _)| of_tests.iter().any(|part| name.starts_with(part))) {
            cargo.env_remove(name);
        }
        let built = cargo
            .args(["build", "--quiet", "--package", "cli", "--message-format", "json"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        // Cargo's messages say where the program is, whatever the target directory.
        let messages = String::from_utf8_lossy(&built.stdout).into_owned();
        let executable = |line: &str| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(PathBuf::from(message["executable"].as_str()?))
        };
        messages.lines().filter_map(executable).next_back().expect("cargo names the program that it built")
    });
    let mut command = Command::new(program);
    command.env("PRETEXT_CACHE", cache());
    command
}

/// A cache of their own for the tests' tokenised texts.
fn cache() -> &'static Path {
    static CACHE: OnceLock<tempfile::TempDir> = OnceLock::new();
    CACHE.get_or_init(|| tempfile::tempdir().expect("a temporary directory")).path()
}

/// Runs the program with these words.
pub fn run<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Output {
    pretext().args(words).output().expect("the program runs")
}

/// What a finished program said, for a failure message.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Whether the program is content with these words, and what it says.
pub fn words<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> (bool, String) {
    let output = run(words);
    (output.status.success(), said(&output))
}

/// Runs the program, which has to end with this code and to say all of these; returns what it said.
#[track_caller]
pub fn ends<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>, code: i32, says: &[&str]) -> String {
    let output = run(words);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    says.iter().for_each(|word| assert!(said.contains(word), "no {word:?} in: {said}"));
    said
}

/// The same where all is well.
#[track_caller]
pub fn succeeds<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>, says: &[&str]) -> String {
    ends(words, 0, says)
}

/// The same where it is not.
#[track_caller]
pub fn fails<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>, code: i32, says: &[&str]) {
    assert_ne!(code, 0);
    ends(words, code, says);
}

/// Writes a file of this name into a directory; its path, as a word.
pub fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("a temporary directory can be written into");
    path.to_str().expect("temporary directories have plain names").to_owned()
}
