//! From the bytes of a file to pixels.
//!
//! Files of pictures come from anywhere, so nothing about them is believed. What a file is, its first bytes say and
//! not its name. How large it is, its header says, and is refused there if that is too much, before memory is taken
//! for it. And it has to be whole: of half a picture, some decoders make a picture with a grey half, and say nothing.
//!
//! A picture has three colours and nothing else. What is transparent is laid on a ground of one colour, grey is told
//! three times, sixteen bits become eight, of a moving picture the first frame is taken, and a photograph that the
//! camera marked as lying on its side (EXIF) is turned upright.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};

use super::Picture;

/// Pixels that a picture may have: more than any camera's pictures of everyday use (8192 x 8192), and as 16-bit RGBA,
/// the widest that a decoder may need, still only half a gigabyte. Headers of damaged or hostile files claim more.
pub const MOST_PIXELS: u64 = 64 << 20;

/// Bytes that a decoder may take for what a file has beside its pixels, such as a profile of colours: a megabyte of zeros
/// that were squeezed into a thousand bytes is easily made.
const MOST_BESIDE: u64 = 64 << 20;

/// What is transparent lies on this unless something else is asked for: paper.
pub const WHITE: [u8; 3] = [255; 3];

/// The picture in the bytes of a PNG, JPEG, WebP or GIF file; what is transparent lies on `ground`.
///
/// # Errors
///
/// What is wrong with the bytes and what to do, to be said of the file they came from: no picture, one of another
/// kind, one of more than [`MOST_PIXELS`], one that is damaged or cut off.
pub fn decode(bytes: &[u8], ground: [u8; 3]) -> Result<Picture, String> {
    let format = format_of(bytes)?;
    if format == ImageFormat::Jpeg && !jpeg_ends(bytes) {
        return Err(cut_off("its end mark is missing"));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_BESIDE);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|e| in_words(&e))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MOST_PIXELS {
        return Err(format!(
            "it says that it has {width} x {height} pixels, and a picture has from 1 to {} million: make it smaller, \
             or remove it if it is damaged",
            MOST_PIXELS >> 20
        ));
    }
    // The pixels at their widest, and as much again for the decoder; that of PNG keeps to the first, and needs a few rows.
    limits.max_alloc = Some(16 * MOST_PIXELS);
    decoder.set_limits(limits).map_err(|e| in_words(&e))?;
    let orientation = match decoder.orientation().map_err(|e| in_words(&e))? {
        // The decoder of PNG has not read yet what stands behind the pixels.
        Orientation::NoTransforms if format == ImageFormat::Png => {
            png_exif(bytes).and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
        }
        known => known,
    };
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| in_words(&e))?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let rgb = if image.color().has_alpha() {
        laid_on(ground, &image.into_rgba8().into_raw())
    } else {
        image.into_rgb8().into_raw()
    };
    Ok(Picture { width, height, rgb })
}

/// The kind of picture that the first bytes say it is, if it is one that can be read.
fn format_of(bytes: &[u8]) -> Result<ImageFormat, String> {
    const KINDS: &str = "PNG, JPEG, WebP or GIF";
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP | ImageFormat::Gif)) => Ok(format),
        Ok(other) => Err(format!("it is of another format ({other:?}): convert it to {KINDS}")),
        Err(_) if bytes.is_empty() => Err("it is empty: remove it, or fetch it again".to_owned()),
        Err(_) => {
            let start = &bytes[..bytes.len().min(64)];
            // ISO base media file: a box of type ftyp with the brand of what it holds.
            if matches!(start.get(4..11), Some(b"ftyphei" | b"ftyphev" | b"ftypmif")) {
                return Err(format!("it is a HEIC file: convert it to {KINDS}"));
            }
            let printable = |c: char| !c.is_control() || c.is_ascii_whitespace();
            let what = match std::str::from_utf8(start).map(|text| text.chars().all(printable).then_some(text)) {
                Ok(Some(text)) => format!("it is text (it begins {:?})", text.chars().take(24).collect::<String>()),
                Ok(None) | Err(_) => "its first bytes are those of no picture".to_owned(),
            };
            Err(format!("{what}, and not {KINDS}, whatever its name says: remove it, or fetch it again"))
        }
    }
}

/// Whether a JPEG file goes on to its end mark. Its decoder accepts one that does not, and paints the rest grey.
///
/// The file is a row of segments, each a mark `FF xx`, and mostly a length with so many bytes. After a start of scan
/// come compressed pixels, where `FF 00` is a byte 255 and `FF D0` to `FF D7` are places to begin anew; any other mark
/// ends them.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[first, mark]) = bytes.get(at..at + 2) {
        match (first, mark) {
            (0xff, 0xd9) => return true,
            (0xff, 0x00 | 0x01 | 0xd0..=0xd8) => at += 2, // a mark without a length
            (0xff, 0xff) => at += 1,                      // marks may be padded with it
            (0xff, _) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
            _ => at += 1, // compressed pixels; and some cameras write bytes between segments
        }
    }
    false
}

/// What the camera said, where a PNG file tells it. The file is its signature and a row of chunks: how many bytes there are,
/// a type, these bytes, and a checksum.
fn png_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(8..)?;
    loop {
        let ([a, b, c, d, kind @ ..], behind) = rest.split_first_chunk::<8>()?;
        let (data, behind) = behind.split_at_checked(u32::from_be_bytes([*a, *b, *c, *d]) as usize)?;
        if kind == b"eXIf" {
            return Some(data);
        }
        rest = behind.get(4..)?;
    }
}

/// The colours of pixels with an opacity each, laid on a ground: `o·c + (1 − o)·ground`, rounded.
fn laid_on(ground: [u8; 3], rgba: &[u8]) -> Vec<u8> {
    let (pixels, _) = rgba.as_chunks::<4>();
    let mix = |c: u8, ground: u8, o: u8| {
        let (c, ground, o) = (u32::from(c), u32::from(ground), u32::from(o));
        ((o * c + (255 - o) * ground + 127) / 255) as u8
    };
    pixels.iter().flat_map(|&[r, g, b, o]| [mix(r, ground[0], o), mix(g, ground[1], o), mix(b, ground[2], o)]).collect()
}

fn cut_off(how: &str) -> String {
    format!("it is damaged or cut off ({how}): fetch it again")
}

/// The decoder's refusal, as a sentence.
fn in_words(error: &ImageError) -> String {
    match error {
        ImageError::Unsupported(e) => format!("it is of a kind that cannot be read ({e}): save it as an ordinary PNG"),
        ImageError::Limits(_) => "it needs more memory than a picture may: make it smaller, or remove it".to_owned(),
        other => cut_off(other.to_string().trim_end_matches('.')),
    }
}

#[cfg(test)]
mod tests;
