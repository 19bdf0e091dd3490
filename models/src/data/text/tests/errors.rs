//! Every way in which text can be wrong, and the sentence that answers it.

use super::*;

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error_and_leaves_no_shard() {
    let room = Room::new(&[("a.txt", b"some text to keep")]);
    let files = TextFiles::open(&room.options(&["a.txt"], &[])).unwrap();
    let path = room.path("a.txt");
    let mut change = |_| fs::write(&path, "some text to keep, and more").unwrap();
    let message = files.tokenize(&Tokenizer::bytes(), &mut change).unwrap_err().to_string();
    assert_eq!(message, format!("{} was changed while it was read: start again when it is complete", path.display()));
    assert_eq!(room.cached(), []);
}

/// Everything that can be wrong, beside the sentence that it is answered with; `DIR/` stands for the room.
#[test]
fn every_error_names_the_file_what_is_wrong_and_the_way_out() {
    let room = Room::new(&[
        ("good.txt", &[b'x'; 40]),
        ("one.txt", b"x"),
        ("empty.txt", b""),
        ("utf16.txt", b"\xff\xfea\0b\0"),
        ("none/notes.rs", b"fn main() {}"),
        ("torn.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"b\n"),
        ("lacks.jsonl", b"{\"body\": \"a\"}\n"),
        ("number.jsonl", b"{\"text\": 3}\n"),
        ("list.jsonl", b"{\"text\": \"a\"}\n[\"a\"]\n"),
        ("single.jsonl", b"{\"text\": \"a text that is long enough\"}\n"),
        ("file", b"a file where a cache should be"),
    ]);
    let table: &[(&[&str], &[&str], &str)] = &[
        (&["nothing.txt"], &[], "there is no file or folder DIR/nothing.txt: check the path"),
        (&["good.txt"], &["nothing"], "there is no file or folder DIR/nothing: check the path"),
        (&["empty.txt"], &[], "DIR/empty.txt is empty: give a file with text in it"),
        (
            &["none"],
            &[],
            "the folder DIR/none has no text: it was searched for files .txt, .md, .jsonl, .ndjson and .json-lines",
        ),
        (&["utf16.txt"], &[], "DIR/utf16.txt is not text, for its byte 3 is zero: leave it out, unpack it"),
        (
            &["torn.jsonl"],
            &["good.txt"],
            "DIR/torn.jsonl:2 is not a JSON object with a string \"text\" (control character (\\u0000-\\u001F) found while parsing a \
             string at column",
        ),
        (
            &["lacks.jsonl"],
            &["good.txt"],
            "DIR/lacks.jsonl:1 is not a JSON object with a string \"text\" (missing field `text`",
        ),
        (
            &["list.jsonl"],
            &["good.txt"],
            "DIR/list.jsonl:2 is not a JSON object with a string \"text\" (it does not begin with {)",
        ),
        (
            &["single.jsonl"],
            &[],
            "training data of DIR/single.jsonl has 0 tokens, and a row takes 9: give more text, or name with --val-data",
        ),
        (
            &["number.jsonl"],
            &["good.txt"],
            "DIR/number.jsonl:1 is not a JSON object with a string \"text\" (invalid type",
        ),
        (
            &["good.txt=2", "one.txt"],
            &[],
            "DIR/one.txt has no weight, but other data have: give all of it weights, or none",
        ),
        (
            &["good.txt"],
            &["one.txt=2"],
            "DIR/one.txt has a weight, but all of the validation data is read, once: leave",
        ),
        (&[], &[], "no training data was named: give at least one file or folder"),
        (
            &["good.txt"],
            &[],
            "validation data of DIR/good.txt has 4 tokens, and a row takes 9: give more text, a larger --val-share, or --val-data, \
             or make --block-size smaller by 5",
        ),
        (&["one.txt"], &["good.txt"], "training data of DIR/one.txt has 1 token, and a row takes 9: give more text"),
    ];
    for (data, val_data, expected) in table {
        let result = room.bytes(data, val_data).and_then(|data| data.require_window(9, false));
        let message = result.unwrap_err().to_string().replace(&format!("{}/", room.0.path().display()), "DIR/");
        assert!(message.starts_with(expected), "{data:?} {val_data:?}: {message}");
    }
    let options = TextOptions { cache: room.path("file"), ..room.options(&["good.txt"], &[]) };
    let message = tokenize(&options, &Tokenizer::bytes()).unwrap_err().to_string();
    let expected = format!("cannot write tokens to the cache {} (", options.cache.display());
    assert!(
        message.starts_with(&expected) && message.ends_with("name another directory in PRETEXT_CACHE"),
        "{message}"
    );
    for share in [-0.1, 1.0, f64::NAN] {
        let options = TextOptions { val_share: share, ..room.options(&["good.txt"], &[]) };
        let message = tokenize(&options, &Tokenizer::bytes()).unwrap_err().to_string();
        assert!(message.contains("held out for validation is not in [0, 1)"), "{message}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_is_not_a_file_of_text() {
    let message = Corpus::find(&"/dev/null".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(message, "/dev/null is neither a file nor a folder: write its text to a file first");
}
