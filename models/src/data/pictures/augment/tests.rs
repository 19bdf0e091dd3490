//! What a varied picture may look like, and that its key alone decides.

use super::*;

/// Shows levels as they are: no mean is taken off.
fn plain(size: usize) -> Preprocess {
    Preprocess { size, mean: [0.0; 3], std: [1.0 / 255.0; 3], ..Preprocess::default() }
}

/// Red grows to the right, green downwards, blue is their middle.
fn slopes(width: usize, height: usize) -> Picture {
    let level = |at: usize, of: usize| (255 * at / of.max(2).saturating_sub(1)) as u8;
    let pixel = |i: usize| {
        let (r, g) = (level(i % width, width), level(i / width, height));
        [r, g, r / 2 + g / 2]
    };
    Picture { width, height, rgb: (0..width * height).flat_map(pixel).collect() }
}

fn seen(augment: &Augment, picture: &Picture, key: [u64; 3]) -> Vec<f32> {
    let mut out = vec![f32::NAN; 3 * 16 * 16];
    augment.apply(picture, &plain(16), key, &mut out);
    out
}

fn everything() -> Augment {
    let colours =
        Augment { brightness: 0.3, contrast: 0.3, saturation: 0.3, hue: 0.1, grey: 0.1, ..Augment::default() };
    Augment { shift: 0.1, flip: true, ..colours }
}

#[test]
fn the_same_key_gives_the_same_pixels_and_another_gives_others() {
    let picture = slopes(40, 30);
    let first = seen(&everything(), &picture, [1, 2, 3]);
    assert_eq!(first, seen(&everything(), &picture, [1, 2, 3]));
    for key in [[2, 2, 3], [1, 3, 3], [1, 2, 4]] {
        assert_ne!(first, seen(&everything(), &picture, key));
    }
    assert!(first.iter().all(|level| (-0.01..255.01).contains(level)));
}

#[test]
fn without_changes_a_picture_is_what_validation_sees() {
    let picture = slopes(40, 30);
    let mut expected = vec![0.0; 3 * 16 * 16];
    plain(16).apply(&picture, &mut expected);
    assert_eq!(seen(&Augment::none(), &picture, [1, 2, 3]), expected);
}

#[test]
fn half_of_the_pictures_are_mirrored_and_only_when_asked() {
    let picture = slopes(16, 16);
    let mirrored = |augment: &Augment| {
        (0..2000).filter(|&i| seen(augment, &picture, [7, 0, i])[0] > 128.0).count() // red stands on the left
    };
    assert_eq!(mirrored(&Augment::none()), 0);
    let half = mirrored(&Augment { flip: true, ..Augment::none() });
    assert!((900..1100).contains(&half), "{half} of 2000"); // more than four deviations of √500
}

#[test]
fn a_crop_has_an_area_and_an_aspect_in_their_ranges_and_lies_within_the_picture() {
    let augment = Augment { crop: 0.25, aspect: 4.0 / 3.0, ..Augment::none() };
    for (w, h) in [(64, 64), (100, 60), (31, 47)] {
        let picture = slopes(w, h);
        let (mut shares, mut at) = (Vec::new(), [0.0; 2]);
        for i in 0..1000 {
            let mut random = Random::new(3, Stream::View, 0).at(i * WORDS);
            let Region { left, top, width, height } = augment.region(&picture, &mut random);
            let aspect = width / height;
            assert!((0.7499..1.3334).contains(&aspect), "aspect {aspect}");
            assert!(left >= 0.0 && top >= 0.0 && left + width < w as f64 + 1e-9 && top + height < h as f64 + 1e-9);
            shares.push(width * height / (w * h) as f64);
            let room = [w as f64 - width, h as f64 - height];
            at = [at[0] + left / room[0].max(1e-9) / 1000.0, at[1] + top / room[1].max(1e-9) / 1000.0];
        }
        let mean = shares.iter().sum::<f64>() / 1000.0;
        assert!(at.iter().all(|at| (0.45..0.55).contains(at)), "on the way from one side to the other: {at:?}");
        assert!(shares.iter().all(|share| (0.2499..=1.0001).contains(share)));
        assert!(w != h || (0.55..0.66).contains(&mean), "mean share {mean}"); // large ones fit less often
    }
}

#[test]
fn where_no_crop_fits_the_middle_is_taken() {
    let augment = Augment::default();
    let region = augment.region(&slopes(100, 10), &mut Random::new(0, Stream::View, 0));
    let width = 10.0 * (4.0 / 3.0);
    assert_eq!(region, Region { left: (100.0 - width) / 2.0, top: 0.0, width, height: 10.0 });
}

#[test]
fn a_shift_moves_whole_pixels_and_no_more_than_its_share() {
    let (picture, shift) = (slopes(16, 16), Augment { shift: 0.25, ..Augment::none() });
    let mut found = [0; 9];
    for i in 0..1000 {
        let out = seen(&shift, &picture, [5, 0, i]);
        // Red at column 8 tells which column came there.
        let column = (out[8] / 17.0).round() as isize;
        let row = (out[256 + 8 * 16] / 17.0).round() as isize;
        assert!((4..=12).contains(&column) && (4..=12).contains(&row), "from {column}, {row}");
        found[column as usize - 4] += 1;
    }
    assert!(found.iter().all(|&n| n > 30), "{found:?}"); // the outermost two are half as frequent: 62 of 1000
}

#[test]
fn colours_are_blended_with_black_with_the_mean_and_with_their_grey() {
    let start = [200, 100, 0, 100, 100, 100];
    let after = |b, c, s| {
        let mut square = start;
        recolour(&mut square, b, c, [s, 0.0]);
        square
    };
    assert_eq!(after(1.0, 1.0, 1.0), start);
    assert_eq!(after(0.5, 1.0, 1.0), [100, 50, 0, 50, 50, 50]);
    assert_eq!(after(2.0, 1.0, 1.0), [255, 200, 0, 200, 200, 200], "no brighter than white");
    assert_eq!(after(1.0, 0.0, 1.0), [109; 6], "the mean of the greys 118.5 and 100");
    assert_eq!(after(1.0, 1.0, 0.0), [119, 119, 119, 100, 100, 100]);
}

#[test]
fn a_hue_is_turned_about_its_grey_and_comes_back() {
    let start = [150, 110, 90, 90, 90, 90];
    let turned = |by: f32| {
        let mut square = start;
        recolour(&mut square, 1.0, 1.0, [1.0, by]);
        square
    };
    assert_eq!((turned(0.0), turned(1.0)), (start, start));
    // Half the circle: what blue, red and green are above the grey of 119.68, they are below it.
    assert_eq!(turned(0.5), [89, 129, 149, 90, 90, 90]);
    for by in [-0.4, -0.1, 0.05, 0.25, 0.3] {
        let [r, g, b, rest @ ..] = turned(by);
        let grey: f32 = GREY.iter().zip([r, g, b]).map(|(share, level)| share * f32::from(level)).sum();
        assert!((grey - 119.68).abs() < 0.6 && rest == [90; 3], "{by}: {r} {g} {b}");
        let mut back = turned(by);
        recolour(&mut back, 1.0, 1.0, [1.0, -by]);
        assert!(back.iter().zip(start).all(|(&x, y)| x.abs_diff(y) < 4), "{by}: {back:?}");
    }
}

#[test]
fn so_many_pictures_lose_their_colours() {
    let picture = slopes(16, 16);
    let grey = |share: f64| {
        let augment = Augment { grey: share, ..Augment::none() };
        let is_grey = |out: &[f32]| (0..256).all(|i| out[i] == out[256 + i] && out[i] == out[512 + i]);
        (0..2000).filter(|&i| is_grey(&seen(&augment, &picture, [7, 0, i]))).count()
    };
    assert_eq!((grey(0.0), grey(1.0)), (0, 2000));
    assert!((400..600).contains(&grey(0.25)), "{} of 2000", grey(0.25)); // more than five deviations of √375
}
