//! Every kind of tokenizer gives the ids of the `tokenizers` package, on more than 2,000 texts and on every code point.
//! `fixtures/make.py` recorded them, and says what stands in each file.

use serde_json::Value;
use tokenizer::{Special, Tokenizer};

/// A kind: its tokenizer file, and what the package does with it.
struct Kind {
    name: &'static str,
    json: &'static str,
    recorded: &'static str,
}

macro_rules! kind {
    ($name:literal) => {
        Kind {
            name: $name,
            json: include_str!(concat!("fixtures/", $name, ".json")),
            recorded: include_str!(concat!("fixtures/", $name, ".ids.json")),
        }
    };
}

const KINDS: [Kind; 5] = [kind!("gpt2"), kind!("roberta"), kind!("clip"), kind!("bert"), kind!("bert-cased")];

impl Kind {
    /// As the file has it, and as it is after being written and read here.
    fn tokenizers(&self) -> [Tokenizer; 2] {
        let read = Tokenizer::from_json(self.json).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let written = Tokenizer::from_json(&read.to_json()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(written.to_json(), read.to_json(), "{}", self.name);
        [read, written]
    }

    fn recorded(&self, part: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(self.recorded).expect("the fixture is JSON");
        all[part].as_array().expect(part).clone()
    }
}

fn texts() -> Vec<String> {
    serde_json::from_str(include_str!("fixtures/texts.json")).expect("the fixture is a list of texts")
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().expect("a list").iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

#[test]
fn ids_are_those_of_the_tokenizers_package() {
    let texts = texts();
    assert!(texts.len() > 2000);
    for kind in KINDS {
        let recorded = kind.recorded("ids");
        assert_eq!(recorded.len(), texts.len());
        for tokenizer in kind.tokenizers() {
            for (text, expected) in texts.iter().zip(&recorded) {
                let found = tokenizer.encode(text.as_bytes(), Special::Allow).unwrap();
                assert_eq!(found, ids(expected), "{}: {text:?}", kind.name);
            }
        }
    }
}

#[test]
fn what_is_put_around_a_text_is_what_the_package_puts_there() {
    let texts = texts();
    for kind in KINDS {
        for tokenizer in kind.tokenizers() {
            for (text, expected) in texts.iter().step_by(40).zip(kind.recorded("framed")) {
                let found = tokenizer.encode_framed(text.as_bytes(), Special::Allow).unwrap();
                assert_eq!(found, ids(&expected), "{}: {text:?}", kind.name);
            }
            let pairs = texts.iter().step_by(40).zip(texts[1..].iter().step_by(40)).zip(kind.recorded("pairs"));
            for ((first, second), expected) in pairs {
                let found = tokenizer.encode_pair(first.as_bytes(), second.as_bytes(), Special::Allow).unwrap();
                assert_eq!(found.ids, ids(&expected[0]), "{}: {first:?}, {second:?}", kind.name);
                assert_eq!(found.types, ids(&expected[1]), "{}: {first:?}, {second:?}", kind.name);
            }
        }
    }
}

#[test]
fn decoding_gives_the_text_of_the_package() {
    for kind in KINDS {
        let [tokenizer, _] = kind.tokenizers();
        for (row, expected) in kind.recorded("ids").iter().step_by(5).zip(kind.recorded("decoded")) {
            let found = tokenizer.decode(&ids(row)).unwrap();
            let mut expected = expected.as_str().expect("a text").to_owned();
            if kind.name == "clip" {
                // The package leaves the marks there, and `transformers` takes them out again in this way.
                expected = expected.replace("</w>", " ").trim().to_owned();
            }
            let found = String::from_utf8_lossy(&found);
            assert_eq!(if kind.name == "clip" { found.trim() } else { &found }, expected, "{}", kind.name);
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_taken_as_the_mark_of_what_could_not_be_read() {
    let list: Vec<String> = serde_json::from_str(include_str!("fixtures/invalid.json")).expect("a list");
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    for kind in KINDS {
        let [tokenizer, _] = kind.tokenizers();
        for (hex, expected) in list.iter().zip(kind.recorded("invalid")) {
            let bytes: Vec<u8> = hex.as_bytes().chunks(2).map(byte).collect();
            let found = tokenizer.encode(&bytes, Special::Allow).unwrap();
            match kind.name {
                "gpt2" => assert_eq!(tokenizer.decode(&found).unwrap(), bytes), // nothing is lost here
                "roberta" => assert!(tokenizer.decode(&found).unwrap().ends_with(&bytes)),
                name => assert_eq!(found, ids(&expected), "{name}: {bytes:02X?}"),
            }
        }
    }
}

#[test]
fn every_code_point_has_the_ids_of_the_package() {
    for kind in KINDS {
        let [tokenizer, _] = kind.tokenizers();
        for (block, expected) in (0_u32..).step_by(1024).zip(kind.recorded("blocks")) {
            let characters = (block..block + 1024).filter_map(char::from_u32);
            let text: String = characters.map(|c| format!("a{c}b ")).collect();
            let found = tokenizer.encode(text.as_bytes(), Special::Allow).unwrap();
            // FNV-1a over the ids, each as one number.
            let sum = found
                .iter()
                .fold(0xCBF2_9CE4_8422_2325_u64, |sum, &id| (sum ^ u64::from(id)).wrapping_mul(0x100_0000_01B3));
            assert_eq!(format!("{sum:016x}"), expected, "{}: from U+{block:04X} on", kind.name);
        }
    }
}
