//! The tokenizer against its slow twins, its file, and its promises.

use proptest::prelude::*;

use crate::encode::encode_word;
use crate::{END_OF_TEXT, Error, Special, Tokenizer, reference, train};

const TEXT: &str = "the cat sat on the mat; the rat sat on the hat. that cat's a fat cat, isn't it?  12 123 1234\n\n";

fn tokenizer() -> Tokenizer {
    Tokenizer::train(&[TEXT.as_bytes()], 300).unwrap()
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        ".{0,40}".prop_map(String::into_bytes),
        "(the |cat|at|s| |a|'t|1|2){0,60}".prop_map(String::into_bytes),
        "(a|b|aa){0,120}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn any_bytes_come_back_the_same(text in any_text()) {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode(&text, Special::AsText).unwrap();
        prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }

    #[test]
    fn the_fast_encoder_gives_what_the_slow_one_gives(text in any_text(), taught in any_text()) {
        let tokenizer = Tokenizer::train(&[&taught, TEXT.as_bytes()], 320).unwrap();
        let bytes = || text.iter().map(|&byte| tokenizer.bytes[usize::from(byte)]);
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        encode_word(&tokenizer.ranks, bytes(), &mut fast); // as one word, long or short
        reference::encode_word(&tokenizer.ranks, bytes(), &mut slow);
        prop_assert_eq!(fast, slow);
    }

    #[test]
    fn the_fast_trainer_learns_what_the_slow_one_learns(texts in proptest::collection::vec(any_text(), 0..4)) {
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let counts = train::count_words(&texts, END_OF_TEXT.as_bytes());
        prop_assert_eq!(train::learn(&counts, 60), reference::learn(&counts, 60));
    }

    #[test]
    fn a_text_cut_in_two_gives_the_ids_of_the_whole(text in any_text(), near in 0usize..60) {
        let tokenizer = tokenizer();
        let (left, right) = text.split_at(crate::cut(&text, near));
        let mut parts = Vec::new();
        tokenizer.encode_ordinary(left, &mut parts);
        tokenizer.encode_ordinary(right, &mut parts);
        prop_assert_eq!(parts, tokenizer.encode(&text, Special::AsText).unwrap());
    }
}

#[test]
fn a_megabyte_of_one_letter_is_encoded() {
    let text = vec![b'a'; 1 << 20];
    let tokenizer = Tokenizer::train(&[&text], 266).unwrap();
    let ids = tokenizer.encode(&text, Special::Refuse).unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    assert_eq!(ids.len(), (1 << 20) >> 9, "nine merges, each doubling the length");
}

#[test]
fn the_vocabulary_does_not_depend_on_the_number_of_threads() {
    let text = TEXT.repeat(40_000); // several pieces
    let learned = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Tokenizer::train(&[text.as_bytes()], 290).unwrap().to_json())
    };
    assert_eq!(learned(1), learned(3));
}

#[test]
fn special_tokens_are_refused_allowed_or_text() {
    let tokenizer = tokenizer();
    let text = format!("the cat{END_OF_TEXT}sat");
    assert!(matches!(tokenizer.encode(text.as_bytes(), Special::Refuse), Err(Error::SpecialInText(_))));
    let end = tokenizer.end_of_text().unwrap();
    assert_eq!(end as usize, tokenizer.vocab_size() - 1);
    let allowed = tokenizer.encode(text.as_bytes(), Special::Allow).unwrap();
    assert_eq!(allowed.iter().filter(|&&id| id == end).count(), 1);
    let as_text = tokenizer.encode(text.as_bytes(), Special::AsText).unwrap();
    assert!(!as_text.contains(&end));
    assert_eq!(tokenizer.decode(&allowed).unwrap(), tokenizer.decode(&as_text).unwrap());
}

#[test]
fn separators_are_not_learned_from() {
    let text = format!("ab{END_OF_TEXT}ab{END_OF_TEXT}").repeat(50);
    let tokenizer = Tokenizer::train(&[text.as_bytes()], 1000).unwrap();
    assert_eq!(tokenizer.vocab_size(), 258, "the bytes, ab, and the end of text");
}

#[test]
fn the_file_gives_the_tokenizer_back() {
    for tokenizer in [tokenizer(), Tokenizer::bytes()] {
        let again = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
        let ids = |t: &Tokenizer| t.encode(TEXT.as_bytes(), Special::Allow).unwrap();
        assert_eq!(ids(&again), ids(&tokenizer));
        assert_eq!(again.to_json(), tokenizer.to_json());
    }
}

#[test]
fn merges_may_be_written_as_strings() {
    let tokenizer = tokenizer();
    let mut file: serde_json::Value = serde_json::from_str(&tokenizer.to_json()).unwrap();
    for merge in file["model"]["merges"].as_array_mut().unwrap() {
        *merge = format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()).into();
    }
    assert_eq!(Tokenizer::from_json(&file.to_string()).unwrap().merges, tokenizer.merges);
}

#[test]
fn a_foreign_or_damaged_file_is_refused_with_a_sentence() {
    let good = tokenizer().to_json();
    let change = |path: &str, value: serde_json::Value| {
        let mut file: serde_json::Value = serde_json::from_str(&good).unwrap();
        *file.pointer_mut(path).unwrap() = value;
        file.to_string()
    };
    for (text, said) in [
        (good[..good.len() / 2].to_owned(), "cut off"),
        ("{}".to_owned(), "only BPE"),
        (change("/model/type", "WordPiece".into()), "only BPE"),
        (change("/normalizer", serde_json::json!({"type": "NFC"})), "normalizer"),
        (change("/pre_tokenizer/add_prefix_space", true.into()), "add_prefix_space"),
        (change("/model/vocab/a", 98.into()), "two tokens have the id 98"),
        (change("/model/vocab/a", 4_000_000_000u64.into()), "far beyond"),
        (change("/model/merges/0/0", "zzzz".into()), "merge 0"),
        (change("/added_tokens/0/lstrip", true.into()), "strips"),
    ] {
        let error = Tokenizer::from_json(&text).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn an_unknown_id_is_named() {
    let error = tokenizer().decode(&[1, 5000]).unwrap_err().to_string();
    assert!(error.contains("5000"), "{error}");
}

#[test]
fn a_vocabulary_too_small_for_bytes_is_refused() {
    assert!(matches!(Tokenizer::train(&[b"a"], 255), Err(Error::SmallVocabulary(255))));
}
