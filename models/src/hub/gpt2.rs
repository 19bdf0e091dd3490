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

/// The sizes in a config.json, unless it asks for what is not computed here.
pub(super) fn config(json: Value) -> Result<GptConfig, String> {
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
    serde_json::from_value(json).map_err(|error| format!("not the config.json of a GPT-2 checkpoint ({error})"))
}

/// The shapes of the tables; the blocks' scope, their number, and a parameter that each of them has.
pub(super) fn sizes(c: &GptConfig) -> super::Sizes {
    let tables = vec![("wte.weight", [c.vocab_size, c.n_embd]), ("wpe.weight", [c.n_positions, c.n_embd])];
    (tables, vec![("h", c.n_layer, "ln_1.weight")])
}

/// Whether a tensor is one of the buffers that old checkpoints carry along (causal masks), or the tied output table stored
/// twice.
pub(super) fn extra(bare: &str) -> bool {
    bare == "lm_head.weight" || bare.ends_with(".attn.bias") || bare.ends_with(".attn.masked_bias")
}
