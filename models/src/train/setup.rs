//! From options to everything that a run needs: a tokenizer, data in tokens, a model.

use std::path::{Path, PathBuf};

use autograd::{Params, Tape};
use tensor::parallel;
use tokenizer::Tokenizer;

use super::options::{ClipOptions, ModelName, ObjectiveName, Options};
use super::representation::{Representation, TEXTS, Views};
use super::watch::{Plan, Watch};
use super::{origin, step};
use crate::data::Corpus;
use crate::data::captioned::{Captioned, Rows, Source, caption_ids};
use crate::data::labelled::shortened;
use crate::data::pictures::Preprocess;
use crate::data::stories::Stories;
use crate::data::text::{self, TextFiles};
use crate::data::world::World;
use crate::error::{Error, Result};
use crate::hub::{self, beside};
use crate::pretext::contrastive::TEMPERATURE;
use crate::pretext::image_text::Twins;
use crate::pretext::masked::{MASK_SHARE, Unit};
use crate::pretext::texts::TOKENS;
use crate::pretext::{Batch, Contrast, Contrastive, Masking, Objective};
use crate::{Config, Model};

/// A tokenizer, data in tokens and an untrained model, as the options ask for.
pub struct Setup {
    /// The options, with the vocabulary's real size.
    pub options: Options,
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// What to train and validate on.
    pub corpus: Corpus,
    /// Validation texts whose vectors are looked at.
    pub texts: Vec<Vec<u32>>,
    /// The model.
    pub model: Model,
    /// Its initial parameters.
    pub params: Params,
    /// Bytes of memory that the data takes, about.
    kept: usize,
}

impl Setup {
    /// Reads or trains the tokenizer, tokenises the data and makes the model. `run` is the directory of a run that is
    /// resumed: its tokenizer is used, and if it went on from another model, its own copy of that.
    pub fn new(mut options: Options, run: Option<&Path>, watch: &mut dyn Watch) -> Result<Self> {
        let given = match run.or(options.from.as_deref()).or(options.tokenizer.as_deref()) {
            Some(path) => Some(Tokenizer::open(path).map_err(|error| Error::Options(error.to_string()))?),
            None => None,
        };
        let failed = |error: tokenizer::Error| Error::Options(error.to_string());
        let framed = |tokenizer: Tokenizer| match options.model {
            ModelName::Gpt | ModelName::Clip => tokenizer,
            ModelName::Bert => tokenizer.framed(),
        };
        // The frame takes more ids than the end of a text does.
        let learned = options.vocab_size - options.model.frame_size();
        let (tokenizer, corpus) = if let Some(of) = &options.clip {
            let captioned = captioned(&options, of, run, given, watch)?;
            (captioned.rows().tokenizer.clone(), Corpus::Captioned(captioned))
        } else if options.data.is_empty() {
            let world = World::new(options.seed);
            let tokenizer = given.map_or_else(|| Stories::train_tokenizer(world, learned), Ok);
            let tokenizer = framed(tokenizer.map_err(failed)?);
            let stories = Stories::new(world, tokenizer.clone(), options.block_size);
            (tokenizer, Corpus::World(Box::new(stories)))
        } else {
            note_shared(&options, watch);
            let files = TextFiles::open(&text_options(&options)?)?;
            let tokenizer = match given {
                Some(tokenizer) => tokenizer,
                None => {
                    if learned > 256 {
                        watch.note(&format!("training a tokenizer of {} tokens on the data", options.vocab_size));
                    }
                    Tokenizer::train(&files.training_documents()?.slices(), learned).map_err(failed)?
                }
            };
            let tokenizer = framed(tokenizer);
            let data = files.tokenize(&tokenizer, &mut |_| {})?;
            data.require_block(options.block_size)?;
            data.notes.iter().for_each(|sentence| watch.note(sentence));
            (tokenizer, Corpus::Text(data))
        };
        if options.from.is_none() {
            let (had, wanted) = (tokenizer.vocab_size(), options.vocab_size);
            if had != wanted && options.tokenizer.is_none() {
                watch.note(&format!("the data has pairs for {had} tokens only, not for {wanted}"));
            }
            options.vocab_size = had;
        }
        check_memory(&options)?;
        let (model, params) = match &options.from {
            None => options.config_for(&tokenizer).init(options.seed),
            Some(from) => {
                let (model, params, new_head) = origin::open(run.unwrap_or(from), &options)?;
                if new_head {
                    let what = "has no head that finds hidden tokens: it begins with one of random weights";
                    watch.note(&format!("{} {what}", from.display()));
                }
                (model, params)
            }
        };
        let texts = corpus.val_texts(&tokenizer, options.block_size, TEXTS);
        let kept = corpus.kept_bytes();
        Ok(Self { options, tokenizer, corpus, texts, model, params, kept })
    }

    /// What is to be learned.
    pub fn objective(&self) -> Objective<'_> {
        let (o, tokenizer) = (&self.options, &self.tokenizer);
        if o.clip.is_some() {
            return Objective::ImageText;
        }
        if let (Some(temperature), Some(hardness)) = (o.temperature, o.hardness) {
            return Objective::Contrastive(Contrastive { tokenizer, contrast: Contrast { temperature, hardness } });
        }
        match (tokenizer.frame(), o.mask_share, o.mask_unit) {
            (Some(frame), Some(share), Some(unit)) => Objective::Masked(Masking { tokenizer, frame, share, unit }),
            _ => Objective::NextToken,
        }
    }

    /// What is to be learned, as validation asks for it: the same for every run, so that runs compare.
    pub fn validation(&self) -> Objective<'_> {
        match self.objective() {
            Objective::Masked(masking) => {
                Objective::Masked(Masking { share: MASK_SHARE, unit: Unit::Token, ..masking })
            }
            Objective::Contrastive(views) => {
                let contrast = Contrast { temperature: TEMPERATURE, hardness: 0.0 };
                Objective::Contrastive(Contrastive { contrast, ..views })
            }
            objective => objective,
        }
    }

    /// Where two views of a text come from.
    pub fn views(&self) -> Views<'_> {
        match self.validation() {
            _ if self.options.dropout > 0.0 => Views::Dropout,
            Objective::Masked(masking) => Views::Masks(masking),
            _ => Views::One,
        }
    }

    /// What the vectors of validation texts, or of pictures and their captions, look like.
    pub fn representation(&self) -> Result<Representation> {
        let Model::Clip(clip) = &self.model else {
            return Ok(Representation::of(&self.model, &self.params, &self.texts, self.views()));
        };
        let rows = self.corpus.val_rows(Objective::ImageText, 0);
        let chosen = rows.min(TEXTS);
        let batch = self.corpus.val_batch((0..chosen).map(|i| i * rows / chosen), Objective::ImageText, 0)?;
        let (images, texts) = parallel::inside(|| {
            let tape = Tape::no_grad(&self.params);
            let (images, texts) = clip.vectors(&tape, batch.all());
            (images.value(), texts.value())
        });
        Ok(Representation::of_pairs(&images, &texts))
    }

    /// Writes the model into a directory, for everyone else, with what its use needs beside.
    pub(super) fn save_model(&self, directory: &Path) -> Result<()> {
        if self.options.objective == Some(ObjectiveName::Simcse) {
            beside::write_pooling(directory, &self.model)?;
        }
        if let Corpus::Captioned(captioned) = &self.corpus {
            hub::clip::write_preprocessor(directory, &captioned.rows().preprocess)?;
        }
        hub::save(directory, &self.model, &self.params, &self.tokenizer)
    }

    /// Fills `batch` with the rows of step `step`.
    pub fn fill(&self, batch: &mut Batch, step: u64) -> Result<()> {
        let o = &self.options;
        self.corpus.fill(batch, self.objective(), [o.seed, step], o.batch_size, o.block_size)
    }

    /// What the run is going to do.
    pub fn plan(&self, first_step: u64) -> Plan {
        let (o, config) = (&self.options, self.model.config());
        let contrastive = o.objective == Some(ObjectiveName::Simcse);
        // Both views of texts as long as those of the validation part.
        let text = self.texts.iter().map(Vec::len).sum::<usize>() / self.texts.len().max(1);
        let (row, rows) = if contrastive { (text, 2 * o.batch_size) } else { (o.block_size, o.batch_size) };
        let pictures = o.clip.is_some();
        let step_tokens = if pictures { rows } else { row * rows };
        let hidden = o.mask_share.unwrap_or(1.0);
        let read_and_guessed = if contrastive { [1.0, 0.0] } else { [hidden, hidden] };
        let uniform = |among: usize| match &self.model {
            Model::Clip(clip) => Twins::none(among).chance(clip.config.sigmoid),
            _ if contrastive => (among as f64).ln(),
            model => (model.vocab_size() as f64).ln(),
        };
        let val_rows = self.corpus.val_rows(self.objective(), o.block_size);
        Plan {
            model: o.model.title(),
            parameters: self.params.count(),
            train_tokens: self.corpus.train_tokens(),
            val_tokens: self.corpus.val_tokens(),
            data: if o.data.is_empty() { "the built-in world".to_owned() } else { o.data.join(", ") },
            memory: memory(o, self.params.count() as f64) as usize + self.kept,
            counted: if pictures { "pair" } else { "token" },
            item: match self.objective() {
                Objective::ImageText => "pair",
                Objective::Contrastive(_) => "text",
                Objective::NextToken | Objective::Masked(_) => "token",
            },
            uniform: uniform(o.batch_size),
            val_uniform: uniform(o.batch_size.min(val_rows)),
            unigram: self.corpus.unigram_entropy().filter(|_| !contrastive),
            floor: self.corpus.floor(),
            first_step,
            steps: o.steps,
            step_tokens,
            step_flops: config.flops_per_item(row, read_and_guessed) * step_tokens as f64,
            precision: o.precision.into(),
        }
    }
}

/// Pictures with captions, and the tokenizer of these. Who goes on from another model sees pictures as that did.
fn captioned(
    o: &Options,
    of: &ClipOptions,
    run: Option<&Path>,
    given: Option<Tokenizer>,
    watch: &mut dyn Watch,
) -> Result<Captioned> {
    let source = if o.data.is_empty() {
        Source::World(World::new(o.seed))
    } else {
        o.data.iter().chain(&o.val_data).try_for_each(|said| unweighted(said))?;
        note_shared(o, watch);
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
    let captions = source.captions();
    let tokenizer = match given {
        Some(tokenizer) => tokenizer,
        None => Tokenizer::train(&captions.iter().map(String::as_bytes).collect::<Vec<_>>(), o.vocab_size)
            .map_err(|error| Error::Options(error.to_string()))?,
    };
    if tokenizer.end_of_text().is_none() {
        let what =
            "the tokenizer has no <|endoftext|>, where CLIP reads a text: give another --tokenizer, or leave it out";
        return Err(Error::Options(what.to_owned()));
    }
    let tokenizer = tokenizer.with_ends();
    let read = |caption: &String| caption_ids(&tokenizer, o.block_size, caption);
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
        let (n, longest) = (captions.len(), o.block_size);
        watch.note(&format!("{cut} of {n} captions are longer than {longest} tokens, and are cut"));
    }
    let usual = match (run.or(o.from.as_deref()), o.config()) {
        (Some(directory), Config::Clip(config)) => hub::clip::open_preprocess(directory, &config)?,
        _ => Preprocess::default(),
    };
    let preprocess = Preprocess { size: of.image_size, ground: of.ground, ..usual };
    Ok(Captioned::new(Rows { source, tokenizer, block: o.block_size, preprocess, augment: of.augment() }))
}

/// Says so if what is learned from is validated on as well.
fn note_shared(o: &Options, watch: &mut dyn Watch) {
    let path = |said: &String| said.rsplit_once('=').map_or(said.clone(), |(path, _)| path.to_owned());
    let learned: Vec<String> = o.data.iter().flat_map(|said| [said.clone(), path(said)]).collect();
    if let Some(both) = o.val_data.iter().find(|said| learned.contains(said)) {
        let what = "is learned from and validated on: the validation loss says nothing of what is new";
        watch.note(&format!("{both} {what}"));
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

/// About how much memory a run takes, in bytes of f32: weights and two moments; for each position of a micro-batch the 10 rows
/// of width C that a block keeps for its backward pass (3 of q, k, v, 1 of attention, 1 sum, 4 hidden, and the stream), or the
/// last of them alone when the others are computed again, and gradients (of both halves, where the batch is computed in
/// halves), which come to lie where these stood, unless more micro-batches follow; some 24 rows more for the block at work;
/// the logits, or a chunk of them. Where vectors are measured in between, 13 rows for each of their tokens, in the place of all
/// that a step computes.
fn memory(o: &Options, parameters: f64) -> f64 {
    let (width, layers) = (o.width as f64, o.layers as f64);
    let positions = o.micro_batch as f64 * o.block_size as f64;
    let rows = if o.recompute { 1.0 } else { 10.0 };
    let mut measured = TOKENS.max(o.block_size) as f64 * width * 13.0;
    let (mut kept, mut at_work) = (positions * width * rows * layers, positions * width * 24.0);
    let mut logits = (positions * o.vocab_size as f64).min(autograd::ops::lm_head::CHUNK as f64);
    if let Some(of) = &o.clip {
        // The image encoder's as well; scores of pairs in the place of logits, and two batches of pixels.
        let picture = of.vision_width as f64 * (1.0 + (of.image_size as f64 / of.patch_size as f64).powi(2));
        kept += o.micro_batch as f64 * picture * rows * of.vision_layers as f64;
        at_work += o.micro_batch as f64 * picture * 24.0;
        measured = TEXTS as f64 * 13.0 * picture.max(width * o.block_size as f64);
        let batch = o.batch_size as f64;
        logits = 6.0 * batch * batch + 2.0 * batch * 3.0 * (of.image_size as f64).powi(2);
    }
    let halves = step::in_halves(parameters as usize, o.batch_size, o.micro_batch);
    let gradients = if halves { 2.0 * parameters } else { parameters };
    let both = if o.micro_batch < o.batch_size { kept + gradients } else { kept.max(gradients) };
    4.0 * (3.0 * parameters + (both + at_work + logits).max(measured)) + f64::from(32 << 20)
}

/// Refuses what the machine's memory cannot hold, where the system tells its size (Linux): it would fail much later.
fn check_memory(o: &Options) -> Result<()> {
    let (width, layers, rows) = (o.width as f64, o.layers as f64, (o.vocab_size + o.block_size) as f64);
    let mut parameters = 12.0 * layers * width * width + rows * width;
    if let Some(of) = &o.clip {
        parameters += 12.0 * of.vision_layers as f64 * (of.vision_width as f64).powi(2);
    }
    let needed = memory(o, parameters);
    let Some(there) = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kilobytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
        };
        Some(1024.0 * (kilobytes("MemTotal:")? + kilobytes("SwapTotal:")?))
    }) else {
        return Ok(());
    };
    if needed > there {
        let [needed, there] = [needed, there].map(|bytes| bytes / f64::from(1 << 30));
        let side = if o.clip.is_some() { "a smaller --image-size, " } else { "" };
        let way_out = format!(
            "give {side}fewer --layers, a smaller --width or --block-size, a smaller --micro-batch, or --recompute"
        );
        let what = format!("the run needs about {needed:.1} GiB of memory and this machine has {there:.1}: {way_out}");
        return Err(Error::Options(what));
    }
    Ok(())
}
