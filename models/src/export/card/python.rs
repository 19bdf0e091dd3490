//! How the exported model is used in Python, ready to be copied.

use serde_json::Value;

use super::super::Source;
use super::Purpose;
use crate::hub::task::Kind;

/// A few lines of Python that work where the exported directory is, called `name`; none for a checkpoint without a
/// tokenizer.
pub(super) fn snippet(source: &Source, purpose: Purpose, name: &str) -> Option<String> {
    source.tokenizer.as_ref()?;
    let auto = match purpose {
        Purpose::Generate => "AutoModelForCausalLM",
        Purpose::Fill => "AutoModelForMaskedLM",
        Purpose::Embed => "AutoModel",
        Purpose::Pictures => "CLIPModel",
        Purpose::Task(Kind::Classify) => "AutoModelForSequenceClassification",
        Purpose::Task(Kind::Tag) => "AutoModelForTokenClassification",
        Purpose::Task(Kind::Answer) => "AutoModelForQuestionAnswering",
    };
    let (pictures, classes) = match purpose {
        Purpose::Pictures => ("from PIL import Image\n", "AutoTokenizer, CLIPImageProcessor, CLIPModel".to_owned()),
        _ => ("", format!("{auto}, AutoTokenizer")),
    };
    let quoted = Value::from(name); // a string of JSON is one of Python
    let begin = format!(
        "import torch\n{pictures}from transformers import {classes}\n\nname = {quoted}  # this directory\n\
         tokenizer = AutoTokenizer.from_pretrained(name)\nmodel = {auto}.from_pretrained(name)\n"
    );
    Some(begin + &body(source, purpose))
}

/// What is done with `tokenizer` and `model`.
fn body(source: &Source, purpose: Purpose) -> String {
    let body = match purpose {
        Purpose::Generate => {
            let tokens = (source.model.block_size() / 2).clamp(1, 100);
            return format!(
                r#"
ids = tokenizer("One day", return_tensors="pt")["input_ids"]
ids = model.generate(ids, max_new_tokens={tokens}, do_sample=True)
print(tokenizer.decode(ids[0]))"#
            );
        }
        Purpose::Fill => {
            r#"
ids = tokenizer(f"It is in the {tokenizer.mask_token}.", return_tensors="pt")["input_ids"]
with torch.no_grad():
    scores = model(ids).logits[ids == tokenizer.mask_token_id][0]
print([tokenizer.decode(id) for id in scores.topk(5).indices])"#
        }
        Purpose::Embed => {
            r#"
def vector(text):
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(ids).last_hidden_state[0].float().mean(0)

print(torch.cosine_similarity(vector("a text"), vector("another text"), dim=0).item())"#
        }
        Purpose::Pictures => {
            r#"prepare = CLIPImageProcessor.from_pretrained(name)

texts = ["a small red ball", "a big blue box"]
picture = Image.new("RGB", (64, 64), "red")  # or Image.open("picture.png")
inputs = tokenizer(texts, padding=True, return_tensors="pt")
pixels = prepare(picture, return_tensors="pt")["pixel_values"].to(model.dtype)
with torch.no_grad():
    scores = model(inputs["input_ids"], pixels, inputs["attention_mask"]).logits_per_image[0]
print(dict(zip(texts, scores.softmax(-1).tolist())))"#
        }
        Purpose::Task(Kind::Classify) => {
            r#"
ids = tokenizer("a text", return_tensors="pt")["input_ids"]
with torch.no_grad():
    scores = model(ids).logits[0]
print(model.config.id2label[scores.argmax().item()])"#
        }
        Purpose::Task(Kind::Tag) => {
            r#"
ids = tokenizer("Mia and Henry sit in the attic.", return_tensors="pt")["input_ids"]
with torch.no_grad():
    labels = model(ids).logits[0].argmax(-1)
for id, label in zip(ids[0], labels):
    print(tokenizer.decode(id), model.config.id2label[label.item()])"#
        }
        Purpose::Task(Kind::Answer) => {
            r#"
inputs = tokenizer("Where are they?", "Mia and Henry sit in the attic.", return_tensors="pt")
with torch.no_grad():
    scores = model(**inputs)
text = torch.tensor([part == 1 for part in inputs.sequence_ids(0)])  # and not the question
start = scores.start_logits[0].masked_fill(~text, -torch.inf).argmax()
end = start + scores.end_logits[0].masked_fill(~text, -torch.inf)[start:].argmax()
print(tokenizer.decode(inputs["input_ids"][0][start : end + 1]))"#
        }
    };
    body.to_owned()
}
