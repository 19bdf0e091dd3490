//! Words as a tagger reads them: of a corpus, where they stand one a line, and of a text, where people wrote them.
//!
//! Byte-level tokenizers give "left" other ids behind a space than behind a quotation mark, so a tagger that is to read texts
//! has to learn from sentences written as texts are. A corpus does not say where its words touch; `touches` knows how
//! punctuation is written. A word's label is that of its first token (Devlin et al. 2019, section 5.3), and a sentence beyond
//! the model's context is read in parts.

use std::ops::Range;

use tokenizer::{Slot, Tokenizer};

use crate::pretext::texts;

/// A sentence as a tagger sees it: all of its words, or some of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    /// Its ids, in their frame.
    pub ids: Vec<u32>,
    /// The place of each word's first token.
    pub firsts: Vec<u32>,
    /// Whether its last word is longer than all there is room for: the end of it is not seen.
    pub cut: bool,
}

/// The parts of a corpus's sentence that fit into `block` positions: as few as there can be.
pub fn of_sentence(tokenizer: &Tokenizer, block: usize, sentence: &[impl AsRef<str>]) -> Vec<Words> {
    let mut quoted = false;
    let words = sentence.iter().enumerate().map(|(i, word)| {
        let (word, before) = (word.as_ref(), i.checked_sub(1).map(|before| sentence[before].as_ref()));
        let space = if before.is_none_or(|before| touches(before, word, quoted)) { "" } else { " " };
        quoted ^= word == "\"";
        let mut ids = Vec::new();
        tokenizer.encode_ordinary(format!("{space}{word}").as_bytes(), &mut ids);
        if ids.is_empty() {
            ids.extend(tokenizer.special("[UNK]")); // a word that the tokenizer leaves out has its label somewhere all the same
        }
        ids
    });
    parts(tokenizer, block, &[], words)
}

/// Whether a word is written without a space behind the one before it; `quoted` says whether a quotation is open.
fn touches(before: &str, word: &str, quoted: bool) -> bool {
    let all = |word: &str, of: &str| word.chars().all(|c| of.contains(c));
    let ending = word.starts_with(['\'', '’']) && word.chars().nth(1).is_some_and(char::is_alphabetic);
    let (closes, opens) = (word == "\"" && quoted, before == "\"" && quoted);
    closes || opens || ending || word == "n't" || all(word, ".,;:!?)]}%”…") || all(before, "([{“„$£€#")
}

/// The words of a text, by their bytes, and the parts of it that fit into `block` positions. The ids are those of the text as
/// it stands. What the tokenizer does not tell apart is one word.
pub fn of_text(tokenizer: &Tokenizer, block: usize, text: &str) -> (Vec<Range<usize>>, Vec<Words>) {
    let (ids, places) = tokenizer.encode_places(text);
    let (mut words, mut edges): (Vec<Range<usize>>, Vec<usize>) = Default::default();
    for word in split(text) {
        let mut first = places.partition_point(|place| place.end <= word.start);
        // A space that is a token of its own is the first of the word behind it, as in a corpus's sentence.
        let space = word.start.checked_sub(1).filter(|&at| text.as_bytes()[at] == b' ');
        first -= usize::from(first > 0 && space.is_some_and(|at| places[first - 1] == (at..word.start)));
        if first == ids.len() {
            break; // the tokenizer leaves out what is left
        }
        match words.last_mut() {
            Some(before) if edges.last() == Some(&first) => before.end = word.end, // both begin with the same token
            _ => {
                words.push(word);
                edges.push(first);
            }
        }
    }
    edges.push(ids.len());
    let each = edges.windows(2).map(|edge| ids[edge[0]..edge[1]].to_vec());
    let parts = parts(tokenizer, block, &ids[..edges[0]], each);
    (words, parts)
}

/// Words that are written short, with a full stop: mostly parts of names and dates.
const SHORT: &str = " Mr Mrs Ms Dr Prof St Mt Ft Gen Col Lt Capt Sgt Sen Rep Gov Jr Sr Inc Corp Co Ltd Bros No vs etc Jan Feb Mar \
                     Apr Jun Jul Aug Sep Sept Oct Nov Dec ";

/// Whether the full stop behind this word is a part of it: of "U.S" and "Ph.D" always, of "Dr" and "J" where the text goes on.
fn is_short(word: &str, goes_on: bool) -> bool {
    let letters =
        |part: &str, most| (1..=most).contains(&part.chars().count()) && part.chars().all(char::is_alphabetic);
    let initial = letters(word, 1) && word.chars().all(char::is_uppercase) && word != "I";
    word.contains('.') && word.split('.').all(|part| letters(part, 2))
        || goes_on && (initial || SHORT.contains(&format!(" {word} ")))
}

/// The endings of English words that corpora have as words of their own.
const ENDINGS: [&str; 7] = ["n't", "'s", "'re", "'ve", "'ll", "'d", "'m"];

/// The byte where a word's ending begins, if it has one.
fn ending(word: &str) -> Option<usize> {
    let is = |end: &str| end.chars().map(|c| if c == '’' { '\'' } else { c.to_ascii_lowercase() }).collect::<String>();
    let ends = word.char_indices().map(|(at, _)| at).filter(|&at| at > 0 && word.len() - at <= 6);
    ends.map(|at| (at, is(&word[at..]))).find(|(_, end)| ENDINGS.contains(&&end[..])).map(|(at, _)| at)
}

/// What stands between spaces, with the punctuation at its ends as words of their own, one a character, and endings such as
/// 's, which is how tagged corpora have it, but for the full stop of a word that is written short; and each Chinese character.
fn split(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut pieces = text.split_whitespace().peekable();
    while let Some(piece) = pieces.next() {
        let start = piece.as_ptr() as usize - text.as_ptr() as usize;
        // Each character with the accents that belong to it.
        let mut characters: Vec<(char, Range<usize>)> = Vec::new();
        for (at, c) in piece.char_indices() {
            let place = start + at..start + at + c.len_utf8();
            match characters.last_mut() {
                Some((_, whole)) if tokenizer::joins(c) => whole.end = place.end,
                _ => characters.push((c, place)),
            }
        }
        let inner = |(c, _): &(char, Range<usize>)| !tokenizer::stands_alone(*c);
        let first = characters.iter().position(inner).unwrap_or(characters.len());
        let mut last = characters.iter().rposition(inner).unwrap_or(0);
        let bare = characters.get(first).map_or(start..start, |(_, from)| from.start..characters[last].1.end);
        let behind = ending(&text[bare.clone()]).map(|at| bare.start + at);
        if let Some(('.', _)) = characters.get(last + 1) {
            let goes_on = last + 2 == characters.len() && pieces.peek().is_some();
            last += usize::from(is_short(&text[bare], goes_on));
        }
        for (i, (_, place)) in characters.iter().enumerate() {
            let within =
                first < i && i <= last && characters[i - 1..=i].iter().all(|(c, _)| !tokenizer::is_chinese(*c));
            match words.last_mut() {
                Some(word) if within && behind != Some(place.start) => word.end = place.end,
                _ => words.push(place.clone()),
            }
        }
    }
    words
}

/// Puts words, and what stands before the first of them, into as few frames of at most `block` positions as there can be.
fn parts(tokenizer: &Tokenizer, block: usize, before: &[u32], words: impl IntoIterator<Item = Vec<u32>>) -> Vec<Words> {
    let single = texts::template(tokenizer).single;
    let mut around = single.split(|slot| matches!(slot, Slot::First(_))).map(|slots| {
        slots
            .iter()
            .filter_map(|slot| if let Slot::Token(id, _) = slot { Some(*id) } else { None })
            .collect::<Vec<u32>>()
    });
    let [open, close] = [around.next(), around.next()].map(Option::unwrap_or_default);
    let room = block.saturating_sub(close.len()).max(open.len() + 1);
    let begin = || Words { ids: open.clone(), firsts: Vec::new(), cut: false };
    let (mut parts, mut part) = (Vec::new(), begin());
    part.ids.extend(before.iter().take(room - 1 - part.ids.len()));
    for mut word in words {
        if part.ids.len() + word.len() > room && !part.firsts.is_empty() {
            part.ids.extend(&close);
            parts.push(std::mem::replace(&mut part, begin()));
        }
        part.cut = part.ids.len() + word.len() > room;
        word.truncate(room - part.ids.len());
        part.firsts.push(part.ids.len() as u32);
        part.ids.extend(word);
    }
    part.ids.extend(&close);
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_at_the_ends_of_words_stands_alone() {
        let text = " \"Mia's\" ball, e.g. 3.5 -- é!?";
        let words: Vec<&str> = split(text).into_iter().map(|place| &text[place]).collect();
        assert_eq!(words, ["\"", "Mia", "'s", "\"", "ball", ",", "e.g.", "3.5", "-", "-", "é", "!", "?"]);
    }

    #[test]
    fn the_full_stop_of_a_word_written_short_is_a_part_of_it() {
        let of = |text: &str| split(text).into_iter().map(|place| text[place].to_owned()).collect::<Vec<_>>();
        assert_eq!(of("Dr. J. R. Smith left the U.S."), ["Dr.", "J.", "R.", "Smith", "left", "the", "U.S."]);
        assert_eq!(of("Acme Inc. of Jan. 5, a Ph.D."), ["Acme", "Inc.", "of", "Jan.", "5", ",", "a", "Ph.D."]);
        assert_eq!(of("(the U.S.), plan B. "), ["(", "the", "U.S.", ")", ",", "plan", "B", "."]);
        assert_eq!(
            of("He met the Dr. And I. So 3.5. a..."),
            ["He", "met", "the", "Dr.", "And", "I", ".", "So", "3.5", ".", "a", ".", ".", "."]
        );
    }

    #[test]
    fn english_endings_are_words_of_their_own() {
        let of = |text: &str| split(text).into_iter().map(|place| text[place].to_owned()).collect::<Vec<_>>();
        assert_eq!(
            of("Mia’s O'Brien DON'T. 's we'll,"),
            ["Mia", "’s", "O'Brien", "DO", "N'T", ".", "'", "s", "we", "'ll", ","]
        );
    }

    #[test]
    fn accents_belong_to_their_letters_and_chinese_characters_stand_alone() {
        let of = |text: &str| split(text).into_iter().map(|place| text[place].to_owned()).collect::<Vec<_>>();
        assert_eq!(of("Jose\u{301}, no\u{308}."), ["Jose\u{301}", ",", "no\u{308}", "."]);
        assert_eq!(of("王明住在X市。"), ["王", "明", "住", "在", "X", "市", "。"]);
        assert_eq!(of("ภาษา ❤\u{fe0f}!"), ["ภาษา", "❤\u{fe0f}", "!"]);
        let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n王\n明\n在\nx";
        let tokenizer = Tokenizer::from_vocab(vocabulary, None).unwrap();
        let (words, parts) = of_text(&tokenizer, 99, "王明在X");
        assert_eq!((words.len(), &parts[0].firsts[..]), (4, &[1, 2, 3, 4][..]));
    }

    #[test]
    fn a_sentence_of_a_corpus_is_read_as_people_write_it() {
        let tokenizer = Tokenizer::bytes();
        for text in
            ["Mia 's ball", "\"Stop\", he said: \"don't (please)\" for $5, or 5%!", "On Monday, they met.", "a - b"]
        {
            let text = text.replace(" '", "'");
            let words = split(&text).into_iter().flat_map(|place| {
                // As the Penn Treebank has them: endings are words.
                let word = &text[place];
                let at = word.find("n't").or_else(|| word.find('\'')).filter(|&at| at > 0);
                let (word, ending) = word.split_at(at.unwrap_or(word.len()));
                [word, ending].map(str::to_owned)
            });
            let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
            let ids = &of_sentence(&tokenizer, 99, &words)[0].ids;
            assert_eq!(tokenizer.decode(ids).unwrap(), text.as_bytes(), "{words:?}");
        }
    }

    #[test]
    fn a_text_is_read_as_it_stands_and_each_word_at_its_first_token() {
        let tokenizer = Tokenizer::train(&[b"some words of a text, some words of a text..."], 290).unwrap();
        let text = "\t some words, (of a text)...\n a";
        let (words, parts) = of_text(&tokenizer, 99, text);
        let said: Vec<&str> = words.iter().map(|place| &text[place.clone()]).collect();
        let ids = texts::ids(&tokenizer, 99, text).ids;
        assert_eq!((parts.len(), &parts[0].ids), (1, &ids));
        let firsts = parts[0].firsts.iter().map(|&at| tokenizer.token(ids[at as usize]).unwrap());
        let first = |word: &str, token: &[u8]| {
            let token = String::from_utf8_lossy(token);
            let token = token.trim_start_matches(' ');
            assert!(token.starts_with(word) || word.starts_with(token), "{word:?}: {token:?}");
        };
        said.iter().zip(firsts).for_each(|(word, token)| first(word, token));
        assert_eq!(said.concat(), text.split_whitespace().collect::<String>(), "no word is lost");
        // A text is read as the sentence of its words is, also where a space is a token of its own.
        let text = "some Quentin of, 3 words.";
        let words: Vec<&str> = split(text).into_iter().map(|place| &text[place]).collect();
        assert_eq!(of_text(&tokenizer, 99, text).1, of_sentence(&tokenizer, 99, &words));
        let alone = tokenizer.encode_places(text).1.iter().filter(|place| text[(*place).clone()] == *" ").count();
        assert!(alone > 0, "no space is a token of its own");
        let text = "\t some words, (of a text)...\n a";
        let short = of_text(&tokenizer, 8, text);
        assert_eq!(short.1.iter().map(|part| part.firsts.len()).sum::<usize>(), short.0.len());
        assert!(short.1.len() > 1 && short.1.iter().all(|part| part.ids.len() <= 8));
        assert_eq!(of_text(&tokenizer, 8, " \n").0, []);
    }

    #[test]
    fn a_word_that_the_tokenizer_leaves_out_has_a_place_of_its_own() {
        let tokenizer = Tokenizer::from_vocab("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb", None).unwrap();
        let parts = of_sentence(&tokenizer, 16, &["a", "\u{200b}", "b"]);
        assert_eq!((&parts[0].firsts[..], parts[0].ids.len()), (&[1, 2, 3][..], 5), "{parts:?}");
    }

    #[test]
    fn a_sentence_beyond_the_context_loses_no_word() {
        let tokenizer = Tokenizer::train(&[b"some words of a text, some words of a text"], 280).unwrap().framed();
        let sentence: Vec<String> = (0..50).map(|i| format!("word{i}")).collect();
        let parts = of_sentence(&tokenizer, 16, &sentence);
        assert_eq!(parts.iter().map(|part| part.firsts.len()).sum::<usize>(), 50);
        let frame = tokenizer.frame().unwrap();
        for part in &parts {
            assert!(part.ids.len() <= 16, "{}", part.ids.len());
            assert_eq!((part.ids[0], part.ids[part.ids.len() - 1]), (frame.cls, frame.sep));
        }
        let long = ["on".to_owned(), "a".repeat(99), "on".to_owned()];
        let parts = of_sentence(&tokenizer, 16, &long);
        assert!(parts.iter().all(|part| part.ids.len() <= 16 && part.firsts.len() == 1), "{parts:?}");
        assert_eq!(parts.iter().map(|part| part.cut).collect::<Vec<_>>(), [false, true, false]);
    }
}
