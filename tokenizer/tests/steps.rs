//! The steps that a `tokenizer.json` names, from normalizer to decoder: each is heard and written again, or refused by its name.

use serde_json::{Value, json};
use tokenizer::{Error, Special, Tokenizer};

const BERT: &str = include_str!("fixtures/bert.json");
const CLIP: &str = include_str!("fixtures/clip.json");
const GPT2: &str = include_str!("fixtures/gpt2.json");
const ROBERTA: &str = include_str!("fixtures/roberta.json");

fn small() -> Tokenizer {
    Tokenizer::train(&[b"the cat sat on the mat, the cat that sat on the hat"], 270).expect("a size of at least 256")
}

/// A file after `change`.
fn changed(json: &str, change: impl FnOnce(&mut Value)) -> Result<Tokenizer, Error> {
    let mut file: Value = serde_json::from_str(json).unwrap();
    change(&mut file);
    Tokenizer::from_json(&file.to_string())
}

#[test]
fn a_sequence_of_normalizers_that_is_not_clips_is_refused_by_the_step_that_differs() {
    let error = changed(CLIP, |f| f["normalizer"]["normalizers"][0] = json!({"type": "NFD"})).unwrap_err().to_string();
    assert!(error.contains(r#"normalizer.normalizers[0] {"type":"NFD"} is not supported"#), "{error}");
    for steps in [json!([]), json!([{"type": "NFC"}]), json!([{"type": "Lowercase"}, {"type": "NFC"}])] {
        let error = changed(CLIP, |f| f["normalizer"]["normalizers"] = steps).unwrap_err().to_string();
        assert!(error.contains("CLIP's Sequence of NFC, Replace and Lowercase"), "{error}");
    }
}

#[test]
fn a_normalizer_without_a_type_is_refused() {
    let error = changed(&small().to_json(), |f| f["normalizer"] = json!({"lowercase": true})).unwrap_err().to_string();
    assert!(error.contains("normalizer"), "{error}");
}

#[test]
fn a_sequence_of_processors_is_read_and_two_templates_are_refused() {
    let end = small().end_of_text().unwrap();
    let template: Value =
        serde_json::from_str::<Value>(&small().with_ends().to_json()).unwrap()["post_processor"].take();
    let bytes = json!({"type": "ByteLevel", "trim_offsets": false});
    let read = |steps: Value| {
        changed(&small().to_json(), |f| f["post_processor"] = json!({"type": "Sequence", "processors": steps}))
    };
    let one = read(json!([bytes, template])).unwrap();
    assert_eq!(one.encode_framed(b"t", Special::Refuse).unwrap(), [u32::from(b't'), end]);
    assert!(read(json!([bytes])).unwrap().template().is_none());
    assert!(read(json!([template, template])).unwrap_err().to_string().contains("more than one template"));
}

#[test]
fn a_token_of_a_template_outside_the_vocabulary_is_refused() {
    let template = serde_json::from_str::<Value>(&small().with_ends().to_json()).unwrap()["post_processor"].take();
    let with = |id: usize| {
        changed(&small().to_json(), |f| {
            f["post_processor"] = template.clone();
            f["post_processor"]["special_tokens"]["<|endoftext|>"]["ids"] = json!([id]);
        })
    };
    let n = small().vocab_size();
    assert!(with(n - 1).is_ok());
    let error = with(n).unwrap_err().to_string();
    assert!(error.contains("must be one token of the vocabulary"), "{error}");
}

#[test]
fn every_option_of_bert_is_written_and_read_again() {
    let changes: [fn(&mut Value); 6] = [
        |f| f["normalizer"]["strip_accents"] = json!(false),
        |f| f["normalizer"]["strip_accents"] = json!(true),
        |f| f["normalizer"]["clean_text"] = json!(false),
        |f| f["normalizer"]["handle_chinese_chars"] = json!(false),
        |f| f["model"]["max_input_chars_per_word"] = json!(3),
        |f| f["decoder"]["cleanup"] = json!(false),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let read = changed(BERT, change).unwrap();
        assert_ne!(read.to_json(), Tokenizer::from_json(BERT).unwrap().to_json(), "{i}");
        let file: Value = serde_json::from_str(&read.to_json()).unwrap();
        let mut want: Value = serde_json::from_str(BERT).unwrap();
        change(&mut want);
        for part in ["/normalizer", "/decoder", "/model/max_input_chars_per_word"] {
            assert_eq!(file.pointer(part), want.pointer(part), "{i}");
        }
    }
}

#[test]
fn clips_older_decoder_is_read() {
    let read = changed(CLIP, |f| f["decoder"] = json!({"type": "BPEDecoder", "suffix": "</w>"})).unwrap();
    assert_eq!(read.to_json(), Tokenizer::from_json(CLIP).unwrap().to_json());
    assert!(changed(&small().to_json(), |f| f["decoder"] = json!({"type": "BPEDecoder", "suffix": "</w>"})).is_err());
}

#[test]
fn added_tokens_may_stand_in_any_order() {
    let bytes = changed(&small().to_json(), |f| {
        let end = f["added_tokens"][0].clone();
        let token = |id: u32| {
            let mut token = end.clone();
            (token["id"], token["content"]) = (json!(id), json!(format!("<{id}>")));
            token
        };
        let n = small().vocab_size() as u32;
        f["added_tokens"] = json!([token(n + 2), token(n), end, token(n + 1)]);
    })
    .unwrap();
    let n = small().vocab_size() as u32;
    let ids: Vec<u32> = bytes.added().iter().map(|added| added.id).collect();
    assert_eq!(ids, [n - 1, n, n + 1, n + 2]);
    let text = format!("a<{n}>b<{}>c", n + 2);
    let ids = bytes.encode(text.as_bytes(), Special::Allow).unwrap();
    assert_eq!(bytes.words_of(&ids).len(), 5);
    assert_eq!(bytes.to_tiktoken().unwrap().lines().count(), n as usize - 1);
}

#[test]
fn an_added_token_that_ends_like_clips_words_is_decoded_whole_by_a_byte_level_tokenizer() {
    let tokenizer = changed(&small().to_json(), |f| {
        f["added_tokens"][0]["content"] = json!("</w>");
        f["model"]["vocab"].as_object_mut().unwrap().remove("<|endoftext|>");
    })
    .unwrap();
    let ids = tokenizer.encode(b"a</w>b", Special::Allow).unwrap();
    assert_eq!(ids.len(), 3);
    assert_eq!(tokenizer.decode(&ids).unwrap(), b"a</w>b");
}

#[test]
fn no_other_pipeline_is_called_gpt2s_even_without_a_template() {
    let plain = |json: &str| Tokenizer::from_json(json).unwrap().with_template(None);
    assert!(plain(GPT2).is_gpt2());
    for json in [ROBERTA, CLIP, BERT] {
        assert!(!plain(json).is_gpt2());
    }
}
