//! eˣ of sixteen single-precision numbers: the one function under GELU, softmax and attention.
//!
//! With n the integer nearest to x/ln 2, `eˣ = 2ⁿ·eᶠ` and f = x − n·ln 2 is at most ln 2 / 2 = 0.35, where Taylor's series is
//! exact to single precision after eight terms. ln 2 is taken off in two parts, the first of so few bits that its product
//! with n is exact. 2ⁿ costs nothing: n is added to the exponent, which stands in the bits from 23 on.
//!
//! Reference: Cody and Waite 1980, "Software Manual for the Elementary Functions", chapter 6.

use bytemuck::cast;
use wide::{f32x16, i32x16};

/// 1.5·2²³: single-precision numbers of this size have no fraction, so adding it rounds to an integer, which then
/// stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// 1/n! for n = 7, 6, … 0.
const TAYLOR: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
/// Above it eˣ is infinite, below the other less than the smallest normal number, and zero here.
const HIGHEST: f32 = 88.722_83;
const LOWEST: f32 = -87.336_54;

/// eˣ, to a unit and a half in the last place. NaN stays NaN, if arithmetic made it: one with bits of its own (a payload) may
/// become a number.
#[inline(always)]
pub fn exp(x: f32x16) -> f32x16 {
    let shifted = x.mul_add(f32x16::splat(std::f32::consts::LOG2_E), f32x16::splat(ROUND));
    let n = shifted - f32x16::splat(ROUND);
    let f = n.mul_add(f32x16::splat(-LN_2_LOW), n.mul_add(f32x16::splat(-LN_2_HIGH), x)); // x − n·ln 2, in two parts (LOW < 0)
    let e = TAYLOR[1..].iter().fold(f32x16::splat(TAYLOR[0]), |sum, &c| sum.mul_add(f, f32x16::splat(c)));
    let power: i32x16 = cast::<f32x16, i32x16>(shifted) << 23; // of ROUND's own bits none is left
    let y: f32x16 = cast(cast::<f32x16, i32x16>(e) + power); // 2ⁿ·eᶠ: n is added to the exponent
    let y = x.simd_gt(f32x16::splat(HIGHEST)).select(f32x16::splat(f32::INFINITY), y);
    x.simd_lt(f32x16::splat(LOWEST)).select(f32x16::ZERO, y)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(x: f32) -> f32 {
        exp(f32x16::splat(x)).to_array()[7]
    }

    #[test]
    fn every_hundredth_float_is_within_a_unit_and_a_half_of_the_last_place() {
        let mut worst = 0.0f64;
        for sign in [0, 1u32 << 31] {
            for bits in (0..HIGHEST.to_bits()).step_by(101) {
                let x = f32::from_bits(bits | sign);
                if x > LOWEST {
                    let want = f64::from(x).exp();
                    let unit = f64::from((want as f32).next_up()) - f64::from(want as f32);
                    worst = worst.max((f64::from(one(x)) - want).abs() / unit);
                }
            }
        }
        assert!(worst < 1.5, "{worst}");
    }

    #[test]
    fn the_ends_and_what_is_no_number() {
        assert_eq!(one(0.0), 1.0);
        assert!(one(HIGHEST).is_finite() && one(HIGHEST.next_up()).is_infinite());
        assert!(one(LOWEST) >= f32::MIN_POSITIVE && one(LOWEST.next_down()) == 0.0);
        assert_eq!((one(f32::INFINITY), one(f32::NEG_INFINITY), one(f32::MAX)), (f32::INFINITY, 0.0, f32::INFINITY));
        assert!(one(f32::NAN).is_nan());
    }
}
