//! Flags do what their help says: those that must not change a result leave its bits alone, and the others change it.

use std::fs;
use std::path::Path;

use tests::{run, said};

use super::clip::folder;
use super::export::content;
use super::{TINY_CLIP, train};

/// The weights after some steps of a run of these words, and of more.
fn weights(directory: &Path, words: &[&str], more: &[&str]) -> Vec<u8> {
    let out = directory.join(format!("run{}", more.concat()));
    content(&train(&out, &[words, &["--steps", "4"], more].concat()));
    fs::read(out.join("model.safetensors")).unwrap()
}

#[test]
fn flags_of_training_change_the_weights_or_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let gpt = |more| weights(&here.join("gpt"), &[], more);
    let as_they_are = gpt(&[]);
    assert!(gpt(&["--recompute"]) == as_they_are && gpt(&["--profile"]) == as_they_are);
    for more in [
        &["--precision", "bf16"][..],
        &["--schedule", "constant"],
        &["--schedule", "cosine"],
        &["--beta2", "0.9"],
        &["--weight-decay", "0.5"],
        &["--grad-clip", "0.01"],
        &["--initializer-range", "0.3"],
    ] {
        assert!(gpt(more) != as_they_are, "{more:?} changes nothing");
    }
    let bert = |more| weights(&here.join("bert"), &["bert"], more);
    let as_they_are = bert(&["--mask-unit", "token"]);
    assert!(bert(&["--recompute", "--mask-unit", "token"]) == as_they_are);
    for more in [&["--mask-unit", "word"][..], &["--mask-unit", "span"], &["--mask-share", "0.5"], &["--norm", "post"]]
    {
        assert!(bert(more) != as_they_are, "{more:?} changes nothing");
    }
    let table = folder(here);
    let words = [TINY_CLIP, &["--data", table.to_str().unwrap(), "--captions", "{label}"]].concat();
    let of_pictures = |more| weights(&here.join("clip"), &words, more);
    let as_they_are = of_pictures(&[]);
    assert!(of_pictures(&["--memory", "0"]) == as_they_are, "pictures that are kept are those that are decoded anew");
    for more in [&["--hue", "0.5"][..], &["--grey", "1"], &["--crop", "0.3"], &["--flip"], &["--objective", "siglip"]] {
        assert!(of_pictures(more) != as_they_are, "{more:?} changes nothing");
    }
}

#[test]
fn a_profile_names_operations_with_their_share() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let text = said(&run(train(&out, &["--steps", "2", "--profile"])));
    for says in ["Batch", "Optimiser", "%"] {
        assert!(text.contains(says), "no {says:?} in {text}");
    }
}

#[test]
fn flags_of_use_change_what_is_printed_or_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    content(&train(&out, &["--steps", "3"]));
    let dir = out.to_str().unwrap();
    let text = |more: &[&str]| content(&[&["generate", dir, "On a sunny", "--tokens", "60"], more].concat());
    let one = text(&[]);
    assert!(text(&["--samples", "2"]).contains(one.trim()), "the first of two is the one");
    assert!(text(&["--top-p", "0.2"]) != one && text(&["--top-k", "2"]) != one);
    assert!(text(&["--endless"]).len() > one.len());
    assert_eq!(text(&["--top-k", "1"]), text(&["--greedy"]));
    // An end of a document in the text is text, a special token, or refused.
    let ids = |how: &str| run(["tokenizer", "encode", dir, "--text", "<|endoftext|>", "--special", how]);
    let [as_text, special, refused] = ["text", "allow", "refuse"].map(ids);
    assert!(as_text.stdout.split(|&c| c == b' ').count() > special.stdout.split(|&c| c == b' ').count());
    assert!(!refused.status.success() && said(&refused).contains("<|endoftext|>"), "{}", said(&refused));
}

#[test]
fn a_task_is_learned_from_scratch_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let model = here.join("model");
    content(&train(&model, &["bert", "--steps", "2"]));
    let data = here.join("train.tsv");
    fs::write(&data, "good\tvery nice indeed\nbad\tawful, just awful\n".repeat(4)).unwrap();
    let tuned = |name: &str, more: &[&str]| {
        let out = here.join(name);
        let [model, data, to] = [&model, &data, &out].map(|path| path.to_str().unwrap());
        let words = ["finetune", model, "classify", "--data", data, "--out", to, "--least-steps", "4", "--epochs", "1"];
        content(&[&words[..], more].concat());
        fs::read(out.join("model.safetensors")).unwrap()
    };
    let pre_trained = tuned("pre-trained", &[]);
    assert!(tuned("again", &["--threads", "1"]) == pre_trained && tuned("three", &["--threads", "3"]) == pre_trained);
    assert!(tuned("scratch", &["--scratch"]) != pre_trained);
    assert!(tuned("rounded", &["--precision", "bf16"]) != pre_trained);
    assert!(tuned("decayed", &["--layer-decay", "0.5"]) != pre_trained);
}

#[test]
fn what_is_benched_is_told_as_json_lines() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text.txt");
    fs::write(&text, "there and back again, and there again. ".repeat(300)).unwrap();
    for words in [
        &["bench", "step", "gpt-char", "--steps", "1"][..],
        &["bench", "step", "bert-mini", "--steps", "1", "--precision", "bf16"],
        &["bench", "tokenizer", text.to_str().unwrap(), "--vocab", "280"],
    ] {
        let output = run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        let lines = String::from_utf8(output.stdout).unwrap();
        assert!(!lines.is_empty());
        for line in lines.lines() {
            let told: serde_json::Value = serde_json::from_str(line).unwrap();
            let rates = told.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_per_s"));
            assert!(rates.clone().count() > 0 && rates.clone().all(|(_, rate)| rate.as_f64().unwrap() > 0.0), "{line}");
        }
    }
}
