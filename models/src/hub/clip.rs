//! CLIP's checkpoint: what its config.json says and how its tensors are called, as `transformers` has them.

use serde_json::{Value, json};

use crate::clip::ClipConfig;
use crate::clip::config::{TEXT, VISION};

/// config.json of a model, with everything that `transformers` wants to know.
pub fn config_json(config: &ClipConfig) -> Value {
    let mut json = super::extended(
        config,
        json!({"model_type": "clip", "architectures": ["CLIPModel"], "initializer_factor": 1.0, "dtype": "float32"}),
    );
    for (part, kind) in [("text_config", "clip_text_model"), ("vision_config", "clip_vision_model")] {
        json[part]["model_type"] = kind.into();
        json[part]["projection_dim"] = config.projection_dim.into();
    }
    json["vision_config"]["num_channels"] = 3.into();
    json
}

/// The sizes in a config.json, unless it asks for what is not computed here. Old files say the parts once more in
/// `text_config_dict` and `vision_config_dict`, which are believed, as `transformers` does.
pub(super) fn config(mut json: Value) -> Result<ClipConfig, String> {
    for part in ["text_config", "vision_config"] {
        if let Some(Value::Object(again)) = json.get(format!("{part}_dict")).cloned() {
            let known = again.into_iter().filter(|(_, value)| !value.is_null());
            match json.get_mut(part).and_then(Value::as_object_mut) {
                Some(fields) => fields.extend(known),
                None => json[part] = known.collect(),
            }
        }
    }
    let nothing = json!({});
    let (text, vision) = (json.get("text_config"), json.get("vision_config"));
    super::accept(vision.unwrap_or(&nothing), &[("num_channels", vec![json!(3)])])?;
    for (name, part) in [("text_config", text), ("vision_config", vision)] {
        if part.is_some_and(|part| !part.is_object()) {
            return Err(format!("{name} is no object of sizes"));
        }
    }
    serde_json::from_value(json).map_err(|error| format!("not the config.json of a CLIP checkpoint ({error})"))
}

/// The shapes of the tables, and a parameter of each encoder's last block.
pub(super) fn sizes(c: &ClipConfig) -> (Vec<(&'static str, [usize; 2])>, Vec<String>) {
    let (t, v) = (&c.text_config, &c.vision_config);
    let tables = vec![
        ("text_model.embeddings.token_embedding.weight", [t.vocab_size, t.hidden_size]),
        ("text_model.embeddings.position_embedding.weight", [t.max_position_embeddings, t.hidden_size]),
        ("vision_model.embeddings.position_embedding.weight", [v.patches() + 1, v.hidden_size]),
        ("visual_projection.weight", [c.projection_dim, v.hidden_size]),
        ("text_projection.weight", [c.projection_dim, t.hidden_size]),
    ];
    let last = |blocks, layers: usize| format!("{blocks}.{}.layer_norm2.bias", layers.saturating_sub(1));
    (tables, vec![last(TEXT.blocks, t.num_hidden_layers), last(VISION.blocks, v.num_hidden_layers)])
}

/// Whether a tensor is one that checkpoints carry along: the numbers of positions.
pub(super) fn extra(name: &str) -> bool {
    name.ends_with("embeddings.position_ids")
}
