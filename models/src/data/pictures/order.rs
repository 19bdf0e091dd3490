//! In which order an epoch visits pictures: as random as the disk allows.
//!
//! Files of their own are visited in any order. In a shard, pictures lie one after the other, and a disk reads
//! neighbours many times faster than strangers. So shards are cut into stretches of neighbours, the stretches of all
//! shards are brought into a random order, and then the pictures within windows of several stretches: what is read at a
//! time lies in few places, and yet a batch has pictures from different shards.

use std::ops::Range;

use tensor::random::{Random, Stream};

/// Neighbours in a shard that are read at about the same time: some ten megabytes of photographs.
const STRETCH: u32 = 1024;

/// Pictures that are mixed: four stretches. WebDataset's users commonly hold some thousands in a buffer for that.
const WINDOW: usize = 4 * STRETCH as usize;

/// The items in the order of an epoch, a function of (seed, epoch) alone. `shards` says which shard each is in; 0: none.
pub fn order(shards: impl Iterator<Item = u32>, seed: u64, epoch: u64) -> Vec<u32> {
    let mut stretches: Vec<Range<u32>> = Vec::new();
    let mut before = 0;
    for (shard, i) in shards.zip(0..) {
        match stretches.last_mut() {
            Some(last) if shard > 0 && shard == before && last.len() < STRETCH as usize => last.end = i + 1,
            _ => stretches.push(i..i + 1),
        }
        before = shard;
    }
    let mut random = Random::new(seed, Stream::Data, epoch);
    random.shuffle(&mut stretches);
    let mut order: Vec<u32> = stretches.into_iter().flatten().collect();
    order.chunks_mut(WINDOW).for_each(|window| random.shuffle(window));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_each_picture_once_and_each_epoch_and_seed_otherwise() {
        for shards in [vec![0; 5000], [vec![1; 3000], vec![2; 5000], vec![0; 100]].concat()] {
            let of = |seed, epoch| order(shards.iter().copied(), seed, epoch);
            let first = of(1, 0);
            let mut sorted = first.clone();
            sorted.sort();
            assert!(sorted.into_iter().eq(0..shards.len() as u32));
            assert_eq!(first, of(1, 0));
            assert_ne!(first, of(1, 1));
            assert_ne!(first, of(2, 0));
        }
    }

    #[test]
    fn a_window_reads_few_stretches_of_shards_and_mixes_them() {
        let shards = (0..20_000).map(|i| 1 + i / 10_000);
        let order = order(shards, 3, 0);
        for window in order.chunks(WINDOW) {
            let mut places: Vec<_> = window.iter().map(|i| (i / 10_000, i % 10_000 / STRETCH)).collect();
            let neighbours = places.windows(2).filter(|pair| pair[0] == pair[1]).count();
            assert!(neighbours < window.len() / 2, "{neighbours} neighbours came after each other");
            places.sort();
            places.dedup();
            assert!(places.len() <= 6, "{} stretches", places.len()); // a shorter one at a shard's end may come in
        }
    }

    #[test]
    fn files_are_visited_in_any_order() {
        // In a random order of n, the mean distance of neighbours is n/3.
        let order = order(std::iter::repeat_n(0, 20_000), 3, 0);
        let distance: f64 = order.windows(2).map(|pair| f64::from(pair[0].abs_diff(pair[1]))).sum::<f64>() / 20_000.0;
        assert!((6500.0..6830.0).contains(&distance), "mean distance {distance}");
    }
}
