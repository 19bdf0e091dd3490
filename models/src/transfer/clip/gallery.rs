//! Where pictures come from: scenes of the built-in world, or files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensor::random::Stream;

use crate::data::pictures::Picture;
use crate::data::pictures::decode::{WHITE, decode};
use crate::data::world::World;
use crate::data::world::pictured::name;
use crate::data::world::scene::Scene;
use crate::error::{Error, Result};

/// The world that is looked at, whatever seed a model was trained with.
const WORLD_SEED: u64 = 1;

/// Pictures, numbered from 0 on, of which some is known beside.
pub enum Gallery {
    /// The built-in world's scenes, drawn at a size.
    World {
        /// The scenes, each with the number that its picture is drawn with.
        scenes: Vec<(Scene, u64)>,
        /// What is said of each.
        captions: Vec<Vec<String>>,
        /// Pixels of a side.
        side: usize,
    },
    /// Files of one picture each.
    Files(Vec<PathBuf>),
}

impl Gallery {
    /// The first `n` scenes of the validation part with all of their captions.
    pub fn scenes(n: usize, side: usize) -> Self {
        let world = World::new(WORLD_SEED);
        let pictured = (0..n as u64).map(|i| (world.pictured(Stream::PicturedVal, i), i));
        let (scenes, captions) = pictured.map(|(of, i)| ((of.scene, i), of.captions)).unzip();
        Self::World { scenes, captions, side }
    }

    /// The first `n` scenes of two or three objects, each with the one caption that tells everything.
    pub fn scenes_of_several(n: usize, side: usize) -> Self {
        let world = World::new(WORLD_SEED);
        let pictured = (0..).map(|i| (world.pictured(Stream::PicturedVal, i), i));
        let several = pictured.filter(|(of, _)| of.scene.objects.len() > 1).take(n);
        let (scenes, captions) = several.map(|(mut of, i)| ((of.scene, i), vec![of.captions.swap_remove(0)])).unzip();
        Self::World { scenes, captions, side }
    }

    /// `n` scenes of one object, of combinations that training shows or of those that it never does; the caption is the
    /// combination's name.
    pub fn single(n: usize, side: usize, seen: bool) -> Self {
        let world = World::new(WORLD_SEED);
        let one =
            |i| if seen { world.seen_one(Stream::PicturedVal, i) } else { world.unseen_one(Stream::PicturedVal, i) };
        let scenes: Vec<(Scene, u64)> = (0..n as u64).map(|i| (one(i), i)).collect();
        let looks = |scene: &Scene| (scene.objects[0].shape, scene.objects[0].colour);
        let captions = scenes.iter().map(|(scene, _)| vec![name(looks(scene))]).collect();
        Self::World { scenes, captions, side }
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        match self {
            Self::World { scenes, .. } => scenes.len(),
            Self::Files(files) => files.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a picture is called: its file, or its scene's number.
    pub fn name(&self, i: usize) -> String {
        match self {
            Self::World { scenes, .. } => format!("scene {}", scenes[i].1),
            Self::Files(files) => files[i].display().to_string(),
        }
    }

    /// What is said of it; nothing, where nothing is known.
    pub fn captions(&self, i: usize) -> Vec<String> {
        match self {
            Self::World { captions, .. } => captions[i].clone(),
            Self::Files(_) => Vec::new(),
        }
    }

    /// The picture itself.
    ///
    /// Errors: it cannot be read, or is none.
    pub fn picture(&self, i: usize) -> Result<Arc<Picture>> {
        match self {
            Self::World { scenes, side, .. } => {
                let (scene, number) = &scenes[i];
                Ok(Arc::new(World::new(WORLD_SEED).drawn(scene, Stream::PicturedVal, *number, *side)))
            }
            Self::Files(files) => Ok(Arc::new(read(&files[i])?)),
        }
    }

    /// The picture for people: the world's are drawn anew with `side` pixels a side, as models see few.
    pub fn shown(&self, i: usize, side: usize) -> Result<Arc<Picture>> {
        match self {
            Self::World { scenes, .. } => {
                let (scene, number) = &scenes[i];
                Ok(Arc::new(World::new(WORLD_SEED).drawn(scene, Stream::PicturedVal, *number, side)))
            }
            Self::Files(_) => self.picture(i),
        }
    }
}

/// The picture in a file of its own.
///
/// Errors: a file that is not there or cannot be read; one that is no picture, whatever its name says, or a damaged one.
pub fn read(path: &Path) -> Result<Picture> {
    if path.is_dir() {
        return Err(Error::file(path, "is a folder: give pictures one by one, or the folder with --data"));
    }
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", &error))?;
    decode(&bytes, WHITE).map_err(|what| Error::file(path, what))
}
