//! Masked prediction: some tokens of a text are hidden, and the model finds them again from what stands on both sides.
//!
//! Of every row a share of the tokens is chosen, 15% as a rule. Of these 80% are replaced by \[MASK\], 10% by a random
//! token, and 10% stay as they are: a model that is used later never sees \[MASK\], so it must not learn that only
//! such places matter (Devlin et al. 2019, section 3.1 and appendix A.1). The frame of a text, \[CLS\] and \[SEP\], and
//! padding are never chosen. Which tokens, and what becomes of them, is drawn anew at every visit (Liu et al. 2019,
//! section 4.1), from (seed, step, row).
//!
//! What is chosen is single tokens; or whole words, since the rest of a word that a tokenizer cut up gives its hidden
//! piece away (BERT's later release); or spans of words, which ask for more than one word at a time (Joshi et al. 2020,
//! "SpanBERT", section 3.1).

use std::ops::Range;

use autograd::{IGNORE, PADDING};
use serde::{Deserialize, Serialize};
use tensor::random::Random;
use tokenizer::{Frame, Tokenizer};

use super::Batch;

/// The share of a text's tokens that BERT chooses.
pub const MASK_SHARE: f64 = 0.15;
/// The share of the chosen that \[MASK\] hides; of the rest, one half gets a random token and one half stays.
const HIDDEN: f64 = 0.8;
/// The probability that a span ends with each of its words, and its most words (SpanBERT's, whose mean is 3.8 words).
const SPAN_ENDS: f64 = 0.2;
const SPAN_WORDS: usize = 10;

/// What is hidden together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Each token for itself.
    #[default]
    Token,
    /// The tokens of a word.
    Word,
    /// Some words in a row.
    Span,
}

/// How tokens are chosen and hidden.
#[derive(Clone, Copy, Debug)]
pub struct Masking<'a> {
    /// Who knows where words begin.
    pub tokenizer: &'a Tokenizer,
    /// The tokens that frame a text.
    pub frame: Frame,
    /// The share that is chosen.
    pub share: f64,
    /// What is chosen together.
    pub unit: Unit,
}

impl Masking<'_> {
    /// Adds a row of texts in their frames to a batch, some of its tokens hidden as `random` says; what was hidden is the
    /// target. At least one token is chosen, if there is one outside the frames.
    pub fn push(&self, batch: &mut Batch, row: &[u32], mut random: Random) {
        let first = batch.ids.len();
        batch.push_text(row, self.frame);
        let chosen = self.choose(row, &mut random);
        for at in chosen {
            batch.targets[first + at] = row[at];
            let draw = random.uniform();
            batch.ids[first + at] = if draw < HIDDEN {
                self.frame.mask
            } else if draw < HIDDEN + (1.0 - HIDDEN) / 2.0 {
                self.any_token(&mut random)
            } else {
                row[at]
            };
        }
    }

    /// A token outside the frame, each as likely.
    fn any_token(&self, random: &mut Random) -> u32 {
        loop {
            let id = random.below(self.tokenizer.vocab_size() as u64) as u32;
            if !self.frame.holds(id) {
                return id;
            }
        }
    }

    /// The chosen places of a row.
    fn choose(&self, row: &[u32], random: &mut Random) -> Vec<usize> {
        if self.unit != Unit::Token {
            let spans = self.spans(row, random);
            let wanted = self.wanted(spans.iter().flatten().map(Range::len).sum(), random);
            return words_of(spans, wanted, random);
        }
        let mut places: Vec<usize> = (0..row.len()).filter(|&at| !self.frame.holds(row[at])).collect();
        let wanted = self.wanted(places.len(), random);
        // The beginning of a shuffle (Fisher and Yates): each place is drawn from those that are left.
        for i in 0..wanted {
            let j = i + random.below((places.len() - i) as u64) as usize;
            places.swap(i, j);
        }
        places.truncate(wanted);
        places
    }

    /// The share of so many tokens: at least one, and rounded up or down as chance will have it, so that it is right on
    /// average in short rows too.
    fn wanted(&self, tokens: usize, random: &mut Random) -> usize {
        let wanted = (self.share * tokens as f64 + random.uniform()).floor().max(1.0) as usize;
        wanted.min(tokens)
    }

    /// The row as spans of words, which for whole words are of one word each; what belongs to a frame is in none.
    fn spans(&self, row: &[u32], random: &mut Random) -> Vec<Vec<Range<usize>>> {
        let mut spans = Vec::new();
        let mut start = 0;
        for text in row.split_inclusive(|&id| self.frame.holds(id)) {
            let framed = text.last().is_some_and(|&id| self.frame.holds(id));
            let mut words = self.words(&text[..text.len() - usize::from(framed)], start).into_iter().peekable();
            while words.peek().is_some() {
                let length = if self.unit == Unit::Span { span_length(random) } else { 1 };
                spans.push(words.by_ref().take(length).collect());
            }
            start += text.len();
        }
        spans
    }

    /// The words of a run of tokens, which begins at place `start` of its row.
    fn words(&self, tokens: &[u32], start: usize) -> Vec<Range<usize>> {
        let moved = |word: Range<usize>| start + word.start..start + word.end;
        self.tokenizer.words_of(tokens).into_iter().map(moved).collect()
    }
}

/// The tokens of whole words, about `wanted` of all. The spans are laid on a ring in a random order, and an arc of `wanted`
/// tokens on it begins anywhere: so each token is in it as likely as any other, however long its span. The arc may cut the
/// spans at its two ends, and a word there is taken with the probability of its part within: so the share is right on
/// average, and no length of words preferred. (An arc of two tokens that has one of a word's three takes that word in one of
/// three cases.)
///
/// An arc that takes no word is drawn anew. That is why more than the share is hidden of rows so short that one word is more
/// than `wanted`.
fn words_of(mut spans: Vec<Vec<Range<usize>>>, wanted: usize, random: &mut Random) -> Vec<usize> {
    random.shuffle(&mut spans);
    let tokens: usize = spans.iter().flatten().map(Range::len).sum();
    let mut chosen = Vec::with_capacity(wanted);
    while chosen.is_empty() && tokens > 0 {
        let arc = |at: usize| at % tokens < wanted; // counted around the ring from the arc's beginning on
        let mut first = random.below(tokens as u64) as usize; // where the next word's first token is
        for word in spans.iter().flatten() {
            let within = (first..first + word.len()).filter(|&at| arc(at)).count();
            if random.uniform() * (word.len() as f64) < within as f64 {
                chosen.extend(word.clone());
            }
            first += word.len();
        }
    }
    chosen
}

/// How many words a span has: a coin that shows heads one time in five ends it, and what is longer than ten is thrown again.
fn span_length(random: &mut Random) -> usize {
    loop {
        let words = 1 + (0..SPAN_WORDS).take_while(|_| random.uniform() >= SPAN_ENDS).count();
        if words <= SPAN_WORDS {
            return words;
        }
    }
}

impl Batch {
    /// Adds a row of texts, each from its \[CLS\] to the next, without targets.
    pub fn push_text(&mut self, row: &[u32], frame: Frame) {
        let mut place = 0;
        for &id in row {
            place = if id == frame.cls || id == frame.pad { 0 } else { place };
            self.position_ids.push(if id == frame.pad { PADDING } else { place });
            place += 1;
        }
        self.ids.extend_from_slice(row);
        self.targets.resize(self.ids.len(), IGNORE);
        self.rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor::random::Stream;

    fn tokenizer() -> Tokenizer {
        let text = b"the little cat sat on the table; the cats were sitting on tables, and so it went on. ".repeat(4);
        Tokenizer::train(&[&text], 300).unwrap().framed()
    }

    /// A row of two texts with padding after them, about 200 tokens of words cut into several.
    fn row(t: &Tokenizer) -> Vec<u32> {
        let frame = t.frame().unwrap();
        let mut row = vec![frame.cls];
        t.encode_ordinary(&b"the cathedral stables went unsettled; ".repeat(8), &mut row);
        row.extend([frame.sep, frame.cls]);
        t.encode_ordinary(&b"on a littler table, so it seems. ".repeat(4), &mut row);
        row.push(frame.sep);
        row.extend([frame.pad; 7]);
        row
    }

    fn masked(t: &Tokenizer, unit: Unit, share: f64, step: u64) -> Batch {
        let masking = Masking { tokenizer: t, frame: t.frame().unwrap(), share, unit };
        let mut batch = Batch::new();
        masking.push(&mut batch, &row(t), Random::new(1, Stream::Mask, step));
        batch
    }

    #[test]
    fn the_share_and_the_three_fates_are_those_of_the_paper() {
        let (t, rows) = (tokenizer(), 4000u64);
        let (row, frame) = (row(&t), t.frame().unwrap());
        let mut counts = [0.0f64; 4]; // chosen; of these hidden, replaced, kept
        for step in 0..rows {
            let batch = masked(&t, Unit::Token, 0.15, step);
            for (at, &target) in batch.targets.iter().enumerate().filter(|(_, target)| **target != IGNORE) {
                assert!(target == row[at] && !frame.holds(target));
                let fate = if batch.ids[at] == frame.mask { 1 } else { 3 - usize::from(batch.ids[at] != target) };
                (counts[0], counts[fate]) = (counts[0] + 1.0, counts[fate] + 1.0);
            }
        }
        let tokens = (rows as usize * row.iter().filter(|&&id| !frame.holds(id)).count()) as f64;
        let [chosen, hidden, replaced, kept] = counts;
        // Each within five deviations of a binomial; a random token is by chance the old one in one of about 300.
        let within = |part: f64, whole: f64, p: f64| (part / whole - p).abs() < 5.0 * (p * (1.0 - p) / whole).sqrt();
        let same = 0.1 / (t.vocab_size() - 4) as f64;
        assert!(within(chosen, tokens, 0.15), "{chosen} of {tokens}");
        assert!(
            within(hidden, chosen, 0.8) && within(replaced, chosen, 0.1 - same) && within(kept, chosen, 0.1 + same)
        );
    }

    #[test]
    fn every_place_is_as_likely_and_any_token_may_stand_there() {
        let (t, rows) = (tokenizer(), 4000u64);
        let (row, frame) = (row(&t), t.frame().unwrap());
        let (mut chosen, mut put) = (vec![0.0f64; row.len()], vec![false; t.vocab_size()]);
        for step in 0..rows {
            let batch = masked(&t, Unit::Token, 0.15, step);
            for at in (0..row.len()).filter(|&at| batch.targets[at] != IGNORE) {
                chosen[at] += 1.0;
                put[batch.ids[at] as usize] |= batch.ids[at] != row[at];
            }
        }
        let error = (0.15 * 0.85 / rows as f64).sqrt();
        for (at, _) in row.iter().enumerate().filter(|(_, id)| !frame.holds(**id)) {
            assert!((chosen[at] / rows as f64 - 0.15).abs() < 5.0 * error, "{at}: {} of {rows}", chosen[at]);
        }
        for id in 0..t.vocab_size() as u32 {
            assert_eq!(put[id as usize], id == frame.mask || !frame.holds(id), "{id}");
        }
    }

    #[test]
    fn masks_are_drawn_anew_at_every_step_and_the_same_when_it_is_repeated() {
        let t = tokenizer();
        assert_eq!(masked(&t, Unit::Token, 0.15, 3), masked(&t, Unit::Token, 0.15, 3));
        assert_ne!(masked(&t, Unit::Token, 0.15, 3), masked(&t, Unit::Token, 0.15, 4));
    }

    #[test]
    fn whole_words_are_hidden_whole() {
        let t = tokenizer();
        let (row, frame) = (row(&t), t.frame().unwrap());
        // The words of each text, by the tokenizer's own rule on its bytes.
        let mut words = Vec::new();
        let mut start = 0;
        for text in row.split_inclusive(|&id| frame.holds(id)) {
            let mut at = start;
            let ids: Vec<u32> = text.iter().copied().filter(|&id| !frame.holds(id)).collect();
            for word in tokenizer::words(&t.decode(&ids).unwrap()) {
                let mut ids = Vec::new();
                t.encode_ordinary(word, &mut ids);
                words.push(at..at + ids.len());
                at += ids.len();
            }
            start += text.len();
        }
        assert!(words.iter().any(|word| word.len() > 2), "words of several tokens");
        for (step, unit) in (0..200).flat_map(|step| [(step, Unit::Word), (step, Unit::Span)]) {
            let batch = masked(&t, unit, 0.15, step);
            for word in &words {
                let hidden = word.clone().filter(|&at| batch.targets[at] != IGNORE).count();
                assert!(hidden == 0 || hidden == word.len(), "{unit:?}: {hidden} tokens of a word of {}", word.len());
            }
        }
    }

    /// Rows of `inside` tokens in a frame, each from another place of a text of words of one to three tokens.
    fn short_row(t: &Tokenizer, inside: usize, from: u64) -> Vec<u32> {
        let mut ids = Vec::new();
        t.encode_ordinary(
            &b"the cat sat on the tables, and so it went on and on; the little cats went. ".repeat(9),
            &mut ids,
        );
        let frame = t.frame().unwrap();
        let from = from as usize % (ids.len() - inside);
        [&[frame.cls][..], &ids[from..from + inside], &[frame.sep]].concat()
    }

    #[test]
    fn the_share_is_right_in_short_rows_too() {
        let (t, rows) = (tokenizer(), 4000u64);
        for (unit, inside) in
            [Unit::Token, Unit::Word, Unit::Span].into_iter().flat_map(|u| [12, 40, 126].map(|n| (u, n)))
        {
            let masking = Masking { tokenizer: &t, frame: t.frame().unwrap(), share: 0.15, unit };
            let counts = (0..rows).map(|step| {
                let row = short_row(&t, inside, step);
                masking.choose(&row, &mut Random::new(1, Stream::Mask, step)).len() as f64
            });
            let counts: Vec<f64> = counts.collect();
            let mean = counts.iter().sum::<f64>() / rows as f64;
            let variance = counts.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / rows as f64;
            let (share, error) = (mean / inside as f64, (variance / rows as f64).sqrt() / inside as f64);
            // Where a word may be more than the share of the row, one is hidden all the same.
            let more = if unit != Unit::Token && inside == 12 { 0.015 } else { 0.0 };
            let error = error + 1e-9; // of 40 tokens 6 are hidden always
            let right = share > 0.15 - 5.0 * error && share < 0.15 + more + 5.0 * error;
            assert!(right, "{unit:?} in {inside}: {share} ± {error}");
        }
    }

    #[test]
    fn a_word_is_as_likely_hidden_whatever_its_length_and_spans_have_the_published_lengths() {
        let (t, rows) = (tokenizer(), 4000u64);
        let row = short_row(&t, 60, 0);
        for unit in [Unit::Word, Unit::Span] {
            let masking = Masking { tokenizer: &t, frame: t.frame().unwrap(), share: 0.15, unit };
            let mut hidden = [[0.0f64; 2]; 4]; // by the tokens of a word: words, and those of them that are hidden
            for step in 0..rows {
                let chosen = masking.choose(&row, &mut Random::new(1, Stream::Mask, step));
                for word in masking.words(&row[1..61], 1) {
                    let of = &mut hidden[word.len().min(3)];
                    *of = [of[0] + 1.0, of[1] + f64::from(u8::from(chosen.contains(&word.start)))];
                }
            }
            for [words, hidden] in hidden.into_iter().filter(|[words, _]| *words > 0.0) {
                let error = (0.15 * 0.85 / words).sqrt();
                assert!((hidden / words - 0.15).abs() < 5.0 * error, "{unit:?}: {hidden} of {words}");
            }
        }
        let mut random = Random::new(1, Stream::Mask, 0);
        let lengths: Vec<usize> = (0..20_000).map(|_| span_length(&mut random)).collect();
        let share = |n: usize| lengths.iter().filter(|&&length| length == n).count() as f64 / lengths.len() as f64;
        let all = 1.0 - 0.8f64.powi(10);
        (1..=10).for_each(|n| assert!((share(n) - 0.2 * 0.8f64.powi(n as i32 - 1) / all).abs() < 0.015, "{n}"));
        assert_eq!(lengths.iter().max(), Some(&10));
    }

    #[test]
    fn places_begin_with_each_text_and_padding_has_none() {
        let frame = Frame { pad: 0, cls: 1, sep: 2, mask: 3 };
        let mut batch = Batch::new();
        batch.push_text(&[1, 9, 2, 1, 8, 7, 2, 0, 0], frame);
        assert_eq!(batch.position_ids, [0, 1, 2, 0, 1, 2, 3, PADDING, PADDING]);
    }
}
