//! What pre-training is for, end to end: a model learns tasks from labelled files, and is used.

use std::fs;
use std::path::{Path, PathBuf};

use tests::{run, said};

use super::train;

/// A small BERT in a directory of its own, hardly trained.
fn bert(directory: &Path) -> PathBuf {
    let out = directory.join("bert");
    let output = run(train(&out, &["bert", "--steps", "2"]));
    assert!(output.status.success(), "{}", said(&output));
    out
}

fn file(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What the program says when it is given these words, and whether it was content.
fn words(words: &[&str]) -> (bool, String) {
    let output = run(words);
    (output.status.success(), said(&output))
}

#[test]
fn a_classifier_learns_is_kept_and_labels_texts() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let out = out.to_str().unwrap();
    let data = file(here, "train.tsv", &"good\tvery nice indeed\nbad\tawful, just awful\n".repeat(8));
    let test = file(here, "test.csv", "text,label\nvery nice,good\nawful,bad\nnobody knows,other\n");
    let learn = ["finetune", model, "classify", "--data", &data, "--test-data", &test, "--out", out, "--lr", "1e-2"];
    let (content, text) = words(&learn);
    assert!(content && text.contains("test accuracy 66.7%"), "{text}");
    assert!(text.contains("1 test examples have labels that training never saw (first \"other\")"), "{text}");
    let (content, text) = words(&["classify", out, "very nice indeed", "awful, just awful"]);
    let labels: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert!(content && labels[..2] == ["good", "bad"], "{text}");
    let (content, text) = words(&learn);
    assert!(!content && text.contains("already holds a model"), "{text}");
    let (content, text) = words(&["tag", out, "a text"]);
    assert!(!content && text.contains("use `pretext classify`"), "{text}");
    let (content, text) = words(&["classify", model, "a text"]);
    assert!(!content && text.contains("is not fine-tuned"), "{text}");
    let (content, text) = words(&["fill", out, "a [MASK]"]);
    assert!(!content && text.contains("is fine-tuned: give the run"), "{text}");
}

#[test]
fn a_tagger_learns_is_kept_and_finds_entities() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let out = out.to_str().unwrap();
    // The last sentence is not closed by an empty line.
    let data = file(here, "train.conll", "Mia B-PER\nsees O\nOslo B-LOC\n. O\n\n".repeat(9).trim_end());
    let learn = ["finetune", model, "tag", "--data", &data, "--test-data", &data, "--out", out, "--lr", "1e-2"];
    let (content, text) = words(&learn);
    assert!(content && text.contains("9 examples to learn from") && text.contains("test entity F1 100.0%"), "{text}");
    let (content, text) = words(&["tag", out, "Mia sees Oslo."]);
    assert!(content && text.contains("PER") && text.contains("Mia") && text.contains("Oslo"), "{text}");
    let broken = file(here, "broken.conll", "Mia B-PER\nsees\n");
    let (content, text) = words(&["finetune", model, "tag", "--data", &broken]);
    assert!(!content && text.contains("line 2"), "{text}");
}

#[test]
fn a_curve_is_a_table_and_a_picture() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let data = file(here, "train.tsv", &"good\tvery nice indeed\nbad\tawful, just awful\n".repeat(2));
    let svg = here.join("curve.svg");
    let more = ["--test-data", &data, "--seeds", "2", "--least-steps", "3", "--svg", svg.to_str().unwrap()];
    let (content, text) =
        words(&[&["curve", model.to_str().unwrap(), "classify", "--data", &data], &more[..]].concat());
    assert!(content && text.contains("bag of words") && text.contains("100.0 ±0.0"), "{text}");
    assert!(fs::read_to_string(svg).unwrap().contains("from scratch"));
}

#[test]
fn texts_become_vectors_and_a_search_finds_the_line_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let model = model.to_str().unwrap();
    let (content, text) = words(&["embed", model, "a text", "another"]);
    assert!(content && text.matches("\"vector\":[").count() == 2, "{text}");
    let lines = file(here, "lines.txt", "one thing\nanother thing\n\nsomething else\n");
    for kept in ["the vectors are kept in", ""] {
        let (content, text) = words(&["search", model, "another thing", "--in", &lines, "--top", "1"]);
        assert!(content && text.contains("1.000\t2\tanother thing") && text.contains(kept), "{text}");
    }
    let pairs = file(here, "pairs.tsv", "5\tone thing\tone thing\n1\tone thing\tZZZ\n3.5\tthis\tthat\n");
    let (content, text) = words(&["embed", model, "--pairs", &pairs]);
    assert!(content && text.contains("\"spearman\":1.0"), "{text}");
    let broken = file(here, "broken.tsv", "5\tone\ttwo\nfive\tone\ttwo\n");
    let (content, text) = words(&["embed", model, "--pairs", &broken]);
    assert!(!content && text.contains("line 2 is no pair"), "{text}");
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let model = bert(directory.path());
    let weights = model.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 4..].fill(0xff);
    fs::write(&weights, bytes).unwrap();
    let (content, text) = words(&["fill", model.to_str().unwrap(), "a [MASK]"]);
    assert!(!content && text.contains("holds NaN") && text.contains("copy it again"), "{text}");
}

#[test]
fn labelled_files_that_are_none_are_refused_with_their_line() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    for (name, content, wants) in [
        ("a.tsv", "good\tfine\nno tab here\n", "line 2"),
        ("b.csv", "text,label\na,b,c\n", "line 2"),
        ("c.csv", "comment,mark\na,b\n", "comment"),
        ("d.jsonl", "{\"text\": \"a\"\n", "line 1"),
        ("e.tsv", "", "e.tsv"),
    ] {
        let data = file(here, name, content);
        let (content, text) = words(&["finetune", model.to_str().unwrap(), "classify", "--data", &data]);
        assert!(!content && text.contains(wants) && !text.contains("panicked"), "{name}: {text}");
    }
}
