//! Sentences, cut out of windows of tokens: what contrastive prediction tells apart.
//!
//! A window begins and ends anywhere in a text. Its bytes are cut at the ends of lines, and after `.`, `!` and `?`, with
//! the quotation marks and brackets that close there, where white space follows and then no small letter; of the pieces
//! that are whole one is drawn. It is a rule for prose: "Mr. Smith" is cut in two, which costs a learner of many sentences
//! little, and text without such marks is taken as it comes.

use tensor::random::Random;
use tokenizer::Tokenizer;

/// What may stand between the end of a sentence and the white space behind it.
const CLOSING: [&str; 6] = ["\"", "'", ")", "”", "’", "»"];

/// Pieces of fewer bytes are headings, signs of lists and names cut at a dot.
const SHORTEST: usize = 16;

/// The sentences of a text, in its order, without the white space around them.
///
/// ```
/// use models::pretext::sentences::sentences;
/// let text = b"Chapter 1\n\"Is the kettle on?\" she asked. It costs 3.50 euros.  So be it";
/// let expected: [&[u8]; 2] = [b"\"Is the kettle on?\" she asked.", b"It costs 3.50 euros."];
/// assert_eq!(sentences(text), expected);
/// ```
pub fn sentences(text: &[u8]) -> Vec<&[u8]> {
    pieces(text).into_iter().filter(|piece| piece.len() >= SHORTEST).collect()
}

/// The text cut up, the short pieces too.
fn pieces(text: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    let ends = |at: usize| {
        let mut after = at;
        while let Some(mark) = CLOSING.iter().find(|mark| text[after..].starts_with(mark.as_bytes())) {
            after += mark.len();
        }
        let capital =
            text[after..].iter().find(|byte| !byte.is_ascii_whitespace()).is_none_or(|b| !b.is_ascii_lowercase());
        (text.get(after).is_none_or(u8::is_ascii_whitespace) && capital).then_some(after)
    };
    for (at, byte) in text.iter().enumerate() {
        let end = match byte {
            b'\n' => Some(at),
            b'.' | b'!' | b'?' => ends(at + 1),
            _ => None,
        };
        if let Some(end) = end.filter(|&end| end >= start) {
            pieces.push(text[start..end].trim_ascii());
            start = end;
        }
    }
    pieces.push(text[start..].trim_ascii());
    pieces
}

/// One of the whole sentences of a window of ids, each as likely; where there is none a torn one, and where there is none
/// of these all of the window.
pub fn draw(window: &[u32], tokenizer: &Tokenizer, random: &mut Random) -> Vec<u8> {
    let (frame, end) = (tokenizer.frame(), tokenizer.end_of_text());
    let mark = |id: &u32| frame.is_some_and(|frame| frame.holds(*id)) || end == Some(*id);
    // The parts of the window that are of one text each: only the first may have lost its beginning, the last its end.
    let parts = window.split(mark).map(|ids| tokenizer.decode(ids).expect("ids of this tokenizer"));
    let parts: Vec<Vec<u8>> = parts.collect();
    let (mut whole, mut torn) = (Vec::new(), Vec::new());
    for (i, part) in parts.iter().enumerate() {
        let mut pieces = pieces(part);
        // Where the window ends is no end of a sentence unless white space shows it: "costs 3." may go on with "50".
        if part.last().is_some_and(|last| !last.is_ascii_whitespace()) {
            pieces.pop_if(|last| last.is_empty());
        }
        for (j, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.len() >= SHORTEST) {
            let cut = i == 0 && j == 0 || i + 1 == parts.len() && j + 1 == pieces.len();
            let list = if cut { &mut torn } else { &mut whole };
            list.push(*piece);
        }
    }
    let of = if whole.is_empty() { &torn } else { &whole };
    match of.len() {
        0 => parts.join(&b' '),
        n => of[random.below(n as u64) as usize].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor::random::Stream;

    fn drawn(text: &str, seeds: u64) -> Vec<String> {
        let t = Tokenizer::train(&[&b"some words, some more words. "[..]], 270).unwrap().framed();
        let frame = t.frame().unwrap();
        let mut ids = Vec::new();
        for (i, part) in text.split('|').enumerate() {
            ids.extend((i > 0).then_some([frame.sep, frame.cls]).into_iter().flatten());
            t.encode_ordinary(part.as_bytes(), &mut ids);
        }
        let of = |seed| String::from_utf8(draw(&ids, &t, &mut Random::new(seed, Stream::Text, 0))).unwrap();
        let mut drawn: Vec<String> = (0..seeds).map(of).collect();
        drawn.sort();
        drawn.dedup();
        drawn
    }

    #[test]
    fn whole_sentences_are_drawn_and_each_at_times() {
        let text = "orn first sentence. This is a whole one. And so is this one! The last is tor";
        assert_eq!(drawn(text, 50), ["And so is this one!", "This is a whole one."]);
        let text = "the end of one text|A text that is whole|Another that is whole\nand torn at its e";
        assert_eq!(drawn(text, 50), ["A text that is whole", "Another that is whole"]);
        assert_eq!(drawn("\nA whole one at the edge.\n", 5), ["A whole one at the edge."]);
        let text = "orn first one. “Is the kettle on?” She asked it twice. It costs 3.";
        assert_eq!(drawn(text, 50), ["She asked it twice.", "“Is the kettle on?”"]);
    }

    #[test]
    fn a_torn_sentence_is_better_than_none_and_any_text_better_than_nothing() {
        assert_eq!(drawn("a long text without any mark", 5), ["a long text without any mark"]);
        assert_eq!(drawn("short|shorter", 5), ["short  shorter"]);
    }
}
