//! Pictures with captions, end to end: training, resuming, and what people's folders look like.

use std::fs;
use std::path::{Path, PathBuf};

use tests::{run, said};

use super::bad_input::fails;
use super::training::a_killed_run_ends_as_one_that_was_not;
use super::{TINY_CLIP, train};

fn clip<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    train(out, &[TINY_CLIP, more].concat())
}

/// A folder with twelve whole pictures, under their own names and captions, and the table of them.
fn folder(directory: &Path) -> PathBuf {
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures");
    let names = ["rgb.png", "rgba.png", "grey.png", "baseline.jpg", "lossless.webp", "still.gif"];
    let mut table = String::from("path\tlabel\ttags\tsplit\n");
    for (i, name) in names.iter().cycle().take(12).enumerate() {
        fs::copy(pictures.join(name), directory.join(format!("{i}-{name}"))).unwrap();
        table += &format!("{i}-{name}\tpicture number {i}\tsmall, round\ttrain\n");
    }
    let path = directory.join("pairs.tsv");
    fs::write(&path, table).unwrap();
    path
}

#[test]
fn a_run_on_the_world_is_a_checkpoint_with_all_that_is_told_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let output = run(clip(&out, &["--steps", "4", "--eval-every", "2"]));
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for says in
        ["model    CLIP", "4 pairs a step", "uniform 1.3863, in nats a pair", "of captions found in their batch"]
    {
        assert!(text.contains(says), "no {says:?} in {text}");
    }
    assert!(!text.contains("got no gradient"), "{text}");
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    for name in ["val_accuracy", "temperature", "alignment", "uniformity", "effective_rank"] {
        assert_eq!(metrics.matches(&format!("\"{name}\":")).count(), 2, "{name} in {metrics}");
    }
    assert!(metrics.contains("\"temperature\":0.07"), "{metrics}");
    let config = fs::read_to_string(out.join("config.json")).unwrap();
    assert!(config.contains("CLIPModel") && config.contains("\"image_size\": 16"), "{config}");
    // It can be gone on from, and not under other sizes.
    let (from, on) = (out.to_str().unwrap(), directory.path().join("on"));
    let on = on.to_str().unwrap();
    let output = run(["train", "clip", "--from", from, "--out", on, "--steps", "1", "--batch-size", "4"]);
    assert!(output.status.success(), "{}", said(&output));
    fails(["train", "clip", "--from", from, "--patch-size", "4"], 2, &["--patch-size is that of the model"]);
    fails(["train", "--resume", from, "--crop", "0.5"], 2, &["crop is 1.0 in this run"]);
}

#[test]
fn validation_is_among_the_whole_batch_also_where_it_is_computed_in_parts() {
    let directory = tempfile::tempdir().unwrap();
    let figures = |name: &str, more: &[&str]| {
        let out = directory.path().join(name);
        let output = run(clip(&out, &[&["--steps", "1", "--batch-size", "8"], more].concat()));
        assert!(output.status.success(), "{}", said(&output));
        let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        let metric: serde_json::Value = serde_json::from_str(metrics.trim()).unwrap();
        ["val_loss", "val_chance", "val_accuracy"].map(|name| metric[name].as_f64().unwrap())
    };
    let [whole, parts] = [figures("whole", &[]), figures("parts", &["--micro-batch", "2"])];
    assert!(whole.iter().zip(parts).all(|(a, b)| (a - b).abs() < 1e-5), "{whole:?} {parts:?}");
    assert!((2.0..=8f64.ln()).contains(&whole[1]), "seldom do two of eight scenes have the same caption: {whole:?}");
}

#[test]
fn a_killed_run_of_files_ends_with_the_bits_of_one_that_was_not() {
    let directory = tempfile::tempdir().unwrap();
    let table = folder(directory.path());
    a_killed_run_ends_as_one_that_was_not(&|out| {
        let data = ["--data", table.to_str().unwrap(), "--captions", "{label}", "{label}, {tags}", "--crop", "0.5"];
        let often = ["--flip", "--micro-batch", "2", "--eval-every", "1", "--save-every", "5", "--steps", "30"];
        clip(out, &[&data[..], &often].concat()).iter().map(|word| (*word).to_owned()).collect()
    });
}

#[test]
fn folders_that_people_have_are_read_or_refused_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let table = folder(directory.path());
    let out = directory.path().join("run");
    let path = table.to_str().unwrap();
    let refused = |data: &str, more: &[&str], says: &[&str]| {
        // Words that cannot be met are said before anything is read.
        let code = if ["--batch-size", "--patch-size", "--crop", "--vocab-size"].contains(more.first().unwrap_or(&"")) {
            2
        } else {
            1
        };
        fails(clip(&out, &[&["--data", data, "--steps", "2"], more].concat()), code, says);
        assert!(!out.join("train.toml").exists(), "a run that cannot begin leaves no run behind");
    };
    refused("nowhere.tsv", &[], &["nowhere.tsv"]);
    refused(path, &["--captions", "{name}"], &["pairs.tsv", "name", "label"]);
    refused(path, &["--image-column", "file"], &["pairs.tsv", "file", "path"]);
    refused(path, &["--where", "split=test"], &["split"]);
    refused(path, &["--batch-size", "1"], &["batch of 1"]);
    refused(path, &["--patch-size", "5"], &["patches of 5 do not divide"]);
    refused(path, &["--crop", "0"], &["--crop"]);
    refused(path, &["--vocab-size", "256"], &["257 or more"]);
    let text = fs::read_to_string(&table).unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // A few that are not there are counted and named; the others are learned from.
    let some = write("some.tsv", &text.replace("-rgb.png", "-gone.png").replace("-grey", "-x"));
    let output = run(clip(&out, &["--data", &some, "--steps", "1"]));
    let note = "4 pictures that are not there, the first is 0-gone.png in line 2 of some.tsv";
    assert!(output.status.success() && said(&output).contains(note), "{}", said(&output));
    fs::remove_dir_all(&out).unwrap();
    let counting: String = (100..200).map(|i| format!("{i} ")).collect();
    let long = write("long.tsv", &text.replace("picture number", &counting));
    let output = run(clip(&out, &["--data", &long, "--captions", "{label}", "--steps", "1"]));
    assert!(output.status.success() && said(&output).contains("longer than 32 tokens"), "{}", said(&output));
    fs::remove_dir_all(&out).unwrap();
    // One picture that is none is passed over and named.
    let broken = directory.path().join("0-rgb.png");
    fs::write(&broken, "no picture at all").unwrap();
    let output = run(clip(&out, &["--data", path, "--steps", "6", "--eval-every", "2"]));
    assert!(output.status.success() && said(&output).contains("0-rgb.png"), "{}", said(&output));
}
