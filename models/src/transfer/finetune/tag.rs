//! Tagging: a label for each word, from the hidden state of the word's first token.
//!
//! Tags are BIO (Ramshaw and Marcus 1995): B-X begins an entity of kind X, I-X goes on with it, O is outside. What a word's
//! other tokens give is not looked at. [`super::words`] makes ids of words.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use autograd::{Params, Tape};
use tensor::{parallel, rows};
use tokenizer::Tokenizer;

use super::super::score::{Counts, entities, entity_score};
use super::tuned::{Kind, Learned, Reading, Tuned};
use super::words::{self, Words};
use super::{Fitted, Recipe, Task, Watch, fit, layerwise};
use crate::data::labelled::Tally;
use crate::data::labelled::conll::Sentence;
use crate::error::Result;
use crate::hub::pretrained::Pretrained;
use crate::model::texts::portions;
use crate::nn::Value;
use crate::pretext::texts::Packed;

/// Sentences to learn from or to be judged by.
#[derive(Clone, Debug, Default)]
pub struct Tagged {
    /// The parts of the sentences, in order.
    parts: Vec<Words>,
    /// The tag of each word of each part, by its number; the number of tags stands for one that training never saw.
    numbers: Vec<Vec<usize>>,
    /// The tags of each sentence, as they stand in the file.
    tags: Vec<Vec<String>>,
    /// The lines of the sentences that are read in parts.
    torn: Vec<usize>,
    /// The lines of the words that are longer than a part.
    cut: Vec<usize>,
    /// The lines of the words whose tags training never saw, with these.
    unseen: Vec<(usize, String)>,
}

impl Tagged {
    /// Sentences with their tags, of which `known` are those that training saw, in order.
    pub fn new(with: &Pretrained, sentences: impl IntoIterator<Item = Sentence>, known: &[String]) -> Self {
        let mut all = Self::default();
        for Sentence { words, tags, line } in sentences {
            let number = |tag| known.binary_search(tag).unwrap_or(known.len());
            let unseen = tags.iter().enumerate().filter(|(_, tag)| number(tag) == known.len());
            all.unseen.extend(unseen.map(|(i, tag)| (line + i, tag.clone())));
            let mut left = tags.iter().map(number);
            let parts = words::of_sentence(&with.tokenizer, with.model.block_size(), &words);
            if parts.len() > 1 {
                all.torn.push(line);
            }
            let mut next = line;
            for part in parts {
                next += part.firsts.len();
                all.cut.extend(part.cut.then_some(next - 1));
                all.numbers.push(left.by_ref().take(part.firsts.len()).collect());
                all.parts.push(part);
            }
            all.tags.push(tags);
        }
        all
    }

    /// Adds what should be known about them as `part` of a task, which stands in the file `path`. They may come in any order,
    /// and the first of some is the one that stands first in the file.
    pub fn note(&self, part: &str, path: &Path, sees: usize, notes: &mut Vec<String>) {
        let [mut torn, mut cut, mut unseen] = [(); 3].map(|()| Tally::default());
        for (tally, lines) in [(&mut torn, &self.torn), (&mut cut, &self.cut)] {
            BTreeSet::from_iter(lines).into_iter().for_each(|line| tally.add(|| format!("line {line}")));
        }
        BTreeSet::from_iter(&self.unseen)
            .into_iter()
            .for_each(|(line, tag)| unseen.add(|| format!("line {line} ({tag})")));
        let one = format!("{part} sentence is longer than the {sees} tokens that the model sees, and is read in parts");
        let many =
            format!("{part} sentences are longer than the {sees} tokens that the model sees, and are read in parts");
        torn.note(path, &one, &many, notes);
        let one = format!("{part} word is longer than the {sees} tokens that the model sees, and is cut there");
        let many = format!("{part} words are longer than the {sees} tokens that the model sees, and are cut there");
        cut.note(path, &one, &many, notes);
        let one = format!("{part} word has a tag that training never saw, which the model never gives");
        let many = format!("{part} words have tags that training never saw, which the model never gives");
        unseen.note(path, &one, &many, notes);
        if !self.tags.is_empty() && !self.has_entity() {
            let place = path.display();
            notes.push(format!("{place}: no {part} sentence has an entity, so that no F1 can be measured on them"));
        }
    }

    /// Whether there is an entity to be found in them.
    pub fn has_entity(&self) -> bool {
        self.tags.iter().any(|tags| !entities(tags).is_empty())
    }

    /// How many sentences there are.
    pub fn sentences(&self) -> usize {
        self.tags.len()
    }
}

/// The tags that occur in sentences, in order.
pub fn known(sentences: &[Sentence]) -> Vec<String> {
    sentences.iter().flat_map(|sentence| &sentence.tags).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// A model that gives each word a tag.
#[derive(Clone, Debug)]
pub struct Tagger {
    /// The model and its last layer.
    pub tuned: Tuned,
    /// The tags, in order.
    pub tags: Vec<String>,
}

/// An entity in a text.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Found {
    /// Its kind: what stands behind B- and I-.
    pub kind: String,
    /// Its bytes in the text.
    pub start: usize,
    /// The first byte beyond.
    pub end: usize,
    /// Its words.
    pub text: String,
    /// The probability of the least certain of its tags.
    pub score: f32,
}

impl Learned for Tagger {
    fn tuned(&self) -> &Tuned {
        &self.tuned
    }
}

impl Tagger {
    /// Opens what [`Tuned::save`] wrote, with its tokenizer.
    ///
    /// Errors: those of [`Tuned::open`].
    pub fn open(directory: &Path) -> Result<(Self, Tokenizer)> {
        let (tuned, tokenizer, tags) = Tuned::open(directory, Kind::Tag)?;
        Ok((Self { tuned, tags }, tokenizer))
    }

    /// Scores of the tags for each word of some parts: `[words, tags]`.
    fn scores<'t>(&self, tape: &'t Tape<'t>, parts: &[&Words], dropout: f64) -> Value<'t> {
        let model = &self.tuned.model;
        let packed = Packed::new(parts.iter().map(|part| &part.ids[..]), model.block_size());
        let places = parts.iter().zip(&packed.texts);
        let firsts: Vec<u32> =
            places.flat_map(|(part, at)| part.firsts.iter().map(|first| first + at.start as u32)).collect();
        let x = packed.hidden_at(model, tape, &firsts); // [words, C]
        self.tuned.head.out.forward(x.dropout(dropout))
    }

    /// The number of the likeliest tag of each word of each part, and its probability.
    pub fn predict(&self, params: &Params, parts: &[Words]) -> Vec<Vec<(usize, f32)>> {
        let some = |parts: &[Words]| {
            let tape = Tape::no_grad(params);
            let parts: Vec<&Words> = parts.iter().collect();
            let mut scores = self.scores(&tape, &parts, 0.0).value();
            let tags = scores.shape().cols();
            let mut best = scores.data_mut().chunks_exact_mut(tags).map(|row| {
                rows::softmax(row);
                let best = rows::argmax(row);
                (best, row[best])
            });
            parts.iter().map(|part| best.by_ref().take(part.firsts.len()).collect()).collect::<Vec<_>>()
        };
        parallel::inside(|| portions(parts, |part| part.ids.len()).flat_map(some).collect())
    }

    /// The entities that it finds in a text, in order; and how many of the words are longer than what the model sees, which
    /// reads them to there.
    pub fn find(&self, tokenizer: &Tokenizer, text: &str) -> (Vec<Found>, usize) {
        let (places, parts) = words::of_text(tokenizer, self.tuned.model.block_size(), text);
        if places.is_empty() {
            return Default::default(); // where nothing stands around a text, there would be no token at all
        }
        let tags: Vec<(usize, f32)> = self.predict(&self.tuned.params, &parts).into_iter().flatten().collect();
        let names: Vec<Cow<str>> = tags.iter().map(|&(tag, _)| within_entity(&self.tags[tag])).collect();
        let found = entities(&names).into_iter().map(|entity| {
            let score = entity.words.clone().map(|word| tags[word].1).fold(1.0, f32::min);
            let (start, end) = (places[entity.words.start].start, places[entity.words.end - 1].end);
            Found { kind: entity.kind, start, end, text: text[start..end].to_owned(), score }
        });
        (found.collect(), parts.iter().filter(|part| part.cut).count())
    }

    /// How many entities it finds in some sentences.
    pub fn scores_on(&self, params: &Params, on: &Tagged) -> Counts {
        let mut found = self.predict(params, &on.parts).into_iter().flatten().map(|(tag, _)| &self.tags[tag]);
        let found: Vec<Vec<&String>> = on.tags.iter().map(|tags| found.by_ref().take(tags.len()).collect()).collect();
        entity_score(&on.tags, &found)
    }
}

/// A tag as one of BIO. Taggers that others made may have plain labels, of parts of speech, say: neighbours of one label are
/// then taken together, as `transformers` does.
fn within_entity(tag: &str) -> Cow<'_, str> {
    let known = tag == "O" || tag.starts_with("B-") || tag.starts_with("I-");
    if known { tag.into() } else { format!("I-{tag}").into() }
}

/// Fine-tunes what was pre-trained on sentences. The best weights by the entity F1 on `val` are kept, if that has
/// entities; else the last.
///
/// Errors: those of [`fit`].
pub fn finetune(
    from: &Pretrained,
    [train, val]: [&Tagged; 2],
    tags: &[String],
    recipe: &Recipe,
    watch: impl Watch,
) -> Result<(Tagger, Fitted)> {
    let tuned = Tuned::new(from, Kind::Tag, tags.len(), Reading::Token, recipe);
    let mut tagger = Tagger { tuned, tags: tags.to_vec() };
    let mut params = tagger.tuned.params.clone();
    let pace = layerwise(&tagger.tuned.model, recipe.layer_decay);
    let task = Learning { tagger: &tagger, train, dropout: recipe.dropout };
    let score = |params: &Params| val.has_entity().then(|| tagger.scores_on(params, val).f1());
    let fitted = fit(&task, &mut params, recipe, pace, score, watch)?;
    tagger.tuned.params = params;
    Ok((tagger, fitted))
}

struct Learning<'a> {
    tagger: &'a Tagger,
    train: &'a Tagged,
    dropout: f64,
}

impl Task for Learning<'_> {
    fn examples(&self) -> usize {
        self.train.parts.len()
    }

    fn tuned(&self) -> Option<&Tuned> {
        Some(&self.tagger.tuned)
    }

    fn loss<'t>(&self, tape: &'t Tape<'t>, examples: &[usize], divisor: f64) -> Value<'t> {
        let parts: Vec<&Words> = examples.iter().map(|&i| &self.train.parts[i]).collect();
        let numbers = examples.iter().flat_map(|&i| &self.train.numbers[i]);
        let tags: Vec<u32> = numbers.map(|&tag| tag as u32).collect();
        // The mean over the words, times the parts: each part counts as an example does elsewhere.
        let words = tags.len() as f64 / examples.len() as f64;
        self.tagger.scores(tape, &parts, self.dropout).cross_entropy(&tags, divisor * words)
    }
}
