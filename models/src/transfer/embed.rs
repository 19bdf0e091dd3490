//! Embedding: each text as one vector, so that texts of like meaning lie close together, and a search is a product.
//!
//! A text's vector is the mean of its hidden states, or what the files of `sentence-transformers` beside the model say. All
//! of a model's states share a large common part, which would make any two texts look alike; so the mean of some texts'
//! vectors, those that are searched or compared, is taken off first, unless they are few (Mu and Viswanath 2018,
//! "All-but-the-Top", section 2), and what is left is brought to length 1. The score of two texts is the cosine of the
//! angle between them, the sum of the products of their numbers: 1 for the same direction, 0 for nothing in common.
//!
//! An [`Index`] is the vectors of a file's lines in a file of its own, with a digest of the lines and of the model: it is
//! made anew when either has changed.

use std::path::{Path, PathBuf};

use autograd::Params;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tensor::rows;
use tensor::tensor::Tensor;
use tokenizer::Tokenizer;

use super::kept::{Kind, beside, whole};
use crate::Config;
use crate::data::labelled::utf8;
use crate::error::{Error, Result};
use crate::files;
use crate::hub::beside::Vectors;
use crate::hub::pretrained::Pretrained;
use crate::model::texts::pooled_states;
use crate::pretext::texts::{Ids, ids};

/// The vectors of texts: `[n, C]`.
pub fn states(with: &Pretrained, texts: &[&str], vectors: Vectors) -> Tensor {
    let ids: Vec<Vec<u32>> = texts.iter().map(|text| read(with, text, vectors).ids).collect();
    let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let states = pooled_states(&with.model, &with.params, vectors.pooling, &ids);
    if vectors.unit { directions(states, &vec![0.0; with.model.width()]) } else { states }
}

/// As much of a text as is read.
fn read(with: &Pretrained, text: &str, vectors: Vectors) -> Ids {
    ids(&with.tokenizer, read_at_most(with, vectors), text)
}

/// How many tokens of a text are read at most.
pub fn read_at_most(with: &Pretrained, vectors: Vectors) -> usize {
    with.model.block_size().min(vectors.longest)
}

/// How many of some texts are longer than what is read of them.
pub fn cut(with: &Pretrained, texts: &[&str], vectors: Vectors) -> usize {
    texts.iter().filter(|text| read(with, text, vectors).cut).count()
}

/// Of so few texts the mean says what they are about, and of one it is all: nothing is taken off.
const FEW: usize = 10;

/// What texts with these states share, to be taken off before they are compared: their mean, or nothing where they are few.
pub fn shared(states: &Tensor) -> Vec<f32> {
    if states.shape().rows() < FEW { vec![0.0; states.shape().cols()] } else { common_part(states) }
}

/// The mean of the rows of `states`.
pub fn common_part(states: &Tensor) -> Vec<f32> {
    let width = states.shape().cols();
    let mut sums = vec![0.0f64; width];
    for row in states.data().chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let n = states.shape().rows().max(1) as f64;
    sums.iter().map(|sum| (sum / n) as f32).collect()
}

/// Each row less `common`, at length 1; a row with nothing left stays zero.
pub fn directions(mut states: Tensor, common: &[f32]) -> Tensor {
    for row in states.data_mut().chunks_exact_mut(common.len()) {
        row.iter_mut().zip(common).for_each(|(x, c)| *x -= c);
        let length = rows::dot(&*row, &*row).sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|x| *x /= length);
        }
    }
    states
}

/// The lines of a file as vectors.
pub struct Index {
    lines: Vec<String>,
    /// `[C]`
    common: Tensor,
    /// `[n, C]`
    vectors: Tensor,
}

/// A line that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// Its number in the file, from 1.
    pub line: usize,
    /// The cosine of the angle between it and the query.
    pub score: f32,
    /// What it says.
    pub text: String,
}

/// What an index was made from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    lines: String,
    model: String,
    vectors: Vectors,
    /// Whether the lines are so few that nothing was taken off their vectors.
    #[serde(default)]
    few: bool,
}

const INDEX: Kind = Kind { key: "pretext", tensors: ["vectors", "common"], of: "lines" };

impl Index {
    /// The index of some lines, which is kept nowhere.
    pub fn over(with: &Pretrained, lines: Vec<String>, vectors: Vectors) -> Self {
        let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
        let vectors = states(with, &texts, vectors);
        let width = vectors.shape().cols();
        // Empty lines are never found, and are no part of what the others share.
        let filled = lines.iter().zip(vectors.data().chunks_exact(width)).filter(|(line, _)| !line.trim().is_empty());
        let filled: Vec<f32> = filled.flat_map(|(_, vector)| vector).copied().collect();
        let common = shared(&Tensor::of([filled.len() / width, width], &filled));
        let vectors = directions(vectors, &common);
        Self { lines, common: Tensor::of([width], &common), vectors }
    }

    /// The index of a file's lines: the one that is kept at `place`, or beside the file if none is named; or a new one, with
    /// where it is kept now, or why it is not.
    ///
    /// Errors: a file that cannot be read, is not UTF-8 or has no line; a place that was named where nothing can be written, or
    /// where another file is, or an index of other lines or of another model.
    pub fn of(
        with: &Pretrained,
        file: &Path,
        place: Option<&Path>,
        vectors: Vectors,
    ) -> Result<(Self, Option<Result<PathBuf>>)> {
        let path = place.map_or_else(|| beside(file), Path::to_owned);
        let path = path.as_path();
        let bytes = std::fs::read(file).map_err(|error| Error::io(file, "read", &error))?;
        let digest_of_lines = files::hex(Sha256::digest(&bytes));
        let text = utf8(file, bytes, 1)?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.iter().all(|line| line.trim().is_empty()) {
            return Err(Error::file(file, "has no line to search: give a file with a text on each line"));
        }
        let made = Made {
            lines: digest_of_lines,
            model: digest(&with.model.config(), &with.params, &with.tokenizer),
            vectors,
            few: lines.iter().filter(|line| !line.trim().is_empty()).count() < FEW,
        };
        let shape = [lines.len(), with.model.width()];
        let kept = INDEX.open(path).filter(|(of, _): &(Made, _)| *of == made);
        if let Some((_, file)) = kept
            && let Some(vectors) = whole(&file, INDEX.tensors[0], shape)
            && let Some(common) = whole(&file, INDEX.tensors[1], [shape[1]])
        {
            return Ok((Self { lines, common, vectors }, None));
        }
        if let Some(place) = place {
            // What would be refused when all lines have been read by the model is refused before.
            if INDEX.is_at(place) {
                return Err(INDEX.of_others(place));
            }
            INDEX.check(place)?;
            files::try_at(place).map_err(|error| Error::io(place, "write", &error))?;
        }
        let index = Self::over(with, lines, vectors);
        let stays = file.is_file() && !["/dev", "/proc"].iter().any(|fleeting| file.starts_with(fleeting));
        let kept = if place.is_some() || stays {
            INDEX.write(path, &made, [&index.vectors, &index.common]).map(|()| path.to_owned())
        } else {
            Err(Error::file(file, "is no file that will be there again"))
        };
        Ok((index, Some(kept)))
    }

    /// The lines, in the file's order.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The `k` lines nearest to a query, the nearest first; of equals the earlier. Empty lines are never found.
    pub fn search(&self, with: &Pretrained, query: &str, vectors: Vectors, k: usize) -> Vec<Hit> {
        let query = directions(states(with, &[query], vectors), self.common.data());
        let vectors = self.vectors.data().chunks_exact(self.common.data().len());
        // Rounding may take a cosine beyond one.
        let scores: Vec<f32> = vectors.map(|vector| rows::dot(query.data(), vector).clamp(-1.0, 1.0)).collect();
        let filled = |i: &usize| !self.lines[*i].trim().is_empty();
        let order = rows::best(&scores, scores.len()).into_iter().filter(filled).take(k);
        order.map(|i| Hit { line: i + 1, score: scores[i], text: self.lines[i].clone() }).collect()
    }
}

/// What tells one model from another: its sizes and all else that config.json says of what it computes, its parameters and its
/// tokenizer.
pub(super) fn digest(config: &Config, params: &Params, tokenizer: &Tokenizer) -> String {
    let mut hash = Sha256::new_with_prefix(format!("{config:?}"));
    params.pieces().for_each(|piece| hash.update(tensor::bytemuck::cast_slice(&params.flat()[piece.place])));
    hash.update(tokenizer.to_json());
    files::hex(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use crate::gpt::{Gpt, GptConfig};
    use crate::model::texts::Pooling;

    fn model() -> Pretrained {
        let config = GptConfig { initializer_range: 0.3, ..GptConfig::new(256, 32, 1, 2, 16) };
        let (model, params) = Gpt::init(&config, 3);
        Pretrained { model: Model::Gpt(model), params, tokenizer: Tokenizer::bytes() }
    }

    #[test]
    fn a_line_finds_itself_first_and_an_index_is_used_again_until_its_file_changes_and_no_other_file_is_touched() {
        let directory = tempfile::tempdir().unwrap();
        let (file, with) = (directory.path().join("lines.txt"), model());
        std::fs::write(&file, "one thing\n\nanother thing\nsomething else\n").unwrap();
        let at = beside(&file);
        let of = |pooling: Pooling| Index::of(&with, &file, None, pooling.into()).unwrap();
        let (index, new) = of(Pooling::Mean);
        assert_eq!(new.unwrap().unwrap(), at);
        let hits = index.search(&with, "another thing", Pooling::Mean.into(), 9);
        assert_eq!((hits.len(), hits[0].line, &hits[0].text[..]), (3, 3, "another thing"));
        assert!((0.99999..=1.0).contains(&hits[0].score) && hits[1].score < hits[0].score);
        let only = Index::over(&with, vec!["one thing".to_owned()], Pooling::Mean.into());
        assert!(only.search(&with, "one thing", Pooling::Mean.into(), 1)[0].score > 0.99999, "alone it is found, too");
        let (again, new) = of(Pooling::Mean);
        assert!(new.is_none() && again.search(&with, "another thing", Pooling::Mean.into(), 9) == hits);
        let named = |at: &Path, pooling: Pooling| Index::of(&with, &file, Some(at), pooling.into());
        assert!(named(&at, Pooling::Mean).unwrap().1.is_none(), "one that is named is searched");
        let refused = named(&at, Pooling::Last).err().unwrap().to_string();
        assert!(refused.contains("holds the vectors of other lines"), "{refused}");
        assert!(of(Pooling::Last).1.is_some(), "another pooling is another index");
        std::fs::write(&file, "\u{feff}one thing\n").unwrap();
        let (changed, new) = of(Pooling::Last);
        assert!(new.is_some(), "the file has changed");
        assert_eq!(changed.lines(), ["one thing"]);
        std::fs::write(&at, "somebody's notes").unwrap();
        assert!(named(&at, Pooling::Last).err().unwrap().to_string().contains("is no index of lines"));
        let refused = of(Pooling::Last).1.unwrap().unwrap_err().to_string();
        assert!(refused.contains("is no index of lines"), "{refused}");
        assert_eq!(std::fs::read(&at).unwrap(), b"somebody's notes");
        std::fs::write(&file, b"one\ntw\xff\n").unwrap();
        let refused = Index::of(&with, &file, None, Pooling::Last.into()).err().unwrap().to_string();
        assert!(refused.contains("line 2 is not UTF-8"), "{refused}");
    }

    #[test]
    fn directions_have_length_one_and_nothing_in_common() {
        let states = Tensor::of([3, 2], &[1.0, 5.0, 3.0, 5.0, 2.0, 8.0]);
        let common = common_part(&states);
        assert_eq!(common, [2.0, 6.0]);
        let d = directions(states, &common);
        assert!(d.data().chunks(2).all(|row| (row[0] * row[0] + row[1] * row[1] - 1.0).abs() < 1e-6));
        assert_eq!(directions(Tensor::of([1, 2], &[2.0, 6.0]), &common).data(), [0.0, 0.0]);
    }
}
