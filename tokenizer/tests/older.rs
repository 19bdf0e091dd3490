//! Files of other forms: `vocab.json` with `merges.txt`, `vocab.txt`, and what is written for tiktoken.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokenizer::{Special, Template, Tokenizer};

const CLIP: &str = include_str!("fixtures/clip.json");
const GPT2: &str = include_str!("fixtures/gpt2.json");
const ROBERTA: &str = include_str!("fixtures/roberta.json");
const BERT: &str = include_str!("fixtures/bert.json");

/// The vocabulary of a `tokenizer.json` as older files in a new directory.
fn older(json: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let file: Value = serde_json::from_str(json).unwrap();
    let model = &file["model"];
    let write = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
    match model["merges"].as_array() {
        Some(merges) => {
            let merge = |m: &Value| format!("{} {}\n", m[0].as_str().unwrap(), m[1].as_str().unwrap());
            write("vocab.json", model["vocab"].to_string());
            write("merges.txt", "#version: 0.2\n".to_owned() + &merges.iter().map(merge).collect::<String>());
        }
        None => {
            let mut tokens: Vec<(&String, u64)> =
                model["vocab"].as_object().unwrap().iter().map(|(token, id)| (token, id.as_u64().unwrap())).collect();
            tokens.sort_by_key(|(_, id)| *id);
            write("vocab.txt", tokens.iter().map(|(token, _)| format!("{token}\n")).collect());
        }
    }
    directory
}

fn configure(directory: &TempDir, config: Value) {
    fs::write(directory.path().join("tokenizer_config.json"), config.to_string()).unwrap();
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode_framed(text.as_bytes(), Special::Allow).unwrap()
}

/// What tokenizer_config.json says of a text's treatment is believed more than tokenizer.json, as `transformers` does.
#[test]
fn options_beside_a_tokenizer_json_are_laid_over_it() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let pieces = Tokenizer::from_vocab("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nélan", None).unwrap();
    pieces.save(&here.join("tokenizer.json")).unwrap();
    let ids = |config: &str, text: &str| {
        fs::write(here.join("tokenizer_config.json"), config).unwrap();
        Tokenizer::open(here).unwrap().encode(text.as_bytes(), Special::AsText).unwrap()
    };
    assert_eq!(ids("{}", "Hello élan"), [5, 1], "small letters, without accents");
    assert_eq!(ids(r#"{"tokenizer_class": "BertTokenizer", "do_lower_case": false}"#, "Hello hello"), [1, 5]);
    assert_eq!(ids(r#"{"tokenizer_class": "BertTokenizerFast", "strip_accents": false}"#, "Élan"), [6]);
    assert_eq!(ids(r#"{"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": false}"#, "Hello"), [5]);
    let bytes = Tokenizer::bytes();
    bytes.save(&here.join("tokenizer.json")).unwrap();
    assert_eq!(ids(r#"{"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true}"#, "a"), [32, 97]);
    assert_eq!(ids(r#"{"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": null}"#, "a"), [97]);
}

#[test]
fn older_files_give_the_ids_of_the_newer_file() {
    let texts: Vec<String> = serde_json::from_str(include_str!("fixtures/texts.json")).unwrap();
    // Names that only the newer files have, or look for in the normalised text.
    let plain = |text: &&String| !text.to_lowercase().contains("foo-") && !text.contains("StartOfText");
    for (kind, json) in [("gpt2", GPT2), ("clip", CLIP), ("bert", BERT)] {
        let (directory, newer) = (older(json), Tokenizer::from_json(json).unwrap());
        let read = Tokenizer::open(directory.path()).unwrap_or_else(|error| panic!("{kind}: {error}"));
        for text in texts.iter().filter(plain) {
            assert_eq!(ids(&read, text), ids(&newer, text), "{kind}: {text:?}");
        }
        let named = if kind == "bert" { "vocab.txt" } else { "vocab.json" };
        let again = Tokenizer::open(&directory.path().join(named)).unwrap();
        assert_eq!(again.to_json(), read.to_json());
    }
}

#[test]
fn a_configuration_beside_older_files_is_heard() {
    let roberta = older(ROBERTA);
    let without = Tokenizer::open(roberta.path()).unwrap();
    assert!(without.frame().is_some(), "known by its tokens");
    configure(&roberta, json!({"tokenizer_class": "RobertaTokenizerFast", "add_prefix_space": true}));
    let with = Tokenizer::open(roberta.path()).unwrap();
    assert_eq!(ids(&with, "king"), ids(&without, " king"));
    assert_eq!(ids(&with, "the <mask>."), ids(&Tokenizer::from_json(ROBERTA).unwrap(), "the <mask>."));

    let bert = older(BERT);
    let small = Tokenizer::open(bert.path()).unwrap();
    assert_eq!(ids(&small, "The KING"), ids(&small, "the king"));
    configure(&bert, json!({"tokenizer_class": "BertTokenizer", "do_lower_case": false}));
    assert_ne!(ids(&Tokenizer::open(bert.path()).unwrap(), "The KING"), ids(&small, "the king"));
    let word = json!({"content": "king kong", "special": false, "normalized": true});
    configure(&bert, json!({"added_tokens_decoder": {"1500": word, "0": {"content": "[PAD]", "special": true}}}));
    let added = Tokenizer::open(bert.path()).unwrap();
    assert_eq!(added.encode(b"King Kong", Special::Allow).unwrap(), [1500]);
}

#[test]
fn the_special_tokens_that_a_configuration_names_are_special_and_begin_a_text_where_it_asks_for_that() {
    let gpt2 = older(GPT2);
    let plain = Tokenizer::open(gpt2.path()).unwrap();
    let king = ids(&plain, "KING");
    assert_eq!(king.len(), 1, "one token");
    configure(
        &gpt2,
        json!({"tokenizer_class": "GPT2Tokenizer", "bos_token": {"content": "KING"}, "eos_token": "KING"}),
    );
    let named = Tokenizer::open(gpt2.path()).unwrap();
    assert!(named.encode(b"KING", Special::Refuse).is_err(), "it is special");
    assert_eq!(ids(&named, "the").len() + king.len(), ids(&named, "theKING").len());
    configure(&gpt2, json!({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true, "bos_token": "KING"}));
    let begun = Tokenizer::open(gpt2.path()).unwrap();
    assert_eq!(ids(&begun, "a"), [&king[..], &ids(&plain, "a")].concat());
    let refused = |config: Value| {
        configure(&gpt2, config);
        Tokenizer::open(gpt2.path()).unwrap_err().to_string()
    };
    let error = refused(json!({"add_bos_token": true, "bos_token": "<nobody>"}));
    assert!(error.contains("tokenizer_config.json") && error.contains("<nobody>"), "{error}");
    assert!(refused(json!({"eos_token": 3})).contains("eos_token is 3: it must be a token's name"));
    let bert = older(BERT);
    configure(&bert, json!({"do_basic_tokenize": false}));
    assert!(Tokenizer::open(bert.path()).unwrap_err().to_string().contains("do_basic_tokenize"));
}

#[test]
fn what_is_wrong_with_older_files_is_said_with_the_file_s_name() {
    fn write(directory: &TempDir, name: &str, text: &str) {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let refused = |directory: &TempDir| Tokenizer::open(directory.path()).unwrap_err().to_string();
    let gpt2 = || older(GPT2);
    type Spoil = fn(&TempDir);
    let table: [(&str, &str, TempDir, Spoil); 9] = [
        ("merges.txt", "cannot read", gpt2(), |d| fs::remove_file(d.path().join("merges.txt")).unwrap()),
        ("merges.txt", "line 2", gpt2(), |d| write(d, "merges.txt", "#version: 0.2\na b c\n")),
        ("vocab.json", "merges[0]", gpt2(), |d| write(d, "merges.txt", "a qqqq\n")),
        ("vocab.json", "no complete JSON", gpt2(), |d| write(d, "vocab.json", "{\"a\": 0")),
        ("vocab.json", "one JSON object", gpt2(), |d| write(d, "vocab.json", "[]")),
        ("vocab.txt", "line 3 is there twice", older(BERT), |d| write(d, "vocab.txt", "a\nb\na\n")),
        ("vocab.txt", "unk_token", older(BERT), |d| write(d, "vocab.txt", "a\nb\n")),
        ("tokenizer_config.json", "T5Tokenizer", older(BERT), |d| {
            configure(d, json!({"tokenizer_class": "T5Tokenizer"}));
        }),
        ("added_tokens.json", "not supported", gpt2(), |d| write(d, "added_tokens.json", "{\"x\": 9}")),
    ];
    for (name, problem, directory, spoil) in table {
        spoil(&directory);
        let error = refused(&directory);
        assert!(error.contains(name) && error.contains(problem), "{name}, {problem}: {error}");
    }
    let nothing = Tokenizer::open(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
    assert!(nothing.contains("tokenizer.json: cannot read"), "{nothing}");
}

#[test]
fn a_tokenizer_of_ours_carries_the_template_that_its_model_was_trained_with() {
    let plain = Tokenizer::train(&[b"the cat sat on the mat, the cat that sat on the hat"], 270).unwrap();
    let end = plain.end_of_text().unwrap();
    let table = [
        (plain.clone(), "ByteLevel", None, None),
        (plain.clone().framed(), "TemplateProcessing", Some(1), Some(2)),
        (plain.clone().with_ends(), "TemplateProcessing", None, Some(end)),
        (plain.clone().with_template(Some(Template::ends(Some(7), end))), "TemplateProcessing", Some(7), Some(end)),
    ];
    for (tokenizer, kind, first, last) in table {
        let file: Value = serde_json::from_str(&tokenizer.to_json()).unwrap();
        assert_eq!(file["post_processor"]["type"], kind);
        let again = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
        assert_eq!((again.template(), again.to_json()), (tokenizer.template(), tokenizer.to_json()));
        let inside = tokenizer.encode(b"the hat", Special::Refuse).unwrap();
        let expected: Vec<u32> = first.into_iter().chain(inside).chain(last).collect();
        assert_eq!(again.encode_framed(b"the hat", Special::Refuse).unwrap(), expected);
    }
}

#[test]
fn only_byte_level_tokens_in_order_are_written_for_tiktoken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gpt2.tiktoken");
    Tokenizer::from_json(GPT2).unwrap().save_tiktoken(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() > 900 && text.lines().all(|line| line.split(' ').count() == 2));
    for json in [CLIP, BERT] {
        let error = Tokenizer::from_json(json).unwrap().to_tiktoken().unwrap_err().to_string();
        assert!(error.contains("byte-level"), "{error}");
    }
    assert!(Tokenizer::bytes().save_tiktoken(Path::new("/no/such/place.tiktoken")).is_err());
}

/// The tokenizer of bytes with these tokens, and with merges.
fn of_bytes(tokens: &[(&str, u32)], merges: Value) -> Tokenizer {
    let mut file: Value = serde_json::from_str(&Tokenizer::bytes().to_json()).unwrap();
    tokens.iter().for_each(|(token, id)| file["model"]["vocab"][token] = json!(id));
    file["model"]["merges"] = merges;
    Tokenizer::from_json(&file.to_string()).unwrap()
}

fn small() -> Tokenizer {
    Tokenizer::train(&[b"the cat sat on the mat, the cat that sat on the hat"], 270).expect("a size of at least 256")
}

#[test]
fn what_a_configuration_says_of_accents_and_chinese_is_heard_beside_older_and_newer_files() {
    let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nelan\nélan\n東京\n東\n京";
    let directory = tempfile::tempdir().unwrap();
    for newer in [false, true] {
        let ids = |config: Value, text: &str| {
            let config = config.to_string();
            if newer {
                Tokenizer::from_vocab(vocab, None).unwrap().save(directory.path()).unwrap();
                fs::write(directory.path().join("tokenizer_config.json"), config).unwrap();
                Tokenizer::open(directory.path()).unwrap().encode(text.as_bytes(), Special::AsText).unwrap()
            } else {
                Tokenizer::from_vocab(vocab, Some(&config)).unwrap().encode(text.as_bytes(), Special::AsText).unwrap()
            }
        };
        let class = "BertTokenizer";
        assert_eq!(ids(json!({"tokenizer_class": class}), "Élan 東京"), [5, 8, 9]);
        assert_eq!(ids(json!({"tokenizer_class": class, "strip_accents": false}), "Élan"), [6]);
        assert_eq!(ids(json!({"tokenizer_class": class, "tokenize_chinese_chars": false}), "東京"), [7]);
    }
}

#[test]
fn the_unknown_token_of_a_configuration_is_heard() {
    let config = r#"{"unk_token": "<unk>"}"#;
    let read = Tokenizer::from_vocab("[PAD]\n<unk>\n[UNK]\na", Some(config)).unwrap();
    assert_eq!(read.encode(b"a zzz", Special::AsText).unwrap(), [3, 1]);
}

#[test]
fn of_two_texts_of_a_gpt2_that_begins_texts_the_second_has_another_type() {
    let vocab: Value = serde_json::from_str::<Value>(&small().to_json()).unwrap()["model"]["vocab"].take();
    let config = r#"{"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true}"#;
    let read = Tokenizer::from_vocab_and_merges(&vocab.to_string(), "", Some(config)).unwrap();
    let end = small().end_of_text().unwrap();
    let pair = read.encode_pair(b"a", b"b", Special::AsText).unwrap();
    assert_eq!((pair.ids, pair.types, pair.second), (vec![end, 97, end, 98], vec![0, 0, 1, 1], 3));
}

#[test]
fn tiktoken_gets_tokens_made_twice_and_no_vocabulary_out_of_order() {
    let merges = json!([["a", "b"], ["ab", "c"], ["b", "c"], ["a", "bc"]]); // ab and c make the token that a and bc make
    let twice = of_bytes(&[("ab", 256), ("abc", 257), ("bc", 258)], merges);
    assert_eq!(twice.to_tiktoken().unwrap().lines().count(), 259);
    let disordered = of_bytes(&[("ab", 257), ("bc", 256)], json!([["a", "b"], ["b", "c"]]));
    assert!(disordered.to_tiktoken().unwrap_err().to_string().contains("not in the order"));
}
