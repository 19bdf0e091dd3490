//! Questions whose answers are passages of a context, in the JSON of SQuAD v1.1 (Rajpurkar et al. 2016).
//!
//! ```text
//! {"data": [{"paragraphs": [{"context": "Der Fluß heißt Spree.",
//!     "qas": [{"id": "q1", "question": "Wie heißt er?", "answers": [{"text": "Spree", "answer_start": 15}]}]}]}]}
//! ```
//!
//! The file counts an answer's offset in characters (code points), and Rust slices strings by bytes, so offsets are
//! converted here, once: `&context[start..start + text.len()] == text` holds for every [`Answer`] that has a start. Files
//! that were edited by hand or by a program that counts otherwise have offsets that lead elsewhere. Such an answer is moved
//! where there is one place for it, and has none where there is none or a choice; both are noted. Nothing can be learned
//! from an answer without a place, but what a model finds is still compared with it, since SQuAD's script compares words.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::{Tally, bad_line, text_of};
use crate::error::{Error, Result};

/// A file of answered questions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// In the file's order.
    pub questions: Vec<Question>,
    /// The file.
    pub path: PathBuf,
    /// What was mended or left out, a sentence each.
    pub notes: Vec<String>,
}

/// A question about a context.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The file's name for it.
    pub id: String,
    /// The question itself; not empty.
    pub question: String,
    /// The text that holds the answers, shared by all questions about it.
    pub context: Arc<str>,
    /// One for training, several by different people for evaluation; none where none is given.
    pub answers: Vec<Answer>,
}

impl Question {
    /// The bytes of the first answer that has a place in the context, without the spaces at its ends, for which not every
    /// tokenizer has a token: what is learned.
    pub fn learned(&self) -> Option<Range<usize>> {
        self.answers.iter().find_map(|Answer { text, start }| {
            let start = (*start)? + text.len() - text.trim_start().len();
            (!text.trim().is_empty()).then(|| start..start + text.trim().len())
        })
    }
}

/// A right answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its words.
    pub text: String,
    /// The byte of the context where they begin, if they stand at one known place of it.
    pub start: Option<usize>,
}

#[derive(Deserialize)]
struct File {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Qa>,
}

#[derive(Deserialize)]
struct Qa {
    id: String,
    question: String,
    answers: Option<Vec<RawAnswer>>,
}

#[derive(Deserialize)]
struct RawAnswer {
    text: String,
    answer_start: i64, // some files write -1 for an answer without a place
}

/// Reads a file of questions with answers. Keys that SQuAD v1.1 does not have are passed over.
///
/// # Errors
///
/// A file that cannot be read, is not UTF-8, is not SQuAD's JSON or has no question; a question that is empty, or has no
/// `answers`.
pub fn read(path: &Path) -> Result<Answered> {
    read_with(path, |id| {
        let what =
            format!("the question with id {id:?} has no \"answers\": write them, or an empty list where none is known");
        Err(Error::file(path, what))
    })
}

/// Reads a file of questions that are to be answered: as [`read`], but `answers` may be missing, as in the parts that a
/// contest keeps to itself.
///
/// # Errors
///
/// As [`read`], but for these.
pub fn read_asked(path: &Path) -> Result<Answered> {
    read_with(path, |_| Ok(Vec::new()))
}

/// `missing` tells of an id what the answers are where there are none.
fn read_with(path: &Path, missing: impl Fn(&str) -> Result<Vec<RawAnswer>>) -> Result<Answered> {
    let file: File = parse(path)?;
    let mut answered = Answered { path: path.to_owned(), ..Answered::default() };
    let (mut mended, mut ids, mut twice) = (Mended::default(), HashSet::new(), Tally::default());
    for Paragraph { context, qas } in file.data.into_iter().flat_map(|article| article.paragraphs) {
        let context = Arc::<str>::from(context);
        for Qa { id, question, answers } in qas {
            if question.trim().is_empty() {
                let what = format!("the question with id {id:?} is empty: write it or remove its entry");
                return Err(Error::file(path, what));
            }
            if !ids.insert(id.clone()) {
                twice.add(|| format!("{id:?}"));
            }
            let answers = answers.map_or_else(|| missing(&id), Ok)?;
            let answers = mended.answers(&context, &id, answers);
            answered.questions.push(Question { id, question, context: context.clone(), answers });
        }
    }
    if answered.questions.is_empty() {
        return Err(Error::file(path, "it has no question: give a file whose \"qas\" are not all empty"));
    }
    mended.note(path, &mut answered.notes);
    let one = "question has an id that another has before it, and by its id only the last of them is found";
    let many = "questions have an id that another has before them, and by its id only the last of them is found";
    twice.note(path, one, many, &mut answered.notes);
    Ok(answered)
}

fn parse(path: &Path) -> Result<File> {
    let text = text_of(path)?;
    serde_json::from_str(&text).map_err(|e| {
        let line = text.lines().nth(e.line().saturating_sub(1)).unwrap_or_default().as_bytes();
        // The parser names the byte after what it did not expect, and one line may be the whole file.
        let from = e.column().saturating_sub(24).min(line.len());
        let near = String::from_utf8_lossy(&line[from..line.len().min(from + 48)]);
        let wrong = format!("is not as in SQuAD v1.1: {e}");
        let way_out = "give one JSON object with data, paragraphs, context, qas, id, question, answers, text and \
                       answer_start, one within the other as in SQuAD's own files";
        bad_line(path, e.line(), &wrong, near.trim_matches('\u{fffd}'), way_out) // characters that were cut
    })
}

/// What was done about answers that are not where the file says, or say nothing, and questions about nothing.
#[derive(Default)]
struct Mended {
    moved: Tally,
    placeless: Tally,
    blank: Tally,
    untold: Tally,
}

impl Mended {
    fn answers(&mut self, context: &str, id: &str, raw: Vec<RawAnswer>) -> Vec<Answer> {
        let place = || format!("that of question {id:?}");
        if context.trim().is_empty() {
            self.untold.add(|| format!("{id:?}"));
        }
        let placed = |RawAnswer { text, answer_start }| {
            if text.trim().is_empty() {
                self.blank.add(place);
                return Answer { text, start: None };
            }
            let start = standing_at(context, &text, answer_start).or_else(|| {
                let only = only_place(context, &text);
                let tally = if only.is_some() { &mut self.moved } else { &mut self.placeless };
                tally.add(place);
                only
            });
            Answer { text, start }
        };
        raw.into_iter().map(placed).collect()
    }

    fn note(&self, path: &Path, notes: &mut Vec<String>) {
        let one = "answer stands not at its offset but at one other place, and was moved there";
        let many = "answers stand not at their offset but at one other place each, and were moved there";
        self.moved.note(path, one, many, notes);
        let one = "answer stands neither at its offset nor at one other place alone, so that it is compared with but not learned";
        let many = "answers stand neither at their offset nor at one other place alone, so that they are compared with but \
                    not learned";
        self.placeless.note(path, one, many, notes);
        let one = "answer is empty, so that it is compared with but not learned";
        self.blank.note(path, one, "answers are empty, so that they are compared with but not learned", notes);
        let (one, many) = ("question is about an empty text", "questions are about empty texts");
        self.untold.note(path, one, many, notes);
    }
}

/// The byte of character `start` of `context`, if `text` stands there.
fn standing_at(context: &str, text: &str, start: i64) -> Option<usize> {
    let (byte, _) = context.char_indices().nth(usize::try_from(start).ok()?)?;
    (!text.is_empty() && context[byte..].starts_with(text)).then_some(byte)
}

/// Where `text` stands in `context`, if that is one place.
fn only_place(context: &str, text: &str) -> Option<usize> {
    let first = context.find(text)?;
    let next = first + text.chars().next()?.len_utf8(); // places may overlap
    (!context[next..].contains(text)).then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{assert_refused, read_as};
    use super::*;

    fn file(context: &str, qas: &Value) -> String {
        json!({"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas}]}]})
            .to_string()
    }

    /// Where `answers` stand, and the notes.
    fn starts(context: &str, answers: &[(&str, i64)]) -> (Vec<Option<usize>>, Vec<String>) {
        let raw: Vec<_> = answers.iter().map(|(text, at)| json!({"text": text, "answer_start": at})).collect();
        let qas = json!([{"id": "q1", "question": "?", "answers": raw}]);
        let Answered { questions, notes, .. } = read_as("some.json", file(context, &qas), read).unwrap();
        for (Answer { text, start }, (said, _)) in questions[0].answers.iter().zip(answers) {
            assert!(text == said && start.is_none_or(|start| context[start..].starts_with(text)));
        }
        (questions[0].answers.iter().map(|answer| answer.start).collect(), notes)
    }

    #[test]
    fn spaces_at_the_ends_of_an_answer_are_not_learned() {
        let answers = vec![Answer { text: " red ball ".to_owned(), start: Some(3) }];
        let question =
            Question { id: String::new(), question: String::new(), context: "The red ball is.".into(), answers };
        assert_eq!(&question.context[question.learned().unwrap()], "red ball");
        let blank = vec![Answer { text: " ".to_owned(), start: Some(3) }];
        assert_eq!(Question { answers: blank, ..question }.learned(), None);
    }

    #[test]
    fn offsets_in_characters_become_offsets_in_bytes() {
        let context = "Ein 🎉 am Fluß: Spree"; // 3 bytes more than characters from the fifth on, 4 from the ß on
        let (starts, notes) = starts(context, &[("Ein", 0), ("🎉", 4), ("am", 6), ("ß", 12), ("Spree", 15)]);
        assert_eq!(starts, [0, 4, 9, 15, 19].map(Some));
        assert!(notes.is_empty(), "{notes:?}");
    }

    #[test]
    fn questions_share_their_context() {
        let qa =
            |id: &str| json!({"id": id, "question": "?", "answers": [{"text": "b", "answer_start": 1}], "more": 1});
        let content = file("abc", &json!([qa("q1"), qa("q2")]));
        let Answered { questions, .. } = read_as("some.json", format!("\u{feff}{content}\r\n"), read).unwrap();
        assert_eq!(questions.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(), ["q1", "q2"]);
        assert!(Arc::ptr_eq(&questions[0].context, &questions[1].context));
    }

    #[test]
    fn an_answer_elsewhere_is_moved_if_there_is_one_place_and_otherwise_has_none() {
        let moved = "1 answer stands not at its offset but at one other place, and was moved there: that of question \
                     \"q1\" of some.json";
        let placeless = "1 answer stands neither at its offset nor at one other place alone, so that it is compared with but \
                         not learned: that of question \"q1\" of some.json";
        let blank =
            "1 answer is empty, so that it is compared with but not learned: that of question \"q1\" of some.json";
        let table = [
            (("red", 5), Some(4), moved),
            (("red", -1), Some(4), moved),
            (("red", i64::MAX), Some(4), moved),
            (("green", 0), None, placeless),
            (("a", 1), None, placeless),  // at 0, 2 and 8
            (("oo", 1), None, placeless), // at 10 and 11, which overlap
            (("", 0), None, blank),
            ((" ", 1), None, blank),
            (("red", 4), Some(4), ""),
        ];
        for (answer, expected, note) in table {
            let (found, notes) = starts("a a red a ooo", &[answer, ("red", 4)]);
            assert_eq!(found, [expected, Some(4)], "{answer:?}");
            assert_eq!(notes.concat(), note, "{answer:?}");
        }
    }

    #[test]
    fn questions_about_an_empty_text_are_told() {
        let (_, notes) = starts(" ", &[("red", 0)]);
        assert!(notes.len() == 2 && notes[1] == "1 question is about an empty text: \"q1\" of some.json", "{notes:?}");
    }

    #[test]
    fn a_question_without_answers_is_kept_and_one_whose_id_stands_before_is_noted() {
        let lost = json!([{"text": "x", "answer_start": 0}, {"text": "y", "answer_start": 0}]);
        let qas = json!([
            {"id": "q1", "question": "?", "answers": lost},
            {"id": "q2", "question": "?", "answers": []},
            {"id": "q1", "question": "??", "answers": []},
        ]);
        let Answered { questions, notes, .. } = read_as("some.json", file("abc", &qas), read).unwrap();
        assert_eq!(questions.iter().map(|q| q.answers.len()).collect::<Vec<_>>(), [2, 0, 0]);
        assert!(questions.iter().all(|question| question.learned().is_none()));
        assert!(
            notes[0].starts_with("2 answers stand neither") && notes[0].contains("first is that of question \"q1\"")
        );
        let twice = "1 question has an id that another has before it, and by its id only the last of them is found: \"q1\" \
                     of some.json";
        assert_eq!(notes[1..], [twice]);
    }

    #[test]
    fn a_file_that_is_not_squads_json_is_refused_with_its_place() {
        let open = file("abc", &json!([{"id": "q1", "question": "?", "answers": []}])).replace('}', "");
        let keyless = file("abc", &json!([{"id": "q1", "question": "?"}]));
        let silent = file("abc", &json!([{"id": "q7", "question": " ", "answers": []}]));
        let table: [(&[u8], &[&str]); 7] = [
            (b"{\n\"data\": oops}", &["line 2", "\"\\\"data\\\": oops}\"", "SQuAD v1.1"]),
            (b"{\"text\": \"a\", \"label\": \"b\"}", &["line 1", "missing field `data`"]),
            (b"{\"data\": [\n\xe9]}", &["line 2", "not UTF-8"]),
            (open.as_bytes(), &["line 1", "expected"]),
            (keyless.as_bytes(), &["question with id \"q1\" has no \"answers\"", "an empty list"]),
            (silent.as_bytes(), &["question with id \"q7\" is empty"]),
            (b"{\"data\": []}", &["no question"]),
        ];
        for (content, words) in table {
            assert_refused("some.json", content, words, read);
        }
        let asked = read_as("some.json", keyless.as_bytes(), read_asked).unwrap().questions;
        assert!(asked.len() == 1 && asked[0].answers.is_empty(), "to be answered they need no answers");
    }
}
