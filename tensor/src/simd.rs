//! The two number types and their SIMD lanes: what every kernel is generic over.
//!
//! A [`Float`] is f32 or f64; its [`Lanes`] are 512 bits of it from the `wide` crate (16 or 8 numbers), which
//! become one AVX-512 register, two of AVX2 or four of NEON, as the program was built. A kernel is written once
//! with lanes, so a formula in an operation's file is also its vector code.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use half::bf16;
use wide::{f32x8, f32x16, f64x8};

use crate::matmul::bf16::{Pairs, Rounded, round};
#[cfg(target_arch = "x86_64")]
use crate::matmul::instructions::processor::Processor;
use crate::matmul::unit::{InUnit, SplitInUnit};
use crate::matmul::{Pack, Plain};
use crate::normal::{normal_f32, normal_f64};
use crate::pool::Pool;

/// A real number type: f32 for models, f64 for checking gradients.
pub trait Float:
    bytemuck::Pod
    + PartialOrd
    + Debug
    + Display
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// 512 bits of this type.
    type Lanes: Lanes<Self>;
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The nearest number of this type.
    fn of(x: f64) -> Self;
    /// This number in double precision.
    fn f64(self) -> f64;
    /// Where freed buffers of this type wait for their next use.
    fn pool() -> &'static Pool<Self>;
    /// How the product multiplies bf16 where the processor is fast at pairs of them.
    type Pairs: Pack<Self>;
    /// How it multiplies bf16 where there is a matrix unit.
    type UnitBf16: Pack<Self>;
    /// How it multiplies numbers of this type there.
    type UnitFull: Pack<Self>;
    /// A stored weight of half f32's width: bf16.
    type Half: Stored<Self> + bytemuck::Pod + Debug + Send;
    /// This number rounded to it.
    fn half(self) -> Self::Half;
    /// The side of the squares that [`Self::transpose`] turns.
    const SQUARE: usize;
    /// Turns a square of [`Self::SQUARE`] rows and columns: `to[i, j] ← from[j, i]`, each a slice that begins with the
    /// square, and the length of its rows.
    fn transpose(to: (&mut [Self], usize), from: (&[Self], usize));
}

/// A vector of [`Lanes::N`] numbers with the arithmetic that kernels need, lane by lane.
pub trait Lanes<T: Float>:
    bytemuck::Pod
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// How many numbers a vector holds.
    const N: usize;
    /// The same number in every lane.
    fn splat(x: T) -> Self;
    /// The first N numbers of a slice. Panics if there are fewer.
    fn load(x: &[T]) -> Self;
    /// Writes the lanes to the first N places of a slice. Panics if there are fewer.
    fn store(self, y: &mut [T]);
    /// self·a + b, rounded once where the processor has it.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// The largest of the lanes.
    fn largest(self) -> T;
    /// The larger of each pair.
    fn max(self, other: Self) -> Self;
    /// eˣ
    fn exp(self) -> Self;
    /// Φ(x) and φ(x): the share of the standard normal distribution below x, and its density there.
    fn normal(self) -> (Self, Self);
    /// ln x
    fn ln(self) -> Self;
    /// √x
    fn sqrt(self) -> Self;
    /// The sum of the lanes.
    fn sum(self) -> T;

    /// The same constant in every lane, from double precision.
    #[inline(always)]
    fn of(x: f64) -> Self {
        Self::splat(T::of(x))
    }

    /// Up to N numbers of a slice; `fill` in the lanes beyond its end.
    #[inline]
    fn load_part(x: &[T], fill: T) -> Self {
        if x.len() >= Self::N {
            return Self::load(x);
        }
        let mut lanes = Self::splat(fill);
        bytemuck::cast_slice_mut::<Self, T>(std::slice::from_mut(&mut lanes))[..x.len()].copy_from_slice(x);
        lanes
    }

    /// Writes as many lanes as the slice has places.
    #[inline]
    fn store_part(self, y: &mut [T]) {
        if y.len() >= Self::N {
            return self.store(y);
        }
        let n = y.len();
        y.copy_from_slice(&bytemuck::cast_slice::<Self, T>(std::slice::from_ref(&self))[..n]);
    }
}

/// A number as weights are stored, to be multiplied as a T: itself, or a bf16 at half the width.
pub trait Stored<T: Float>: Copy + Sync {
    /// The number.
    fn wide(self) -> T;
    /// The first N numbers of a slice. Panics if there are fewer.
    fn load(x: &[Self]) -> T::Lanes;
}

impl<T: Float> Stored<T> for T {
    #[inline(always)]
    fn wide(self) -> T {
        self
    }
    #[inline(always)]
    fn load(x: &[T]) -> T::Lanes {
        T::Lanes::load(x)
    }
}

/// bf16 is the upper half of an f32.
macro_rules! stored_half {
    ($t:ty, $lanes:ty, $n:literal) => {
        impl Stored<$t> for bf16 {
            #[inline(always)]
            fn wide(self) -> $t {
                f32::from_bits(u32::from(self.to_bits()) << 16).into()
            }
            #[inline(always)]
            fn load(x: &[bf16]) -> $lanes {
                let x: &[bf16; $n] = x[..$n].try_into().expect("a slice of N is an array of N");
                <$lanes>::from(x.map(|x| Stored::<$t>::wide(x)))
            }
        }
    };
}

stored_half!(f32, f32x16, 16);
stored_half!(f64, f64x8, 8);

/// One type and its lanes.
macro_rules! float {
    ($t:ty, $lanes:ty, $n:literal, [$pairs:ty, $unit_bf16:ty, $unit_full:ty], $exp:expr, $normal:expr, $square:literal, $transpose:expr) => {
        impl Float for $t {
            type Lanes = $lanes;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn f64(self) -> f64 {
                f64::from(self)
            }
            fn pool() -> &'static Pool<Self> {
                static POOL: Pool<$t> = Pool::new();
                &POOL
            }
            type Pairs = $pairs;
            type UnitBf16 = $unit_bf16;
            type UnitFull = $unit_full;
            type Half = bf16;
            #[inline(always)]
            fn half(self) -> bf16 {
                bf16::from_bits((round(self as f32).to_bits() >> 16) as u16)
            }
            const SQUARE: usize = $square;
            #[inline(always)]
            fn transpose((to, to_stride): (&mut [Self], usize), (from, stride): (&[Self], usize)) {
                // Looked at once, so that no place in the square has to be.
                let from = &from[..($square - 1) * stride + $square];
                let to = &mut to[..($square - 1) * to_stride + $square];
                let mut square = [[0.0; $square]; $square];
                for (i, row) in square.iter_mut().enumerate() {
                    row.copy_from_slice(&from[i * stride..][..$square]);
                }
                for (i, column) in $transpose(square).iter().enumerate() {
                    to[i * to_stride..][..$square].copy_from_slice(column);
                }
            }
        }

        impl Lanes<$t> for $lanes {
            const N: usize = $n;
            #[inline(always)]
            fn splat(x: $t) -> Self {
                Self::splat(x)
            }
            #[inline(always)]
            fn load(x: &[$t]) -> Self {
                let x: [$t; $n] = x[..$n].try_into().expect("a slice of N is an array of N");
                Self::from(x)
            }
            #[inline(always)]
            fn store(self, y: &mut [$t]) {
                y[..$n].copy_from_slice(&self.to_array());
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                self.mul_add(a, b)
            }
            #[inline(always)]
            fn largest(self) -> $t {
                let mut x = self.to_array();
                let mut half = $n / 2;
                while half > 0 {
                    (0..half).for_each(|i| x[i] = if x[i] > x[i + half] { x[i] } else { x[i + half] });
                    half /= 2;
                }
                x[0]
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                self.fast_max(other)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn normal(self) -> (Self, Self) {
                $normal(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                self.ln()
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn sum(self) -> $t {
                self.reduce_add()
            }
        }
    };
}

float!(f32, f32x16, 16, [Pairs, InUnit, SplitInUnit], crate::exp::exp, normal_f32, 8, |rows: [[f32; 8]; 8]| {
    f32x8::transpose(rows.map(f32x8::from)).map(f32x8::to_array)
});
float!(f64, f64x8, 8, [Rounded, Rounded, Plain], f64x8::exp, normal_f64, 4, |rows: [[f64; 4]; 4]| {
    std::array::from_fn::<[f64; 4], 4, _>(|j| std::array::from_fn(|i| rows[i][j]))
});

/// The instruction set that the kernels were compiled for, and whether there is a matrix unit beside it, as the program names
/// them at start-up.
pub fn level() -> &'static str {
    if crate::matmul::unit::here() {
        "AVX-512 and AMX"
    } else if cfg!(target_feature = "avx512f") {
        "AVX-512"
    } else if cfg!(target_feature = "avx2") {
        "AVX2"
    } else if cfg!(target_arch = "aarch64") {
        "NEON"
    } else if cfg!(target_arch = "x86_64") {
        "SSE2"
    } else {
        "portable"
    }
}

/// Whether this processor has the instructions that the kernels were compiled for; if not, a sentence that says
/// which one is missing and what to do.
pub fn supported() -> Result<(), String> {
    #[cfg(target_arch = "x86_64")]
    if let Some(name) = Processor::here().lacks() {
        return Err(format!(
            "this program was built for processors with {name}, which this one lacks: build it on this machine, or set \
             target-cpu in .cargo/config.toml to its name"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "x86_64")]
    use crate::matmul::instructions::processor::{SETS, Set};

    fn exp_agrees<T: Float>(tolerance: f64) {
        for i in -700..700 {
            let x = f64::from(i) / 10.0;
            let got = T::Lanes::of(x).exp().sum().f64() / T::Lanes::N as f64;
            let want = T::of(x).f64().exp();
            assert!((got - want).abs() <= tolerance * want, "exp({x}): {got} against {want}");
        }
    }

    #[test]
    fn exp_is_exact_to_a_few_units_in_the_last_place() {
        exp_agrees::<f32>(1e-6);
        exp_agrees::<f64>(1e-14);
    }

    #[test]
    fn a_short_slice_fills_the_missing_lanes() {
        let x = [1.0f32, 2.0, 3.0];
        assert_eq!(<f32x16 as Lanes<f32>>::load_part(&x, 0.5).to_array()[2..5], [3.0, 0.5, 0.5]);
    }

    #[test]
    fn the_processor_that_built_the_tests_can_run_them() {
        assert_eq!(supported(), Ok(()));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_lesser_processor_or_system_than_the_program_was_built_for_is_refused() {
        let here = Processor::here();
        assert_eq!(here.lacks(), None);
        for Set { name, at: [word, bit], .. } in SETS.iter().filter(|set| set.built) {
            let mut poorer = here;
            poorer.sets[*word] &= !(1 << bit);
            assert_eq!(poorer.lacks(), Some(*name));
        }
        let kept_by_nobody = Processor { kept: 0, ..here };
        assert_eq!(
            kept_by_nobody.lacks().is_some(),
            cfg!(target_feature = "fma"),
            "registers that the system does not keep"
        );
    }
}
