//! The curve of tagging: entity F1 against the number of tagged sentences.
//!
//! What the plain method sees of a word are the word and its neighbours, how it begins and ends, and how it is written:
//! capitals, digits, marks. Always to guess "no entity" finds none, and has an F1 of 0.

use std::collections::HashMap;

use super::super::finetune::examples::known_sentences;
use super::super::finetune::tag::{Tagged, finetune, known};
use super::super::logistic::{Logistic, Row};
use super::super::score::entity_score;
use super::{Subject, Tuning};
use crate::data::labelled::conll::{self, Sentence};
use crate::error::Result;

/// How far logistic regression trusts the examples: each of a word's features has the value 1.
const TRUST: f64 = 1.0;

/// Tagged sentences to draw from and to test on.
pub struct Tags<'a> {
    with: Tuning<'a>,
    /// The tags that the pool has, in order.
    tags: Vec<String>,
    pool: Vec<Sentence>,
    test: Vec<Sentence>,
    /// The sentences to test on, as a model sees them.
    seen: Tagged,
    columns: HashMap<String, u32>,
    /// What should be known about them, as sentences.
    pub notes: Vec<String>,
}

impl<'a> Tags<'a> {
    /// Sentences to draw from and others to test on.
    pub fn new(with: Tuning<'a>, [pool, test]: [conll::Tagged; 2]) -> Self {
        let (tags, mut notes) = (known(&pool.sentences), Vec::new());
        let [_, seen] = [("training", &pool), ("test", &test)].map(|(part, of)| {
            notes.extend(of.notes.iter().cloned());
            let tagged = Tagged::new(with.from, of.sentences.iter().cloned(), &tags);
            tagged.note(part, &of.path, with.from.model.block_size(), &mut notes);
            tagged
        });
        known_sentences(&pool, [None, Some(&test)], &mut notes);
        let (pool, test) = (pool.sentences, test.sentences);
        let mut columns = HashMap::new();
        for Sentence { words, .. } in &pool {
            for feature in (0..words.len()).flat_map(|at| features(words, at)) {
                let next = columns.len() as u32;
                columns.entry(feature).or_insert(next);
            }
        }
        Self { with, tags, pool, test, seen, columns, notes }
    }

    /// How many sentences there are to test on.
    pub fn tests(&self) -> usize {
        self.test.len()
    }

    /// The features of each word; those that are no column are left out.
    fn rows(&self, words: &[String]) -> Vec<Row> {
        let row = |at| features(words, at).into_iter().filter_map(|f| Some((*self.columns.get(&f)?, 1.0))).collect();
        (0..words.len()).map(row).collect()
    }

    /// The F1 of logistic regression on each word's features.
    fn by_words(&self, drawn: &[usize]) -> f64 {
        let (mut rows, mut numbers) = (Vec::new(), Vec::new());
        for Sentence { words, tags, .. } in drawn.iter().map(|&i| &self.pool[i]) {
            rows.extend(self.rows(words));
            numbers.extend(tags.iter().map(|tag| self.tags.binary_search(tag).expect("a tag of the pool")));
        }
        let bag = Logistic::train(&rows, &numbers, self.tags.len(), self.columns.len(), TRUST);
        let guesses = |sentence: &Sentence| -> Vec<&String> {
            self.rows(&sentence.words).iter().map(|row| &self.tags[bag.predict(row)]).collect()
        };
        let truth: Vec<Vec<&String>> = self.test.iter().map(|sentence| sentence.tags.iter().collect()).collect();
        entity_score(&truth, &self.test.iter().map(guesses).collect::<Vec<_>>()).f1()
    }
}

impl Subject for Tags<'_> {
    const MEASURED: &'static str = "entity F1 on test sentences";
    const COUNTED: &'static str = "tagged sentences";
    const PLAIN: &'static str = "word features";

    fn classes(&self) -> Vec<usize> {
        vec![0; self.pool.len()] // a sentence has tags of all kinds: they are drawn as they come
    }

    fn scores(&self, drawn: &[usize], seed: u64) -> Result<[f64; 4]> {
        let (pretrained, scratch) = self.with.both(seed, |model, recipe| {
            let train = Tagged::new(model, drawn.iter().map(|&i| self.pool[i].clone()), &self.tags);
            let (tagger, _) = finetune(model, [&train, &Tagged::default()], &self.tags, recipe, |_, _, _| {})?;
            Ok(tagger.scores_on(&tagger.tuned.params, &self.seen).f1())
        })?;
        Ok([pretrained, scratch, self.by_words(drawn), 0.0])
    }
}

/// What is seen of a word in its sentence.
fn features(words: &[String], at: usize) -> Vec<String> {
    let word = &words[at];
    let beside = |by: isize| at.checked_add_signed(by).and_then(|i| words.get(i)).map_or("", String::as_str);
    let mut features = Vec::new();
    for by in -2..=2 {
        features.push(format!("{by} {}", beside(by).to_lowercase()));
    }
    let letters: Vec<char> = word.to_lowercase().chars().collect();
    for n in (1..=3).filter(|&n| n < letters.len()) {
        features.push(format!("begins {}", letters[..n].iter().collect::<String>()));
        features.push(format!("ends {}", letters[letters.len() - n..].iter().collect::<String>()));
    }
    let capital = |word: &str| word.starts_with(char::is_uppercase);
    let all_capitals = word.chars().all(char::is_uppercase);
    let marks = [
        ("capital", capital(word)),
        ("capitals", all_capitals),
        ("capital before", capital(beside(-1))),
        ("capital after", capital(beside(1))),
        ("capital within", capital(word) && at > 0),
        ("digit", word.contains(|c: char| c.is_ascii_digit())),
        ("mark", word.contains(|c: char| !c.is_alphanumeric())),
    ];
    features.extend(marks.into_iter().filter(|(_, has)| *has).map(|(name, _)| name.to_owned()));
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_seen_with_its_neighbours_and_how_it_is_written() {
        let words = ["In", "Oslo", "it", "rained"].map(str::to_owned);
        let seen = features(&words, 1);
        for feature in
            ["0 oslo", "-1 in", "1 it", "-2 ", "2 rained", "begins osl", "ends lo", "capital", "capital within"]
        {
            assert!(seen.iter().any(|f| f == feature), "{feature}: {seen:?}");
        }
        assert!(!features(&words, 0).contains(&"capital within".to_owned()));
        assert!(!features(&words, 2).contains(&"capital".to_owned()));
    }
}
