#!/usr/bin/env python3
"""nanoGPT's recipe for Shakespeare on a processor, in PyTorch: what the README sets the `char` preset beside.

    python nanogpt.py input.txt [THREADS [SEED]]        (needs torch)

The model, initial weights, optimiser, schedule, batches and evaluations are those of nanoGPT with
    train.py config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20 --block_size=64 --batch_size=12
    --n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0
Prints the estimates on the way as nanoGPT does (20 random batches), the time of the loop, and at the end the loss over the
whole validation part in rows of 64, as `pretext train` computes it.
"""
import math
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYERS, HEADS, WIDTH, BLOCK, BATCH, STEPS, WARMUP, LR, MIN_LR = 4, 4, 128, 64, 12, 2000, 100, 1e-3, 1e-4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.attn, self.attn_out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.mlp_out = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (h.view(b, t, HEADS, c // HEADS).transpose(1, 2) for h in self.attn(self.ln_1(x)).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp_out(F.gelu(self.up(self.ln_2(x))))


class Gpt(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.blocks, self.ln_f = nn.ModuleList(Block() for _ in range(LAYERS)), nn.LayerNorm(WIDTH, bias=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * LAYERS) if "_out" in name else 0.02)

    def loss(self, x, y):
        h = self.tokens(x) + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            h = block(h)
        logits = self.ln_f(h) @ self.tokens.weight.t()
        return F.cross_entropy(logits.flatten(0, 1), y.flatten())


torch.manual_seed(int(sys.argv[3]) if len(sys.argv) > 3 else 1337)
torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 2)
text = open(sys.argv[1], encoding="utf-8").read()
ids = {c: i for i, c in enumerate(sorted(set(text)))}
data = torch.tensor([ids[c] for c in text])
train, valid = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]


def batch(part):
    at = torch.randint(len(part) - BLOCK, (BATCH,))
    return torch.stack([part[i : i + BLOCK] for i in at]), torch.stack([part[i + 1 : i + 1 + BLOCK] for i in at])


model = Gpt(len(ids))
groups = [
    dict(params=[p for p in model.parameters() if p.dim() >= 2], weight_decay=0.1),
    dict(params=[p for p in model.parameters() if p.dim() < 2], weight_decay=0.0),
]
optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.99), fused=True)
start = time.perf_counter()
for step in range(STEPS + 1):
    fallen = 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))
    for group in optimizer.param_groups:
        group["lr"] = LR * (step + 1) / (WARMUP + 1) if step < WARMUP else MIN_LR + fallen * (LR - MIN_LR)
    if step % 250 == 0:
        with torch.no_grad():
            estimates = [sum(model.loss(*batch(part)).item() for _ in range(20)) / 20 for part in (train, valid)]
        print(f"step {step}: train loss {estimates[0]:.4f}, val loss {estimates[1]:.4f}, {time.perf_counter() - start:.1f} s")
    if step == STEPS:
        break
    loss = model.loss(*batch(train))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()

with torch.no_grad():
    n = (len(valid) - 1) // BLOCK * BLOCK
    rows = [(valid[i : i + BLOCK][None], valid[i + 1 : i + 1 + BLOCK][None]) for i in range(0, n, BLOCK)]
    print(f"whole validation part: {sum(model.loss(x, y).item() for x, y in rows) / len(rows):.4f} nats a character")
