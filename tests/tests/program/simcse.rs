//! Contrastive training that goes on from a BERT, end to end.

use std::fs;
use std::path::{Path, PathBuf};

use tests::{run, said, words};

use super::train;
use super::training::{STEPS, a_killed_run_ends_as_one_that_was_not};

/// A run that was made for others to begin with.
pub fn trained(directory: &Path, name: &str, more: &[&str]) -> PathBuf {
    let out = directory.join(name);
    let output = run(train(&out, &[more, &["--steps", "2"]].concat()));
    assert!(output.status.success(), "{}", said(&output));
    out
}

/// The words that go on from a run into `out`.
fn simcse(from: &Path, out: &Path, more: &[&str]) -> Vec<String> {
    let (from, out) = (from.to_str().unwrap(), out.to_str().unwrap());
    let words = ["train", "bert", "--objective", "simcse", "--from", from, "--out", out, "--batch-size", "8"];
    words.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

/// All files of a directory with their bytes.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.filter(|p| p.is_file()).map(|p| (p.clone(), fs::read(p).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_run_goes_on_from_a_bert_and_is_a_whole_one() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let (from, out) = (trained(here, "bert", &["bert"]), here.join("simcse"));
    let before = files(&from);
    let (content, text) = words(simcse(&from, &out, &["--steps", "4", "--eval-every", "2"]));
    assert!(content, "{text}");
    for says in ["chance   uniform 2.0794, in nats a text", "found in their batch", "of 16 dimensions; alignment"] {
        assert!(text.contains(says), "no {says:?} in {text}");
    }
    assert!(!text.contains("got no gradient"), "{text}");
    assert_eq!(files(&from), before, "the run that is gone on from is only read");
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"effective_rank\":").count(), 2, "{metrics}");
    let config = fs::read_to_string(out.join("config.json")).unwrap();
    assert!(config.contains("\"hidden_dropout_prob\": 0.1"), "{config}");
    // The run stands on its own from now on.
    fs::remove_dir_all(&from).unwrap();
    let model = out.to_str().unwrap();
    let weights = fs::read(out.join("model.safetensors")).unwrap();
    let (content, text) = words(["train", "--resume", model]);
    assert!(content && fs::read(out.join("model.safetensors")).unwrap() == weights, "{text}");
    let lines = here.join("lines.txt");
    fs::write(&lines, "one thing\nanother thing\n").unwrap();
    let (content, text) = words(["search", model, "another thing", "--in", lines.to_str().unwrap(), "--top", "1"]);
    assert!(content && text.contains("1.000\t2\tanother thing"), "{text}");
    let (content, text) = words(["embed", model, "a text"]);
    assert!(content && text.contains("\"vector\":["), "{text}");
    let data = here.join("train.tsv");
    fs::write(&data, "good\tvery nice indeed\nbad\tawful, just awful\n".repeat(4)).unwrap();
    let tuned = here.join("tuned");
    let learn = ["finetune", model, "classify", "--data", data.to_str().unwrap(), "--out", tuned.to_str().unwrap()];
    let (content, text) = words(learn);
    assert!(content, "{text}");
    let (content, text) = words(simcse(&out, &here.join("more"), &["--steps", "2"]));
    assert!(content, "{text}");
}

#[test]
fn a_run_of_simcse_killed_five_times_ends_with_the_bits_of_one_that_was_not() {
    let directory = tempfile::tempdir().unwrap();
    let from = trained(directory.path(), "bert", &["bert"]);
    let talkative = ["--steps", STEPS, "--eval-every", "1", "--eval-tokens", "32", "--save-every", "3"];
    a_killed_run_ends_as_one_that_was_not(&|out| simcse(&from, out, &talkative));
}

#[test]
fn its_weights_do_not_depend_on_the_number_of_threads_and_do_on_how_negatives_count() {
    let directory = tempfile::tempdir().unwrap();
    let from = trained(directory.path(), "bert", &["bert"]);
    let weights = |name: &str, more: &[&str]| {
        let out = directory.path().join(name);
        let (content, text) = words(simcse(&from, &out, &[&["--steps", "3"], more].concat()));
        assert!(content, "{text}");
        fs::read(out.join("model.safetensors")).unwrap()
    };
    let one = weights("one", &["--threads", "1"]);
    assert_eq!(one, weights("three", &["--threads", "3"]));
    assert_ne!(one, weights("plain", &["--hardness", "0"]));
}

#[test]
fn text_files_give_sentences_too_and_masked_prediction_goes_on_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let from = trained(here, "bert", &["bert"]);
    let data = here.join("text.txt");
    let text: String = (0..400).map(|i| format!("Sentence number {i} says this. It is not the last one!\n")).collect();
    fs::write(&data, text).unwrap();
    let data = data.to_str().unwrap();
    let (content, text) = words(simcse(&from, &here.join("a"), &["--steps", "2", "--data", data]));
    assert!(content, "{text}");
    let (from, out) = (from.to_str().unwrap(), here.join("b"));
    let out = out.to_str().unwrap();
    let (content, text) =
        words(["train", "bert", "--from", from, "--out", out, "--steps", "2", "--batch-size", "4", "--data", data]);
    assert!(content && text.contains("of them guessed"), "{text}");
}

#[test]
fn what_simcse_cannot_do_is_refused_with_a_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let (from, gpt) = (trained(here, "bert", &["bert"]), trained(here, "gpt", &[]));
    let out = here.join("out");
    let out_word = out.to_str().unwrap();
    let refused = |given: Vec<String>, says: &str| {
        let (content, text) = words(given);
        assert!(!content && text.contains(says) && !text.contains("panicked"), "no {says:?} in {text}");
        assert!(!out.join("train.toml").exists(), "a run that cannot begin leaves no run behind");
    };
    let plain = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    refused(plain(&["train", "bert", "--objective", "simcse", "--out", out_word]), "--from DIR");
    refused(plain(&["train", "--objective", "simcse", "--out", out_word]), "are BERT's");
    refused(plain(&["train", "--from", from.to_str().unwrap(), "--out", out_word]), "holds a BERT");
    refused(simcse(&gpt, &out, &[]), "holds a GPT");
    refused(simcse(&here.join("nowhere"), &out, &[]), "no such directory");
    refused(simcse(&from, &from, &[]), "already holds a run");
    refused(plain(&["train", "bert", "--hardness", "2", "--out", out_word]), "belong to --objective simcse");
    for (more, says) in [
        (&["--batch-size", "1"][..], "--batch-size 2 or more"),
        (&["--micro-batch", "4"], "leave --micro-batch out"),
        (&["--dropout", "0"], "--dropout 0.1"),
        (&["--width", "32"], "leave --width out"),
        (&["--tokenizer", "elsewhere"], "leave --tokenizer out"),
        (&["--mask-share", "0.3"], "leave them out"),
        (&["--temperature", "0"], "more than 0"),
        (&["--hardness=-1"], "from 0"),
        (&["--objective", "simclr"], "simcse"),
    ] {
        refused(simcse(&from, &out, more), says);
    }
    // A checkpoint of others has no train.toml, and must not be written over either.
    let foreign = here.join("foreign");
    fs::create_dir(&foreign).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(from.join(name), foreign.join(name)).unwrap();
    }
    let before = files(&foreign);
    let (content, text) = words(simcse(&foreign, &foreign, &[]));
    assert!(!content && text.contains("already holds a model"), "{text}");
    assert_eq!(files(&foreign), before);
}
