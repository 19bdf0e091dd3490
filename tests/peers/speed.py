#!/usr/bin/env python3
"""How fast Pretext is beside what people use: the same work on the same cores, one after the other, several times.

    python speed.py step bert-mini clip-mini --precision f32 bf16           (needs torch)
    python speed.py generate --precision f32 bf16                           (needs transformers)
    python speed.py tokenizer wiki.txt --vocab 8192                         (needs tokenizers and tiktoken)

Prints for each work the medians of either side and the ratio, ours to theirs and so the higher the better, with the lowest
and the highest of the rounds; of memory the ratio is of the peaks, and the lower the better. Our side is `pretext bench`
(--pretext names the program), theirs this file once more in a process of its own, so that its memory is its own.

The other side of a step is what a user of PyTorch writes who cares for speed: its fused operations
(scaled_dot_product_attention, cross_entropy, layer_norm, gelu, AdamW with fused=True), autocast for bf16 over weights in
f32, gradients clipped at 1, random tokens and pixels. BERT's head runs at the hidden 15% of the positions; its
norms stand before the layers there and behind them here, which is the same work.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

# Text: tokens of the vocabulary, of a row, layers, heads, width. Of `pretext bench step --help`.
SMALL = dict(tokens=8192, row=32, layers=4, heads=4, width=256)
WORK = {
    "gpt-char": ("gpt", 12, dict(tokens=65, row=64, layers=4, heads=4, width=128)),
    "gpt-mini": ("gpt", 8, dict(tokens=4096, row=256, layers=6, heads=6, width=384)),
    "gpt2-124m": ("gpt", 4, dict(tokens=50257, row=256, layers=12, heads=12, width=768)),
    "bert-mini": ("bert", 16, SMALL | dict(row=128)),
    "bert-base": ("bert", 8, dict(tokens=30522, row=128, layers=12, heads=12, width=768)),
    "clip-mini": ("clip", 64, SMALL, dict(image=64, patch=8, layers=4, heads=4, width=256), 256),
    "clip-vit-b32": ("clip", 16, dict(tokens=49408, row=77, layers=12, heads=8, width=512),
                     dict(image=224, patch=32, layers=12, heads=12, width=768), 512),
}
WARM_UP, HIDDEN = 3, 0.15
FIGURES = {"items_per_s", "tokens_per_s", "mb_per_s", "peak_rss_mb"}


def step(a):
    """Trains for some steps in PyTorch; the seconds of each after the first few."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, heads, width):
            super().__init__()
            self.heads = heads
            self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
            self.read, self.say = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

        def forward(self, x, causal):
            split = self.read(self.norms[0](x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            heard = F.scaled_dot_product_attention(*split.unbind(0), is_causal=causal)
            x = x + self.say(heard.transpose(1, 2).flatten(2))
            return x + self.mlp(self.norms[1](x))

    class Blocks(nn.Module):
        def __init__(self, row, layers, heads, width):
            super().__init__()
            self.places = nn.Parameter(0.02 * torch.randn(row, width))
            self.blocks = nn.ModuleList(Block(heads, width) for _ in range(layers))
            self.norm = nn.LayerNorm(width)

        def forward(self, x, causal):
            x = x + self.places
            for block in self.blocks:
                x = block(x, causal)
            return self.norm(x)

    class Text(nn.Module):
        def __init__(self, tokens, row, layers, heads, width):
            super().__init__()
            self.words, self.blocks = nn.Embedding(tokens, width), Blocks(row, layers, heads, width)

        def forward(self, ids, causal):
            return self.blocks(self.words(ids), causal)

        def guess(self, x, ids):
            return F.cross_entropy(F.linear(x, self.words.weight), ids)

    class Gpt(nn.Module):
        def __init__(self, rows, text):
            super().__init__()
            self.text, self.drawn = Text(**text), lambda: torch.randint(text["tokens"], (rows, text["row"] + 1))

        def forward(self, ids):
            x = self.text(ids[:, :-1], causal=True)
            return self.text.guess(x.flatten(0, 1), ids[:, 1:].flatten())

    class Bert(nn.Module):
        def __init__(self, rows, text):
            super().__init__()
            width, self.hidden = text["width"], round(HIDDEN * rows * text["row"])
            self.text, self.drawn = Text(**text), lambda: torch.randint(text["tokens"], (rows, text["row"]))
            self.head = nn.Sequential(nn.Linear(width, width), nn.GELU("tanh"), nn.LayerNorm(width))

        def forward(self, ids):
            hidden = torch.randperm(ids.numel())[: self.hidden]
            x = self.text(ids, causal=False).flatten(0, 1)[hidden]
            return self.text.guess(self.head(x), ids.flatten()[hidden])

    class Clip(nn.Module):
        def __init__(self, pairs, text, vision, shared):
            super().__init__()
            side, patch, width = vision.pop("image"), vision.pop("patch"), vision["width"]
            self.drawn = lambda: (torch.randn(pairs, 3, side, side), torch.randint(text["tokens"], (pairs, text["row"])))
            self.text, self.vision = Text(**text), Blocks((side // patch) ** 2 + 1, **vision)
            self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
            self.all, self.before = nn.Parameter(torch.zeros(1, 1, width)), nn.LayerNorm(width)
            self.of_text, self.of_image = (nn.Linear(w, shared, bias=False) for w in (text["width"], width))
            self.temperature = nn.Parameter(torch.tensor(1 / 0.07).log())

        def forward(self, drawn):
            images, ids = drawn
            patches = self.patches(images).flatten(2).transpose(1, 2)
            x = self.before(torch.cat([self.all.expand(len(images), -1, -1), patches], 1))
            images = F.normalize(self.of_image(self.vision(x, causal=False)[:, 0]), dim=1)
            texts = F.normalize(self.of_text(self.text(ids, causal=True)[:, -1]), dim=1)
            logits, pairs = self.temperature.exp() * images @ texts.T, torch.arange(len(images))
            return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2

    torch.set_num_threads(a.threads)
    kind, rows, *sizes = WORK[a.work]
    text = sizes.pop(0)
    model = dict(gpt=Gpt, bert=Bert, clip=Clip)[kind](rows, text, *sizes)
    for m in model.modules():
        if isinstance(m, (nn.Linear, nn.Embedding)):
            nn.init.normal_(m.weight, std=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
    seconds = []
    for _ in range(WARM_UP + a.steps):
        batch, start = model.drawn(), time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=a.precision == "bf16"):
            loss = model(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    items = rows if kind == "clip" else rows * text["row"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    yield dict(items_per_s=items / statistics.median(seconds[WARM_UP:]), peak_rss_mb=peak)


def generate(a):
    """GPT-2 124M with random weights says 128 tokens after 16, the likeliest each, with its cache."""
    import torch
    import transformers

    torch.set_num_threads(a.threads)
    kind = torch.bfloat16 if a.precision == "bf16" else torch.float32
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config()).to(kind).eval()
    prompt, new, seconds = torch.randint(50257, (1, 16)), 128, []
    for _ in range(3):
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, min_new_tokens=new,
                           max_new_tokens=new, pad_token_id=0, eos_token_id=None)
        seconds.append(time.perf_counter() - start)
    yield dict(tokens_per_s=new / statistics.median(seconds))


def tokenizer(a):
    """Byte-level pairs with GPT-2's words: learned and encoded by tokenizers, encoded by tiktoken with the same pairs."""
    os.environ["RAYON_NUM_THREADS"] = str(a.threads)
    import tiktoken
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bytes_of = pre_tokenizers.ByteLevel
    text = open(a.work, encoding="utf-8").read()
    parts = [text[i : i + 10_000] for i in range(0, len(text), 10_000)]

    def timed(work, threads, job):
        start = time.perf_counter()
        done = job()
        return dict(work=work, threads=threads, mb_per_s=len(text.encode()) / 1e6 / (time.perf_counter() - start)), done

    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = bytes_of(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=a.vocab, initial_alphabet=bytes_of.alphabet(), show_progress=False)
    yield timed("train", a.threads, lambda: theirs.train([a.work], trainer))[0]
    encoded = timed("encode", 1, lambda: [theirs.encode(part).ids for part in parts])
    yield encoded[0] | dict(peer="tokenizers")
    # A byte that is no printable sign of Latin-1 is written as the next letter from 256 on (GPT-2's encoder.py).
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    byte_of = {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}
    ranks = {bytes(byte_of[c] for c in token): rank for token, rank in theirs.get_vocab().items()}
    split = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
    fast = tiktoken.Encoding("the same", pat_str=split, mergeable_ranks=ranks, special_tokens={})
    again = timed("encode", 1, lambda: [fast.encode_ordinary(part) for part in parts])
    assert again[1] == encoded[1], "the two encode differently"
    yield again[0] | dict(peer="tiktoken")


def both(a, work, precision):
    """One round: (what, our figure, theirs) for all that either side measures."""
    more = {"step": ["--precision", precision, "--steps", a.steps], "generate": ["--precision", precision]}
    words = [a.kind, work, "--threads", a.threads, *more.get(a.kind, ["--vocab", a.vocab])]
    words = [str(word) for word in words if word]
    sides = [a.pretext, "bench", *words], [sys.executable, __file__, *words, "--peer"]
    printed = (subprocess.run(side, check=True, stdout=subprocess.PIPE, text=True).stdout for side in sides)
    ours, theirs = ([json.loads(line) for line in output.splitlines()] for output in printed)
    for their in theirs:
        same = ["work", "threads"] if a.kind == "tokenizer" else []
        our = next(line for line in ours if all(line[key] == their[key] for key in same))
        for key in (key for key in FIGURES & their.keys() if our[key] is not None):
            yield " ".join([*map(str, [their[key] for key in same]), their.get("peer", ""), key]), our[key], their[key]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kind", choices=["step", "generate", "tokenizer"])
    p.add_argument("work", nargs="*", help="step: sizes of bench step [all]; tokenizer: a text file")
    p.add_argument("--precision", nargs="+", choices=["f32", "bf16"], default=["f32"])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=8)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--vocab", type=int, default=8192)
    p.add_argument("--pretext", default="pretext", help="the program [pretext]")
    p.add_argument("--peer", action="store_true", help="run the other side alone, and print JSON")
    a = p.parse_args()
    if a.peer:
        a.work, a.precision = "".join(a.work), a.precision[0]
        for line in {"step": step, "generate": generate, "tokenizer": tokenizer}[a.kind](a):
            print(json.dumps(line))
        return
    if a.kind == "tokenizer" and not a.work:
        p.error("tokenizer needs a text file")
    if a.kind == "tokenizer":
        a.precision = [""]
    print(f"{'':48} {'pretext':>9} {'peer':>9}   ratio")
    for work in a.work or {"step": list(WORK), "generate": [""]}[a.kind]:
        for precision in a.precision:
            pairs = {}
            for _ in range(a.rounds):
                for what, our, their in both(a, work, precision):
                    pairs.setdefault(what, []).append((our, their, our / their))
            for what, rounds in pairs.items():
                our, their, ratio = map(statistics.median, zip(*rounds))
                lowest, highest = min(r for *_, r in rounds), max(r for *_, r in rounds)
                name = " ".join(word for word in [os.path.basename(work) or a.kind, precision, what] if word)
                print(f"{name:48} {our:9.1f} {their:9.1f}  {ratio:6.2f} ({lowest:.2f} to {highest:.2f})", flush=True)


if __name__ == "__main__":
    main()
