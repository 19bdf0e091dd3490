//! Pictures with captions, end to end: training, resuming, and what people's folders look like.

use std::fs;
use std::path::{Path, PathBuf};

use tests::{fails, run, said};

use super::training::{STEPS, a_killed_run_ends_as_one_that_was_not};
use super::{TINY_CLIP, train};

fn clip<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    train(out, &[TINY_CLIP, more].concat())
}

/// A folder with twelve whole pictures, under their own names and captions, and the table of them.
pub fn folder(directory: &Path) -> PathBuf {
    folder_of(12, directory)
}

/// The same with another number of pictures.
fn folder_of(count: usize, directory: &Path) -> PathBuf {
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures");
    let names = ["rgb.png", "rgba.png", "grey.png", "baseline.jpg", "lossless.webp", "still.gif"];
    let mut table = String::from("path\tlabel\ttags\tsplit\n");
    for (i, name) in names.iter().cycle().take(count).enumerate() {
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
    fails(["train", "clip", "--from", from, "--objective", "siglip"], 2, &["learned with --objective clip"]);
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
    assert!(
        (2.0..8f64.ln() + 1e-9).contains(&whole[1]),
        "seldom do two of eight scenes have the same caption: {whole:?}"
    );
    let table = folder(directory.path());
    let data = ["--data", table.to_str().unwrap(), "--val-share", "0.4", "--batch-size", "2", "--steps", "1"];
    let text = said(&run(clip(&directory.path().join("odd"), &data)));
    assert!(text.contains("leaves 1 of the 5 pairs to validate on out"), "whole batches only: {text}");
}

#[test]
fn a_killed_run_of_files_ends_with_the_bits_of_one_that_was_not() {
    let directory = tempfile::tempdir().unwrap();
    let table = folder(directory.path());
    a_killed_run_ends_as_one_that_was_not(&|out| {
        let data = ["--data", table.to_str().unwrap(), "--captions", "{label}", "{label}, {tags}", "--crop", "0.5"];
        let often = ["--flip", "--micro-batch", "2", "--eval-every", "1", "--save-every", "5", "--steps", STEPS];
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
    fs::write(directory.path().join("classes.tsv"), text.replace("label", "class")).unwrap();
    let classes = directory.path().join("classes.tsv");
    refused(
        classes.to_str().unwrap(),
        &[],
        &["but its class, \"picture number", "--captions \"a photo of a {class}\""],
    );
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
    let output = run(clip(&out, &["--data", &long, "--captions", "{path} {label}", "--steps", "1"]));
    assert!(output.status.success() && said(&output).contains("longer than 32 tokens"), "{}", said(&output));
    fs::remove_dir_all(&out).unwrap();
    let same = clip(&out, &["--data", &long, "--captions", "{label}", "--steps", "1"]);
    fails(same, 2, &["all 11 captions to learn from are the same to the model, such as \"100 101", "--block-size"]);
    // Pictures that are none are passed over, and each is named once, whenever it is met.
    let broken = ["0-rgb.png", "2-grey.png", "5-still.gif", "7-rgba.png"];
    broken.iter().for_each(|name| fs::write(directory.path().join(name), "no picture at all").unwrap());
    let output = run(clip(&out, &["--data", path, "--val-share", "0.4", "--steps", "12", "--eval-every", "1"]));
    let text = said(&output);
    assert!(output.status.success() && text.contains("others being taken in their place: 4"), "{text}");
    broken.iter().for_each(|name| assert_eq!(text.matches(name).count(), 1, "{name} in {text}"));
}

#[test]
fn a_run_that_stops_for_broken_pictures_keeps_what_it_learned_and_goes_on_when_they_are_mended() {
    let directory = tempfile::tempdir().unwrap();
    let (out, whole) = (directory.path().join("run"), directory.path().join("whole"));
    let path = folder_of(60, directory.path());
    fs::create_dir(&whole).unwrap();
    folder_of(60, &whole);
    let names = fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().file_name());
    let broken: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(['1', '2'])).collect();
    broken.iter().for_each(|name| fs::write(directory.path().join(name), "<html>").unwrap());
    fails(
        clip(&out, &["--data", path.to_str().unwrap(), "--steps", "40", "--val-share", "0.1"]),
        1,
        &["pictures are broken so far", "it is text", "nothing is lost", "--resume"],
    );
    assert!(out.join("state.safetensors").exists());
    // Resumed as they are, it looks at them again and makes no step.
    let steps = || fs::read_to_string(out.join("metrics.jsonl")).unwrap().lines().count();
    let before = steps();
    fails(vec!["train", "--resume", out.to_str().unwrap()], 1, &["pictures are broken so far", "--resume"]);
    assert_eq!(steps(), before);
    for name in &broken {
        fs::copy(whole.join(name), directory.path().join(name)).unwrap();
    }
    let output = run(["train", "--resume", out.to_str().unwrap()]);
    let text = said(&output);
    assert!(output.status.success() && !text.contains("has no checkpoint yet"), "{text}");
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    assert!(metrics.lines().count() == 40 && metrics.lines().last().unwrap().contains("val_loss"), "{metrics}");
}

#[test]
fn a_run_that_cannot_be_evaluated_for_broken_pictures_is_saved_and_evaluated_when_they_are_mended() {
    let directory = tempfile::tempdir().unwrap();
    let [train, val, out] = ["train", "val", "run"].map(|name| directory.path().join(name));
    [&train, &val].iter().for_each(|folder| fs::create_dir(folder).unwrap());
    let data = [folder_of(12, &train), folder_of(60, &val)];
    let [data, val_data] = data.each_ref().map(|path| path.to_str().unwrap());
    let broken: Vec<_> = fs::read_dir(&val).unwrap().map(|entry| entry.unwrap().path()).collect();
    let broken: Vec<_> = broken.into_iter().filter(|path| path.extension().is_some_and(|of| of == "png")).collect();
    let whole: Vec<_> = broken.iter().map(|path| fs::read(path).unwrap()).collect();
    broken.iter().for_each(|path| fs::write(path, "<html>").unwrap());
    let more = ["--data", data, "--val-data", val_data, "--steps", "6", "--eval-every", "3"];
    fails(clip(&out, &more), 1, &["pictures are broken", "it is text", "nothing is lost", "--resume"]);
    let figures = || fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    assert!(out.join("state.safetensors").exists() && out.join("broken.txt").exists());
    assert!(figures().lines().count() == 3 && !figures().contains("val_loss"), "{}", figures());
    broken.iter().zip(&whole).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let output = run(["train", "--resume", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let lines: Vec<bool> = figures().lines().map(|line| line.contains("val_loss")).collect();
    assert_eq!(lines, [false, false, true, false, false, true]);
}

#[test]
fn a_run_whose_data_moved_says_where_its_path_is_written_and_goes_on_when_it_is_right() {
    let directory = tempfile::tempdir().unwrap();
    let [was, is, out] = ["was", "is", "run"].map(|name| directory.path().join(name));
    fs::create_dir(&was).unwrap();
    let table = folder(&was);
    let output = run(clip(&out, &["--data", table.to_str().unwrap(), "--steps", "2"]));
    assert!(output.status.success(), "{}", said(&output));
    fs::rename(&was, &is).unwrap();
    let resume = vec!["train", "--resume", out.to_str().unwrap()];
    fails(resume.clone(), 1, &["was/pairs.tsv: is not there any more", "run/train.toml"]);
    let options = fs::read_to_string(out.join("train.toml")).unwrap();
    fs::write(out.join("train.toml"), options.replace("/was/", "/is/")).unwrap();
    let output = run(resume);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_lies_under_transparent_pictures_in_training_lies_there_ever_after_unless_something_else_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let table = folder(directory.path());
    let out = directory.path().join("run");
    let more = ["--data", table.to_str().unwrap(), "--steps", "1", "--ground", "0", "0", "0"];
    let output = run(clip(&out, &more));
    assert!(output.status.success(), "{}", said(&output));
    let seen = directory.path().join("1-rgba.png");
    let embed = |more: &[&str]| {
        let output = run([&["embed", out.to_str().unwrap(), seen.to_str().unwrap()], more].concat());
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    };
    assert_eq!(embed(&[]), embed(&["--ground", "0", "0", "0"]));
    assert_ne!(embed(&[]), embed(&["--ground", "255", "255", "255"]));
    let best = fs::read_to_string(out.join("best/preprocessor_config.json")).unwrap();
    assert!(best.contains("\"ground\"") && best.contains("CLIPImageProcessor"), "{best}");
    let on = directory.path().join("on");
    let more = ["--data", table.to_str().unwrap(), "--steps", "1", "--batch-size", "4"];
    let from = ["train", "clip", "--from", out.to_str().unwrap(), "--out", on.to_str().unwrap()];
    let output = run([&from[..], &more].concat());
    assert!(output.status.success(), "{}", said(&output));
    let options = fs::read_to_string(on.join("train.toml")).unwrap().replace(char::is_whitespace, "");
    assert!(options.contains("ground=[0,0,0"), "{options}");
}
