//! BERT's checkpoint, as published and in RoBERTa's two forms: what its config.json says and how its tensors are called, as
//! `transformers` has them.

use serde_json::{Value, json};
use tokenizer::Frame;

use crate::bert::BertConfig;
use crate::bert::config::Form;

/// What the names of all parameters but the head's begin with.
pub(super) fn prefix(config: &BertConfig) -> &'static str {
    match config.model_type {
        Form::PostNorm => "bert.",
        Form::PreNorm => "roberta_prelayernorm.",
        Form::Roberta => "roberta.",
    }
}

/// config.json of a model, with everything that `transformers` wants to know.
pub fn config_json(config: &BertConfig, frame: Option<Frame>) -> Value {
    let architecture = match config.model_type {
        Form::PostNorm => "BertForMaskedLM",
        Form::PreNorm => "RobertaPreLayerNormForMaskedLM",
        Form::Roberta => "RobertaForMaskedLM",
    };
    let more = json!({
        "architectures": [architecture],
        "tie_word_embeddings": true,
        "bos_token_id": frame.map(|frame| frame.cls),
        "eos_token_id": frame.map(|frame| frame.sep),
        "dtype": "float32",
    });
    super::extended(config, more)
}

/// The sizes in a config.json, unless it asks for what is not computed here.
pub(super) fn config(mut json: Value) -> Result<BertConfig, String> {
    super::accept(
        &json,
        &[
            ("hidden_act", super::gates()),
            ("position_embedding_type", vec![json!("absolute")]),
            ("is_decoder", vec![json!(false)]),
            ("add_cross_attention", vec![json!(false)]),
            ("tie_word_embeddings", vec![json!(true)]),
            ("pruned_heads", vec![json!({})]),
            ("quantization_config", vec![Value::Null]),
        ],
    )?;
    // What RoBERTa's forms mean that do not say it; their positions are counted from it.
    if json["model_type"] != "bert" && json.get("pad_token_id").is_none() {
        json["pad_token_id"] = json!(1);
    }
    super::typed(json, "BERT")
}

/// The shapes of the tables; the blocks' scope, their number, and a parameter that each of them has.
pub(super) fn sizes(c: &BertConfig) -> super::Sizes {
    let tables = vec![
        ("embeddings.word_embeddings.weight", [c.vocab_size, c.hidden_size]),
        ("embeddings.position_embeddings.weight", [c.max_position_embeddings, c.hidden_size]),
    ];
    (tables, vec![("encoder.layer", c.num_hidden_layers, "output.dense.bias")])
}

/// What may be stored a second time, and as what: the tied output table and its bias.
pub(super) const COPIES: &[[&str; 2]] = &[
    ["cls.predictions.decoder.weight", "embeddings.word_embeddings.weight"],
    ["cls.predictions.decoder.bias", "cls.predictions.bias"],
    ["lm_head.decoder.weight", "embeddings.word_embeddings.weight"],
    ["lm_head.decoder.bias", "lm_head.bias"],
];

/// Whether a tensor is one that checkpoints carry along: the numbers of positions, what is stored twice, the layer over the
/// first token that next-sentence prediction used.
pub(super) fn extra(bare: &str) -> bool {
    let copy = COPIES.iter().any(|[copy, _]| *copy == bare);
    copy || bare == "embeddings.position_ids"
        || bare.starts_with("pooler.")
        || bare.starts_with("cls.seq_relationship.")
}
