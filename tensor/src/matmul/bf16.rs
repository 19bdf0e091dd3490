//! bf16, the upper half of an f32: operands rounded to eight bits of mantissa, sums kept in full.
//!
//! Where the processor is fast at `vdpbf16ps`, a word of a packed panel is two neighbours of the inner dimension, and one
//! instruction does two multiply-adds a lane. Elsewhere the rounded numbers are multiplied as f32: a product of two
//! eight-bit mantissas is exact in f32, so the two differ in the order of sums alone, and in that the instruction takes
//! numbers below 2⁻¹²⁶ for zero.
//!
//! Reference: Kalamkar et al. 2019, "A Study of BFLOAT16 for Deep Learning Training".

use super::MatMut;
#[cfg(all(target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw"))]
use super::instructions::processor::Processor;
use super::pack::{Lanewise, Pack, Panels, Rows};
use super::tile::{self, Start};
use crate::simd::{Float, Lanes};

/// The nearest bf16, ties to even, as an f32: half of what is cut off is added before it is cut, less one bit if the
/// last bit that stays is even. Infinities stay; a NaN stays one.
#[inline(always)]
pub fn round(x: f32) -> f32 {
    let bits = x.to_bits();
    let up = 0x7fff + ((bits >> 16) & 1);
    let rounded = f32::from_bits(bits.wrapping_add(up) & 0xffff_0000);
    if x.is_nan() { f32::NAN } else { rounded }
}

/// Rounded numbers, multiplied as numbers of their own type.
pub struct Rounded;

impl<T: Float> Pack<T> for Rounded {
    const STEP: usize = 1;
    #[inline(always)]
    fn along(to: &mut [T], from: &[T]) {
        to.iter_mut().zip(from).for_each(|(to, x)| *to = T::of(f64::from(round(x.f64() as f32))));
    }
    #[inline(always)]
    fn across(to: &mut [T], _: usize, first: &[T], _: Option<&[T]>) {
        <Self as Pack<T>>::along(&mut to[..first.len()], first);
    }
    fn multiply(c: MatMut<T>, a: &Rows<T>, b: &Panels<T>, words: usize, start: Start<T>) {
        tile::multiply::<T, Self>(c, a, b, words, start);
    }
    fn exercise(rounds: usize) -> usize {
        tile::exercise::<T, Self>(rounds)
    }
}

impl<T: Float> Lanewise<T> for Rounded {
    #[inline(always)]
    fn add_product(sum: T::Lanes, a: T::Lanes, b: T::Lanes) -> T::Lanes {
        a.mul_add(b, sum)
    }
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw")))]
pub use Rounded as Pairs;
#[cfg(all(target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw"))]
pub use pairs::Pairs;

/// Whether pairs are multiplied faster than single numbers on this processor. Intel's cores have the instruction, but in the
/// time of one do four multiply-adds of f32, which are four products a lane to its two; AMD's do one.
pub fn in_pairs() -> bool {
    #[cfg(all(target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw"))]
    {
        static FAST: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| !Processor::here().intel);
        *FAST
    }
    #[cfg(not(all(target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw")))]
    false
}

#[cfg(all(target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw"))]
mod pairs {
    use wide::f32x16;

    use super::{Lanewise, MatMut, Pack, Panels, Rows, Start, round, tile};
    use crate::matmul::instructions::{add_dot_of_pairs, pairs_across, pairs_along};
    use crate::simd::Lanes;

    /// Two bf16 to a word. Words are called f32 here as the buffers are; nothing but the dot product reads them as numbers.
    pub struct Pairs;

    impl Pack<f32> for Pairs {
        const STEP: usize = 2;

        #[inline(always)]
        fn along(to: &mut [f32], from: &[f32]) {
            let (whole, rest) = from.as_chunks::<32>();
            let (to, to_rest) = to.split_at_mut(whole.len() * 16);
            for (to, from) in to.chunks_exact_mut(16).zip(whole) {
                Lanes::store(pairs_along(Lanes::load(&from[..16]), Lanes::load(&from[16..])), to);
            }
            for (to, from) in to_rest.iter_mut().zip(rest.chunks(2)) {
                *to = pair(from[0], from.get(1).copied().unwrap_or(0.0));
            }
        }

        #[inline(always)]
        fn across(to: &mut [f32], _: usize, first: &[f32], second: Option<&[f32]>) {
            let to = &mut to[..first.len()];
            let Some(second) = second else {
                to.iter_mut().zip(first).for_each(|(to, &first)| *to = pair(first, 0.0));
                return;
            };
            let whole = to.len() / 16 * 16;
            for at in (0..whole).step_by(16) {
                let words = pairs_across(Lanes::load(&first[at..]), Lanes::load(&second[at..]));
                Lanes::store(words, &mut to[at..]);
            }
            (whole..to.len()).for_each(|i| to[i] = pair(first[i], second[i]));
        }

        fn multiply(c: MatMut<f32>, a: &Rows<f32>, b: &Panels<f32>, words: usize, start: Start<f32>) {
            tile::multiply::<f32, Self>(c, a, b, words, start);
        }

        fn exercise(rounds: usize) -> usize {
            tile::exercise::<f32, Self>(rounds)
        }
    }

    impl Lanewise<f32> for Pairs {
        #[inline(always)]
        fn add_product(sum: f32x16, a: f32x16, b: f32x16) -> f32x16 {
            add_dot_of_pairs(sum, a, b)
        }
    }

    /// The rounded numbers in one word, the first in its lower half.
    #[inline(always)]
    fn pair(first: f32, second: f32) -> f32 {
        f32::from_bits((round(first).to_bits() >> 16) | round(second).to_bits())
    }
}
