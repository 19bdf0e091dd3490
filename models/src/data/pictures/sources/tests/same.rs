//! When two rows, files or sources speak of the same picture.

use super::*;

#[test]
fn a_list_of_captions_and_rows_of_the_same_picture_are_its_captions() {
    let dir = folder(&[
        ("t.jsonl", br#"{"image":"a.png","captions":["one","two","one"]}"#),
        ("t.csv", b"image,caption\na.png,one\nb.png,other\na.png,two\na.png,one\n"),
    ]);
    for (name, len, template) in [
        ("t.jsonl", 1, None),
        ("t.jsonl", 1, Some("{captions}")),
        ("t.jsonl", 1, Some(" {captions} ")),
        ("t.csv", 2, None),
    ] {
        let captions = template.into_iter().map(str::to_owned).collect();
        let set = PictureFiles::open(&PictureOptions { captions, ..options(&dir, name) }).unwrap();
        assert_eq!(
            (set.len(), set.captions(0)),
            (len, &["one".to_owned(), "two".to_owned()][..]),
            "{name} {template:?}"
        );
    }
}

#[test]
fn pictures_that_are_named_twice_are_refused_or_told() {
    let table: &[u8] = b"path\tlabel\na.png\tA\nb.png\tB\n";
    let dir = folder(&[("t.tsv", table), ("u.tsv", table), ("in/v.tsv", b"path\tlabel\n../b.png\tB\nw.png\tW\n")]);
    write(&dir, &[("in/w.png", &png(9))]);
    let both = |more: &str| PictureOptions {
        data: ["t.tsv", more].map(|name| dir.path().join(name)).to_vec(),
        ..PictureOptions::default()
    };
    refused(&both("./t.tsv"), &["t.tsv", "named twice"]);
    refused(&both("in/../t.tsv"), &["t.tsv", "named twice"]);
    let notes = |more| PictureFiles::open(&both(more)).unwrap().notes().concat();
    let said = notes("u.tsv");
    assert!(
        said.starts_with("2 pictures are in other sources or shards as well, and count more than once, the first is "),
        "{said}"
    );
    assert!(said.ends_with("a.png"), "{said}");
    let said = notes("in/v.tsv");
    assert!(said.starts_with("1 picture is in another source or shard as well, and counts more than once: "), "{said}");
    assert!(said.ends_with("in/../b.png"), "{said}");
    // Within one source it is one picture, of which more is said.
    write(&dir, &[("o.tsv", b"path\tlabel\na.png\tA\nin/../a.png\tletter\nb.png\tB\n")]);
    let one = PictureFiles::open(&options(&dir, "o.tsv")).unwrap();
    assert_eq!((one.len(), one.captions(0)), (2, &["A", "letter"].map(str::to_owned)[..]));
    let open = |name| PictureFiles::open(&options(&dir, name)).unwrap();
    let said = open("in/v.tsv").shared_with(&open("t.tsv")).unwrap();
    assert!(
        said.starts_with("1 of 2 pictures to validate or test on are learned from as well, such as ")
            && said.contains("b.png")
    );
    write(&dir, &[("x.tsv", b"path\tlabel\nc.png\tC\n")]);
    assert_eq!((open("x.tsv").shared_with(&open("t.tsv")), notes("x.tsv")), (None, String::new()));
}

#[test]
fn pictures_that_count_twice_are_told_where_a_share_of_them_is_held_out() {
    let shard = tar_of(&[("1.png", &png(1)), ("1.txt", b"one"), ("2.png", &png(2)), ("2.txt", b"two")]);
    let dir = folder(&[("in/s.tar", &shard)]);
    fs::hard_link(dir.path().join("in/s.tar"), dir.path().join("in/t.tar")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("s.tar", dir.path().join("in/u.tar")).unwrap();
        let set = PictureFiles::open(&options(&dir, "in")).unwrap();
        let said = set.notes().concat();
        assert!(set.len() == 4 && said.contains("1 link to a shard that is there as well passed over"), "{said}");
        fs::remove_file(dir.path().join("in/u.tar")).unwrap();
    }
    let set = PictureFiles::open(&options(&dir, "in")).unwrap();
    assert!(set.notes().concat().starts_with("2 pictures are in other sources or shards as well"), "{:?}", set.notes());
    let mut notes = Vec::new();
    crate::data::captioned::Source::open(&options(&dir, "in"), &[], 0.25, |note| notes.push(note.to_owned())).unwrap();
    assert!(notes.concat().contains("1 of 1 pictures to validate or test on are learned from as well"), "{notes:?}");
}

#[cfg(unix)]
#[test]
fn links_to_a_picture_are_that_picture() {
    let dir = folder(&[("a.txt", b"A"), ("b.txt", b"B"), ("c.txt", b"C"), ("d.txt", b"D"), ("z/e.txt", b"first")]);
    std::os::unix::fs::symlink("../a.png", dir.path().join("z/e.png")).unwrap();
    fs::hard_link(dir.path().join("b.png"), dir.path().join("z/f.png")).unwrap();
    let set = PictureFiles::open(&options(&dir, "")).unwrap();
    assert_eq!((set.len(), set.captions(0)), (4, &["A", "first"].map(str::to_owned)[..]));
    let note = set.notes().concat();
    assert!(note.starts_with("2 pictures are the same files as others before, and count with those"), "{note}");
}

#[test]
fn a_later_row_may_give_a_picture_its_class_but_no_other_one() {
    let table = b"path\tcaption\tclass\na.png\tone\t\na.png\ttwo\tA\nb.png\tthree\tA\nb.png\tfour\tB\n";
    let dir = folder(&[("t.tsv", table)]);
    let set = PictureFiles::open(&options(&dir, "t.tsv")).unwrap();
    assert_eq!((set.class(0), set.class(1), set.captions(0).len()), (Some("A"), Some("A"), 2));
    let disputed = "1 row gives a picture another class than one before, which counts: b.png in line 5 of t.tsv";
    assert_eq!(set.notes(), [disputed]);
}
