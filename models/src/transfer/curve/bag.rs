//! A text as a bag of words: which words and pairs of neighbours it holds, and nothing of their order beyond.
//!
//! A word's value is how often it occurs, damped, times how rare it is: `(1 + ln tf)·(1 + ln((1 + N)/(1 + df)))` for N texts
//! of which df hold it, and a text's values have length 1 (Salton and Buckley 1988, with the smoothing that is common).

use std::collections::HashMap;

use super::super::logistic::Row;

/// How far logistic regression trusts the examples: rows of length 1 need a large C.
pub const TRUST: f64 = 10.0;

/// The words that some texts hold, each a column.
pub struct Words {
    /// The column of each word, and how rare it is.
    columns: HashMap<String, (u32, f32)>,
}

impl Words {
    /// The words of these texts.
    pub fn of(texts: &[String]) -> Self {
        let mut counts: HashMap<String, (u32, u32)> = HashMap::new(); // column, texts
        for text in texts {
            for (word, _) in count(text) {
                let next = counts.len() as u32;
                counts.entry(word).or_insert((next, 0)).1 += 1;
            }
        }
        let n = texts.len() as f32;
        let rare = |texts: u32| 1.0 + ((1.0 + n) / (1.0 + texts as f32)).ln();
        Self { columns: counts.into_iter().map(|(word, (column, texts))| (word, (column, rare(texts)))).collect() }
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// A text's features; words that are no column are left out.
    pub fn row(&self, text: &str) -> Row {
        let known = |(word, times): (String, u32)| {
            let &(column, rare) = self.columns.get(&word)?;
            Some((column, (1.0 + (times as f32).ln()) * rare))
        };
        let mut row: Row = count(text).into_iter().filter_map(known).collect();
        let length = row.iter().map(|(_, x)| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|(_, x)| *x /= length);
        row
    }
}

/// How often each word and pair of neighbours occurs, in the order of the words.
fn count(text: &str) -> Vec<(String, u32)> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let pairs = words.windows(2).map(|pair| pair.join(" "));
    let mut all: Vec<String> = words.iter().map(|&word| word.to_owned()).chain(pairs).collect();
    all.sort_unstable();
    all.chunk_by(|a, b| a == b).map(|same| (same[0].clone(), same.len() as u32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_length_one_and_rare_words_weigh_more() {
        let texts = ["The cat sat.", "The dog sat!", "the the owl"].map(str::to_owned);
        let words = Words::of(&texts);
        let row = words.row("The owl; unheard of");
        assert_eq!(row.len(), 3); // the, owl, the owl
        assert!((row.iter().map(|(_, x)| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
        let value = |word: &str| row.iter().find(|(column, _)| *column == words.columns[word].0).unwrap().1;
        assert!(value("owl") > value("the"));
        assert!(words.row("nothing known here").is_empty());
    }
}
