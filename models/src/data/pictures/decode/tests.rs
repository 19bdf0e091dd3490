//! Every kind of file against the pixels that others find in it, and files that are none.

use std::path::{Path, PathBuf};

use image::ImageEncoder as _;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use safetensors::SafeTensors;

use super::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pictures")
}

/// Levels by which a file's pixels may differ from PIL's, at most and on average. What is not lossless, decoders round
/// in different places; and where colours are stored at half the resolution, they interpolate them differently.
fn tolerance(name: &str) -> (u8, f64) {
    match name {
        "subsampled.jpg" | "progressive.jpg" => (20, 0.5),
        name if name.ends_with(".jpg") => (3, 0.1),
        _ => (0, 0.0),
    }
}

#[test]
fn a_file_of_every_kind_has_the_pixels_that_others_find_in_it() {
    let stored = std::fs::read(fixtures().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&stored).unwrap();
    let mut files = 0;
    for (name, pixels) in expected.iter().filter(|(name, _)| !name.starts_with("squares.")) {
        let picture = decode(&std::fs::read(fixtures().join(name)).unwrap(), WHITE);
        let picture = picture.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!([picture.height, picture.width, 3], pixels.shape(), "{name}");
        let differences: Vec<_> = picture.rgb.iter().zip(pixels.data()).map(|(a, b)| a.abs_diff(*b)).collect();
        let worst = *differences.iter().max().unwrap();
        let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / differences.len() as f64;
        let (most, average) = tolerance(name);
        assert!(worst <= most && mean <= average, "{name} differs by {worst} levels at most, {mean} on average");
        files += 1;
    }
    assert!(files > 20);
}

#[test]
fn a_file_that_is_cut_off_is_an_error_wherever_it_was_cut() {
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let whole = decode(&bytes, WHITE).unwrap();
        for cut in 1..bytes.len() {
            // Marks after the last pixel may be missing: then nothing of the picture is.
            if let Ok(picture) = decode(&bytes[..cut], WHITE) {
                assert_eq!(picture, whole, "{} cut at {cut} of {}", path.display(), bytes.len());
            }
        }
    }
}

#[test]
fn a_photograph_is_turned_upright_wherever_its_file_says_how_it_lies() {
    // EXIF in the order of bytes of Intel's processors: one entry, the orientation (0x112), one number of 16 bits.
    let lies =
        |how: u8| [b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", &[how, 0, 0, 0, 0, 0, 0, 0][..]].concat();
    for (how, size) in [(1, [3, 2]), (6, [2, 3]), (8, [2, 3])] {
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_exif_metadata(lies(how)).unwrap();
        encoder.write_image(&[7; 18], 3, 2, image::ExtendedColorType::Rgb8).unwrap();
        let from = png.windows(4).position(|kind| kind == b"eXIf").unwrap() - 4;
        let chunk: Vec<u8> = png.drain(from..from + 12 + lies(how).len()).collect();
        let end = png.len() - 12; // before the end mark, and so behind the pixels
        let behind = [&png[..end], &chunk, &png[end..]].concat();
        let before = [&png[..33], &chunk, &png[33..]].concat();
        for bytes in [before, behind] {
            let picture = decode(&bytes, WHITE).unwrap();
            assert_eq!([picture.width, picture.height], size, "{how}");
        }
        assert_eq!(decode(&png, WHITE).unwrap().width, 3);
    }
}

#[test]
fn a_picture_that_claims_too_much_is_refused_by_its_header() {
    // Only the header: if anything were decoded, the error would be that there is nothing.
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0".to_vec();
    png.extend(0xe945_6fed_u32.to_be_bytes());
    png.extend(b"\0\0\0\0IDAT");
    let error = decode(&png, WHITE).unwrap_err();
    assert!(error.contains("30000 x 30000") && error.contains("64 million"), "{error}");
    let mut jpeg = Vec::new();
    JpegEncoder::new(&mut jpeg).write_image(&[9; 3], 1, 1, image::ExtendedColorType::Rgb8).unwrap();
    let at = jpeg.windows(2).position(|mark| mark == [0xff, 0xc0]).unwrap() + 5;
    jpeg[at..at + 4].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
    let error = decode(&jpeg, WHITE).unwrap_err();
    assert!(error.contains("30000 x 30000"), "{error}");
}

#[test]
fn what_is_no_picture_is_said_in_a_sentence_that_says_what_it_is() {
    let table: &[(&[u8], &str)] = &[
        (b"", "empty"),
        (b"<html><body>404 not found</body></html>", "it is text (it begins \"<html><body>404 not foun\")"),
        (b"BM\0\0\0\0\0\0\0\0", "it is of another format (Bmp): convert it to PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "it is a HEIC file: convert it to PNG"),
        (b"0000.png\0\0\0\0", "its first bytes are those of no picture"),
        (b"\xf0\x01\x02\x03\x04\x05\x06\x07\xff", "no picture"),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut off"),
        (b"\xff\xd8\xff\xe0", "damaged or cut off"),
    ];
    for (bytes, words) in table {
        let error = decode(bytes, WHITE).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn what_is_transparent_shows_the_ground() {
    assert_eq!(laid_on([10, 20, 30], &[255, 255, 255, 0]), [10, 20, 30]);
    assert_eq!(laid_on([10, 20, 30], &[1, 2, 3, 255]), [1, 2, 3]);
    assert_eq!(laid_on([0, 255, 100], &[255, 0, 100, 128]), [128, 127, 100]);
}
