//! GGUF, the one file that llama.cpp and its kin read: the sizes, the tokenizer and the numbers of a model.
//!
//! ```text
//! "GGUF", 3                             four letters and the version (4 bytes)
//! how many tensors, how many keys       8 bytes each
//! each key                              its name, what kind of value it has (4 bytes), the value
//! each tensor                           its name, how many dimensions (4 bytes), their lengths (8 bytes each),
//!                                       what kind of number (4 bytes), where in the data it begins (8 bytes)
//! zeros up to a multiple of 32
//! the data: each tensor's numbers, and zeros up to a multiple of 32
//! ```
//!
//! Everything is little-endian. A string is its length (8 bytes) and UTF-8; a list is the kind of its items, their number (8
//! bytes), and the items. The lengths of dimensions are listed from the innermost, the other way round than elsewhere.
//! (`docs/gguf.md` of the ggml project, version 3.)
//!
//! llama.cpp knows GPT-2 under names of its own, and multiplies with matrices that hold a row for each *output*, where GPT-2
//! has a row for each input: they are turned. Norms, biases and the table of positions stay f32, as there.

use std::io;
use std::path::Path;

use tensor::Tensor;
use tokenizer::Tokenizer;

use super::{Dtype, Source, Written, make_room};
use crate::error::{Error, Result};
use crate::gpt::GptConfig;
use crate::hub::beside::Ends;
use crate::nn::Act;
use crate::{Config, files};

/// The data and each tensor in it begin at a multiple of this.
const ALIGNMENT: usize = 32;

/// A value that a key has, as far as they are needed here.
enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    /// Kinds of tokens, by id.
    Numbers(Vec<i32>),
    Texts(Vec<String>),
}

/// A tensor of the file.
struct Entry {
    /// llama.cpp's name.
    name: String,
    /// GPT-2's, as the checkpoint holds it.
    stored: String,
    /// Its lengths in the file, from the outermost.
    shape: Vec<usize>,
    /// Whether rows and columns are exchanged on the way.
    turned: bool,
    dtype: Dtype,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.width()
    }
}

/// Writes the GPT-2 in `from`, with its tokenizer, as the GGUF file `out`; its matrices as `dtype`.
///
/// Errors: what cannot be opened in `from`; another model, or one with another last layer; a tokenizer other than GPT-2's kind;
/// numbers that `dtype` cannot hold; a file that would be written over.
pub fn write(from: &Path, out: &Path, dtype: Dtype) -> Result<Written> {
    let source = Source::open(from)?;
    let refuse = |what: &str| Err(Error::file(from, what));
    let Config::Gpt(config) = &source.checkpoint.config else {
        return refuse("holds no GPT-2, the only model that is written as GGUF here: export it into a directory");
    };
    if config.activation_function != Act::Tanh {
        return refuse("has another activation_function than gelu_new, which readers of GGUF take for granted");
    }
    let entries = entries(&source, config, dtype)?;
    if let Some(name) = source.tensors().into_keys().find(|name| entries.iter().all(|entry| entry.stored != *name)) {
        let what = format!("{name} is no part of a model that continues texts, and a GGUF file has no place for it");
        return Err(Error::file(from, what + ": give the run that was fine-tuned, or export into a directory"));
    }
    let Some(tokenizer) = &source.tokenizer else {
        return refuse("has no tokenizer.json, and a GGUF file holds the tokenizer too: copy the model's own here");
    };
    if !tokenizer.is_gpt2() {
        return refuse("has a tokenizer of another kind than GPT-2's, which a GGUF file of a GPT-2 cannot hold");
    }
    source.check(dtype)?;
    make_room(out)?;
    let name = out.file_stem().unwrap_or_default().to_string_lossy();
    let mut keys = sizes(config, &name, dtype);
    keys.extend(vocabulary(tokenizer, config.vocab_size, &Ends::read(&source.directory, tokenizer)?));
    files::write_atomically(out, |to| {
        to.write_all(&header(&keys, &entries))?;
        for entry in &entries {
            let mut bytes = numbers(&source, entry).map_err(io::Error::other)?;
            pad(&mut bytes);
            to.write_all(&bytes)?;
        }
        Ok(())
    })
    .map_err(|error| Error::io(out, "write", &error))?;
    let bytes = out.metadata().map_err(|error| Error::io(out, "read", &error))?.len();
    Ok(Written { parameters: source.parameters(), bytes })
}

/// What llama.cpp asks of a GPT-2.
fn sizes(c: &GptConfig, name: &str, dtype: Dtype) -> Vec<(&'static str, Value)> {
    let number = |n: usize| Value::U32(n as u32);
    // "All f32", "mostly f16", "mostly bf16" of its list of file types.
    let file_type = match dtype {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::Bf16 => 32,
    };
    vec![
        ("general.architecture", Value::Text("gpt2".to_owned())),
        ("general.name", Value::Text(name.to_owned())),
        ("general.file_type", Value::U32(file_type)),
        ("general.alignment", number(ALIGNMENT)),
        ("gpt2.context_length", number(c.n_positions)),
        ("gpt2.embedding_length", number(c.n_embd)),
        ("gpt2.feed_forward_length", number(c.inner())),
        ("gpt2.block_count", number(c.n_layer)),
        ("gpt2.attention.head_count", number(c.n_head)),
        ("gpt2.attention.layer_norm_epsilon", Value::F32(c.layer_norm_epsilon as f32)),
    ]
}

/// The tokenizer: its tokens as tokenizer.json writes them, what each is, and the merges. One of bytes has no mark that ends a
/// text, and no merge. Up to `vocab` there are names for the rows of a table that is padded.
fn vocabulary(tokenizer: &Tokenizer, vocab: usize, ends: &Ends) -> Vec<(&'static str, Value)> {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    const USER_DEFINED: i32 = 4;
    const UNUSED: i32 = 5;
    let mut tokens = tokenizer.shown();
    let mut kinds = vec![NORMAL; tokens.len()];
    for added in tokenizer.added() {
        kinds[added.id as usize] = if added.special { CONTROL } else { USER_DEFINED };
    }
    for id in tokens.len()..vocab {
        tokens.push(format!("[PAD{id}]"));
        kinds.push(UNUSED);
    }
    let pair = |left: u32, right: u32| format!("{} {}", tokens[left as usize], tokens[right as usize]);
    let merges = tokenizer.merges().iter().map(|merge| pair(merge.left, merge.right)).collect();
    let mut keys = vec![
        ("tokenizer.ggml.model", Value::Text("gpt2".to_owned())),
        ("tokenizer.ggml.pre", Value::Text("gpt-2".to_owned())),
        ("tokenizer.ggml.tokens", Value::Texts(tokens)),
        ("tokenizer.ggml.token_type", Value::Numbers(kinds)),
        ("tokenizer.ggml.merges", Value::Texts(merges)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
    ];
    if let Some(&end) = ends.ends.iter().find(|id| (**id as usize) < vocab) {
        keys.push(("tokenizer.ggml.bos_token_id", Value::U32(ends.start)));
        keys.push(("tokenizer.ggml.eos_token_id", Value::U32(end)));
    }
    keys
}

/// GPT-2's tensors under llama.cpp's names.
fn entries(source: &Source, config: &GptConfig, dtype: Dtype) -> Result<Vec<Entry>> {
    let mut names = vec![
        ("wte.weight".to_owned(), "token_embd.weight".to_owned()),
        ("wpe.weight".to_owned(), "position_embd.weight".to_owned()),
    ];
    let both = |ours: String, theirs: String| {
        ["weight", "bias"].map(|part| (format!("{ours}.{part}"), format!("{theirs}.{part}")))
    };
    for layer in 0..config.n_layer {
        for (ours, theirs) in [
            ("ln_1", "attn_norm"),
            ("attn.c_attn", "attn_qkv"),
            ("attn.c_proj", "attn_output"),
            ("ln_2", "ffn_norm"),
            ("mlp.c_fc", "ffn_up"),
            ("mlp.c_proj", "ffn_down"),
        ] {
            names.extend(both(format!("h.{layer}.{ours}"), format!("blk.{layer}.{theirs}")));
        }
    }
    names.extend(both("ln_f".to_owned(), "output_norm".to_owned()));
    let checkpoint = &source.checkpoint;
    let entry = |(ours, theirs): (String, String)| {
        let weights = &checkpoint.weights;
        let stored = checkpoint.stored(&ours)?.to_owned();
        let mut shape = weights.shape(&stored)?;
        let turned = shape.len() == 2 && theirs.starts_with("blk.");
        if turned {
            shape.reverse();
        }
        let dtype = if shape.len() == 2 && ours != "wpe.weight" { dtype } else { Dtype::F32 };
        Ok(Entry { name: theirs, stored, shape, turned, dtype })
    };
    names.into_iter().map(entry).collect()
}

/// A tensor's numbers as they stand in the file.
fn numbers(source: &Source, entry: &Entry) -> Result<Vec<u8>> {
    let (shape, numbers) = source.checkpoint.weights.numbers(&entry.stored)?;
    let numbers = if entry.turned { Tensor::of(&shape[..], &numbers).transposed().data().to_vec() } else { numbers };
    Ok(entry.dtype.encode(&numbers))
}

/// Everything before the data.
fn header(keys: &[(&str, Value)], entries: &[Entry]) -> Vec<u8> {
    let mut to = b"GGUF".to_vec();
    to.extend(3u32.to_le_bytes());
    to.extend((entries.len() as u64).to_le_bytes());
    to.extend((keys.len() as u64).to_le_bytes());
    for (name, value) in keys {
        put_text(&mut to, name);
        put_value(&mut to, value);
    }
    let mut begins = 0;
    for entry in entries {
        put_text(&mut to, &entry.name);
        to.extend((entry.shape.len() as u32).to_le_bytes());
        entry.shape.iter().rev().for_each(|&length| to.extend((length as u64).to_le_bytes()));
        let kind: u32 = match entry.dtype {
            Dtype::F32 => 0,
            Dtype::F16 => 1,
            Dtype::Bf16 => 30,
        };
        to.extend(kind.to_le_bytes());
        to.extend((begins as u64).to_le_bytes());
        begins += entry.bytes().next_multiple_of(ALIGNMENT);
    }
    pad(&mut to);
    to
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    to.extend((text.len() as u64).to_le_bytes());
    to.extend(text.as_bytes());
}

/// What kind of value follows, and the value; of a list what kind its items have, how many there are, and they.
fn put_value(to: &mut Vec<u8>, value: &Value) {
    const I32: u32 = 5;
    const TEXT: u32 = 8;
    let mut list = |kind: u32, length: usize| {
        to.extend(9u32.to_le_bytes());
        to.extend(kind.to_le_bytes());
        to.extend((length as u64).to_le_bytes());
    };
    match value {
        Value::Numbers(numbers) => {
            list(I32, numbers.len());
            numbers.iter().for_each(|x| to.extend(x.to_le_bytes()));
        }
        Value::Texts(texts) => {
            list(TEXT, texts.len());
            texts.iter().for_each(|text| put_text(to, text));
        }
        Value::U32(x) => {
            to.extend(4u32.to_le_bytes());
            to.extend(x.to_le_bytes());
        }
        Value::F32(x) => {
            to.extend(6u32.to_le_bytes());
            to.extend(x.to_le_bytes());
        }
        Value::Bool(x) => {
            to.extend(7u32.to_le_bytes());
            to.push(u8::from(*x));
        }
        Value::Text(text) => {
            to.extend(TEXT.to_le_bytes());
            put_text(to, text);
        }
    }
}

/// Adds zeros up to where the next part may begin.
fn pad(to: &mut Vec<u8>) {
    to.resize(to.len().next_multiple_of(ALIGNMENT), 0);
}
