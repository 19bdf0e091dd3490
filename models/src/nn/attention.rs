//! Self-attention: every position looks at others and takes from them what it asks for.
//!
//! Training runs over whole rows at once. Generation adds one token at a time and would compute the same keys and
//! values again and again, so it keeps them: [`Cache`].

use autograd::Scope;
use tensor::Tensor;

use super::{BlockConfig, Linear, Value};

/// Self-attention of H heads (Vaswani et al. 2017, section 3.2), causal as in GPT or over the whole text as in BERT.
#[derive(Clone, Debug)]
pub struct Attention {
    qkv: Linear, // C → 3C: queries, keys and values of all heads, side by side
    out: Linear, // C → C
    heads: usize,
    causal: bool,
    dropout: f64,
}

impl Attention {
    /// The attention layer of one block.
    pub fn new(c: &BlockConfig, mut at: Scope) -> Self {
        let (s, w) = (c.style, c.width);
        let qkv = match s.qkv {
            [name] => s.linear(w, 3 * w, c.deviation, at.enter(name)),
            names => Linear::stacked(names, w, 3 * w, c.deviation, at.here()),
        };
        Self {
            qkv,
            out: s.linear(w, w, c.residual_deviation(), at.enter(s.attn_out)),
            heads: c.heads,
            causal: s.causal,
            dropout: c.attn_dropout,
        }
    }

    /// What each position takes from those that it sees: `[B, T, C]` → `[B, T, C]`. `position_ids` are those of
    /// [`Var::attention`](autograd::Var::attention).
    pub fn gather<'t>(&self, x: Value<'t>, position_ids: Option<&[u32]>) -> Value<'t> {
        let qkv = self.qkv.forward(x); // [B, T, 3C]
        qkv.attention(self.heads, self.causal, position_ids, self.dropout)
    }

    /// What it adds to the stream, of what was gathered: `[…, C]` → `[…, C]`, every position by itself.
    pub fn out<'t>(&self, gathered: Value<'t>) -> Value<'t> {
        self.out.forward(gathered)
    }

    /// Both for one row that continues what the cache holds: `[1, T, C]` → `[1, T, C]`.
    pub fn extend<'t>(&self, x: Value<'t>, cache: &mut Cache) -> Value<'t> {
        let qkv = self.qkv.forward(x).value(); // [1, T, 3C]
        let y = cache.attend(&qkv, self.heads); // [1, T, C]
        self.out.forward(x.tape().constant(y))
    }
}

/// The keys and values of the positions so far, of one layer.
#[derive(Clone, Debug)]
pub struct Cache {
    keys: Tensor,   // [room, C]
    values: Tensor, // [room, C]
    len: usize,
    block: usize,
}

impl Cache {
    /// An empty cache for at most `block` positions, which takes memory as they come.
    pub fn new(block: usize, width: usize) -> Self {
        let few = block.min(64);
        Self { keys: Tensor::zeros([few, width]), values: Tensor::zeros([few, width]), len: 0, block }
    }

    /// Makes room for `len` positions: twice as much as there was, if that is enough.
    fn reserve(&mut self, len: usize) {
        let (room, width) = (self.keys.shape().rows(), self.keys.shape().cols());
        if len <= room {
            return;
        }
        let more = (2 * room).min(self.block).max(len);
        for rows in [&mut self.keys, &mut self.values] {
            let mut larger = Tensor::zeros([more, width]);
            larger.data_mut()[..rows.data().len()].copy_from_slice(rows.data());
            *rows = larger;
        }
    }

    /// How many positions it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all positions.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends T positions from their projection `[1, T, 3C]` and lets each look at all up to itself: `[1, T, C]`.
    fn attend(&mut self, qkv: &Tensor, heads: usize) -> Tensor {
        let (time, width) = (qkv.shape().rows(), qkv.shape().cols() / 3);
        self.reserve(self.len + time);
        for row in qkv.data().chunks_exact(3 * width) {
            let place = self.len * width..(self.len + 1) * width;
            self.keys.data_mut()[place.clone()].copy_from_slice(&row[width..2 * width]);
            self.values.data_mut()[place].copy_from_slice(&row[2 * width..]);
            self.len += 1;
        }
        let mut y = Tensor::scratch([1, time, width]);
        let first = self.len - time;
        let (keys, values) = (self.keys.data(), self.values.data());
        tensor::decode::attend(y.data_mut(), qkv.data(), keys, values, width, heads, first);
        y
    }
}
