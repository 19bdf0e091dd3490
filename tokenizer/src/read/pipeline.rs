//! The parts of a `tokenizer.json` around its vocabulary.

use serde_json::{Map, Value, json};

use super::{does_nothing, read_id, shortened};
use crate::Token;
use crate::encode::Splitter;
use crate::normalize::{BertNormalizer, Normalizer};
use crate::template::{Slot, Template};

/// The spellings of GPT-2's pattern that tokenizer files use: they match the same words.
const GPT2_PATTERNS: [&str; 2] = [
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
];

/// CLIP's pattern, without and with the names of its special tokens.
pub(crate) const CLIP_PATTERNS: [&str; 2] = [
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
];

const WITHOUT: &str =
    "is not supported, as it changes the ids: use a file without it, or set it to null if it does nothing";

/// What happens to a text before the model.
pub(super) struct Parts {
    pub normalizer: Normalizer,
    pub splitter: Splitter,
}

/// Reads the parts, and refuses what would change the ids and is not one of them. How texts are cut and filled up to make a
/// batch (`truncation`, `padding`) is left to who makes one: files carry along what somebody last did.
pub(super) fn read(file: &Value) -> Result<Parts, String> {
    Ok(Parts { normalizer: normalizer(&file["normalizer"])?, splitter: splitter(&file["pre_tokenizer"])? })
}

/// The normalizer of CLIP, in its order.
pub(crate) fn clip_normalizers() -> [Value; 3] {
    let space = json!({"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "});
    [json!({"type": "NFC"}), space, json!({"type": "Lowercase"})]
}

fn normalizer(value: &Value) -> Result<Normalizer, String> {
    let supported = "supported are BertNormalizer and CLIP's Sequence of NFC, Replace and Lowercase";
    match value["type"].as_str() {
        None if does_nothing(value) => Ok(Normalizer::None),
        Some("BertNormalizer") => {
            let flag = |name: &str| match &value[name] {
                Value::Bool(flag) => Ok(Some(*flag)),
                Value::Null => Ok(None),
                other => Err(format!("normalizer.{name} is {}: it must be true or false", shortened(other))),
            };
            Ok(Normalizer::Bert(BertNormalizer {
                clean_text: flag("clean_text")?.unwrap_or(true),
                handle_chinese_chars: flag("handle_chinese_chars")?.unwrap_or(true),
                strip_accents: flag("strip_accents")?,
                lowercase: flag("lowercase")?.unwrap_or(true),
            }))
        }
        Some("Sequence") => {
            let steps = value["normalizers"].as_array().map_or(&[][..], Vec::as_slice);
            if *steps == clip_normalizers() {
                return Ok(Normalizer::Clip);
            }
            let wrong = steps.iter().enumerate().find(|(at, step)| clip_normalizers().get(*at) != Some(step));
            let (place, step) =
                wrong.map_or((String::new(), value), |(at, step)| (format!(".normalizers[{at}]"), step));
            Err(format!("normalizer{place} {} {WITHOUT}; {supported}", shortened(step)))
        }
        _ => Err(format!("normalizer {} {WITHOUT}; {supported}", shortened(value))),
    }
}

/// `ByteLevel` with its own pattern, alone or in a sequence; a split by the same pattern and then `ByteLevel` without
/// one; CLIP's split and then `ByteLevel` with its own, which finds nothing more to split; or BERT's.
fn splitter(value: &Value) -> Result<Splitter, String> {
    let is_byte_level = |part: &Value, splits: bool, prefix_space: bool| {
        part["type"] == "ByteLevel"
            && part["add_prefix_space"] == json!(prefix_space)
            && part.get("use_regex").unwrap_or(&json!(true)) == &json!(splits)
    };
    let split = |part: &Value, behavior: &str, invert: bool, patterns: [&str; 2]| {
        let is_split = part["type"] == "Split" && part["behavior"] == behavior && part["invert"] == json!(invert);
        let pattern = part["pattern"]["Regex"].as_str().filter(|_| is_split)?;
        patterns.iter().position(|known| *known == pattern)
    };
    match value["pretokenizers"].as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
        [only] if only["type"] == "BertPreTokenizer" => Ok(Splitter::Bert),
        [only] if is_byte_level(only, true, false) => Ok(Splitter::Gpt2 { prefix_space: false }),
        [only] if is_byte_level(only, true, true) => Ok(Splitter::Gpt2 { prefix_space: true }),
        [first, bytes]
            if split(first, "Isolated", false, GPT2_PATTERNS).is_some() && is_byte_level(bytes, false, false) =>
        {
            Ok(Splitter::Gpt2 { prefix_space: false })
        }
        [first, bytes] if is_byte_level(bytes, true, false) => {
            let pattern = split(first, "Removed", true, CLIP_PATTERNS).ok_or_else(|| unsupported_split(value))?;
            Ok(Splitter::Clip { names: pattern == 1 })
        }
        _ => Err(unsupported_split(value)),
    }
}

fn unsupported_split(value: &Value) -> String {
    format!(
        "pre_tokenizer {} is not supported: it must be GPT-2's split, ByteLevel with add_prefix_space false or true and \
         use_regex true; CLIP's, Split and ByteLevel; or BertPreTokenizer",
        shortened(value)
    )
}

/// What the post-processor puts around a text; `ByteLevel` puts nothing.
pub(super) fn template(value: &Value, tokens: &[Token]) -> Result<Option<Template>, String> {
    let fail = |why: &str| {
        let supported = "supported are ByteLevel, TemplateProcessing, RobertaProcessing and BertProcessing";
        format!("post_processor {} is not supported ({why}); {supported}", shortened(value))
    };
    let ends = || {
        let id = |name: &str| {
            read_id(&value[name][1])
                .filter(|id| (*id as usize) < tokens.len())
                .ok_or_else(|| fail(&format!("{name} must be a token and its id")))
        };
        Ok::<_, String>((id("cls")?, id("sep")?))
    };
    match value["type"].as_str() {
        None if value.is_null() => Ok(None),
        Some("ByteLevel") => Ok(None),
        Some("RobertaProcessing") => ends().map(|(cls, sep)| Some(Template::roberta(cls, sep))),
        Some("BertProcessing") => ends().map(|(cls, sep)| Some(Template::bert(cls, sep))),
        Some("TemplateProcessing") => {
            let slots = |part: &str| slots(value, part, tokens.len()).map_err(|why| fail(&why));
            Ok(Some(Template { single: slots("single")?, pair: slots("pair")? }))
        }
        Some("Sequence") => {
            let steps = value["processors"].as_array().ok_or_else(|| fail("a Sequence has processors"))?;
            let mut templates = Vec::new();
            for step in steps {
                templates.extend(template(step, tokens)?); // JSON is not read deeper than 128 levels
            }
            if templates.len() > 1 { Err(fail("more than one template")) } else { Ok(templates.pop()) }
        }
        _ => Err(fail("of another type")),
    }
}

/// One form of a template: `{"SpecialToken": {"id": "[CLS]", "type_id": 0}}`, `{"Sequence": {"id": "A", "type_id": 0}}`, …
fn slots(template: &Value, form: &str, vocab_size: usize) -> Result<Vec<Slot>, String> {
    let none = Map::new();
    let known = template["special_tokens"].as_object().unwrap_or(&none);
    let slot = |(at, piece): (usize, &Value)| {
        let place = format!("{form}[{at}]");
        let (text, token) = (&piece["Sequence"], &piece["SpecialToken"]);
        let of = if text.is_object() { text } else { token };
        let kind = read_id(&of["type_id"]).ok_or_else(|| format!("{place} must have a type_id"))?;
        match (text["id"].as_str(), token["id"].as_str()) {
            (Some("A"), None) => Ok(Slot::First(kind)),
            (Some("B"), None) => Ok(Slot::Second(kind)),
            (None, Some(name)) => {
                let ids = known.get(name).and_then(|token| token["ids"].as_array());
                let id = ids.filter(|ids| ids.len() == 1).and_then(|ids| read_id(&ids[0]));
                let id = id.filter(|id| (*id as usize) < vocab_size);
                let id = id.ok_or_else(|| format!("{place} must be one token of the vocabulary, in special_tokens"))?;
                Ok(Slot::Token(id, kind))
            }
            _ => Err(format!("{place} must be a Sequence A or B, or a SpecialToken")),
        }
    };
    let pieces = template[form].as_array().ok_or_else(|| format!("{form} must be a list"))?;
    pieces.iter().enumerate().map(slot).collect()
}
