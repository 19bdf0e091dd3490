//! Words: the greedy model against its slow twin, words among ids, and cuts that change no id, for every kind.

use std::sync::LazyLock;

use proptest::prelude::*;
use tokenizer::{Special, Tokenizer, reference};

const KINDS: [(&str, &str); 4] = [
    ("gpt2", include_str!("fixtures/gpt2.json")),
    ("roberta", include_str!("fixtures/roberta.json")),
    ("clip", include_str!("fixtures/clip.json")),
    ("bert", include_str!("fixtures/bert.json")),
];

/// The tokenizers of [`KINDS`], read once. Added words with a space of their own would forbid every cut.
static TOKENIZERS: LazyLock<Vec<(&str, Tokenizer)>> = LazyLock::new(|| {
    let read = |(name, json): (&'static str, &str)| {
        let json = json.replace(r#""rstrip":true"#, r#""rstrip":false"#);
        (name, Tokenizer::from_json(&json).expect("a fixture"))
    };
    KINDS.into_iter().map(read).collect()
});

fn kind(name: &str) -> &'static Tokenizer {
    TOKENIZERS.iter().find(|(kind, _)| *kind == name).map(|(_, tokenizer)| tokenizer).expect("a kind")
}

/// Texts without the name of an added word that white space belongs to.
fn text() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: [&str; 25] = [
        "the", " king", "'s", "42", ".", " ", "\n", "\t", "\u{b}", "\u{c}", "\r\n", "\u{a0}", "\u{2003}", "é",
        "E\u{301}", "\u{301}", "東京", "\u{200b}", "\0", "İΣ", "😀", "-", "foo-bar", "<mask>", "[MASK]",
    ];
    let part = prop_oneof![
        8 => prop::sample::select(&PARTS[..]).prop_map(|s| s.as_bytes().to_vec()),
        1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn a_word_has_the_pieces_of_the_slow_model(word in "[a-eghiknorst]{1,12}|[a-z]{1,8}|[a-z東é]{98,103}") {
        let tokenizer = kind("bert");
        let tokens: Vec<&str> =
            (0..1500).map(|id| str::from_utf8(tokenizer.token(id).unwrap()).unwrap()).collect();
        let word = word.replace('é', "e").replace('東', "q"); // as the normaliser leaves them
        let slow = reference::word_piece(&tokens, 1, 100, &word);
        prop_assert_eq!(tokenizer.encode(word.as_bytes(), Special::AsText).unwrap(), slow);
    }

    #[test]
    fn a_text_that_was_cut_has_the_ids_of_the_whole(text in text(), size in 0..20_usize) {
        for (name, tokenizer) in TOKENIZERS.iter() {
            let (mut whole, mut parts, mut rest) = (Vec::new(), Vec::new(), &text[..]);
            tokenizer.encode_ordinary(&text, &mut whole);
            while !rest.is_empty() {
                let (part, after) = rest.split_at(tokenizer.cut(rest, size));
                tokenizer.encode_ordinary(part, &mut parts);
                rest = after;
            }
            prop_assert_eq!(&parts, &whole, "{}", name);
        }
    }

    #[test]
    fn words_are_whole_and_cover_all_ids(text in text()) {
        for (name, tokenizer) in TOKENIZERS.iter() {
            let ids = tokenizer.encode(&text, Special::Allow).unwrap();
            let words = tokenizer.words_of(&ids);
            let covered: Vec<usize> = words.iter().cloned().flatten().collect();
            prop_assert_eq!(covered, (0..ids.len()).collect::<Vec<_>>(), "{}", name);
            prop_assert!(words.iter().all(|word| !word.is_empty()));
        }
    }
}

#[test]
fn the_words_among_ids_are_those_of_the_text() {
    let text = b"unkindness, the king's [SEP]<|endoftext|>42";
    let table: [(&str, &[&str]); 3] = [
        ("gpt2", &["unkindness", ",", " the", " king", "'s", " [", "SEP", "]", "<|endoftext|>", "42"]),
        ("clip", &["unkindness", ",", "the", "king", "'s", "[", "sep", "]", "<|endoftext|>", "4", "2"]),
        ("bert", &["unkindness", ",", "the", "king", "'", "s", "[SEP]", "<", "|", "endoftext", "|", ">", "42"]),
    ];
    for (name, expected) in table {
        let tokenizer = kind(name);
        let ids = tokenizer.encode(text, Special::Allow).unwrap();
        let decoded = |word: std::ops::Range<usize>| String::from_utf8(tokenizer.decode(&ids[word]).unwrap()).unwrap();
        let words: Vec<String> = tokenizer.words_of(&ids).into_iter().map(decoded).collect();
        assert_eq!(words, expected, "{name}");
    }
}

#[test]
fn no_cut_is_made_where_white_space_belongs_to_added_words() {
    let text = b"some words and some more";
    assert_eq!(Tokenizer::from_json(KINDS[0].1).unwrap().cut(text, 3), text.len());
    assert_eq!(kind("gpt2").cut(text, 3), 4);
}

#[test]
fn tokens_stand_where_their_bytes_do_also_beside_added_words() {
    // "foo-bar" and "Foo-Bar" are added words; this tokenizer puts a space before what begins without one.
    let tokenizer = Tokenizer::from_json(KINDS[1].1).unwrap();
    for (text, expected) in [
        ("foo-bark", &["foo-bar", "k"][..]),
        ("foo-bar, king", &["foo-bar", ",", " king"]),
        ("the Foo-Bar  king", &["the", " ", "Foo-Bar", "king"]),
        ("the king", &["the", " king"]),
        (" king", &[" king"]),
    ] {
        let (ids, places) = tokenizer.encode_places(text);
        let mut ordinary = Vec::new();
        tokenizer.encode_ordinary(text.as_bytes(), &mut ordinary);
        assert_eq!(ids, ordinary, "{text:?}");
        let said: Vec<&str> = places.into_iter().map(|place| &text[place]).filter(|said| !said.is_empty()).collect();
        assert_eq!(said, expected, "{text:?}");
    }
}

#[test]
fn marks_and_chinese_characters_have_places_of_their_own_and_other_words_one_together() {
    for (name, text, expected) in [
        ("bert", "The king, (king) king", &["The", "king", ",", "(", "king", ")", "king"][..]),
        ("bert", "kings\u{301}", &["kings\u{301}"][..]),
        ("bert", "the東京 x", &["the", "東", "京", "x"][..]),
        ("clip", "The king, (king)", &["The", "king", ",", "(", "king", ")"][..]),
    ] {
        let tokenizer = kind(name);
        let (ids, places) = tokenizer.encode_places(text);
        let mut ordinary = Vec::new();
        tokenizer.encode_ordinary(text.as_bytes(), &mut ordinary);
        assert_eq!(ids, ordinary, "{text:?}");
        let mut said: Vec<&str> = places.into_iter().map(|place| &text[place]).collect();
        said.dedup();
        assert_eq!(said, expected, "{text:?}");
    }
}
