//! Where pictures and captions come from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tensor::random::Stream;

use super::{Row, drawn};
use crate::data::labelled::shortened;
use crate::data::pictures::{PictureFiles, PictureOptions};
use crate::data::world::{self, World};
use crate::error::{Error, Result};

/// Scenes of the built-in world to validate on.
const VAL_SCENES: usize = 1024;
/// Rows that a step may have: scene numbers never meet.
const STEP_ROWS: u64 = 1 << 20;

/// The built-in world, or files.
pub enum Source {
    /// Scenes without end.
    World(World),
    /// What people have.
    Files(Box<Files>),
}

/// Files to train on and files to validate on.
pub struct Files {
    train: PictureFiles,
    val: PictureFiles,
    /// For each picture the number of the first of which the same is said.
    train_numbers: Vec<u64>,
    val_numbers: Vec<u64>,
    /// The orders of the passes that a batch may be in.
    orders: Mutex<Vec<Pass>>,
}

/// The order of a pass over the files, under its seed and number.
type Pass = ([u64; 2], Arc<Vec<u32>>);

impl Source {
    /// Files: those of `options` to train on, and those of `val_data` to validate on, or if there are none a share of the
    /// first.
    ///
    /// What was passed over is told to `note`, a sentence each.
    ///
    /// Errors: files that cannot be read, or of whose pictures nothing is said.
    pub fn open(
        options: &PictureOptions,
        val_data: &[PathBuf],
        val_share: f64,
        mut note: impl FnMut(&str),
    ) -> Result<Self> {
        let mut open = |options: &PictureOptions| -> Result<PictureFiles> {
            let files = PictureFiles::open(options)?;
            files.notes().iter().for_each(|sentence| note(sentence));
            Ok(files)
        };
        let all = open(options)?;
        let may_share = !val_data.is_empty() || all.counts_twice();
        let (train, val) = if val_data.is_empty() {
            all.split(val_share)?
        } else {
            let val = open(&PictureOptions { data: val_data.to_vec(), ..options.clone() })?;
            (all, val)
        };
        // One that counts twice may be on both sides of a share that is held out, too.
        may_share.then(|| val.shared_with(&train)).flatten().iter().for_each(|sentence| note(sentence));
        let numbers = |files: &PictureFiles| {
            let mut first = HashMap::new();
            let number = |i: usize| *first.entry(files.captions(i).to_vec()).or_insert(i as u64);
            (0..files.len()).map(number).collect::<Vec<_>>()
        };
        for files in [&train, &val] {
            if let Some(i) = (0..files.len()).find(|&i| files.captions(i).is_empty()) {
                let what = match files.class(i) {
                    Some(class) => format!(
                        "nothing is said of this picture but its class, {}: make captions of classes, such as --captions \
                         \"a photo of a {{class}}\", with the name of the column that they are in",
                        shortened(class)
                    ),
                    None => {
                        "nothing is said of this picture: name the columns that do with --captions \"{column}\"".into()
                    }
                };
                return Err(Error::file(files.name(i), what));
            }
        }
        let (train_numbers, val_numbers) = (numbers(&train), numbers(&val));
        Ok(Self::Files(Box::new(Files { train, val, train_numbers, val_numbers, orders: Mutex::default() })))
    }

    /// About how many bytes decoded pictures take that are kept.
    pub fn kept_bytes(&self) -> u64 {
        match self {
            Self::World(_) => 0,
            Self::Files(files) => (files.train.bytes() + files.val.bytes()).min(files.train.room()),
        }
    }

    /// The pictures that were passed over since, each with what is wrong with it, a sentence.
    pub fn broken(&self) -> BTreeMap<String, String> {
        match self {
            Self::World(_) => BTreeMap::new(),
            Self::Files(files) => files.train.broken().into_iter().chain(files.val.broken()).collect(),
        }
    }

    /// Looks again at the pictures of these names, which were broken before: see [`PictureFiles::look_again`].
    pub fn look_again(&self, names: &BTreeSet<String>) {
        if let Self::Files(files) = self {
            files.train.look_again(names);
            files.val.look_again(names);
        }
    }

    /// An error if too many pictures were found broken: see [`PictureFiles::check_broken`].
    pub fn check_broken(&self) -> Result<()> {
        match self {
            Self::World(_) => Ok(()),
            Self::Files(files) => files.train.check_broken().and_then(|()| files.val.check_broken()),
        }
    }

    /// The picture of row `row` among the `rows` of a step, and one of its captions; drawn with `side` pixels a side, where
    /// it is not a file.
    pub(super) fn row(&self, seed: u64, step: u64, row: u64, rows: u64, side: usize) -> Result<Row> {
        match self {
            Self::World(world) => {
                // Each scene is followed by one that differs in one thing, with the same caption if it is still true.
                let (number, first) = (step * STEP_ROWS + row, row - row % 2);
                let scene = if row == first { World::pictured } else { World::neighbour };
                let mut pictured = scene(world, Stream::Pictured, step * STEP_ROWS + first);
                // The first caption tells everything, and half of the rows have it: what is seldom said, where things are, is
                // else taken for noise, and never learned.
                let others = pictured.captions.len() - 1;
                let caption = (drawn(2 * others, seed, step, first) + 1).saturating_sub(others);
                let picture = Arc::new(world.drawn(&pictured.scene, Stream::Pictured, number, side));
                Ok(Row { picture, caption: pictured.captions.swap_remove(caption), number })
            }
            Self::Files(files) => {
                // Passes follow one another without a gap.
                let (n, position) = (files.train.len() as u64, step * rows + row);
                let asked = files.order(seed, position / n)[(position % n) as usize];
                let (i, picture) = files.train.sample(asked as usize)?;
                let captions = files.train.captions(i);
                let caption = captions[drawn(captions.len(), seed, step, row)].clone();
                Ok(Row { picture, caption, number: files.train_numbers[i] })
            }
        }
    }

    /// How many pictures there are to validate on.
    pub fn val_len(&self) -> usize {
        match self {
            Self::World(_) => VAL_SCENES,
            Self::Files(files) => files.val.len(),
        }
    }

    /// Number `i` of them, with its first caption.
    pub(super) fn val_row(&self, i: usize, side: usize) -> Result<Row> {
        match self {
            Self::World(_) => {
                let world = World::shared();
                let mut pictured = world.pictured(Stream::PicturedVal, i as u64);
                let picture = Arc::new(world.drawn(&pictured.scene, Stream::PicturedVal, i as u64, side));
                Ok(Row { picture, caption: pictured.captions.swap_remove(0), number: i as u64 })
            }
            Self::Files(files) => {
                let (i, picture) = files.val.sample(i)?;
                Ok(Row { picture, caption: files.val.captions(i)[0].clone(), number: files.val_numbers[i] })
            }
        }
    }

    /// How many pictures there are to learn from; `None` where there is no end of them.
    pub fn train_len(&self) -> Option<u64> {
        match self {
            Self::World(_) => None,
            Self::Files(files) => Some(files.train.len() as u64),
        }
    }

    /// Captions from which a tokenizer is learned: all that there are to learn from, or of what has no end as many as teach
    /// every word.
    pub fn captions(&self) -> Vec<String> {
        /// Scenes whose captions are enough: the world's words are few.
        const SCENES: u64 = 2000;
        match self {
            Self::World(world) => {
                let captions = |i| world.pictured(Stream::Pictured, u64::MAX - i).captions;
                (0..SCENES).flat_map(captions).collect()
            }
            Self::Files(files) => (0..files.train.len()).flat_map(|i| files.train.captions(i).to_vec()).collect(),
        }
    }

    /// What identifies the data: a run is resumed on the data that it began with.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::World(_) => world::PICTURED.to_owned(),
            Self::Files(files) => format!("{} {}", files.train.fingerprint(), files.val.fingerprint()),
        }
    }
}

impl Files {
    /// In which order pass number `pass` takes the pictures.
    fn order(&self, seed: u64, pass: u64) -> Arc<Vec<u32>> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = orders.iter().find(|(key, _)| *key == [seed, pass]) {
            return Arc::clone(order);
        }
        // A batch, and the one after it, are in two passes at most, where there are more pictures than that.
        if orders.len() > 2 {
            orders.remove(0);
        }
        let order = Arc::new(self.train.order(seed, pass));
        orders.push(([seed, pass], Arc::clone(&order)));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_world_come_with_their_neighbours_and_half_of_the_captions_tell_everything() {
        let world = World::new(1);
        let source = Source::World(world);
        let row = |step: u64, row: u64| source.row(7, step, row, 64, 16).unwrap();
        let (mut whole, mut alike) = (0, 0);
        for (step, number) in (0..40).flat_map(|step| (0..32).map(move |pair| (step, 2 * pair))) {
            let [first, second] = [row(step, number), row(step, number + 1)];
            let key = step * STEP_ROWS + number;
            let said = [World::pictured, World::neighbour].map(|scene| scene(&world, Stream::Pictured, key).captions);
            assert!(said[0].contains(&first.caption) && said[1].contains(&second.caption));
            assert!(first.number != second.number && first.picture != second.picture);
            whole += usize::from(first.caption == said[0][0]);
            alike += usize::from(first.caption == second.caption);
        }
        assert!((570..710).contains(&whole), "{whole} of 1280"); // four standard errors around a half
        assert!((170..290).contains(&alike), "{alike} of 1280: of what changed some captions do not speak");
    }
}
