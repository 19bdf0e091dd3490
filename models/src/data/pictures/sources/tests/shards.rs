//! WebDataset shards: what belongs together, what is passed over, and what is damaged.

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::*;

#[test]
fn pictures_of_a_shard_that_have_no_key_of_their_own_are_counted_and_named() {
    let names = ["1.png", "1.txt", "1.seg.png", "v.a.png", "v.a.txt", ".hidden.png"];
    let content = |name: &&str| if name.ends_with("txt") { b"said".to_vec() } else { png(1) };
    let members: Vec<_> = names.iter().map(|name| (*name, content(name))).collect();
    let members: Vec<(&str, &[u8])> = members.iter().map(|(name, content)| (*name, &content[..])).collect();
    let dir = folder(&[("s.tar", &tar_of(&members))]);
    let set = PictureFiles::open(&options(&dir, "s.tar")).unwrap();
    let said = set.notes().join("\n");
    assert_eq!(set.len(), 1);
    assert!(said.contains("1 picture passed over, for its name has a second dot: v.a.png"), "{said}");
    assert!(!said.contains("seg"), "what a key has beside its picture is no other picture: {said}");
}

#[test]
fn a_shard_is_read_where_it_lies() {
    let shard = tar_of(&[
        ("x/1.txt", b"one\nuno\n"),
        ("x/1.PNG", &png(1)),
        ("x/1.cls", b"cat\n"),
        ("x/2.png", &png(2)),
        ("x/2.json", br#"{"caption": "two", "size": 4}"#),
        ("x/2.seg.png", &png(9)),
        ("x/._2.png", b"of a Macintosh"),
        ("x/3.png", &png(3)),
        ("x/4.txt", b"no picture"),
        ("x/5.bmp", b"BM"),
        ("x/5.txt", b"five"),
        ("readme", b"anything"),
    ]);
    let dir = folder(&[("s.tar", &shard)]);
    let set = PictureFiles::open(&options(&dir, "s.tar")).unwrap();
    assert_eq!((set.len(), set.captions(0), set.class(0)), (2, &["one".to_owned(), "uno".to_owned()][..], Some("cat")));
    assert_eq!((set.captions(1), set.class(1)), (&["two".to_owned()][..], None));
    assert!(set.name(1).ends_with("s.tar:x/2"), "{}", set.name(1));
    assert_eq!((set.picture(0).unwrap().rgb[0], set.picture(1).unwrap().rgb[0]), (1, 2));
    let foreign = "1 picture passed over, for its format is not read (PNG, JPEG, WebP and GIF are): x/5.bmp of s.tar";
    let alone = "1 text without a picture passed over: x/4 of s.tar";
    assert_eq!(set.notes(), [foreign, alone, "1 picture without a caption passed over: x/3 of s.tar"]);
    let set =
        PictureFiles::open(&PictureOptions { captions: vec!["{caption} of {size}".into()], ..options(&dir, "s.tar") });
    assert_eq!(set.unwrap().captions(0), ["two of 4"]);
}

#[test]
fn what_a_shard_has_twice_counts_as_if_it_were_unpacked() {
    let (first, later) = ([("k.png", &png(1)[..]), ("k.txt", b"one")], [("k.png", &png(2)[..]), ("k.txt", b"two")]);
    let json = [("k.json", &br#"{"caption": "old"}"#[..]), ("k.json", br#"{"title": "new", "text": "no"}"#)];
    let dir = folder(&[("s.tar", &tar_of(&[first, json, later].concat()))]);
    let set = PictureFiles::open(&options(&dir, "s.tar")).unwrap();
    assert_eq!(
        (set.len(), set.captions(0), set.picture(0).unwrap().rgb[0]),
        (1, &["two".to_owned(), "new".into()][..], 2)
    );
    let note =
        "3 second pictures or texts of a key, which count in the place of the first, the first is k.json of s.tar";
    assert_eq!(set.notes(), [note]);
}

#[test]
fn shards_that_were_joined_by_cat_are_read_to_the_end_and_a_compressed_one_is_called_so() {
    let shards = [[("1.png", &png(1)[..]), ("1.txt", b"one")], [("2.png", &png(2)[..]), ("2.txt", b"two")]];
    let both = shards.map(|members| tar_of(&members)).concat();
    let dir =
        folder(&[("s.tar", &both), ("z.tar", b"\x1f\x8b\x08 and so on"), ("cut.tar", &both[..both.len() - 1024])]);
    let set = PictureFiles::open(&options(&dir, "s.tar")).unwrap();
    assert_eq!((set.len(), set.captions(1), set.picture(1).unwrap().rgb[0]), (2, &["two".to_owned()][..], 2));
    refused(&options(&dir, "z.tar"), &["z.tar", "it is compressed (gzip)", "unpack it"]);
    refused(&options(&dir, "cut.tar"), &["its end mark is missing"]);
}

#[test]
fn a_member_whose_holes_are_left_out_is_passed_over_and_told_and_one_of_the_old_contiguous_kind_is_read() {
    // A shard of two pictures whose first header is changed.
    let read = |change: fn(&mut tar::Header)| {
        let mut shard = tar_of(&[("1.png", &png(1)), ("1.txt", b"one"), ("2.png", &png(2)), ("2.txt", b"two")]);
        let mut header = tar::Header::from_byte_slice(&shard[..512]).clone();
        change(&mut header);
        header.set_cksum();
        shard[..512].copy_from_slice(header.as_bytes());
        PictureFiles::open(&options(&folder(&[("s.tar", &shard)]), "s.tar")).unwrap()
    };
    let set = read(|header| header.set_entry_type(tar::EntryType::Continuous));
    assert_eq!((set.len(), set.notes().len()), (2, 0));
    let set = read(|header| {
        const REAL: u64 = 1 << 30; // all but its end is a hole
        let stored = header.entry_size().unwrap();
        header.set_entry_type(tar::EntryType::GNUSparse);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(REAL);
        gnu.sparse[0].set_offset(REAL - stored);
        gnu.sparse[0].set_length(stored);
    });
    let note = "1 member with holes passed over: make the shard without tar's --sparse: 1.png of s.tar";
    assert!(set.len() == 1 && set.notes().contains(&note.to_owned()), "{:?}", set.notes());
}

#[test]
fn a_shard_that_is_cut_off_anywhere_is_an_error_that_says_how_far_it_is_whole() {
    let shard = tar_of(&[("1.png", &png(1)), ("1.txt", b"one"), ("2.png", &png(2)), ("2.txt", b"two")]);
    let whole = shard.len() - 1024; // two blocks of zeros end it
    for cut in (1..whole).step_by(101).chain([512, 1024, 2048, whole - 512, whole, whole + 511]) {
        refused(
            &options(&folder(&[("s.tar", &shard[..cut])]), "s.tar"),
            &["s.tar", "cut off", "whole up to byte", "fetch it"],
        );
    }
    let dir = folder(&[("s.tar", &shard[..whole + 512])]);
    assert_eq!(PictureFiles::open(&options(&dir, "s.tar")).unwrap().len(), 2, "one block of zeros is enough");
}

#[test]
fn a_shard_with_a_name_that_leads_out_of_it_or_with_strange_texts_is_refused_by_that_name() {
    let table: &[(&str, &[u8], &str)] = &[
        ("../1.txt", b"x", "\"../1.txt\" is absolute or has .."),
        ("a/../../1.txt", b"x", "\"a/../../1.txt\" is absolute or has .."),
        ("/etc/1.txt", b"x", "\"/etc/1.txt\" is absolute or has .."),
        ("1.txt", b"\xff", "1.txt is not UTF-8"),
        ("1.json", b"{", "1.json is no JSON object"),
        ("1.txt", &[b'a'; (1 << 20) + 1], "more than a megabyte"),
    ];
    for (name, content, words) in table {
        let shard = tar_of(&[("1.png", &png(1)), (name, content)]);
        refused(&options(&folder(&[("s.tar", &shard)]), "s.tar"), &["s.tar", words]);
    }
    refused(&options(&folder(&[("s.tar", &tar_of(&[("a.txt", b"x")]))]), "s.tar"), &["no picture in it"]);
    refused(&options(&folder(&[("s.tar", &[7; 2048])]), "s.tar"), &["cut off or damaged"]);
}

#[test]
fn a_shard_or_an_idx_file_that_is_written_anew_meanwhile_is_read_no_further() {
    let members: Vec<(String, Vec<u8>)> = (0..40)
        .flat_map(|i| [(format!("{i}.png"), png(i)), (format!("{i}.txt"), format!("number {i}").into_bytes())])
        .collect();
    let shard = |turned: usize| {
        let all = members.iter().cycle().skip(2 * turned).take(members.len());
        tar_of(&all.map(|(name, content)| (&name[..], &content[..])).collect::<Vec<_>>())
    };
    let grey = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1][..], &[7, 8]].concat();
    let dir = folder(&[("s.tar", &shard(0)), ("i-idx3-ubyte", &grey)]);
    write(&dir, &[("i-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2, 0, 1])]);
    for (name, anew) in [("s.tar", shard(1)), ("i-idx3-ubyte", grey)] {
        let captions = if name == "s.tar" { vec![] } else { vec!["{class}".to_owned()] };
        let options = PictureOptions { memory: 0, captions, ..options(&dir, name) };
        let set = PictureFiles::open(&options).unwrap();
        assert_eq!(set.sample(1).unwrap().0, 1);
        write(&dir, &[(name, &anew)]);
        let later = SystemTime::now() + Duration::from_secs(9);
        File::options().write(true).open(dir.path().join(name)).unwrap().set_modified(later).unwrap();
        for error in [set.picture(1).unwrap_err(), set.sample(0).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(&format!("{name}: it was written anew")), "{error}");
        }
        assert!(set.broken().is_empty());
    }
}
