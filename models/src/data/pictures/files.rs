//! A set of pictures with captions, to be drawn from by many threads.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sha2::{Digest as _, Sha256};
use tensor::random::{Random, Stream};

use super::sources::{Item, gather, tolerated};
use super::{Picture, PictureOptions, order};
use crate::error::{Error, Result};
use crate::files;

/// Pictures that lie in files, with their captions and classes in memory.
///
/// Pictures are read and decoded when they are asked for, and those that fit into the options' memory stay decoded.
#[derive(Debug)]
pub struct PictureFiles {
    items: Vec<Item>,
    speaks: bool,
    classes: Vec<String>,
    notes: Vec<String>,
    missing: usize,
    /// Whether a picture counts twice; of parts of a set it is not known.
    twice: bool,
    ground: [u8; 3],
    /// The decoded picture of each item, if it is kept.
    kept: Vec<OnceLock<Arc<Picture>>>,
    /// Bytes that may still be kept; the parts of a split share them.
    memory: Arc<AtomicU64>,
    /// What is wrong with each picture that was passed over.
    broken: Mutex<BTreeMap<usize, String>>,
}

impl PictureFiles {
    /// Finds the pictures that `options` name and reads what is said of them.
    ///
    /// # Errors
    ///
    /// A source that cannot be read, is cut off, has no column of the name, or has no picture that passes the filters; a table
    /// of which more than 1 % of the pictures (and more than ten) are not there, a folder of which all are gone. The sentence
    /// names file and line.
    pub fn open(options: &PictureOptions) -> Result<Self> {
        if options.data.is_empty() {
            let what = "there is no source of pictures: name a table, a folder, shards or IDX files";
            return Err(Error::Options(what.to_owned()));
        }
        let mut found = gather(options)?;
        let classes = found.sorted_classes();
        let memory = Arc::new(AtomicU64::new(options.memory));
        Ok(Self {
            missing: found.missing,
            twice: found.twice,
            ..Self::of(found.items, classes, found.notes, options.ground, memory)
        })
    }

    fn of(items: Vec<Item>, classes: Vec<String>, notes: Vec<String>, ground: [u8; 3], memory: Arc<AtomicU64>) -> Self {
        let kept = items.iter().map(|_| OnceLock::new()).collect();
        let speaks = items.iter().any(|item| !item.captions.is_empty());
        Self { items, speaks, classes, notes, missing: 0, twice: false, ground, kept, memory, broken: Mutex::default() }
    }

    /// How many pictures there are, broken ones included.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// How many more are named, but were not there at opening; of parts of a set it is not known.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Whether a picture counts twice, for more than one source or shard has it.
    pub fn counts_twice(&self) -> bool {
        self.twice
    }

    /// Whether there is none: never so after opening.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What is said of picture `i`, each once. None of a set that has only classes.
    pub fn captions(&self, i: usize) -> &[String] {
        &self.items[i].captions
    }

    /// Whether anything is said of any picture.
    pub fn speaks(&self) -> bool {
        self.speaks
    }

    /// The class of picture `i`, if one is known.
    pub fn class(&self, i: usize) -> Option<&str> {
        Some(&self.classes[self.items[i].class? as usize])
    }

    /// The names of all classes, sorted.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The path of picture `i`, or `SHARD:KEY`.
    pub fn name(&self, i: usize) -> String {
        self.items[i].place.name()
    }

    /// What was passed over at opening, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Says, if it is so, that pictures of these are among others that are learned from.
    pub fn shared_with(&self, learned: &Self) -> Option<String> {
        let learned: HashSet<_> = learned.items.iter().flat_map(|item| item.place.whereabouts()).collect();
        let both = |&i: &usize| self.items[i].place.whereabouts().any(|whereabouts| learned.contains(&whereabouts));
        let shared: Vec<usize> = (0..self.len()).filter(both).collect();
        let (first, n, all) = (self.name(*shared.first()?), shared.len(), self.len());
        Some(format!(
            "{n} of {all} pictures to validate or test on are learned from as well, such as {first}: of what is new the \
             figures say the less"
        ))
    }

    /// Picture `i`, decoded; an error that names it if it is broken or gone, or its shard if that was written anew.
    pub fn picture(&self, i: usize) -> Result<Arc<Picture>> {
        if let Some(picture) = self.kept[i].get() {
            return Ok(picture.clone());
        }
        let picture = Arc::new(self.items[i].place.picture(self.ground)?);
        let bytes = picture.rgb.len() as u64;
        let taken = self.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if taken.is_ok() && self.kept[i].set(picture.clone()).is_err() {
            self.memory.fetch_add(bytes, Ordering::Relaxed); // another thread was first
        }
        Ok(picture)
    }

    /// About how many bytes all pictures are when they are decoded, by the sizes of some.
    pub fn bytes(&self) -> u64 {
        const SOME: usize = 8;
        let some = self.len().min(SOME);
        let looked_at = (0..some).filter_map(|i| self.picture(i * self.len() / some).ok());
        let sizes: Vec<u64> = looked_at.map(|picture| picture.rgb.len() as u64).collect();
        sizes.iter().sum::<u64>() * self.len() as u64 / sizes.len().max(1) as u64
    }

    /// Bytes of decoded pictures that there is still room for, with the other part of a split.
    pub fn room(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Picture `i`, or one that is drawn in its place if it is broken, and which one it is.
    ///
    /// Broken ones are remembered for [`PictureFiles::broken`].
    ///
    /// # Errors
    ///
    /// More broken ones in a row than there may be in the whole set: then it is not a picture that is wrong. A shard or an
    /// IDX file that was written anew since it was opened.
    pub fn sample(&self, i: usize) -> Result<(usize, Arc<Picture>)> {
        let tries = self.tolerated() + 1;
        for at in places(i, self.len()).take(tries) {
            match self.picture(at) {
                Ok(picture) => return Ok((at, picture)),
                Err(changed @ Error::Changed(_)) => return Err(changed),
                Err(error) => drop(self.found().insert(at, error.to_string())),
            }
        }
        self.check_broken()?; // so many in a row are too many in all, where there are that many
        let others = tries.min(self.len()) - 1;
        Err(Error::file(
            self.name(i),
            format!("it is broken, and so are {others} others that were tried: fetch them again"),
        ))
    }

    /// The pictures that were passed over, each with what is wrong with it, a sentence.
    pub fn broken(&self) -> BTreeMap<String, String> {
        self.found().iter().map(|(&i, what)| (self.name(i), what.clone())).collect()
    }

    /// Looks again at the pictures of these names, which were broken before, and remembers those that still are.
    pub fn look_again(&self, names: &BTreeSet<String>) {
        for i in (0..self.len()).filter(|&i| names.contains(&self.name(i))) {
            if let Err(error) = self.picture(i) {
                self.found().insert(i, error.to_string());
            }
        }
    }

    /// An error if more than 1 % of all pictures (and more than ten) were found broken. Of all, as some are always broken
    /// together, and of the few that were looked at so far these may be many.
    pub fn check_broken(&self) -> Result<()> {
        let found = self.found();
        match found.values().next() {
            Some(first) if found.len() > self.tolerated() => {
                let (broken, all) = (found.len(), self.len());
                let way_out =
                    "fetch them again, or leave them out of the data of a new run that goes on --from this one";
                let what = format!("{broken} of {all} pictures are broken so far: {way_out}; the first is {first}");
                Err(Error::Training(what))
            }
            _ => Ok(()),
        }
    }

    /// How many may be broken.
    fn tolerated(&self) -> usize {
        tolerated(self.len())
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<usize, String>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The order in which epoch `epoch` visits the pictures, a function of (seed, epoch) alone: each occurs once.
    ///
    /// Files come in any order. Pictures in shards come a stretch of neighbours at a time, so that the disk is read in
    /// long pieces: see [`order`].
    pub fn order(&self, seed: u64, epoch: u64) -> Vec<u32> {
        order::order(self.items.iter().map(|item| item.shard), seed, epoch)
    }

    /// Sets a share of the pictures aside: those to train on, and those to validate on.
    ///
    /// A picture's name alone decides its place in a row, of which the last part is set aside; so a set that grows a little
    /// is divided nearly as before, and one of which some files are mended just as before.
    ///
    /// # Errors
    ///
    /// A share of which one part would be empty.
    pub fn split(self, share: f64) -> Result<(Self, Self)> {
        let count = (share * self.len() as f64).round() as usize;
        if !(1..self.len()).contains(&count) {
            let what = format!(
                "a share of {share} of {} pictures leaves nothing to train or nothing to validate on: choose another",
                self.len()
            );
            return Err(Error::Options(what));
        }
        let mut row: Vec<_> = (0..self.len()).map(|i| (Sha256::digest(self.items[i].place.identity()), i)).collect();
        row.sort();
        let mut aside = vec![false; self.len()];
        row[self.len() - count..].iter().for_each(|&(_, i)| aside[i] = true);
        let (mut train, mut val) = (Vec::new(), Vec::new());
        for (item, aside) in self.items.into_iter().zip(aside) {
            if aside { val.push(item) } else { train.push(item) }
        }
        let val = Self::of(val, self.classes.clone(), Vec::new(), self.ground, self.memory.clone());
        Ok((Self::of(train, self.classes, self.notes, self.ground, self.memory), val))
    }

    /// Names what samples depend on: which pictures, what is said of them and what they are laid on. A run that is resumed on
    /// data with another fingerprint is not the run that was begun.
    ///
    /// What is in the files does not count: a copy is the same data, and a run goes on when broken pictures were fetched again.
    pub fn fingerprint(&self) -> String {
        self.digest(|item| item.place.identity())
    }

    /// The same with when the files were written and how many bytes they have: what was computed from pictures of another
    /// version has to be computed again.
    pub fn version(&self) -> String {
        self.digest(|item| item.place.identity() + ":" + &item.place.version())
    }

    fn digest(&self, identity: impl Fn(&Item) -> String) -> String {
        let mut hash = Sha256::new_with_prefix(self.ground);
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        for (i, item) in self.items.iter().enumerate() {
            add(&identity(item));
            add(self.class(i).unwrap_or_default());
            add(&item.captions.len().to_string());
            item.captions.iter().for_each(|caption| add(caption));
        }
        files::hex(hash.finalize())
    }
}

/// Picture `i` of `n`, and then all others in strides that are drawn, for where one is broken its neighbours often are.
fn places(i: usize, n: usize) -> impl Iterator<Item = usize> {
    let (i, n) = (i as u64, n as u64);
    let mut random = Random::new(0, Stream::Data, i);
    let stride = loop {
        let stride = 1 + random.below(n);
        if common_divisor(stride, n) == 1 {
            break stride;
        }
    };
    (0..n).map(move |k| ((i + k * stride) % n) as usize)
}

/// The largest number that divides both (Euclid).
fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests;
