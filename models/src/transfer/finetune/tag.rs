//! Tagging: a label for each word, from the hidden state of the word's first token.
//!
//! Tags are BIO (Ramshaw and Marcus 1995): B-X begins an entity of kind X, I-X goes on with it, O is outside. A word that
//! the tokenizer cuts into several tokens has its label on the first; what the others give is not looked at (Devlin et al.
//! 2019, section 5.3). A sentence beyond the model's context is tagged in parts.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use autograd::{Params, Tape};
use tensor::parallel;
use tokenizer::{Slot, Tokenizer};

use super::super::pretrained::{AT_ONCE, Packed, Pretrained};
use super::super::score::{EntityScore, entities, entity_score};
use super::tuned::{Kind, Reading, Tuned};
use super::{Fitted, Recipe, Task, fit, layerwise};
use crate::error::Result;
use crate::nn::Value;
use crate::pretext::texts;

/// A sentence as a tagger sees it: all of its words, or some of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    /// Its ids, in their frame.
    pub ids: Vec<u32>,
    /// The place of each word's first token.
    pub firsts: Vec<u32>,
}

/// A text's words, by their bytes: what stands between spaces, with the punctuation at its ends as words of their own, one
/// a character, which is how tagged corpora have it.
pub fn split(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mark = |c: char| !c.is_alphanumeric();
    for piece in text.split_whitespace() {
        let start = piece.as_ptr() as usize - text.as_ptr() as usize;
        let inner = piece.trim_matches(mark);
        let [before, after] = [piece.len() - piece.trim_start_matches(mark).len(), piece.trim_end_matches(mark).len()];
        let marks = |from: usize, to: usize| {
            piece[from..to].char_indices().map(move |(i, c)| start + from + i..start + from + i + c.len_utf8())
        };
        words.extend(marks(0, before));
        if !inner.is_empty() {
            words.push(start + before..start + after);
            words.extend(marks(after, piece.len()));
        }
    }
    words
}

/// The parts of a sentence that fit into `block` positions: as few as there can be.
pub fn words(tokenizer: &Tokenizer, block: usize, sentence: &[impl AsRef<str>]) -> Vec<Words> {
    let single = texts::template(tokenizer).single;
    let mut around = single.split(|slot| matches!(slot, Slot::First(_))).map(|slots| {
        slots
            .iter()
            .filter_map(|slot| if let Slot::Token(id, _) = slot { Some(*id) } else { None })
            .collect::<Vec<u32>>()
    });
    let [open, close] = [around.next(), around.next()].map(Option::unwrap_or_default);
    let room = block.saturating_sub(close.len()).max(open.len() + 1);
    let begin = || Words { ids: open.clone(), firsts: Vec::new() };
    let (mut parts, mut part) = (Vec::new(), begin());
    for (i, word) in sentence.iter().enumerate() {
        let mut ids = Vec::new();
        let space = if i > 0 { " " } else { "" };
        tokenizer.encode_ordinary(format!("{space}{}", word.as_ref()).as_bytes(), &mut ids);
        if part.ids.len() + ids.len() > room && !part.firsts.is_empty() {
            part.ids.extend(&close);
            parts.push(std::mem::replace(&mut part, begin()));
        }
        ids.truncate(room - part.ids.len()); // a word longer than all there is room for
        part.firsts.push(part.ids.len() as u32);
        part.ids.extend(ids);
    }
    part.ids.extend(&close);
    parts.push(part);
    parts
}

/// Sentences to learn from or to be judged by.
#[derive(Clone, Debug, Default)]
pub struct Tagged {
    /// The parts of the sentences, in order.
    parts: Vec<Words>,
    /// The tag of each word of each part, by its number; the number of tags stands for one that training never saw.
    numbers: Vec<Vec<usize>>,
    /// The tags of each sentence, as they stand in the file.
    tags: Vec<Vec<String>>,
}

impl Tagged {
    /// Sentences with their tags, of which `known` are those that training saw, in order.
    pub fn new(
        with: &Pretrained,
        sentences: impl IntoIterator<Item = (Vec<String>, Vec<String>)>,
        known: &[String],
    ) -> Self {
        let mut all = Self::default();
        for (sentence, tags) in sentences {
            let mut left = tags.iter().map(|tag| known.binary_search(tag).unwrap_or(known.len()));
            for part in words(&with.tokenizer, with.model.block_size(), &sentence) {
                all.numbers.push(left.by_ref().take(part.firsts.len()).collect());
                all.parts.push(part);
            }
            all.tags.push(tags);
        }
        all
    }

    /// How many sentences there are.
    pub fn sentences(&self) -> usize {
        self.tags.len()
    }
}

/// The tags that occur in sentences, in order.
pub fn known<'a>(tags: impl IntoIterator<Item = &'a Vec<String>>) -> Vec<String> {
    tags.into_iter().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect()
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

impl Tagger {
    /// Opens what [`Self::save`] wrote, with its tokenizer.
    ///
    /// Errors: those of [`Tuned::open`].
    pub fn open(directory: &Path) -> Result<(Self, Tokenizer)> {
        let (tuned, tokenizer, tags) = Tuned::open(directory, Kind::Tag)?;
        Ok((Self { tuned, tags }, tokenizer))
    }

    /// Writes it into a directory that holds no model yet.
    pub fn save(&self, directory: &Path, tokenizer: &Tokenizer) -> Result<()> {
        self.tuned.save(directory, Kind::Tag, tokenizer, &self.tags)
    }

    /// Scores of the tags for each word of some parts: `[words, tags]`.
    fn scores<'t>(&self, tape: &'t Tape<'t>, parts: &[&Words], dropout: f64) -> Value<'t> {
        let model = &self.tuned.model;
        let packed = Packed::new(parts.iter().map(|part| &part.ids[..]), model.block_size());
        let places = parts.iter().zip(&packed.texts);
        let firsts: Vec<u32> =
            places.flat_map(|(part, at)| part.firsts.iter().map(|first| first + at.start as u32)).collect();
        let x = packed.hidden(model, tape).embedding(&firsts, [firsts.len()]); // [words, C]
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
                tensor::rows::softmax(row);
                let best = (0..tags).reduce(|best, i| if row[i] > row[best] { i } else { best }).unwrap_or(0);
                (best, row[best])
            });
            parts.iter().map(|part| best.by_ref().take(part.firsts.len()).collect()).collect::<Vec<_>>()
        };
        parallel::inside(|| parts.chunks(AT_ONCE).flat_map(some).collect())
    }

    /// The entities that it finds in a text, in order.
    pub fn find(&self, tokenizer: &Tokenizer, text: &str) -> Vec<Found> {
        let places = split(text);
        let said: Vec<&str> = places.iter().map(|place| &text[place.clone()]).collect();
        let parts = words(tokenizer, self.tuned.model.block_size(), &said);
        let tags: Vec<(usize, f32)> = self.predict(&self.tuned.params, &parts).into_iter().flatten().collect();
        let names: Vec<&String> = tags.iter().map(|&(tag, _)| &self.tags[tag]).collect();
        let found = entities(&names).into_iter().map(|entity| {
            let score = entity.words.clone().map(|word| tags[word].1).fold(1.0, f32::min);
            let (start, end) = (places[entity.words.start].start, places[entity.words.end - 1].end);
            Found { kind: entity.kind, start, end, text: text[start..end].to_owned(), score }
        });
        found.collect()
    }

    /// How many entities it finds in some sentences.
    pub fn scores_on(&self, params: &Params, on: &Tagged) -> EntityScore {
        let mut found = self.predict(params, &on.parts).into_iter().flatten().map(|(tag, _)| &self.tags[tag]);
        let found: Vec<Vec<&String>> = on.tags.iter().map(|tags| found.by_ref().take(tags.len()).collect()).collect();
        entity_score(&on.tags, &found)
    }
}

/// Fine-tunes what was pre-trained on sentences. The best weights by the entity F1 on `val` are kept, if there are any.
pub fn finetune(
    from: &Pretrained,
    [train, val]: [&Tagged; 2],
    tags: &[String],
    recipe: &Recipe,
    report: impl FnMut(u64, f64, Option<f64>),
) -> (Tagger, Fitted) {
    let tuned = Tuned::new(from, Kind::Tag, tags.len(), Reading::Token, recipe);
    let mut tagger = Tagger { tuned, tags: tags.to_vec() };
    let mut params = tagger.tuned.params.clone();
    let pace = layerwise(&tagger.tuned.model, recipe.layer_decay);
    let task = Learning { tagger: &tagger, train, dropout: recipe.dropout };
    let score = |params: &Params| (val.sentences() > 0).then(|| tagger.scores_on(params, val).f1());
    let fitted = fit(&task, &mut params, recipe, pace, score, report);
    tagger.tuned.params = params;
    (tagger, fitted)
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

    fn loss<'t>(&self, tape: &'t Tape<'t>, examples: &[usize], divisor: f64) -> Value<'t> {
        let parts: Vec<&Words> = examples.iter().map(|&i| &self.train.parts[i]).collect();
        let numbers = examples.iter().flat_map(|&i| &self.train.numbers[i]);
        let tags: Vec<u32> = numbers.map(|&tag| tag as u32).collect();
        // The mean over the words, times the parts: each part counts as an example does elsewhere.
        let words = tags.len() as f64 / examples.len() as f64;
        self.tagger.scores(tape, &parts, self.dropout).cross_entropy(&tags, divisor * words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_at_the_ends_of_words_stands_alone() {
        let text = " \"Mia's\" ball, e.g. 3.5 -- é!?";
        let words: Vec<&str> = split(text).into_iter().map(|place| &text[place]).collect();
        assert_eq!(words, ["\"", "Mia's", "\"", "ball", ",", "e.g", ".", "3.5", "-", "-", "é", "!", "?"]);
    }

    #[test]
    fn a_sentence_beyond_the_context_loses_no_word() {
        let tokenizer = Tokenizer::train(&[b"some words of a text, some words of a text"], 280).unwrap().framed();
        let sentence: Vec<String> = (0..50).map(|i| format!("word{i}")).collect();
        let parts = words(&tokenizer, 16, &sentence);
        assert_eq!(parts.iter().map(|part| part.firsts.len()).sum::<usize>(), 50);
        let frame = tokenizer.frame().unwrap();
        for part in &parts {
            assert!(part.ids.len() <= 16, "{}", part.ids.len());
            assert_eq!((part.ids[0], part.ids[part.ids.len() - 1]), (frame.cls, frame.sep));
        }
        assert!(words(&tokenizer, 16, &["a".repeat(99)])[0].ids.len() <= 16);
    }
}
