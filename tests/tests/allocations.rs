//! A steady training step asks the system for nothing large: whatever holds more than a page comes from the pool or
//! from the step before.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use autograd::{Gradients, Muon};
use models::pretext::Batch;
use models::train::step::{Compute, loss_and_gradients};
use models::train::{Options, Setup};
use tensor::matmul::Precision;
use tensor::parallel::with_threads;
use tensor::pool;

const PAGE: usize = 4096;

/// The system's allocator, which counts what is larger than a page while it is told to.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static LARGE: AtomicUsize = AtomicUsize::new(0);

fn count(size: usize) {
    if size > PAGE && COUNTS.load(Relaxed) {
        LARGE.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of more than a page in the steps after the third, and bytes of new maps.
fn large_allocations(precision: Precision, micro_batch: usize, recompute: bool, matrices: bool) -> (usize, usize) {
    // On one thread: how many work buffers several threads want at a time is up to chance.
    with_threads(1, || {
        let small = "batch_size = 32\nlayers = 3\nwidth = 96\nheads = 3".parse().unwrap();
        let options = Options::resolve(&small, &Default::default()).unwrap();
        let setup = Setup::new(options, None, &mut ()).unwrap();
        let (o, model, mut params) = (&setup.options, &setup.model, setup.params.clone());
        let matrices = if matrices { model.matrices(&params) } else { Vec::new() };
        let mut optimizer = Muon::new(&params, &matrices, 0.95, o.adamw());
        let (mut gradients, mut batch) = (Gradients::new(&params), Batch::new());
        let how = Compute { micro_batch, precision, recompute, profile: None };
        let mut mapped = 0;
        for step in 0..8 {
            if step == 3 {
                COUNTS.store(true, Relaxed);
                mapped = pool::mapped();
            }
            setup.fill(&mut batch, step).unwrap();
            loss_and_gradients(model, &params, &mut gradients, &batch, how, o.seed, step);
            optimizer.step(&mut params, &gradients, 1e-3, 1e-2);
        }
        COUNTS.store(false, Relaxed);
        (LARGE.swap(0, Relaxed), pool::mapped() - mapped)
    })
}

// One test alone, since all threads of this program are counted.
#[test]
fn a_steady_step_allocates_no_more_than_a_page_at_a_time() {
    COUNTS.store(true, Relaxed);
    drop(std::hint::black_box(vec![1u8; PAGE + 1]));
    COUNTS.store(false, Relaxed);
    assert_eq!(LARGE.swap(0, Relaxed), 1, "the counter counts");
    for (precision, micro_batch, recompute, matrices) in [
        (Precision::Full, 32, false, false),
        (Precision::Full, 12, false, true),
        (Precision::Bf16, 32, true, true),
        (Precision::Bf16, 16, false, false),
    ] {
        let large = large_allocations(precision, micro_batch, recompute, matrices);
        assert_eq!(large, (0, 0), "{precision:?}, micro-batches of {micro_batch}, {recompute}, {matrices}");
    }
}
