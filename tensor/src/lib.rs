//! Numbers: the dense tensor and the kernels under every layer, written to be read.
//!
//! What is here, in reading order:
//!
//! - [`mod@tensor`] and [`mod@shape`]: a [`Tensor`] is an owned, contiguous, row-major buffer with a [`Shape`].
//! - [`simd`]: [`Float`] (f32 or f64) and its [`Lanes`]; a kernel is a formula over lanes. eˣ has a file, `exp.rs`.
//! - [`elementwise`] and [`rows`]: the loops, such as "the same formula for every element" or "softmax of a row".
//! - [`mod@matmul`]: the blocked, packed, multi-threaded matrix product, where training spends its time.
//! - [`decode`]: attention of one new position over the kept ones, for generation.
//! - [`patches`]: pictures cut into squares, which transformers read like words.
//! - [`parallel`]: loops over cores in fixed chunks, so that results do not depend on the number of threads.
//! - [`random`]: random numbers that are functions of (seed, stream, step, index).
//! - [`peak`]: what the processor could do at most, measured.
//! - [`pool`]: buffers are kept and reused; [`mapped`]: files as memory.
//!
//! Kernels take outputs, then inputs, then sizes, and panic when these do not fit: a wrong shape is a mistake in
//! the program. Gradients live in the `autograd` crate, which builds on this one.

pub mod decode;
pub mod elementwise;
mod exp;
pub mod mapped;
pub mod matmul;
mod normal;
pub mod parallel;
pub mod patches;
pub mod peak;
pub mod pool;
pub mod random;
pub mod rows;
pub mod shape;
pub mod simd;
pub mod tensor;

pub use shape::Shape;
pub use simd::{Float, Lanes};
pub use tensor::Tensor;
pub use {bytemuck, half};
