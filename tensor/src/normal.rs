//! The standard normal distribution: its density φ(x), and the share Φ(x) of it that lies below x. GELU is made of both.
//!
//! φ(x) = exp(−x²/2)/√(2π), and Φ is its integral from −∞ to x, for which there is no closed form.
//!
//! In double precision, obvious and slow: Φ(x) = ½ + φ(x)·(x + x³/3 + x⁵/(3·5) + x⁷/(3·5·7) + …), whose terms all have
//! one sign (Marsaglia 2004, "Evaluating the Normal Distribution").
//!
//! In single precision, fast: the tail Φ(−|x|) = exp(−x²/2)·u·P(u) with u = 1/(1 + 0.28·|x|). Without the exponential the
//! tail falls like 1/|x|, as u does, and what is left is so smooth that a polynomial P of degree ten follows it for all u in
//! 0..1 to 1.5e-8, relative to the tail, however small that is. One exponential serves both φ and Φ.

use wide::{f32x16, f64x8};

/// How fast u falls: the value for which the polynomial is best.
const FALL: f32 = 0.28;
/// P, from the highest power of u down: interpolated at the zeros of a Chebyshev polynomial.
const P: [f32; 11] = [
    -0.015_046_295,
    0.074_841_52,
    -0.132_866_35,
    0.089_276_36,
    -0.035_141_84,
    0.048_299_495,
    0.058_569_504,
    0.085_731_11,
    0.102_928_39,
    0.111_704_27,
    0.111_703_84,
];
/// 1/√(2π)
const ONE_BY_ROOT_TWO_PI: f64 = 0.398_942_280_401_432_7;

/// Φ(x) and φ(x) in single precision.
#[inline(always)]
pub fn normal_f32(x: f32x16) -> (f32x16, f32x16) {
    let e = crate::exp::exp(x * x * f32x16::splat(-0.5));
    let u = f32x16::ONE / x.abs().mul_add(f32x16::splat(FALL), f32x16::ONE);
    let p = P[1..].iter().fold(f32x16::splat(P[0]), |sum, &c| sum.mul_add(u, f32x16::splat(c)));
    let tail = e * u * p;
    let below = x.simd_lt(f32x16::ZERO).select(tail, f32x16::ONE - tail);
    (below, e * f32x16::splat(ONE_BY_ROOT_TWO_PI as f32))
}

/// Φ(x) and φ(x) in double precision.
pub fn normal_f64(x: f64x8) -> (f64x8, f64x8) {
    let density = (x * x * f64x8::splat(-0.5)).exp() * f64x8::splat(ONE_BY_ROOT_TWO_PI);
    // Beyond 12 the tail is less than half a unit in the last place of 1.
    let x = x.fast_max(f64x8::splat(-12.0)).fast_min(f64x8::splat(12.0));
    let there = (x * x * f64x8::splat(-0.5)).exp() * f64x8::splat(ONE_BY_ROOT_TWO_PI);
    let (mut term, mut sum) = (x, x);
    // The terms fall from 2k + 1 > x² on, and by then fast.
    for k in 1..200 {
        term = term * x * x * f64x8::splat(1.0 / f64::from(2 * k + 1));
        sum += term;
    }
    (there.mul_add(sum, f64x8::splat(0.5)), density)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Φ from a table of the normal distribution: to the left of the mean, where it is a tail.
    const TABLE: [(f64, f64); 5] = [
        (0.0, 0.5),
        (-0.5, 0.308_537_538_725_986_9),
        (-1.0, 0.158_655_253_931_457_05),
        (-2.0, 0.022_750_131_948_179_21),
        (-4.0, 3.167_124_183_311_986e-5),
    ];

    #[test]
    fn both_precisions_give_the_tables_values() {
        for (x, below) in TABLE {
            for (x, below) in [(x, below), (-x, 1.0 - below)] {
                let slow = normal_f64(f64x8::splat(x)).0.to_array()[3];
                let fast = f64::from(normal_f32(f32x16::splat(x as f32)).0.to_array()[3]);
                assert!((slow - below).abs() < 1e-15, "{x}: {slow} {below}");
                assert!((fast / below - 1.0).abs() < 3e-7, "{x}: {fast} {below}");
            }
        }
    }

    #[test]
    fn the_fast_form_follows_the_slow_one() {
        for i in -1200..=1200 {
            let x = i as f32 / 100.0;
            let (slow, fast) = (normal_f64(f64x8::splat(x.into())), normal_f32(f32x16::splat(x)));
            let pairs = [(slow.0, fast.0), (slow.1, fast.1)];
            for (slow, fast) in pairs.map(|(slow, fast)| (slow.to_array()[0], f64::from(fast.to_array()[0]))) {
                assert!((slow - fast).abs() < 2e-7, "{x}: {slow} {fast}");
            }
        }
    }

    #[test]
    fn far_out_all_or_nothing_is_below_and_nan_stays() {
        for x in [30.0f32, 1e30] {
            assert_eq!(normal_f32(f32x16::splat(x)).0.to_array()[0], 1.0);
            assert_eq!(normal_f32(f32x16::splat(-x)), (f32x16::ZERO, f32x16::ZERO));
            assert!((normal_f64(f64x8::splat(x.into())).0.to_array()[0] - 1.0).abs() < 1e-14);
        }
        assert!(normal_f32(f32x16::splat(f32::NAN)).0.to_array()[0].is_nan());
    }
}
