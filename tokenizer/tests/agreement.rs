//! The ids are those of the `tokenizers` package. `fixtures/make.py` made the file and the ids, and says how.

use serde_json::Value;
use tokenizer::{Special, Tokenizer, reference};

const TOKENIZER: &str = include_str!("fixtures/tokenizer.json");
const IDS: &str = include_str!("fixtures/ids.json");

/// The texts of the fixture, each with its ids.
fn texts() -> Vec<(String, Vec<u32>)> {
    let table: Vec<Value> = serde_json::from_str(IDS).expect("the fixture is JSON");
    let ids =
        |row: &Value| row["ids"].as_array().expect("ids").iter().map(|id| id.as_u64().expect("an id") as u32).collect();
    table.iter().map(|row| (row["text"].as_str().expect("a text").to_owned(), ids(row))).collect()
}

#[test]
fn ids_are_those_of_the_tokenizers_package() {
    let tokenizer = Tokenizer::from_json(TOKENIZER).unwrap();
    let written = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
    assert!(texts().len() > 40);
    for (text, ids) in texts() {
        for tokenizer in [&tokenizer, &written] {
            assert_eq!(tokenizer.encode(text.as_bytes(), Special::Allow).unwrap(), ids, "{text:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), text.as_bytes());
        }
    }
}

#[test]
fn the_slow_encoder_gives_the_ids_of_the_tokenizers_package_too() {
    let tokenizer = Tokenizer::from_json(TOKENIZER).unwrap();
    let id_of =
        |byte: usize| (0..).find(|&id| tokenizer.token(id) == Some(&[byte as u8])).expect("a token for each byte");
    let byte_ids = std::array::from_fn(id_of);
    for (text, ids) in texts().into_iter().filter(|(text, _)| !text.contains("<|end")) {
        assert_eq!(reference::encode(&byte_ids, tokenizer.merges(), text.as_bytes()), ids, "{text:?}");
    }
}

#[test]
fn special_tokens_of_a_file_are_known_by_name() {
    let tokenizer = Tokenizer::from_json(TOKENIZER).unwrap();
    assert_eq!(tokenizer.specials(), [("<|endoftext|>", 0), ("<|end|>", 1)]);
    assert_eq!(
        (tokenizer.end_of_text(), tokenizer.special("<|end|>"), tokenizer.special("the")),
        (Some(0), Some(1), None)
    );
}
