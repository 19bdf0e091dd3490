//! Texts as rows of tokens.
//!
//! Texts of many lengths are packed into rows, one after another, and do not see each other there; so a batch costs what
//! its texts cost and next to no padding.

use std::ops::Range;

use autograd::PADDING;
use tensor::Tensor;
use tokenizer::{Slot, Template, Tokenizer};

use super::Batch;
use crate::nn::Value;

/// A text as a model of `block` positions knows texts: within what stands around it, see [`template`]. Of more tokens than the
/// model sees the first are taken.
pub fn ids(tokenizer: &Tokenizer, block: usize, text: &str) -> Ids {
    let mut ids = Vec::new();
    tokenizer.encode_ordinary(text.as_bytes(), &mut ids);
    framed(tokenizer, block, ids)
}

/// The token that ends a line, which stands for a mark where a tokenizer has none.
pub fn line_end(tokenizer: &Tokenizer) -> u32 {
    let mut ids = Vec::new();
    tokenizer.encode_ordinary(b"\n", &mut ids);
    ids.last().copied().unwrap_or(0) // BERT's has marks, and takes no line's end for a token
}

/// The same of a text that is ids already.
pub(crate) fn framed(tokenizer: &Tokenizer, block: usize, mut text: Vec<u32>) -> Ids {
    let Template { single, .. } = template(tokenizer);
    let marks = single.iter().filter(|slot| matches!(slot, Slot::Token(..))).count();
    let room = block.saturating_sub(marks);
    let cut = text.len() > room;
    text.truncate(room);
    let mut ids = Template::filled(&single, &text, &[]).ids;
    if ids.is_empty() {
        ids.push(line_end(tokenizer)); // a model of bytes has no mark, and an empty text is one as well
    }
    Ids { ids, cut }
}

/// What stands around a text, and around a question and its text, as a model of this tokenizer reads them: the tokenizer's own
/// template; or else its frame, or the mark that ends the text before, with a line's end between question and text.
pub fn template(tokenizer: &Tokenizer) -> Template {
    if let Some(template) = tokenizer.template() {
        return template.clone();
    }
    if let Some(frame) = tokenizer.frame() {
        return Template::bert(frame.cls, frame.sep);
    }
    let tokens = |ids: Vec<u32>| ids.into_iter().map(|id| Slot::Token(id, 0)).collect::<Vec<_>>();
    let mut line_end = Vec::new();
    tokenizer.encode_ordinary(b"\n", &mut line_end);
    let line_end = tokens(line_end);
    let mark = tokens(tokenizer.end_of_text().into_iter().collect());
    let open = if mark.is_empty() { &line_end } else { &mark };
    Template {
        pair: [&open[..], &[Slot::First(0)], &line_end, &[Slot::Second(0)]].concat(),
        single: [&mark[..], &[Slot::First(0)]].concat(),
    }
}

/// The same tokenizer with nothing around a text that its file does not ask for: so are models read that others fine-tuned.
pub(crate) fn as_told(tokenizer: Tokenizer) -> Tokenizer {
    match tokenizer.template() {
        Some(_) => tokenizer,
        None => {
            let single = vec![Slot::First(0)];
            let pair = vec![Slot::First(0), Slot::Second(0)];
            tokenizer.with_template(Some(Template { single, pair }))
        }
    }
}

/// The same tokenizer with this template in its file, so that others give the model the ids that it was trained with.
pub fn as_read(tokenizer: &Tokenizer) -> Tokenizer {
    tokenizer.clone().with_template(Some(template(tokenizer)))
}

/// A text as ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Ids {
    /// Its ids.
    pub ids: Vec<u32>,
    /// Whether it was longer than the model sees.
    pub cut: bool,
}

/// Texts in rows, one after another.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The rows.
    pub batch: Batch,
    /// The positions of each text among the batch's.
    pub texts: Vec<Range<usize>>,
}

impl Packed {
    /// Packs texts, none of them longer than `block`, into rows of at most `block` positions: rows as long as leave least room
    /// empty, the longest texts first, each into the first row that has room for it.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a [u32]>, block: usize) -> Self {
        let texts: Vec<&[u32]> = texts.into_iter().collect();
        let longest = texts.iter().map(|ids| ids.len()).max().unwrap_or(0);
        assert!(longest <= block, "packed: a text of {longest} tokens in rows of {block}");
        let sum = texts.iter().map(|ids| ids.len()).sum::<usize>();
        let most = sum.min(block); // one short row for a few short texts
        let mut longest_first: Vec<usize> = (0..texts.len()).filter(|&i| !texts[i].is_empty()).collect();
        longest_first.sort_by_key(|&i| std::cmp::Reverse(texts[i].len()));
        let lengths = (0..=SIZES).map(|i| longest + (most - longest) * i / SIZES);
        let tried = lengths.map(|length| first_fit(&texts, &longest_first, length));
        let Rows { rows, length, starts } = tried.min_by_key(|tried| tried.rows * tried.length).expect("one at least");

        let (mut batch, positions) = (Batch { rows, ..Batch::new() }, rows * length);
        batch.ids.resize(positions, 0);
        batch.position_ids.resize(positions, PADDING);
        batch.targets.resize(positions, autograd::IGNORE);
        let place = |(ids, start): (&&[u32], usize)| start..start + ids.len();
        let places: Vec<Range<usize>> = texts.iter().zip(starts).map(place).collect();
        for (ids, place) in texts.iter().zip(&places) {
            batch.ids[place.clone()].copy_from_slice(ids);
            batch.position_ids[place.clone()].iter_mut().zip(0..).for_each(|(place, i)| *place = i);
        }
        Self { batch, texts: places }
    }

    /// The same texts with the segment of each of their tokens: the first or the second text of a pair.
    #[must_use]
    pub fn with_segments<'a>(mut self, segments: impl IntoIterator<Item = &'a [u32]>) -> Self {
        self.batch.segments.resize(self.batch.ids.len(), 0);
        for (place, segments) in self.texts.iter().zip(segments) {
            self.batch.segments[place.clone()].copy_from_slice(segments);
        }
        self
    }
}

/// Lengths of rows that are tried beside that of the longest text.
const SIZES: usize = 8;

/// Texts in rows: how many there are of which length, and at which position of them all each text begins.
struct Rows {
    rows: usize,
    length: usize,
    starts: Vec<usize>,
}

/// Texts in rows of `length` positions, in this order, each where the first row has room. With the longest first that takes
/// at most 11/9 of the fewest rows possible, and one more (Johnson 1973; with so little more Yue 1991, "A Simple Proof of
/// the Inequality FFD(L) ≤ 11/9 OPT(L) + 1").
fn first_fit(texts: &[&[u32]], order: &[usize], length: usize) -> Rows {
    let (mut filled, mut starts) = (Vec::new(), vec![0; texts.len()]);
    for &i in order {
        let fits = filled.iter().position(|filled| filled + texts[i].len() <= length);
        let at = fits.unwrap_or_else(|| {
            filled.push(0);
            filled.len() - 1
        });
        starts[i] = at * length + filled[at];
        filled[at] += texts[i].len();
    }
    Rows { rows: filled.len(), length, starts }
}

/// The mean of each of n texts' rows, of which `texts` has the numbers: `[N, C]` → `[n, C]`.
pub fn mean<'t>(x: Value<'t>, texts: &[Range<usize>]) -> Value<'t> {
    // The mean of some rows is a product with a matrix that has 1/length at these rows.
    let all = x.shape().rows();
    let mut weights = Tensor::zeros([texts.len(), all]);
    for (row, text) in weights.data_mut().chunks_exact_mut(all).zip(texts) {
        row[text.clone()].fill(1.0 / text.len() as f32);
    }
    x.tape().constant(weights).matmul(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<Vec<u32>> {
        [5, 3, 8, 1, 2].iter().map(|&n| (0..n).map(|i| (7 * i + n) % 20).collect()).collect()
    }

    #[test]
    fn texts_are_packed_with_next_to_no_padding_and_none_is_torn() {
        let texts = texts();
        let packed = Packed::new(texts.iter().map(Vec::as_slice), 8);
        assert_eq!((packed.batch.rows, packed.batch.ids.len()), (3, 24));
        assert_eq!(packed.texts, [8..13, 13..16, 0..8, 18..19, 16..18]);
        for (text, place) in texts.iter().zip(&packed.texts) {
            assert_eq!(packed.batch.ids[place.clone()], text[..]);
        }
        assert_eq!(packed.batch.position_ids[16..20], [0, 1, 0, PADDING]);
        // Of a block of 128: texts of 82 tokens in rows of 82, long texts with short ones behind them, short rows for few.
        let padded = |lengths: &[usize]| {
            let ids: Vec<Vec<u32>> = lengths.iter().map(|&n| vec![1; n]).collect();
            let Packed { batch, .. } = Packed::new(ids.iter().map(Vec::as_slice), 128);
            (batch.ids.len() / batch.rows, batch.ids.len() - lengths.iter().sum::<usize>())
        };
        assert_eq!(padded(&[82; 64]), (82, 0));
        assert_eq!(padded(&[[28; 9], [100; 9]].concat()), (128, 0));
        assert_eq!(padded(&[3, 5, 2]), (5, 0));
        let (row, none) = padded(&(1..=128).collect::<Vec<_>>());
        assert!(row == 128 && none < 128, "{none}");
    }

    #[test]
    fn what_stands_around_a_text_is_what_the_file_says_and_else_the_usual() {
        let plain = Tokenizer::train(&[b"a text of some words, a text"], 262).unwrap();
        let end = plain.end_of_text().unwrap();
        let of = |tokenizer: &Tokenizer, text: &str| ids(tokenizer, 9, text).ids;
        let told = as_told(plain.clone());
        assert_eq!(of(&plain, "a text"), [&[end][..], &of(&told, "a text")].concat());
        assert_eq!(of(&as_read(&plain), "a text"), of(&as_told(as_read(&plain)), "a text"), "it is in the file now");
        let framed = plain.framed();
        let frame = framed.frame().unwrap();
        let long = ids(&framed, 9, &"words ".repeat(9));
        assert_eq!((long.ids[0], long.ids[8], long.ids.len(), long.cut), (frame.cls, frame.sep, 9, true));
        assert_eq!(of(&Tokenizer::bytes(), ""), [10], "a model of bytes has no mark");
    }

    #[test]
    fn a_text_without_ids_takes_no_place() {
        let texts: [&[u32]; 3] = [&[], &[1, 2], &[]];
        assert_eq!(Packed::new(texts, 8).texts, [0..0, 0..2, 0..0]);
        assert_eq!(Packed::new([&[][..]], 8).batch.rows, 0);
    }
}
