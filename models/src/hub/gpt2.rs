//! GPT-2's checkpoint: what its config.json says and how its tensors are called, as `transformers` has them.

use serde_json::{Value, json};

use crate::gpt::GptConfig;

/// What checkpoints of the model with its output layer put before each name; the bare model's leave it out.
pub(super) const PREFIX: &str = "transformer.";

/// config.json of a model, with everything that `transformers` wants to know.
pub fn config_json(config: &GptConfig, end_of_text: Option<u32>) -> Value {
    let more = json!({
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "tie_word_embeddings": true,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "dtype": "float32",
    });
    super::extended(config, more)
}

/// The name of a parameter in a checkpoint with layers on top: those of the model itself then have the prefix.
pub(super) fn name_beside_a_head(name: &str) -> String {
    let on_top = ["score.", "classifier.", "qa_outputs."].iter().any(|head| name.starts_with(head));
    if on_top { name.to_owned() } else { format!("{PREFIX}{name}") }
}

/// Other names of sizes, which `transformers` takes as well.
const OTHER_NAMES: [[&str; 2]; 4] = [
    ["max_position_embeddings", "n_positions"],
    ["hidden_size", "n_embd"],
    ["num_hidden_layers", "n_layer"],
    ["num_attention_heads", "n_head"],
];

/// The sizes in a config.json, unless it asks for what is not computed here.
pub(super) fn config(mut json: Value) -> Result<GptConfig, String> {
    for [other, name] in OTHER_NAMES {
        if let Some(value) = json.as_object_mut().and_then(|fields| fields.remove(other)) {
            if json.get(name).is_some_and(|known| *known != value) {
                return Err(format!("{name} is {}, but {other}, another name of it, is {value}", json[name]));
            }
            json[name] = value;
        }
    }
    super::accept(
        &json,
        &[
            ("activation_function", super::gates()),
            ("scale_attn_weights", vec![json!(true)]),
            ("scale_attn_by_inverse_layer_idx", vec![json!(false)]),
            ("add_cross_attention", vec![json!(false)]),
            ("tie_word_embeddings", vec![json!(true)]),
            ("quantization_config", vec![Value::Null]),
        ],
    )?;
    super::typed(json, "GPT-2")
}

/// The shapes of the tables; the blocks' scope, their number, and a parameter that each of them has.
pub(super) fn sizes(c: &GptConfig) -> super::Sizes {
    let tables = vec![("wte.weight", [c.vocab_size, c.n_embd]), ("wpe.weight", [c.n_positions, c.n_embd])];
    (tables, vec![("h", c.n_layer, "ln_1.weight")])
}

/// What may be stored a second time, and as what.
pub(super) const COPIES: &[[&str; 2]] = &[["lm_head.weight", "wte.weight"]];

/// Whether a tensor is one of the buffers that old checkpoints carry along (causal masks), or the tied output table stored
/// twice.
pub(crate) fn extra(bare: &str) -> bool {
    bare == "lm_head.weight" || bare.ends_with(".attn.bias") || bare.ends_with(".attn.masked_bias")
}
