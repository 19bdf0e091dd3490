//! From documents to ids: in parallel, in pieces, in order.
//!
//! Documents are cut into pieces of about a megabyte at places where cutting does not change the ids, a few pieces
//! for each thread are encoded at once, and their ids are written in the order of the text before the next are
//! begun. So the ids do not depend on the number of threads, and memory does not depend on the length of the text. Where there
//! is no such place for a long time, as in a genome, a piece ends all the same, between two characters.

use std::io;
use std::iter;

use tensor::parallel;
use tokenizer::Tokenizer;

use super::documents::character_at;
use super::shard::{ShardWriter, Totals};

/// Bytes of a piece: enough that starting a task costs nothing beside it, little enough to have several in flight.
pub(super) const PIECE: usize = 1 << 20;
/// Bytes of a piece at most, wherever it ends: the tokens beside such a place may be others than in the whole.
const LONGEST: usize = 64 * PIECE;
/// Units of work in flight for each thread; more than one evens out units that take longer.
const IN_FLIGHT: usize = 4;

/// Part of a document, or all of it.
struct Piece<'a> {
    text: &'a [u8],
    /// Whether another document ends where this piece begins.
    separated: bool,
}

/// Encodes `documents` into `writer` in pieces of about `size` bytes, with what the tokenizer has to stand between
/// documents. `progress` is told how many bytes were done since it was last called.
pub(super) fn encode<'a>(
    documents: impl Iterator<Item = &'a [u8]>,
    tokenizer: &Tokenizer,
    size: usize,
    writer: &mut ShardWriter,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Totals> {
    let mut totals = Totals::default();
    let mut pieces = documents.enumerate().flat_map(|(i, document)| cut(document, tokenizer, [size, LONGEST], i > 0));
    let mut first = true;
    loop {
        let in_flight = IN_FLIGHT * parallel::threads();
        let units: Vec<Vec<Piece>> = (0..in_flight).map_while(|_| unit(&mut pieces, size)).collect();
        if units.is_empty() {
            return Ok(totals);
        }
        let ids: Vec<Vec<u32>> = parallel::map(&units, |unit| encode_unit(unit, tokenizer));
        ids.iter().try_for_each(|ids| writer.push(ids))?;
        let mut bytes = 0;
        for piece in units.iter().flatten() {
            bytes += piece.text.len() as u64;
            totals.documents += u64::from(piece.separated || first);
            first = false;
        }
        totals.bytes += bytes;
        progress(bytes);
    }
}

/// How many ids a document becomes, encoded in pieces on all threads: what a benchmark times.
pub fn count_tokens(document: &[u8], tokenizer: &Tokenizer) -> usize {
    let pieces: Vec<Piece> = cut(document, tokenizer, [PIECE, LONGEST], false).collect();
    let count = |piece: &Piece| {
        let mut ids = Vec::new();
        tokenizer.encode_ordinary(piece.text, &mut ids);
        ids.len()
    };
    parallel::map(&pieces, count).iter().sum()
}

/// A document in pieces of at least `size` bytes and at most `longest`, the last one shorter.
fn cut<'a>(
    document: &'a [u8],
    tokenizer: &Tokenizer,
    [size, longest]: [usize; 2],
    mut separated: bool,
) -> impl Iterator<Item = Piece<'a>> {
    let mut rest = document;
    iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let near = &rest[..rest.len().min(longest)];
        let at = if rest.len() <= size { rest.len() } else { tokenizer.cut(near, size) };
        let at = Some(character_at(rest, at)).filter(|&at| at > 0).unwrap_or(at);
        let text;
        (text, rest) = rest.split_at(at);
        Some(Piece { text, separated: std::mem::take(&mut separated) })
    })
}

/// The next pieces that have `size` bytes together, so that many short documents are one unit of work.
fn unit<'a>(pieces: &mut impl Iterator<Item = Piece<'a>>, size: usize) -> Option<Vec<Piece<'a>>> {
    let mut unit = Vec::new();
    let mut bytes = 0;
    while bytes < size
        && let Some(piece) = pieces.next()
    {
        bytes += piece.text.len();
        unit.push(piece);
    }
    (!unit.is_empty()).then_some(unit)
}

fn encode_unit(unit: &[Piece], tokenizer: &Tokenizer) -> Vec<u32> {
    let (mut ids, between) = (Vec::new(), tokenizer.between());
    for piece in unit {
        if piece.separated {
            ids.extend_from_slice(&between);
        }
        tokenizer.encode_ordinary(piece.text, &mut ids);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::super::shard::Shard;
    use super::*;
    use tensor::random::{Random, Stream};

    #[test]
    fn a_text_without_a_place_to_cut_is_cut_between_characters() {
        let text = "añ€𝄞".repeat(50);
        let tokenizer = Tokenizer::train(&[text.as_bytes()], 300).unwrap();
        let pieces: Vec<_> = cut(text.as_bytes(), &tokenizer, [9, 33], false).map(|piece| piece.text).collect();
        assert_eq!(pieces.concat(), text.as_bytes());
        assert!(pieces.iter().all(|piece| piece.len() <= 33 && std::str::from_utf8(piece).is_ok()));
        assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() > 29), "no shorter than need be");
        let bytes = [0x80; 100]; // no text at all
        assert_eq!(
            cut(&bytes, &tokenizer, [9, 33], false).map(|piece| piece.text.len()).collect::<Vec<_>>(),
            [33, 33, 33, 1]
        );
    }

    fn encoded(documents: &[Vec<u8>], tokenizer: &Tokenizer, size: usize) -> (Vec<u32>, Totals) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard");
        let mut writer = ShardWriter::create(dir.path(), tokenizer.vocab_size()).unwrap();
        let mut told = 0;
        let documents = documents.iter().map(Vec::as_slice);
        let totals = encode(documents, tokenizer, size, &mut writer, &mut |bytes| told += bytes).unwrap();
        assert_eq!(told, totals.bytes);
        writer.finish(&path, &[0; 32], totals).unwrap();
        let shard = Shard::open(&path, &[0; 32], tokenizer.vocab_size()).unwrap();
        let mut ids = vec![0; shard.tokens() as usize];
        shard.read(0, &mut ids);
        (ids, shard.totals())
    }

    /// Documents of words and odd bytes, some of one byte, from a few letters so that merges happen.
    fn some_documents(seed: u64) -> Vec<Vec<u8>> {
        let mut r = Random::new(seed, Stream::Other, 0);
        let letters = b"eeerrrtthhaa   \n\n.,'0123\xc3\xa9\xff<|";
        let document = |r: &mut Random| {
            let len = if r.below(4) == 0 { 1 } else { 1 + r.below(600) };
            (0..len).map(|_| letters[r.below(letters.len() as u64) as usize]).collect()
        };
        (0..r.below(8)).map(|_| document(&mut r)).collect()
    }

    #[test]
    fn text_in_pieces_has_the_ids_of_the_whole_for_any_size_and_number_of_threads() {
        let training = some_documents(0).concat().repeat(4);
        let learned = Tokenizer::train(&[&training], 290).unwrap();
        for (seed, tokenizer) in (0..20).flat_map(|seed| [(seed, Tokenizer::bytes()), (seed, learned.clone())]) {
            let documents = some_documents(seed);
            let mut whole = Vec::new();
            for (i, document) in documents.iter().enumerate() {
                whole.extend(tokenizer.end_of_text().filter(|_| i > 0));
                tokenizer.encode_ordinary(document, &mut whole);
            }
            let bytes = documents.iter().map(|d| d.len() as u64).sum();
            let totals = Totals { documents: documents.len() as u64, bytes, ..Totals::default() };
            for (size, threads) in [(1, 1), (7, 3), (64, 2), (1000, 1), (PIECE, 2)] {
                let found = parallel::with_threads(threads, || encoded(&documents, &tokenizer, size));
                assert_eq!(found, (whole.clone(), totals), "seed {seed}, pieces of {size}, {threads} threads");
            }
        }
    }

    #[test]
    fn no_more_pieces_are_taken_than_are_in_flight() {
        let taken = std::cell::Cell::new(0);
        let document = vec![b'a'; 10];
        let documents = (0..100_000).map(|_| {
            taken.set(taken.get() + document.len() as u64);
            document.as_slice()
        });
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ShardWriter::create(dir.path(), 256).unwrap();
        let (mut done, mut most) = (0, 0);
        let mut progress = |bytes| {
            done += bytes;
            most = most.max(bytes).max(taken.get() - done);
        };
        encode(documents, &Tokenizer::bytes(), 100, &mut writer, &mut progress).unwrap();
        assert_eq!(most, (IN_FLIGHT * parallel::threads() * 100) as u64);
    }
}
