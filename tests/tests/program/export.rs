//! Models on their way out: what was written is what was trained, as near as its numbers allow, and nothing is written over.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::{fails, run, said};

use super::{TINY_CLIP, train};

/// A small model in a directory of its own, hardly trained.
pub(super) fn trained(directory: &Path, more: &[&str]) -> PathBuf {
    let out = directory.join("run");
    let output = run(train(&out, &[more, &["--steps", "4", "--eval-every", "2"]].concat()));
    assert!(output.status.success(), "{}", said(&output));
    out
}

/// Runs the program, which must be content, and gives what it says.
pub(super) fn content(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) fn export(from: &Path, out: &Path, dtype: &str) -> String {
    content(&["export", from.to_str().unwrap(), out.to_str().unwrap(), "--dtype", dtype])
}

pub(super) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A tensor of a safetensors file: its type, its shape and its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Raw {
    kind: String,
    shape: Value,
    pub(super) bytes: Vec<u8>,
}

/// The tensors of a model by name.
pub(super) fn tensors(directory: &Path) -> BTreeMap<String, Raw> {
    tensors_of(&directory.join("model.safetensors"))
}

/// The same of a safetensors file, read by hand: 8 bytes say how long the header is, the header where each tensor lies.
pub(super) fn tensors_of(path: &Path) -> BTreeMap<String, Raw> {
    let bytes = fs::read(path).unwrap();
    let (length, rest) = bytes.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let header: BTreeMap<String, Value> = serde_json::from_slice(header).unwrap();
    let tensor = |(name, about): (String, Value)| {
        let place = |i: usize| about["data_offsets"][i].as_u64().unwrap() as usize;
        let (kind, bytes) = (about["dtype"].as_str().unwrap().to_owned(), data[place(0)..place(1)].to_vec());
        (name, Raw { kind, shape: about["shape"].clone(), bytes })
    };
    header.into_iter().filter(|(name, _)| name != "__metadata__").map(tensor).collect()
}

/// Writes tensors as a safetensors file.
pub(super) fn write<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a String, &'a Raw)>) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, tensor) in tensors {
        let begin = data.len();
        data.extend(&tensor.bytes);
        let about = json!({"dtype": tensor.kind, "shape": tensor.shape, "data_offsets": [begin, data.len()]});
        header.insert(name.clone(), about);
    }
    let header = Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length, header.as_bytes(), &data].concat()).unwrap();
}

/// The numbers of an f32 tensor.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

#[test]
fn f32_weights_stay_what_they_are_and_halves_are_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    let model = trained(directory.path(), &["gpt"]);
    let had = tensors(&model);
    let whole = directory.path().join("whole");
    export(&model, &whole, "f32");
    assert_eq!(tensors(&whole), had);
    assert_eq!(fs::read(whole.join("tokenizer.json")).unwrap(), fs::read(model.join("tokenizer.json")).unwrap());
    // A bf16 is the upper half of an f32; one half of the lower half decides, and a tie goes to the even number.
    let bf16 = |x: f32| ((u64::from(x.to_bits()) + 0x7fff + u64::from(x.to_bits() >> 16 & 1)) >> 16) as u16;
    let half = directory.path().join("half");
    let printed = export(&model, &half, "bf16");
    assert!(printed.contains("parameters as bf16"), "{printed}");
    for (name, Raw { kind, bytes, .. }) in tensors(&half) {
        let nearest: Vec<u8> = floats(&had[&name].bytes).into_iter().flat_map(|x| bf16(x).to_le_bytes()).collect();
        assert!(kind == "BF16" && bytes == nearest, "{name}");
    }
    assert_eq!(read_json(&half.join("config.json"))["dtype"], "bfloat16");
    let f16 = directory.path().join("f16");
    export(&model, &f16, "f16");
    assert!(tensors(&f16).values().all(|tensor| tensor.kind == "F16" && !tensor.bytes.is_empty()));
    assert_eq!(read_json(&f16.join("config.json"))["dtype"], "float16");
    for out in [&whole, &half, &f16] {
        content(&["generate", out.to_str().unwrap(), "On a", "--tokens", "5"]);
        let names: Vec<String> =
            fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| !name.starts_with('.') && name != "train.toml"), "{names:?}");
    }
    // What was exported can be exported again, with its card.
    let again = directory.path().join("again");
    export(&half, &again, "f32");
    let card = fs::read_to_string(again.join("README.md")).unwrap();
    assert!(card.contains("## Results") && card.contains("Its numbers are float32"), "{card}");
}

#[test]
fn every_kind_of_model_can_be_used_after_it_was_exported() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let place = |name: &str| {
        fs::create_dir(here.join(name)).unwrap();
        here.join(name)
    };
    let bert = trained(&place("bert"), &["bert"]);
    let post = trained(&place("post"), &["bert", "--norm", "post"]);
    let clip = trained(&place("clip"), TINY_CLIP);
    let data = here.join("train.tsv");
    fs::write(&data, "good\tvery nice indeed\nbad\tawful, just awful\n".repeat(8)).unwrap();
    let tuned = here.join("tuned");
    let (from, data, to) = (bert.to_str().unwrap(), data.to_str().unwrap(), tuned.to_str().unwrap());
    content(&["finetune", from, "classify", "--data", data, "--test-data", data, "--out", to, "--lr", "1e-2"]);
    for (from, words, says) in [
        (&bert, &["fill", "", "a [MASK]"][..], "pipeline_tag: fill-mask"),
        (&post, &["fill", "", "a [MASK]"], "pipeline_tag: fill-mask"),
        (&clip, &["classify", ""], "pipeline_tag: zero-shot-image-classification"),
        (&tuned, &["classify", "", "very nice indeed"], "| seed | steps | validation | test accuracy |"),
    ] {
        let out = from.with_extension("half");
        export(from, &out, "bf16");
        let words: Vec<&str> = words.iter().map(|&w| if w.is_empty() { out.to_str().unwrap() } else { w }).collect();
        let printed = content(&words);
        let card = fs::read_to_string(out.join("README.md")).unwrap();
        assert!(card.contains(says), "no {says:?} in {card}");
        if from == &tuned {
            assert!(printed.contains("good") && card.contains("`bad`, `good`"), "{printed}");
        }
        if from == &clip {
            assert!(out.join("preprocessor_config.json").exists());
        }
    }
}

/// The lines between a fence of this kind and its end.
fn fenced<'a>(card: &'a str, kind: &str) -> &'a str {
    let (_, rest) = card.split_once(&format!("```{kind}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_card_tells_what_was_measured_and_its_command_repeats_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("book.txt");
    fs::write(&data, "some words to learn pairs from, some more words. ".repeat(60)).unwrap();
    let model = trained(directory.path(), &["--data", data.to_str().unwrap()]);
    let out = directory.path().join("out");
    export(&model, &out, "bf16");
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    let metrics = fs::read_to_string(model.join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let loss = format!("| validation loss | {:.4} nats a token |", last["val_loss"].as_f64().unwrap());
    let vocabulary = read_json(&model.join("config.json"))["vocab_size"].as_u64().unwrap();
    let uniform = format!("| the loss of a guess at random | {:.4} nats a token |", (vocabulary as f64).ln());
    let tokens = "After step 4 of 4 (512 tokens, ";
    for says in
        ["library_name: transformers", "- `book.txt`", "# out\n", tokens, &loss, &uniform, "pretext generate out"]
    {
        assert!(card.contains(says), "no {says:?} in {card}");
    }
    assert!(!card.contains("licen") && !card.contains(directory.path().to_str().unwrap()), "{card}");
    // As the card says: its options in a file, beside the data.
    fs::write(directory.path().join("options.toml"), fenced(&card, "toml")).unwrap();
    let words = ["train", "--config", "options.toml", "--out", "again"];
    let output = tests::pretext().args(words).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(tensors(&directory.path().join("again")), tensors(&model));
    // The best weights have a card as well.
    let best = directory.path().join("best-out");
    export(&model.join("best"), &best, "f32");
    let card = fs::read_to_string(best.join("README.md")).unwrap();
    assert!(card.contains("The best weights of the run, those after step"), "{card}");
}

#[test]
fn a_checkpoint_of_others_gets_a_card_without_inventions() {
    let directory = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for name in ["gpt2", "bert", "roberta", "clip"] {
        let out = directory.path().join(name);
        export(&fixtures.join(name), &out, "f32");
        let had = tensors(&fixtures.join(name));
        assert!(tensors(&out).iter().all(|(name, tensor)| had[name] == *tensor), "{name}");
        let card = fs::read_to_string(out.join("README.md")).unwrap();
        for invented in ["## Data", "## Results", "How it was trained"] {
            assert!(!card.contains(invented), "{card}");
        }
    }
    // Their own card and their licence go with it.
    let theirs = directory.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixtures.join("bert").join(name), theirs.join(name)).unwrap();
    }
    fs::write(theirs.join("README.md"), "# Theirs\n\nA story of its own.\n").unwrap();
    fs::write(theirs.join("LICENSE"), "as they say").unwrap();
    let config = fs::read_to_string(theirs.join("config.json")).unwrap();
    fs::write(theirs.join("config.json"), config.replace("\"dtype\"", "\"torch_dtype\"")).unwrap();
    let out = directory.path().join("out");
    export(&theirs, &out, "f16");
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.starts_with("# Theirs\n\nA story of its own.\n") && card.contains("float16"), "{card}");
    assert_eq!(fs::read(out.join("LICENSE")).unwrap(), b"as they say");
    let config = read_json(&out.join("config.json"));
    assert_eq!((&config["dtype"], &config["torch_dtype"]), (&"float16".into(), &"float16".into()));
}

#[test]
fn weights_in_several_files_become_one_and_whole_numbers_stay() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bert");
    let mut had = tensors(&fixture);
    let bytes: Vec<u8> = (0..19u64).flat_map(u64::to_le_bytes).collect();
    let places = Raw { kind: "I64".to_owned(), shape: json!([1, 19]), bytes };
    had.insert("bert.embeddings.position_ids".to_owned(), places.clone());
    let from = directory.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::copy(fixture.join("config.json"), from.join("config.json")).unwrap();
    let half = had.len() / 2;
    write(&from.join("a.safetensors"), had.iter().take(half));
    write(&from.join("b.safetensors"), had.iter().skip(half));
    let file = |i: usize| if i < half { "a.safetensors" } else { "b.safetensors" };
    let map: serde_json::Map<_, _> = had.keys().enumerate().map(|(i, name)| (name.clone(), file(i).into())).collect();
    fs::write(from.join("model.safetensors.index.json"), json!({ "weight_map": map }).to_string()).unwrap();
    let out = directory.path().join("out");
    export(&from, &out, "f16");
    let written = tensors(&out);
    assert_eq!(written.keys().collect::<Vec<_>>(), had.keys().collect::<Vec<_>>());
    assert_eq!(written["bert.embeddings.position_ids"], places);
    assert_eq!(written["bert.embeddings.word_embeddings.weight"].kind, "F16");
    let files = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.filter(|name| name.to_str().unwrap().contains("safetensors")).count(), 1);
    // One that has a parameter in another shape, or none of that name, is no such model.
    let name = "bert.encoder.layer.0.output.dense.weight";
    let mut spoiled = had.clone();
    spoiled.get_mut(name).unwrap().shape = json!([96, 24]);
    let again = directory.path().join("again");
    let words = ["export", from.to_str().unwrap(), again.to_str().unwrap()];
    write(&from.join("model.safetensors"), &spoiled);
    fails(words, 1, &["model.safetensors", "encoder.layer.0.output.dense.weight has shape [96, 24]"]);
    spoiled.remove(name);
    write(&from.join("model.safetensors"), &spoiled);
    fails(words, 1, &["model.safetensors", "no parameter", "encoder.layer.0.output.dense.weight"]);
    spoiled.insert(name.to_owned(), Raw { kind: "F64".to_owned(), ..had[name].clone() });
    spoiled.get_mut(name).unwrap().bytes.extend(vec![0; 4 * 24 * 96]);
    write(&from.join("model.safetensors"), &spoiled);
    fails(words, 1, &["model.safetensors", "holds F64"]);
    assert!(!again.exists());
}

#[test]
fn ranks_for_tiktoken_are_the_ids() {
    let directory = tempfile::tempdir().unwrap();
    let model = trained(directory.path(), &["gpt"]);
    let out = directory.path().join("ranks.tiktoken");
    let printed = content(&["export", model.to_str().unwrap(), out.to_str().unwrap()]);
    assert!(
        printed.contains(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+") && printed.contains(r#"{"<|endoftext|>": "#),
        "{printed}"
    );
    let vocabulary = read_json(&model.join("tokenizer.json"))["model"]["vocab"].as_object().unwrap().len();
    let ranks = fs::read_to_string(&out).unwrap();
    assert!(ranks.starts_with("AA== 0\nAQ== 1\n") && ranks.lines().count() <= vocabulary);
    fails(["export", model.to_str().unwrap(), out.to_str().unwrap()], 1, &["ranks.tiktoken", "there already"]);
    fails(["export", model.to_str().unwrap(), "x.tiktoken", "--dtype", "f16"], 2, &["leave --dtype out"]);
}

#[test]
fn what_cannot_be_exported_is_refused_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let model = trained(directory.path(), &["gpt"]);
    let (from, out) = (model.to_str().unwrap(), directory.path().join("out"));
    let to = out.to_str().unwrap();
    let gguf = directory.path().join("out.gguf");
    let refused = |from: &str, out: &Path, dtype: &str, says: &[&str]| {
        fails(["export", from, out.to_str().unwrap(), "--dtype", dtype], 1, says);
        assert!(!out.exists(), "{} is left behind", out.display());
    };
    refused("nowhere", &out, "bf16", &["nowhere", "no such directory"]);
    fails(["export", from, from], 1, &["already holds", "stays as it is"]);
    fails(["export", from, to, "--dtype", "f8"], 2, &["f8"]);
    // Nothing is written over, not even a file that is no model.
    fs::create_dir(&out).unwrap();
    fs::write(out.join("README.md"), "mine").unwrap();
    fails(["export", from, to], 1, &["already holds README.md"]);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    fs::remove_file(out.join("README.md")).unwrap();
    // Other files may be there already.
    fs::write(out.join(".gitattributes"), "*").unwrap();
    export(&model, &out, "f32");
    fs::remove_dir_all(&out).unwrap();
    let spoiled = |name: &str, bytes: &[u8], dtype: &str, says: &[&str]| {
        let good = fs::read(model.join(name)).unwrap();
        fs::write(model.join(name), bytes).unwrap();
        refused(from, &out, dtype, says);
        refused(from, &gguf, dtype, &says[..1]);
        fs::write(model.join(name), good).unwrap();
    };
    let weights = fs::read(model.join("model.safetensors")).unwrap();
    let ending = |x: f32| [&weights[..weights.len() - 4], &x.to_le_bytes()].concat();
    spoiled("model.safetensors", &ending(f32::NAN), "f32", &["model.safetensors", "holds NaN", "copy it again"]);
    spoiled("model.safetensors", &ending(70000.0), "f16", &["model.safetensors", "holds 70000", "--dtype bf16"]);
    spoiled("model.safetensors", &weights[..weights.len() - 4], "f32", &["model.safetensors"]);
    let config = fs::read_to_string(model.join("config.json")).unwrap();
    spoiled(
        "config.json",
        config.replace("\"n_embd\": 16", "\"n_embd\": 32").as_bytes(),
        "f32",
        &["model.safetensors"],
    );
    spoiled("tokenizer.json", b"{}", "f32", &["tokenizer.json"]);
    // What cannot be opened is not exported either: a tensor too many, or a head of another kind.
    let beside = directory.path().join("beside.safetensors");
    let one = Raw { kind: "F32".to_owned(), shape: json!([1]), bytes: vec![0; 4] };
    let mut held = tensors(&model);
    held.insert("score.weight".to_owned(), one);
    write(&beside, &held);
    let more = fs::read(&beside).unwrap();
    spoiled("model.safetensors", &more, "f32", &["score.weight"]);
    fs::write(model.join("model.safetensors"), &more).unwrap();
    let tuned = config.replace("GPT2LMHeadModel", "GPT2ForSequenceClassification");
    spoiled("config.json", tuned.as_bytes(), "f32", &["score.weight has shape [1]"]);
    fs::write(model.join("model.safetensors"), &weights).unwrap();
    for (name, says) in
        [("metrics.jsonl", "metrics.jsonl: line 1"), ("train.toml", "train.toml"), ("state.safetensors", "state")]
    {
        let good = fs::read(model.join(name)).unwrap();
        fs::write(model.join(name), "nonsense\n{}\n").unwrap();
        refused(from, &out, "f32", &[says]);
        fs::write(model.join(name), good).unwrap();
    }
    // Only GPT-2 becomes GGUF.
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    refused(fixtures.join("bert").to_str().unwrap(), &gguf, "f32", &["no GPT-2"]);
    refused(fixtures.join("gpt2").to_str().unwrap(), &gguf, "f32", &["no tokenizer.json"]);
}
