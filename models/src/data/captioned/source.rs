//! Where pictures and captions come from.

use std::sync::Arc;

use tensor::random::Stream;

use super::{Row, drawn};
use crate::data::world::World;
use crate::error::Result;
use crate::train::Options;
use crate::train::options::ClipOptions;

/// Scenes of the built-in world to validate on.
const VAL_SCENES: usize = 1024;
/// Rows that a step may have: scene numbers never meet.
const STEP_ROWS: u64 = 1 << 20;

/// The built-in world, or files.
pub enum Source {
    /// Scenes without end.
    World(World),
}

impl Source {
    /// What the options name: the built-in world, if they name no data.
    ///
    /// Errors: files that cannot be read, or hold no pictures with captions.
    pub fn open(o: &Options, _of: &ClipOptions) -> Result<Self> {
        Ok(Self::World(World::new(o.seed)))
    }

    /// What was passed over when the data was opened, as sentences.
    pub fn notes(&self) -> Vec<String> {
        match self {
            Self::World(_) => Vec::new(),
        }
    }

    /// The picture of row `row` among the `rows` of a step, and one of its captions; drawn with `side` pixels a side, where
    /// it is not a file.
    pub(super) fn row(&self, seed: u64, step: u64, row: u64, _rows: u64, side: usize) -> Result<Row> {
        match self {
            Self::World(world) => {
                let number = step * STEP_ROWS + row;
                let mut pictured = world.pictured(Stream::Pictured, number);
                let caption = drawn(pictured.captions.len(), seed, step, row);
                let picture = Arc::new(world.drawn(&pictured.scene, Stream::Pictured, number, side));
                Ok(Row { picture, caption: pictured.captions.swap_remove(caption), number })
            }
        }
    }

    /// How many pictures there are to validate on.
    pub fn val_len(&self) -> usize {
        match self {
            Self::World(_) => VAL_SCENES,
        }
    }

    /// Number `i` of them, with its first caption.
    pub(super) fn val_row(&self, i: usize, side: usize) -> Result<Row> {
        match self {
            Self::World(world) => {
                let mut pictured = world.pictured(Stream::PicturedVal, i as u64);
                let picture = Arc::new(world.drawn(&pictured.scene, Stream::PicturedVal, i as u64, side));
                Ok(Row { picture, caption: pictured.captions.swap_remove(0), number: i as u64 })
            }
        }
    }

    /// How many pictures there are to learn from; `None` where there is no end of them.
    pub fn train_len(&self) -> Option<u64> {
        match self {
            Self::World(_) => None,
        }
    }

    /// Captions from which a tokenizer is learned.
    pub fn some_captions(&self) -> Vec<String> {
        /// Scenes whose captions are enough: the world's words are few.
        const SCENES: u64 = 2000;
        match self {
            Self::World(world) => {
                let captions = |i| world.pictured(Stream::Pictured, u64::MAX - i).captions;
                (0..SCENES).flat_map(captions).collect()
            }
        }
    }

    /// What identifies the data: a run is resumed on the data that it began with.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::World(_) => "world".to_owned(),
        }
    }
}
