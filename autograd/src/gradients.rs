//! The gradient of every parameter, and what is done with all of them: added up, scaled, clipped.
//!
//! They are not one buffer as the values are, for a reason of memory: a backward pass gives back the values that the forward pass
//! kept, from the last layer to the first, while it makes the parameters' gradients in the same order. Each gradient by itself
//! can lie where a value lay just before, so that a step needs little more than the larger of the two instead of both.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use tensor::parallel::chunks;
use tensor::pool::Buffer;
use tensor::{Float, elementwise};

use crate::params::{ALIGN, ParamId, Params};

/// The gradient of every parameter.
///
/// One that nothing was added to is zero and takes no memory. What is first to arrive for a parameter is written, not added:
/// with millions of parameters even zeros take their time to be written, and to be read again by a product that is added to
/// them.
#[derive(Clone, Debug)]
pub struct Gradients<T: Float = f32> {
    places: Arc<[Range<usize>]>,
    /// Of each parameter; nothing where it is zero.
    values: Vec<OnceLock<Buffer<T>>>,
}

impl<T: Float> Gradients<T> {
    /// Zero gradients for a store.
    pub fn new(params: &Params<T>) -> Self {
        let places: Arc<[_]> = params.ids().map(|id| params.place(id)).collect();
        Self { values: vec![OnceLock::new(); places.len()], places }
    }

    /// Zero gradients for the same store.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { values: vec![OnceLock::new(); self.places.len()], places: Arc::clone(&self.places) }
    }

    /// g ← 0. The memory is free for the next forward pass.
    pub fn clear(&mut self) {
        self.values.fill(OnceLock::new());
    }

    /// g ← g + other
    pub fn add(&mut self, other: &Self) {
        for (i, theirs) in other.values.iter().enumerate() {
            let Some(theirs) = theirs.get() else { continue };
            let (ours, there) = self.first(ParamId(i));
            if there {
                elementwise::add(ours, theirs);
            } else {
                elementwise::map(ours, theirs, |x| x);
            }
        }
    }

    /// g ← a·g
    pub fn scale(&mut self, a: f64) {
        self.values.iter_mut().filter_map(OnceLock::get_mut).for_each(|g| elementwise::scale(g, T::of(a)));
    }

    /// Where a sum for one parameter goes, and whether there is something to add it to; if not, it has to be written whole.
    pub(crate) fn first(&mut self, id: ParamId) -> (&mut [T], bool) {
        let (there, len) = (self.values[id.0].get().is_some(), self.places[id.0].len());
        self.values[id.0].get_or_init(|| Buffer::scratch(len));
        (self.values[id.0].get_mut().expect("made just now"), there)
    }

    /// The gradient of one parameter.
    pub fn of(&self, id: ParamId) -> &[T] {
        self.values[id.0].get_or_init(|| Buffer::zeros(self.places[id.0].len()))
    }

    /// The gradient of one parameter, to be added to.
    pub fn of_mut(&mut self, id: ParamId) -> &mut [T] {
        let (gradient, there) = self.first(id);
        if !there {
            chunks(gradient, tensor::parallel::GRAIN, |_, part| part.fill(T::ZERO));
        }
        gradient
    }

    /// A copy of all gradients, laid out as the store's values.
    pub fn flat(&self) -> Vec<T> {
        let mut flat = vec![T::ZERO; self.places.last().map_or(0, |last| last.end.next_multiple_of(ALIGN))];
        for (place, gradient) in self.places.iter().zip(&self.values) {
            if let Some(gradient) = gradient.get() {
                flat[place.clone()].copy_from_slice(gradient);
            }
        }
        flat
    }

    /// ‖g‖ over all parameters together.
    pub fn norm(&self) -> f64 {
        let squares = self.values.iter().filter_map(OnceLock::get).map(|g| elementwise::sum_of_squares(g));
        squares.sum::<f64>().sqrt()
    }

    /// What every gradient is multiplied with so that their common norm, now `norm`, is at most `limit` (Pascanu et al.
    /// 2013): min(1, limit/‖g‖). A limit of 0 means none.
    pub fn clip_scale(norm: f64, limit: f64) -> f64 {
        if limit > 0.0 && norm > limit { limit / norm } else { 1.0 }
    }

    /// Clips all gradients in place, g ← g·min(1, limit/‖g‖), and returns the norm before. (An optimiser's step has the
    /// factor in its own pass.)
    pub fn clip(&mut self, limit: f64) -> f64 {
        let norm = self.norm();
        let scale = Self::clip_scale(norm, limit);
        if scale < 1.0 {
            self.scale(scale);
        }
        norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::tests::store;

    #[test]
    fn a_gradient_that_nothing_was_added_to_is_zero() {
        let ([ln, w], params) = store(); // a parameter of 3 numbers, then 13 of nobody
        let (mut gradients, mut another) = (Gradients::new(&params), Gradients::new(&params).another());
        another.of_mut(w).fill(1.0);
        another.clear();
        another.of_mut(ln).fill(2.0);
        gradients.add(&another);
        for gradients in [&gradients, &another] {
            assert_eq!((gradients.norm(), gradients.flat().len()), (12f64.sqrt(), params.flat().len()));
            assert!(gradients.of(w).iter().chain(&gradients.flat()[3..]).all(|&g| g == 0.0));
        }
    }

    #[test]
    fn clipping_keeps_the_direction_and_limits_the_norm() {
        let ([ln, _], params) = store();
        let mut grads = Gradients::new(&params);
        grads.of_mut(ln).copy_from_slice(&[3.0, 0.0, 4.0]);
        assert_eq!(grads.clip(10.0), 5.0);
        assert_eq!(grads.of(ln), [3.0, 0.0, 4.0]);
        assert_eq!(grads.clip(1.0), 5.0);
        assert!((grads.norm() - 1.0).abs() < 1e-6);
        assert!((grads.of(ln)[2] - 0.8).abs() < 1e-6);
    }
}
