//! What must hold for every text: nothing is lost, and the fast forms compute what the slow ones say.

use proptest::prelude::*;
use tokenizer::{END_OF_TEXT, Error, Special, Tokenizer, pieces, reference};

/// Texts of few different letters, in which pairs repeat, overlap and tie; now and then anything else.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let few = prop::collection::vec(prop::sample::select(&b"aaab \n'"[..]), 0..200);
    let syllables =
        prop::collection::vec(prop::sample::select(&["na", "ana", "ban", " ", "né", END_OF_TEXT][..]), 0..60);
    prop_oneof![
        few,
        syllables.prop_map(|parts| parts.concat().into_bytes()),
        any::<String>().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..100),
        (any::<char>(), 1..300_usize).prop_map(|(c, n)| c.to_string().repeat(n).into_bytes()),
    ]
}

fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(text(), 0..5)
}

fn train(documents: &[Vec<u8>], vocab_size: usize) -> Tokenizer {
    let documents: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
    Tokenizer::train(&documents, vocab_size).expect("a size of at least 256")
}

fn slow_ids(tokenizer: &Tokenizer, text: &[u8]) -> Vec<u32> {
    reference::encode(&std::array::from_fn(|byte| byte as u32), tokenizer.merges(), text)
}

proptest! {
    #[test]
    fn training_learns_the_merges_of_the_slow_trainer(documents in texts(), merges in 0..60_usize) {
        let slices: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
        let fast = train(&documents, 257 + merges);
        prop_assert_eq!(fast.merges(), reference::train(&slices, 257 + merges));
    }

    #[test]
    fn encoding_gives_the_ids_of_the_slow_encoder(documents in texts(), text in text()) {
        let tokenizer = train(&documents, 330);
        prop_assert_eq!(tokenizer.encode(&text, Special::AsText).unwrap(), slow_ids(&tokenizer, &text));
    }

    #[test]
    fn any_bytes_come_back(documents in texts(), text in text()) {
        for tokenizer in [Tokenizer::bytes(), train(&documents, 300)] {
            for special in [Special::AsText, Special::Allow] {
                prop_assert_eq!(&tokenizer.decode(&tokenizer.encode(&text, special).unwrap()).unwrap(), &text);
            }
        }
    }

    #[test]
    fn pieces_have_the_ids_of_the_whole(documents in texts(), text in text(), size in 0..50_usize) {
        let tokenizer = train(&documents, 300);
        let mut ids = Vec::new();
        pieces(&text, size).for_each(|piece| tokenizer.encode_ordinary(piece, &mut ids));
        prop_assert_eq!(ids, tokenizer.encode(&text, Special::AsText).unwrap());
    }

    #[test]
    fn a_saved_tokenizer_is_read_back_the_same(documents in texts(), text in text(), size in 256..330_usize) {
        let tokenizer = train(&documents, size);
        let read = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
        prop_assert_eq!(read.vocab_size(), tokenizer.vocab_size());
        prop_assert_eq!(read.merges(), tokenizer.merges());
        prop_assert_eq!(read.specials(), tokenizer.specials());
        prop_assert_eq!(read.to_json(), tokenizer.to_json());
        let ids = [&read, &tokenizer].map(|tokenizer| tokenizer.encode(&text, Special::Allow).unwrap());
        prop_assert_eq!(&ids[0], &ids[1]);
    }
}

#[test]
fn two_ways_to_the_same_bytes_share_one_token() {
    // " abc" is learned as "ab" + "c" in some words and left as "a" + "bc" in others.
    let text = "xbc ".repeat(20) + &"abx ".repeat(12) + &"abc ".repeat(5) + &"zabcd ".repeat(7);
    let tokenizer = train(&[text.clone().into_bytes()], 300);
    assert_eq!(tokenizer.merges(), reference::train(&[text.as_bytes()], 300));
    let tokens: Vec<_> = (0..tokenizer.vocab_size() as u32).map(|id| tokenizer.token(id)).collect();
    let mut different = tokens.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), tokens.len());
}

/// Two megabytes of words, so that several threads have several pieces each.
fn long_text() -> Vec<u8> {
    let words = ["the", "their", "then", "cat", "catalogue", "naïve", "'ll", "1984", "\n\n", "…", END_OF_TEXT];
    let mut state = 1_u64;
    let mut text = String::new();
    while text.len() < 2_000_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); // a linear congruential generator
        text += words[(state >> 33) as usize % words.len()];
        text += if state >> 60 < 12 { " " } else { "" };
    }
    text.into_bytes()
}

#[test]
fn training_does_not_depend_on_the_number_of_threads() {
    let text = long_text();
    let train_on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| Tokenizer::train(&[&text], 1000).expect("a size of at least 256").to_json())
    };
    let one = train_on(1);
    assert!(one.len() > 20_000);
    assert!([2, 3, 7].into_iter().all(|threads| train_on(threads) == one));
}

#[test]
fn threads_may_share_one_tokenizer() {
    let text = long_text();
    let tokenizer = train(std::slice::from_ref(&text), 400);
    let whole = tokenizer.encode(&text, Special::AsText).unwrap();
    let all_the_same = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| tokenizer.encode(&text, Special::AsText).unwrap() == whole)).collect();
        threads.into_iter().all(|thread| thread.join().unwrap())
    });
    assert!(all_the_same);
}

#[test]
fn a_megabyte_without_a_word_boundary_is_trained_on_and_encoded() {
    // Quadratic time would be 10¹² steps.
    let letters: Vec<u8> = (0..1_000_000_u32).map(|i| b'a' + (i.wrapping_mul(i) >> 7) as u8 % 4).collect();
    for text in [vec![b'a'; 1_000_000], vec![b' '; 1_000_000], vec![0xFF; 1_000_000], letters] {
        let tokenizer = train(std::slice::from_ref(&text), 500);
        let ids = tokenizer.encode(&text, Special::Refuse).unwrap();
        assert!(ids.len() < 500_000);
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn words_around_the_length_where_the_algorithm_changes_are_encoded_alike() {
    let tokenizer = train(&[b"aaaa aaa aabab abab babaab".repeat(3)], 280);
    for length in 1..140 {
        let text: Vec<u8> = (0..length).map(|i| if i * i % 7 < 4 { b'a' } else { b'b' }).collect();
        assert_eq!(tokenizer.encode(&text, Special::Refuse).unwrap(), slow_ids(&tokenizer, &text), "{length} letters");
    }
}

#[test]
fn the_vocabulary_is_bytes_then_merges_then_end_of_text() {
    let tokenizer = train(&[b"abababab abab".to_vec()], 259);
    assert_eq!(tokenizer.vocab_size(), 259);
    let tokens: Vec<_> = [97, 256, 257, 258, 259].into_iter().map(|id| tokenizer.token(id)).collect();
    assert_eq!(tokens, [Some(&b"a"[..]), Some(b"ab"), Some(b"abab"), Some(END_OF_TEXT.as_bytes()), None]);
    assert_eq!((tokenizer.end_of_text(), Tokenizer::bytes().end_of_text()), (Some(258), None));
    assert_eq!(
        (train(&[], 257).vocab_size(), train(&[], 256).vocab_size(), train(&[b"aa aa".to_vec()], 999).vocab_size()),
        (257, 256, 258)
    );
    assert!(matches!(Tokenizer::train(&[], 255), Err(Error::VocabSize(255))));
}

#[test]
fn special_tokens_are_refused_allowed_or_text_by_choice() {
    let tokenizer = train(&[b"endoftext <| |> endoftext".to_vec()], 300);
    let (text, end) = (b"a<|endoftext|>b".as_slice(), tokenizer.end_of_text().unwrap());
    let refused = tokenizer.encode(text, Special::Refuse).unwrap_err().to_string();
    assert!(refused.contains("<|endoftext|> at byte 1"), "{refused}");
    assert_eq!(tokenizer.encode(text, Special::Allow).unwrap(), [u32::from(b'a'), end, u32::from(b'b')]);
    assert!(!tokenizer.encode(text, Special::AsText).unwrap().contains(&end));
}

#[test]
fn nothing_is_learned_across_end_of_text() {
    let text = format!("ab{END_OF_TEXT}").repeat(100);
    let tokenizer = train(&[text.into_bytes()], 300);
    assert_eq!((tokenizer.merges().len(), tokenizer.token(256)), (1, Some(&b"ab"[..])));
}

#[test]
fn the_first_unknown_id_is_named() {
    let error = Tokenizer::bytes().decode(&[65, 256, 999]).unwrap_err().to_string();
    assert!(error.contains("id 256 at place 1 is outside the vocabulary of 256 tokens"), "{error}");
}

#[test]
fn a_framed_tokenizer_gives_the_same_tokens_under_other_numbers() {
    let text = b"the cat sat on the mat, the cat that sat on the hat".repeat(3);
    let plain = Tokenizer::train(&[&text], 290).unwrap();
    let framed = plain.clone().framed();
    assert_eq!(framed.vocab_size(), plain.vocab_size() + 3, "four of the frame for one that ended a text");
    let bytes = |t: &Tokenizer, text: &[u8]| {
        let ids = t.encode(text, Special::AsText).unwrap();
        ids.iter().map(|&id| t.token(id).unwrap().to_vec()).collect::<Vec<_>>()
    };
    for text in [&b"the cat <|endoftext|> that sat"[..], b"[MASK] \xff mat", b""] {
        assert_eq!(bytes(&plain, text), bytes(&framed, text));
    }
    let again = Tokenizer::from_json(&framed.to_json()).unwrap();
    assert_eq!(again.to_json(), framed.to_json());
    assert_eq!(again.clone().framed().to_json(), framed.to_json(), "once is enough");
    assert_eq!(again.frame().unwrap(), tokenizer::Frame { pad: 0, cls: 1, sep: 2, mask: 3 });
    assert!(plain.frame().is_none() && framed.end_of_text().is_none());
}

#[test]
fn a_mask_takes_the_space_before_it_along_and_no_other_name_does() {
    let framed = Tokenizer::bytes().framed();
    let decoded = |text: &str| {
        let ids = framed.encode(text.as_bytes(), Special::Allow).unwrap();
        String::from_utf8(framed.decode(&ids).unwrap()).unwrap()
    };
    for t in [framed.clone(), Tokenizer::from_json(&framed.to_json()).unwrap()] {
        let ids = t.encode("a \u{2003}\t[MASK] b".as_bytes(), Special::Allow).unwrap();
        assert_eq!(ids, [4 + u32::from(b'a'), 3, 4 + u32::from(b' '), 4 + u32::from(b'b')]);
    }
    assert_eq!(decoded("a [SEP] b"), "a [SEP] b");
}
