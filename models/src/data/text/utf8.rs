//! Whether a file is UTF-8, found out piece by piece. A tokenizer of bytes learns from any, but who has a file in another
//! encoding should know that a model will write it.

/// What was seen of a file so far.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// Bytes that are known to be whole characters.
    whole: u64,
    /// The beginning of a character that the next piece goes on with, and that piece.
    pending: Vec<u8>,
    /// The first byte that is of no character.
    odd: Option<u64>,
}

impl Utf8 {
    /// Looks at the next piece.
    pub fn look(&mut self, piece: &[u8]) {
        if self.odd.is_some() {
            return;
        }
        self.pending.extend_from_slice(piece);
        let (whole, torn) = match std::str::from_utf8(&self.pending) {
            Ok(text) => (text.len(), true),
            Err(error) => (error.valid_up_to(), error.error_len().is_none()),
        };
        self.whole += whole as u64;
        self.pending.drain(..whole);
        self.odd = (!torn).then_some(self.whole);
    }

    /// After the last piece: where the first byte is that is of no character, from 0.
    pub fn odd(&self) -> Option<u64> {
        self.odd.or((!self.pending.is_empty()).then_some(self.whole))
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    #[test]
    fn the_first_odd_byte_is_found_however_the_text_is_cut() {
        let cases: [(&[u8], Option<u64>); 6] = [
            (b"", None),
            ("größer 🦀".as_bytes(), None),
            (b"gr\xf6\xdfer", Some(2)),
            (b"abc\xff", Some(3)),
            ("ab🦀".as_bytes().split_last().unwrap().1, Some(2)),
            (b"\xc3\xa9\xc3", Some(2)),
        ];
        for (bytes, odd) in cases {
            for size in 1..=bytes.len().max(1) {
                let mut utf8 = Utf8::default();
                bytes.chunks(size).for_each(|piece| utf8.look(piece));
                assert_eq!(utf8.odd(), odd, "{bytes:?} in pieces of {size}");
            }
        }
    }
}
