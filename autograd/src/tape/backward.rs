//! The walk back: from a single number to the gradient of everything that it was computed from.
//!
//! Inputs stand before outputs on the tape. So the walk meets a node only after all its uses, each of which has added its part
//! to the node's gradient: what has gathered by then is ∂L/∂node, and the node's own operation passes it on to its inputs.

use tensor::matmul::Start;
use tensor::{Float, Tensor};

use super::{Id, Node, Slots, Values, Var};
use crate::gradients::Gradients;
use crate::ops::{Op, Reads};
use crate::profile::Pass;

/// Write access to gradients in a backward pass. Operations add to them, and write whole only what
/// nothing was added to yet ([`Self::product`]): a value may have many uses.
pub(crate) struct Grads<'a, T: Float> {
    slots: &'a mut [Option<Tensor<T>>],
    nodes: &'a [Node<T>],
    store: Option<&'a mut Gradients<T>>,
}

impl<T: Float> Grads<'_, T> {
    /// Whether node `id` wants a gradient.
    pub fn wanted(&self, id: Id) -> bool {
        self.nodes[id].needs_grad
    }

    /// The gradient of `id`, to be added to: zeros at first. `None` if it wants none.
    pub fn of(&mut self, id: Id) -> Option<&mut [T]> {
        let node = &self.nodes[id];
        if !node.needs_grad {
            return None;
        }
        if let Op::Param(p) = node.op {
            return self.store.as_mut().map(|store| store.of_mut(p));
        }
        Some(self.slots[id].get_or_insert_with(|| Tensor::zeros(node.shape)).data_mut())
    }

    /// Where a matrix product that is part of the gradient of `id` goes, and what it is added to: nothing, if it is the
    /// first. `None` if `id` wants no gradient.
    pub fn product(&mut self, id: Id) -> Option<(&mut [T], Start<'static, T>)> {
        let node = &self.nodes[id];
        if !node.needs_grad {
            return None;
        }
        let (gradient, there) = match node.op {
            Op::Param(p) => self.store.as_mut()?.first(p),
            _ => {
                let there = self.slots[id].is_some();
                (self.slots[id].get_or_insert_with(|| Tensor::scratch(node.shape)).data_mut(), there)
            }
        };
        Some((gradient, if there { Start::There } else { Start::Zero }))
    }

    /// Adds a whole tensor to the gradient of `id`. The first one given becomes the gradient; nothing is copied.
    pub fn give(&mut self, id: Id, gradient: Tensor<T>) {
        let node = &self.nodes[id];
        if !node.needs_grad {
            return;
        }
        if matches!(node.op, Op::Param(_)) || self.slots[id].is_some() {
            if let Some(sum) = self.of(id) {
                tensor::elementwise::add(sum, gradient.data());
            }
        } else {
            self.slots[id] = Some(gradient.reshaped(node.shape));
        }
    }
}

impl<'t, T: Float> Var<'t, T> {
    /// Adds ∂self/∂p to the gradient of every parameter p. `self` is a single number.
    ///
    /// The walk gives every value and gradient on the tape back as soon as it has been used, all but leaves and
    /// `self`: a tape is differentiated once.
    #[track_caller]
    pub fn backward(self, store: &mut Gradients<T>) {
        let slots = self.walk(Some(store));
        self.tape.slots.set(slots);
    }

    /// ∂self/∂x for every x in `of`, which are [variables](super::Tape::variable); of a constant, zeros. `self` is a single
    /// number. Panics for a value in between: its gradient was given back on the way. As [`Self::backward`], once a tape.
    #[track_caller]
    pub fn gradients(self, of: &[Var<'t, T>]) -> Vec<Tensor<T>> {
        self.gradients_and(None, of)
    }

    /// Both in one walk: [`Self::backward`] into `store`, if there is one, and [`Self::gradients`].
    #[track_caller]
    pub fn gradients_and(self, store: Option<&mut Gradients<T>>, of: &[Var<'t, T>]) -> Vec<Tensor<T>> {
        let is_leaf = |x: &Var<'t, T>| matches!(self.tape.nodes.borrow()[x.id].op, Op::Leaf);
        assert!(of.iter().all(is_leaf), "gradients: asked for that of a value that is no variable");
        let slots = self.walk(store);
        let gradient = |x: &Var<'t, T>| slots.get(x.id).cloned().flatten();
        of.iter().map(|x| gradient(x).unwrap_or_else(|| Tensor::zeros(x.shape()))).collect()
    }

    #[track_caller]
    fn walk(self, mut store: Option<&mut Gradients<T>>) -> Slots<T> {
        assert_eq!(self.shape().elements(), 1, "backward starts from a single number, not from {}", self.shape());
        assert!(
            !self.tape.differentiated.replace(true),
            "backward: this tape was differentiated before and has given its values back; add the losses up first"
        );
        let mut nodes = self.tape.nodes.borrow_mut();
        let mut slots = self.tape.slots.take();
        slots.resize_with(self.id + 1, || None);
        slots[self.id] = Some(Tensor::filled(nodes[self.id].shape, T::ONE));
        for id in (0..=self.id).rev() {
            if matches!(nodes[id].op, Op::Leaf | Op::Param(_)) {
                continue;
            }
            let Some(dy) = slots[id].take() else { continue };
            // Whatever was computed from this value is done with it. Given back before its own operation's turn, its memory is
            // there for the gradients that this makes.
            let reads_output = matches!(nodes[id].op.reads(), Reads::Output | Reads::Both);
            if !reads_output && id != self.id {
                nodes[id].value.take();
            }
            let values = Values { nodes: &nodes[..=id], params: self.tape.params, precision: self.tape.precision };
            let mut grads = Grads { slots: &mut slots, nodes: &nodes, store: store.as_deref_mut() };
            nodes[id].op.backward(&values, dy, &mut grads);
            if let Some(profile) = self.tape.profile {
                profile.end(nodes[id].op.name(), Pass::Backward, 2.0 * nodes[id].op.flops(&values));
            }
            nodes[id].op = Op::Leaf; // what it saved goes back to the pool
            if id != self.id {
                nodes[id].value.take();
            }
        }
        slots
    }
}
