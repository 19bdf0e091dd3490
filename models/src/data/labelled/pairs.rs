//! Pairs of texts: how alike people find them, or which text answers which query.
//!
//! ```text
//! 4.2 TAB A man plays a guitar. TAB Someone is playing music.        scored
//! where is the station TAB The station is behind the town hall.      sought
//! ```
//!
//! A query that has several answers stands on several lines.

use std::path::Path;

use super::{Tally, bad_line, lines, text_of};
use crate::error::{Error, Result};

/// A file of pairs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    /// In the file's order; no text is empty.
    pub pairs: Vec<[String; 2]>,
    /// How alike the texts of each pair are, on any scale; empty where no scores are given.
    pub scores: Vec<f64>,
    /// What was passed over, a sentence each.
    pub notes: Vec<String>,
}

/// Reads lines `score TAB text TAB text`.
///
/// # Errors
///
/// A file that cannot be read, is not UTF-8 or has no pair; a line of another form, an empty text, a score that is no
/// number. The error names the line and what stands there.
pub fn read_scored(path: &Path) -> Result<Pairs> {
    read(path, 3, "write a score, a TAB, a text, a TAB and a text")
}

/// Reads lines `query TAB text`.
///
/// # Errors
///
/// A file that cannot be read, is not UTF-8 or has no pair; a line of another form, an empty text. The error names the
/// line and what stands there.
pub fn read_sought(path: &Path) -> Result<Pairs> {
    read(path, 2, "write a query, a TAB and the text that it seeks")
}

fn read(path: &Path, columns: usize, way_out: &str) -> Result<Pairs> {
    let text = text_of(path)?;
    let (mut pairs, mut empty) = (Pairs::default(), Tally::default());
    for (number, line) in lines(&text, &mut empty) {
        let refuse = |wrong: &str| Err(bad_line(path, number, wrong, line, way_out));
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() != columns {
            return refuse(&format!("is no pair, having {} instead of {columns} columns", fields.len()));
        }
        let (score, texts) = fields.split_at(columns - 2);
        if texts.iter().any(|text| text.trim().is_empty()) {
            return refuse("has an empty text");
        }
        for score in score {
            match score.trim().parse::<f64>() {
                Ok(score) if score.is_finite() => pairs.scores.push(score),
                _ => return refuse("is no pair, for its score is no number"),
            }
        }
        pairs.pairs.push([texts[0].to_owned(), texts[1].to_owned()]);
    }
    if pairs.pairs.is_empty() {
        return Err(Error::file(path, format!("it has no pair: {way_out} on each line")));
    }
    empty.note_empty_lines(path, &mut pairs.notes);
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_refused, read_as};
    use super::*;

    #[test]
    fn pairs_are_read_with_their_scores() {
        let read = read_as("pairs.tsv", "5\tone\tuno\n\n1.5\ttwo\ttres\n", read_scored).unwrap();
        assert_eq!(read.scores, [5.0, 1.5]);
        assert_eq!(read.pairs[1], ["two", "tres"]);
        assert_eq!(read.notes, ["1 empty line passed over: line 2 of pairs.tsv"]);
        let read = read_as("pairs.tsv", "where\there\n", read_sought).unwrap();
        assert_eq!((read.pairs, read.scores), (vec![["where".to_owned(), "here".to_owned()]], vec![]));
    }

    #[test]
    fn a_line_that_is_no_pair_is_refused() {
        let table: [(&str, &[&str]); 5] = [
            ("5\tone\ttwo\nfive\tone\ttwo\n", &["line 2", "no number"]),
            ("5\tone\n", &["line 1", "2 instead of 3"]),
            ("NaN\tone\ttwo\n", &["line 1", "no number"]),
            ("5\tone\t \n", &["line 1", "empty text"]),
            ("\n\n", &["it is empty"]),
        ];
        for (content, words) in table {
            assert_refused("pairs.tsv", content.as_bytes(), words, read_scored);
        }
        assert_refused("pairs.tsv", b"a\tb\tc\n", &["3 instead of 2"], read_sought);
    }
}
