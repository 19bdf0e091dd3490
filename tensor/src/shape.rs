//! How long each dimension is: up to four, outermost first, held without an allocation.

use std::fmt;
use std::ops::Deref;

/// The lengths of a tensor's dimensions, outermost first. A scalar has none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    dims: [usize; 4],
    rank: usize,
}

impl Shape {
    /// The number of elements: the product of the lengths (1 for a scalar).
    pub fn elements(&self) -> usize {
        self.iter().product()
    }

    /// The last dimension's length: the width of a row (1 for a scalar).
    pub fn cols(&self) -> usize {
        self.last().copied().unwrap_or(1)
    }

    /// The same shape with another last dimension. Panics for a scalar, which has none.
    #[track_caller]
    #[must_use]
    pub fn with_cols(mut self, cols: usize) -> Self {
        assert!(self.rank > 0, "with_cols: a scalar has no last dimension");
        self.dims[self.rank - 1] = cols;
        self
    }

    /// The number of rows: the product of all lengths but the last.
    pub fn rows(&self) -> usize {
        self[..self.rank.saturating_sub(1)].iter().product()
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(lengths: &[usize]) -> Self {
        assert!(lengths.len() <= 4, "a shape has at most four dimensions, not {lengths:?}");
        let mut dims = [1; 4];
        dims[..lengths.len()].copy_from_slice(lengths);
        Self { dims, rank: lengths.len() }
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    #[track_caller]
    fn from(lengths: [usize; N]) -> Self {
        Self::from(&lengths[..])
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_times_cols_is_the_number_of_elements() {
        for shape in [Shape::from([]), Shape::from([5]), Shape::from([2, 0, 3]), Shape::from([2, 3, 4, 5])] {
            assert_eq!(shape.rows() * shape.cols(), shape.elements(), "{shape}");
        }
    }
}
