//! Instructions of x86 processors that `wide` does not have: the dot product of bf16 pairs, rounding to such pairs, those of
//! the matrix unit (`instructions/unit.rs`), and asking for memory ahead of time; and whether a processor has what the program
//! was built for (`instructions/processor.rs`). The only `unsafe` of the product; without them it computes the same, later, and
//! rounded in other places.
#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw"))]
pub mod unit;

#[cfg(target_arch = "x86_64")]
pub mod processor;

#[cfg(all(target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw"))]
pub use pairs::{add_dot_of_pairs, pairs_across, pairs_along};

/// Asks for the cache line that holds a number, which will be read or written some thousand cycles from now, to be in the
/// first-level cache. No prefetcher foresees pieces of a few lines of one row after the other, as a tile touches them in C, and
/// packing in B. It is worth some hundredths of the peak (`bench matmul`).
#[inline(always)]
pub fn fetch<T>(number: &T) {
    fetch_at(number);
}

/// As [`fetch`], of a place that need not be there.
#[inline(always)]
pub fn fetch_at<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, which only hints: whatever the address, nothing fails.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(all(target_arch = "x86_64", target_feature = "avx512bf16", target_feature = "avx512bw"))]
mod pairs {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_permutexvar_epi16,
    };
    use std::mem::transmute;

    use wide::f32x16;

    // SAFETY, of all: the instructions are there, since these functions are compiled only where the whole program
    // is built for processors that have them (and `simd::supported` looks before the program starts); all types are 64
    // plain bytes.

    /// sum + a₀·b₀ + a₁·b₁ in every lane, for words of two bf16 each.
    #[inline(always)]
    pub fn add_dot_of_pairs(sum: f32x16, a: f32x16, b: f32x16) -> f32x16 {
        // SAFETY: see above.
        unsafe {
            let (a, b) = (transmute::<f32x16, __m512bh>(a), transmute::<f32x16, __m512bh>(b));
            transmute::<__m512, f32x16>(_mm512_dpbf16_ps(transmute::<f32x16, __m512>(sum), a, b))
        }
    }

    /// Thirty-two numbers rounded to bf16, in their order: words of neighbours.
    #[inline(always)]
    pub fn pairs_along(first: f32x16, second: f32x16) -> f32x16 {
        // SAFETY: see above.
        unsafe {
            let (first, second) = (transmute::<f32x16, __m512>(first), transmute::<f32x16, __m512>(second));
            transmute::<__m512bh, f32x16>(_mm512_cvtne2ps_pbh(second, first))
        }
    }

    /// Number i of both, rounded to bf16, in word i.
    #[inline(always)]
    pub fn pairs_across(first: f32x16, second: f32x16) -> f32x16 {
        const INTERLEAVED: [u16; 32] = {
            let (mut order, mut i) = ([0; 32], 0);
            while i < 32 {
                order[i] = (i / 2 + i % 2 * 16) as u16;
                i += 1;
            }
            order
        };
        // SAFETY: see above.
        unsafe {
            let halves = transmute::<f32x16, __m512i>(pairs_along(first, second));
            let order = transmute::<[u16; 32], __m512i>(INTERLEAVED);
            transmute::<__m512i, f32x16>(_mm512_permutexvar_epi16(order, halves))
        }
    }
}
