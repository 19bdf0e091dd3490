//! What is trained here opens in `transformers` and `sentence-transformers` as it lies there, computes the same there, and
//! comes back.
//!
//! The other side is `tests/peers/round_trip.py`. It needs Python with torch, transformers, tokenizers, safetensors and
//! sentence-transformers: the one that the variable PRETEXT_PYTHON names, or python3. Where they are not at hand there is nobody to
//! compare with, and the test says so; what agrees then is held by the recorded answers of `agreement.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tests::{run, said};

const SIZES: [&str; 10] =
    ["--layers", "2", "--heads", "2", "--width", "32", "--block-size", "64", "--vocab-size", "400"];

/// The python that has the packages.
fn python() -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("PRETEXT_PYTHON").unwrap_or("python3".into()));
    let probe = "import torch, transformers, tokenizers, safetensors, sentence_transformers";
    let there = Command::new(&python).args(["-c", probe]).output().is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("PRETEXT_PYTHON").is_none(), "{} lacks packages", python.display());
    there.then_some(python)
}

/// What the program says with these words on standard output.
fn says<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> String {
    let output = run(words);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON lines of it.
fn lines(words: &[&str]) -> Vec<Value> {
    says(words).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

struct Directory(tempfile::TempDir);

impl Directory {
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Trains a model for a moment, fast enough that it is sure of something.
    fn train(&self, name: &str, more: &[&str]) {
        let out = self.path(name);
        let steps = ["--steps", "60", "--batch-size", "8", "--lr", "1e-2"];
        says([&["train", "--out", &out][..], more, &SIZES, &steps].concat());
    }

    fn finetune(&self, name: &str, words: &[&str]) {
        let out = self.path(name);
        let brief = ["--epochs", "1", "--least-steps", "40", "--lr", "1e-2"];
        says([&["finetune"], words, &["--out", &out], &brief].concat());
    }

    /// The ids of some texts of many kinds.
    fn ids(&self, name: &str) -> Value {
        let texts = ["On a sunny Monday, Mia takes the red ball.", "naïve café — “quoted” 42", "日本語 🦀 \n\t x"];
        let of = |text: &str| {
            let ids = says(["tokenizer", "encode", &self.path(name), "--text", text]);
            json!([text, ids.split_whitespace().map(|id| id.parse::<u32>().unwrap()).collect::<Vec<_>>()])
        };
        texts.map(of).to_vec().into()
    }

    fn tell(&self, name: &str, what: &Value) {
        fs::write(Path::new(&self.path(name)).join("said.json"), what.to_string()).unwrap();
    }
}

const STORIES: [&str; 3] = [
    "Mia takes the red ball and slowly sets it on the left.",
    "On a rainy Friday, Tom and Eva sit in the kitchen. They see a tiny blue cube at the top.",
    "a",
];

#[test]
fn what_is_trained_here_computes_the_same_elsewhere_and_comes_back() {
    let Some(python) = python() else {
        eprintln!("no Python with transformers and sentence-transformers at hand (PRETEXT_PYTHON): nothing to compare");
        return;
    };
    let here = Directory(tempfile::tempdir().unwrap());
    let record = |name: &str| drop(says(["verify", "--record", &here.path(name)]));

    here.train("gpt", &["gpt"]);
    record("gpt");
    let greedy = ["On a sunny Monday,", "Mia", "They see"].map(|prompt| {
        let words = ["generate", &here.path("gpt"), prompt, "--greedy", "--tokens", "20"];
        json!([prompt, says(words).trim_end_matches('\n')])
    });
    here.tell("gpt", &json!({"ids": here.ids("gpt"), "greedy": greedy}));

    for (name, norm) in [("bert", "pre"), ("bert-post", "post")] {
        here.train(name, &["bert", "--norm", norm]);
        record(name);
        let fill = STORIES.map(|text| {
            let text = format!("{text} It was [MASK].");
            let found = lines(&["fill", &here.path(name), &text, "--json"]);
            json!([text, found[0]["masks"][0]])
        });
        here.tell(name, &json!({"ids": here.ids(name), "fill": fill}));
    }

    let pictures = ["--image-size", "16", "--patch-size", "8", "--vision-layers", "1", "--vision-heads", "2"];
    here.train("clip", &[&["clip"][..], &pictures, &["--vision-width", "16", "--embed-dim", "8"]].concat());
    record("clip");
    let vectors =
        |name: &str| STORIES.map(|text| json!([text, lines(&["embed", &here.path(name), text])[0]["vector"]]));
    here.tell("clip", &json!({"ids": here.ids("clip"), "vectors": vectors("clip")}));

    for (name, from) in [("classify", "bert"), ("classify-post", "bert-post"), ("gpt-classify", "gpt")] {
        here.finetune(name, &[&here.path(from), "classify"]);
        record(name);
        let labelled = |text| lines(&["classify", &here.path(name), text, "--top", "99", "--json"])[0]["labels"].take();
        here.tell(name, &json!({"probabilities": STORIES.map(|text| json!([text, labelled(text)]))}));
    }
    here.finetune("tag", &[&here.path("bert"), "tag"]);
    record("tag");
    let texts = [
        "Mia takes the red ball",
        "Tom and Eva see a tiny blue cube.",
        "\t\"Mia, Tom (and Eva)\", they say: \"the red ball!\"\n ... and  the blue cube?",
    ];
    let tagged = |text| json!([text, lines(&["tag", &here.path("tag"), text, "--json"])[0]["entities"]]);
    here.tell("tag", &json!({"entities": texts.map(tagged)}));
    here.finetune("answer", &[&here.path("bert"), "answer"]);
    record("answer");
    let answers = [("Where is it?", STORIES[0]), ("Who sits there?", STORIES[1])].map(|(question, text)| {
        json!([question, text, lines(&["answer", &here.path("answer"), question, text, "--json"])[0]["answer"]])
    });
    here.tell("answer", &json!({"answers": answers}));
    let simcse = ["--objective", "simcse", "--from", &here.path("bert"), "--steps", "3", "--batch-size", "8"];
    says([&["train", "bert", "--out", &here.path("embed")][..], &simcse].concat());
    here.tell("embed", &json!({"vectors": vectors("embed")}));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/round_trip.py");
    let output = Command::new(python).arg(script).arg(here.0.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));

    // And back: what transformers saved again is opened here, agrees with what was recorded, and says the same.
    let tasks = ["classify", "classify-post", "gpt-classify", "tag", "answer"];
    for name in ["gpt", "bert", "bert-post", "clip"].into_iter().chain(tasks) {
        let [there, back] = [here.path(name), here.path(&format!("{name}-back"))];
        // Of fine-tuned models the script left what is computed there.
        let [ours, reference] = [&there, &back].map(|directory| Path::new(directory).join("reference.safetensors"));
        if !tasks.contains(&name) {
            fs::copy(ours, reference).unwrap();
        }
        says(["verify", &back]);
        assert_eq!(here.ids(name), here.ids(&format!("{name}-back")), "{name}: ids");
    }
    for name in ["classify", "classify-post", "gpt-classify"] {
        let [there, back] =
            [name, &format!("{name}-back")].map(|name| lines(&["classify", &here.path(name), STORIES[1], "--json"]));
        assert_eq!(there, back, "{name}");
    }
    for name in ["tag", "tag-back"] {
        assert_eq!(tagged_text(&here.path(name), texts[1]), tagged_text(&here.path("tag"), texts[1]));
    }
    let [there, back] = ["answer", "answer-back"]
        .map(|name| lines(&["answer", &here.path(name), "Where is it?", STORIES[0], "--json"]));
    assert_eq!(there, back);
}

fn tagged_text(directory: &str, text: &str) -> Vec<Value> {
    lines(&["tag", directory, text, "--json"])
}
