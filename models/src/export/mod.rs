//! A model on its way out: to a directory of Hugging Face's files with narrower numbers and a model card, or to one GGUF
//! file; and its tokenizer as ranks for tiktoken.
//!
//! What is exported is first read to the last number: nothing is written of a checkpoint that could not be opened here, and
//! nothing is written over. Then it goes tensor by tensor from the mapped files to the new one, so that memory is taken for
//! one of them at a time. A directory is put together in a hidden place within itself, and its files get their names when
//! all are complete.
//!
//! [`dtype`] rounds, [`card`] says in words what the other files do not, [`gguf`] writes the other format.

pub mod card;
pub mod dtype;
pub mod gguf;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use serde_json::Value;
use tokenizer::Tokenizer;

pub use dtype::Dtype;
use dtype::{Narrowed, is_float, is_whole};

use crate::error::{Error, Result};
use crate::hub::pretrained::check_tokenizer;
use crate::hub::weights::{self, floats};
use crate::hub::{Checkpoint, bare_name, beside, gpt2};
use crate::train::run::BEGINNING;
use crate::transfer::finetune::tuned::Tuned;
use crate::{Config, Model, files};

/// What belongs to a model beside its sizes and its weights: copied as it is, where it is there.
const COMPANIONS: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "results.json",
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
];

const CARD: &str = "README.md";

/// What was written of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many numbers its weights are.
    pub parameters: usize,
    /// Bytes of the file with the weights.
    pub bytes: u64,
}

/// A checkpoint that can be opened here, with the tokenizer that stands beside it.
struct Source {
    directory: PathBuf,
    checkpoint: Checkpoint,
    model: Model,
    tokenizer: Option<Tokenizer>,
}

impl Source {
    /// Opens a checkpoint of any model that is known here, with its head or the layers of a task.
    ///
    /// Errors: a file that is missing or damaged; sizes that do not agree; a tokenizer of another model.
    fn open(directory: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(directory)?;
        let model = match checkpoint.task() {
            Some(task) => Tuned::checked(directory, &checkpoint, task)?,
            None => checkpoint.checked(if checkpoint.has_head() { Config::build } else { Config::build_body })?,
        };
        let has_tokenizer = ["tokenizer.json", "vocab.json", "vocab.txt"].iter().any(|f| directory.join(f).exists());
        let tokenizer = if has_tokenizer { Some(Tokenizer::open(directory)?) } else { None };
        if let Some(tokenizer) = &tokenizer {
            check_tokenizer(directory, &model, tokenizer)?;
        }
        Ok(Self { directory: directory.to_owned(), checkpoint, model, tokenizer })
    }

    /// The tensors of the files by name, but for those that old GPT-2 checkpoints carry along: causal masks, and the table of
    /// tokens once more.
    fn tensors(&self) -> BTreeMap<String, TensorView<'_>> {
        let mut tensors = self.checkpoint.weights.views();
        if matches!(self.checkpoint.config, Config::Gpt(_)) {
            tensors.retain(|name, _| !gpt2::extra(bare_name(&self.checkpoint.config, name)));
        }
        tensors
    }

    /// Whether each number is one, and can be written as `dtype`.
    fn check(&self, dtype: Dtype) -> Result<()> {
        for (name, view) in self.tensors() {
            let checked = match floats(&view) {
                Some(numbers) => dtype.check(&numbers),
                None if is_whole(&view) => Ok(()),
                None => Err(format!("holds {:?}; f32, f16 and bf16 can be read", view.dtype())),
            };
            checked.map_err(|what| Error::file(self.checkpoint.weights.path(), format!("{name} {what}")))?;
        }
        Ok(())
    }

    /// How many numbers its weights are.
    fn parameters(&self) -> usize {
        let floats = self.tensors().into_values().filter(is_float);
        floats.map(|view| view.shape().iter().product::<usize>()).sum()
    }
}

/// Writes the model in `from` as Hugging Face's files into the directory `out`, with numbers of a type.
///
/// Errors: what cannot be opened in `from`; numbers that `dtype` cannot hold; a file in `out` that would be written over.
pub fn directory(from: &Path, out: &Path, dtype: Dtype) -> Result<Written> {
    let source = Source::open(from)?;
    let pooling = beside::pooling_files(from)?;
    let companions = COMPANIONS.iter().copied().chain(pooling.iter().filter_map(|file| file.to_str()));
    let companions: Vec<&str> = companions.filter(|name| from.join(name).exists()).collect();
    let ours = ["config.json", CARD, "model.safetensors"]; // the weights last: without them nobody takes it for a model
    // Runs that an older version made have no tokenizer_config.json yet.
    let lacks = |name: &str| from.join("tokenizer.json").exists() && !from.join(name).exists();
    let config = source.tokenizer.as_ref().filter(|_| lacks(beside::TOKENIZER_CONFIG));
    let names: Vec<&str> =
        companions.iter().copied().chain(config.map(|_| beside::TOKENIZER_CONFIG)).chain(ours).collect();
    if let Some(name) = names.iter().chain([&BEGINNING]).find(|name| out.join(name).exists()) {
        return Err(Error::file(out, format!("already holds {name}, which stays as it is: give another directory")));
    }
    beside::read_vectors(from)?; // steps of sentence-transformers that would be left behind
    source.check(dtype)?;
    let card = card::card(&source, out, dtype)?;
    let is_new = !out.exists();
    let put = || -> Result<Written> {
        fs::create_dir_all(out).map_err(|error| Error::io(out, "create", &error))?;
        let hidden = tempfile::Builder::new().prefix(files::TEMPORARY).tempdir_in(out);
        let hidden = hidden.map_err(|error| Error::io(out, "write into", &error))?;
        for name in companions {
            put_file(&hidden.path().join(name), &read(&from.join(name))?)?;
        }
        if let Some(tokenizer) = config {
            beside::write(hidden.path(), tokenizer, &source.model)?;
        }
        put_file(&hidden.path().join("config.json"), retyped(&source.checkpoint.json, dtype).as_bytes())?;
        put_file(&hidden.path().join(CARD), card.as_bytes())?;
        let path = hidden.path().join("model.safetensors");
        let tensors = source.tensors();
        let views = tensors.iter().map(|(name, view)| (name.as_str(), Narrowed { view: view.clone(), dtype }));
        weights::write_views(&path, views, ("format", "pt"))?;
        let bytes = fs::metadata(&path).map_err(|error| Error::io(&path, "read", &error))?.len();
        // Each name is on the disk before the last, that of the weights, is given.
        let (weights, others) = names.split_last().expect("there are weights");
        for names in [others, &[*weights]] {
            names.iter().try_for_each(|name| move_in(hidden.path(), out, name))?;
            files::force(out).map_err(|error| Error::io(out, "write into", &error))?;
        }
        Ok(Written { parameters: source.parameters(), bytes })
    };
    put().inspect_err(|_| {
        if is_new {
            let _ = fs::remove_dir(out); // if nothing was put into it
        }
    })
}

/// Gives a complete file its place.
fn move_in(hidden: &Path, out: &Path, name: &str) -> Result<()> {
    let path = out.join(name);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| Error::io(directory, "create", &error))?;
    }
    fs::rename(hidden.join(name), &path).map_err(|error| Error::io(&path, "write", &error))
}

/// A file's bytes; JSON that is none is refused, since nobody could read it there either.
fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(|error| Error::io(path, "read", &error))?;
    if path.extension().is_some_and(|ending| ending == "json") {
        json(path, &bytes)?;
    }
    Ok(bytes)
}

fn json(path: &Path, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| Error::file(path, format!("not JSON ({error}): copy it again")))
}

fn put_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| files::write(path, bytes)).map_err(|error| Error::io(path, "write", &error))
}

/// config.json with the type of the numbers, under its old name too where that stands there.
fn retyped(json: &Value, dtype: Dtype) -> String {
    let mut json = json.clone();
    json["dtype"] = dtype.title().into();
    for place in ["", "/text_config", "/vision_config"] {
        for key in ["dtype", "torch_dtype"] {
            if let Some(had) = json.pointer_mut(&format!("{place}/{key}")) {
                *had = dtype.title().into();
            }
        }
    }
    format!("{json:#}\n")
}

/// Writes the tokenizer in `from` as ranks for tiktoken, and returns it.
///
/// Errors: a tokenizer that tiktoken cannot have; a file that would be written over.
pub fn tiktoken(from: &Path, out: &Path) -> Result<Tokenizer> {
    let tokenizer = Tokenizer::open(from)?;
    make_room(out)?;
    tokenizer.save_tiktoken(out)?;
    Ok(tokenizer)
}

/// Makes the directory that a file is to be in. An error if the file is there already: nothing is written over.
fn make_room(out: &Path) -> Result<()> {
    if out.exists() {
        return Err(Error::file(out, "is there already, and stays as it is: give another name"));
    }
    let above = out.parent().unwrap_or(out);
    fs::create_dir_all(above).map_err(|error| Error::io(above, "create", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_the_numbers_stands_wherever_a_config_says_it() {
        let json = serde_json::json!({"n": 1, "torch_dtype": "float32", "text_config": {"torch_dtype": null, "x": 2}});
        let written: Value = serde_json::from_str(&retyped(&json, Dtype::Bf16)).unwrap();
        let (dtype, part) = ("bfloat16", serde_json::json!({"torch_dtype": "bfloat16", "x": 2}));
        let want = serde_json::json!({"n": 1, "dtype": dtype, "torch_dtype": dtype, "text_config": part});
        assert_eq!(written, want);
    }
}
