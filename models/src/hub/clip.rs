//! CLIP's checkpoint: what its config.json says, how its tensors are called, and how pictures are prepared for it, as
//! `transformers` has them.

use std::path::Path;

use serde_json::{Value, json};

use crate::clip::ClipConfig;
use crate::clip::config::{TEXT, TextConfig, VISION, VisionConfig};
use crate::data::pictures::Preprocess;
use crate::data::pictures::decode::WHITE;
use crate::error::{Error, Result};

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

/// The file that says what pictures become before the image encoder sees them.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// The file in which newer directories say it, with more.
const PROCESSOR: &str = "processor_config.json";

/// The field with the colour under what is transparent, where it is not white.
const GROUND: &str = "ground";

/// What `transformers` calls, and called, what prepares pictures in this way.
const PROCESSORS: [&str; 4] =
    ["CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor"];

/// Writes how pictures are prepared for a model of these sizes, unless the directory says it already.
pub(super) fn write_usual_preprocessor(directory: &Path, config: &ClipConfig) -> Result<()> {
    if directory.join(PREPROCESSOR).exists() { Ok(()) } else { write_preprocessor(directory, &preprocess(config)) }
}

/// Writes how pictures are prepared for a model, for who prepares them elsewhere. What lies under transparent ones is a field
/// of our own, which others pass over.
pub fn write_preprocessor(directory: &Path, preprocess: &Preprocess) -> Result<()> {
    let Preprocess { size, mean, std, ground } = *preprocess;
    let plain = |numbers: [f32; 3]| numbers.map(|x| x.to_string().parse::<f64>().unwrap_or(f64::from(x)));
    let mut json = json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": {"shortest_edge": size},
        "resample": 3, // bicubic
        "do_center_crop": true,
        "crop_size": {"height": size, "width": size},
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": plain(mean),
        "image_std": plain(std),
    });
    if ground != WHITE {
        json[GROUND] = json!(ground);
    }
    super::beside::write_json(&directory.join(PREPROCESSOR), &json)
}

/// How pictures are prepared where nobody says otherwise: with CLIP's means and deviations.
fn preprocess(config: &ClipConfig) -> Preprocess {
    Preprocess { size: config.vision_config.image_size, ..Preprocess::default() }
}

/// How pictures are prepared for the model in a directory: with the means and deviations that its file says, if it has one.
/// Newer directories say it within the file on all that goes into a model, which `transformers` believes more.
///
/// Errors: a file that asks for something that is not done here.
pub fn open_preprocess(directory: &Path, config: &ClipConfig) -> Result<Preprocess> {
    for (name, part) in [(PROCESSOR, Some("image_processor")), (PREPROCESSOR, None)] {
        let path = directory.join(name);
        if path.exists() {
            let text = std::fs::read_to_string(&path).map_err(|error| Error::io(&path, "read", &error))?;
            let parsed = parse_preprocess(&text, part, config);
            if let Some(preprocess) = parsed.map_err(|what| Error::file(&path, super::shortened(&what)))? {
                return Ok(preprocess);
            }
        }
    }
    Ok(preprocess(config))
}

/// The same from the text of a file, or from what it says under a name, if it does.
pub fn parse_preprocess(
    text: &str,
    part: Option<&str>,
    config: &ClipConfig,
) -> std::result::Result<Option<Preprocess>, String> {
    let usual = preprocess(config);
    let mut json = tokenizer::json::parse(text).map_err(|error| format!("not JSON: {error}"))?;
    if let Some(part) = part {
        json = json.get_mut(part).map(Value::take).unwrap_or_default();
        if json.is_null() {
            return Ok(None);
        }
    }
    if !json.is_object() {
        return Err("says nothing of pictures by fields, such as image_mean: copy it again".to_owned());
    }
    super::forget_null(&mut json);
    let side = json!(usual.size);
    let square = json!({"height": usual.size, "width": usual.size});
    let yes = || vec![json!(true)];
    super::accept(
        &json,
        &[
            ("image_processor_type", PROCESSORS.map(Value::from).to_vec()),
            ("feature_extractor_type", PROCESSORS.map(Value::from).to_vec()),
            ("do_convert_rgb", yes()),
            ("do_pad", vec![json!(false)]),
            ("do_resize", yes()),
            ("do_center_crop", yes()),
            ("do_rescale", yes()),
            ("do_normalize", yes()),
            ("resample", vec![json!(3)]),
            ("size", vec![json!({"shortest_edge": usual.size}), side.clone()]),
            ("crop_size", vec![square, side]),
        ],
    )?;
    let scale = json.get("rescale_factor").map_or(Some(1.0 / 255.0), Value::as_f64);
    if scale.is_none_or(|scale| (255.0 * scale - 1.0).abs() > 1e-6) {
        return Err(format!("rescale_factor is {}; only 1/255 is supported", json["rescale_factor"]));
    }
    let three = |name: &str, usual: [f32; 3]| match json.get(name) {
        None => Ok(usual),
        Some(numbers) => serde_json::from_value(numbers.clone())
            .map_err(|error| format!("{name} is no list of three numbers: {error}")),
    };
    let (mean, std) = (three("image_mean", usual.mean)?, three("image_std", usual.std)?);
    if mean.iter().chain(&std).any(|x| !x.is_finite()) || std.iter().any(|x| *x <= 0.0) {
        return Err(format!(
            "image_mean {mean:?} and image_std {std:?}: these must be finite, and the second more than 0"
        ));
    }
    let ground = match json.get(GROUND) {
        None => usual.ground,
        Some(colour) => serde_json::from_value(colour.clone())
            .map_err(|error| format!("{GROUND} is no colour of three numbers from 0 to 255: {error}"))?,
    };
    Ok(Some(Preprocess { mean, std, ground, ..usual }))
}

/// The sizes in a config.json, unless it asks for what is not computed here. Old files say the parts once more in
/// `text_config_dict` and `vision_config_dict`, which are believed, as `transformers` does.
pub(super) fn config(mut json: Value) -> std::result::Result<ClipConfig, String> {
    for (part, usual) in
        [("text_config", json!(TextConfig::default())), ("vision_config", json!(VisionConfig::default()))]
    {
        if let (Some(Value::Object(again)), Value::Object(usual)) = (json.get(format!("{part}_dict")).cloned(), usual) {
            // What the second does not say has its usual value then, whatever the first says.
            let known = usual.into_iter().chain(again.into_iter().filter(|(_, value)| !value.is_null()));
            match json.get_mut(part).and_then(Value::as_object_mut) {
                Some(fields) => fields.extend(known),
                None => json[part] = known.collect(),
            }
        }
    }
    let nothing = json!({});
    let (text, vision) = (json.get("text_config"), json.get("vision_config"));
    super::accept(&json, &[("quantization_config", vec![Value::Null])])?;
    super::accept(vision.unwrap_or(&nothing), &[("num_channels", vec![json!(3)]), ("hidden_act", super::gates())])?;
    super::accept(text.unwrap_or(&nothing), &[("hidden_act", super::gates())])?;
    for (name, part) in [("text_config", text), ("vision_config", vision)] {
        if part.is_some_and(|part| !part.is_object()) {
            return Err(format!("{name} is no object of sizes"));
        }
    }
    super::typed(json, "CLIP")
}

/// The shapes of the tables; each encoder's scope of blocks, their number, and a parameter that each of them has.
pub(super) fn sizes(c: &ClipConfig) -> super::Sizes {
    let (t, v) = (&c.text_config, &c.vision_config);
    let tables = vec![
        ("text_model.embeddings.token_embedding.weight", [t.vocab_size, t.hidden_size]),
        ("text_model.embeddings.position_embedding.weight", [t.max_position_embeddings, t.hidden_size]),
        ("vision_model.embeddings.position_embedding.weight", [v.patches() + 1, v.hidden_size]),
        ("visual_projection.weight", [c.projection_dim, v.hidden_size]),
        ("text_projection.weight", [c.projection_dim, t.hidden_size]),
    ];
    let blocks = [(TEXT.blocks, t.num_hidden_layers), (VISION.blocks, v.num_hidden_layers)];
    (tables, blocks.map(|(scope, layers)| (scope, layers, "layer_norm2.bias")).to_vec())
}

/// Whether a tensor is one that checkpoints carry along: the numbers of positions.
pub(super) fn extra(name: &str) -> bool {
    name.ends_with("embeddings.position_ids")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Act;

    #[test]
    fn what_an_old_file_says_of_a_part_twice_is_believed_the_second_time_with_the_usual_values_of_what_it_does_not_say()
    {
        let first = json!({"hidden_act": "gelu", "hidden_size": 64, "layer_norm_eps": 1e-3});
        let text = |again: Value| config(json!({"text_config": first, "text_config_dict": again})).unwrap().text_config;
        let said = |of: &TextConfig| (of.hidden_act, of.hidden_size, of.layer_norm_eps);
        assert_eq!(said(&text(json!({"hidden_size": 32}))), (Act::Quick, 32, 1e-5));
        assert_eq!(said(&text(Value::Null)), (Act::Exact, 64, 1e-3));
    }
}
