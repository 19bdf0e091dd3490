//! Damaged files of every form: an error or a tokenizer that works, and never a panic.

use std::fs;

use tokenizer::{Special, Tokenizer};

const FILES: [&str; 4] = [
    include_str!("fixtures/gpt2.json"),
    include_str!("fixtures/roberta.json"),
    include_str!("fixtures/clip.json"),
    include_str!("fixtures/bert.json"),
];
/// Names in a file that is made to hurt: whoever compares each with all others does not come to an end with it.
const MANY: usize = 2_000_000;

/// What damage puts into a file.
const BITS: [&str; 16] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "-1",
    "4294967296",
    "1e999",
    "\u{0}",
    "true",
    "\"Ġ\"",
    "\\ud800",
    "\"type\":\"BPE\",",
];

/// A linear congruential generator: the same damage at every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % n
    }

    /// A place in `text` where it may be cut.
    fn place(&mut self, text: &str) -> usize {
        boundary(text, self.below(text.len() + 1))
    }

    /// `text` with a few changes: a part gone, doubled, moved or replaced.
    fn damaged(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..1 + self.below(4) {
            let start = self.place(&text);
            let end = boundary(&text, (start + self.below(40)).min(text.len()));
            let part = text[start..end].to_owned();
            let at = self.place(&text);
            match self.below(5) {
                0 => text.replace_range(start..end, ""),
                1 => text.insert_str(at, &part),
                2 => text.replace_range(start..end, BITS[self.below(BITS.len())]),
                3 => text.insert_str(at, BITS[self.below(BITS.len())]),
                _ => {
                    // Digits of ids, which leave the file well-formed.
                    let digits: Vec<usize> =
                        text.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
                    let at = digits[self.below(digits.len())];
                    text.replace_range(at..=at, &self.below(10).to_string());
                }
            }
        }
        text
    }
}

/// The last place up to `at` where no character is cut.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default()
}

/// Uses what was read; says whether it was.
fn works(read: Result<Tokenizer, tokenizer::Error>) -> bool {
    match read {
        Ok(tokenizer) => {
            let text = "The king's 2 [MASK]\u{301} élève<|endoftext|> 東京 \u{0}".as_bytes();
            let ids = tokenizer.encode_framed(text, Special::Allow).unwrap();
            tokenizer.decode(&ids).unwrap();
            tokenizer.words_of(&ids);
            Tokenizer::from_json(&tokenizer.to_json()).unwrap();
            true
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.is_empty() && sentence.len() < 700, "{sentence}");
            false
        }
    }
}

#[test]
fn damaged_files_are_refused_or_work() {
    let mut draw = Draw(1);
    let mut read = 0;
    for file in FILES {
        for _ in 0..400 {
            let damaged = draw.damaged(file);
            read += usize::from(works(Tokenizer::from_json(&damaged)));
        }
    }
    assert!((10..1500).contains(&read), "{read} of 1600 were read: the damage is too little or too much");
}

#[test]
fn damaged_older_files_are_refused_or_work() {
    let (mut draw, directory) = (Draw(2), tempfile::tempdir().unwrap());
    let gpt2: serde_json::Value = serde_json::from_str(FILES[0]).unwrap();
    let vocab = gpt2["model"]["vocab"].to_string();
    let merges: String = gpt2["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| format!("{} {}\n", m[0].as_str().unwrap(), m[1].as_str().unwrap()))
        .collect();
    for round in 0..300 {
        let (vocab, merges) = match round % 3 {
            0 => (draw.damaged(&vocab), merges.clone()),
            1 => (vocab.clone(), draw.damaged(&(merges.clone() + "0"))),
            _ => (draw.damaged(&vocab), draw.damaged(&(merges.clone() + "0"))),
        };
        fs::write(directory.path().join("vocab.json"), vocab).unwrap();
        fs::write(directory.path().join("merges.txt"), merges).unwrap();
        works(Tokenizer::open(directory.path()));
    }
}

#[test]
fn files_made_to_hurt_are_refused() {
    let deep = |open: &str, n: usize| open.repeat(n);
    let names: Vec<String> =
        (0..MANY).map(|id| format!(r#"{{"id": {id}, "content": "a{id}", "special": true}}"#)).collect();
    let many = format!(r#"{{"added_tokens": [{}], "model": {{}}}}"#, names.join(","));
    let same = format!(r#"{{"added_tokens": [{}], "model": {{}}}}"#, [names[0].as_str()].repeat(MANY).join(","));
    let cyclic =
        Tokenizer::bytes().to_json().replace("\"merges\": []", r#""merges": [["a", "b"], ["ab", ""], ["b", "a"]]"#);
    let hole = Tokenizer::bytes().to_json().replace(": 255\n", ": 4294967295\n");
    let table = [
        ("nested arrays", deep("[", 1_000_000)),
        ("nested objects", deep("{\"model\":", 1_000_000)),
        ("nested processors", deep(r#"{"post_processor":{"type":"Sequence","processors":["#, 100_000)),
        ("many names", many),
        ("the same name", same),
        ("merges in a circle", cyclic),
        ("an id far away", hole),
        ("nothing but numbers", "1 ".repeat(500_000)),
        ("nothing but objects", format!("[{}1]", r#"{"":0},"#.repeat(1_000_000))),
    ];
    for (what, file) in table {
        let error = Tokenizer::from_json(&file).expect_err(what).to_string();
        assert!(error.len() < 700, "{what}: {error}");
    }
}
