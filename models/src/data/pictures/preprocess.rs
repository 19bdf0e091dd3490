//! From a picture of any size to what CLIP sees: a square of S x S, of numbers about 0.
//!
//! The shorter edge becomes S by bicubic interpolation, which averages over so many pixels as become one; of the other
//! edge the middle is kept; and each colour is brought to mean 0 and deviation 1 as it was in CLIP's training data
//! (Radford et al. 2021; Hugging Face's `CLIPImageProcessor`).
//!
//! Resizing and cropping are one step here: a box of the picture becomes the square, and nothing outside of it is
//! computed. So augmentation is the same step with another box.

use std::cell::RefCell;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use super::Picture;
use super::decode::WHITE;

/// How pictures become a model's input.
///
/// ```
/// use models::data::pictures::{Picture, Preprocess};
/// let red = Picture { width: 60, height: 40, rgb: [255, 0, 0].repeat(60 * 40) };
/// let clip = Preprocess { size: 32, ..Preprocess::default() };
/// let mut pixels = vec![0.0; clip.numbers()]; // [3, 32, 32]
/// clip.apply(&red, &mut pixels);
/// assert!((pixels[0] - (1.0 - clip.mean[0]) / clip.std[0]).abs() < 1e-5);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// S: pixels of an edge.
    pub size: usize,
    /// The mean of red, green and blue, from 0 to 1.
    pub mean: [f32; 3],
    /// Their deviations.
    pub std: [f32; 3],
    /// What lies under what is transparent: red, green and blue. Pictures are laid on it when they are decoded.
    pub ground: [u8; 3],
}

impl Default for Preprocess {
    /// CLIP's: S = 224, and the means and deviations of the pictures that it was trained on; white under what is transparent.
    fn default() -> Self {
        let (mean, std) = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.2613026, 0.2757771]);
        Self { size: 224, mean, std, ground: WHITE }
    }
}

impl Preprocess {
    /// 3·S·S: the numbers of a picture.
    pub fn numbers(&self) -> usize {
        3 * self.size * self.size
    }

    /// The whole picture but for what of the longer edge stands over: `picture` → `out`, `[3, S, S]`.
    ///
    /// Panics if `out` does not have [`Preprocess::numbers`] numbers.
    pub fn apply(&self, picture: &Picture, out: &mut [f32]) {
        let square = resized(picture, self.middle(picture), self.size);
        self.normalize(&square, |x, y| (x, y), out);
    }

    /// The middle of the picture that becomes the square.
    ///
    /// Hugging Face's processor resizes first, the longer edge to a whole number rounded down, and then cuts whole
    /// pixels off it. In the picture, these are pixels of the scale of the longer edge.
    pub(super) fn middle(&self, picture: &Picture) -> Region {
        let kept = |edge: usize, other: usize| {
            let resized = (self.size * edge / edge.min(other)).max(self.size);
            let scale = edge as f64 / resized as f64;
            (((resized - self.size) / 2) as f64 * scale, self.size as f64 * scale)
        };
        let (left, width) = kept(picture.width, picture.height);
        let (top, height) = kept(picture.height, picture.width);
        Region { left, top, width, height }
    }

    /// Writes a square of pixels as numbers, `[S, S, 3]` → `out`, `[3, S, S]`; `from` says which pixel stands at (x, y).
    pub(super) fn normalize(&self, square: &[u8], from: impl Fn(usize, usize) -> (usize, usize), out: &mut [f32]) {
        let size = self.size;
        assert_eq!(out.len(), self.numbers(), "a picture of {size} x {size} has so many numbers");
        for (c, plane) in out.chunks_exact_mut(size * size).enumerate() {
            let (scale, shift) = (1.0 / (255.0 * self.std[c]), -self.mean[c] / self.std[c]);
            for (y, row) in plane.chunks_exact_mut(size).enumerate() {
                for (x, number) in row.iter_mut().enumerate() {
                    let (x, y) = from(x, y);
                    *number = f32::from(square[3 * (size * y + x) + c]) * scale + shift;
                }
            }
        }
    }
}

/// A part of a picture, in pixels and fractions of them, within it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Region {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

thread_local! {
    /// Keeps its memory from picture to picture.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// The region as a square, `[size, size, 3]`: PIL's bicubic interpolation (that of Catmull and Rom, a = −1/2), stretched
/// over all the pixels that become one.
///
/// Rows first and then columns, each rounded to whole levels, as PIL does it. In one call, the resizer would begin with
/// the columns, and where lines are so fine that the cubic overshoots 0 or 255, it would be several levels off.
pub(super) fn resized(picture: &Picture, region: Region, size: usize) -> Vec<u8> {
    let Picture { width, height, rgb } = picture;
    let edge = size as f64;
    if *width == size && region == (Region { left: 0.0, top: 0.0, width: edge, height: edge }) {
        return rgb[..3 * size * size].to_vec();
    }
    // A region that ends at the picture's edge may stand over by a rounding error.
    let (left, top) = (region.left.max(0.0), region.top.max(0.0));
    let (w, h) = (region.width.min(*width as f64 - left), region.height.min(*height as f64 - top));
    let reach = 2.0 * (h / edge).max(1.0); // rows above and below that a pixel is interpolated from
    let first = (top - reach).floor().max(0.0);
    let rows = (top + h + reach).ceil().min(*height as f64) - first;
    let source = ImageRef::new(*width as u32, *height as u32, rgb, PixelType::U8x3).expect("3·W·H numbers");
    let mut narrow = Image::new(size as u32, rows as u32, PixelType::U8x3);
    let mut square = Image::new(size as u32, size as u32, PixelType::U8x3);
    let cubic = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    RESIZER.with_borrow_mut(|resizer| {
        resizer.resize(&source, &mut narrow, &cubic.crop(left, first, w, rows)).expect("a part of the picture");
        resizer.resize(&narrow, &mut square, &cubic.crop(0.0, top - first, edge, h)).expect("a part of the rows");
    });
    square.into_vec()
}

#[cfg(test)]
mod tests;
