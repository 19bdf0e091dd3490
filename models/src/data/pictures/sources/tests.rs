//! Tables, folders, shards and IDX files as people have them, whole and damaged.

mod same;
mod shards;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};
use tempfile::TempDir;

use super::super::{PictureFiles, decode::WHITE};
use super::*;

fn png(red: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(&[red, 0, 0].repeat(12), 4, 3, ExtendedColorType::Rgb8).unwrap();
    bytes
}

/// A folder with the pictures a.png to d.png and these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (i, name) in ["a", "b", "c", "d"].iter().enumerate() {
        fs::write(dir.path().join(name).with_extension("png"), png(i as u8)).unwrap();
    }
    write(&dir, files);
    dir
}

fn write(dir: &TempDir, files: &[(&str, &[u8])]) {
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn options(dir: &TempDir, name: &str) -> PictureOptions {
    PictureOptions { data: vec![dir.path().join(name)], ..PictureOptions::default() }
}

fn refused(options: &PictureOptions, words: &[&str]) {
    let error = PictureFiles::open(options).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error} lacks one of {words:?}");
}

/// A tar file of these members, in this order.
fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Written by hand, as the builder refuses the names that are to be refused here.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_table_says_the_same_in_each_of_its_forms() {
    let dir = folder(&[
        ("t.tsv", b"path\tlabel\ttags\na.png\ta cat\tsmall, grey\nb.png\ta dog\t\n"),
        ("t.csv", b"label,path,tags\na cat,a.png,\"small, grey\"\n\na dog,b.png,\n"),
        ("t.jsonl", b"{\"path\":\"a.png\",\"label\":\"a cat\",\"tags\":[\"small\",\"grey\"]}\n{\"path\":\"b.png\",\"label\":\"a dog\"}\n"),
    ]);
    for name in ["t.tsv", "t.csv", "t.jsonl"] {
        let mut options = options(&dir, name);
        let set = PictureFiles::open(&options).unwrap();
        assert_eq!((set.len(), set.captions(0), set.class(1)), (2, &["a cat".to_owned()][..], Some("a dog")), "{name}");
        assert_eq!(set.picture(1).unwrap().rgb[0], 1, "{name}");
        options.captions = vec!["{label}, {tags}".to_owned(), "this is {label}".to_owned()];
        let set = PictureFiles::open(&options).unwrap();
        assert_eq!(set.captions(0), ["a cat, small, grey", "this is a cat"], "{name}");
        assert_eq!(set.captions(1), ["this is a dog"], "{name}: a template with an empty column makes no caption");
    }
}

#[test]
fn filters_all_have_to_hold() {
    let table = b"path\tlabel\tsplit\tkind\na.png\tA\ttrain\tx\nb.png\tB\ttrain\ty\nc.png\tC\ttest\tx\n";
    let dir = folder(&[("t.tsv", table)]);
    let labels = |filters: &[&str]| {
        let filters = filters.iter().map(|&f| f.to_owned()).collect();
        let set = PictureFiles::open(&PictureOptions { filters, ..options(&dir, "t.tsv") })?;
        Ok::<_, Error>((0..set.len()).map(|i| set.captions(i)[0].clone()).collect::<String>())
    };
    assert_eq!(labels(&["split=train"]).unwrap(), "AB");
    assert_eq!(labels(&["split != train"]).unwrap(), "C");
    assert_eq!(labels(&["split=train", "kind=x"]).unwrap(), "A");
    let error = labels(&["split=dev"]).unwrap_err().to_string();
    assert!(error.contains("of split, of which there are \"test\", \"train\""), "{error}");
    let error = labels(&["part=dev"]).unwrap_err().to_string();
    assert!(
        error.contains("no column \"part\", which --where asks for")
            && error.contains("\"path\", \"label\", \"split\""),
        "{error}"
    );
    assert!(labels(&["train"]).unwrap_err().to_string().contains("COLUMN=VALUE"));
}

#[test]
fn a_table_that_cannot_be_meant_is_refused_with_its_line_or_its_columns() {
    let table: &[(&str, &[u8], &[&str])] = &[
        ("t.tsv", b"place\tlabel\na.png\tA\n", &["no column of pictures (path, image", "\"place\", \"label\""]),
        ("t.tsv", b"path\twords\na.png\tA\n", &["no column of captions (caption", "\"path\", \"words\""]),
        ("t.tsv", b"path\tlabel\na.png\tA\tB\n", &["line 2 has 3 instead of 2 columns", "a TAB"]),
        ("t.csv", b"path,label\n\na.png,A,B\n", &["line 3 has 3 instead of 2 columns", "a comma"]),
        ("t.csv", b"path,label\na.png,\"A\n", &["line 2 opens double quotes that never close"]),
        ("t.tsv", b"path\tlabel\tlabel\na.png\tA\tB\n", &["two of its columns are called \"label\""]),
        ("t.tsv", b"path\tlabel\n\tA\n", &["line 2 has no picture in column \"path\""]),
        ("t.jsonl", b"{\"path\":\"a.png\",\"label\":\"A\"}\n[1]\n", &["line 2 is no object"]),
        ("t.tsv", b"path\tlabel\na.png\t \n", &["none of its 1 pictures has a caption", "such as a.png"]),
        ("t.tsv", b"path\tlabel\n", &["it has no row but the names"]),
        ("t.tsv", b"path\tlabel\nx.png\tX\n", &["1 of its 1 pictures are not there", "x.png in line 2"]),
        ("t.xls", b"path\tlabel\n", &["no source of pictures", ".tsv"]),
    ];
    for (name, content, words) in table {
        refused(&options(&folder(&[(name, content)]), name), words);
    }
    let dir = folder(&[("t.tsv", b"path\tlabel\na.png\tA\n")]);
    for (template, words) in [
        ("{name}", "no column \"name\", which --captions asks for"),
        ("label", "has no column"),
        ("{label", "a { without a }"),
    ] {
        refused(&PictureOptions { captions: vec![template.to_owned()], ..options(&dir, "t.tsv") }, &[words]);
    }
    refused(&options(&dir, "nowhere.tsv"), &["nowhere.tsv"]);
    refused(&PictureOptions::default(), &["there is no source"]);
}

#[test]
fn what_is_passed_over_is_counted_and_named() {
    let dir = folder(&[("t.tsv", b"path\tlabel\na.png\tA\nb.png\t\nx.png\tX\n\nc.png\t \n")]);
    let set = PictureFiles::open(&options(&dir, "t.tsv")).unwrap();
    let [empty, missing, silent] = set.notes() else { panic!("{:?}", set.notes()) };
    assert_eq!(empty, "1 empty line passed over: line 5 of t.tsv");
    assert!(
        missing.starts_with("1 picture that is not there: ") && missing.ends_with("x.png in line 4 of t.tsv"),
        "{missing}"
    );
    assert_eq!(silent, "2 pictures without a caption passed over, the first is b.png of t.tsv");
    assert_eq!(set.len(), 1);
    write(&dir, &[("t.tsv", b"path\tlabel\na.png\t\nb.png\t\nb.png\tB\n")]);
    let set = PictureFiles::open(&options(&dir, "t.tsv")).unwrap();
    let [row, silent] = set.notes() else { panic!("{:?}", set.notes()) };
    assert_eq!(row, "1 row without a caption passed over: b.png in line 3 of t.tsv", "a later row speaks of b.png");
    assert_eq!(silent, "1 picture without a caption passed over: a.png of t.tsv");
    let rows: String = (0..20).map(|i| format!("gone{i}.png\tA\n")).collect();
    write(&dir, &[("t.tsv", format!("path\tlabel\na.png\tA\n{rows}").as_bytes())]);
    refused(&options(&dir, "t.tsv"), &["20 of its 21 pictures are not there", "gone0.png in line 3", "table's folder"]);
}

#[test]
fn a_folder_has_a_text_beside_each_picture_a_caption_on_each_line() {
    let dir = folder(&[
        ("b.txt", b"\xef\xbb\xbfone\r\n\r\n two \r\n"),
        ("a.txt", b"first"),
        ("cats/x.png", &png(7)),
        ("cats/x.txt", b"a cat"),
        (".hidden/y.png", b""),
        ("scan.TIF", b""),
    ]);
    let set = PictureFiles::open(&options(&dir, "")).unwrap();
    let captions: Vec<_> = (0..set.len()).map(|i| set.captions(i)).collect();
    assert_eq!(captions, [&["first"][..], &["one", "two"], &["a cat"]]);
    assert!(set.name(2).ends_with("x.png") && set.picture(2).unwrap().rgb[0] == 7);
    let note = set.notes().join("");
    assert!(
        note.starts_with("1 picture passed over, for its format is not read (PNG, JPEG, WebP and GIF are): "),
        "{note}"
    );
    assert!(
        note.contains("scan.TIF of ") && note.contains("2 pictures without a caption passed over, the first is c.png")
    );
    // Folders as classes, with nothing else said.
    let class = Some("folder".to_owned());
    let set = PictureFiles::open(&PictureOptions {
        class,
        captions: vec!["a photo of {folder}".into()],
        ..options(&dir, "cats")
    });
    let set = set.unwrap();
    assert_eq!((set.class(0), set.captions(0)), (Some("cats"), &["a photo of cats".to_owned()][..]));
    refused(&options(&folder(&[]), ""), &["none of its 4 pictures has a caption, such as a.png"]);
}

#[test]
fn a_folder_with_a_table_or_with_shards_is_read_by_them() {
    let dir = folder(&[("pairs.tsv", b"path\tlabel\nb.png\tB\n")]);
    let set = PictureFiles::open(&options(&dir, "")).unwrap();
    assert_eq!((set.len(), set.captions(0)[0].as_str()), (1, "B"));
    assert!(set.notes()[0].contains("is read by its table"));
    let (one, two) =
        (tar_of(&[("k.png", &png(1)), ("k.txt", b"one")]), tar_of(&[("k.png", &png(2)), ("k.txt", b"two")]));
    let dir = folder(&[("2.tar", &two), ("1.tar", &one)]);
    let set = PictureFiles::open(&options(&dir, "")).unwrap();
    assert_eq!((set.len(), set.captions(0)[0].as_str(), set.captions(1)[0].as_str()), (2, "one", "two"));
}

#[test]
fn a_folder_says_what_it_does_not_read() {
    let dir = folder(&[("a.TXT", b"a cat"), ("b.Txt", b"a dog"), ("c.txt", b"a fox"), ("d.txt", b"an owl")]);
    let files = PictureFiles::open(&options(&dir, "")).unwrap();
    assert!(
        files.len() == 4
            && files.captions(0) == ["a cat"]
            && files.captions(1) == ["a dog"]
            && files.notes().is_empty(),
        "{:?}",
        files.notes()
    );
    let elsewhere = folder(&[]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("more")).unwrap();
        let notes = PictureFiles::open(&options(&dir, "")).unwrap().notes().concat();
        assert!(notes.contains("1 link to a folder not followed") && notes.contains("more"), "{notes}");
    }
    write(&dir, &[("e.tar", &tar_of(&[("0.png", &png(1)), ("0.txt", b"a hen")]))]);
    let files = PictureFiles::open(&options(&dir, "")).unwrap();
    let said = files.notes().concat();
    assert!(files.len() == 1 && said.contains("4 pictures beside the shards passed over"), "{said}");
    assert!(cfg!(not(unix)) || said.contains("1 link to a folder not followed"), "{said}");
    write(&elsewhere, &[("metadata.jsonl", br#"{"file_name": "./a.png", "text": "a cat"}"#)]);
    assert_eq!(PictureFiles::open(&options(&elsewhere, "")).unwrap().captions(0), ["a cat"]);
}

#[test]
fn sources_that_a_folder_is_not_read_by_are_counted_and_named() {
    let table: &[u8] = b"path\tlabel\na.png\tA\n";
    let shard = tar_of(&[("1.png", &png(1)), ("1.txt", b"one")]);
    let dir = folder(&[("a.txt", b"A"), ("other.tsv", table), ("sub/captions.csv", table), ("sub/x.tar", &shard)]);
    let notes = |dir: &TempDir| PictureFiles::open(&options(dir, "")).unwrap().notes().join("\n");
    let said = notes(&dir);
    assert!(said.contains("3 tables, shards or IDX files in it passed over") && said.contains("other.tsv"), "{said}");
    write(&dir, &[("good.tar", &shard)]);
    let said = notes(&dir);
    assert!(said.contains("3 tables, shards") && said.contains("4 pictures beside the shards passed over"), "{said}");
    let deep = tempfile::tempdir().unwrap();
    write(&deep, &[("sub/x.tar", &shard)]);
    refused(&options(&deep, ""), &["no picture in it", "x.tar: give that"]);
    let mut twice = options(&dir, "good.tar");
    twice.data.push(twice.data[0].clone());
    refused(&twice, &["good.tar", "named twice"]);
}

#[test]
fn a_label_is_a_caption_where_there_is_no_other() {
    let both: &[u8] = b"path\tlabel\tcaption\ttitle\na.png\teven\tan even one\tOne\n";
    let dir = folder(&[("both.tsv", both), ("label.tsv", b"path\tlabel\na.png\teven\n")]);
    for (name, captions) in [("both.tsv", &["an even one", "One"][..]), ("label.tsv", &["even"])] {
        let set = PictureFiles::open(&options(&dir, name)).unwrap();
        assert_eq!(
            (set.captions(0), set.class(0)),
            (&captions.iter().map(|&c| c.to_owned()).collect::<Vec<_>>()[..], Some("even"))
        );
    }
}

#[test]
fn a_table_without_captions_says_how_to_name_them_and_one_file_has_one_name() {
    let dir = folder(&[("names.csv", b"file,name\na.png,a cat\n./a.png,my cat\n")]);
    refused(&options(&dir, "names.csv"), &["no column of captions", "such as --captions \"{name}\""]);
    let said = PictureOptions { captions: vec!["{name}".to_owned()], ..options(&dir, "names.csv") };
    let files = PictureFiles::open(&said).unwrap();
    assert_eq!((files.len(), files.captions(0)), (1, &["a cat", "my cat"].map(str::to_owned)[..]));
}

#[test]
fn texts_that_stand_alone_in_a_folder_are_counted_and_named() {
    let beside = ["a.txt", "b.txt", "c.txt", "d.txt"];
    let files: Vec<_> = beside.into_iter().chain(["e.txt", "in/f.txt"]).map(|name| (name, &b"something"[..])).collect();
    let set = PictureFiles::open(&options(&folder(&files), "")).unwrap();
    let [note] = set.notes() else { panic!("{:?}", set.notes()) };
    let counted = note.starts_with("2 texts without a picture passed over, the first is ");
    assert!(counted && note.contains("f.txt of "), "{note}");
    assert_eq!(set.len(), 4);
}

#[test]
fn idx_files_have_grey_pictures_with_a_class_each() {
    let images =
        [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]].concat();
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 1, 0];
    let name = "t-images-idx3-ubyte";
    let dir = folder(&[(name, &images), ("t-labels-idx1-ubyte", &labels)]);
    let mut options = options(&dir, name);
    let set = PictureFiles::open(&options).unwrap();
    assert_eq!((set.len(), set.class(0), set.class(1)), (2, Some("1"), Some("0")));
    assert_eq!((set.captions(0), set.classes()), (&[][..], &["0".to_owned(), "1".to_owned()][..]));
    let picture = set.picture(1).unwrap();
    assert_eq!((picture.width, picture.height, &picture.rgb[..6]), (3, 2, &[6, 6, 6, 7, 7, 7][..]));
    assert!(set.name(1).ends_with("ubyte:1"));
    options.classes = vec!["shirt".to_owned(), "bag".to_owned()];
    options.captions = vec!["a photo of a {class}".to_owned()];
    let set = PictureFiles::open(&options).unwrap();
    assert_eq!((set.class(0), set.captions(1)), (Some("bag"), &["a photo of a shirt".to_owned()][..]));
    refused(&PictureOptions { filters: vec!["class=dress".to_owned()], ..options.clone() }, &["\"bag\", \"shirt\""]);
    options.classes.pop();
    refused(&options, &["picture 0 is of class 1", "only 1 classes"]);
    write(&dir, &[(name, &images[..27])]);
    refused(&options, &["27 bytes", "2 x 2 x 3"]);
    fs::remove_file(dir.path().join("t-labels-idx1-ubyte")).unwrap();
    write(&dir, &[(name, &images)]);
    refused(&options, &["t-labels-idx1-ubyte", "classes"]);
    let set = PictureFiles::open(&PictureOptions { silent: true, ..options }).unwrap();
    assert_eq!((set.len(), set.class(0)), (2, None), "to be found, they need no class");
}

#[test]
fn what_is_no_picture_of_ours_is_named_for_what_it_is() {
    let bare = |files: &[(&str, &[u8])]| {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, files);
        dir
    };
    refused(&options(&bare(&[("a.bmp", b"BM")]), ""), &["the format of its pictures is not read", "a.bmp"]);
    let shard = tar_of(&[("a.tif", b"II"), ("a.txt", b"one")]);
    refused(&options(&bare(&[("s.tar", &shard)]), "s.tar"), &["the format of its pictures is not read", "a.tif"]);
    let shard = tar_of(&[("a.bmp", b"BM"), ("a.png", &png(1)), ("a.txt", b"one")]);
    let set = PictureFiles::open(&options(&bare(&[("s.tar", &shard)]), "s.tar")).unwrap();
    assert!(set.len() == 1 && set.notes().is_empty(), "{:?}", set.notes());
    let shard = tar_of(&[("a.png", &png(1))]);
    refused(&options(&bare(&[("s.tar", &shard)]), "s.tar"), &["says nothing of its pictures at all"]);
}

#[test]
fn a_folder_has_its_own_name_however_it_is_given() {
    let dir = folder(&[("cats/x.png", &png(7)), ("cats/x.txt", b"a cat")]);
    let own = dir.path().canonicalize().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    for (name, folder) in [("cats", "cats"), ("cats/.", "cats"), ("cats/..", &own)] {
        let captions = vec!["a photo of {folder}".to_owned()];
        let set = PictureFiles::open(&PictureOptions { captions, ..options(&dir, name) }).unwrap();
        assert_eq!(set.captions(0), [format!("a photo of {folder}")], "{name}");
    }
}

#[test]
fn a_text_beside_a_picture_that_is_not_utf8_is_refused_with_its_line_and_a_folder_is_no_text() {
    let dir = folder(&[("a.txt", b"a cat\na caf\xe9\n"), ("b.txt/c.png", &png(1)), ("b.txt/c.txt", b"a cup")]);
    refused(&options(&dir, ""), &["a.txt: line 2 is not UTF-8", "iconv"]);
    write(&dir, &[("a.txt", b"a cat")]);
    let set = PictureFiles::open(&options(&dir, "")).unwrap();
    assert_eq!((set.len(), set.captions(1)), (2, &["a cup".to_owned()][..]));
}

#[test]
fn quotes_in_a_table_of_tabs_are_told_to_be_part_of_it() {
    let dir = folder(&[("t.tsv", b"path\tlabel\na.png\t\"a \"\"red\"\" cat\"\nb.png\ta dog\n")]);
    let set = PictureFiles::open(&options(&dir, "t.tsv")).unwrap();
    assert_eq!(set.captions(0), ["\"a \"\"red\"\" cat\""]);
    assert!(set.notes().concat().starts_with("1 row has a column in double quotes, which are part of it here"));
}

#[cfg(unix)]
#[test]
fn a_folder_of_links_to_nothing_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere.png", dir.path().join("a.png")).unwrap();
    refused(&options(&dir, ""), &["all pictures in it are gone, or links to nothing, such as a.png"]);
}

#[test]
fn a_row_that_says_nothing_is_told_also_where_another_speaks_of_its_picture() {
    let dir = folder(&[("t.tsv", b"path\tcaption\na.png\t\nb.png\tone\na.png\ttwo\nb.png\t \n")]);
    let set = PictureFiles::open(&options(&dir, "t.tsv")).unwrap();
    assert_eq!((set.len(), set.captions(0), set.captions(1)), (2, &["two".to_owned()][..], &["one".to_owned()][..]));
    assert_eq!(set.notes(), ["2 rows without a caption passed over, the first is a.png in line 2 of t.tsv"]);
}

#[test]
fn a_picture_is_named_in_what_is_wrong_with_it() {
    let dir = folder(&[("e.png", b"<html>"), ("t.tsv", b"path\tlabel\ne.png\tE\n")]);
    let error = PictureFiles::open(&options(&dir, "t.tsv")).unwrap().picture(0).unwrap_err().to_string();
    assert!(error.contains("e.png: it is text"), "{error}");
    assert_eq!(PictureOptions::default().ground, WHITE);
}
