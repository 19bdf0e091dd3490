//! How the exported model is used in Python, ready to be copied.

use serde_json::Value;
use tokenizer::END_OF_TEXT;

use super::super::Source;
use super::Purpose;
use crate::Model;
use crate::hub::pretrained::TASK;

/// A few lines of Python that work where the exported directory is, called `name`; none for a checkpoint without a
/// tokenizer.
pub(super) fn snippet(source: &Source, purpose: Purpose, name: &str) -> Option<String> {
    let tokenizer = source.tokenizer.as_ref()?;
    let (class, opened) = opened(source);
    // A GPT has read texts after the mark that ends the text before.
    let is_gpt = matches!(source.model, Model::Gpt(_));
    let mark = if is_gpt && tokenizer.end_of_text().is_some() { END_OF_TEXT } else { "" };
    let auto = match purpose {
        Purpose::Generate => "AutoModelForCausalLM",
        Purpose::Fill => "AutoModelForMaskedLM",
        Purpose::Embed | Purpose::Classify { ours: true } => "AutoModel",
        Purpose::Pictures => "CLIPModel",
        Purpose::Classify { ours: false } => "AutoModelForSequenceClassification",
        Purpose::Tag => "AutoModelForTokenClassification",
        Purpose::Answer => "AutoModelForQuestionAnswering",
    };
    let mut classes = vec![auto, class];
    if purpose == Purpose::Pictures {
        classes.push("CLIPImageProcessor");
    }
    classes.sort_unstable();
    let mut first = vec!["import torch".to_owned()];
    match purpose {
        Purpose::Pictures => first.push("from PIL import Image".to_owned()),
        Purpose::Classify { ours: true } => first.push("from safetensors.torch import load_file".to_owned()),
        _ => {}
    }
    first.push(format!("from transformers import {}", classes.join(", ")));
    let first = first.join("\n");
    let quoted = Value::from(name); // a string of JSON is one of Python
    let begin =
        format!("{first}\n\nname = {quoted}  # this directory\n{opened}\nmodel = {auto}.from_pretrained(name)\n",);
    let body = match purpose {
        Purpose::Generate => {
            let tokens = (source.model.block_size() / 2).clamp(1, 100);
            format!(
                r#"
ids = tokenizer("One day", return_tensors="pt")["input_ids"]
ids = model.generate(ids, max_new_tokens={tokens}, do_sample=True)
print(tokenizer.decode(ids[0]))"#
            )
        }
        Purpose::Fill => r#"
ids = tokenizer(f"It is in the {tokenizer.mask_token}.", return_tensors="pt")["input_ids"]
with torch.no_grad():
    scores = model(ids).logits[ids == tokenizer.mask_token_id][0]
print([tokenizer.decode(id) for id in scores.topk(5).indices])"#
            .to_owned(),
        Purpose::Embed => format!(
            r#"
def vector(text):
    ids = tokenizer("{mark}" + text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(ids).last_hidden_state[0].float().mean(0)

print(torch.cosine_similarity(vector("a text"), vector("another text"), dim=0).item())"#
        ),
        Purpose::Pictures => r#"prepare = CLIPImageProcessor.from_pretrained(name)

texts = ["a small red ball", "a big blue box"]
picture = Image.new("RGB", (64, 64), "red")  # or Image.open("picture.png")
inputs = tokenizer(texts, padding=True, return_tensors="pt")
pixels = prepare(picture, return_tensors="pt")["pixel_values"].to(model.dtype)
with torch.no_grad():
    scores = model(inputs["input_ids"], pixels, inputs["attention_mask"]).logits_per_image[0]
print(dict(zip(texts, scores.softmax(-1).tolist())))"#
            .to_owned(),
        Purpose::Classify { ours: true } => {
            let pooled = match source.checkpoint.json[TASK]["pooling"].as_str() {
                Some("first") => "[0]",
                Some("last") => "[-1]",
                _ => ".mean(0)",
            };
            format!(
                r#"layer = load_file(f"{{name}}/model.safetensors")  # the last layer is this model's own

ids = tokenizer("{mark}a text", return_tensors="pt")["input_ids"]
with torch.no_grad():
    vector = model(ids).last_hidden_state[0]{pooled}
scores = layer["classifier.weight"] @ vector + layer["classifier.bias"]
print(model.config.id2label[scores.argmax().item()])"#
            )
        }
        Purpose::Classify { ours: false } => r#"
ids = tokenizer("a text", return_tensors="pt")["input_ids"]
with torch.no_grad():
    scores = model(ids).logits[0]
print(model.config.id2label[scores.argmax().item()])"#
            .to_owned(),
        Purpose::Tag => format!(
            r#"
ids = tokenizer("{mark}Mia and Henry sit in the attic.", return_tensors="pt")["input_ids"]
with torch.no_grad():
    labels = model(ids).logits[0].argmax(-1)
for id, label in zip(ids[0], labels):
    print(tokenizer.decode(id), model.config.id2label[label.item()])"#
        ),
        // How a GPT reads a question and a text is not what its tokenizer does with two.
        Purpose::Answer if is_gpt => return None,
        Purpose::Answer => r#"
inputs = tokenizer("Where are they?", "Mia and Henry sit in the attic.", return_tensors="pt")
with torch.no_grad():
    scores = model(**inputs)
start, end = scores.start_logits[0].argmax(), scores.end_logits[0].argmax()
print(tokenizer.decode(inputs["input_ids"][0][start : end + 1]))"#
            .to_owned(),
    };
    Some(begin + &body)
}

/// The class of the tokenizer and the line that opens it. Without a tokenizer_config.json `transformers` would guess its kind
/// from the model's, and guess wrong.
fn opened(source: &Source) -> (&'static str, String) {
    let has = |file: &str| source.directory.join(file).exists();
    if has("tokenizer_config.json") || !has("tokenizer.json") {
        return ("AutoTokenizer", "tokenizer = AutoTokenizer.from_pretrained(name)".to_owned());
    }
    let tokenizer = source.tokenizer.as_ref();
    let named = |id: u32| tokenizer.and_then(|t| t.token(id)).map(String::from_utf8_lossy).unwrap_or_default();
    let ends = if let Some(frame) = tokenizer.and_then(tokenizer::Tokenizer::frame) {
        format!(", pad_token=\"{}\", mask_token=\"{}\"", named(frame.pad), named(frame.mask))
    } else if tokenizer.is_some_and(|tokenizer| tokenizer.end_of_text().is_some()) {
        format!(", pad_token=\"{END_OF_TEXT}\", eos_token=\"{END_OF_TEXT}\"")
    } else {
        String::new()
    };
    let file = "tokenizer_file=f\"{name}/tokenizer.json\"";
    ("PreTrainedTokenizerFast", format!("tokenizer = PreTrainedTokenizerFast({file}{ends})"))
}
