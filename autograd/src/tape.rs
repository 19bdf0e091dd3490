//! The tape: what was computed, in order, so that it can be differentiated by walking back.
//!
//! A forward pass appends nodes. Each holds its value and the operation that made it, and an operation names its
//! inputs by their place on the tape. Inputs stand before outputs, so one walk from the end meets every node after
//! all its uses: by then its gradient is complete (reverse-mode differentiation, Linnainmaa 1970).
//!
//! A [`Var`] is a handle, a tape and a place on it. It is `Copy`, so formulas read as formulas: `x + f(x)`.
//!
//! What is here records; `backward` is the walk.

mod backward;

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::sync::Mutex;

use tensor::matmul::Precision;
use tensor::{Float, Shape, Tensor};

use crate::ops::{Op, Reads, Recompute};
use crate::params::{ParamId, Params};
use crate::profile::{Pass, Profile};

pub(crate) use backward::Grads;

/// A node's place on the tape.
pub(crate) type Id = usize;

pub(crate) struct Node<T: Float> {
    pub op: Op<T>,
    pub shape: Shape,
    /// Empty once it was given back; then it is computed again when it is asked for.
    pub value: OnceCell<Tensor<T>>,
    /// Whether some backward pass reads the value.
    pub read: bool,
    /// Whether anything that wants a gradient stands behind this node.
    pub needs_grad: bool,
}

/// The empty lists of tapes that are done, to be written on again: a training step makes as many nodes as the last.
pub(crate) struct SpareTapes<T: Float>(Mutex<Vec<Lists<T>>>);

type Lists<T> = (Vec<Node<T>>, Slots<T>);

/// Gradients by place on the tape.
type Slots<T> = Vec<Option<Tensor<T>>>;

impl<T: Float> Default for SpareTapes<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// A copy of parameters has tapes of its own.
impl<T: Float> Clone for SpareTapes<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T: Float> fmt::Debug for SpareTapes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpareTapes")
    }
}

impl<T: Float> SpareTapes<T> {
    fn take(&self) -> Lists<T> {
        self.0.lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default()
    }

    fn give(&self, nodes: Vec<Node<T>>, slots: Slots<T>) {
        if let Ok(mut spare) = self.0.lock() {
            spare.push((nodes, slots));
        }
    }
}

/// Everything computed since it was made. Borrows the parameters: they cannot change while a graph over them lives.
pub struct Tape<'p, T: Float = f32> {
    params: &'p Params<T>,
    nodes: RefCell<Vec<Node<T>>>,
    /// For the walk back.
    slots: Cell<Slots<T>>,
    records: bool,
    precision: Precision,
    recompute: bool,
    profile: Option<&'p Profile>,
    dropout: Option<DropoutKey>,
    /// Whether the walk back was made, which gives the values back.
    differentiated: Cell<bool>,
}

/// What makes dropout's masks different at every step and the same in every repetition of it.
#[derive(Clone, Copy, Debug)]
pub struct DropoutKey {
    /// The run's seed.
    pub seed: u64,
    /// The training step, or whatever else has masks of its own.
    pub step: u64,
    /// Which row of the whole batch this tape's first row is: micro-batches see the masks of the whole batch.
    pub first_row: u64,
}

/// A value on a tape.
pub struct Var<'t, T: Float = f32> {
    pub(crate) tape: &'t Tape<'t, T>,
    pub(crate) id: Id,
}

impl<T: Float> Clone for Var<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Float> Copy for Var<'_, T> {}

impl<'p, T: Float> Tape<'p, T> {
    /// An empty tape that records: what is computed on it can be differentiated.
    pub fn new(params: &'p Params<T>) -> Self {
        let (nodes, slots) = params.spare.take();
        Self {
            params,
            nodes: RefCell::new(nodes),
            slots: Cell::new(slots),
            records: true,
            precision: Precision::Full,
            recompute: false,
            profile: None,
            dropout: None,
            differentiated: Cell::new(false),
        }
    }

    /// An empty tape that keeps no graph: for evaluation and use.
    pub fn no_grad(params: &'p Params<T>) -> Self {
        let mut tape = Self::new(params);
        tape.records = false;
        tape
    }

    /// The same tape with dropout switched on, its masks keyed as given.
    #[must_use]
    pub fn with_dropout(mut self, key: DropoutKey) -> Self {
        self.dropout = Some(key);
        self
    }

    /// The same tape with matrix products of this precision, forward and backward.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// The same tape, on which a [`scope`](Tape::scope) keeps its result alone: backward computes what it needs of the
    /// others again, once more a forward pass (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
    #[must_use]
    pub fn with_recomputation(mut self, recompute: bool) -> Self {
        self.recompute = recompute;
        self
    }

    /// The same tape with its operations timed.
    #[must_use]
    pub fn with_profile(mut self, profile: Option<&'p Profile>) -> Self {
        self.profile = profile;
        self
    }

    pub(crate) fn dropout(&self) -> Option<DropoutKey> {
        self.dropout
    }

    /// A parameter as a value on the tape. Its numbers stay in the store; its gradient goes to the store's gradient.
    pub fn param(&self, id: ParamId) -> Var<'_, T> {
        self.push(Op::Param(id), Tensor::zeros([0]), self.records)
    }

    /// An input whose gradient can be asked for, with [`Var::gradients`].
    pub fn variable(&self, value: Tensor<T>) -> Var<'_, T> {
        self.push(Op::Leaf, value, self.records)
    }

    /// An input without a gradient.
    pub fn constant(&self, value: Tensor<T>) -> Var<'_, T> {
        self.push(Op::Leaf, value, false)
    }

    /// Runs `body`, one block of a model, of whose values only the result is used outside. What no backward pass reads,
    /// and what is cheaply computed again, is given back; all else too on a tape without a graph, or with recomputation.
    /// Places on the tape stay as they are, so dropout's masks are the same in all these cases.
    pub fn scope<'t>(&'t self, body: impl FnOnce() -> Var<'t, T>) -> Var<'t, T> {
        let start = self.len();
        let result = body();
        let mut nodes = self.nodes.borrow_mut();
        for (_, node) in nodes.iter_mut().enumerate().skip(start).filter(|(id, _)| *id != result.id) {
            let cost = node.op.recomputes();
            if !node.read || cost == Recompute::Cheap || self.recompute && cost == Recompute::Costly {
                node.value.take();
            }
        }
        result
    }

    /// Appends the result of an operation. `op` is built, and what it saves kept, only if an input wants a gradient.
    pub(crate) fn record<'t>(&'t self, value: Tensor<T>, inputs: &[Id], op: impl FnOnce() -> Op<T>) -> Var<'t, T> {
        let needs_grad = inputs.iter().any(|&id| self.nodes.borrow()[id].needs_grad);
        let op = if needs_grad { op() } else { Op::Leaf };
        if matches!(op.reads(), Reads::Inputs | Reads::Both) {
            inputs.iter().for_each(|&id| self.nodes.borrow_mut()[id].read = true);
        }
        if let Some(profile) = self.profile {
            profile.end(op.name(), Pass::Forward, self.read(|at| op.flops(at)));
        }
        self.push(op, value, needs_grad)
    }

    fn push(&self, op: Op<T>, value: Tensor<T>, needs_grad: bool) -> Var<'_, T> {
        let mut nodes = self.nodes.borrow_mut();
        let read = matches!(op.reads(), Reads::Output | Reads::Both);
        nodes.push(Node { op, shape: value.shape(), value: OnceCell::from(value), read, needs_grad });
        Var { tape: self, id: nodes.len() - 1 }
    }

    /// How many nodes stand on the tape.
    pub fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    /// Whether nothing was computed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Computes something from the values so far: an operation's forward pass.
    pub(crate) fn read<R>(&self, forward: impl FnOnce(&Values<T>) -> R) -> R {
        forward(&Values { nodes: &self.nodes.borrow(), params: self.params, precision: self.precision })
    }
}

impl<T: Float> Drop for Tape<'_, T> {
    fn drop(&mut self) {
        let (mut nodes, mut slots) = (self.nodes.take(), self.slots.take());
        nodes.clear();
        slots.clear();
        self.params.spare.give(nodes, slots);
    }
}

/// Read access to nodes' values, in forward and backward passes alike.
pub(crate) struct Values<'a, T: Float> {
    nodes: &'a [Node<T>],
    params: &'a Params<T>,
    /// That of the matrix products.
    pub precision: Precision,
}

impl<'a, T: Float> Values<'a, T> {
    /// The numbers of node `id`: on the tape, or in the store if it is a parameter.
    pub fn data(&self, id: Id) -> &'a [T] {
        match &self.nodes[id] {
            Node { op: Op::Param(p), .. } => self.params.value(*p),
            node => node.value.get_or_init(|| node.op.recompute(self)).data(),
        }
    }

    /// The numbers of node `id` at half the width, if it is a parameter whose store keeps them, and whether they are turned.
    pub fn half(&self, id: Id) -> Option<(&'a [T::Half], bool)> {
        let Op::Param(p) = self.nodes[id].op else { return None };
        self.params.half(p)
    }

    /// The shape of node `id`.
    pub fn shape(&self, id: Id) -> Shape {
        match &self.nodes[id] {
            Node { op: Op::Param(p), .. } => self.params.shape(*p),
            node => node.shape,
        }
    }

    /// In a backward pass, the numbers of the operation's own output.
    pub fn output(&self) -> &'a [T] {
        self.data(self.nodes.len() - 1)
    }
}

impl<'t, T: Float> Var<'t, T> {
    /// The tape that this value stands on.
    pub fn tape(self) -> &'t Tape<'t, T> {
        self.tape
    }

    /// The lengths of the value's dimensions.
    pub fn shape(self) -> Shape {
        self.tape.read(|at| at.shape(self.id))
    }

    /// A copy of the value.
    pub fn value(self) -> Tensor<T> {
        self.tape.read(|at| Tensor::of(at.shape(self.id), at.data(self.id)))
    }

    /// The value of a single number, such as a loss. Panics if there are more or none.
    #[track_caller]
    pub fn item(self) -> T {
        self.value().item()
    }
}
