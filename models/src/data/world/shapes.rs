//! Shapes as signed distances: a formula each, negative inside, zero on the outline, positive outside.
//!
//! Nothing else is needed to draw a shape at any size: whether a point is inside is the sign, and how deep or how far
//! off it is serves for light and shadow. Larger shapes are made of smaller ones: the smaller of two distances is both
//! together, the larger is what they share, and −d is all that d leaves out (Quilez,
//! <https://iquilezles.org/articles/distfunctions2d>). Near corners the result may fall short of the true distance; its
//! sign is exact.

use std::f32::consts::FRAC_1_SQRT_2;

use super::scene::Shape;

/// The signed distance of (x, y), y upwards, to a shape that just fits into the circle of radius 1 around the origin.
pub(super) fn distance(shape: Shape, x: f32, y: f32) -> f32 {
    match shape {
        Shape::Ball => x.hypot(y) - 1.0,
        Shape::Cube => x.abs().max(y.abs()) - FRAC_1_SQRT_2, // half the side of the square in the circle
        Shape::Star => star(x, y),
        Shape::Ring => (x.hypot(y) - 0.76).abs() - 0.24, // all within 0.24 of a circle of radius 0.76
        Shape::Heart => heart(x, y),
        // A disk without what a second disk covers, to its right.
        Shape::Moon => (x.hypot(y) - 1.0).max(0.8 - (x - 0.5).hypot(y)),
        // What lies on the inner side of three lines, each half a radius from the middle: an equilateral triangle.
        Shape::Cone => (0.75_f32.sqrt() * x.abs() + 0.5 * y).max(-y) - 0.5,
        Shape::Cross => {
            // One arm is |x| < 0.95, |y| < 0.3, the other the same with x and y exchanged.
            let (long, short) = (x.abs().max(y.abs()), x.abs().min(y.abs()));
            (long - 0.95).max(short - 0.3)
        }
    }
}

/// Five points. All ten half points are alike, so (x, y) is first folded into one: at an angle from 0 (the tip) to 36°.
fn star(x: f32, y: f32) -> f32 {
    const TENTH: f32 = std::f32::consts::PI / 5.0;
    const INNER: f32 = 0.45; // radius of the corners between the points
    let turn = x.atan2(y) / (2.0 * TENTH);
    let (radius, angle) = (x.hypot(y), (turn - turn.round()).abs() * 2.0 * TENTH);
    // The edge goes from the tip (1, 0) to the inner corner; its normal is that line turned by 90°.
    let normal = (INNER * TENTH.sin(), 1.0 - INNER * TENTH.cos());
    ((radius * angle.cos() - 1.0) * normal.0 + radius * angle.sin() * normal.1) / normal.0.hypot(normal.1)
}

/// A square on its tip, and half a disk on each of its two upper sides.
fn heart(x: f32, y: f32) -> f32 {
    // In a square of half diagonal 0.5 around (0, 0.5), the upper sides have their middles at (±0.25, 0.75).
    const SCALE: f32 = 0.632;
    let (x, y) = (SCALE * x.abs(), SCALE * y + 0.63);
    let square = (x + (y - 0.5).abs() - 0.5) * FRAC_1_SQRT_2;
    let disk = (x - 0.25).hypot(y - 0.75) - 0.5 * FRAC_1_SQRT_2;
    square.min(disk) / SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of the square from −1.2 to 1.2.
    fn points() -> impl Iterator<Item = (f32, f32)> {
        let steps = || (-120..=120).map(|i| i as f32 / 100.0);
        steps().flat_map(move |x| steps().map(move |y| (x, y)))
    }

    #[test]
    fn every_shape_just_fits_into_the_unit_circle() {
        for &shape in Shape::ALL {
            let inside = points().filter(|&(x, y)| distance(shape, x, y) < 0.0);
            let farthest = inside.map(|(x, y)| x.hypot(y)).fold(0.0, f32::max);
            assert!((0.95..=1.001).contains(&farthest), "{shape:?} {farthest}");
        }
    }

    #[test]
    fn a_distance_never_grows_faster_than_one_walks() {
        for &shape in Shape::ALL {
            for (x, y) in points() {
                let steps = [(0.01, 0.0), (0.0, 0.01), (0.007, 0.007)];
                let grown = steps.map(|(a, b)| (distance(shape, x + a, y + b) - distance(shape, x, y)).abs());
                assert!(grown.iter().all(|&g| g < 0.0101), "{shape:?} at {x}, {y}: {grown:?}");
            }
        }
    }
}
