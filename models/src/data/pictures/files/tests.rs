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
fn a_broken_picture_is_passed_over_for_the_next_whole_one_and_named() {
    let (_dir, options) = table(20, |i| [4, 5, 19].contains(&i));
    let set = PictureFiles::open(&options).unwrap();
    for (asked, got) in [(3, 3), (4, 6), (5, 6), (19, 0), (4, 6)] {
        assert_eq!(set.sample(asked).unwrap().0, got);
    }
    let broken = set.broken();
    assert_eq!(broken.len(), 3);
    assert!(broken[0].contains("0004.png: it is text"), "{}", broken[0]);
}

#[test]
fn more_than_one_in_a_hundred_and_more_than_ten_broken_pictures_are_an_error() {
    let first_error = |count, every| {
        let (_dir, options) = table(count, |i| i % every == 0);
        let set = PictureFiles::open(&options).unwrap();
        (0..count).find_map(|i| Some((i, set.sample(i).err()?.to_string())))
    };
    assert_eq!(first_error(1200, 120), None, "ten are borne");
    let (at, error) = first_error(1200, 60).unwrap();
    assert_eq!(at, 600, "the eleventh is not: {error}");
    assert!(error.contains("11 of the 611 pictures") && error.contains("0000.png"), "{error}");
    let (_dir, options) = table(3, |_| true);
    let error = PictureFiles::open(&options).unwrap().sample(1).unwrap_err().to_string();
    assert!(error.contains("0001.png") && error.contains("so are all others"), "{error}");
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
    fs::write(dir.path().join("0001.png"), "other bytes").unwrap();
    assert_ne!(before, of(&options));
}
