//! Raw text in: from files of any size to windows of ids.
//!
//! 1. [`TextFiles::open`] finds the files (`source.rs`) and decides what is training and what is validation.
//! 2. [`TextFiles::training_documents`] shows the training documents to a tokenizer that is yet to be trained
//!    (`documents.rs`).
//! 3. [`TextFiles::tokenize`] encodes both parts, in parallel (`encode.rs`), into shards (`shard.rs`) that are kept
//!    in a cache and found again when text, tokenizer and split are the same.
//! 4. [`TextData`] draws windows of ids from the mapped shards (`samples.rs`).
//!
//! Raw files are read, and the large ones mapped, until they are tokenised; a file that changes meanwhile is an
//! error. Afterwards they are not needed: the shards are the data.
//!
//! ```
//! use models::data::text::{TextFiles, TextOptions};
//! use tokenizer::Tokenizer;
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("rhyme.txt");
//! std::fs::write(&path, "One for sorrow, two for joy.")?;
//! let mut options = TextOptions::new([path.to_str().unwrap().parse()?]);
//! # options.cache = dir.path().join("cache");
//! let data = TextFiles::open(&options)?.tokenize(&Tokenizer::bytes(), &mut |_bytes| {})?;
//! assert_eq!((data.train_tokens(), data.val_tokens()), (25, 3)); // nine tenths, and the rest
//! data.require_window(3, false)?;
//! let mut window = [0; 3]; // a block of 2 inputs, and the same moved on by one as its targets
//! data.sample(1337, 0, 0, &mut window); // seed, step, row
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod documents;
mod encode;
mod error;
mod samples;
mod shard;
mod source;
#[cfg(test)]
mod tests;
mod utf8;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokenizer::Tokenizer;

pub use documents::Documents;
use documents::{Part, cache_error};
pub use encode::count_tokens;
pub use error::DataError;
pub use samples::TextData;
use samples::Tokens;
use shard::{Empty, Shard, ShardWriter, Sum, Totals, VERSION};
pub use source::Source;
use source::{Format, RawFile};
use utf8::Utf8;

use crate::data::labelled::Tally;
use crate::files::hex;

/// Which text to learn from.
#[derive(Clone, Debug)]
pub struct TextOptions {
    /// What to train on. All have weights, or none has.
    pub data: Vec<Source>,
    /// What to validate on; if there is none, a share of `data` is held out.
    pub val_data: Vec<Source>,
    /// The share, at the end of each file, that is held out where there is no `val_data`: of a plain file's bytes, of
    /// a JSON-lines file's lines. 0 holds nothing out.
    pub val_share: f64,
    /// The directory for shards, made if it is not there.
    pub cache: PathBuf,
}

impl TextOptions {
    /// Training on `data`, with the last tenth of each file held out, as nanoGPT does, and the default cache.
    pub fn new(data: impl IntoIterator<Item = Source>) -> Self {
        Self { data: data.into_iter().collect(), val_data: Vec::new(), val_share: 0.1, cache: default_cache() }
    }
}

/// Where shards are kept unless said otherwise: `$PRETEXT_CACHE`, or `pretext` in `$XDG_CACHE_HOME`, in `~/.cache`,
/// or, where there is no home, in the directory for temporary files.
pub fn default_cache() -> PathBuf {
    cache_from(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn cache_from(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let shared = || variable("XDG_CACHE_HOME").filter(|path| path.is_absolute()); // the rule of the XDG standard
    let home = || variable("HOME").map(|home| home.join(".cache"));
    let parent = || shared().or_else(home).unwrap_or_else(std::env::temp_dir);
    variable("PRETEXT_CACHE").unwrap_or_else(|| parent().join("pretext"))
}

/// Files of text that were found, divided into training and validation, not yet tokenised.
#[derive(Debug)]
pub struct TextFiles {
    train: Vec<Corpus>,
    val: Vec<Corpus>,
    /// The share of `train` held out, if `val` is empty.
    share: f64,
    cache: PathBuf,
}

/// The files of one source.
#[derive(Debug)]
struct Corpus {
    path: PathBuf,
    weight: Option<f64>,
    files: Vec<RawFile>,
    /// What was passed over, a sentence each.
    notes: Vec<String>,
}

impl TextFiles {
    /// Finds the files and looks at the beginning of each.
    ///
    /// Errors: a path that is missing, unreadable, empty or not text; weights or a share that make no sense.
    pub fn open(options: &TextOptions) -> Result<Self, DataError> {
        let weighted = options.data.iter().any(|source| source.weight.is_some());
        if let Some(source) = options.data.iter().find(|source| weighted && source.weight.is_none()) {
            return Err(DataError::WeightLacking { path: source.path.clone() });
        }
        if let Some(source) = options.val_data.iter().find(|source| source.weight.is_some()) {
            return Err(DataError::WeightOfValidation { path: source.path.clone() });
        }
        if !(0.0..1.0).contains(&options.val_share) {
            return Err(DataError::Share { share: options.val_share });
        }
        if options.data.is_empty() {
            return Err(DataError::Nothing);
        }
        let corpora = |sources: &[Source]| sources.iter().map(Corpus::find).collect::<Result<Vec<_>, _>>();
        let (train, val) = (corpora(&options.data)?, corpora(&options.val_data)?);
        Ok(Self { train, val, share: options.val_share, cache: options.cache.clone() })
    }

    /// Says, a sentence each, which files to validate on have the content of one to learn from, and which to learn from that of
    /// another. (Where a share is held out, it is the same of both.)
    pub fn copies(&self) -> Vec<String> {
        let [train, val] = [&self.train, &self.val].map(|of| of.iter().flat_map(|corpus| &corpus.files));
        let mut alike: HashMap<u64, usize> = HashMap::new(); // files of one length: all others differ
        train.clone().chain(val.clone()).for_each(|file| *alike.entry(file.len).or_default() += 1);
        // A file that cannot be read is told of when it is learned from.
        let content = |file: &RawFile| (alike[&file.len] > 1).then(|| file.content().ok()).flatten();
        let (mut known, mut notes) = (HashSet::new(), Vec::new());
        let [mut again, mut seen] = [(); 2].map(|()| Tally::default());
        for file in train {
            if content(file).is_some_and(|content| !known.insert(content)) {
                again.add(|| file.path.display().to_string());
            }
        }
        for file in val {
            if content(file).is_some_and(|content| known.contains(&content)) {
                seen.add(|| file.path.display().to_string());
            }
        }
        let one = "training file has the text of another, and both are learned from";
        again.say(one, "training files have the text of another, and all are learned from", &mut notes);
        let [one, many] = ["file is", "files are"].map(|are| {
            format!("{are} learned from and validated on, so that the validation loss says less of what is new")
        });
        seen.say(&one, &many, &mut notes);
        notes
    }

    /// The number of bytes in all files.
    pub fn bytes(&self) -> u64 {
        self.train.iter().chain(&self.val).flat_map(|corpus| &corpus.files).map(|file| file.len).sum()
    }

    /// The documents of the training part, for a tokenizer to learn from.
    ///
    /// Errors: a file that cannot be read or decoded; a cache directory that takes no scratch file.
    pub fn training_documents(&self) -> Result<Documents, DataError> {
        self.prepare_cache()?;
        Documents::open(self.train.iter().flat_map(|corpus| &corpus.files), self.parts().0, &self.cache)
    }

    /// The ids of both parts, from the cache or else encoded now. `progress` is told from time to time how many bytes
    /// were encoded since it was last called; of what is in the cache, nothing is encoded.
    ///
    /// Errors: as for [`TextFiles::training_documents`]; a file that changed; a cache that cannot be written.
    pub fn tokenize(&self, tokenizer: &Tokenizer, progress: &mut dyn FnMut(u64)) -> Result<TextData, DataError> {
        self.prepare_cache()?;
        let named = Sha256::digest(tokenizer.to_json()).into();
        let (kept, held_out) = self.parts();
        let (mut train, mut val, mut odd) = (Vec::new(), Vec::new(), Vec::new());
        for corpus in &self.train {
            let content = corpus.digest(&mut odd)?;
            train.push(self.part(corpus, kept, &[content, named], tokenizer, progress)?);
            if let Some(part) = held_out {
                val.push(self.part(corpus, part, &[content, named], tokenizer, progress)?);
            }
        }
        for corpus in &self.val {
            val.push(self.part(corpus, Part::Whole, &[corpus.digest(&mut odd)?, named], tokenizer, progress)?);
        }
        let not_utf8 = odd.first().map(|(path, at)| {
            let files = if odd.len() == 1 { "1 file is".to_owned() } else { format!("{} files are", odd.len()) };
            let first = format!("byte {} of {}", at + 1, path.display());
            format!(
                "{files} not UTF-8, and learned as the bytes that stand there; the first that is no text is {first}"
            )
        });
        let parts = || train.iter().chain(&val);
        let empty = parts().find(|part| part.shard.totals().empty.lines > 0).map(|first| {
            let count: u64 = parts().map(|part| part.shard.totals().empty.lines).sum();
            let lines = if count == 1 { "1 line is".to_owned() } else { format!("{count} lines are") };
            let Empty { file, line, .. } = first.shard.totals().empty;
            let corpus = self.train.iter().chain(&self.val).find(|corpus| corpus.path == first.path);
            let file = corpus.and_then(|corpus| corpus.files.get(file as usize)).map_or(&first.path, |file| &file.path);
            format!("{lines} without text and passed over; the first is line {line} of {}", file.display())
        });
        let found = self.train.iter().chain(&self.val).flat_map(|corpus| corpus.notes.iter().cloned());
        let notes = found.chain(not_utf8).chain(empty).collect();
        Ok(TextData::new([train, val], held_out.is_some(), tokenizer, notes))
    }

    /// What of the training sources is trained on, and what is held out.
    fn parts(&self) -> (Part, Option<Part>) {
        if self.val.is_empty() && self.share > 0.0 {
            (Part::AllBut(self.share), Some(Part::Last(self.share)))
        } else {
            (Part::Whole, None)
        }
    }

    /// One part of one source, whose content and tokenizer have the sums `from`.
    fn part(
        &self,
        corpus: &Corpus,
        part: Part,
        from: &[Sum; 2],
        tokenizer: &Tokenizer,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Tokens, DataError> {
        let key = key(part, from);
        let path = self.cache.join(hex(key) + ".ids");
        let open = || Shard::open(&path, &key, tokenizer.vocab_size());
        let shard = match open() {
            Some(shard) => shard,
            None => {
                self.write(corpus, part, &path, &key, tokenizer, progress)?;
                open().ok_or_else(|| cache_error(&self.cache, io::Error::other("what was written reads otherwise")))?
            }
        };
        Ok(Tokens { path: corpus.path.clone(), weight: corpus.weight, key, shard })
    }

    /// Encodes a part into the shard `path`.
    fn write(
        &self,
        corpus: &Corpus,
        part: Part,
        path: &Path,
        key: &Sum,
        tokenizer: &Tokenizer,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), DataError> {
        let failed = |e| cache_error(&self.cache, e);
        let documents = Documents::open(corpus.files.iter(), part, &self.cache)?;
        let mut writer = ShardWriter::create(&self.cache, tokenizer.vocab_size()).map_err(failed)?;
        let mut release_and_tell = |bytes| {
            documents.release();
            progress(bytes);
        };
        let totals = encode::encode(documents.iter(), tokenizer, encode::PIECE, &mut writer, &mut release_and_tell);
        let totals = Totals { empty: documents.empty, ..totals.map_err(failed)? };
        corpus.files.iter().try_for_each(RawFile::check_unchanged)?;
        writer.finish(path, key, totals).map_err(failed)
    }

    /// Makes the cache directory, and removes what killed runs left in it.
    fn prepare_cache(&self) -> Result<(), DataError> {
        fs::create_dir_all(&self.cache).map_err(|e| cache_error(&self.cache, e))?;
        let entries = fs::read_dir(&self.cache).map_err(|e| cache_error(&self.cache, e))?;
        for entry in entries.flatten() {
            let temporary = entry.file_name().as_encoded_bytes().starts_with(crate::files::TEMPORARY.as_bytes());
            if temporary && entry.metadata().is_ok_and(|meta| is_abandoned(&meta)) {
                let _ = fs::remove_file(entry.path()); // if another process was faster, that is as well
            }
        }
        Ok(())
    }
}

/// Whether a temporary file has not been written to for a day: a process that lives writes all the time.
fn is_abandoned(meta: &fs::Metadata) -> bool {
    let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age > Duration::from_secs(24 * 60 * 60))
}

impl Corpus {
    fn find(source: &Source) -> Result<Self, DataError> {
        let Source { path, weight } = source;
        let bad = weight.filter(|w| !(*w > 0.0 && w.is_finite()));
        match bad {
            Some(weight) => Err(DataError::Weight { path: path.clone(), weight: weight.to_string() }),
            None => {
                let (files, notes) = source::list(path)?;
                Ok(Self { path: path.clone(), weight: *weight, files, notes })
            }
        }
    }

    /// The sum of all that is in the files, wherever they are and whatever they are called. Those that are not UTF-8 are added
    /// to `odd`, with the place of the first byte that is of no character.
    fn digest(&self, odd: &mut Vec<(PathBuf, u64)>) -> Result<Sum, DataError> {
        let mut hash = Sha256::new();
        for file in &self.files {
            hash.update([u8::from(file.format == Format::JsonLines)]);
            hash.update(file.len.to_le_bytes()); // so that two files are not the same as one
            let mut utf8 = Utf8::default();
            file.each_chunk(|chunk| {
                hash.update(chunk);
                utf8.look(chunk);
            })?;
            file.check_unchanged()?;
            odd.extend(utf8.odd().map(|at| (file.path.clone(), at)));
        }
        Ok(hash.finalize().into())
    }
}

/// Everything that the ids of a part depend on.
fn key(part: Part, from: &[Sum; 2]) -> Sum {
    let (kind, share) = match part {
        Part::Whole => (0, 0.0),
        Part::AllBut(share) => (1, share),
        Part::Last(share) => (2, share),
    };
    let mut hash = Sha256::new();
    [VERSION, kind, share.to_bits()].iter().for_each(|n| hash.update(n.to_le_bytes()));
    from.iter().for_each(|sum| hash.update(sum));
    hash.finalize().into()
}
