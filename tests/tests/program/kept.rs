//! What is kept of a fine-tuning, or of a curve, however it ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use tests::{file, pretext, said, words};

use super::transfer::{bert, squad};

/// A file of so many good texts and as many bad ones.
fn labelled(here: &Path, times: usize) -> String {
    file(here, "train.tsv", "good\tvery nice indeed\nbad\tawful, just awful\n".repeat(times))
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_a_fine_tuning_has_learned_and_of_several_seeds_the_mean_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let data = labelled(here, 40);
    let learn = ["finetune", model, "classify", "--data", &data, "--out", out.to_str().unwrap()];
    let mut child = pretext().args(learn).args(["--epochs", "1000000"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("pass 2 ")));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest = lines.collect::<String>();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("what was learned by then is kept"), "{rest}");
    let (content, text) = words(["classify", out.to_str().unwrap(), "very nice indeed"]);
    assert!(content, "{text}");
    let other = here.join("other");
    let learn = ["finetune", model, "classify", "--data", &data, "--out", other.to_str().unwrap(), "--seeds", "2"];
    let (content, text) = words(learn);
    assert!(content && text.contains("validation accuracy ") && text.contains("(2 seeds)"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_terminal_that_is_gone_ends_no_fine_tuning_and_no_curve() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let model = model.to_str().unwrap();
    let data = labelled(here, 8);
    let svg = here.join("curve.svg");
    let tuned = here.join("tuned");
    let [svg, tuned] = [&svg, &tuned].map(|path| path.to_str().unwrap());
    let common = ["--data", &data[..], "--least-steps", "3"];
    for (words, kept) in [
        (&["finetune", model, "classify", "--out", tuned, "--seeds", "2"][..], "tuned/model.safetensors"),
        (&["curve", model, "classify", "--test-data", &data, "--svg", svg, "--seeds", "1"], "curve.svg"),
    ] {
        let mut child =
            pretext().args(words).args(common).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        drop(child.stderr.take()); // nobody reads what it says
        assert_eq!(child.wait().unwrap().code(), Some(0), "{words:?}");
        assert!(here.join(kept).exists(), "{kept}");
    }
}

#[test]
fn a_seed_that_is_through_outlives_whatever_ends_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let data = labelled(here, 8);
    let learn = ["finetune", model, "classify", "--data", &data, "--out", out.to_str().unwrap(), "--seeds", "1000"];
    let mut child = pretext().args(learn).args(["--least-steps", "3"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("seed 2  pass 1 ")));
    child.kill().unwrap();
    child.wait().unwrap();
    let results = fs::read_to_string(out.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    assert_eq!(results["trials"][0]["seed"], 1, "{results}");
    assert!(out.join("finetune.toml").exists());
    let (content, text) = words(["classify", out.to_str().unwrap(), "very nice indeed"]);
    assert!(content, "{text}");
}

#[test]
fn of_a_model_that_cannot_be_put_away_the_scores_are_told_and_that_it_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let data = labelled(here, 40);
    let learn = ["finetune", model, "classify", "--data", &data, "--out", out.to_str().unwrap(), "--seeds", "2"];
    let mut command = pretext();
    let mut child = command.args(learn).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("seed 1  pass 1 ")));
    fs::remove_dir_all(&out).unwrap();
    fs::write(&out, "a file in the way").unwrap();
    let rest: Vec<String> = lines.collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{rest:?}");
    let scores = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(scores.contains("validation accuracy") && !scores.contains("the model"), "{scores}");
    assert!(rest.last().unwrap().contains("a file is in the way"), "{rest:?}");
    assert_eq!(fs::read(&out).unwrap(), b"a file in the way");
}

#[test]
fn a_fine_tuning_that_comes_to_nothing_ends_with_a_sentence_and_no_model() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let texts = labelled(here, 8);
    let tags = file(here, "train.conll", "Mia B-PER\nsees O\nOslo B-LOC\n. O\n\n".repeat(9));
    let asked = file(here, "train.json", squad("Mia sees Oslo.", &[("Who?", "Mia"), ("What?", "Oslo")]));
    let alike = file(here, "alike.tsv", "good\tvery nice indeed\n".repeat(8));
    let empty = file(here, "empty.conll", "Mia O\nsees O\n");
    let svg = here.join("curve.svg");
    let (to, drawn) = (["--out", out.to_str().unwrap()], ["--svg", svg.to_str().unwrap()]);
    let (gone, held) = (format!("{texts}/x"), ["--test-data", &texts]);
    for (said, wants) in [
        (&["finetune", model, "classify", "--data", &texts, "--lr", "1e30", to[0], to[1]][..], "a smaller --lr"),
        (&["finetune", model, "tag", "--data", &tags, "--lr", "1e30", to[0], to[1]], "a smaller --lr"),
        (&["finetune", model, "answer", "--data", &asked, "--lr", "1e30", to[0], to[1]], "a smaller --lr"),
        (&["curve", model, "classify", "--data", &texts, held[0], held[1], "--lr", "1e30", drawn[0], drawn[1]], "--lr"),
        (&["finetune", model, "classify", "--data", &alike], "all of its texts have the label \"good\""),
        (
            &["curve", model, "classify", "--data", &alike, held[0], held[1], drawn[0], drawn[1]],
            "nothing to tell apart",
        ),
        (&["finetune", model, "tag", "--data", &empty], "all of its words have the tag O"),
        (&["finetune", model, "classify", "--data", &texts, "--out", &gone], "a file is in the way"),
        (&["curve", model, "classify", "--svg", &gone], "cannot write it"),
        (&["finetune", model, "classify", "--epochs", "0"], "0 is not in 1.."),
        (&["finetune", model, "classify", "--layer-decay", "0"], "below the new layer nothing"),
        (&["fill", model, "a [MASK]", "--top", "0"], "0 is not in 1.."),
    ] {
        let (content, text) = words(said);
        assert!(!content && text.contains(wants) && !text.contains("panicked"), "{said:?}: {text}");
        assert!(!text.contains("the model is in") && !text.contains("the picture is"), "{said:?}: {text}");
    }
    assert!(!out.join("config.json").exists() && !svg.exists());
}

#[test]
fn of_several_seeds_each_pass_says_its_own_and_the_results_say_the_mean_and_which_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let data = labelled(here, 8);
    let learn = ["finetune", model, "classify", "--data", &data, "--test-data", &data, "--least-steps", "2"];
    let (content, text) = words([&learn[..], &["--seeds", "2", "--json", "--out", out.to_str().unwrap()]].concat());
    assert!(content && text.contains("seed 1  pass 1") && text.contains("seed 2  pass 1"), "{text}");
    let results: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("results.json")).unwrap()).unwrap();
    assert_eq!((&results["kept"], results["trials"].as_array().unwrap().len()), (&1.into(), 2));
    assert!(results["test"]["accuracy"]["half_width"].is_number() && text.contains("\"kept\":1"), "{text}");
}

#[test]
fn of_several_seeds_the_one_that_is_best_on_the_validation_examples_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let data = labelled(here, 8);
    // Nothing of these can be known: which seed guesses best is chance.
    let guessed: String =
        ('a'..='z').zip(["good", "bad", "bad"].iter().cycle()).map(|(c, of)| format!("{of}\t{c} {c}\n")).collect();
    let val = file(here, "valid.tsv", &guessed);
    let learn = ["finetune", model, "classify", "--scratch", "--data", &data, "--val-data", &val, "--least-steps", "2"];
    let (content, text) = words([&learn[..], &["--seeds", "6", "--json", "--out", out.to_str().unwrap()]].concat());
    assert!(content, "{text}");
    let results: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("results.json")).unwrap()).unwrap();
    let trials = results["trials"].as_array().unwrap();
    let best = |i: usize| trials[i]["fitted"]["best"].as_f64().unwrap();
    let first_best = (0..6).rev().max_by(|&a, &b| best(a).total_cmp(&best(b))).unwrap();
    assert!((0..6).any(|i| best(i) < best(first_best)), "all seeds are alike: {results}");
    assert_eq!(results["kept"], trials[first_best]["seed"], "{results}");
}

#[cfg(unix)]
#[test]
fn a_curve_that_is_stopped_keeps_its_points() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let svg = here.join("curve.svg");
    let words = ["curve", model.to_str().unwrap(), "classify", "--seeds", "20", "--svg", svg.to_str().unwrap()];
    let mut child = pretext().args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.trim_start().starts_with("1 ")), "the first point");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(
        said(&output).contains("stopped with") && rest.iter().any(|line| line.contains("the picture is")),
        "{rest:?}"
    );
    assert!(svg.exists());
}
