//! Windows: what a model sees of a question and the text that is to answer it.
//!
//! A window is `[CLS] question [SEP] text [SEP]`, the text as the second segment (Devlin et al. 2019, section 4.2). A text beyond
//! the model's context is read through windows that overlap by a quarter, each with the question before it.

use std::ops::Range;
use std::path::Path;

use tokenizer::{Slot, Template, Tokenizer};

use crate::Model;
use crate::data::labelled::Tally;
use crate::data::labelled::squad::Question;
use crate::error::{Error, Result};
use crate::pretext::texts;

/// Tokens of an answer, at most.
pub(super) const LONGEST: usize = 64;
/// Positions that a model needs for a question and some text.
pub const SMALLEST: usize = 16;

/// A question and what one look at a part of the text shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Both, in their frame.
    pub ids: Vec<u32>,
    /// The segment of each.
    pub(super) segments: Vec<u32>,
    /// The position of the text's first token.
    pub(super) first: usize,
    /// The bytes of the text that each of its tokens here stands for.
    pub bytes: Vec<Range<usize>>,
}

/// An error if a model, which is that of `directory`, sees fewer tokens than a window has at least.
pub fn check_room(directory: &Path, model: &Model) -> Result<()> {
    if model.block_size() >= SMALLEST {
        return Ok(());
    }
    let what = format!("sees {} tokens, too few for a question and a text", model.block_size());
    Err(Error::file(directory, what + ": train one with a larger --block-size"))
}

/// The windows of a question about a text, for a model of `block` positions: as few as there can be, overlapping by a
/// quarter. Of a question that would fill more than half of the positions, the beginning is taken; says whether that was so.
///
/// Panics if `block` is below [`SMALLEST`].
pub fn windows(tokenizer: &Tokenizer, block: usize, question: &str, text: &str) -> (Vec<Window>, bool) {
    assert!(block >= SMALLEST, "windows: {block} positions are too few");
    let mut asked = Vec::new();
    tokenizer.encode_ordinary(question.trim().as_bytes(), &mut asked);
    let Template { pair, .. } = texts::template(tokenizer);
    let marks = pair.iter().filter(|slot| matches!(slot, Slot::Token(..))).count();
    let most = (block / 2).saturating_sub(marks).max(1);
    let cut = asked.len() > most;
    asked.truncate(most);
    let (tokens, bytes) = tokenizer.encode_places(text);
    let room = block.saturating_sub(marks + asked.len()).max(1);
    let mut windows = Vec::new();
    for start in (0..tokens.len().max(1)).step_by((room - room / 4).max(1)) {
        let of = start..(start + room).min(tokens.len());
        let both = Template::filled(&pair, &asked, &tokens[of.clone()]);
        let bytes = bytes[of.clone()].to_vec();
        windows.push(Window { ids: both.ids, segments: both.types, first: both.second, bytes });
        if of.end == tokens.len() {
            break;
        }
    }
    (windows, cut)
}

impl Window {
    /// The places of a passage's first and last token among those that can be chosen: 0 for a window that does not hold
    /// all of it, and from 1 on the tokens of the text (see [`answer`](super::answer)). Pieces of a word may stand for the whole
    /// word each, and some bytes for no token.
    pub(super) fn places(&self, passage: &Range<usize>) -> [u32; 2] {
        let held = |first: &Range<usize>, last: &Range<usize>| first.start <= passage.start && passage.end <= last.end;
        let [first, last] = [self.bytes.first(), self.bytes.last()];
        if !first.zip(last).is_some_and(|(first, last)| held(first, last)) {
            return [0, 0];
        }
        let start = self.bytes.iter().position(|bytes| bytes.end > passage.start);
        let end = self.bytes.iter().rposition(|bytes| bytes.start < passage.end);
        match (start, end) {
            (Some(start), Some(end)) if start <= end => [start as u32 + 1, end as u32 + 1],
            _ => [0, 0],
        }
    }
}

/// Questions to learn from or to be judged by.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The questions.
    pub questions: Vec<Question>,
    /// The windows of all of them, and which question each is of.
    pub(super) windows: Vec<(usize, Window)>,
    /// The questions that are too long to be taken whole.
    pub(super) cut: Tally,
}

impl Asked {
    /// Questions as a model of `block` positions sees them.
    pub fn new(tokenizer: &Tokenizer, block: usize, questions: Vec<Question>) -> Self {
        let (mut all, mut questions_cut) = (Vec::new(), Tally::default());
        for (i, q) in questions.iter().enumerate() {
            let (windows, cut) = windows(tokenizer, block, &q.question, &q.context);
            all.extend(windows.into_iter().map(|window| (i, window)));
            if cut {
                questions_cut.add(|| format!("{:?}", q.id));
            }
        }
        Self { questions, windows: all, cut: questions_cut }
    }

    /// Adds what should be known about these questions, each a `question` of the file `path`.
    pub fn note(&self, question: &str, path: &Path, notes: &mut Vec<String>) {
        let one = format!("{question} fills more than half of what the model sees, and is cut there");
        let many = format!("{question}s fill more than half of what the model sees, and are cut there");
        self.cut.note(path, &one, &many, notes);
    }

    /// Adds what should be known about their answers, if these are `part` of a task.
    pub fn note_answers(&self, part: &str, path: &Path, notes: &mut Vec<String>) {
        let mut whole = vec![None; self.questions.len()]; // how many tokens an answer has where it stands whole
        for (i, window) in &self.windows {
            let places = self.questions[*i].learned().map(|passage| window.places(&passage));
            let tokens = places.map_or(Some(0), |[first, last]| (first > 0).then_some((last - first) as usize + 1));
            whole[*i] = whole[*i].or(tokens);
        }
        let (mut torn, mut long) = (Tally::default(), Tally::default());
        for (question, tokens) in self.questions.iter().zip(whole) {
            let of = || format!("that to {:?}", question.id);
            match tokens {
                None => torn.add(of),
                Some(tokens) if tokens > LONGEST => long.add(of),
                Some(_) => {}
            }
        }
        let [one, many] = ["answer is", "answers are"]
            .map(|are| format!("{part} {are} too long to stand whole in what the model sees at once"));
        torn.note(path, &one, &many, notes);
        let [one, many] = ["answer has", "answers have"]
            .map(|have| format!("{part} {have} more than the {LONGEST} tokens that are looked for"));
        long.note(path, &one, &many, notes);
    }

    /// How many questions there are.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::labelled::squad::Answer;

    pub fn tokenizer() -> Tokenizer {
        let text = "Where is the ball now? It is in the middle. A naïve café — “quoted” words, and more words.";
        Tokenizer::train(&[text.repeat(3).as_bytes()], 300).unwrap().framed()
    }

    pub const TEXT: &str = "A naïve café has words — “quoted” words, and more words in the middle of the text.";

    #[test]
    fn windows_hold_the_whole_text_and_overlap() {
        let tokenizer = tokenizer();
        let frame = tokenizer.frame().unwrap();
        for block in [24, 32, 200] {
            let (all, cut) = windows(&tokenizer, block, " Where is the ball? ", TEXT);
            assert!(!cut);
            let mut covered = 0;
            for (i, window) in all.iter().enumerate() {
                assert!(window.ids.len() <= block);
                assert_eq!((window.ids[0], window.ids[window.first - 1]), (frame.cls, frame.sep));
                assert_eq!(window.ids.len(), window.first + window.bytes.len() + 1);
                for (id, bytes) in window.ids[window.first..].iter().zip(&window.bytes) {
                    assert_eq!(tokenizer.token(*id).unwrap(), &TEXT.as_bytes()[bytes.clone()]);
                }
                let Range { start, end } = window.bytes[0].start..window.bytes.last().unwrap().end;
                assert!(start <= covered && end > covered, "window {i} of {block}");
                covered = end;
            }
            assert_eq!(covered, TEXT.len());
            assert_eq!(all.len() == 1, block == 200);
        }
        let (long, cut) = windows(&tokenizer, SMALLEST, &"Where is it? ".repeat(30), TEXT);
        assert!(cut && long.iter().all(|window| window.ids.len() <= SMALLEST && !window.bytes.is_empty()));
        assert!(windows(&tokenizer, 24, "Where?", "").0[0].bytes.is_empty());
    }

    #[test]
    fn a_passage_begins_with_the_first_token_that_says_some_of_it_and_ends_with_the_last() {
        let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nby\ncho\n##pin\n,\nold";
        let tokenizer = Tokenizer::from_vocab(vocabulary, None).unwrap();
        let text = "by \u{200b}Chopin\u{200b}, old"; // a space of no width is no token
        let window = &windows(&tokenizer, 24, "by?", text).0[0];
        let said: Vec<&str> = window.bytes.iter().map(|place| &text[place.clone()]).collect();
        assert_eq!(said.len(), 5, "{said:?}");
        let start = text.find("Chopin").unwrap();
        for (passage, places) in [
            (start..start + 6, [2, 3]),
            (start - 3..start + 9, [2, 3]),
            (0..2, [1, 1]),
            (0..text.len(), [1, 5]),
            (text.len()..text.len() + 1, [0, 0]),
        ] {
            assert_eq!(window.places(&passage), places, "{passage:?} of {said:?}");
        }
    }

    #[test]
    fn answers_that_cannot_be_found_are_told() {
        let tokenizer = Tokenizer::bytes();
        let context = format!("{} {}", "x".repeat(80), "y".repeat(30));
        let question = |text: &str| Question {
            id: text[..2].to_owned(),
            question: "?".to_owned(),
            context: context.as_str().into(),
            answers: vec![Answer { text: text.to_owned(), start: context.find(text) }],
        };
        let asked = |block| {
            let asked = Asked::new(&tokenizer, block, vec![question(&"x".repeat(80)), question(&"y".repeat(30))]);
            let mut notes = Vec::new();
            asked.note_answers("training", Path::new("a.json"), &mut notes);
            notes.concat()
        };
        assert_eq!(
            asked(200),
            "1 training answer has more than the 64 tokens that are looked for: that to \"xx\" of a.json"
        );
        assert!(asked(70).starts_with("1 training answer is too long to stand whole"), "{}", asked(70));
    }
}
