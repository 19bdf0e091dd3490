//! The same picture, a little different each time: what a model is to take no notice of.
//!
//! A model that sees the same pixels each epoch learns them by heart. So each time, a part of the picture is taken for
//! the whole, is moved a little, is lit otherwise, or is seen in a mirror, and the caption stays true. That is why each
//! of these has to be asked for: a mirror makes left of right, and another colour turns a red ball into a green one.
//!
//! CLIP itself cropped and did nothing else (Radford et al. 2021, section 2.4). The crop is torchvision's
//! `RandomResizedCrop` (Szegedy et al. 2015), with open_clip's shares by default; the colours are its `ColorJitter` and
//! `RandomGrayscale`, with which a model learns to tell things by their shape (Chen et al. 2020, "SimCLR", section 3).
//!
//! Everything is a function of (seed, step, sample), so that a run that was killed sees what it would have seen.

use std::f32::consts::TAU;

use serde::{Deserialize, Serialize};
use tensor::random::{Random, Stream};

use super::Picture;
use super::preprocess::{Preprocess, Region, resized};

/// How much a picture may change. Zero turns a change off, as `false` does the mirror.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// The smallest share of the picture's area that may stand for it; the largest is 1. Zero: no crop, but the middle
    /// of the picture, as in validation.
    pub crop: f64,
    /// A crop's width over its height is from 1/aspect to aspect. At least 1.
    pub aspect: f64,
    /// The share of an edge by which the picture may be moved along it; where it was, its outermost pixels go on.
    pub shift: f64,
    /// Brightness is multiplied by 1 − b to 1 + b.
    pub brightness: f64,
    /// Distances from the mean grey are multiplied by 1 − c to 1 + c.
    pub contrast: f64,
    /// Distances from each pixel's own grey are multiplied by 1 − s to 1 + s.
    pub saturation: f64,
    /// Hues are turned by up to this share of the circle, either way: 0.5 makes any hue of any.
    pub hue: f64,
    /// The share of pictures that lose their colours.
    pub grey: f64,
    /// Whether half of the pictures are mirrored: never where captions speak of left and right, or pictures have
    /// letters in them.
    pub flip: bool,
}

impl Default for Augment {
    /// open_clip's: at least nine tenths of the area, with sides of 3:4 to 4:3.
    fn default() -> Self {
        Self { crop: 0.9, aspect: 4.0 / 3.0, ..Self::none() }
    }
}

/// Random words that are kept for a sample. The crop's ten tries need 40, its place 4, all the rest 16.
const WORDS: u64 = 64;

/// Random crops that are tried before the middle is taken, as in torchvision.
const TRIES: usize = 10;

/// The share of red, green and blue in grey (ITU-R BT.601), as in PIL and torchvision.
const GREY: [f32; 3] = [0.299, 0.587, 0.114];
/// By how much blue and red above the grey are multiplied to be U and V, in which all hues are alike (ITU-R BT.601).
const U: f32 = 0.492;
const V: f32 = 0.877;

impl Augment {
    /// Nothing changes.
    pub fn none() -> Self {
        Self {
            crop: 0.0,
            aspect: 1.0,
            shift: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            grey: 0.0,
            flip: false,
        }
    }

    /// The picture as sample `sample` of step `step` sees it: `picture` → `out`, `[3, S, S]`, brought to the mean and
    /// deviation of `as_seen`.
    ///
    /// Panics if `out` does not have [`Preprocess::numbers`] numbers.
    pub fn apply(&self, picture: &Picture, as_seen: &Preprocess, key: [u64; 3], out: &mut [f32]) {
        let [seed, step, sample] = key;
        let mut random = Random::new(seed, Stream::View, step).at(sample * WORDS);
        // All are drawn whether they are used or not: so turning one change on leaves the others as they were.
        let mirrored = random.uniform() < 0.5 && self.flip;
        let mut around = |middle: f64, by: f64| middle + by * (2.0 * random.uniform() - 1.0);
        let edge = as_seen.size as f64;
        let (right, down) = (around(0.0, self.shift * edge).round(), around(0.0, self.shift * edge).round());
        let [brightness, contrast, saturation] =
            [self.brightness, self.contrast, self.saturation].map(|by| around(1.0, by) as f32);
        let turn = around(0.0, self.hue) as f32;
        let without = random.uniform() < self.grey;

        let region = if self.crop > 0.0 { self.region(picture, &mut random) } else { as_seen.middle(picture) };
        let mut square = resized(picture, region, as_seen.size);
        if [self.brightness, self.contrast, self.saturation, self.hue, self.grey].iter().any(|&by| by > 0.0) {
            recolour(&mut square, brightness, contrast, [if without { 0.0 } else { saturation }, turn]);
        }
        let last = as_seen.size as isize - 1;
        let moved = |at: usize, by: f64| (at as isize - by as isize).clamp(0, last) as usize;
        let from = |x: usize, y: usize| {
            let x = moved(x, right);
            (if mirrored { last as usize - x } else { x }, moved(y, down))
        };
        as_seen.normalize(&square, from, out);
    }

    /// A part of the picture: its area is a share from `crop` to 1, and its aspect is drawn on the scale of logarithms.
    /// If none fits, as much of the middle as the aspect allows.
    fn region(&self, picture: &Picture, random: &mut Random) -> Region {
        let (w, h) = (picture.width as f64, picture.height as f64);
        for _ in 0..TRIES {
            let area = w * h * (self.crop + (1.0 - self.crop) * random.uniform());
            let aspect = self.aspect.powf(2.0 * random.uniform() - 1.0);
            let (width, height) = ((area * aspect).sqrt(), (area / aspect).sqrt());
            if width <= w && height <= h {
                let (left, top) = ((w - width) * random.uniform(), (h - height) * random.uniform());
                return Region { left, top, width, height };
            }
        }
        let (width, height) = (w.min(h * self.aspect), h.min(w * self.aspect));
        Region { left: (w - width) / 2.0, top: (h - height) / 2.0, width, height }
    }
}

/// Changes brightness, then contrast, then saturation, each a blend with a darker or greyer picture (Haeberli and
/// Voorhies 1994): with black, with the mean grey of the picture, with each pixel's own grey y. With the last the hue turns by a
/// share of the circle, θ = 2π·turn, in the plane of what blue and red are above y:
///
/// - `u = U·(b − y), v = V·(r − y)`
/// - `(u, v) ← s·(u·cos θ − v·sin θ, u·sin θ + v·cos θ)`, s the saturation
fn recolour(square: &mut [u8], brightness: f32, contrast: f32, [saturation, turn]: [f32; 2]) {
    let (pixels, _) = square.as_chunks_mut::<3>();
    let bright = |level: u8| (f32::from(level) * brightness).clamp(0.0, 255.0);
    let grey = |rgb: [f32; 3]| GREY[0] * rgb[0] + GREY[1] * rgb[1] + GREY[2] * rgb[2];
    let mean = pixels.iter().map(|rgb| grey(rgb.map(bright))).sum::<f32>() / pixels.len() as f32;
    let (sin, cos) = (TAU * turn).sin_cos();
    let (sin, cos) = (saturation * sin, saturation * cos);
    for rgb in pixels {
        let [r, g, b] = rgb.map(|level| (mean + contrast * (bright(level) - mean)).clamp(0.0, 255.0));
        let own = grey([r, g, b]);
        let (u, v) = (U * (b - own), V * (r - own));
        let (blue, red) = ((cos * u - sin * v) / U, (sin * u + cos * v) / V);
        // The three distances from the grey have the grey of nothing.
        let green = -(GREY[0] * red + GREY[2] * blue) / GREY[1];
        *rgb = [red, green, blue].map(|above| (own + above).round().clamp(0.0, 255.0) as u8);
    }
}

#[cfg(test)]
mod tests;
