//! What pre-training is for, end to end: a model learns tasks from labelled files, and is used.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tests::{file, pretext, run, said, words};

use super::train;

/// A small BERT in a directory of its own, hardly trained.
pub fn bert(directory: &Path) -> PathBuf {
    let out = directory.join("bert");
    let output = run(train(&out, &["bert", "--steps", "2"]));
    assert!(output.status.success(), "{}", said(&output));
    out
}

#[test]
fn a_classifier_learns_is_kept_and_labels_texts() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let out = out.to_str().unwrap();
    let data = file(here, "train.tsv", "good\tvery nice indeed\nbad\tawful, just awful\n".repeat(8));
    let test = file(here, "test.csv", "text,label\nvery nice,good\nawful,bad\nnobody knows,other\n");
    let learn = ["finetune", model, "classify", "--data", &data, "--test-data", &test, "--out", out, "--lr", "1e-2"];
    let (content, text) = words(learn);
    assert!(content && text.contains("test accuracy 66.7%"), "{text}");
    assert!(text.contains("training never saw, and counts as wrong: line 4 (\"other\") of test.csv"), "{text}");
    let (content, text) = words(["classify", out, "very nice indeed", "awful, just awful"]);
    let labels: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert!(content && labels[..2] == ["good", "bad"], "{text}");
    let (content, text) = words(learn);
    assert!(!content && text.contains("already holds a model"), "{text}");
    let busy = here.join("busy");
    fs::create_dir(&busy).unwrap();
    let held = fs::File::open(&busy).unwrap();
    held.lock().unwrap(); // as a process does that is at work there
    let (content, text) = words(["finetune", model, "classify", "--data", &data, "--out", busy.to_str().unwrap()]);
    assert!(!content && text.contains("somebody trains in it") && !text.contains("pass 1"), "{text}");
    let (content, text) = words(["tag", out, "a text"]);
    assert!(!content && text.contains("use `pretext classify`"), "{text}");
    let (content, text) = words(["classify", model, "a text"]);
    assert!(!content && text.contains("is not fine-tuned"), "{text}");
    let (content, text) = words(["fill", out, "a [MASK]"]);
    assert!(!content && text.contains("is fine-tuned: give the run"), "{text}");
}

#[test]
fn lines_are_answered_as_they_come_and_as_the_same_words_would_be() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let out = out.to_str().unwrap();
    let data = file(here, "train.tsv", "good\tvery nice indeed\nbad\tawful, just awful\n".repeat(8));
    let (content, text) = words(["finetune", model, "classify", "--data", &data, "--out", out, "--least-steps", "1"]);
    assert!(content, "{text}");
    for command in [&["classify", out, "--json"][..], &["embed", model]] {
        let mut program = pretext().args(command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut to, mut from) = (program.stdin.take().unwrap(), BufReader::new(program.stdout.take().unwrap()));
        let mut answered = Vec::new();
        // No line follows before the one before it is answered.
        for text in ["very nice  ", "awful\u{a0}"] {
            to.write_all(format!("{text}\r\n").as_bytes()).unwrap();
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            answered.push(line);
        }
        drop(to);
        assert!(program.wait().unwrap().success());
        for (text, answer) in ["very nice  ", "awful\u{a0}"].iter().zip(answered) {
            let as_word = run(command.iter().chain([text]));
            assert_eq!(String::from_utf8_lossy(&as_word.stdout), answer, "{text:?} keeps the spaces it ends in");
        }
    }
}

#[test]
fn labels_and_texts_that_are_turned_round_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let model = model.to_str().unwrap();
    let turned = file(here, "turned.tsv", (0..20).map(|i| format!("text number {i}\tgood\n")).collect::<String>());
    let (content, text) = words(["finetune", model, "classify", "--data", &turned]);
    assert!(!content && text.contains("20 different labels") && text.contains("turn the two round"), "{text}");
}

#[test]
fn a_tagger_learns_is_kept_and_finds_entities() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let out = out.to_str().unwrap();
    // The last sentence is not closed by an empty line.
    let data = file(here, "train.conll", "Mia B-PER\nsees O\nOslo B-LOC\n. O\n\n".repeat(9).trim_end());
    let learn = ["finetune", model, "tag", "--data", &data, "--test-data", &data, "--out", out, "--lr", "1e-2"];
    let (content, text) = words(learn);
    assert!(content && text.contains("9 examples to learn from") && text.contains("test entity F1 100.0%"), "{text}");
    let (content, text) = words(["tag", out, "Mia sees Oslo."]);
    assert!(content && text.contains("PER") && text.contains("Mia") && text.contains("Oslo"), "{text}");
    let broken = file(here, "broken.conll", "Mia B-PER\nsees\n");
    let (content, text) = words(["finetune", model, "tag", "--data", &broken]);
    assert!(!content && text.contains("line 2"), "{text}");
}

/// SQuAD's JSON with one paragraph and questions about it, each with its answer.
pub fn squad(context: &str, questions: &[(&str, &str)]) -> String {
    let qas: Vec<String> = questions
        .iter()
        .enumerate()
        .map(|(i, (question, answer))| {
            let start = context.find(answer).map_or(-1, |at| context[..at].chars().count() as i64);
            let answers = format!(r#"[{{"text": "{answer}", "answer_start": {start}}}]"#);
            format!(r#"{{"id": "q{i}", "question": "{question}", "answers": {answers}}}"#)
        })
        .collect();
    format!(r#"{{"data": [{{"paragraphs": [{{"context": "{context}", "qas": [{}]}}]}}]}}"#, qas.join(", "))
}

#[test]
fn an_answerer_learns_is_kept_and_answers() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let (model, out) = (model.to_str().unwrap(), here.join("tuned"));
    let out = out.to_str().unwrap();
    let context = "Mia sees a tiny red ball in the café. Otto, who is late, sees nothing at all of it.";
    let questions = [("Who sees the ball?", "Mia"), ("Where is it?", "in the café"), ("And he?", "somewhere else")];
    let data = file(here, "train.json", squad(context, &questions));
    let learn = ["finetune", model, "answer", "--data", &data, "--test-data", &data, "--out", out, "--lr", "1e-2"];
    let (content, text) = words([&learn[..], &["--dropout", "0", "--least-steps", "200"]].concat());
    assert!(content && text.contains("2 questions to learn from"), "{text}");
    assert!(text.contains("is compared with but not learned: that of question \"q2\""), "it stands nowhere: {text}");
    let (exact, shared) = (text.contains("test exact match 66.7%"), text.contains("test answer F1 66.7%"));
    assert!(exact && shared, "it counts as SQuAD's script counts it: {text}");
    let (content, text) = words(["answer", out, "Where is it?", context]);
    assert!(content && text.contains("%\tin the café"), "{text}");
    let (content, text) = words(["answer", out, "--data", &data]);
    assert!(content && text.contains(r#""q0":"Mia""#) && text.contains(r#""q2":"#), "{text}");
    assert!(!text.contains("question has no answer"), "it is answered all the same: {text}");
    let (content, text) = words(["answer", out, &"Where is it? ".repeat(60), context]);
    assert!(content && text.contains("the question fills more than half"), "{text}");
    let (content, text) = words(["answer", out, "Where is it?", " "]);
    assert!(!content && text.contains("is empty: give a question"), "{text}");
    let nothing = file(here, "nothing.json", squad(context, &questions[2..]));
    let (content, text) = words(["finetune", model, "answer", "--data", &nothing]);
    assert!(!content && text.contains("nothing to learn from"), "{text}");
}

#[test]
fn lines_without_a_mask_are_left_out_and_said_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let model = model.to_str().unwrap();
    let lines = file(here, "lines.txt", "\u{feff}Mia has a [MASK].\nno hidden place\n\nIt was [MASK].\n");
    let (content, text) = words(["fill", model, "--in", &lines, "--top", "1"]);
    assert!(!content && text.contains("\nMia has a [MASK].\n") && text.contains("\nIt was [MASK].\n"), "{text}");
    assert!(text.contains("2 of 4 texts are left out, the others are done; first line 2 of"), "{text}");
    let (content, text) = words(["fill", model, "It was [MASK].", "It is [MASK].", "--json"]);
    assert!(content && text.contains(r#""text":"It is [MASK].""#), "{text}");
    fs::write(&lines, b"It was [MASK].\nIt w\xe4s [MASK].\n").unwrap();
    for said in [&["fill", model, "--in", &lines][..], &["search", model, "It", "--in", &lines]] {
        let (content, text) = words(said);
        assert!(!content && text.contains("line 2 is not UTF-8, for its byte 5"), "{said:?}: {text}");
    }
}

#[test]
fn a_gpt_is_used_by_the_same_commands() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), directory.path().join("gpt"));
    let output = run(train(&model, &["gpt", "--steps", "2"]));
    assert!(output.status.success(), "{}", said(&output));
    let model = model.to_str().unwrap();
    let texts = file(here, "train.tsv", "good\tvery nice indeed\nbad\tawful, just awful\n".repeat(8));
    let tags = file(here, "train.conll", "Mia B-PER\nsees O\nOslo B-LOC\n. O\n\n".repeat(9));
    let asked = file(here, "train.json", squad("Mia sees Oslo.", &[("Who?", "Mia"), ("What?", "Oslo")]));
    for (task, data, more, wanted, used) in [
        ("classify", &texts, &["--pooling", "token"][..], "test accuracy 100.0%", &["very nice indeed"][..]),
        ("tag", &tags, &[], "test entity F1 100.0%", &["Mia sees Oslo."]),
        ("answer", &asked, &["--least-steps", "200"], "test exact match 100.0%", &["What?", "Mia sees Oslo."]),
    ] {
        let out = here.join(task);
        let out = out.to_str().unwrap();
        let learn = ["finetune", model, task, "--data", data, "--test-data", data, "--out", out, "--lr", "1e-2"];
        let (content, text) = words([&learn[..], more].concat());
        assert!(content && text.contains(wanted), "{task}: {text}");
        let (content, text) = words([&[task, out], used].concat());
        assert!(content && text.contains('%'), "{task}: {text}");
        let config = fs::read_to_string(Path::new(out).join("config.json")).unwrap();
        let (kind, head) = match task {
            "classify" => ("Sequence", "score.weight"),
            "tag" => ("Token", "classifier.weight"),
            _ => ("Question", "qa_outputs.weight"),
        };
        assert!(config.contains(&format!("GPT2For{kind}")) && config.contains("pad_token_id"), "{config}");
        let weights = fs::read(Path::new(out).join("model.safetensors")).unwrap();
        let header = String::from_utf8_lossy(&weights[..4000]);
        for name in [head, "transformer.h.0.ln_1.weight", "transformer.wte.weight"] {
            assert!(header.contains(&format!("\"{name}\"")), "{task}: no {name} as others read it");
        }
    }
    let (content, text) = words(["embed", model, "a text", "--pooling", "last"]);
    assert!(content && text.contains("\"vector\":["), "{text}");
    let (content, text) = words(["fill", model, "a [MASK]"]);
    assert!(!content && !text.contains("panicked"), "{text}");
}

#[test]
fn a_curve_is_a_table_and_a_picture() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let data = file(here, "train.tsv", "good\tvery nice indeed\nbad\tawful, just awful\n".repeat(2));
    let svg = here.join("curve.svg");
    let more = ["--test-data", &data, "--seeds", "2", "--least-steps", "3", "--svg", svg.to_str().unwrap()];
    let (content, text) = words([&["curve", model.to_str().unwrap(), "classify", "--data", &data], &more[..]].concat());
    assert!(content && text.contains("bag of words") && text.contains("100.0 ±0.0"), "{text}");
    assert!(fs::read_to_string(&svg).unwrap().contains("from scratch"));
    let (content, text) = words(["curve", model.to_str().unwrap(), "classify", "--svg", svg.to_str().unwrap()]);
    assert!(!content && text.contains("is there already"), "{text}");
    let (content, text) = words(["curve", model.to_str().unwrap(), "classify", "--dropout", "1"]);
    assert!(!content && text.contains("--dropout 1: give a share from 0 to 0.9"), "{text}");
    let svg = here.join("json.svg");
    let more =
        ["--test-data", &data, "--seeds", "1", "--most", "1", "--least-steps", "3", "--svg", svg.to_str().unwrap()];
    let more = [&["curve", model.to_str().unwrap(), "classify", "--data", &data, "--json"], &more[..]].concat();
    let (content, text) = words(&more);
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    let told: serde_json::Value = serde_json::from_str(line).unwrap();
    let (point, plain) = (&told["points"][0], &told["points"][0]["scores"]["bag of words"]);
    assert!(content && point["labels"] == 1 && point["examples"] == 2 && plain[0] == 1.0, "{text}");
    let data = file(here, "train.conll", "Mia B-PER\nsees O\nOslo B-LOC\n. O\n\n".repeat(3));
    let svg = here.join("tags.svg");
    let more = ["--test-data", &data, "--seeds", "2", "--dropout", "0", "--svg", svg.to_str().unwrap()];
    let more = [&more[..], &["--least-steps", "3"]].concat();
    let (content, text) = words([&["curve", model.to_str().unwrap(), "tag", "--data", &data], &more[..]].concat());
    assert!(content && text.contains("tagged sentences") && text.contains("entity F1 on test sentences"), "{text}");
    assert!(fs::read_to_string(&svg).unwrap().contains("entity F1"));
}

#[test]
fn texts_become_vectors_and_a_search_finds_the_line_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    let model = model.to_str().unwrap();
    let (content, text) = words(["embed", model, "a text", "another"]);
    assert!(content && text.matches("\"vector\":[").count() == 2, "{text}");
    let lines = file(here, "lines.txt", "one thing\nanother thing\n\nsomething else\n");
    for new in [true, false] {
        let (content, text) = words(["search", model, "another thing", "--in", &lines, "--top", "1"]);
        assert!(content && text.contains("1.000\t2\tanother thing"), "{text}");
        assert_eq!(text.contains("the vectors are kept in"), new, "the second time they are there: {text}");
        assert!(text.contains("1 text is empty; first line 3 of"), "{text}");
    }
    let config = here.join("bert/config.json");
    let before = fs::read_to_string(&config).unwrap();
    fs::write(&config, before.replace("\"num_attention_heads\": 2", "\"num_attention_heads\": 4")).unwrap();
    assert_ne!(fs::read_to_string(&config).unwrap(), before);
    let (content, text) = words(["search", model, "another thing", "--in", &lines, "--top", "1"]);
    assert!(content && text.contains("the vectors are kept in"), "another model, so new vectors: {text}");
    fs::write(&config, before).unwrap();
    let (content, text) = words(["search", model, " ", "--in", &lines]);
    assert!(!content && text.contains("the query is empty"), "{text}");
    let (content, text) = words(["embed", model, "--in", &lines]);
    assert!(content && text.contains("1 text is empty; first line 3 of"), "{text}");
    let notes = file(here, "lines.txt.index.safetensors", "somebody's notes");
    let (content, text) = words(["search", model, "another thing", "--in", &lines, "--top", "1"]);
    assert!(content && text.contains("kept nowhere") && text.contains("1.000\t2\tanother thing"), "{text}");
    assert_eq!(fs::read_to_string(&notes).unwrap(), "somebody's notes");
    let elsewhere = here.join("elsewhere");
    let (content, text) =
        words(["search", model, &"thing ".repeat(200), "--in", &lines, "--index", elsewhere.to_str().unwrap()]);
    assert!(content && elsewhere.exists() && text.contains("the query is longer than"), "{text}");
    let pairs = file(here, "pairs.tsv", "5\tone thing\tone thing\n1\tone thing\tZZZ\n3.5\tthis\tthat\n");
    let (content, text) = words(["embed", model, "--pairs", &pairs]);
    assert!(content && text.contains("\"spearman\":1.0"), "{text}");
    let broken = file(here, "broken.tsv", "5\tone\ttwo\nfive\tone\ttwo\n");
    let (content, text) = words(["embed", model, "--pairs", &broken]);
    assert!(!content && text.contains("line 2 is no pair"), "{text}");
    let sought = file(here, "sought.tsv", "one thing\tone thing\nZZZ\tZZZ\nthis\tthis\n");
    let (content, text) = words(["embed", model, "--retrieval", &sought]);
    assert!(content && text.contains("\"recall_at_1\":1.0") && text.contains("\"queries\":3"), "{text}");
    let (content, text) = words(["embed", model, "--retrieval"]);
    assert!(content && text.contains("\"queries\":1000"), "{text}");
    let (content, text) = words(["search", model, "Mia paints the ball", "--top", "2"]);
    assert!(content && text.lines().filter(|line| line.contains('\t')).count() == 2, "{text}");
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let model = bert(directory.path());
    let weights = model.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 4..].fill(0xff);
    fs::write(&weights, bytes).unwrap();
    let (content, text) = words(["fill", model.to_str().unwrap(), "a [MASK]"]);
    assert!(!content && text.contains("holds NaN") && text.contains("copy it again"), "{text}");
}

#[test]
fn labelled_files_that_are_none_are_refused_with_their_line() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), bert(directory.path()));
    for (name, content, wants) in [
        ("a.tsv", "good\tfine\nno tab here\n", "line 2"),
        ("b.csv", "text,label\na,b,c\n", "line 2"),
        ("c.csv", "comment,mark\na,b\n", "comment"),
        ("d.jsonl", "{\"text\": \"a\"\n", "line 1"),
        ("e.tsv", "", "e.tsv"),
    ] {
        let data = file(here, name, content);
        let (content, text) = words(["finetune", model.to_str().unwrap(), "classify", "--data", &data]);
        assert!(!content && text.contains(wants) && !text.contains("panicked"), "{name}: {text}");
    }
}
