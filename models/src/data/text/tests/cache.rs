//! What is encoded once is found again, and nothing else is.

use std::fs::File;

use super::*;

#[test]
fn text_is_tokenised_once_until_it_or_its_tokenizer_or_its_split_changes() {
    let room = Room::new(&[("a.txt", b"some text to keep")]);
    let first = room.bytes(&["a.txt"], &[]).unwrap();
    let cached = room.cached();
    assert_eq!(cached.len(), 2, "a shard for training and one for validation");
    let mut encoded = 0;
    let files = TextFiles::open(&room.options(&["a.txt"], &[])).unwrap();
    let again = files.tokenize(&Tokenizer::bytes(), &mut |bytes| encoded += bytes).unwrap();
    assert_eq!((encoded, room.cached()), (0, cached), "nothing is encoded or written");
    assert_eq!(first.fingerprint(), again.fingerprint());

    fs::copy(room.path("a.txt"), room.path("b.txt")).unwrap();
    room.bytes(&["b.txt"], &[]).unwrap();
    assert_eq!(room.cached().len(), 2, "a copy is the same text");
    let learned = Tokenizer::train(&[b"some text"], 258).unwrap();
    let other = tokenize(&room.options(&["a.txt"], &[]), &learned).unwrap();
    assert_eq!(room.cached().len(), 4, "another tokenizer");
    assert_ne!(first.fingerprint(), other.fingerprint());
    tokenize(&TextOptions { val_share: 0.3, ..room.options(&["a.txt"], &[]) }, &learned).unwrap();
    assert_eq!(room.cached().len(), 6, "another split");
    fs::write(room.path("a.txt"), "some text to keeq").unwrap();
    let changed = room.bytes(&["a.txt"], &[]).unwrap();
    assert_eq!(room.cached().len(), 8, "other text");
    assert_ne!(first.fingerprint(), changed.fingerprint());
}

#[test]
fn a_damaged_cache_is_made_again() {
    let room = Room::new(&[("a.txt", b"some text to keep")]);
    let contents = || {
        let read = |(name, _)| fs::read(room.path("cache").join(name)).unwrap();
        room.cached().into_iter().map(read).collect::<Vec<_>>()
    };
    room.bytes(&["a.txt"], &[]).unwrap();
    let whole = contents();
    let damages: [fn(&mut Vec<u8>); 4] =
        [|file| file.truncate(99), |file| file.clear(), |file| file[130] ^= 1, |file| file.push(0)];
    for damage in damages {
        for ((name, _), mut bytes) in room.cached().iter().zip(whole.clone()) {
            damage(&mut bytes);
            fs::write(room.path("cache").join(name), bytes).unwrap();
        }
        assert_eq!(validation(&room.bytes(&["a.txt"], &[]).unwrap()), b"ep");
        assert_eq!(contents(), whole);
    }
}

#[test]
fn processes_that_fill_the_same_cache_at_once_agree() {
    let text: Vec<u8> =
        (0..3_000_000u32).map(|i| b"abcdefg hij"[(i.wrapping_mul(2_654_435_761) >> 24) as usize % 11]).collect();
    let room = Room::new(&[("a.txt", &text)]);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| validation(&room.bytes(&["a.txt"], &[]).unwrap()))).collect();
        runs.into_iter().for_each(|run| assert!(run.join().unwrap() == text[2_700_000..]));
    });
    assert_eq!(room.cached().len(), 2);
}

#[test]
fn what_a_killed_run_left_in_the_cache_goes_after_a_day() {
    let room = Room::new(&[("a.txt", b"some text to keep"), ("cache/.tmp-old", b""), ("cache/.tmp-new", b"")]);
    let two_days_ago = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
    File::options().write(true).open(room.path("cache/.tmp-old")).unwrap().set_modified(two_days_ago).unwrap();
    room.bytes(&["a.txt"], &[]).unwrap();
    let names: Vec<_> = room.cached().into_iter().map(|(name, _)| name).filter(|name| name.starts_with('.')).collect();
    assert_eq!(names, [".tmp-new"]);
}

#[test]
fn the_cache_is_where_the_variables_say() {
    let with =
        |set: &[(&str, &str)]| cache_from(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()));
    let (own, shared, home) = (("PRETEXT_CACHE", "p"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h"));
    assert_eq!(with(&[own, shared, home]), Path::new("p"));
    assert_eq!(with(&[shared, home]), Path::new("/x/pretext"));
    assert_eq!(with(&[home]), Path::new("/h/.cache/pretext"));
    assert_eq!(with(&[("XDG_CACHE_HOME", "relative"), home]), Path::new("/h/.cache/pretext"));
    assert_eq!(with(&[]), std::env::temp_dir().join("pretext"));
}
