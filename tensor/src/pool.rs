//! Where buffers come from and return to. Training repeats the same shapes at every step, so memory that is free again is
//! kept and handed out again: from the third step on nothing large is asked of the system. (Memory that is given back to it
//! costs a page fault for every 4 KiB when it is taken again, which is more than half of some engines' step.)
//!
//! Small buffers, the work space of kernels, are kept by size, and the last that a thread gave is the first that it gets: it is
//! still in the processor's cache. Large ones are ranges of a few maps of memory. A new one takes the smallest free range that holds it and
//! leaves the rest; one that returns joins its free neighbours ("best fit", Knuth 1997, The Art of Computer Programming, volume
//! 1, section 2.5). So whatever size comes next finds its place where others lay: in a backward pass the gradients of the
//! parameters take the place of values that are no longer needed, and a step needs little more than what lives at one time.
#![allow(unsafe_code)] // ranges of a map: see `Arena::take`

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use bytemuck::Pod;
use memmap2::{MmapMut, MmapRaw};

use crate::simd::{Float, Lanes};

/// From this many bytes on a buffer is a range of a map.
const LARGE: usize = 1 << 18;

/// Ranges begin at multiples of this many bytes: two cache lines, which processors fetch together.
const ALIGN: usize = 128;

/// A map has at least this many bytes, and a quarter of what there is already, so that there are few.
const LEAST_MAP: usize = 32 << 20;

/// A map is whole huge pages, where the system gives them: 2 MiB of memory with one entry in the processor's table of
/// pages instead of 512.
const HUGE_PAGE: usize = 2 << 20;

/// The memory of all large buffers.
struct Arena {
    maps: Vec<Map>,
    /// The length of each free range by its place: its map, and where it begins there.
    free: BTreeMap<(usize, usize), usize>,
}

/// Zeros from the system, never given back.
struct Map {
    memory: MmapRaw,
    /// Nothing from here on was ever lent.
    untouched: usize,
}

static ARENA: Mutex<Arena> = Mutex::new(Arena { maps: Vec::new(), free: BTreeMap::new() });

impl Arena {
    /// A range of `bytes` bytes, a multiple of [`ALIGN`], and whether it is known to be all zeros; none if the system has no
    /// more.
    fn take(&mut self, bytes: usize) -> Option<(&'static mut [u8], bool)> {
        let fits = self.free.iter().filter(|(_, len)| **len >= bytes).min_by_key(|(_, len)| **len);
        let ((map, start), len) = fits.map(|(&place, &len)| (place, len)).or_else(|| self.grow(bytes))?;
        self.free.remove(&(map, start));
        if len > bytes {
            self.free.insert((map, start + bytes), len - bytes);
        }
        let Map { memory, untouched } = &mut self.maps[map];
        let zero = start >= *untouched;
        *untouched = (*untouched).max(start + bytes);
        // SAFETY: the range lies within the map, which lives as long as the program. It is no longer among the free ranges,
        // and comes back there only when `give` is handed this very slice: until then nobody else reads or writes it.
        let range = unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().add(start), bytes) };
        Some((range, zero))
    }

    /// A range that was taken is free again, together with its free neighbours.
    fn give(&mut self, range: &'static mut [u8]) {
        let (at, mut len) = (range.as_ptr().addr(), range.len());
        let place = |map: &Map| at.checked_sub(map.memory.as_ptr().addr()).filter(|&start| start < map.memory.len());
        let places = self.maps.iter().enumerate();
        let Some((map, mut start)) = places.filter_map(|(i, map)| Some((i, place(map)?))).next() else { return };
        if let Some((&(m, before), &size)) = self.free.range(..(map, start)).next_back()
            && (m, before + size) == (map, start)
        {
            self.free.remove(&(map, before));
            (start, len) = (before, size + len);
        }
        len += self.free.remove(&(map, start + len)).unwrap_or(0);
        self.free.insert((map, start), len);
    }

    /// A new map with room for `bytes` bytes: its place and length.
    fn grow(&mut self, bytes: usize) -> Option<((usize, usize), usize)> {
        let some = self.mapped() / 4;
        let memory = [bytes.max(some).max(LEAST_MAP), bytes].into_iter().find_map(|size| {
            let memory = MmapMut::map_anon(size.next_multiple_of(HUGE_PAGE)).ok()?;
            #[cfg(target_os = "linux")]
            let _it_is_but_advice = memory.advise(memmap2::Advice::HugePage);
            Some(MmapRaw::from(memory))
        })?;
        let len = memory.len();
        self.maps.push(Map { memory, untouched: 0 });
        Some(((self.maps.len() - 1, 0), len))
    }

    fn mapped(&self) -> usize {
        self.maps.iter().map(|map| map.memory.len()).sum()
    }
}

/// How many bytes of maps the program has asked of the system so far.
pub fn mapped() -> usize {
    ARENA.lock().map_or(0, |arena| arena.mapped())
}

/// Free small buffers, on as many shelves as keep threads out of each other's way: a thread begins at its own,
/// where what it gave last lies, and looks on the others before it asks the system.
pub struct Pool<T: Float>([Shelf<T>; SHELVES]);

/// Free buffers by size class.
type Shelf<T> = Mutex<BTreeMap<usize, Vec<Vec<<T as Float>::Lanes>>>>;

/// Threads that share a shelf wait for each other.
const SHELVES: usize = 16;

/// The shelf of this thread.
fn shelf() -> usize {
    rayon::current_thread_index().unwrap_or(0) % SHELVES
}

impl<T: Float> Pool<T> {
    /// A pool with nothing in it.
    pub(crate) const fn new() -> Self {
        Self([const { Mutex::new(BTreeMap::new()) }; SHELVES])
    }

    /// The size class of `n` vectors: n rounded up to one of eight steps between powers of two, so that similar
    /// sizes share buffers and at most an eighth is wasted.
    fn class(n: usize) -> usize {
        let step = (n.next_power_of_two() / 16).max(1);
        n.div_ceil(step) * step
    }

    fn take(&self, class: usize) -> Option<Vec<T::Lanes>> {
        let (before, from_own) = self.0.split_at(shelf());
        from_own.iter().chain(before).find_map(|shelf| shelf.lock().ok()?.get_mut(&class)?.pop())
    }

    fn give(&self, lanes: Vec<T::Lanes>) {
        if let Ok(mut free) = self.0[shelf()].lock() {
            free.entry(lanes.len()).or_default().push(lanes);
        }
    }
}

/// The memory of one buffer.
enum Store<T: Float> {
    Small(Vec<T::Lanes>),
    Large(&'static mut [u8]),
}

impl<T: Float> Store<T> {
    /// Room for `n` vectors, and whether it is known to be all zeros.
    fn take(n: usize) -> (Self, bool) {
        let bytes = n * size_of::<T::Lanes>();
        if bytes >= LARGE
            && let Ok(mut arena) = ARENA.lock()
            && let Some((range, zero)) = arena.take(bytes.next_multiple_of(ALIGN))
        {
            return (Self::Large(range), zero);
        }
        let class = Pool::<T>::class(n);
        let used = T::pool().take(class);
        let zero = used.is_none();
        (Self::Small(used.unwrap_or_else(|| vec![T::Lanes::splat(T::ZERO); class])), zero)
    }

    fn lanes(&self) -> &[T::Lanes] {
        match self {
            Self::Small(lanes) => lanes,
            Self::Large(range) => bytemuck::cast_slice(range),
        }
    }

    fn lanes_mut(&mut self) -> &mut [T::Lanes] {
        match self {
            Self::Small(lanes) => lanes,
            Self::Large(range) => bytemuck::cast_slice_mut(range),
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
        Self { store: Store::take(len.div_ceil(T::Lanes::N)).0, len }
    }

    /// `len` zeros. What the system has just given is left as it is: pages that nobody has touched take no memory yet.
    pub fn zeros(len: usize) -> Self {
        let (store, zero) = Store::take(len.div_ceil(T::Lanes::N));
        let mut buffer = Self { store, len };
        if !zero {
            buffer.fill(T::ZERO);
        }
        buffer
    }

    /// The buffer as whole vectors, the last of which may reach beyond `len`.
    pub fn lanes(&self) -> &[T::Lanes] {
        &self.store.lanes()[..self.len.div_ceil(T::Lanes::N)]
    }
}

impl<T: Float> Drop for Buffer<T> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.store, Store::Small(Vec::new())) {
            Store::Small(lanes) if lanes.is_empty() => {}
            Store::Small(lanes) => T::pool().give(lanes),
            Store::Large(range) => {
                if let Ok(mut arena) = ARENA.lock() {
                    arena.give(range);
                }
            }
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
    use crate::random::{Random, Stream};

    #[test]
    fn a_freed_buffer_is_used_again() {
        let a = Buffer::<f64>::zeros(12_345); // a size that no other test uses
        let place = a.as_ptr();
        drop(a);
        assert_eq!(Buffer::<f64>::scratch(12_345).as_ptr(), place);
    }

    #[test]
    fn a_buffer_that_another_thread_gave_is_used_before_the_system_is_asked() {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let places = threads.broadcast(|_| Buffer::<f64>::zeros(23_456).as_ptr().addr()); // a size that no other test uses
        for _ in 0..10 {
            let place = Buffer::<f64>::scratch(23_456).as_ptr().addr();
            assert!(places.contains(&place), "memory that no thread had given");
        }
    }

    #[test]
    fn a_size_class_wastes_at_most_an_eighth() {
        for n in 1..5000 {
            let class = Pool::<f32>::class(n);
            assert!(class >= n && (class - n) * 8 <= n, "{n} -> {class}");
            assert_eq!(Pool::<f32>::class(class), class);
        }
    }

    /// A hundred ranges that come and go, each with numbers of its own, beside plain vectors that do the same.
    #[test]
    fn what_is_written_to_a_range_stays_until_it_is_given_back() {
        let mut random = Random::new(1, Stream::Other, 0);
        let mut twins: Vec<(Buffer<f64>, Vec<f64>)> = Vec::new();
        for turn in 0..2000 {
            if twins.len() < 100 && random.below(5) < 3 {
                let len = LARGE / 8 + random.below(100_000) as usize;
                let zeros = Buffer::<f64>::zeros(len);
                assert!(zeros.iter().all(|&x| x == 0.0), "zeros that are none");
                let mut buffer = if turn % 2 == 0 { zeros } else { Buffer::scratch(len) };
                buffer.fill(f64::from(turn));
                twins.push((buffer, vec![f64::from(turn); len]));
            } else if !twins.is_empty() {
                let (buffer, twin) = twins.swap_remove(random.below(twins.len() as u64) as usize);
                assert!(buffer[..] == twin[..], "turn {turn}");
            }
        }
    }

    /// An arena that lives as long as the program, as the one of all buffers.
    fn arena() -> &'static mut Arena {
        Box::leak(Box::new(Arena { maps: Vec::new(), free: BTreeMap::new() }))
    }

    #[test]
    fn neighbours_that_are_free_become_one_range() {
        let arena = arena();
        let take = |arena: &mut Arena, bytes| arena.take(bytes).expect("memory").0;
        let [a, b, c] = [1, 2, 3].map(|n| take(arena, n * LARGE));
        let (first, whole) = (a.as_ptr(), arena.mapped());
        for range in [a, c, b] {
            arena.give(range); // the middle one last: it has neighbours on both sides
        }
        assert_eq!(arena.free, BTreeMap::from([((0, 0), whole)]));
        let again = take(arena, 6 * LARGE);
        assert_eq!((again.as_ptr(), arena.mapped()), (first, whole));
    }

    #[test]
    fn a_range_lies_in_the_smallest_hole_that_holds_it() {
        let arena = arena();
        let take = |arena: &mut Arena, bytes| arena.take(bytes).expect("memory").0;
        let [a, _b, c, _d] = [4, 1, 2, 1].map(|n| take(arena, n * LARGE));
        let hole = c.as_ptr();
        arena.give(a);
        arena.give(c);
        assert_eq!(take(arena, LARGE).as_ptr(), hole);
    }

    #[test]
    fn zeros_are_zero_also_in_a_used_buffer() {
        Buffer::<f32>::scratch(77).fill(3.0);
        assert!(Buffer::<f32>::zeros(77).iter().all(|&x| x == 0.0));
    }
}
