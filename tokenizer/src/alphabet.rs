//! Bytes as printable characters: how tokenizer.json writes tokens that need not be valid text.
//!
//! GPT-2's convention: a byte that is printable in Latin-1 stands for itself, the other 68 for the characters from
//! U+0100 on, in order. So a space is written Ġ.

/// The character that stands for a byte.
pub(crate) fn char_of(byte: u8) -> char {
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(0x100 + before).expect("68 characters from U+0100 on are letters")
}

/// The byte that a character stands for.
pub(crate) fn byte_of(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        0..=0xFF => Some(code as u8).filter(|&byte| printable(byte)),
        _ => (0..=255).filter(|&byte| !printable(byte)).nth(code.checked_sub(0x100)? as usize),
    }
}

fn printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// A token's bytes as they stand in tokenizer.json.
pub(crate) fn written(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char_of(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        assert!((0..=255).all(|byte| byte_of(char_of(byte)) == Some(byte)));
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(b'a')), ('Ġ', 'Ċ', 'a'));
        assert_eq!(byte_of('€'), None);
        assert_eq!(byte_of(' '), None);
    }
}
