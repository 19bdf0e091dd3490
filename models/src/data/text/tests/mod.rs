//! Text from files to samples; what is kept in between; every way it can go wrong.

mod cache;
mod errors;

use std::fs;

use super::*;

/// A directory with files of text and a cache beside them.
struct Room(tempfile::TempDir);

impl Room {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let room = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = room.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self, data: &[&str], val_data: &[&str]) -> TextOptions {
        let sources = |names: &[&str]| names.iter().map(|n| self.path(n).to_str().unwrap().parse().unwrap()).collect();
        TextOptions { data: sources(data), val_data: sources(val_data), val_share: 0.1, cache: self.path("cache") }
    }

    fn bytes(&self, data: &[&str], val_data: &[&str]) -> Result<TextData, DataError> {
        tokenize(&self.options(data, val_data), &Tokenizer::bytes())
    }

    /// The names in the cache with the times at which they were written.
    fn cached(&self) -> Vec<(String, SystemTime)> {
        let entry = |e: io::Result<fs::DirEntry>| {
            let e = e.unwrap();
            (e.file_name().into_string().unwrap(), e.metadata().unwrap().modified().unwrap())
        };
        let mut names: Vec<_> = fs::read_dir(self.path("cache")).unwrap().map(entry).collect();
        names.sort();
        names
    }
}

fn tokenize(options: &TextOptions, tokenizer: &Tokenizer) -> Result<TextData, DataError> {
    TextFiles::open(options)?.tokenize(tokenizer, &mut |_| {})
}

/// All of a part, as text.
fn validation(data: &TextData) -> Vec<u8> {
    let (mut all, mut window) = (Vec::new(), Vec::new());
    for i in 0..data.val_windows(1_000_000) {
        data.val_window(i, 1_000_000, &mut window);
        all.extend(window.iter().map(|&id| id as u8));
    }
    all
}

fn samples(data: &TextData, len: usize, count: u64) -> Vec<Vec<u32>> {
    let mut out = vec![0; len];
    let sample = |row| {
        data.sample(5, 9, row, &mut out);
        out.clone()
    };
    (0..count).map(sample).collect()
}

#[test]
fn documents_of_all_formats_come_in_order_and_divided() {
    let lines = b"{\"text\": \"j1\"}\n\n{\"id\": 3, \"text\": \"j<|endoftext|>2\\u00e9\"}\n{\"text\":\"held\"}";
    let large = vec![b'L'; 2_000_000];
    let room = Room::new(&[
        ("in/a.txt", b"a1<|endoftext|>a2......"),
        ("in/b.txt", &large),
        ("in/c.jsonl", lines),
        ("in/d.md", &[0xff; 10]),
    ]);
    let mut options = room.options(&["in"], &[]);
    options.val_share = 0.25; // of 23 bytes the last 6, of 4 lines the last one
    let documents = TextFiles::open(&options).unwrap().training_documents().unwrap();
    let expected: [&[u8]; 6] = [b"a1", b"a2", &large[..1_500_000], b"j1", "j<|endoftext|>2é".as_bytes(), &[0xff; 7]];
    assert_eq!(documents.slices(), expected);
    drop(documents);
    assert_eq!(room.cached(), [], "the scratch file is gone");

    let data = tokenize(&options, &Tokenizer::bytes()).unwrap();
    assert_eq!(validation(&data), [b"......", &large[1_500_000..], b"held", &[0xff; 3]].concat());
    assert_eq!(data.documents(), (6, 4));
    assert_eq!(data.val_bytes(), 500_013);
}

#[test]
fn the_end_of_text_id_stands_between_documents_if_there_is_one() {
    let room =
        Room::new(&[("a.txt", b"<|endoftext|>one<|endoftext|><|endoftext|>two<|endoftext|>"), ("v.txt", b"val")]);
    let options = room.options(&["a.txt"], &["v.txt"]);
    let documents = TextFiles::open(&options).unwrap().training_documents().unwrap();
    let learned = Tokenizer::train(&documents.slices(), 258).unwrap();
    for tokenizer in [Tokenizer::bytes(), learned] {
        let mut expected = Vec::new();
        tokenizer.encode_ordinary(b"one", &mut expected);
        expected.extend(tokenizer.end_of_text());
        tokenizer.encode_ordinary(b"two", &mut expected);
        let data = tokenize(&options, &tokenizer).unwrap();
        assert_eq!(data.train_tokens(), expected.len() as u64);
        assert_eq!(samples(&data, expected.len(), 1), [expected]);
        assert_eq!((data.val_bytes(), data.documents()), (3, (2, 1)));
    }
}

#[test]
fn validation_data_of_its_own_leaves_all_training_data_to_training() {
    let room = Room::new(&[("a.txt", b"0123456789"), ("v.txt", b"abc"), ("w.txt", b"de")]);
    let data = room.bytes(&["a.txt"], &["v.txt", "w.txt"]).unwrap();
    assert_eq!((data.train_tokens(), validation(&data)), (10, b"abcde".to_vec()));
    let mut options = room.options(&["a.txt"], &[]);
    options.val_share = 0.0;
    let data = tokenize(&options, &Tokenizer::bytes()).unwrap();
    assert_eq!((data.train_tokens(), data.val_tokens(), data.val_windows(4)), (10, 0, 0));
    assert!(data.unigram_entropy().is_nan());
}

#[test]
fn every_validation_token_but_a_sources_first_is_predicted_once() {
    let (a, b): (Vec<u8>, Vec<u8>) = ((0..23).collect(), (100..108).collect());
    let (a, b) = (a.iter().map(|x| x + 32).collect::<Vec<_>>(), b);
    let room = Room::new(&[("t.txt", b"train"), ("a.txt", &a), ("b.txt", &b)]);
    let data = room.bytes(&["t.txt"], &["a.txt", "b.txt"]).unwrap();
    for block in 1..30 {
        let (mut predicted, mut window) = (Vec::new(), Vec::new());
        for i in 0..data.val_windows(block) {
            data.val_window(i, block, &mut window);
            assert!((2..=block + 1).contains(&window.len()));
            predicted.extend(window[1..].iter().map(|&id| id as u8));
        }
        assert_eq!(predicted, [&a[1..], &b[1..]].concat(), "block {block}");
    }
}

#[test]
fn samples_are_a_function_of_seed_step_and_row() {
    let text: Vec<u8> = (1..=250).collect();
    let room = Room::new(&[("a.txt", &text), ("v.txt", b"val")]);
    let (data, again) = (room.bytes(&["a.txt"], &["v.txt"]).unwrap(), room.bytes(&["a.txt"], &["v.txt"]).unwrap());
    let mut seen = HashSet::new();
    let (mut one, mut two) = ([0; 3], [0; 3]);
    for (seed, step, row) in (0..4).flat_map(|i| [(i, 0, 0), (0, i + 1, 0), (0, 0, i + 1)]) {
        data.sample(seed, step, row, &mut one);
        again.sample(seed, step, row, &mut two);
        assert_eq!(one, two);
        assert!(one[1] == one[0] + 1 && one[2] == one[0] + 2, "ids of a window stand in a row");
        seen.insert(one);
    }
    assert!(seen.len() >= 10, "twelve keys give nearly as many windows");
}

#[test]
fn every_start_is_about_equally_likely_and_none_is_out_of_range() {
    let room = Room::new(&[("a.txt", b"0123456789"), ("v.txt", b"val")]);
    let data = room.bytes(&["a.txt"], &["v.txt"]).unwrap();
    let mut count = [0; 7];
    samples(&data, 4, 70_000).iter().for_each(|s| count[(s[0] - 48) as usize] += 1);
    assert!(count.iter().all(|c| (9_500..10_500).contains(c)), "{count:?}"); // five standard deviations
}

#[test]
fn sources_are_chosen_by_weight_or_by_size_and_windows_stay_in_one() {
    let room = Room::new(&[("a.txt", &[b'a'; 300]), ("b.txt", &[b'b'; 100]), ("v.txt", b"val")]);
    for (names, expected) in [(["a.txt", "b.txt"], 0.75), (["a.txt=1", "b.txt=4"], 0.2), (["a.txt=8", "b.txt=2"], 0.8)]
    {
        let data = room.bytes(&names, &["v.txt"]).unwrap();
        let drawn = samples(&data, 50, 20_000);
        assert!(drawn.iter().all(|s| s.iter().all(|&id| id == s[0])));
        let share = drawn.iter().filter(|s| s[0] == u32::from(b'a')).count() as f64 / 20_000.0;
        assert!((share - expected).abs() < 0.015, "{names:?}: {share}");
    }
}

#[test]
fn the_unigram_entropy_is_that_of_the_smoothed_counts_as_they_are_seen() {
    let room = Room::new(&[("a.txt", b"aaab"), ("b.txt", b"bb"), ("v.txt", b"abz")]);
    let cost = |counts: [f64; 3]| {
        let total = 6.0 + 256.0;
        -counts.iter().map(|c| ((c + 1.0) / total).ln()).sum::<f64>() / 3.0
    };
    let by_size = room.bytes(&["a.txt", "b.txt"], &["v.txt"]).unwrap().unigram_entropy();
    assert!((by_size - cost([3.0, 3.0, 0.0])).abs() < 1e-12);
    let by_weight = room.bytes(&["a.txt=1", "b.txt=2"], &["v.txt"]).unwrap().unigram_entropy();
    assert!((by_weight - cost([1.5, 4.5, 0.0])).abs() < 1e-12); // of 6 tokens, 2 as in a and 4 as in b
}

#[test]
fn a_file_in_another_encoding_is_learned_and_named() {
    let room = Room::new(&[("good.txt", "größer".repeat(9).as_bytes()), ("old.txt", &b"gr\xf6\xdfer ".repeat(9))]);
    let notes = |names: &[&str]| room.bytes(names, &[]).unwrap().notes;
    assert_eq!(notes(&["good.txt"]), [""; 0]);
    let said = notes(&["good.txt", "old.txt"]).join("");
    assert!(said.contains("1 file is not UTF-8") && said.contains("byte 3 of") && said.ends_with("old.txt"), "{said}");
}

#[test]
fn lines_without_text_are_counted_also_when_the_ids_are_kept_from_before() {
    let lines = b"{\"text\": \"one\"}\n\n{\"text\": \"\"}\n{\"text\": \"two\"}\n";
    let room = Room::new(&[("a.txt", b"one two"), ("full.jsonl", b"{\"text\": \"one two\"}\n"), ("some.jsonl", lines)]);
    let notes = |names: &[&str], val: &[&str]| room.bytes(names, val).unwrap().notes.join("");
    assert_eq!(notes(&["a.txt", "full.jsonl"], &["full.jsonl"]), "");
    for _ in 0..2 {
        let said = notes(&["full.jsonl", "some.jsonl"], &["a.txt"]);
        assert!(said.starts_with("2 lines are without text") && said.ends_with("some.jsonl"), "{said}");
    }
    assert!(notes(&["some.jsonl"], &["some.jsonl"]).starts_with("4 lines"));
}
