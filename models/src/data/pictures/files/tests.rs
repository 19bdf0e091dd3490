//! Sets of pictures: what is kept, passed over, held out, and in which order it comes.

use std::collections::BTreeSet;
use std::fs::{self, File};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};
use tempfile::TempDir;

use super::*;

/// A table of `count` pictures of 2 x 2, of which those that `broken` names are no pictures.
fn table(count: usize, broken: impl Fn(usize) -> bool) -> (TempDir, PictureOptions) {
    let dir = tempfile::tempdir().unwrap();
    let mut text = "path\tlabel\n".to_owned();
    for i in 0..count {
        let name = format!("{i:04}.png");
        let path = dir.path().join(&name);
        if broken(i) {
            fs::write(path, "gone").unwrap();
        } else {
            let picture = PngEncoder::new(File::create(path).unwrap());
            picture.write_image(&[i as u8, 0, 0].repeat(4), 2, 2, ExtendedColorType::Rgb8).unwrap();
        }
        text += &format!("{name}\tnumber {i}\n");
    }
    let path = dir.path().join("captions.tsv");
    fs::write(&path, text).unwrap();
    let options = PictureOptions { data: vec![path], ..PictureOptions::default() };
    (dir, options)
}

#[test]
fn pictures_stay_decoded_as_long_as_there_is_memory_for_them() {
    let (_dir, options) = table(10, |_| false);
    let set = PictureFiles::open(&PictureOptions { memory: 3 * 12 + 5, ..options }).unwrap();
    let all = || (0..10).map(|i| set.picture(i).unwrap()).collect::<Vec<_>>();
    let (first, second) = (all(), all());
    assert_eq!(first, second);
    let kept = first.iter().zip(&second).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    assert_eq!(kept, 3);
}

#[test]
fn threads_that_ask_for_the_same_pictures_pay_for_each_once() {
    let (_dir, options) = table(50, |_| false);
    let set = PictureFiles::open(&PictureOptions { memory: 50 * 12, ..options }).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|i| assert_eq!(set.picture(i).unwrap().rgb[0], i as u8)));
        }
    });
    assert_eq!(set.memory.load(Ordering::Relaxed), 0);
    assert!(set.kept.iter().all(|slot| slot.get().is_some()));
}

#[test]
fn a_broken_picture_is_passed_over_for_one_that_is_always_the_same_and_named() {
    let (_dir, options) = table(20, |i| [4, 5, 19].contains(&i));
    let drawn = || {
        let set = PictureFiles::open(&options).unwrap();
        (set.sample(4).unwrap().0, set.sample(5).unwrap().0, set.sample(19).unwrap().0, set.broken())
    };
    let (of_4, of_5, of_19, broken) = drawn();
    assert!([of_4, of_5, of_19].iter().all(|at| ![4, 5, 19].contains(at)), "{of_4} {of_5} {of_19}");
    assert_eq!(drawn(), (of_4, of_5, of_19, broken.clone()));
    assert_eq!(broken.len(), 3);
    let (name, what) = broken.first_key_value().unwrap();
    assert!(name.ends_with("0004.png") && what.contains("0004.png: it is text"), "{what}");
    // They are looked at again where they were broken before, also by one who has not met them yet.
    let set = PictureFiles::open(&options).unwrap();
    set.look_again(&broken.keys().cloned().collect());
    assert_eq!(set.broken(), broken);
    assert_eq!(PictureFiles::open(&options).unwrap().sample(3).unwrap().0, 3, "a whole one is itself");
}

#[test]
fn where_one_is_broken_all_others_are_tried_and_not_its_neighbours_first() {
    for n in [1, 2, 3, 17, 256, 1000] {
        let mut seen: Vec<_> = places(n / 2, n).collect();
        assert_eq!(seen[0], n / 2);
        seen.sort();
        assert!(seen.into_iter().eq(0..n), "of {n}");
    }
    let far = (0..1000).filter(|&i| places(i, 1000).nth(1).unwrap().abs_diff(i) > 10).count();
    assert!(far > 950, "{far} of 1000");
}

#[test]
fn more_than_one_in_a_hundred_of_all_and_more_than_ten_broken_pictures_are_an_error() {
    let looked_at = |count, broken: &dyn Fn(usize) -> bool, first| {
        let (_dir, options) = table(count, broken);
        let set = PictureFiles::open(&options).unwrap();
        (0..first).for_each(|i| drop(set.sample(i).unwrap()));
        set.check_broken().map_err(|error| error.to_string())
    };
    assert_eq!(looked_at(200, &|i| i < 10, 200), Ok(()), "ten are borne");
    assert_eq!(looked_at(1800, &|i| i < 17, 20), Ok(()), "neighbours are no sample of all");
    let error = looked_at(200, &|i| i % 10 == 0, 200).unwrap_err();
    assert!(error.contains("20 of 200 pictures are broken so far") && error.contains("0000.png"), "{error}");
    let (_dir, options) = table(3, |_| true);
    let error = PictureFiles::open(&options).unwrap().sample(1).unwrap_err().to_string();
    assert!(error.contains("0001.png") && error.contains("so are 2 others"), "{error}");
}

#[test]
fn a_split_divides_the_pictures_and_hardly_changes_when_the_set_grows() {
    let names = |set: &PictureFiles| (0..set.len()).map(|i| set.captions(i)[0].clone()).collect::<BTreeSet<_>>();
    let split = |count| {
        let (dir, options) = table(count, |_| false);
        let (train, val) = PictureFiles::open(&options).unwrap().split(0.2).unwrap();
        assert_eq!((train.len() + val.len(), val.len()), (count, count / 5));
        assert!(names(&train).is_disjoint(&names(&val)));
        assert_eq!(train.picture(0).unwrap().width, 2);
        assert_ne!(train.fingerprint(), val.fingerprint());
        (dir, names(&val))
    };
    let ((_a, before), (_b, after)) = (split(100), split(110));
    assert!(before.intersection(&after).count() >= 15, "{before:?} {after:?}");
    let (_dir, options) = table(10, |_| false);
    let error = PictureFiles::open(&options).unwrap().split(0.01).unwrap_err().to_string();
    assert!(error.contains("share of 0.01 of 10 pictures"), "{error}");
}

#[test]
fn the_fingerprint_changes_with_what_is_learned_from_and_not_with_where_it_lies() {
    let (dir, options) = table(3, |_| false);
    let (_elsewhere, same) = table(3, |_| false);
    let of = |options: &PictureOptions| PictureFiles::open(options).unwrap().fingerprint();
    let before = of(&options);
    assert_eq!(before, of(&same));
    assert_eq!(before, of(&PictureOptions { memory: 0, ..options.clone() }));
    assert_ne!(before, of(&PictureOptions { ground: [0; 3], ..options.clone() }));
    assert_ne!(before, of(&PictureOptions { captions: vec!["a {label}".to_owned()], ..options.clone() }));
    assert_ne!(before, of(&PictureOptions { filters: vec!["label!=number 1".to_owned()], ..options.clone() }));
    fs::write(dir.path().join("0001.png"), "mended").unwrap();
    assert_eq!(before, of(&options), "a run goes on when a broken picture was fetched again");
}

#[test]
fn a_picture_that_was_written_anew_makes_another_version_even_of_as_many_bytes() {
    let (dir, options) = table(3, |_| false);
    let version = || PictureFiles::open(&options).unwrap().version();
    let before = version();
    assert_eq!(before, version());
    let path = dir.path().join("0001.png");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, bytes.iter().rev().copied().collect::<Vec<_>>()).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
    File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_ne!(before, version());
}
