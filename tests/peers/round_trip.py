"""What is trained here, opened elsewhere: loads the directories under ROOT with transformers and sentence-transformers,
compares what they compute with what the program said, and saves each model again with transformers.

    python round_trip.py ROOT

ROOT holds gpt, bert, bert-post, clip, classify, classify-post, gpt-classify, tag, answer and embed, runs of the program; each with reference.safetensors
(`pretext verify --record`) or with said.json, what the program said of some texts. What is saved again goes to ROOT/NAME-back.
Ends with exit code 1 at the first disagreement. `cargo test -p tests --test round_trip` runs it where its packages are at hand.
"""

import json
import re
import sys
from pathlib import Path

import torch
import transformers as hf
from safetensors.torch import load_file, save_file

hf.utils.logging.set_verbosity_error()
hf.utils.logging.disable_progress_bar()
root = Path(sys.argv[1])
torch.set_grad_enabled(False)
computed = {}  # what is computed here of fine-tuned models, for the program to be held against


def near(name, ours, theirs, most=1e-4):
    ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
    assert ours.shape == theirs.shape, f"{name}: {tuple(ours.shape)} here, {tuple(theirs.shape)} there"
    error = (ours - theirs).abs().max().item()
    print(f"{name}: {tuple(ours.shape)}, largest difference {error:.1e}")
    assert error <= most, f"{name} differ by {error}"


def equal(name, ours, theirs):
    assert ours == theirs, f"{name}: {ours!r} here, {theirs!r} there"
    print(f"{name}: equal")


def opened(name, auto):
    """The model and its tokenizer, exactly as they lie there: no weight missing, none left over."""
    model, info = auto.from_pretrained(root / name, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[problem], f"{name}: {problem} {info[problem]}"
    return model.eval(), hf.AutoTokenizer.from_pretrained(root / name)


def said(name):
    return json.loads((root / name / "said.json").read_text())


def back(name, model, tokenizer):
    model.save_pretrained(root / f"{name}-back")
    tokenizer.save_pretrained(root / f"{name}-back")
    if name in computed:
        save_file(computed[name], root / f"{name}-back" / "reference.safetensors")


def ids_of(name, tokenizer):
    """The program's ids of some texts, without what stands around them."""
    for text, ids in said(name)["ids"]:
        equal(f"{name}: ids of {text[:30]!r}", ids, tokenizer(text, add_special_tokens=False).input_ids)
        equal(f"{name}: text of these ids", text, tokenizer.decode(ids))


def gpt():
    model, tokenizer = opened("gpt", hf.AutoModelForCausalLM)
    of = load_file(root / "gpt/reference.safetensors")
    near("gpt: logits", of["logits"], model(of["input_ids"]).logits)
    ids_of("gpt", tokenizer)
    for prompt, continued in said("gpt")["greedy"]:
        ids = tokenizer(prompt, return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=20, do_sample=False, pad_token_id=0)
        equal(f"gpt: greedy continuation of {prompt!r}", continued, tokenizer.decode(out[0], skip_special_tokens=True))
    back("gpt", model, tokenizer)


def bert(name):
    model, tokenizer = opened(name, hf.AutoModelForMaskedLM)
    of = load_file(root / name / "reference.safetensors")
    logits = model(of["input_ids"], attention_mask=of["attention_mask"]).logits
    seen = of["attention_mask"].bool()
    near(f"{name}: logits", of["logits"][seen], logits[seen])
    ids_of(name, tokenizer)
    for text, guesses in said(name)["fill"]:
        ids = tokenizer(text, return_tensors="pt")
        place = (ids.input_ids[0] == tokenizer.mask_token_id).nonzero().item()
        best = model(**ids).logits[0, place].softmax(-1).topk(len(guesses))
        near(f"{name}: probabilities in {text!r}", [g["probability"] for g in guesses], best.values, 1e-5)
        equal(f"{name}: what fills it", [g["id"] for g in guesses], best.indices.tolist())
    back(name, model, tokenizer)


def clip():
    model, tokenizer = opened("clip", hf.CLIPModel)
    of = load_file(root / "clip/reference.safetensors")
    out = model(of["input_ids"], of["pixel_values"])
    for name in ("image_embeds", "text_embeds", "logits_per_image"):
        near(f"clip: {name}", of[name], out[name])
    ids_of("clip", tokenizer)
    for text, vector in said("clip")["vectors"]:
        out = model.get_text_features(**tokenizer(text, return_tensors="pt"))
        out = getattr(out, "pooler_output", out)[0]
        near(f"clip: vector of {text!r}", vector, out / out.norm(), 1e-5)
    processor = hf.AutoImageProcessor.from_pretrained(root / "clip")
    equal("clip: sides of pictures", processor.crop_size["height"], model.config.vision_config.image_size)
    back("clip", model, tokenizer)


def recorded(name, model):
    """What `verify --record` wrote of a fine-tuned model: outputs, loss, and every parameter's gradient."""
    of = load_file(root / name / "reference.safetensors")
    grads = {key.removeprefix("grad."): of[key] for key in of if key.startswith("grad.")}
    inputs = {key: of[key] for key in ("input_ids", "attention_mask", "labels", "start_positions", "end_positions") if key in of}
    seen = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).bool()
    with torch.enable_grad():
        out = model(**inputs)
        for key in ("logits", "start_logits", "end_logits"):
            if key in of:
                by_position = of[key].shape[:2] == seen.shape
                near(f"{name}: {key}", *(x[seen] if by_position else x for x in (of[key], out[key])))
        near(f"{name}: loss", of["loss"], out.loss)
        out.loss.backward()
    theirs = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    equal(f"{name}: parameters with a gradient", sorted(grads), sorted(theirs))
    outputs = {key: out[key].detach().contiguous() for key in ("logits", "start_logits", "end_logits") if key in out}
    gradients = {f"grad.{key}": grad.clone().contiguous() for key, grad in theirs.items()}
    computed[name] = {**inputs, **outputs, "loss": out.loss.detach(), **gradients}
    for key, grad in grads.items():
        largest = max(grad.abs().max().item(), 1e-6)  # a bias of keys alone has rounding for a gradient
        error = (grad - theirs[key]).abs().max().item() / largest
        assert error <= 1e-3 or largest < 1e-5, f"{name}: gradient of {key} differs by {error}"
    model.zero_grad()


def classified(name):
    model, tokenizer = opened(name, hf.AutoModelForSequenceClassification)
    recorded(name, model)
    texts = [text for text, _ in said(name)["probabilities"]]
    out = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits.softmax(-1)  # of several lengths
    for i, (text, labels) in enumerate(said(name)["probabilities"]):
        theirs = [out[i, model.config.label2id[label["label"]]] for label in labels]
        near(f"{name}: probabilities of {text[:30]!r}", [label["probability"] for label in labels], theirs, 1e-5)
    back(name, model, tokenizer)


def tag():
    """A text is read as it stands; a word's label is that of its first token."""
    model, tokenizer = opened("tag", hf.AutoModelForTokenClassification)
    recorded("tag", model)
    for text, entities in said("tag")["entities"]:
        ids = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        places = ids.pop("offset_mapping")[0].tolist()
        p = model(**ids).logits[0].softmax(-1)
        found, at = [], 0
        for word in re.findall(r"\w+|[^\w\s]", text):
            at = text.index(word, at)
            first = next(i for i, (start, end) in enumerate(places) if start <= at < end)
            score, label = p[first].max(-1)
            label = model.config.id2label[label.item()]
            if label != "O":
                begins = label.startswith("B-") or not found or found[-1][0] != label[2:] or text[found[-1][2] : at].strip()
                if begins:
                    found.append([label[2:], at, at + len(word), score.item()])
                else:
                    found[-1][2:] = [at + len(word), min(score.item(), found[-1][3])]
            at += len(word)
        equal(f"tag: entities of {text!r}", [[e["kind"], e["start"], e["end"]] for e in entities], [f[:3] for f in found])
        near("tag: their scores", [e["score"] for e in entities], [f[3] for f in found], 1e-5)
    back("tag", model, tokenizer)


def answer():
    model, tokenizer = opened("answer", hf.AutoModelForQuestionAnswering)
    recorded("answer", model)
    for question, text, found in said("answer")["answers"]:
        ids = tokenizer(question, text, return_offsets_mapping=True, return_tensors="pt")
        places, of = ids.pop("offset_mapping")[0].tolist(), ids.sequence_ids(0)
        out = model(**ids)
        inside = [i for i, part in enumerate(of) if part == 1]
        start, end = (x[0][[0, *inside]].softmax(-1)[1:] for x in (out.start_logits, out.end_logits))
        scores = (start[:, None] * end[None]).triu()
        best = scores.argmax().item()
        first, last = inside[best // len(inside)], inside[best % len(inside)]
        equal(f"answer: to {question!r}", found["text"], text[places[first][0] : places[last][1]].strip())
        near("answer: its score", found["score"], scores.max(), 1e-5)
    back("answer", model, tokenizer)


def embed():
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(root / "embed"), device="cpu")
    for text, vector in said("embed")["vectors"]:
        near(f"embed: vector of {text!r}", vector, model.encode(text), 1e-4)


gpt()
for name in ("bert", "bert-post"):
    bert(name)
clip()
for name in ("classify", "classify-post", "gpt-classify"):
    classified(name)
for check in (tag, answer, embed):
    check()
print("all agree")
