//! A tensor: numbers in one contiguous row-major buffer, with a shape.
//!
//! There are no strides and no views. Reshaping is free; a transpose is a flag of the matrix product or an
//! explicit copy; the few broadcasts that models need are operations with names. The cost is a copy now and then,
//! the gain is that every kernel sees plain slices.

use std::fmt;

use crate::pool::Buffer;
use crate::random::Random;
use crate::shape::Shape;
use crate::simd::Float;

/// Numbers with a shape: owned, contiguous, row-major.
///
/// ```
/// use tensor::Tensor;
/// let x = Tensor::<f32>::of([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// assert_eq!((x.shape().rows(), x.shape().cols()), (2, 3));
/// assert_eq!(x.transposed().data(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// ```
#[derive(Clone)]
pub struct Tensor<T: Float = f32> {
    shape: Shape,
    buffer: Buffer<T>,
}

impl<T: Float> Tensor<T> {
    /// A tensor of unspecified values: for an output of which every element is about to be written.
    pub fn scratch(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Self { shape, buffer: Buffer::scratch(shape.elements()) }
    }

    /// All zeros.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Self { shape, buffer: Buffer::zeros(shape.elements()) }
    }

    /// The same value everywhere.
    pub fn filled(shape: impl Into<Shape>, value: T) -> Self {
        let mut tensor = Self::scratch(shape);
        tensor.data_mut().fill(value);
        tensor
    }

    /// A copy of `data` with the given shape. Panics if the lengths differ.
    #[track_caller]
    pub fn of(shape: impl Into<Shape>, data: &[T]) -> Self {
        let mut tensor = Self::scratch(shape);
        assert_eq!(tensor.data().len(), data.len(), "Tensor::of: shape {} given {} numbers", tensor.shape, data.len());
        tensor.data_mut().copy_from_slice(data);
        tensor
    }

    /// A single number, with no dimensions.
    pub fn scalar(value: T) -> Self {
        Self::filled([], value)
    }

    /// Normal numbers with mean 0 and the given deviation, from a random stream.
    pub fn normal(shape: impl Into<Shape>, deviation: f64, random: &mut Random) -> Self {
        let mut tensor = Self::scratch(shape);
        tensor.data_mut().iter_mut().for_each(|x| *x = T::of(deviation * random.normal()));
        tensor
    }

    /// The lengths of the dimensions.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All numbers, row by row.
    pub fn data(&self) -> &[T] {
        &self.buffer
    }

    /// All numbers, row by row, to be changed.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.buffer
    }

    /// The only number of a tensor with one element. Panics if there are more or none.
    #[track_caller]
    pub fn item(&self) -> T {
        assert_eq!(self.data().len(), 1, "item: shape {} is not a single number", self.shape);
        self.data()[0]
    }

    /// The same numbers under another shape; nothing is copied. Panics if the number of elements differs.
    #[track_caller]
    #[must_use]
    pub fn reshaped(mut self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.elements(), self.shape.elements(), "reshape: {} does not fit into {shape}", self.shape);
        self.shape = shape;
        self
    }

    /// A copy of row `i`, all leading dimensions taken as rows: `[1, C]`.
    #[must_use]
    pub fn row(&self, i: usize) -> Self {
        let cols = self.shape.cols();
        Self::of([1, cols], &self.data()[i * cols..(i + 1) * cols])
    }

    /// A copy of a matrix `[m, n]` with rows and columns exchanged: `[n, m]`.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let (m, n) = (self.shape.rows(), self.shape.cols());
        let mut out = Self::scratch([n, m]);
        for (i, row) in self.data().chunks_exact(n.max(1)).enumerate() {
            for (j, &x) in row.iter().enumerate() {
                out.data_mut()[j * m + i] = x;
            }
        }
        out
    }

    /// The same numbers in another precision.
    pub fn cast<U: Float>(&self) -> Tensor<U> {
        let mut out = Tensor::scratch(self.shape);
        out.data_mut().iter_mut().zip(self.data()).for_each(|(y, &x)| *y = U::of(x.f64()));
        out
    }
}

impl<T: Float> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.shape, self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "[2, 3] does not fit into [4, 2]")]
    fn a_reshape_that_does_not_fit_names_both_shapes() {
        let _ = Tensor::<f32>::zeros([2, 3]).reshaped([4, 2]);
    }

    #[test]
    fn transposing_twice_gives_the_tensor_back() {
        let x = Tensor::<f64>::of([2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(x.transposed().transposed().data(), x.data());
    }
}
