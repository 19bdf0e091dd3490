//! A steady training step asks the system for nothing large: whatever holds more than a page comes from the pool or
//! from the step before.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use autograd::{Gradients, Muon};
use models::pretext::Batch;
use models::train::step::{Compute, loss_and_gradients};
use models::train::{Options, Setup};
use tensor::matmul::Precision;
use tensor::parallel::with_threads;
use tensor::pool;

const PAGE: usize = 4096;

/// The system's allocator, which counts what is larger than a page on a thread while that tells it to.
struct Counting;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static LARGE: Cell<usize> = const { Cell::new(0) };
}

fn count(size: usize) {
    if size > PAGE && COUNTS.get() {
        LARGE.set(LARGE.get() + 1);
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

/// Models so small that a step takes a moment, and so large that what it computes fills pages. All captions fill the rows of CLIP, as
/// one longer than all before needs buffers of its own.
const GPT: &str = "batch_size = 32\nlayers = 3\nwidth = 96\nheads = 3";
const BERT: &str = "model = \"bert\"\nbatch_size = 32\nlayers = 3\nwidth = 96\nheads = 3";
const CLIP: &str = "model = \"clip\"\nbatch_size = 96\nblock_size = 8\nlayers = 1\nwidth = 32\nheads = 2\n[clip]\nvision_layers = 1\n\
                    vision_width = 32\nvision_heads = 2";

/// Allocations of more than a page from the third step on, and bytes of new maps, but for the pictures that other
/// threads draw meanwhile, each by itself.
fn large_allocations(small: &str, micro_batch: usize, [bf16, recompute, matrices]: [bool; 3]) -> (usize, usize) {
    // On one thread: how many work buffers several threads want at a time is up to chance.
    with_threads(1, || {
        let precision = if bf16 { Precision::Bf16 } else { Precision::Full };
        let options = Options::resolve(&small.parse().unwrap(), &Default::default()).unwrap();
        let setup = Setup::new(options, None, &mut ()).unwrap();
        let (o, model, mut params) = (&setup.options, &setup.model, setup.params.clone());
        let matrices = if matrices { model.matrices(&params) } else { Vec::new() };
        let mut optimizer = Muon::new(&params, &matrices, 0.95, o.adamw());
        let (mut gradients, mut batch) = (Gradients::new(&params), Batch::new());
        let how = Compute { micro_batch, precision, recompute, profile: None };
        let mut mapped = 0;
        for step in 0..8 {
            if step == 2 {
                COUNTS.set(true);
                mapped = pool::mapped();
            }
            setup.fill(&mut batch, step).unwrap();
            loss_and_gradients(model, &params, &mut gradients, &batch, how, o.seed, step);
            optimizer.step(&mut params, &gradients, 1e-3, 1e-2);
        }
        COUNTS.set(false);
        (LARGE.replace(0), pool::mapped() - mapped)
    })
}

// One test alone, since all threads of this program share the maps.
#[test]
fn a_steady_step_allocates_no_more_than_a_page_at_a_time() {
    COUNTS.set(true);
    drop(std::hint::black_box(vec![1u8; PAGE + 1]));
    COUNTS.set(false);
    assert_eq!(LARGE.replace(0), 1, "the counter counts");
    for (small, micro_batch, how) in [
        (GPT, 32, [false, false, false]),
        (GPT, 12, [false, false, true]),
        (GPT, 32, [true, true, true]),
        (GPT, 16, [true, false, false]),
        (BERT, 32, [false, false, true]),
        (BERT, 16, [true, true, false]),
        (CLIP, 96, [false, false, true]),
        (CLIP, 32, [true, true, false]),
    ] {
        let large = large_allocations(small, micro_batch, how);
        assert_eq!(large, (0, 0), "{small}, micro-batches of {micro_batch}, in bf16, computed again, by Muon: {how:?}");
    }
}
