//! Where parameters live: one flat buffer of values, with the names of the checkpoint.
//!
//! The optimiser and a checkpoint are then each one pass over contiguous memory. A layer holds handles ([`ParamId`]); using one
//! handle twice is weight tying.

use std::convert::Infallible;
use std::fmt::Display;
use std::ops::Range;

use tensor::parallel::chunks;
use tensor::pool::{Buffer, Pooled};
use tensor::random::{Random, Stream};
use tensor::{Float, Shape};

use crate::tape::SpareTapes;

/// A handle to one parameter of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId(pub(crate) usize);

/// What a parameter holds before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zeros (biases).
    Zeros,
    /// All ones (the gain of a norm).
    Ones,
    /// All the same.
    Filled(f64),
    /// Normal numbers with mean 0 and this deviation.
    Normal(f64),
}

#[derive(Clone, Debug)]
struct Entry {
    /// What its tensors are called: one, or several that stand on one another here and apart in the checkpoint.
    names: Vec<String>,
    shape: Shape,
    init: Init,
    place: Range<usize>,
}

/// Every parameter of a model: values in one buffer, each found by its handle or its name.
#[derive(Clone, Debug)]
pub struct Params<T: Float = f32> {
    entries: Vec<Entry>,
    values: Buffer<T>,
    /// The same values at half the width, if they are kept.
    half: Option<Halves<T>>,
    /// What the last tape over them was written on, for the next.
    pub(crate) spare: SpareTapes<T>,
}

/// All values rounded to bf16, for generation.
#[derive(Clone, Debug)]
struct Halves<T: Float> {
    values: Pooled<T::Half>,
    /// Which matrices `[I, O]` stand here as `[O, I]`.
    turned: Vec<ParamId>,
}

/// One tensor of the checkpoint: a parameter, or a part of one.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// The parameter.
    pub id: ParamId,
    /// The tensor's name in the checkpoint.
    pub name: &'a str,
    /// Its shape there.
    pub shape: Shape,
    /// Its place in the flat buffers.
    pub place: Range<usize>,
}

/// Each parameter starts at a multiple of this, a cache line of f32: kernels then read whole vectors.
pub(crate) const ALIGN: usize = 16;

/// A place in the tree of names while a model is built: `h.0.ln_1`.
pub struct Scope<'a> {
    entries: &'a mut Vec<Entry>,
    prefix: String,
}

impl Scope<'_> {
    /// The scope `name` inside this one.
    pub fn enter(&mut self, name: impl Display) -> Scope<'_> {
        Scope { prefix: format!("{}{name}.", self.prefix), entries: &mut *self.entries }
    }

    /// This scope, lent.
    pub fn here(&mut self) -> Scope<'_> {
        Scope { prefix: self.prefix.clone(), entries: &mut *self.entries }
    }

    /// A new parameter `name` in this scope.
    pub fn param(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> ParamId {
        self.stacked(&[name], shape, init)
    }

    /// A new parameter that the checkpoint holds as several tensors of equal shape, one after another: this is all of them,
    /// so that one product serves them all. `shape` is that of the whole.
    #[track_caller]
    pub fn stacked(&mut self, names: &[impl Display], shape: impl Into<Shape>, init: Init) -> ParamId {
        let shape = shape.into();
        assert!(
            shape.first().copied().unwrap_or(1).is_multiple_of(names.len()),
            "stacked: {shape} is not {} parts",
            names.len()
        );
        let start = self.entries.last().map_or(0, |last| last.place.end.next_multiple_of(ALIGN));
        let place = start..start + shape.elements();
        let names = names.iter().map(|name| format!("{}{name}", self.prefix)).collect();
        self.entries.push(Entry { names, shape, init, place });
        ParamId(self.entries.len() - 1)
    }
}

impl Params<f32> {
    /// Builds a model and the store of its parameters, initialised from `seed`.
    pub fn build<M>(seed: u64, model: impl FnOnce(Scope) -> M) -> (M, Self) {
        let (model, mut params) = Self::build_zeroed(model);
        params.initialise(seed);
        (model, params)
    }

    /// Builds a model and a store full of zeros, to be filled from a checkpoint.
    pub fn build_zeroed<M>(model: impl FnOnce(Scope) -> M) -> (M, Self) {
        let Ok(built) = Self::build_checked(model, |_| Ok::<_, Infallible>(()));
        built
    }

    /// The same if `check` agrees to the names and shapes, before memory is taken for the values.
    pub fn build_checked<M, E>(
        model: impl FnOnce(Scope) -> M,
        check: impl FnOnce(&Self) -> Result<(), E>,
    ) -> Result<(M, Self), E> {
        let mut params = Self::default();
        let model = model(Scope { entries: &mut params.entries, prefix: String::new() });
        check(&params)?;
        params.values = Buffer::zeros(params.entries.last().map_or(0, |last| last.place.end.next_multiple_of(ALIGN)));
        Ok((model, params))
    }

    /// Keeps all values at half the width too, rounded to bf16: generation with [`Precision::Bf16`](
    /// tensor::matmul::Precision) then reads half as much for each token. Changed values ask for it anew.
    ///
    /// The matrices in `turned`, stored as `[I, O]`, are kept as `[O, I]`. The product of a single row with them is then a
    /// dot product for each stored row, which reads memory from end to end and writes next to nothing: nearly twice as
    /// fast as adding up scaled rows, where a processor waits for its own writes.
    pub fn halve(&mut self, turned: Vec<ParamId>) {
        let mut values = Pooled::scratch(self.values.len());
        values.iter_mut().zip(self.values.iter()).for_each(|(half, x)| *half = x.half());
        for &id in &turned {
            let (x, cols) = (self.value(id), self.shape(id).cols());
            let rows = x.len() / cols.max(1);
            // Sixteen stored rows are columns of one cache line.
            chunks(&mut values[self.place(id)], 16 * rows, |at, half| {
                for i in 0..rows {
                    let line = &x[i * cols + at / rows..];
                    half[i..].iter_mut().step_by(rows).zip(line).for_each(|(half, x)| *half = x.half());
                }
            });
        }
        self.half = Some(Halves { values, turned });
    }

    /// Sets every parameter to its initial value, a function of (seed, parameter, index).
    fn initialise(&mut self, seed: u64) {
        for (i, entry) in self.entries.iter().enumerate() {
            let values = &mut self.values[entry.place.clone()];
            match entry.init {
                Init::Zeros => values.fill(0.0),
                Init::Ones => values.fill(1.0),
                Init::Filled(x) => values.fill(x as f32),
                // A normal number takes four 32-bit draws, so part `at` of the stream starts at draw 4·at.
                Init::Normal(deviation) => chunks(values, tensor::parallel::GRAIN, |at, part| {
                    let mut random = Random::new(seed, Stream::Init, i as u64).at(4 * at as u64);
                    part.iter_mut().for_each(|x| *x = (deviation * random.normal()) as f32);
                }),
            }
        }
    }
}

impl<T: Float> Default for Params<T> {
    /// A store without parameters, for computations on variables alone.
    fn default() -> Self {
        Self { entries: Vec::new(), values: Buffer::zeros(0), half: None, spare: SpareTapes::default() }
    }
}

impl<T: Float> Params<T> {
    /// The same parameters in another precision: how a whole model's gradient is checked in f64.
    pub fn cast<U: Float>(&self) -> Params<U> {
        let mut values = Buffer::zeros(self.values.len());
        values.iter_mut().zip(self.values.iter()).for_each(|(y, x)| *y = U::of(x.f64()));
        Params { entries: self.entries.clone(), values, half: None, spare: SpareTapes::default() }
    }

    /// Every handle, in the order in which the model made them.
    pub fn ids(&self) -> impl Iterator<Item = ParamId> + use<T> {
        (0..self.entries.len()).map(ParamId)
    }

    /// The parameter that is, or begins with, the checkpoint's tensor of this name.
    pub fn find(&self, name: &str) -> Option<ParamId> {
        self.entries.iter().position(|entry| entry.names[0] == name).map(ParamId)
    }

    /// The parameter's name in the checkpoint; of several tensors, the first's.
    pub fn name(&self, id: ParamId) -> &str {
        &self.entries[id.0].names[0]
    }

    /// Every tensor of the checkpoint, in the order of the store.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.entries.iter().enumerate().flat_map(|(i, entry)| {
            let lengths: Vec<usize> = entry.shape.iter().copied().collect();
            let (parts, size) = (entry.names.len(), entry.place.len() / entry.names.len());
            entry.names.iter().enumerate().map(move |(part, name)| {
                // A single number has no length to divide.
                let lengths: Vec<usize> =
                    lengths.iter().enumerate().map(|(i, n)| if i == 0 { n / parts } else { *n }).collect();
                let start = entry.place.start + part * size;
                Piece { id: ParamId(i), name, shape: Shape::from(&lengths[..]), place: start..start + size }
            })
        })
    }

    /// The parameter's shape.
    pub fn shape(&self, id: ParamId) -> Shape {
        self.entries[id.0].shape
    }

    /// The parameter's numbers, row by row.
    pub fn value(&self, id: ParamId) -> &[T] {
        &self.values[self.entries[id.0].place.clone()]
    }

    /// Whether [`Params::halve`] was asked for, and nothing changed since.
    pub fn halved(&self) -> bool {
        self.half.is_some()
    }

    /// The parameter's numbers at half the width, if [`Params::halve`] keeps them, and whether it has turned them.
    pub fn half(&self, id: ParamId) -> Option<(&[T::Half], bool)> {
        let half = self.half.as_ref()?;
        Some((&half.values[self.place(id)], half.turned.contains(&id)))
    }

    /// The parameter's numbers, to be changed.
    pub fn value_mut(&mut self, id: ParamId) -> &mut [T] {
        self.half = None;
        &mut self.values[self.entries[id.0].place.clone()]
    }

    /// Takes the values of all parameters that another store has under the same name and with the same shape.
    pub fn adopt(&mut self, from: &Self) {
        for id in self.ids() {
            if let Some(same) = from.find(self.name(id)).filter(|&same| from.shape(same) == self.shape(id)) {
                self.value_mut(id).copy_from_slice(from.value(same));
            }
        }
    }

    /// All values in one slice, with a few unused numbers between parameters.
    pub fn flat(&self) -> &[T] {
        &self.values
    }

    /// All values in one slice, to be changed.
    pub fn flat_mut(&mut self) -> &mut [T] {
        self.half = None;
        &mut self.values
    }

    /// How many numbers the model learns.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|entry| entry.place.len()).sum()
    }

    /// A parameter's place in the flat buffers.
    pub fn place(&self, id: ParamId) -> Range<usize> {
        self.entries[id.0].place.clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A store of two parameters.
    pub(crate) fn store() -> ([ParamId; 2], Params) {
        Params::build(1, |mut at| {
            let ln = at.enter("h").enter(0).enter("ln_1").param("weight", [3], Init::Ones);
            [ln, at.param("wte", [5, 7], Init::Normal(0.02))]
        })
    }

    #[test]
    fn parameters_are_found_by_their_full_name() {
        let ([ln, w], params) = store();
        assert_eq!(params.find("h.0.ln_1.weight"), Some(ln));
        assert_eq!(params.name(w), "wte");
        assert_eq!(params.count(), 38);
        assert_eq!(params.place(w), 16..51);
    }

    #[test]
    fn initial_values_do_not_depend_on_the_number_of_threads() {
        let build = || Params::build(9, |mut at| at.param("w", [400, 300], Init::Normal(1.0))).1;
        let [one, three] = [1, 3].map(|threads| tensor::parallel::with_threads(threads, build));
        assert_eq!(one.flat(), three.flat());
    }

    #[test]
    fn every_parameter_and_every_seed_has_initial_values_of_its_own() {
        let build =
            |seed| Params::build(seed, |mut at| ["a", "b"].map(|name| at.param(name, [400, 100], Init::Normal(0.02))));
        let (([a, b], one), (_, two)) = (build(1), build(2));
        assert_ne!(one.value(a), one.value(b));
        assert_ne!(one.value(a), two.value(a));
        let x = one.value(b);
        let deviation = (x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64).sqrt();
        assert!((deviation - 0.02).abs() < 0.0005, "{deviation}");
        // A later chunk does not repeat the first.
        assert_ne!(x[..100], x[tensor::parallel::GRAIN..tensor::parallel::GRAIN + 100]);
    }

    #[test]
    fn a_store_takes_what_another_has_under_the_same_name_and_shape_and_nothing_else() {
        let build = |seed, head: usize| {
            let normal = Init::Normal(1.0);
            Params::build(seed, |mut at| {
                [
                    at.param("wte", [4, 3], normal),
                    at.param("head", [head, 3], normal),
                    at.param(if seed == 1 { "mine" } else { "theirs" }, [2, 2], normal),
                ]
            })
        };
        let (([wte, head, mine], mut params), (_, from)) = (build(1, 5), build(2, 6));
        let before = params.clone();
        params.adopt(&from);
        assert_eq!(params.value(wte), from.value(from.find("wte").unwrap()));
        assert_ne!(params.value(wte), before.value(wte));
        assert_eq!([head, mine].map(|id| params.value(id)), [head, mine].map(|id| before.value(id)));
    }

    #[test]
    fn halved_values_are_the_values_and_turned_where_that_was_asked_for() {
        let ([a, b], mut params) =
            Params::build(1, |mut at| ["a", "b"].map(|name| at.param(name, [3, 37], Init::Normal(1.0))));
        params.halve(vec![b]);
        let half = |id| {
            let (half, turned) = params.half(id).unwrap();
            (half.iter().map(|x| x.to_f32()).collect::<Vec<_>>(), turned)
        };
        let rounded =
            |id| params.value(id).iter().map(|x| tensor::half::bf16::from_f32(*x).to_f32()).collect::<Vec<_>>();
        assert_eq!(half(a), (rounded(a), false));
        let turned: Vec<f32> =
            (0..37).flat_map(|j| (0..3).map(move |i| (i, j))).map(|(i, j)| rounded(b)[i * 37 + j]).collect();
        assert_eq!(half(b), (turned, true));
    }
}
