//! A model by its name at Hugging Face's hub: which of its files are fetched, in which order, and what is refused before.
//!
//! What decides whether the model can be used here comes first: the list of its files, `config.json`, the tokenizer. The
//! weights, a thousand times as large, come last, and only as safetensors, which are numbers and nothing else. The formats
//! before were pickles (`pytorch_model.bin`), programs that run when they are opened; they are neither fetched nor read.
//!
//! `cache` is where the files stay, which Python's `huggingface_hub` reads and writes too; `remote` is the hub itself:
//! downloads that go on where they were cut off, and checksums. The `hf-hub` crate knows the places in the cache. Its own
//! download does not check what it fetched, cannot go on with a file of which only the last step was missing, and sends the
//! user's token on to wherever the hub redirects it; so the requests are made here.

mod cache;
mod remote;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cache::Place;
use remote::{Failure, Info, Remote};
use tokenizer::Tokenizer;

use super::pretrained::check_tokenizer_of;
use super::weights::named_by;
use super::{Checkpoint, beside, clip, read_config};
use crate::Config;
use crate::error::{Error, Result};

/// Where models come from and where they stay.
pub struct Hub {
    /// The hub's address, or a mirror's.
    pub endpoint: String,
    /// Who asks, for models that are not for everyone.
    pub token: Option<String>,
    /// The directory that holds a folder for each model.
    pub cache: PathBuf,
    /// Only what is in the cache.
    pub offline: bool,
}

/// What there is to show while files come in.
pub enum Event<'a> {
    /// A sentence for the user.
    Note(String),
    /// So many bytes of a file have come.
    Bytes {
        /// The file's name.
        name: &'a str,
        /// How many are there.
        done: u64,
        /// How many it has.
        size: u64,
    },
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Small files that say how a model is used, where it has them.
const BESIDE: [&str; 9] = [
    "added_tokens.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "preprocessor_config.json",
    "generation_config.json",
    "modules.json",
    "processor_config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// The files of a tokenizer: the first of these rows that a model has.
const TOKENIZERS: [&[&str]; 3] = [&["tokenizer.json"], &["vocab.json", "merges.txt"], &["vocab.txt"]];

impl Hub {
    /// Its address as it may be shown: without the name and the password that may stand in it.
    fn shown(&self) -> String {
        let Some((scheme, rest)) = self.endpoint.split_once("://") else { return self.endpoint.clone() };
        let host = rest.find('/').unwrap_or(rest.len());
        let name = rest[..host].rfind('@').map_or(0, |at| at + 1);
        format!("{scheme}://{}", &rest[name..])
    }

    /// As Python's `huggingface_hub` finds it in the environment: `HF_ENDPOINT`, `HF_TOKEN` (or the file in `HF_TOKEN_PATH` or
    /// the home), `HF_HUB_CACHE`, `HF_HOME`, `HF_HUB_OFFLINE`.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var(name).ok().map(|x| x.trim().to_owned()).filter(|x| !x.is_empty());
        let home = set("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("XDG_CACHE_HOME")?).join("huggingface")));
        let usual = home.map_or_else(hf_hub::Cache::default, |home| hf_hub::Cache::new(home.join("hub")));
        let in_file = || match set("HF_TOKEN_PATH") {
            Some(path) => std::fs::read_to_string(path).ok().map(|token| token.trim().to_owned()),
            None => usual.token(),
        };
        let yes = |x: String| ["1", "ON", "YES", "TRUE"].contains(&x.to_uppercase().as_str());
        Self {
            endpoint: set("HF_ENDPOINT")
                .map_or("https://huggingface.co".into(), |x| x.trim_end_matches('/').to_owned()),
            token: set("HF_TOKEN").or_else(in_file).filter(|token| !token.is_empty()),
            cache: set("HF_HUB_CACHE").map_or_else(|| usual.path().clone(), PathBuf::from),
            offline: set("HF_HUB_OFFLINE").is_some_and(yes),
        }
    }

    /// The directory of a model, whose files are fetched as far as they are not in the cache.
    ///
    /// Errors: a name that is none; no such model, or not for this user; no network; a file that is not what the hub says it
    /// is; a model that cannot be opened here, which is known before its weights are fetched.
    pub fn import(&self, name: &str, revision: &str, tell: &mut dyn FnMut(Event)) -> Result<PathBuf> {
        check_name(name)?;
        check_revision(revision)?;
        let place = Place::new(&self.cache, name, revision);
        let cached = || place.cached().map(|directory| (None, place.files_in(&directory), directory));
        let (source, files, directory) = if self.offline {
            let what = "is not in this cache, and HF_HUB_OFFLINE says not to fetch it: unset that";
            cached().ok_or_else(|| Error::file(&self.cache, format!("{name} ({revision}) {what}")))?
        } else {
            let remote = Remote::new(self, name, revision);
            match remote.info() {
                Ok(Info { commit, files }) => {
                    let directory = place.snapshot(&commit);
                    (Some((remote, commit)), files, directory)
                }
                Err(Failure::No(why)) => return Err(Error::Hub(why)),
                Err(Failure::Away(why)) => {
                    let what = "is there a network? A mirror can be named in HF_ENDPOINT, a proxy in HTTPS_PROXY";
                    let without = || Error::Hub(format!("{why}, and {name} is not in the cache: {what}"));
                    let cached = cached().ok_or_else(without)?;
                    tell(Event::Note(format!("{why}; {name} is taken from the cache")));
                    cached
                }
            }
        };
        let mut model = Fetched { name, place: &place, source, files, directory, tell };
        model.all().map_err(|error| model.damaged().unwrap_or(error))?;
        Ok(model.directory)
    }
}

/// A model on its way into the cache.
struct Fetched<'a> {
    name: &'a str,
    place: &'a Place,
    /// The hub, and which commit is fetched; none if only what is in the cache is asked for.
    source: Option<(Remote<'a>, String)>,
    /// What the model has.
    files: BTreeSet<String>,
    /// Where the files stand.
    directory: PathBuf,
    tell: &'a mut dyn FnMut(Event),
}

impl Fetched<'_> {
    /// Fetches what the model needs, and looks at each part before the next.
    fn all(&mut self) -> Result<()> {
        let weights = self.weights()?;
        self.file(CONFIG)?;
        let (config, _) = read_config(&self.directory.join(CONFIG))?;
        for name in BESIDE {
            if self.files.contains(name) {
                self.file(name)?;
            }
        }
        for file in beside::pooling_files(&self.directory)? {
            if let Some(name) = file.to_str().filter(|name| self.files.contains(*name)) {
                self.file(name)?;
            }
        }
        if let Config::Clip(config) = &config {
            clip::open_preprocess(&self.directory, config)?;
        }
        let has = |names: &&[&str]| self.files.contains(names[0]);
        let Some(names) = TOKENIZERS.into_iter().find(has) else {
            let what = "has no tokenizer that can be read here (tokenizer.json, vocab.json with merges.txt, vocab.txt)";
            return Err(Error::Hub(format!("{} {what}: its weights are not fetched", self.name)));
        };
        names.iter().try_for_each(|name| self.file(name))?;
        check_tokenizer_of(&self.directory, &config, &Tokenizer::open(&self.directory)?)?;
        self.file(weights)?;
        if weights == INDEX {
            let parts = named_by(&self.directory.join(INDEX))?;
            parts.iter().try_for_each(|part| self.file(part))?;
        }
        Checkpoint::open(&self.directory)?; // whose sizes are those of the config
        match &self.source {
            Some((_, commit)) => self.place.remember(commit),
            None => Ok(()),
        }
    }

    /// The file that the weights are in, or the one that names several.
    fn weights(&self) -> Result<&'static str> {
        if let Some(name) = [WEIGHTS, INDEX].into_iter().find(|&name| self.files.contains(name)) {
            return Ok(name);
        }
        let held = |ends: &[&str]| {
            let mut files = self.files.iter().filter(|file| *file != "training_args.bin");
            files.find(|file| ends.iter().any(|end| file.ends_with(end)))
        };
        let what = if let Some(file) = held(&[".bin", ".pt", ".pth", ".ckpt"]) {
            format!(
                "has its weights only as {file}: such files can run code when they are opened, so they are neither fetched \
                 nor read. Perhaps another revision has {WEIGHTS}: see the pull requests on its page, and give \
                 --revision refs/pr/N"
            )
        } else if let Some(file) = held(&[".safetensors", ".gguf", ".onnx", ".h5", ".msgpack", ".ot"]) {
            format!("has no {WEIGHTS}, but {file}, which is not read here")
        } else if self.source.is_none() {
            format!("is in the cache without {WEIGHTS}: import it with a network")
        } else {
            format!("has no {WEIGHTS}, and no other weights")
        };
        Err(Error::Hub(format!("{} {what}", self.name)))
    }

    /// Sees to it that a file is in the directory.
    fn file(&mut self, name: &str) -> Result<()> {
        let at = self.directory.join(name);
        if at.exists() {
            return Ok(());
        }
        if !self.files.contains(name) {
            return Err(Error::file(
                at,
                format!("{} has no such file, but needs it: give another --revision", self.name),
            ));
        }
        match &self.source {
            Some((remote, commit)) => self.place.fetch(remote, commit, name, self.tell),
            None => Err(Error::file(at, "is not in the cache: import the model again with a network")),
        }
    }

    /// A file in the cache that is not what it was when it came, which is removed. Its name there is its checksum, so who
    /// cannot open a model asks this before blaming the model; otherwise files in the cache are believed.
    fn damaged(&self) -> Option<Error> {
        let name = self.files.iter().find(|name| self.place.is_damaged(&self.directory.join(name)))?;
        let at = self.directory.join(name);
        let what = match self.place.remove(&at) {
            Ok(()) => "was damaged in the cache and is removed: import the model again to fetch it anew".into(),
            Err(error) => format!("is damaged in the cache, and cannot be removed ({error}): remove it"),
        };
        Some(Error::file(at, what))
    }
}

/// An error if a name is none that the hub gives.
fn check_name(name: &str) -> Result<()> {
    let plain = |part: &str| {
        let letters = part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let ends = [part.chars().next(), part.chars().next_back()];
        letters && (1..=96).contains(&part.len()) && ends.iter().flatten().all(|c| !"-.".contains(*c))
    };
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() <= 2 && parts.iter().all(|part| plain(part)) && !name.contains("--") && !name.contains("..") {
        return Ok(());
    }
    let what =
        if Path::new(name).is_dir() { "a directory here, which commands take as it is" } else { "no model's name" };
    Err(Error::Options(format!("{name:?} is {what}; at the hub they are like gpt2 or org/name")))
}

/// An error if a revision could be more than a branch, a tag or a commit.
fn check_revision(revision: &str) -> Result<()> {
    let plain = |part: &str| {
        let letters = part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c));
        letters && !part.is_empty() && !part.starts_with('.')
    };
    if revision.split('/').all(plain) {
        return Ok(());
    }
    Err(Error::Options(format!("--revision {revision:?}: give a branch, a tag, a commit or refs/pr/N")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_hubs_address_is_shown_to_nobody() {
        for (endpoint, shown) in [
            ("https://me:secret@mirror.org/hub", "https://mirror.org/hub"),
            ("http://mirror:80", "http://mirror:80"),
            ("https://mirror.org/a@b", "https://mirror.org/a@b"),
            ("mirror", "mirror"),
        ] {
            let hub = Hub { endpoint: endpoint.to_owned(), token: None, cache: PathBuf::new(), offline: false };
            assert_eq!(hub.shown(), shown);
        }
    }

    #[test]
    fn names_are_the_hubs_and_never_paths() {
        for name in ["gpt2", "openai-community/gpt2", "a/b_c.d-e", "bert-base-uncased"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in
            ["", "/", "a/", "/a", "a/b/c", "..", "../a", "a/..", "a--b", "a b", "a/.b", "é", "a%2Fb", "-a", "a\\b"]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
        for revision in ["main", "refs/pr/7", "v1.0", "0123456789abcdef0123456789abcdef01234567"] {
            assert!(check_revision(revision).is_ok(), "{revision}");
        }
        for revision in ["", "../main", "a//b", "/etc", "a/..", "a?b", "a b", "a%2e"] {
            assert!(check_revision(revision).is_err(), "{revision}");
        }
    }
}
