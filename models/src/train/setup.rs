//! From options to everything that a run needs: a tokenizer, data in tokens, a model.

mod corpora;
mod memory;

use std::path::Path;

use autograd::{Muon, Params, Tape};
use sha2::{Digest as _, Sha256};
use tensor::parallel;
use tokenizer::Tokenizer;

use super::checkpoint::Position;
use super::options::{OptimizerName, Options};
use super::origin;
use super::representation::{Representation, TEXTS, Views};
use super::watch::{Plan, Watch};
use crate::Model;
use crate::data::Corpus;
use crate::error::Result;
use crate::files;
use crate::hub::{self, beside};
use crate::pretext::contrastive::TEMPERATURE;
use crate::pretext::image_text::Twins;
use crate::pretext::masked::{MASK_SHARE, Unit};
use crate::pretext::{Batch, Contrast, Contrastive, Masking, Objective};

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
        memory::check(&options)?;
        run.map_or(Ok(()), |run| corpora::check_there(&options, run))?;
        let given = match run.or(options.from.as_deref()).or(options.tokenizer.as_deref()) {
            Some(path) => Some(Tokenizer::open(path)?),
            None => None,
        };
        let (tokenizer, corpus) = match &options.clip {
            Some(of) => corpora::captioned(&options, of, run, given, watch)?,
            None if options.data.is_empty() => corpora::stories(&options, given, watch)?,
            None => corpora::texts(&options, given, watch)?,
        };
        if options.from.is_none() {
            let (had, wanted) = (tokenizer.vocab_size(), options.vocab_size);
            if had != wanted && options.tokenizer.is_none() {
                watch.note(&format!("the data has pairs for {had} tokens only, not for {wanted}"));
            }
            options.vocab_size = had;
        }
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

    /// Where a run begins: before its first step, on this data with this tokenizer.
    pub(super) fn beginning(&self) -> Position {
        let tokenizer = files::hex(Sha256::digest(self.tokenizer.to_json()));
        Position { data: self.corpus.fingerprint(), tokenizer, ..Position::default() }
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

    /// Where two views of a text come from: the same for every run of a BERT, so that runs compare.
    pub fn views(&self) -> Views<'_> {
        let tokenizer = &self.tokenizer;
        match tokenizer.frame().filter(|_| matches!(self.model, Model::Bert(_))) {
            Some(frame) => Views::Masks(Masking { tokenizer, frame, share: MASK_SHARE, unit: Unit::Token }),
            None if self.options.dropout > 0.0 => Views::Dropout,
            None => Views::One,
        }
    }

    /// How many vectors [`Self::representation`] measures.
    pub(super) fn vectors(&self) -> usize {
        match &self.model {
            Model::Clip(_) => self.corpus.val_rows(Objective::ImageText, 0).min(TEXTS),
            _ => self.texts.len(),
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
        if matches!(self.objective(), Objective::Contrastive(_)) {
            beside::write_pooling(directory, &self.model)?;
        }
        if let Corpus::Captioned(captioned) = &self.corpus {
            hub::clip::write_preprocessor(directory, &captioned.rows().preprocess)?;
        }
        hub::save(directory, &self.model, &self.params, &self.tokenizer)
    }

    /// The optimiser that the options name, before its first step.
    pub(super) fn optimizer(&self) -> Muon {
        let o = &self.options;
        let matrices = match o.optimizer {
            OptimizerName::Adamw => Vec::new(),
            OptimizerName::Muon => self.model.matrices(&self.params),
        };
        Muon::new(&self.params, &matrices, o.muon_momentum, o.adamw()).with_precision(o.precision.into())
    }

    /// Fills `batch` with the rows of step `step`.
    pub fn fill(&self, batch: &mut Batch, step: u64) -> Result<()> {
        let o = &self.options;
        self.corpus.fill(batch, self.objective(), [o.seed, step], o.batch_size, o.block_size)
    }

    /// What the run is going to do.
    pub fn plan(&self, first_step: u64) -> Plan {
        let (o, config) = (&self.options, self.model.config());
        let contrastive = matches!(self.objective(), Objective::Contrastive(_));
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
            memory: memory::needed(o, self.params.count() as f64) as usize + self.kept,
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

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    #[test]
    fn validation_hides_the_same_of_every_run() {
        let setup = |more: &str| {
            let flags =
                "model = \"bert\"\nlayers = 1\nheads = 1\nwidth = 8\nblock_size = 64\nvocab_size = 300\nsteps = 3\n";
            let flags: Table = format!("{flags}{more}").parse().unwrap();
            Setup::new(Options::resolve(&Table::new(), &flags).unwrap(), None, &mut ()).unwrap()
        };
        let words = setup("mask_share = 0.4\nmask_unit = \"word\"\nseed = 7");
        let kind = |of: Objective| match of {
            Objective::Masked(Masking { share, unit, .. }) => (share, unit),
            other => panic!("{other:?}"),
        };
        assert_eq!((kind(words.objective()), kind(words.validation())), ((0.4, Unit::Word), (0.15, Unit::Token)));
        let usual = setup("");
        let read = |of: &Setup| of.corpus.val_batch(0..8, of.validation(), 64).unwrap();
        assert_eq!(read(&words), read(&usual));
    }
}
