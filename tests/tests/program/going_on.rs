//! A run that goes on from another model (`--from`): what it takes over, what it adds, and what it must not say otherwise.

use std::fs;
use std::path::Path;

use tests::{fails, run, said};

use super::TINY_CLIP;
use super::export::{tensors, write};
use super::simcse::trained;

/// Goes on from a model for two steps; says what the program said.
fn goes_on(model: &str, from: &Path, out: &Path, more: &[&str]) -> String {
    let [from, out] = [from, out].map(|path| path.to_str().unwrap());
    let words = ["train", model, "--from", from, "--out", out, "--steps", "2", "--batch-size", "4"];
    let output = run([&words[..], more].concat());
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[test]
fn a_bert_without_its_head_gets_one_where_hidden_tokens_are_to_be_found() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for norm in ["pre", "post"] {
        let here = here.join(norm);
        fs::create_dir(&here).unwrap();
        let from = trained(&here, "first", &["bert", "--norm", norm]);
        let is_head = |name: &str| ["lm_head", "cls.predictions"].iter().any(|head| name.starts_with(head));
        let whole = tensors(&from);
        let body: Vec<_> = whole.iter().filter(|(name, _)| !is_head(name)).collect();
        assert!(body.len() < whole.len());
        write(&from.join("model.safetensors"), body.iter().copied());

        let masked = here.join("masked");
        let text = goes_on("bert", &from, &masked, &["--lr", "1e-2"]);
        assert!(text.contains("begins with one of random weights") && !text.contains("got no gradient"), "{text}");
        let now = tensors(&masked);
        assert!(now.keys().eq(whole.keys()));
        assert!(body.iter().all(|(name, was)| now[*name] != **was), "all that it had has learned");

        let vectors = here.join("vectors");
        let text = goes_on("bert", &from, &vectors, &["--objective", "simcse"]);
        assert!(!text.contains("random weights"), "{text}");
        assert!(tensors(&vectors).keys().all(|name| !is_head(name)), "a head that nothing trains is none");
        fails(["fill", vectors.to_str().unwrap(), "a [MASK]"], 2, &["head"]);
        let output = run(["train", "--resume", vectors.to_str().unwrap()]);
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn a_clip_goes_on_to_see_pictures_as_it_did() {
    let directory = tempfile::tempdir().unwrap();
    let from = trained(directory.path(), "first", &[TINY_CLIP, &["--ground", "0", "0", "255"]].concat());
    let prepared = from.join("preprocessor_config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&prepared).unwrap()).unwrap();
    json["image_mean"] = serde_json::json!([0.5, 0.25, 0.5]);
    fs::write(&prepared, json.to_string()).unwrap();
    let out = directory.path().join("out");
    goes_on("clip", &from, &out, &[]);
    let now: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("preprocessor_config.json")).unwrap()).unwrap();
    assert_eq!(now, json);
}

#[test]
fn a_file_of_options_cannot_give_it_other_sizes() {
    let directory = tempfile::tempdir().unwrap();
    let from = trained(directory.path(), "first", &["bert"]);
    let second = directory.path().join("second");
    goes_on("bert", &from, &second, &[]);
    let config = second.join("train.toml");
    let out = directory.path().join("out");
    let words = ["train", "--config", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    fails([&words[..], &["--block-size", "64"]].concat(), 2, &["leave --block-size out"]);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("block_size = 32", "block_size = 64")).unwrap();
    fails(words, 1, &["first", "its block_size is 32, and the options say 64"]);
    fs::write(&config, text).unwrap();
    let output = run(words);
    assert!(output.status.success(), "{}", said(&output));
}
