//! Several seeds: a mean, and how far it may be off.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// A mean, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Mean {
    /// x̄
    pub value: f64,
    /// Half the width of the 95% interval: the mean of endlessly many seeds lies within `value ± half_width`, unless
    /// these seeds are among the twentieth part that mislead. `None` for one seed, which says nothing of others.
    pub half_width: Option<f64>,
}

/// The mean of n results that differ only in the seed, with Student's interval (1908), which knows that the spread s is
/// itself a guess from n results:
///
/// ```text
/// x̄ ± t·s/√n,  s² = Σᵢ(xᵢ − x̄)²/(n − 1),  P(|T| ≤ t) = 0.95 with n − 1 degrees of freedom
/// ```
pub fn mean(results: &[f64]) -> Mean {
    assert!(!results.is_empty(), "a mean of no results");
    let n = results.len() as f64;
    let value = results.iter().sum::<f64>() / n;
    let squares: f64 = results.iter().map(|x| (x - value).powi(2)).sum();
    let half_width = (results.len() > 1).then(|| student(results.len() - 1) * (squares / (n - 1.0) / n).sqrt());
    Mean { value, half_width }
}

/// t with P(|T| ≤ t) = 0.95. With t = √ν·tan θ the probability rises with θ from 0 to π/2; halving finds the place.
fn student(freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if within(middle, freedom) < 0.95 { low = middle } else { high = middle }
    }
    (freedom as f64).sqrt() * f64::tan((low + high) / 2.0)
}

/// P(|T| ≤ √ν·tan θ) with ν degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), ν/2 terms rounded down:
///
/// ```text
/// ν even: sin θ·(1 + 1/2·cos²θ + (1·3)/(2·4)·cos⁴θ + …)
/// ν odd:  2/π·(θ + sin θ·(cos θ + 2/3·cos³θ + (2·4)/(3·5)·cos⁵θ + …))
/// ```
fn within(angle: f64, freedom: usize) -> f64 {
    let (sin, cos) = angle.sin_cos();
    let odd = freedom % 2;
    let (mut term, mut sum) = (if odd == 1 { cos } else { 1.0 }, 0.0);
    for i in (2 + odd..).step_by(2).take(freedom / 2) {
        sum += term;
        term *= cos * cos * (i - 1) as f64 / i as f64;
    }
    if odd == 1 { FRAC_2_PI * (angle + sin * sum) } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_seeds_say_less() {
        // The table in every statistics book.
        for (freedom, t) in [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045), (1000, 1.962)] {
            assert!((student(freedom) - t).abs() < 5e-4, "{freedom}: {}", student(freedom));
        }
        assert_eq!(mean(&[0.5]), Mean { value: 0.5, half_width: None });
        assert_eq!(mean(&[0.5, 0.5]), Mean { value: 0.5, half_width: Some(0.0) });
    }
}
