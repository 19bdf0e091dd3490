//! Bytes as visible characters: how a tokenizer file writes tokens that are not text.
//!
//! A token is any bytes, a JSON string is text. So GPT-2 (Radford et al. 2019, `bytes_to_unicode`) gives each byte a
//! character of its own: the 188 bytes that Latin-1 shows as visible characters stand for themselves, and the
//! others, in order, for the characters from U+0100 on. The space (byte 32) becomes `Ġ`, the newline `Ċ`: hence `Ġthe`
//! for ` the` in every such file.

/// The character that stands for `byte`.
fn stand_in(byte: u8) -> char {
    let is_visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if is_visible(&byte) {
        return char::from(byte);
    }
    let hidden_before = (0..byte).filter(|b| !is_visible(b)).count() as u32;
    char::from_u32(0x100 + hidden_before).expect("at most U+0143")
}

/// Both directions of the alphabet.
pub(crate) struct Alphabet {
    characters: [char; 256],
    bytes: [Option<u8>; 0x144], // the last of the 68 hidden bytes stands at U+0143
}

impl Alphabet {
    pub(crate) fn new() -> Self {
        let mut all = Self { characters: ['\0'; 256], bytes: [None; 0x144] };
        for byte in 0..=255 {
            let c = stand_in(byte);
            all.characters[usize::from(byte)] = c;
            all.bytes[c as usize] = Some(byte);
        }
        all
    }

    /// The bytes as visible characters.
    pub(crate) fn show(&self, token: &[u8]) -> String {
        token.iter().map(|&byte| self.characters[usize::from(byte)]).collect()
    }

    /// The bytes that `shown` stands for; none if a character is not of the alphabet.
    pub(crate) fn read(&self, shown: &str) -> Option<Box<[u8]>> {
        shown.chars().map(|c| self.bytes.get(c as usize).copied().flatten()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_visible_character_of_its_own() {
        let (alphabet, all) = (Alphabet::new(), (0..=255).collect::<Vec<u8>>());
        let shown = alphabet.show(&all);
        assert_eq!(alphabet.read(&shown).as_deref(), Some(&all[..]));
        assert!(shown.chars().all(|c| !c.is_whitespace() && !c.is_control()));
        assert_eq!(alphabet.show(" the\n\u{ad}".as_bytes()), "ĠtheĊÂŃ");
        assert_eq!(alphabet.read("a b"), None);
    }
}
