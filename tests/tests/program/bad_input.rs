//! Bad input gets one clear sentence with the file and the way out, exit code 1 or 2, and no panic.

use std::fs;

use tests::{fails, file, run, said};

use super::train;

#[test]
fn data_that_cannot_be_learned_from_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let folder = directory.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let refused = |data: &str, more: &[&str], says: &[&str]| {
        fails(train(&out, &[&["--data", data], more].concat()), 1, says);
        assert!(!out.join("train.toml").exists(), "a run that cannot begin leaves no run behind");
    };
    refused("nowhere.txt", &[], &["nowhere.txt"]);
    refused(folder.to_str().unwrap(), &[], &["folder"]);
    refused(&file(directory.path(), "empty.txt", b""), &[], &["empty.txt", "empty"]);
    refused(&file(directory.path(), "binary.txt", b"\x00\x01\x02 text"), &[], &["binary.txt"]);
    refused(&file(directory.path(), "one.txt", b"x"), &["--vocab-size", "256"], &["token"]);
    let short = file(directory.path(), "short.txt", b"a few words and no more. ".repeat(20));
    refused(&short, &["--block-size", "4000", "--vocab-size", "256"], &["block"]);
    refused(&file(directory.path(), "bad.jsonl", b"{\"text\": \"a\"}\n{\"txt\": 1}\n"), &[], &["bad.jsonl", "2"]);
    fails(train(&out, &["--data", &format!("{short}=-1")]), 2, &["-1"]);
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    for (more, says) in [
        (&["--vocab-size", "255"][..], "256 or more"),
        (&["--heads", "3"], "do not divide"),
        (&["--preset", "huge"], "choose one of"),
        (&["--steps", "0"], "1 or more"),
        (&["--lr", "nan"], "--lr NaN: give more than 0"),
        (&["--dropout", "1"], "less than 1"),
        (&["--optimizer", "sgd"], "adamw"),
        (&["--muon-lr", "0"], "more than 0"),
        (&["--muon-lr", "inf"], "muon-lr"),
        (&["--muon-momentum", "1"], "less than 1"),
        (&["--decay-share", "0"], "1 at most"),
        (&["--decay-share", "1.1"], "decay-share"),
        (&["--nonsense"], "nonsense"),
    ] {
        // Words given twice are the user's mistake too, so the tiny model's own are left out here.
        let words = [&["train", "--out", out.to_str().unwrap()], more].concat();
        fails(words, 2, &[says]);
    }
}

#[test]
fn a_checkpoint_that_is_cut_off_or_foreign_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert!(run(train(&out, &["--steps", "2"])).status.success());
    let dir = out.to_str().unwrap();
    let spoiled = |name: &str, bytes: &[u8], words: &[&str], says: &[&str]| {
        let good = fs::read(out.join(name)).unwrap();
        fs::write(out.join(name), bytes).unwrap();
        fails(words, 1, says);
        fs::write(out.join(name), good).unwrap();
    };
    let generate = ["generate", dir, "x"];
    let resume = ["train", "--resume", dir];
    let model = fs::read(out.join("model.safetensors")).unwrap();
    spoiled("model.safetensors", &model[..model.len() / 2], &generate, &["model.safetensors", "copy it again"]);
    spoiled("model.safetensors", b"", &generate, &["model.safetensors"]);
    spoiled("config.json", b"{\"model_type\": \"llama\"}", &generate, &["config.json", "llama"]);
    spoiled("config.json", b"{", &generate, &["config.json", "not JSON"]);
    let config = fs::read_to_string(out.join("config.json")).unwrap();
    let wider = config.replace("\"n_embd\": 16", "\"n_embd\": 32");
    spoiled("config.json", wider.as_bytes(), &generate, &["model.safetensors", "shape"]);
    for (had, has) in
        [("\"n_embd\": 16", "\"n_embd\": 1000000000000"), ("\"n_layer\": 1", "\"n_layer\": 1000000000000")]
    {
        let huge = config.replace(had, has);
        assert_ne!(huge, config);
        spoiled("config.json", huge.as_bytes(), &generate, &["config.json", "one of them is not meant"]);
    }
    let block = config.lines().find(|line| line.contains("n_positions")).unwrap();
    let huge = config.replace(block, "\"n_positions\": 1000000000,");
    spoiled("config.json", huge.as_bytes(), &generate, &["model.safetensors", "wpe.weight"]);
    spoiled("tokenizer.json", b"{}", &generate, &["tokenizer.json"]);
    spoiled("train.toml", b"steps = \"many\"", &resume, &["train.toml"]);
    spoiled("metrics.jsonl", b"no metrics\n{}\n", &resume, &["metrics.jsonl: line 1"]);
    let state = fs::read(out.join("state.safetensors")).unwrap();
    spoiled("state.safetensors", &state[..100], &resume, &["state.safetensors"]);
    spoiled("state.safetensors", &model, &resume, &["state.safetensors"]);
    fs::remove_file(out.join("state.safetensors")).unwrap();
    fails(resume, 1, &["no state.safetensors", "a copy"]);
    assert_eq!(fs::read(out.join("model.safetensors")).unwrap(), model, "what was trained stays");
    fails(["generate", "nowhere", "x"], 1, &["nowhere", "no such directory"]);
    fails(["train", "--resume", "nowhere"], 1, &["nowhere", "no run to resume"]);
    fails(["verify", dir], 1, &["reference.safetensors"]);
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert!(run(train(&out, &["--steps", "2"])).status.success());
    let dir = out.to_str().unwrap();
    let own = fs::read_to_string(out.join("tokenizer.json")).unwrap();
    let as_large = own.replace("\"a\":", "\"swapped\":").replace("\"b\":", "\"a\":").replace("\"swapped\":", "\"b\":");
    fs::write(out.join("tokenizer.json"), as_large).unwrap();
    fails(["train", "--resume", dir], 1, &["tokenizer.json", "not the one that this run began with"]);
    let data = file(directory.path(), "text.txt", b"some words to learn pairs from, some more words. ".repeat(50));
    let other = directory.path().to_str().unwrap();
    assert!(run(["tokenizer", "train", "--data", &data, "--vocab-size", "270", "--out", other]).status.success());
    fs::copy(directory.path().join("tokenizer.json"), out.join("tokenizer.json")).unwrap();
    fails(["generate", dir, "x"], 1, &["tokenizer"]);
    fails(["train", "--resume", dir], 1, &["tokenizer"]);
}

#[test]
fn a_resume_that_contradicts_its_run_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert!(run(train(&out, &["--steps", "2"])).status.success());
    let dir = out.to_str().unwrap();
    fails(["train", "--resume", dir, "--width", "32"], 2, &["width is 16", "begin a new run"]);
    fails(["train", "--resume", dir, "--steps", "9"], 2, &["steps is 2"]);
    fails(train(&out, &[]), 1, &["already holds a run", "--resume"]);
    for kept in ["config.json", "tokenizer.json", "model.safetensors.index.json", "loss.svg"] {
        let theirs = directory.path().join(kept.replace('.', "-"));
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join(kept), "somebody's").unwrap();
        fails(train(&theirs, &[]), 1, &["already holds", kept, "--out"]);
        assert_eq!(fs::read_to_string(theirs.join(kept)).unwrap(), "somebody's");
    }
    assert!(run(["train", "--resume", dir, "--steps", "2", "--threads", "1"]).status.success());
    let options = out.join("train.toml");
    let said = fs::read_to_string(&options).unwrap();
    for (had, asked, says) in [
        ("heads = 2", "heads = 4", "config.json: is of another model"),
        ("layers = 1", "layers = 2", "config.json: is of another model"),
        ("optimizer = \"muon\"", "optimizer = \"adamw\"", "the optimizer of train.toml have"),
    ] {
        fs::write(&options, said.replace(had, asked)).unwrap();
        fails(["train", "--resume", dir], 1, &[says]);
    }
    fs::write(&options, said.replace("steps = 2", "steps = 3")).unwrap();
    assert!(run(["train", "--resume", dir]).status.success(), "it may be asked for more");
}

#[test]
fn what_is_learned_from_and_validated_on_and_what_of_a_folder_is_passed_over_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let folder = directory.path().join("texts");
    fs::create_dir(&folder).unwrap();
    file(&folder, "a.txt", b"some words to learn pairs from, some more words. ".repeat(50));
    let val = file(&folder, "val.txt", b"some words to learn nothing from, and some more. ".repeat(20));
    file(&folder, "b.csv", "a,b\n");
    let output = run(train(&out, &["--steps", "1", "--data", folder.to_str().unwrap(), "--val-data", &val]));
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    for note in ["1 file is learned from and validated on", "val.txt", "1 file is of another name", "b.csv"] {
        assert!(said.contains(note), "no {note:?} in {said}");
    }
    // A copy is told as the file itself is. Of text that is there twice the same share is held out.
    fs::copy(&val, folder.join("copy.txt")).unwrap();
    let out = directory.path().join("another");
    let folder = folder.to_str().unwrap();
    let said = tests::succeeds(train(&out, &["--steps", "1", "--data", folder]), &["1 training file has the text"]);
    assert!(said.contains("val.txt") && !said.contains("validated on"), "{said}");
    let own = file(directory.path(), "own.txt", fs::read(&val).unwrap());
    let out = directory.path().join("third");
    let both = ["1 training file has the text", "1 file is learned from and validated on", "own.txt"];
    tests::succeeds(train(&out, &["--steps", "1", "--data", folder, "--val-data", &own]), &both);
}

#[test]
fn data_that_changed_since_a_run_began_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let data = file(directory.path(), "text.txt", b"some words to learn pairs from, some more words. ".repeat(50));
    let output = run(train(&out, &["--steps", "2", "--data", &data]));
    assert!(output.status.success(), "{}", said(&output));
    file(directory.path(), "text.txt", b"other words to learn pairs from, some more words. ".repeat(50));
    fails(["train", "--resume", out.to_str().unwrap()], 1, &["the data has changed", "--from"]);
}
