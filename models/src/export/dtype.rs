//! Numbers at half their width: which there are, what rounding leaves of a number, and what does not fit.
//!
//! | | bits of sign, exponent, fraction | largest number | two neighbours differ by |
//! |---|---|---|---|
//! | f32 | 1, 8, 23 | 3.4·10³⁸ | a 8-millionth |
//! | bf16 | 1, 8, 7 | 3.4·10³⁸ | a 128th |
//! | f16 | 1, 5, 10 | 65504 | a 1024th |
//!
//! Rounding goes to the nearest number, and of two equally near ones to that whose last bit is 0.

use std::borrow::Cow;

use safetensors::tensor::{Dtype as Stored, TensorView, View};
use tensor::half::{bf16, f16};

use crate::hub::weights::floats;

/// What exported numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// As they are trained.
    F32,
    /// Half the width, the finer half type.
    F16,
    /// Half the width, with the range of f32.
    Bf16,
}

impl Dtype {
    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// As config.json calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Bytes of a number.
    pub(super) fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    fn stored(self) -> Stored {
        match self {
            Self::F32 => Stored::F32,
            Self::F16 => Stored::F16,
            Self::Bf16 => Stored::BF16,
        }
    }

    /// What is left of a number; infinity, where it is too large.
    fn rounded(self, x: f32) -> f32 {
        match self {
            Self::F32 => x,
            Self::F16 => f16::from_f32(x).to_f32(),
            Self::Bf16 => bf16::from_f32(x).to_f32(),
        }
    }

    /// The nearest numbers of this kind, as bytes.
    pub(super) fn encode(self, numbers: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
            Self::Bf16 => numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        }
    }

    /// Which of some numbers cannot be written, as a sentence: one that is none, or too large.
    pub(super) fn check(self, numbers: &[f32]) -> Result<(), String> {
        let Some(at) = numbers.iter().position(|&x| !self.rounded(x).is_finite()) else { return Ok(()) };
        let x = numbers[at];
        if !x.is_finite() {
            return Err(format!("holds {x} at place {at}: the file is damaged; copy it again"));
        }
        let (name, wider) = (self.name(), if self == Self::F16 { "bf16" } else { "f32" });
        Err(format!("holds {x} at place {at}, which is too large for {name}: give --dtype {wider}"))
    }
}

/// A tensor of a file with its numbers rounded, when its turn comes to be written; whole numbers stay as they are.
pub(super) struct Narrowed<'a> {
    pub view: TensorView<'a>,
    pub dtype: Dtype,
}

/// Whether a tensor holds fractions.
pub(super) fn is_float(view: &TensorView) -> bool {
    matches!(view.dtype(), Stored::F32 | Stored::F16 | Stored::BF16)
}

/// Whether a tensor holds whole numbers or truths: positions, masks.
pub(super) fn is_whole(view: &TensorView) -> bool {
    use Stored::{BOOL, I8, I16, I32, I64, U8, U16, U32, U64};
    [BOOL, U8, I8, U16, I16, U32, I32, U64, I64].contains(&view.dtype())
}

impl View for Narrowed<'_> {
    fn dtype(&self) -> Stored {
        if is_float(&self.view) { self.dtype.stored() } else { self.view.dtype() }
    }
    fn shape(&self) -> &[usize] {
        self.view.shape()
    }
    fn data(&self) -> Cow<'_, [u8]> {
        match floats(&self.view) {
            Some(numbers) => Cow::Owned(self.dtype.encode(&numbers)),
            None => Cow::Borrowed(self.view.data()),
        }
    }
    fn data_len(&self) -> usize {
        if is_float(&self.view) {
            self.view.shape().iter().product::<usize>() * self.dtype.width()
        } else {
            self.view.data().len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that these bytes are.
    fn decoded(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
        let shape = vec![bytes.len() / dtype.width()];
        floats(&TensorView::new(dtype.stored(), shape, bytes).unwrap()).unwrap()
    }

    #[test]
    fn no_other_number_of_the_kind_is_nearer_than_the_one_that_is_written() {
        let numbers: Vec<f32> = (0..4000u32).map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761) >> 2)).collect();
        for dtype in [Dtype::F16, Dtype::Bf16] {
            let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let mut all = decoded(dtype, &all);
            all.retain(|x| x.is_finite());
            all.sort_by(f32::total_cmp);
            let fit: Vec<f32> = numbers.iter().copied().filter(|&x| dtype.check(&[x]).is_ok()).collect();
            assert!(fit.len() > 1000);
            for (&x, written) in fit.iter().zip(decoded(dtype, &dtype.encode(&fit))) {
                let after = all.partition_point(|&y| y < x);
                let nearest = all[after.saturating_sub(1)..(after + 1).min(all.len())]
                    .iter()
                    .map(|&y| (f64::from(y) - f64::from(x)).abs())
                    .fold(f64::INFINITY, f64::min);
                assert_eq!((f64::from(written) - f64::from(x)).abs(), nearest, "{x} as {dtype:?}: {written}");
            }
        }
    }

    #[test]
    fn halfway_between_two_numbers_the_last_bit_becomes_zero() {
        assert_eq!(
            decoded(Dtype::Bf16, &Dtype::Bf16.encode(&[1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0])),
            [1.0, 1.015_625]
        );
        assert_eq!(decoded(Dtype::F16, &Dtype::F16.encode(&[2049.0, 2051.0])), [2048.0, 2052.0]);
    }

    #[test]
    fn numbers_that_do_not_fit_are_named_with_the_type_that_holds_them() {
        assert_eq!(Dtype::F16.check(&[1.0, 65504.0, -65519.0]), Ok(()));
        let said = Dtype::F16.check(&[1.0, -70000.0]).unwrap_err();
        assert_eq!(said, "holds -70000 at place 1, which is too large for f16: give --dtype bf16");
        assert_eq!(Dtype::Bf16.check(&[70000.0]), Ok(()));
        assert!(Dtype::Bf16.check(&[f32::MAX]).unwrap_err().contains("--dtype f32"));
        assert!(Dtype::F32.check(&[f32::NAN]).unwrap_err().contains("holds NaN at place 0"));
    }
}
