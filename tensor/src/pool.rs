//! Where buffers come from and return to. Training repeats the same shapes at every step, so a freed buffer is
//! kept and handed out again: from the second step on nothing large is asked of the system. (Freed memory that is
//! given back costs a page fault for every 4 KiB when it is taken again, which is more than half of some engines'
//! step.)

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use bytemuck::Pod;
use memmap2::MmapMut;

use crate::simd::{Float, Lanes};

/// Free buffers by size class.
pub struct Pool<T: Float>(Mutex<BTreeMap<usize, Vec<Store<T>>>>);

/// From this many bytes on a buffer has pages of its own, huge ones where the system gives them: 2 MiB of memory with
/// one entry in the processor's table of pages instead of 512.
const HUGE: usize = 4 << 20;

/// The memory of one buffer.
enum Store<T: Float> {
    Vec(Vec<T::Lanes>),
    Pages(MmapMut),
}

impl<T: Float> Store<T> {
    /// Zeros for `n` vectors.
    fn new(n: usize) -> Self {
        let bytes = n * size_of::<T::Lanes>();
        if bytes >= HUGE
            && let Ok(pages) = MmapMut::map_anon(bytes)
        {
            #[cfg(target_os = "linux")]
            let _it_is_but_advice = pages.advise(memmap2::Advice::HugePage);
            return Self::Pages(pages);
        }
        Self::Vec(vec![T::Lanes::splat(T::ZERO); n])
    }

    fn lanes(&self) -> &[T::Lanes] {
        match self {
            Self::Vec(lanes) => lanes,
            Self::Pages(pages) => bytemuck::cast_slice(pages),
        }
    }

    fn lanes_mut(&mut self) -> &mut [T::Lanes] {
        match self {
            Self::Vec(lanes) => lanes,
            Self::Pages(pages) => bytemuck::cast_slice_mut(pages),
        }
    }
}

impl<T: Float> Pool<T> {
    /// A pool with nothing in it.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The size class of `n` vectors: n rounded up to one of eight steps between powers of two, so that similar
    /// sizes share buffers and at most an eighth is wasted.
    fn class(n: usize) -> usize {
        let step = (n.next_power_of_two() / 16).max(1);
        n.div_ceil(step) * step
    }

    fn take(&self, class: usize) -> Option<Store<T>> {
        self.0.lock().ok()?.get_mut(&class)?.pop()
    }

    fn give(&self, store: Store<T>) {
        if let Ok(mut free) = self.0.lock() {
            free.entry(store.lanes().len()).or_default().push(store);
        }
    }
}

/// Numbers in memory, owned, aligned to whole SIMD vectors; dropping one returns it to the pool.
pub struct Buffer<T: Float> {
    store: Store<T>,
    len: usize,
}

impl<T: Float> Buffer<T> {
    /// `len` numbers of unspecified value: for outputs of which every element is about to be written.
    pub fn scratch(len: usize) -> Self {
        let class = Pool::<T>::class(len.div_ceil(T::Lanes::N));
        Self { store: T::pool().take(class).unwrap_or_else(|| Store::new(class)), len }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let class = Pool::<T>::class(len.div_ceil(T::Lanes::N));
        match T::pool().take(class) {
            Some(store) => {
                let mut used = Self { store, len };
                used.fill(T::ZERO);
                used
            }
            None => Self { store: Store::new(class), len }, // pages that nobody has touched take no memory yet
        }
    }

    /// The buffer as whole vectors, the last of which may reach beyond `len`.
    pub fn lanes(&self) -> &[T::Lanes] {
        &self.store.lanes()[..self.len.div_ceil(T::Lanes::N)]
    }
}

impl<T: Float> Drop for Buffer<T> {
    fn drop(&mut self) {
        if !self.store.lanes().is_empty() {
            T::pool().give(std::mem::replace(&mut self.store, Store::Vec(Vec::new())));
        }
    }
}

impl<T: Float> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(self.store.lanes())[..self.len]
    }
}

impl<T: Float> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(self.store.lanes_mut())[..self.len]
    }
}

impl<T: Float> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::scratch(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Float> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().take(16)).finish()?;
        if self.len > 16 { write!(f, " … {} in all", self.len) } else { Ok(()) }
    }
}

/// Plain values of another type in the same pooled memory: ids of tokens, weights in bf16.
#[derive(Debug)]
pub struct Pooled<U: Pod> {
    words: Buffer<f32>,
    len: usize,
    kind: PhantomData<U>,
}

/// Numbers of tokens or rows.
pub type Indices = Pooled<u32>;

impl<U: Pod> Pooled<U> {
    /// `len` values, unspecified.
    pub fn scratch(len: usize) -> Self {
        let words = Buffer::scratch((len * size_of::<U>()).div_ceil(size_of::<f32>()));
        Self { words, len, kind: PhantomData }
    }

    /// A copy.
    pub fn of(values: &[U]) -> Self {
        let mut copy = Self::scratch(values.len());
        copy.copy_from_slice(values);
        copy
    }
}

impl<U: Pod> Clone for Pooled<U> {
    fn clone(&self) -> Self {
        Self::of(self)
    }
}

impl<U: Pod> Deref for Pooled<U> {
    type Target = [U];
    fn deref(&self) -> &[U] {
        &bytemuck::cast_slice(self.words.store.lanes())[..self.len]
    }
}

impl<U: Pod> DerefMut for Pooled<U> {
    fn deref_mut(&mut self) -> &mut [U] {
        &mut bytemuck::cast_slice_mut(self.words.store.lanes_mut())[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_buffer_is_used_again() {
        let a = Buffer::<f64>::zeros(123_457); // a size that no other test uses
        let place = a.as_ptr();
        drop(a);
        assert_eq!(Buffer::<f64>::scratch(123_457).as_ptr(), place);
    }

    #[test]
    fn a_size_class_wastes_at_most_an_eighth() {
        for n in 1..5000 {
            let class = Pool::<f32>::class(n);
            assert!(class >= n && (class - n) * 8 <= n, "{n} -> {class}");
            assert_eq!(Pool::<f32>::class(class), class);
        }
    }

    #[test]
    fn zeros_are_zero_also_in_a_used_buffer() {
        Buffer::<f32>::scratch(77).fill(3.0);
        assert!(Buffer::<f32>::zeros(77).iter().all(|&x| x == 0.0));
    }
}
