//! Files: what is written is complete, and what cannot be read rightly is refused in a sentence that helps.

use serde_json::{Value, json};
use tokenizer::{Error, Special, Tokenizer};

type Change = fn(&mut Value);

fn drop_key(object: &mut Value, key: &str) {
    object.as_object_mut().expect("an object").remove(key);
}

fn small() -> Tokenizer {
    Tokenizer::train(&[b"the cat sat on the mat, the cat that sat on the hat"], 270).expect("a size of at least 256")
}

/// The file of [`small`] after `change`.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Tokenizer, Error> {
    let mut file: Value = serde_json::from_str(&small().to_json()).expect("what we write is JSON");
    change(&mut file);
    Tokenizer::from_json(&file.to_string())
}

#[test]
fn a_tokenizer_is_saved_to_a_file_or_into_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (tokenizer, file) = (small(), directory.path().join("tokenizer.json"));
    tokenizer.save(directory.path()).unwrap();
    tokenizer.save(&file).unwrap(); // over the old one
    for path in [directory.path(), &file] {
        assert_eq!(Tokenizer::open(path).unwrap().to_json(), tokenizer.to_json());
    }
    let names: Vec<_> = directory.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["tokenizer.json"], "a temporary file was left behind");
}

#[test]
fn files_that_are_missing_or_foreign_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Tokenizer::open(&directory.path().join("none.json")).unwrap_err().to_string();
    assert!(missing.contains("none.json: cannot read the tokenizer"), "{missing}");
    let unwritable = small().save(&directory.path().join("no/such/place.json")).unwrap_err().to_string();
    assert!(unwritable.contains("place.json: cannot write the tokenizer"), "{unwritable}");
    for (name, bytes) in
        [("cut.json", &small().to_json().as_bytes()[..900]), ("image.json", b"\x89PNG\xFF"), ("empty.json", b"")]
    {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = Tokenizer::open(&path).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("tokenizer.json"), "{error}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = small().to_json();
    let text = whole.trim_end();
    assert!(
        (0..text.len())
            .filter(|&end| text.is_char_boundary(end))
            .all(|end| Tokenizer::from_json(&text[..end]).is_err())
    );
}

#[test]
fn what_would_change_the_ids_or_is_damaged_is_refused_by_name() {
    let digits = json!([{"type": "Digits"}, {"type": "ByteLevel", "add_prefix_space": false}]);
    let token = json!({"id": 269, "content": "<|endoftext|>", "special": true});
    let accented = json!({"id": 233, "content": "é", "special": true});
    // What the sentence must name, the place in the file, and what is put there.
    let table = [
        ("normalizer", "/normalizer", json!({"type": "NFC"})),
        ("model.dropout", "/model/dropout", json!(0.1)),
        ("model.end_of_word_suffix", "/model/end_of_word_suffix", json!("</w>")),
        ("model.continuing_subword_prefix", "/model/continuing_subword_prefix", json!("##")),
        ("model.ignore_merges", "/model/ignore_merges", json!(true)),
        ("WordPiece", "/model/type", json!("WordPiece")),
        ("of type BPE", "/model", json!(null)),
        ("a vocab", "/model/vocab", json!([["a", -1.0]])),
        ("and merges", "/model/merges", json!(null)),
        ("post_processor", "/post_processor", json!({"type": "TemplateProcessing"})),
        ("pre_tokenizer", "/pre_tokenizer", json!(null)),
        ("add_prefix_space", "/pre_tokenizer/add_prefix_space", json!("yes")),
        ("use_regex", "/pre_tokenizer/use_regex", json!(false)),
        ("Digits", "/pre_tokenizer/pretokenizers", digits),
        ("single_word", "/added_tokens/0/single_word", json!(true)),
        ("single_word \"true\": it must be true or false", "/added_tokens/0/single_word", json!("true")),
        ("lstrip 1: it must be true or false", "/added_tokens/0/lstrip", json!(1)),
        ("must be a list", "/added_tokens", json!({"id": 269})),
        ("not empty", "/added_tokens/0/content", json!("")),
        ("there twice", "/added_tokens", json!([token, token])),
        ("must agree", "/added_tokens/0/id", json!(0)),
        ("below 2^32", "/added_tokens/0/id", json!(1_u64 << 32)),
        ("with other bytes", "/added_tokens/0", accented),
        ("whole number", "/model/vocab/a", json!(-3)),
        ("there twice", "/model/vocab/zz", json!(98)),
        ("without holes", "/model/vocab/zz", json!(99_999)),
        ("byte alphabet", "/model/vocab/語", json!(270)),
        ("byte alphabet", "/model/vocab/", json!(270)),
        ("merges[1]", "/model/merges/1", json!(["q", "zzz"])),
        ("\"qz\"", "/model/merges/0", json!("q z")),
        ("merges[2]", "/model/merges/2", json!(["a", "b", "c"])),
        ("merges[0]", "/model/merges/0", json!("ab")),
    ];
    for (expected, place, value) in table {
        let error = changed(|file| put(file, place, value)).expect_err(place).to_string();
        assert!(error.contains(expected), "{place}: expected {expected}: {error}");
        assert!(!error.contains('\n') && error.len() < 400, "{place}: not one sentence: {error}");
    }
}

/// Puts `value` at `place`, written as a path from the root of the file.
fn put(file: &mut Value, place: &str, value: Value) {
    let (parent, key) = place.rsplit_once('/').expect("a place begins with /");
    match file.pointer_mut(parent).expect(place) {
        Value::Array(items) => items[key.parse::<usize>().expect(place)] = value,
        object => object[key] = value,
    }
}

#[test]
fn a_vocabulary_that_lacks_a_byte_is_refused() {
    let lacking = changed(|file| {
        drop_key(&mut file["model"]["vocab"], "Ā");
        file["model"]["vocab"]["ĀĀ"] = json!(0);
    });
    let error = lacking.unwrap_err().to_string();
    assert!(error.contains("no token for the byte 0 "), "{error}");
}

#[test]
fn every_spelling_of_the_same_tokenizer_is_read() {
    let table: &[(&str, Change)] = &[
        ("as written", |_| {}),
        ("merges as strings", |f| {
            for merge in f["model"]["merges"].as_array_mut().unwrap() {
                *merge = json!(format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()));
            }
        }),
        ("a sequence of one", |f| {
            f["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [f["pre_tokenizer"]]});
        }),
        ("the split by itself", |f| {
            let pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
            let split = json!({"type": "Split", "behavior": "Isolated", "invert": false,
                "pattern": {"Regex": pattern}});
            let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
            f["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [split, bytes]});
        }),
        ("nothing that may be left out", |f| {
            for part in ["truncation", "padding", "normalizer", "decoder", "post_processor"] {
                f.as_object_mut().unwrap().remove(part);
            }
        }),
        ("what makes a batch", |f| {
            put(f, "/truncation", json!({"max_length": 8}));
            put(f, "/padding", json!({"strategy": {"Fixed": 8}}));
        }),
        ("no type", |f| drop_key(&mut f["model"], "type")),
        ("an empty suffix", |f| {
            put(f, "/model/end_of_word_suffix", json!(""));
        }),
        ("no dropout", |f| put(f, "/model/dropout", json!(0.0))),
        ("a special token only added", |f| {
            drop_key(&mut f["model"]["vocab"], "<|endoftext|>");
        }),
    ];
    let (small, text) = (small(), b"the hat that sat<|endoftext|> on it's mat");
    for (spelling, change) in table {
        let read = changed(change).unwrap_or_else(|error| panic!("{spelling}: {error}"));
        assert_eq!(read.to_json(), small.to_json(), "{spelling}");
        let ids = [&read, &small].map(|tokenizer| tokenizer.encode(text, Special::Allow).unwrap());
        assert_eq!(ids[0], ids[1], "{spelling}");
    }
}

#[test]
fn tokens_are_shown_as_the_file_writes_them_and_only_gpt2_is_called_so() {
    let tokenizer = Tokenizer::train(&[b"the cat sat on the mat, the cat that sat on the hat"], 262).unwrap();
    let file: Value = serde_json::from_str(&tokenizer.to_json()).unwrap();
    let shown = tokenizer.shown();
    let vocabulary = file["model"]["vocab"].as_object().unwrap();
    assert!(vocabulary.iter().all(|(token, id)| shown[id.as_u64().unwrap() as usize] == *token));
    assert_eq!(shown.last().map(String::as_str), Some("<|endoftext|>"));
    assert!(tokenizer.is_gpt2() && Tokenizer::bytes().is_gpt2());
    assert!(!tokenizer.clone().with_ends().is_gpt2() && !tokenizer.framed().is_gpt2());
}

#[test]
fn a_tokenizer_with_a_part_of_the_frame_gets_the_rest_and_is_read_again() {
    let names = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"];
    let text = "some words, some more words";
    let plain = Tokenizer::train(&[text.as_bytes()], 270).unwrap();
    for subset in 0..15 {
        let some: Vec<&str> = (0..4).filter(|i| subset >> i & 1 == 1).map(|i| names[i]).collect();
        // As `add_special_tokens` adds them to a GPT-2: behind all others.
        let mut file: Value = serde_json::from_str(&plain.to_json()).unwrap();
        let added = file["added_tokens"].as_array_mut().unwrap();
        for (i, name) in some.iter().enumerate() {
            let mut token = added[0].clone();
            (token["id"], token["content"]) = ((plain.vocab_size() + i).into(), (*name).into());
            added.push(token);
        }
        let bytes = Tokenizer::from_json(&file.to_string()).unwrap();
        let vocabulary = [&["hello", "[UNK]"], &some[..], &["words"]].concat().join("\n");
        let pieces = Tokenizer::from_vocab(&vocabulary, None).unwrap();
        let [most, least] = [plain.vocab_size() - 1 + 4, 3 + 4];
        for (had, size) in [(bytes, most), (pieces, least)] {
            let framed = had.clone().framed();
            assert_eq!((framed.vocab_size(), framed.frame().is_some()), (size, true), "{some:?}");
            let again = Tokenizer::from_json(&framed.to_json()).unwrap();
            for t in [&framed, &again] {
                let ids = t.encode_framed(text.as_bytes(), Special::AsText).unwrap();
                let frame = t.frame().unwrap();
                assert_eq!((ids[0], *ids.last().unwrap()), (frame.cls, frame.sep), "{some:?}");
                let before = had.encode(text.as_bytes(), Special::AsText).unwrap();
                assert_eq!(t.decode(&ids[1..ids.len() - 1]).unwrap(), had.decode(&before).unwrap(), "{some:?}");
                assert_eq!(t.encode(b"[MASK]", Special::Allow).unwrap(), [frame.mask]);
            }
        }
    }
}

#[test]
fn a_special_token_that_is_called_like_a_byte_leaves_the_byte_as_it_is() {
    let plain = Tokenizer::train(&[b"one two\none two\n"], 270).unwrap();
    let mut file: Value = serde_json::from_str(&plain.to_json()).unwrap();
    let added = file["added_tokens"].as_array_mut().unwrap();
    let mut token = added[0].clone();
    (token["id"], token["content"]) = (plain.vocab_size().into(), "\n".into());
    added.push(token);
    let with = Tokenizer::from_json(&file.to_string()).unwrap();
    let text = b"one\n\ntwo\none two\n";
    let [found, wanted] = [&with, &plain].map(|t| t.encode(text, Special::AsText).unwrap());
    assert_eq!(found, wanted);
    assert!(with.encode(text, Special::Allow).unwrap().contains(&(plain.vocab_size() as u32)));
}
