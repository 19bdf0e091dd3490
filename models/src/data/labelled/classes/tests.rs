//! What labelled texts are taken as, and what is refused.

use super::super::conll;
use super::super::testing::{assert_refused, read_as};
use super::*;

fn pairs(labelled: &Labelled) -> Vec<(&str, &str)> {
    labelled.labels.iter().map(String::as_str).zip(labelled.texts.iter().map(String::as_str)).collect()
}

#[test]
fn three_formats_of_the_same_examples_read_the_same() {
    let quoted = r#""Twice, ""yes""!""#; // as comma-separated files quote
    let table = [
        ("some.tsv", "good\tTwice, \"yes\"!\nbad\tOnce.\n".to_owned()),
        ("some.txt", "\u{feff}good \tTwice, \"yes\"!\r\nbad\tOnce.".to_owned()),
        ("some", "good\tTwice, \"yes\"!\nbad\tOnce.\r".to_owned()),
        ("some.csv", format!("text,label\n{quoted},good\nOnce.,bad\n")),
        ("some.CSV", format!("\u{feff}id,Label , TEXT\r\n1, good,{quoted}\r\n2,bad,Once.")),
        ("some.jsonl", "{'text':'Twice, §yes§!','label':'good'}\n{'label':'bad','text':'Once.'}".to_owned()),
        (
            "some.json",
            "\u{feff}{'text':'Twice, §yes§!','label':'good','id':[1]}\r\n{'label':'bad','text':'Once.'}\r\n".to_owned(),
        ),
        ("some.NDJSON", "{'text':'Twice, §yes§!','label':' good'}\n {'label':'bad','text':'Once.'}".to_owned()),
    ];
    let table = table.map(|(name, content)| (name, content.replace('\'', "\"").replace('§', "\\\"")));
    for (name, content) in table {
        let labelled = read_as(name, content, read).unwrap();
        assert_eq!(pairs(&labelled), [("good", "Twice, \"yes\"!"), ("bad", "Once.")], "{name}");
        assert!(labelled.notes.is_empty(), "{name}: {:?}", labelled.notes);
    }
}

#[test]
fn json_labels_may_be_whole_numbers_and_truth_values() {
    let labels = ["\"a\"", "7", "-7", "18446744073709551615", "true", "false"];
    let content: String = labels.iter().map(|label| format!("{{\"text\": \"t\", \"label\": {label}}}\n")).collect();
    let labelled = read_as("some.jsonl", content, read).unwrap();
    assert_eq!(labelled.labels, labels.map(|label| label.trim_matches('"')));
}

#[test]
fn empty_lines_are_passed_over_and_noted_with_the_first() {
    let table = [
        ("some.tsv", "a\tb\n\n  \nc\td\n\n"),
        ("some.jsonl", "{\"text\":\"b\",\"label\":\"a\"}\r\n\r\n\n{\"text\":\"d\",\"label\":\"c\"}\n\n"),
        ("some.csv", "text,label\nb,a\nd,c\n"), // none
        ("some.csv", "\n\r\ntext,label\nb,a\n\nd,c\n"),
        ("some.csv", "text,label\r\nb,a\r\n\r\n\nd,c\r\n\r\n"),
    ];
    let notes = [
        "3 empty lines passed over, the first is line 2 of some.tsv",
        "3 empty lines passed over, the first is line 2 of some.jsonl",
        "",
        "3 empty lines passed over, the first is line 1 of some.csv",
        "3 empty lines passed over, the first is line 3 of some.csv",
    ];
    for ((name, content), note) in table.into_iter().zip(notes) {
        let labelled = read_as(name, content, read).unwrap();
        assert_eq!(pairs(&labelled), [("a", "b"), ("c", "d")], "{content:?}");
        assert_eq!(labelled.notes.concat(), note, "{content:?}");
    }
}

#[test]
fn a_quoted_field_may_hold_lines_and_later_rows_keep_their_numbers() {
    let content = "label,text\r\na,\"one\r\n\r\ntwo\"\r\n\r\nb,\"x\n\"\n\n\nc,\n";
    let wrong = &["line 10", "empty text", "\"c\""];
    assert_refused("some.csv", content.as_bytes(), wrong, read);
    let labelled = read_as("some.csv", content.replace("c,\n", "c,z\n"), read).unwrap();
    assert_eq!(pairs(&labelled), [("a", "one\r\n\r\ntwo"), ("b", "x\n"), ("c", "z")]);
    assert_eq!(labelled.notes, ["3 empty lines passed over, the first is line 5 of some.csv"]);
}

#[test]
fn a_first_line_that_names_the_columns_is_no_example_and_says_their_order() {
    for (content, note) in [
        ("label\ttext\na\tb\nc\td\n", "1 line names the columns, and is no example: line 1 of some.tsv"),
        ("\"sentence\"\t#Labels\nb\ta\nd\tc\n", "1 line names the columns, and is no example: line 1 of some.tsv"),
        ("\nText\tLabel \nb\ta\nd\tc\n", "1 line names the columns, and is no example: line 2 of some.tsv"),
    ] {
        let labelled = read_as("some.tsv", content, read).unwrap();
        assert_eq!(pairs(&labelled), [("a", "b"), ("c", "d")], "{content:?}");
        assert_eq!(labelled.notes[0], note);
    }
    let labelled = read_as("some.tsv", "a\tb\nlabel\ttext\n", read).unwrap();
    assert_eq!(pairs(&labelled), [("a", "b"), ("label", "text")]);
    assert_refused("some.tsv", b"label\ttext\n", &["a header and no example"], read);
}

#[test]
fn words_with_tags_and_questions_are_sent_to_the_task_that_learns_from_them() {
    let questions = b"{\n\"data\": [{\"paragraphs\": []}]\n}";
    assert_refused("some.json", questions, &["`finetune DIR answer`"], read);
    assert_refused("some.json", questions, &["`finetune DIR answer`"], conll::read);
    let roads = read_as("some.tsv", "road\tI-95\nplane\tB-52\n", read).unwrap();
    assert_eq!(pairs(&roads), [("road", "I-95"), ("plane", "B-52")]);
    assert_refused("some.txt", b"Mia NNP B-PER\nsees VBZ O\n", &["`finetune DIR tag`"], read);
    assert_refused("some.tsv", b"Ulysses\tB-creative-work\nis\tO\n", &["`finetune DIR tag`"], read);
    let spaced = read_as("some.csv", "text,label\na,b\n   \nc,d\n", read).unwrap();
    assert_eq!(
        (spaced.texts.len(), &spaced.notes[..]),
        (2, &["1 empty line passed over: line 3 of some.csv".to_owned()][..])
    );
    for name in ["some.conll", "some.tsv"] {
        assert_refused(
            name,
            b"Mia\tB-PER\nsees\tO\n\nOslo\tB-LOC\n",
            &["words with a tag", "`finetune DIR tag`"],
            read,
        );
    }
}

#[test]
fn lines_that_are_no_example_are_refused_with_their_number() {
    let table: [(&[u8], &[&str]); 8] = [
        (b"a\tb\n\nno tab here\n", &["line 3", "no TAB", "\"no tab here\"", ".csv"]),
        (b"a\tb\tc\n", &["line 1", "more than one TAB", "\"a\\tb\\tc\""]),
        (b"a\tb\n\tc\n", &["line 2", "empty label", "\"c\""]),
        (b"a\tb\nc\t \n", &["line 2", "empty text", "\"c\""]),
        (b"a\tb\n\t\n", &["line 2", "empty label"]),
        (b"a\tb\nc\t\x93d\x94\n", &["line 2", "byte 3", "0x93", "UTF-8", "WINDOWS-1252"]),
        (b"\n\n", &["empty"]),
        (b"", &["empty", "examples"]),
    ];
    for (content, words) in table {
        assert_refused("some.tsv", content, words, read);
    }
}

#[test]
fn json_lines_that_are_no_example_are_refused_with_their_number() {
    let table: [(&[u8], &[&str]); 10] = [
        (
            b"{\"text\":\"a\",\"label\":1}\noops\n",
            &["line 2", "does not begin with {", "\"oops\"", "one object a line"],
        ),
        (b"[\"a\", \"b\"]", &["line 1", "does not begin with {", "one object a line"]),
        (b"{\"text\":\"a\"}", &["line 1", "missing field `label`", "\"{\\\"text\\\":\\\"a\\\"}\""]),
        (b"\n{\"label\":\"a\"}", &["line 2", "missing field `text`"]),
        (b"{\"text\":\"a\",\"label\":1.5}", &["line 1", "its label is neither"]),
        (b"{\"text\":\"a\",\"label\":null}", &["line 1", "its label is neither"]),
        (b"{\"text\":3,\"label\":1}", &["line 1", "expected a string", "column 9"]),
        (b"{\"text\":\"a\",\"label\":1", &["line 1", "EOF", "column 21"]),
        (b"{\"text\":\"a\",\"label\":\"\"}", &["line 1", "empty label"]),
        (b"{\"text\":\"\",\"label\":1}", &["line 1", "empty text"]),
    ];
    for (content, words) in table {
        assert_refused("some.jsonl", content, words, read);
    }
}

#[test]
fn comma_separated_lines_that_are_no_example_are_refused_with_their_number() {
    let table: [(&[u8], &[&str]); 13] = [
        (b"review,label\na,b\n", &["no column \"text\"", "\"review\", \"label\"", "call the column"]),
        (b"text;label\na;b\n", &["no column \"text\"", "\"text;label\"", "separated by commas"]),
        (b"text,label,Text\na,b,c\n", &["two columns \"text\"", "\"Text\""]),
        (b"text,label\n\na,b\none, two,c\n", &["line 4", "3 instead of 2 columns", "\"one, two,c\"", "quotes"]),
        (b"text,label\na\n", &["line 2", "1 instead of 2 columns", "\"a\""]),
        (b"text,label\na,b\n,c\n", &["line 3", "empty text", "\"c\""]),
        (b"text,label\na,b\nc, \n", &["line 3", "empty label", "\"c\""]),
        (b"label,text\na,b\nc,\"d\ne,f\n", &["line 3", "quotes that never close", "\"c,\\\"d\""]),
        (b"label,text\na,b\nc,d \x80\n", &["line 3", "byte 5", "0x80"]),
        (b"text,label\na,b\n\"c\nd\",e\n\"f\" g,h\n", &["line 5", "close before its end", "\"\\\"f\\\" g,h\""]),
        (b"text,label\n\"a,b\nc,\"d\"\n", &["line 2", "close before its end", "\"\\\"a,b\""]),
        (b"\"label,text\n", &["line 1", "quotes that never close"]),
        (b"label,text\n", &["a header and no example"]),
    ];
    for (content, words) in table {
        assert_refused("some.csv", content, words, read);
    }
}
