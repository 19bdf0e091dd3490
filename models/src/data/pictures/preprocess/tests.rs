//! CLIP's resizing and normalising against those of transformers.

use std::path::Path;

use safetensors::SafeTensors;

use super::*;

#[test]
fn the_square_is_that_of_transformers_within_two_grey_levels() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pictures/expected.safetensors");
    let stored = std::fs::read(path).unwrap();
    let expected = SafeTensors::deserialize(&stored).unwrap();
    for i in 0..13 {
        let of = |what: &str| expected.tensor(&format!("squares.{i}.{what}")).unwrap();
        let (shape, rgb) = (of("picture").shape().to_vec(), of("picture").data().to_vec());
        let picture = Picture { width: shape[1], height: shape[0], rgb };
        let size = of("seen").shape()[2];
        let (numbers, _) = of("seen").data().as_chunks();
        let clip = Preprocess { size, ..Preprocess::default() };
        let mut pixels = vec![f32::NAN; clip.numbers()];
        clip.apply(&picture, &mut pixels);
        let levels =
            |i: usize| (pixels[i] - f32::from_le_bytes(numbers[i])).abs() * clip.std[i / (size * size)] * 255.0;
        let worst = (0..pixels.len()).map(levels).fold(0.0, f32::max);
        assert!(worst < 2.01, "{shape:?} to {size} differs by {worst} levels");
    }
}

#[test]
fn a_picture_of_the_right_size_keeps_its_pixels() {
    let rgb: Vec<u8> = (0..8 * 8 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let picture = Picture { width: 8, height: 8, rgb };
    let plain = Preprocess { size: 8, mean: [0.0; 3], std: [1.0 / 255.0; 3], ..Preprocess::default() };
    let mut out = vec![0.0; plain.numbers()];
    plain.apply(&picture, &mut out);
    for (i, &level) in picture.rgb.iter().enumerate() {
        let (pixel, c) = (i / 3, i % 3);
        assert!((out[c * 64 + pixel] - f32::from(level)).abs() < 1e-4);
    }
}

#[test]
fn of_the_longer_edge_the_middle_is_kept() {
    let clip = Preprocess { size: 16, ..Preprocess::default() };
    let region = |width, height| clip.middle(&Picture { width, height, rgb: Vec::new() });
    assert_eq!(region(64, 32), Region { left: 16.0, top: 0.0, width: 32.0, height: 32.0 });
    assert_eq!(region(32, 64), Region { left: 0.0, top: 16.0, width: 32.0, height: 32.0 });
    assert_eq!(region(5, 5), Region { left: 0.0, top: 0.0, width: 5.0, height: 5.0 });
}
