//! What is asked of every reader of files from elsewhere, whatever the file holds: an error that names the file and the
//! fault, or something that works. A panic is a fault of the reader.
//!
//! The test `readers` damages files and asks; the fuzzers in `tests/fuzz` ask the same of millions of inputs.

use std::fmt::Display;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use autograd::Params;
use models::Config;
use models::clip::ClipConfig;
use models::hub::clip::parse_preprocess;
use models::hub::weights::Weights;
use models::hub::{Checkpoint, parse_config};
use models::verify;
use models::verify::reference::Subject;
use serde_json::json;
use tensor::matmul::Precision;
use tokenizer::{Special, Tokenizer};

/// Asks a reader what it makes of a file: whether it was read.
pub type Ask = fn(&[u8]) -> bool;

/// Every reader by the name of its fuzzer.
pub const READERS: [(&str, Ask); 7] = [
    ("safetensors", safetensors),
    ("index", index),
    ("reference", reference),
    ("config", config),
    ("tokenizer_json", tokenizer_json),
    ("vocab_merges", vocab_merges),
    ("vocab_txt", vocab_txt),
];

/// An error is one sentence that a terminal can bear, however long the file; it begins with the file's name.
fn said(error: &impl Display, name: &str) -> bool {
    let said = error.to_string();
    assert!(!said.is_empty() && said.chars().count() < 2000 && said.starts_with(name), "{name}: {said}");
    false
}

/// A checkpoint of this size is what [`safetensors`] is asked for.
pub const TINY: &str =
    r#"{"model_type": "gpt2", "vocab_size": 2, "n_positions": 2, "n_embd": 2, "n_layer": 1, "n_head": 1}"#;

/// Any bytes as the weights of a tiny GPT-2: an error, or a model with finite weights.
pub fn safetensors(bytes: &[u8]) -> bool {
    static CONFIG: LazyLock<(Config, serde_json::Value)> = LazyLock::new(|| parse_config(TINY).expect("it is right"));
    const NAME: &str = "given/model.safetensors";
    let weights = match Weights::from_bytes(Path::new(NAME), bytes.to_vec()) {
        Ok(weights) => weights,
        Err(error) => return said(&error, NAME),
    };
    let mut count = 0;
    for name in weights.names() {
        let shape = weights.shape(&name).expect("the name is the file's");
        let size: usize = shape.iter().product();
        match weights.numbers(&name) {
            Ok((of, numbers)) => {
                assert!(of == shape && numbers.len() == size);
                count += size;
            }
            Err(error) => _ = said(&error, NAME),
        }
        assert!(weights.integers(&name).map_or(true, |(of, numbers)| of == shape && numbers.len() == size));
    }
    assert!(2 * count <= bytes.len(), "{count} numbers in {} bytes", bytes.len());
    weights.metadata("format");
    match Checkpoint::new(CONFIG.clone(), weights).and_then(|checkpoint| checkpoint.model()) {
        Ok((_, params)) => params.flat().iter().all(|x| x.is_finite()) || panic!("numbers that are none"),
        Err(error) => said(&error, NAME),
    }
}

/// The files that an index may name: one with the tensors `a` and `b`, one with `c`.
const PARTS: [&[u8]; 2] = [
    b"\x6a\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},\
      \"b\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[4,8]}}abcdefgh",
    b"\x37\0\0\0\0\0\0\0{\"c\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}abcd",
];

/// Any text as the index of weights: only files beside it are opened, and each tensor is in the file that it names.
pub fn index(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let part = |name: &str| {
        let mut parts = Path::new(name).components();
        assert!(matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)), "{name:?} was opened");
        PARTS[name.len() % 2].to_vec()
    };
    match Weights::from_parts(Path::new("given/model.safetensors.index.json"), text, part) {
        Ok(weights) => weights.names().iter().all(|name| weights.shape(name).is_ok()),
        Err(error) => said(&error, "given/"),
    }
}

/// Small models of three kinds, each with what is recorded of it.
static RECORDED: LazyLock<[(Subject, Params, Vec<u8>); 3]> = LazyLock::new(|| {
    let bert = json!({"model_type": "bert", "vocab_size": 3, "max_position_embeddings": 2, "hidden_size": 2,
        "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 2});
    let part = |size: &str, n: usize| {
        json!({"hidden_size": 2, "intermediate_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1,
            "vocab_size": 3, "max_position_embeddings": 2, "patch_size": 1, size: n})
    };
    let clip = json!({"model_type": "clip", "projection_dim": 2, "text_config": part("eos_token_id", 2),
        "vision_config": part("image_size", 2)});
    let tokenizer = Tokenizer::bytes();
    [TINY.to_owned(), bert.to_string(), clip.to_string()].map(|config| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (model, params) = parse_config(&config).expect("it is right").0.init(1);
        models::hub::save(directory.path(), &model, &params, &tokenizer).expect("there is room for it");
        let recorded = verify::record::record(directory.path(), 1).expect("it was just written");
        (Subject::of(model), params, std::fs::read(recorded).expect("it was just written"))
    })
});

/// Any bytes as what was recorded of a tiny GPT-2, BERT and CLIP: an error, or a comparison.
pub fn reference(bytes: &[u8]) -> bool {
    const NAME: &str = "given/reference.safetensors";
    let weights = match Weights::from_bytes(Path::new(NAME), bytes.to_vec()) {
        Ok(weights) => weights,
        Err(error) => return said(&error, NAME),
    };
    let compared = RECORDED.each_ref().map(|(subject, params, _)| {
        verify::compare(subject, params, &weights, Precision::Full).map_or_else(|error| said(&error, NAME), |_| true)
    });
    compared.contains(&true)
}

/// Any text as config.json and as preprocessor_config.json: what passes has sizes that can be reckoned with.
pub fn config(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let prepares = match parse_preprocess(text, None, &ClipConfig::default()) {
        Ok(preprocess) => preprocess.iter().flat_map(|of| of.mean.into_iter().chain(of.std)).all(f32::is_finite),
        Err(what) => said(&what, ""),
    };
    let config = match parse_config(text) {
        Ok((config, _)) => config,
        Err(what) => return said(&what, "") || prepares,
    };
    assert!(config.flops_per_item(1, [0.15; 2]).is_finite());
    let count = match &config {
        Config::Gpt(gpt) => gpt.parameters(),
        Config::Bert(bert) => bert.block_size() * bert.hidden_size + bert.first_position(),
        Config::Clip(clip) => (clip.vision_config.patches() + 1) * clip.vision_config.hidden_size,
    };
    assert!(count < 1 << 42, "{count} numbers");
    true
}

/// Any text as tokenizer.json.
pub fn tokenizer_json(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    works(Tokenizer::from_json(text), bytes)
}

/// Any texts as vocab.json, merges.txt and, if there is a third, tokenizer_config.json; a zero byte stands between them.
pub fn vocab_merges(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let mut files = text.splitn(3, '\0');
    let [vocab, merges] = [(); 2].map(|()| files.next().unwrap_or_default());
    works(Tokenizer::from_vocab_and_merges(vocab, merges, files.next()), bytes)
}

/// Any texts as vocab.txt and, after a zero byte, tokenizer_config.json.
pub fn vocab_txt(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let (vocab, config) = text.split_once('\0').map_or((text, None), |(vocab, config)| (vocab, Some(config)));
    works(Tokenizer::from_vocab(vocab, config), bytes)
}

/// A tokenizer that was read encodes and decodes any text, and the file that it writes gives the same ids.
fn works(read: Result<Tokenizer, tokenizer::Error>, file: &[u8]) -> bool {
    let tokenizer = match read {
        Ok(tokenizer) => tokenizer,
        Err(error) => return said(&error, ""),
    };
    let written = tokenizer.to_json();
    let again =
        Tokenizer::from_json(&written).unwrap_or_else(|error| panic!("{error}, in what was written: {written}"));
    let texts = ["The king's 2 [MASK]\u{301} élève<|endoftext|> 東京 \u{0}".as_bytes(), &file[..file.len().min(200)]];
    for text in texts {
        let ids = tokenizer.encode_framed(text, Special::Allow).expect("specials are allowed");
        assert_eq!(ids, again.encode_framed(text, Special::Allow).expect("specials are allowed"), "{written}");
        tokenizer.decode(&ids).expect("the ids are its own");
        tokenizer.words_of(&ids);
        tokenizer.encode_pair(text, text, Special::AsText).expect("as text none is refused");
    }
    true
}

/// Files that each reader reads, small enough for a fuzzer to change all of them.
pub fn seeds(reader: &str) -> Vec<Vec<u8>> {
    let fixture = |name: &str| -> PathBuf { [env!("CARGO_MANIFEST_DIR"), "fixtures", name].iter().collect() };
    let kept = |name: &str| std::fs::read(fixture(name)).expect("it is kept beside the tests");
    let trained =
        Tokenizer::train(&[b"the cat sat on the mat, the cat that sat on the hat"], 262).expect("256 or more");
    let bytes = |value: serde_json::Value| value.to_string().into_bytes();
    match reader {
        "safetensors" => {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let (model, params) = parse_config(TINY).expect("it is right").0.init(1);
            models::hub::save(directory.path(), &model, &params, &trained).expect("there is room for it");
            let path = directory.path().join("model.safetensors");
            vec![std::fs::read(path).expect("it was written"), PARTS[0].to_vec(), PARTS[1].to_vec()]
        }
        "index" => vec![
            bytes(json!({"metadata": {"total_size": 12}, "weight_map":
                {"a": "even.safetensors", "b": "even.safetensors", "c": "odd.safetensors"}})),
            bytes(json!({"weight_map": {"a": "even.safetensors"}})),
        ],
        "reference" => RECORDED.each_ref().map(|(_, _, recorded)| recorded.clone()).to_vec(),
        "config" => ["gpt2", "bert", "roberta", "clip"]
            .iter()
            .map(|name| kept(&format!("{name}/config.json")))
            .chain([bytes(json!({"do_resize": true, "resample": 3, "size": {"shortest_edge": 224}, "crop_size": 224,
                "rescale_factor": 1.0 / 255.0, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.5, 0.5]}))])
            .collect(),
        "tokenizer_json" => {
            let framed = trained.clone().framed();
            let pieces = Tokenizer::from_vocab("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##re\n'\ns", None);
            let files =
                [trained, framed.with_ends(), pieces.expect("it is right")].map(|tokenizer| tokenizer.to_json());
            files.into_iter().map(|file| compact(&file)).chain([clip()]).collect()
        }
        "vocab_merges" => {
            let file: serde_json::Value = serde_json::from_str(&trained.to_json()).expect("what we write is JSON");
            let merges: String = file["model"]["merges"].as_array().into_iter().flatten().map(line).collect();
            let vocab = &file["model"]["vocab"];
            let clip: serde_json::Value = serde_json::from_slice(&clip()).expect("it is JSON");
            vec![
                format!("{vocab}\0#version: 0.2\n{merges}").into_bytes(),
                format!("{vocab}\0{merges}\0{}", json!({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true}))
                    .into_bytes(),
                format!("{}\0a b</w>\n", clip["model"]["vocab"]).into_bytes(),
            ]
        }
        _ => vec![
            b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##re\n'\ns\n\xc3\xa9".to_vec(),
            b"[UNK]\na\0{\"tokenizer_class\": \"BertTokenizer\", \"do_lower_case\": false, \"strip_accents\": null}"
                .to_vec(),
        ],
    }
}

/// A merge as a line of merges.txt.
fn line(merge: &serde_json::Value) -> String {
    format!("{} {}\n", merge[0].as_str().unwrap_or_default(), merge[1].as_str().unwrap_or_default())
}

/// JSON without white space.
fn compact(json: &str) -> Vec<u8> {
    serde_json::from_str::<serde_json::Value>(json).expect("what we write is JSON").to_string().into_bytes()
}

/// A small tokenizer.json of CLIP's kind, whose unknown token stands for most bytes.
fn clip() -> Vec<u8> {
    let tokens = ["a", "b", "a</w>", "b</w>", "ab</w>", "<|startoftext|>", "<|endoftext|>"];
    let vocab: serde_json::Map<_, _> =
        tokens.iter().zip(0..).map(|(token, id)| ((*token).to_owned(), json!(id))).collect();
    let pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    let file = json!({
        "added_tokens": [{"id": 5, "content": tokens[5], "special": true}, {"id": 6, "content": tokens[6], "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false}]},
        "post_processor": {"type": "RobertaProcessing", "sep": [tokens[6], 6], "cls": [tokens[5], 5]},
        "model": {"type": "BPE", "unk_token": tokens[6], "end_of_word_suffix": "</w>", "vocab": vocab,
            "merges": [["a", "b</w>"]]},
    });
    file.to_string().into_bytes()
}
