//! How good vectors are, by what people say of texts: which are alike, and which text answers a query.

use std::collections::HashMap;

use tensor::rows;

use super::embed::{common_part, directions, shared, states};
use super::score::{ndcg_at, recall_at, reciprocal_rank, spearman};
use crate::data::labelled::pairs::Pairs;
use crate::data::world::World;
use crate::hub::beside::Vectors;
use crate::hub::pretrained::Pretrained;

/// How well vectors agree with people, as Spearman's correlation of the pairs' scores with cosines.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Agreement {
    /// How many pairs there are.
    pub pairs: usize,
    /// With the cosines of the vectors as they are, which is what papers give.
    pub spearman: f64,
    /// With those of what is left when the mean of all these texts' vectors is taken off, as a search among ten texts or more does.
    pub spearman_less_mean: f64,
}

/// The agreement with some pairs; `None` where the scores or the cosines are all the same.
pub fn agreement(with: &Pretrained, pairs: &Pairs, vectors: Vectors) -> Option<Agreement> {
    let texts: Vec<&str> = pairs.pairs.iter().flatten().map(String::as_str).collect();
    let states = states(with, &texts, vectors);
    let width = states.shape().cols();
    let of = |common: &[f32]| {
        let vectors = directions(states.clone(), common);
        let both = vectors.data().chunks_exact(2 * width).map(|both| both.split_at(width));
        let cosines: Vec<f64> = both.map(|(a, b)| f64::from(rows::dot(a, b))).collect();
        spearman(&pairs.scores, &cosines)
    };
    let [spearman, spearman_less_mean] = [of(&vec![0.0; width])?, of(&common_part(&states))?];
    Some(Agreement { pairs: pairs.pairs.len(), spearman, spearman_less_mean })
}

/// How well what is sought is found, as means over the queries.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Retrieval {
    /// How many different queries there are.
    pub queries: usize,
    /// Among how many different texts was searched.
    pub texts: usize,
    /// The share of what was sought that stands first.
    pub recall_at_1: f64,
    /// … that is among the first five.
    pub recall_at_5: f64,
    /// … among the first ten.
    pub recall_at_10: f64,
    /// 1/rank of the first text that was sought.
    pub mean_reciprocal_rank: f64,
    /// Discounted cumulative gain of the first ten, as a share of the best that there could be.
    pub ndcg_at_10: f64,
}

/// Seeks the texts of each query among the texts of all pairs. Texts of equal score stand in the file's order.
pub fn retrieval(with: &Pretrained, pairs: &Pairs, vectors: Vectors) -> Retrieval {
    let (mut queries, mut texts) = (Numbers::default(), Numbers::default());
    let mut sought: Vec<Vec<usize>> = Vec::new();
    for [query, text] in &pairs.pairs {
        let (query, text) = (queries.of(query), texts.of(text));
        sought.resize(queries.all.len(), Vec::new());
        sought[query].push(text);
    }
    let candidates = states(with, &texts.all, vectors);
    let common = shared(&candidates);
    let candidates = directions(candidates, &common);
    let asked = directions(states(with, &queries.all, vectors), &common);
    let mut sums = [0.0; 5];
    for (query, sought) in asked.data().chunks_exact(common.len()).zip(&sought) {
        let scores: Vec<f32> =
            candidates.data().chunks_exact(common.len()).map(|text| rows::dot(query, text)).collect();
        let order = rows::best(&scores, scores.len());
        let relevant: Vec<bool> = order.iter().map(|text| sought.contains(text)).collect();
        let recall = [1, 5, 10].map(|k| recall_at(k, &relevant));
        let of_query = [recall[0], recall[1], recall[2], reciprocal_rank(&relevant), ndcg_at(10, &relevant)];
        sums.iter_mut().zip(of_query).for_each(|(sum, of)| *sum += of);
    }
    let [recall_at_1, recall_at_5, recall_at_10, mean_reciprocal_rank, ndcg_at_10] =
        sums.map(|sum| sum / queries.all.len().max(1) as f64);
    let (queries, texts) = (queries.all.len(), texts.all.len());
    Retrieval { queries, texts, recall_at_1, recall_at_5, recall_at_10, mean_reciprocal_rank, ndcg_at_10 }
}

/// Different texts, numbered as they come.
#[derive(Default)]
struct Numbers<'a> {
    all: Vec<&'a str>,
    known: HashMap<&'a str, usize>,
}

impl<'a> Numbers<'a> {
    fn of(&mut self, text: &'a str) -> usize {
        *self.known.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() - 1
        })
    }
}

/// Stories of the built-in world that are compared.
const WORLD: u64 = 1000;

/// Stories of the built-in world, to search among.
pub fn world_lines() -> Vec<String> {
    let world = World::shared();
    (0..WORLD).map(|index| world.labelled(index).text).collect()
}

/// The built-in world's stories, each with the same story in other words.
pub fn world_sought() -> Pairs {
    let world = World::shared();
    Pairs { pairs: (0..WORLD).map(|index| world.twice(index, 0.0)).collect(), ..Pairs::default() }
}

/// The built-in world's stories, each told twice, with more or less of it changed; the score, from 0 to 5, says how much of
/// it is the same.
pub fn world_scored() -> Pairs {
    let world = World::shared();
    let same = |index: u64| f64::from((index % 6) as u32);
    let pairs = (0..WORLD).map(|index| world.twice(index, 1.0 - same(index) / 5.0)).collect();
    Pairs { pairs, scores: (0..WORLD).map(same).collect(), notes: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use crate::gpt::{Gpt, GptConfig};
    use crate::model::texts::Pooling;
    use tokenizer::Tokenizer;

    #[test]
    fn a_text_that_seeks_itself_is_found_first() {
        let config = GptConfig { initializer_range: 0.3, ..GptConfig::new(256, 32, 1, 2, 16) };
        let (model, params) = Gpt::init(&config, 3);
        let with = Pretrained { model: Model::Gpt(model), params, tokenizer: Tokenizer::bytes() };
        let same = |text: &str| [text.to_owned(), text.to_owned()];
        let mut pairs =
            vec![same("one thing"), same("another"), same("something else"), ["one thing".into(), "Q".into()]];
        pairs.extend(('a'..='j').map(|c| ["another".to_owned(), format!("another {c}")])); // eleven are sought by one
        let found = retrieval(&with, &Pairs { pairs, ..Pairs::default() }, Pooling::Mean.into());
        assert_eq!((found.queries, found.texts), (3, 14));
        assert!(found.recall_at_10 < 1.0, "ten of eleven at most: {found:?}");
        // Of what the first two queries seek one text can be first.
        let first = (0.5 + 1.0 / 11.0 + 1.0) / 3.0;
        assert!((found.recall_at_1 - first).abs() < 1e-9 && found.mean_reciprocal_rank == 1.0, "{found:?}");
        let pairs = vec![same("one thing"), ["one thing".into(), "ZZZZ".into()]];
        let scored = Pairs { pairs, scores: vec![5.0, 1.0], ..Pairs::default() };
        let agreed = agreement(&with, &scored, Pooling::Mean.into());
        assert_eq!(agreed, Some(Agreement { pairs: 2, spearman: 1.0, spearman_less_mean: 1.0 }));
    }
}
