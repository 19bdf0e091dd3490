//! What a run learns from, in tokens, and the tokenizer that made these: the built-in world's stories, texts, or pictures with
//! captions. `given` is the tokenizer of the run, or of whom it goes on from, if there is one; else one is trained.

use std::path::{Path, PathBuf};

use tokenizer::Tokenizer;

use crate::Config;
use crate::clip::text::LEGACY_END;
use crate::data::Corpus;
use crate::data::captioned::{Captioned, Rows, Source, caption_ids};
use crate::data::labelled::shortened;
use crate::data::pictures::Preprocess;
use crate::data::stories::Stories;
use crate::data::text::{self, TextFiles};
use crate::data::world::World;
use crate::error::{Error, Result};
use crate::hub;
use crate::train::Watch;
use crate::train::options::{ClipOptions, ModelName, Options};

/// The stories of the built-in world.
pub fn stories(o: &Options, given: Option<Tokenizer>, watch: &mut dyn Watch) -> Result<(Tokenizer, Corpus)> {
    note_frame(o, given.as_ref(), watch);
    let tokenizer = match given {
        Some(tokenizer) => tokenizer,
        None => Stories::train_tokenizer(learned(o)).map_err(refused)?,
    };
    let tokenizer = framed(o, tokenizer);
    let stories = Stories::new(World::new(o.seed), tokenizer.clone(), o.block_size);
    Ok((tokenizer, Corpus::World(Box::new(stories))))
}

/// The texts of files.
pub fn texts(o: &Options, given: Option<Tokenizer>, watch: &mut dyn Watch) -> Result<(Tokenizer, Corpus)> {
    note_frame(o, given.as_ref(), watch);
    let files = TextFiles::open(&text_options(o)?)?;
    files.copies().iter().for_each(|sentence| watch.note(sentence));
    let tokenizer = match given {
        Some(tokenizer) => tokenizer,
        None => {
            if learned(o) > 256 {
                watch.note(&format!("training a tokenizer of {} tokens on the data", o.vocab_size));
            }
            Tokenizer::train(&files.training_documents()?.slices(), learned(o)).map_err(refused)?
        }
    };
    let tokenizer = framed(o, tokenizer);
    let data = files.tokenize(&tokenizer, &mut |_| {})?;
    let data = if o.model == ModelName::Gpt { data.with_frames_predicted() } else { data };
    data.notes.iter().for_each(|sentence| watch.note(sentence));
    // As the objective will draw them: to predict the next token, a row has one more.
    data.require_window(o.block_size + usize::from(o.model == ModelName::Gpt), o.from.is_some())?;
    Ok((tokenizer, Corpus::Text(data)))
}

/// How many tokens a tokenizer learns: the frame takes more ids than the end of a text does.
fn learned(o: &Options) -> usize {
    o.vocab_size - o.model.frame_size()
}

/// Says so if a tokenizer that was given will have other ids than its file.
fn note_frame(o: &Options, given: Option<&Tokenizer>, watch: &mut dyn Watch) {
    if o.model == ModelName::Bert && given.is_some_and(|tokenizer| tokenizer.frame().is_none()) {
        let names = tokenizer::FRAME.join(", ");
        watch.note(&format!(
            "the tokenizer has no whole frame for masked prediction: {names} become its first tokens, and all others have \
             other ids in this run than in its file"
        ));
    }
}

/// With the tokens in which the model sees a text.
fn framed(o: &Options, tokenizer: Tokenizer) -> Tokenizer {
    match o.model {
        ModelName::Gpt | ModelName::Clip => tokenizer,
        ModelName::Bert => tokenizer.framed(),
    }
}

fn refused(error: tokenizer::Error) -> Error {
    Error::Options(error.to_string())
}

/// Pictures with captions, and the tokenizer of these. Who goes on from another model sees pictures as that did.
pub fn captioned(
    o: &Options,
    of: &ClipOptions,
    run: Option<&Path>,
    given: Option<Tokenizer>,
    watch: &mut dyn Watch,
) -> Result<(Tokenizer, Corpus)> {
    let source = if o.data.is_empty() {
        Source::World(World::new(o.seed))
    } else {
        o.data.iter().chain(&o.val_data).try_for_each(|said| unweighted(said))?;
        let val_data: Vec<PathBuf> = o.val_data.iter().map(PathBuf::from).collect();
        Source::open(&of.pictures(&o.data), &val_data, o.val_share, |note| watch.note(note))?
    };
    if let Some(n) = source.train_len().filter(|&n| n < o.batch_size as u64) {
        let all = if n == 1 { "the one picture".to_owned() } else { format!("all {n} pictures") };
        let batch = o.batch_size;
        watch.note(&format!(
            "a batch of {batch} shows {all} more than once: a smaller --batch-size learns as much in less time"
        ));
    }
    let (pairs, batch) = (source.val_len(), o.batch_size);
    if !o.data.is_empty() && pairs > batch && !pairs.is_multiple_of(batch) {
        let left = pairs % batch;
        watch.note(&format!(
            "each evaluation leaves {left} of the {pairs} pairs to validate on out: it takes whole batches of {batch}"
        ));
    }
    let captions = source.captions();
    let tokenizer = match given {
        Some(tokenizer) => tokenizer,
        None => Tokenizer::train(&captions.iter().map(String::as_bytes).collect::<Vec<_>>(), o.vocab_size)
            .map_err(refused)?,
    };
    if tokenizer.end_of_text().is_none() {
        let what =
            "the tokenizer has no <|endoftext|>, where CLIP reads a text: give another --tokenizer, or leave it out";
        return Err(Error::Options(what.to_owned()));
    }
    if tokenizer.end_of_text() == Some(LEGACY_END) {
        let what = format!(
            "the tokenizer's <|endoftext|> has the id {LEGACY_END}, by which CLIP's checkpoints mean the largest id of a text: \
             it would be read elsewhere than at its end, here and in transformers; give another --tokenizer, or leave it out"
        );
        return Err(Error::Options(what));
    }
    let tokenizer = tokenizer.with_ends();
    check_captions(&captions, &tokenizer, o.block_size, watch)?;
    let usual = match (run.or(o.from.as_deref()), o.config()) {
        (Some(directory), Config::Clip(config)) => hub::clip::open_preprocess(directory, &config)?,
        _ => Preprocess::default(),
    };
    let preprocess = Preprocess { size: of.image_size, ground: of.ground, ..usual };
    let rows = Rows { source, tokenizer: tokenizer.clone(), block: o.block_size, preprocess, augment: of.augment() };
    Ok((tokenizer, Corpus::Captioned(Captioned::new(rows))))
}

/// An error if captions are all the same to the model, and a note if some are longer than it reads.
fn check_captions(captions: &[String], tokenizer: &Tokenizer, block: usize, watch: &mut dyn Watch) -> Result<()> {
    let read = |caption: &String| caption_ids(tokenizer, block, caption);
    let first = captions.first().map(read).unwrap_or_default().0;
    let (mut cut, mut differ) = (0, false);
    for (ids, too_long) in captions.iter().map(read) {
        (cut, differ) = (cut + usize::from(too_long), differ || ids != first);
    }
    if !differ {
        let (n, said) = (captions.len(), shortened(captions.first().map_or("", String::as_str)));
        let same = match n {
            1 => format!("there is one caption to learn from, {said}"),
            n => format!("all {n} captions to learn from are the same to the model, such as {said}"),
        };
        let way_out = "give --captions that differ, or a longer --block-size";
        let what = format!("{same}: pictures cannot be told apart by it; {way_out}");
        return Err(Error::Options(what));
    }
    if cut > 0 {
        let (n, longest) = (captions.len(), block);
        watch.note(&format!("{cut} of {n} captions are longer than {longest} tokens, and are cut"));
    }
    Ok(())
}

/// An error if data of a run that is resumed is no longer where the run's own options say.
pub fn check_there(o: &Options, run: &Path) -> Result<()> {
    let there = |said: &str| Path::new(said).exists();
    let gone = |said: &&String| !there(said) && !said.rsplit_once('=').is_some_and(|(path, _)| there(path));
    match o.data.iter().chain(&o.val_data).find(gone) {
        Some(said) => {
            let options = run.join("train.toml");
            let what = format!(
                "is not there any more, and the run needs it: bring it back, or, if it is elsewhere now, write its new \
                 path in {}",
                options.display()
            );
            Err(Error::file(said, what))
        }
        None => Ok(()),
    }
}

/// An error if a weight was given to pictures.
fn unweighted(said: &str) -> Result<()> {
    match said.rsplit_once('=') {
        Some((path, weight))
            if weight.parse::<f64>().is_ok() && !Path::new(said).exists() && Path::new(path).exists() =>
        {
            let what = format!("{said}: weights are for texts, and each picture counts alike: leave ={weight} out");
            Err(Error::Options(what))
        }
        _ => Ok(()),
    }
}

fn text_options(options: &Options) -> Result<text::TextOptions> {
    let sources = |said: &[String]| said.iter().map(|s| Ok(s.parse()?)).collect::<Result<Vec<_>>>();
    Ok(text::TextOptions {
        data: sources(&options.data)?,
        val_data: sources(&options.val_data)?,
        val_share: options.val_share,
        cache: text::default_cache(),
    })
}
