//! Words and their tags, in the columns of the CoNLL shared tasks.
//!
//! ```text
//! Alice    B-PER        the first word of a person
//! Liddell  I-PER        the same person goes on
//! sleeps   O            no entity
//!                       an empty line ends the sentence
//! ```
//!
//! The word is the first column and the tag the last; columns between them are passed over. A line with a TAB in it
//! has its columns between TABs, so that a word may contain a space; any other has them between spaces. An entity may
//! begin with `I-`, as in the files of 2003: what that means is for those who count entities (Tjong Kim Sang and De
//! Meulder 2003).

use std::mem;
use std::path::{Path, PathBuf};

use super::{Tally, bad_line, refuse_questions, text_of};
use crate::error::{Error, Result};

/// What CoNLL-2003 writes between documents.
const DOCUMENT: &str = "-DOCSTART-";

/// A file of tagged sentences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tagged {
    /// In the file's order; none is empty.
    pub sentences: Vec<Sentence>,
    /// The file.
    pub path: PathBuf,
    /// What was passed over, a sentence each.
    pub notes: Vec<String>,
}

/// Words, and a tag for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sentence {
    /// The words; none is empty.
    pub words: Vec<String>,
    /// The tag of each word: `O`, `B-X` or `I-X`.
    pub tags: Vec<String>,
    /// The line of the first word, from 1.
    pub line: usize,
}

/// Reads a file of one word and tag a line, with an empty line between sentences.
///
/// Lines `-DOCSTART-`, and empty lines that end no sentence, are passed over and noted. So is a last sentence without an empty
/// line after it, with which a file ends that was cut off; the sentence stays.
///
/// # Errors
///
/// A file that cannot be read, is not UTF-8, has no sentence, or questions or numbers in the place of words; a line with one column or
/// others than the first, or with a last column that is not `O`, `B-X` or `I-X`. The error names the line and what stands
/// there.
pub fn read(path: &Path) -> Result<Tagged> {
    let text = text_of(path)?;
    refuse_questions(path, &text)?;
    let (mut tagged, mut sentence) = (Tagged { path: path.to_owned(), ..Tagged::default() }, Sentence::default());
    let (mut empty, mut documents) = (Tally::default(), Tally::default());
    let mut counted = None; // the first line of words, and how many columns it has
    let mut after_document = false; // the empty line there belongs to the mark
    for (i, line) in text.lines().enumerate() {
        let number = i + 1;
        let (blank, document) = (line.trim().is_empty(), line.starts_with(DOCUMENT));
        if document {
            documents.add(|| format!("line {number}"));
        }
        if !blank && !document {
            let (word, tag, count) = columns(path, number, line)?;
            let &mut (first, as_many) = counted.get_or_insert((number, count));
            if count != as_many {
                let wrong = format!("has {count} columns, and line {first} has {as_many}");
                let way_out = "write as many on each line; a word has no space in it";
                return Err(bad_line(path, number, &wrong, line, way_out));
            }
            if sentence.words.is_empty() {
                sentence.line = number;
            }
            sentence.words.push(word.to_owned());
            sentence.tags.push(tag.to_owned());
        } else if !sentence.words.is_empty() {
            tagged.sentences.push(mem::take(&mut sentence));
        } else if blank && !after_document {
            empty.add(|| format!("line {number}"));
        }
        after_document = document;
    }
    if !sentence.words.is_empty() {
        let (file, last) = (path.file_name().unwrap_or_default().display(), text.lines().count());
        let how = match text.ends_with('\n') {
            true => "no empty line closes it",
            false => "the file ends without a line break, and may have been cut off",
        };
        let lines = match sentence.line {
            line if line == last => format!("line {line}"),
            line => format!("lines {line} to {last}"),
        };
        tagged.notes.push(format!("the last sentence of {file}, {lines}, is taken as it stands: {how}"));
        tagged.sentences.push(sentence);
    }
    if tagged.sentences.is_empty() {
        return Err(Error::file(path, "it has no sentence: write a word, a TAB and its tag on each line"));
    }
    let counts = |words: &[String]| (1..).zip(words).all(|(n, word): (usize, _)| *word == n.to_string());
    if tagged.sentences.iter().all(|sentence| counts(&sentence.words)) {
        return Err(Error::file(path, "its first column numbers the words: remove it, so that the words stand first"));
    }
    empty.note_empty_lines(path, &mut tagged.notes);
    documents.note(path, "mark of a document passed over", "marks of documents passed over", &mut tagged.notes);
    Ok(tagged)
}

impl Tagged {
    /// An error if no word is of an entity.
    pub fn check_entities(&self) -> Result<()> {
        if self.sentences.iter().flat_map(|sentence| &sentence.tags).any(|tag| tag != "O") {
            return Ok(());
        }
        let what =
            "all of its words have the tag O: there is nothing to find, and no F1; tag entities with B-X and I-X";
        Err(Error::file(&self.path, what))
    }
}

/// The word and the tag of a line, and how many columns it has.
fn columns<'a>(path: &Path, number: usize, line: &'a str) -> Result<(&'a str, &'a str, usize)> {
    let content = line.trim_end().trim_start_matches(' '); // a TAB at the beginning stands after a missing word
    let separator = if content.contains('\t') { '\t' } else { ' ' };
    let Some((word, rest)) = content.split_once(separator) else {
        let way_out = "write the word, a TAB and its tag, which is O outside of entities; leave a line empty to end \
                       a sentence";
        return Err(bad_line(path, number, "has one column", line, way_out));
    };
    let word = word.trim_matches(' ');
    let tag = rest.rsplit(separator).next().unwrap_or(rest).trim_matches(' ');
    if word.is_empty() {
        return Err(bad_line(path, number, "has no word before its tag", line, "write the word or remove the line"));
    }
    let entity = tag.strip_prefix("B-").or_else(|| tag.strip_prefix("I-"));
    if tag != "O" && entity.is_none_or(str::is_empty) {
        let way_out = "the last column must be O, B-X or I-X, where X is a type of entity; E-X is written I-X here, \
                       and S-X is B-X";
        return Err(bad_line(path, number, "ends in something that is no tag", tag, way_out));
    }
    let count = content.split(separator).filter(|column| separator == '\t' || !column.is_empty()).count();
    Ok((word, tag, count))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_refused, read_as};
    use super::*;

    fn sentence(line: usize, words: &[&str], tags: &[&str]) -> Sentence {
        let owned = |of: &[&str]| of.iter().map(|&s| s.to_owned()).collect();
        Sentence { words: owned(words), tags: owned(tags), line }
    }

    #[test]
    fn the_last_sentence_is_kept_with_and_without_an_empty_line_after_it() {
        for end in ["", "\n", "\n\n", "\r\n\r\n"] {
            let tagged = read_as("some.conll", format!("Alice\tB-PER\nsleeps\tO\n\nParis\tB-LOC{end}"), read).unwrap();
            let expected = [sentence(1, &["Alice", "sleeps"], &["B-PER", "O"]), sentence(4, &["Paris"], &["B-LOC"])];
            assert_eq!(tagged.sentences, expected);
            let wanted = match end {
                "" => Some("may have been cut off"),
                "\n" => Some("no empty line closes it"),
                _ => None,
            };
            assert_eq!(tagged.notes.len(), usize::from(wanted.is_some()), "{end:?}: {:?}", tagged.notes);
            let said = |words: &str| tagged.notes.iter().any(|note| note.contains(words));
            assert!(
                wanted.is_none_or(|how| said(how) && said("of some.conll, line 4, is taken as it stands")),
                "{end:?}"
            );
        }
    }

    #[test]
    fn word_and_tag_are_the_first_and_last_column_between_tabs_or_spaces() {
        let table = [
            ("EU NNP I-NP I-ORG", "EU", "I-ORG"),
            ("EU   O  ", "EU", "O"),
            ("  EU O", "EU", "O"),
            ("EU\tNNP\tB-creative-work", "EU", "B-creative-work"),
            ("New York\tB-LOC", "New York", "B-LOC"),
            ("EU \t B-ORG\t", "EU", "B-ORG"),
            ("\u{a0}\tO", "\u{a0}", "O"),
            ("EU O\t", "EU", "O"),
            ("B-PER O", "B-PER", "O"),
        ];
        for (line, word, tag) in table {
            let tagged = read_as("some.conll", line, read).unwrap();
            assert_eq!(tagged.sentences, [sentence(1, &[word], &[tag])], "{line:?}");
        }
    }

    #[test]
    fn marks_of_documents_and_needless_empty_lines_are_passed_over_and_noted() {
        let content = "\u{feff}-DOCSTART- -X- O O\n\na O\n\n\n\nb O\n-DOCSTART-\tO\n\nc O\n\n";
        let tagged = read_as("some.conll", content, read).unwrap();
        let found: Vec<_> = tagged.sentences.iter().map(|s| (s.line, s.words[0].as_str())).collect();
        assert_eq!(found, [(3, "a"), (7, "b"), (10, "c")]);
        assert_eq!(
            tagged.notes,
            [
                "2 empty lines passed over, the first is line 5 of some.conll",
                "2 marks of documents passed over, the first is line 1 of some.conll",
            ]
        );
    }

    #[test]
    fn a_line_that_is_no_word_and_tag_is_refused_with_its_number() {
        let table: [(&[u8], &[&str]); 11] = [
            (b"a O\nword\n", &["line 2", "one column", "\"word\"", "TAB"]),
            (b"a O\n\nword\t\n", &["line 3", "one column", "\"word\\t\""]),
            (b"\tO\n", &["line 1", "no word", "\"\\tO\""]),
            (b"a\tPER\n", &["line 1", "no tag", "\"PER\"", "O, B-X or I-X"]),
            (b"a\tB-\n", &["line 1", "no tag", "\"B-\""]),
            (b"a\to\n", &["line 1", "no tag", "\"o\""]),
            (b"a O\nb S-PER\n", &["line 2", "no tag", "\"S-PER\"", "S-X is B-X"]),
            (b"a O\nb \xff O\n", &["line 2", "not UTF-8"]),
            (b"-DOCSTART- O\n\n", &["no sentence"]),
            (b"EU B-ORG\n\nNew York B-LOC\n", &["line 3", "has 3 columns, and line 1 has 2", "New York"]),
            (b"1\tMia\tB-PER\n2\tsees\tO\n\n1\tOslo\tB-LOC\n\n", &["numbers the words", "remove it"]),
        ];
        for (content, words) in table {
            assert_refused("some.conll", content, words, read);
        }
    }
}
