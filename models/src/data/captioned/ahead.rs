//! The next batch is made while the model learns from this one.
//!
//! A batch is a function of (seed, step), so which thread makes it, and when, changes nothing. Only the next step's is made
//! ahead: on a processor with few cores more would wait in memory, and not come any sooner.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::Rows;
use crate::error::Result;
use crate::pretext::Batch;

/// Threads that make the rows of a batch.
pub const WORKERS: usize = 2;

/// The batch that is being made, and what it is for.
struct Coming {
    of: ([u64; 2], usize),
    batch: JoinHandle<Result<Batch>>,
}

/// At most one batch ahead.
#[derive(Default)]
pub struct Ahead {
    coming: Mutex<Option<Coming>>,
}

impl Ahead {
    /// Puts the batch of (seed, step) with `rows` rows in the place of `batch`, whose memory is used again, and begins the
    /// next step's. After an error `batch` is what it was.
    pub fn fill(&self, rows: &Arc<Rows>, batch: &mut Batch, [seed, step]: [u64; 2], count: usize) -> Result<()> {
        let mut coming = self.coming.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let made = match coming.take() {
            Some(next) if next.of == ([seed, step], count) => {
                next.batch.join().expect("a thread that makes a batch does not panic")?
            }
            // Nobody waits for what another step would have been.
            _ => rows.batch(Vec::new(), [seed, step], count)?,
        };
        let spare = std::mem::replace(batch, made).pixels;
        let (rows, of) = (Arc::clone(rows), ([seed, step + 1], count));
        let batch = std::thread::spawn(move || rows.batch(spare, of.0, of.1));
        *coming = Some(Coming { of, batch });
        Ok(())
    }
}
