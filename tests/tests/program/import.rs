//! A model by its name, from a hub that a small server plays: what is fetched, what stays, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use models::Model;
use models::gpt::GptConfig;
use models::hub::{self as files, weights};
use serde_json::json;
use tempfile::TempDir;
use tests::{pretext, run, said};
use tokenizer::Tokenizer;

use super::hub::{Fault, Files, Hub};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Whatever a directory holds.
fn held(directory: &Path) -> Files {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
}

/// A GPT-2 that learned nothing, of 230 kB, with its tokenizer.
fn tiny() -> Files {
    let directory = tempfile::tempdir().unwrap();
    let tokenizer = Tokenizer::train(&["there and back again, and there again. ".repeat(30).as_bytes()], 270).unwrap();
    let (model, params) = models::Config::Gpt(GptConfig::new(tokenizer.vocab_size(), 32, 1, 2, 64)).init(1);
    assert!(matches!(model, Model::Gpt(_)));
    files::save(directory.path(), &model, &params, &tokenizer).unwrap();
    tokenizer.save(&directory.path().join("tokenizer.json")).unwrap();
    held(directory.path())
}

/// The same with some files more or others.
fn tiny_with<const N: usize>(more: [(&str, &[u8]); N]) -> Files {
    tiny().into_iter().chain(more.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))).collect()
}

/// A hub and the home of one who uses it.
struct User {
    hub: Hub,
    home: TempDir,
}

impl User {
    fn of(files: Files) -> Self {
        Self { hub: Hub::new(files), home: tempfile::tempdir().unwrap() }
    }

    fn import_with(&self, words: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = pretext();
        for name in ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "ALL_PROXY", "HTTP_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.env("HF_HOME", self.home.path()).env("HF_ENDPOINT", &self.hub.endpoint);
        command.arg("import").args(words).envs(environment.iter().copied()).output().unwrap()
    }

    /// Imports, and gives the directory that was printed, and nothing else.
    fn import(&self, name: &str) -> PathBuf {
        imported(&self.import_with(&[name], &[]))
    }

    /// Fails to import, saying these things.
    fn fails(&self, words: &[&str], says: &[&str]) {
        fails(&self.import_with(words, &[]), 1, says);
    }

    /// Where the model stays.
    fn cache(&self) -> PathBuf {
        self.home.path().join("hub/models--org--tiny")
    }
}

fn imported(output: &Output) -> PathBuf {
    assert!(output.status.success(), "{}", said(output));
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(printed.lines().count(), 1, "{printed}");
    PathBuf::from(printed.trim_end())
}

fn fails(output: &Output, code: i32, says: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty() && !said.contains("panicked"), "{said}");
    says.iter().for_each(|word| assert!(said.contains(word), "no {word:?} in: {said}"));
}

fn asked_for(asked: &[String], name: &str) -> bool {
    asked.iter().any(|line| line.split(' ').nth(1).is_some_and(|path| path.ends_with(name)))
}

#[test]
fn a_model_is_fetched_by_its_name_once_and_used_from_the_directory_that_is_printed() {
    let user = User::of(tiny_with([
        ("1_Pooling/config.json", b"{}"),
        ("modules.json", br#"[{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]"#),
        ("generation_config.json", b"{}"),
        ("modeling_tiny.py", b"exit()"),
        ("pytorch_model.bin", b"exit()"),
        ("README.md", b"read me"),
    ]));
    let directory = user.import("org/tiny");
    let names = [
        "1_Pooling",
        "config.json",
        "generation_config.json",
        WEIGHTS,
        "modules.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    let mut found: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, names);
    assert_eq!(fs::read(directory.join("1_Pooling/config.json")).unwrap(), b"{}");
    assert_eq!(fs::read(directory.join(WEIGHTS)).unwrap(), tiny()[WEIGHTS]);
    let (asked, _) = user.hub.news();
    assert!(!["tiny.py", "model.bin", "README.md"].iter().any(|name| asked_for(&asked, name)), "{asked:?}");

    let text = run(["generate", directory.to_str().unwrap(), "there and", "--tokens", "5"]);
    assert!(text.status.success() && text.stdout.starts_with(b"there and"), "{}", said(&text));
    assert_eq!(user.import("org/tiny"), directory);
    assert_eq!(user.hub.news(), (vec!["GET /api/models/org/tiny/revision/main".to_owned()], 0));

    // A blob has the checksum as its name, a snapshot has links, and a branch the name of a commit.
    let commit = fs::read_to_string(user.cache().join("refs/main")).unwrap();
    assert!(directory.ends_with(format!("models--org--tiny/snapshots/{commit}")));
    #[cfg(unix)]
    assert!(fs::read_link(directory.join("1_Pooling/config.json")).unwrap().starts_with("../../../blobs"));
    assert!(held(&user.cache().join("blobs")).keys().all(|name| [40, 64].contains(&name.len())));
}

#[test]
fn what_two_states_have_in_common_is_fetched_once() {
    let user = User::of(tiny());
    let first = user.import("org/tiny");
    user.hub.news();
    user.hub.put("generation_config.json", "{}");
    let second = user.import("org/tiny");
    assert_ne!(first, second);
    assert_eq!(user.hub.news().1, 2, "the new file's two bytes");
    assert_eq!(fs::read(second.join(WEIGHTS)).unwrap(), tiny()[WEIGHTS]);
    let commit = first.file_name().unwrap().to_str().unwrap();
    user.fails(&["org/tiny", "--revision", commit], &["no revision", commit]);
    let again = user.import_with(&["org/tiny", "--revision", commit], &[("HF_HUB_OFFLINE", "1")]);
    assert_eq!(imported(&again), first);
}

#[test]
fn without_a_network_there_is_what_is_in_the_cache_or_a_sentence() {
    let user = User::of(tiny());
    let nowhere = ("HF_ENDPOINT", "http://127.0.0.1:9");
    let says = ["cannot reach http://127.0.0.1:9", "not in the cache", "is there a network?"];
    fails(&user.import_with(&["org/tiny"], &[nowhere]), 1, &says);
    let offline = ("HF_HUB_OFFLINE", "1");
    fails(&user.import_with(&["org/tiny"], &[offline]), 1, &["org/tiny (main)", "HF_HUB_OFFLINE"]);
    assert!(user.hub.news().0.is_empty());

    let directory = user.import("org/tiny");
    user.hub.news();
    let without = user.import_with(&["org/tiny"], &[nowhere]);
    assert_eq!(imported(&without), directory);
    assert!(said(&without).contains("org/tiny is taken from the cache"), "{}", said(&without));
    assert_eq!(imported(&user.import_with(&["org/tiny"], &[offline])), directory);
    assert!(user.hub.news().0.is_empty());
    user.hub.fail(Fault::Status(503, ""));
    assert_eq!(user.import("org/tiny"), directory);

    // Another program may have fetched the config alone.
    fs::remove_file(directory.join(WEIGHTS)).unwrap();
    fails(&user.import_with(&["org/tiny"], &[offline]), 1, &["in the cache without model.safetensors"]);
}

#[test]
fn a_download_that_was_cut_off_goes_on_where_it_stopped() {
    let user = User::of(tiny());
    let size = tiny()[WEIGHTS].len();
    user.hub.fail(Fault::Cut(WEIGHTS, 100_000));
    user.fails(&["org/tiny"], &["model.safetensors: the connection broke after 100000 of", "it goes on from there"]);
    let (asked, _) = user.hub.news();
    assert!(asked.contains(&format!("GET /elsewhere/{WEIGHTS} bytes=0-")), "{asked:?}");
    assert!(!user.cache().join("refs/main").exists(), "a branch is at what is all there");

    user.hub.fail(Fault::None);
    let directory = user.import("org/tiny");
    let (asked, sent) = user.hub.news();
    assert!(asked.contains(&format!("GET /elsewhere/{WEIGHTS} bytes=100000-")), "{asked:?}");
    assert_eq!(sent, size - 100_000);
    assert_eq!(fs::read(directory.join(WEIGHTS)).unwrap(), tiny()[WEIGHTS]);
}

#[test]
fn a_download_of_which_only_the_last_step_was_missing_is_not_fetched_again() {
    let user = User::of(tiny());
    user.import("org/tiny");
    let blobs = user.cache().join("blobs");
    let whole = held(&blobs).into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0;
    for bytes in [tiny()[WEIGHTS].clone(), b"too long ".repeat(100_000)] {
        let enough = bytes == tiny()[WEIGHTS];
        fs::remove_file(blobs.join(&whole)).unwrap();
        fs::write(blobs.join(format!("{whole}.incomplete")), bytes).unwrap();
        user.hub.news();
        user.import("org/tiny");
        assert_eq!(user.hub.news().1, if enough { 0 } else { tiny()[WEIGHTS].len() });
        assert_eq!(held(&blobs)[&whole], tiny()[WEIGHTS]);
    }
}

#[test]
fn bytes_that_are_not_what_the_hub_says_are_refused_and_removed() {
    let user = User::of(tiny());
    for name in ["config.json", WEIGHTS] {
        user.hub.fail(Fault::Wrong(name));
        user.fails(&["org/tiny"], &[name, "checksum", "it is removed"]);
        let left = held(&user.cache().join("blobs"));
        assert!(!left.values().any(|bytes| bytes.len() == tiny()[name].len()), "{:?}", left.keys());
    }
    user.hub.fail(Fault::None);
    let directory = user.import("org/tiny");
    assert_eq!(fs::read(directory.join(WEIGHTS)).unwrap(), tiny()[WEIGHTS]);
}

#[test]
fn a_file_that_was_damaged_in_the_cache_is_removed_and_fetched_anew() {
    let user = User::of(tiny());
    let directory = user.import("org/tiny");
    for name in ["config.json", WEIGHTS] {
        let blob = fs::canonicalize(directory.join(name)).unwrap();
        fs::write(&blob, &tiny()[name][..100]).unwrap();
        user.fails(&["org/tiny"], &[name, "damaged in the cache", "import the model again"]);
        assert!(!blob.exists());
        assert_eq!(user.import("org/tiny"), directory);
        assert_eq!(fs::read(blob).unwrap(), tiny()[name]);
    }
}

#[test]
fn pickles_are_refused_and_not_fetched() {
    let mut files =
        tiny_with([("flax_model.msgpack", b""), ("pytorch_model.bin", b"exit()"), ("training_args.bin", b"")]);
    files.remove(WEIGHTS);
    let user = User::of(files);
    let says = ["org/tiny", "only as pytorch_model.bin", "can run code", "--revision refs/pr/N"];
    user.fails(&["org/tiny"], &says);
    assert_eq!(user.hub.news().0.len(), 1, "the list of files says it all");

    user.hub.put(WEIGHTS, tiny()[WEIGHTS].clone());
    let directory = imported(&user.import_with(&["org/tiny", "--revision", "refs/pr/1"], &[]));
    assert!(directory.join(WEIGHTS).exists() && user.cache().join("refs/refs/pr/1").exists());

    let mut files = tiny_with([("model.onnx", b""), ("training_args.bin", b"")]);
    files.remove(WEIGHTS);
    User::of(files).fails(&["org/tiny"], &["has no model.safetensors, but model.onnx, which is not read here"]);
}

#[test]
fn a_model_that_cannot_be_opened_is_refused_before_its_weights_are_fetched() {
    let bytes = Tokenizer::bytes().to_json();
    for (name, bytes, says) in [
        ("config.json", &b"{\"model_type\": \"llama\"}"[..], ["config.json", "model_type is llama"]),
        ("config.json", b"<html>", ["config.json", "not JSON"]),
        ("tokenizer.json", b"{\"model\": {\"type\": \"Unigram\"}}", ["tokenizer.json", "not supported"]),
        ("tokenizer.json", bytes.as_bytes(), ["tokenizer has 256 tokens", "the model 270"]),
    ] {
        let user = User::of(tiny_with([(name, bytes)]));
        user.fails(&["org/tiny"], &says);
        assert!(!asked_for(&user.hub.news().0, WEIGHTS));
    }
    let mut files = tiny_with([("spiece.model", b"x")]);
    files.remove("tokenizer.json");
    let user = User::of(files);
    user.fails(&["org/tiny"], &["no tokenizer that can be read here"]);
    assert!(!asked_for(&user.hub.news().0, WEIGHTS));
}

#[test]
fn weights_in_several_files_come_by_their_index_which_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = tiny();
    fs::write(directory.path().join(WEIGHTS), files.remove(WEIGHTS).unwrap()).unwrap();
    fs::write(directory.path().join("config.json"), &files["config.json"]).unwrap();
    let (_, params) = files::open(directory.path()).unwrap();
    let mut first = weights::named(&params);
    let second = first.split_off(3);
    let mut map = serde_json::Map::new();
    for (name, tensors) in [("model-1.safetensors", &first), ("model-2.safetensors", &second)] {
        let path = directory.path().join(name);
        weights::write(&path, tensors, ("format", "pt")).unwrap();
        files.insert(name.to_owned(), fs::read(path).unwrap());
        tensors.iter().for_each(|tensor| drop(map.insert(tensor.name.clone(), name.into())));
    }
    files.insert(INDEX.to_owned(), json!({"weight_map": map}).to_string().into_bytes());
    files.insert("evil.bin".to_owned(), b"exit()".to_vec());
    let user = User::of(files);
    let directory = user.import("org/tiny");
    let text = run(["generate", directory.to_str().unwrap(), "there", "--tokens", "3"]);
    assert!(text.status.success(), "{}", said(&text));

    for (file, says) in [
        ("../evil", "no file beside it"),
        ("/etc/passwd", "no file beside it"),
        ("evil.bin", "no file beside it that ends in .safetensors"),
        ("model-3.safetensors", "no such file"),
    ] {
        map.insert("wte.weight".to_owned(), file.into());
        user.hub.put(INDEX, json!({"weight_map": map}).to_string());
        user.hub.news();
        user.fails(&["org/tiny"], &[file, says]);
        assert!(!asked_for(&user.hub.news().0, file));
    }
}

#[test]
fn older_tokenizers_come_with_all_their_files() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bert");
    let mut files = held(&fixture);
    let letters = ('!'..='~').map(String::from);
    let vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned).into_iter().chain(letters).take(61);
    files.insert("vocab.txt".to_owned(), vocab.map(|token| token + "\n").collect::<String>().into_bytes());
    let user = User::of(files);
    let directory = user.import("org/tiny");
    assert!(!directory.join("reference.safetensors").exists());
    let filled = run(["fill", directory.to_str().unwrap(), "a [MASK] 1"]);
    assert!(filled.status.success(), "{}", said(&filled));
}

#[test]
fn a_token_opens_what_is_private_and_goes_to_the_hub_alone() {
    let user = User::of(tiny());
    user.hub.only_with("hf_secret");
    user.fails(&["org/tiny"], &["has no model org/tiny, or it is private", "set HF_TOKEN"]);
    let with = |token| user.import_with(&["org/tiny"], &[("HF_TOKEN", token)]);
    fails(&with("hf_wrong"), 1, &["the token that was sent does not open it"]);
    imported(&with("hf_secret")); // the server answers 400 to a token where the large files lie
    fs::write(user.home.path().join("token"), "hf_secret\n").unwrap();
    user.import("tiny");
}

#[test]
fn a_model_that_was_renamed_is_found_under_its_old_name() {
    let user = User::of(tiny());
    let directory = user.import("tiny");
    assert!(directory.starts_with(user.home.path().join("hub/models--tiny")));
}

#[test]
fn what_the_hub_will_not_give_is_said_plainly() {
    let user = User::of(tiny());
    user.fails(&["org/other"], &["no model org/other", "check the name"]);
    user.fails(&["org/tiny", "--revision", "v9"], &["org/tiny has no revision v9"]);
    for (status, code, says) in [
        (403, "GatedRepo", "only for those whom its owner lets in"),
        (401, "GatedRepo", "only for those whom its owner lets in"),
        (404, "RepoNotFound", "has no model"),
        (429, "", "cannot answer now (status 429)"),
        (500, "", "cannot answer now (status 500)"),
        (418, "", "status 418"),
    ] {
        user.hub.fail(Fault::Status(status, code));
        user.fails(&["org/tiny"], &[says]);
    }
    let elsewhere = |endpoint| user.import_with(&["org/tiny"], &[("HF_ENDPOINT", endpoint)]);
    fails(&elsewhere("no address"), 1, &["cannot reach no address"]);
    fails(&elsewhere("http://127.0.0.1:9"), 1, &["cannot reach"]);
    user.hub.news();
    for words in [&["a/b/c"][..], &["../tiny"], &["org/"], &["a b"], &["org/tiny", "--revision", "../main"]] {
        fails(&user.import_with(words, &[]), 2, &[]);
    }
    assert!(user.hub.news().0.is_empty(), "no request with such names");
    assert!(!user.cache().exists());
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let user = User::of(tiny());
    let file = user.home.path().join("file");
    fs::write(&file, b"").unwrap();
    let output = user.import_with(&["org/tiny"], &[("HF_HUB_CACHE", file.to_str().unwrap())]);
    fails(&output, 1, &["file/models--org--tiny", "choose another place"]);
}
