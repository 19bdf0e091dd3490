//! Models as one GGUF file, for llama.cpp: sizes, tokenizer and every number, read back by the format's description.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::export::{content, export, floats, read_json, tensors, trained};

/// A GGUF file, read by its description: keys with values as text, tensors with their lengths, kind and bytes.
#[derive(Default)]
struct Gguf {
    keys: BTreeMap<String, Vec<String>>,
    tensors: BTreeMap<String, (Vec<u64>, u32, Vec<u8>)>,
}

/// Takes numbers and strings from the front of some bytes.
struct Reader<'a>(&'a [u8], usize);

impl Reader<'_> {
    fn take(&mut self, n: usize) -> &[u8] {
        self.1 += n;
        &self.0[self.1 - n..self.1]
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }
    fn text(&mut self) -> String {
        let length = self.u64() as usize;
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }
    fn value(&mut self, kind: u32) -> Vec<String> {
        match kind {
            4 | 5 => vec![self.u32().to_string()],
            6 => vec![f32::from_bits(self.u32()).to_string()],
            7 => vec![self.take(1)[0].to_string()],
            8 => vec![self.text()],
            9 => {
                let (kind, length) = (self.u32(), self.u64());
                (0..length).flat_map(|_| self.value(kind)).collect()
            }
            other => panic!("kind {other}"),
        }
    }
}

fn gguf(path: &Path) -> Gguf {
    let bytes = fs::read(path).unwrap();
    let mut from = Reader(&bytes, 0);
    assert_eq!(from.take(4), b"GGUF");
    assert_eq!(from.u32(), 3);
    let (tensors, keys) = (from.u64(), from.u64());
    let mut file = Gguf::default();
    for _ in 0..keys {
        let (name, kind) = (from.text(), from.u32());
        let value = from.value(kind);
        file.keys.insert(name, value);
    }
    let mut places = Vec::new();
    for _ in 0..tensors {
        let (name, rank) = (from.text(), from.u32());
        let lengths: Vec<u64> = (0..rank).map(|_| from.u64()).collect();
        places.push((name, lengths, from.u32(), from.u64() as usize));
    }
    let begin = from.1.next_multiple_of(32);
    assert_eq!(bytes.len() % 32, 0);
    for (name, lengths, kind, at) in places {
        assert_eq!(at % 32, 0, "{name}");
        let size = lengths.iter().product::<u64>() as usize * if kind == 0 { 4 } else { 2 };
        file.tensors.insert(name, (lengths, kind, bytes[begin + at..begin + at + size].to_vec()));
    }
    file
}

#[test]
fn a_gguf_file_holds_the_sizes_the_tokenizer_and_every_number() {
    let directory = tempfile::tempdir().unwrap();
    let model = trained(directory.path(), &["gpt"]);
    let out = directory.path().join("small.gguf");
    export(&model, &out, "f32");
    let (file, had) = (gguf(&out), tensors(&model));
    let vocabulary = read_json(&model.join("tokenizer.json"));
    let ids = vocabulary["model"]["vocab"].as_object().unwrap();
    let end = vocabulary["added_tokens"][0]["id"].to_string();
    for (key, value) in [
        ("general.architecture", "gpt2"),
        ("general.name", "small"),
        ("gpt2.context_length", "32"),
        ("gpt2.embedding_length", "16"),
        ("gpt2.feed_forward_length", "64"),
        ("gpt2.block_count", "1"),
        ("gpt2.attention.head_count", "2"),
        ("gpt2.attention.layer_norm_epsilon", "0.00001"),
        ("tokenizer.ggml.model", "gpt2"),
        ("tokenizer.ggml.pre", "gpt-2"),
        ("tokenizer.ggml.eos_token_id", &end),
    ] {
        assert_eq!(file.keys[key], [value], "{key}");
    }
    let tokens = &file.keys["tokenizer.ggml.tokens"];
    assert!(ids.iter().all(|(token, id)| tokens[id.as_u64().unwrap() as usize] == *token));
    assert_eq!(tokens.last().unwrap(), "<|endoftext|>");
    assert_eq!(file.keys["tokenizer.ggml.token_type"].last().unwrap(), "3");
    let pair = |pair: &Value| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    let merges: Vec<String> = vocabulary["model"]["merges"].as_array().unwrap().iter().map(pair).collect();
    assert!(!merges.is_empty() && file.keys["tokenizer.ggml.merges"] == merges);
    assert_eq!(file.tensors.len(), had.len());
    let same = |theirs: &str, ours: &str| assert_eq!(file.tensors[theirs].2, had[ours].bytes, "{ours}");
    same("token_embd.weight", "wte.weight");
    same("position_embd.weight", "wpe.weight");
    same("output_norm.bias", "ln_f.bias");
    same("blk.0.attn_norm.weight", "h.0.ln_1.weight");
    same("blk.0.ffn_up.bias", "h.0.mlp.c_fc.bias");
    // Matrices have a row for each output, and list the inner length first.
    for (theirs, ours, inputs, outputs) in [
        ("blk.0.attn_qkv.weight", "h.0.attn.c_attn.weight", 16, 48),
        ("blk.0.attn_output.weight", "h.0.attn.c_proj.weight", 16, 16),
        ("blk.0.ffn_up.weight", "h.0.mlp.c_fc.weight", 16, 64),
        ("blk.0.ffn_down.weight", "h.0.mlp.c_proj.weight", 64, 16),
    ] {
        let (lengths, kind, bytes) = &file.tensors[theirs];
        let (turned, x) = (floats(bytes), floats(&had[ours].bytes));
        assert_eq!((&lengths[..], *kind), (&[inputs as u64, outputs as u64][..], 0));
        assert!((0..inputs).all(|i| (0..outputs).all(|o| turned[o * inputs + i] == x[i * outputs + o])), "{ours}");
    }
    // Halves: the matrices alone.
    let half = directory.path().join("half.gguf");
    export(&model, &half, "bf16");
    let half = gguf(&half);
    assert_eq!(half.keys["general.file_type"], ["32"]);
    for (name, (_, kind, _)) in &half.tensors {
        let is_matrix = name.ends_with("weight") && !name.contains("norm") && !name.starts_with("position");
        assert_eq!(*kind, if is_matrix { 30 } else { 0 }, "{name}");
    }
    assert_eq!(half.tensors["blk.0.ffn_up.weight"].2.len() * 2, file.tensors["blk.0.ffn_up.weight"].2.len());
    // What ends a text is what the model's own files say, as in `generate`.
    fs::write(model.join("generation_config.json"), r#"{"eos_token_id": [5, 6]}"#).unwrap();
    let chat = directory.path().join("chat.gguf");
    export(&model, &chat, "f32");
    assert_eq!(gguf(&chat).keys["tokenizer.ggml.eos_token_id"], ["5"]);
    // A tokenizer of bytes has no merges and no end.
    let bytes = directory.path().join("bytes");
    let words = ["train", "--layers", "1", "--heads", "1", "--width", "8", "--block-size", "8", "--steps", "1"];
    let out = bytes.to_str().unwrap();
    content(&[&words[..], &["--vocab-size", "256", "--batch-size", "1", "--out", out]].concat());
    let out = directory.path().join("bytes.gguf");
    export(&bytes, &out, "f32");
    let file = gguf(&out);
    assert_eq!(file.keys["tokenizer.ggml.tokens"].len(), 256);
    assert!(file.keys["tokenizer.ggml.merges"].is_empty() && !file.keys.contains_key("tokenizer.ggml.eos_token_id"));
}
