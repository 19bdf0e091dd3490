//! Pictures on their way through the image encoder: decoded on threads of their own beside the model, which takes some
//! dozens at a time.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use autograd::Tape;
use tensor::{Tensor, parallel};

use super::Encoders;
use crate::data::pictures::{Picture, Preprocess};
use crate::error::{Error, Result};

/// Pictures that go through the model at once.
const AT_ONCE: usize = 48;
/// Threads that read and decode.
const WORKERS: usize = 2;

/// Where in the image encoder a picture's numbers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// At the end: a vector of length 1 in the space that texts are in too, `[E]`.
    Space,
    /// Before the projection to it, `[C]`: what the encoder sees of a picture, also beside what a caption would tell. From
    /// here the paper's classifiers learn (Radford et al. 2021, appendix A.3).
    State,
}

/// What became of some pictures.
#[derive(Debug)]
pub struct Seen {
    /// The numbers of those that could be read, rising.
    pub numbers: Vec<usize>,
    /// Their vectors, `[numbers.len(), width]`.
    pub vectors: Tensor,
    /// What is wrong with each of the others.
    pub faults: Vec<Error>,
}

impl Seen {
    /// The vectors of all; what is wrong with the first that could not be read, if one could not.
    pub fn whole(mut self) -> Result<Tensor> {
        if self.faults.is_empty() { Ok(self.vectors) } else { Err(self.faults.swap_remove(0)) }
    }
}

/// Pictures on their way: the numbers of those that could be read, their pixels `[numbers.len(), 3, S, S]`, and what is
/// wrong with the others.
#[derive(Default)]
struct Prepared {
    numbers: Vec<usize>,
    pixels: Vec<f32>,
    faults: Vec<Error>,
}

impl Encoders {
    /// Pictures 0 to `n` as vectors. `picture` reads one, on several threads at once; `done` is told how many are finished.
    ///
    /// Errors: data that was written anew meanwhile.
    pub fn pictures(
        &self,
        layer: Layer,
        n: usize,
        picture: impl Fn(usize) -> Result<Arc<Picture>> + Sync,
        done: impl FnMut(usize),
    ) -> Result<Seen> {
        through(
            &self.preprocess,
            n,
            picture,
            self.width_of(layer),
            |pixels, rows| self.encoded(layer, pixels, rows),
            done,
        )
    }

    /// One picture as a vector: `[1, width]`.
    pub fn picture(&self, layer: Layer, picture: &Picture) -> Tensor {
        let mut pixels = vec![0.0; self.preprocess.numbers()];
        self.preprocess.apply(picture, &mut pixels);
        self.encoded(layer, &pixels, 1)
    }

    /// How many numbers a picture has there.
    pub fn width_of(&self, layer: Layer) -> usize {
        match layer {
            Layer::Space => self.width(),
            Layer::State => self.clip.config.vision_config.hidden_size,
        }
    }

    /// `[rows, 3, S, S]` → `[rows, width]`
    fn encoded(&self, layer: Layer, pixels: &[f32], rows: usize) -> Tensor {
        parallel::inside(|| {
            let tape = Tape::no_grad(&self.params);
            match layer {
                Layer::Space => self.clip.images(&tape, pixels, rows).value(),
                Layer::State => self.clip.image_states(&tape, pixels, rows).value(),
            }
        })
    }
}

/// Pictures 0 to `n` as their pixels and nothing else, of so many a side: `[n, 3·side·side]`.
///
/// Errors: data that was written anew meanwhile.
pub fn raw_pixels(
    side: usize,
    n: usize,
    picture: impl Fn(usize) -> Result<Arc<Picture>> + Sync,
    done: impl FnMut(usize),
) -> Result<Seen> {
    let preprocess = Preprocess { size: side, ..Preprocess::default() };
    let width = preprocess.numbers();
    through(&preprocess, n, picture, width, |pixels, rows| Tensor::of([rows, width], pixels), done)
}

/// Puts pictures through `encode`, `[rows, 3, S, S]` → `[rows, width]`, some dozens at a time.
///
/// Where there are several chunks all are of one size, the last filled up with nothing: sums of another size may be added
/// in another order, and a copy of a picture, wherever it stands, shall have the same vector to the last bit.
fn through(
    preprocess: &Preprocess,
    n: usize,
    picture: impl Fn(usize) -> Result<Arc<Picture>> + Sync,
    width: usize,
    encode: impl Fn(&[f32], usize) -> Tensor,
    mut done: impl FnMut(usize),
) -> Result<Seen> {
    let (mut numbers, mut vectors, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let (chunks, picture) = (n.div_ceil(AT_ONCE), &picture);
    std::thread::scope(|scope| {
        // Each worker has every other chunk, and is at most one ahead.
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (give, take) = sync_channel(1);
                scope.spawn(move || {
                    for chunk in (worker..chunks).step_by(WORKERS) {
                        let numbers = chunk * AT_ONCE..((chunk + 1) * AT_ONCE).min(n);
                        if give.send(prepared(preprocess, numbers, picture)).is_err() {
                            return; // nobody waits for it any more
                        }
                    }
                });
                take
            })
            .collect();
        for chunk in 0..chunks {
            let next = workers[chunk % WORKERS].recv();
            let mut next = next.expect("a worker gives all of its chunks, unless reading a picture panicked");
            if !next.numbers.is_empty() {
                let rows = n.min(AT_ONCE);
                next.pixels.resize(rows * preprocess.numbers(), 0.0);
                let encoded = encode(&next.pixels, rows);
                vectors.extend_from_slice(&encoded.data()[..next.numbers.len() * width]);
            }
            numbers.extend(next.numbers);
            faults.extend(next.faults);
            if let Some(changed) = faults.iter().position(|fault| matches!(fault, Error::Changed(_))) {
                return Err(faults.swap_remove(changed));
            }
            done(((chunk + 1) * AT_ONCE).min(n));
        }
        Ok(())
    })?;
    Ok(Seen { vectors: Tensor::of([numbers.len(), width], &vectors), numbers, faults })
}

/// Pictures of these numbers as the model sees them.
fn prepared(
    preprocess: &Preprocess,
    numbers: std::ops::Range<usize>,
    picture: &impl Fn(usize) -> Result<Arc<Picture>>,
) -> Prepared {
    let mut all = Prepared::default();
    for number in numbers {
        match picture(number) {
            Ok(picture) => {
                let from = all.pixels.len();
                all.pixels.resize(from + preprocess.numbers(), 0.0);
                preprocess.apply(&picture, &mut all.pixels[from..]);
                all.numbers.push(number);
            }
            Err(fault) => all.faults.push(fault),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::clip::gallery::Gallery;
    use crate::transfer::clip::untrained;

    #[test]
    fn a_copy_of_a_picture_has_the_same_vector_to_the_last_bit_wherever_it_stands() {
        let (with, gallery) = (untrained(), Gallery::scenes(7, 16));
        for n in [3, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 5] {
            // Every seventh is the same picture, and some before it cannot be read.
            let picture = |i: usize| if i % 20 == 9 { Err(Error::file("x.png", i)) } else { gallery.picture(i % 7) };
            let seen = with.pictures(Layer::Space, n, picture, |_| {}).unwrap();
            assert_eq!(seen.vectors.shape().rows(), seen.numbers.len());
            let mut first = std::collections::HashMap::new();
            for (row, number) in seen.vectors.data().chunks_exact(8).zip(&seen.numbers) {
                let bits: Vec<u32> = row.iter().map(|x| x.to_bits()).collect();
                assert_eq!(*first.entry(number % 7).or_insert(bits.clone()), bits, "{number} of {n}");
            }
        }
    }

    #[test]
    fn pictures_come_in_order_and_those_that_cannot_be_read_are_left_out() {
        let (with, gallery) = (untrained(), Gallery::scenes(101, 16));
        let picture = |i: usize| if i % 50 == 7 { Err(Error::file("x.png", i)) } else { gallery.picture(i) };
        let mut told = 0;
        let seen = with.pictures(Layer::Space, 101, picture, |done| told = done).unwrap();
        assert_eq!((told, seen.numbers.len(), seen.vectors.shape().to_vec()), (101, 99, vec![99, 8]));
        assert_eq!((seen.faults.len(), seen.faults[1].to_string()), (2, "x.png: 57".to_owned()));
        for (row, &number) in seen.numbers.iter().enumerate().step_by(9) {
            let alone = with.picture(Layer::Space, &gallery.picture(number).unwrap());
            let together = &seen.vectors.data()[8 * row..8 * row + 8];
            assert!(alone.data().iter().zip(together).all(|(a, b)| (a - b).abs() < 1e-5), "{number}");
            assert!((together.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let none = with.pictures(Layer::State, 3, |_| Err(Error::file("x", "y")), |_| {}).unwrap();
        let changed = with.pictures(
            Layer::State,
            300,
            |i| if i == 60 { Err(Error::Changed("s.tar".into())) } else { gallery.picture(0) },
            |_| {},
        );
        assert!(changed.unwrap_err().to_string().starts_with("s.tar: it was written anew"));
        assert_eq!((none.vectors.shape().to_vec(), none.faults.len()), (vec![0, 16], 3));
    }
}
