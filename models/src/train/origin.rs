//! A run that goes on from another model: `--from DIR`.
//!
//! Such a run is one of its own, in its own directory, with its own schedule. It begins with the weights, the tokenizer and
//! the sizes of another run or of a Hugging Face checkpoint, which is only read. A copy of all that is the new run's first
//! checkpoint, so that it can be resumed when the other is gone.

use std::path::Path;

use autograd::Params;
use toml::{Table, Value};

use super::options::ModelName;
use crate::bert::config::Form;
use crate::error::{Error, Result};
use crate::hub::pretrained::Pretrained;
use crate::{Config, Model, hub};

/// Options that the model decides which is gone on from.
const DECIDED: [&str; 6] = ["vocab_size", "block_size", "layers", "heads", "width", "norm"];

/// Those of the table `[clip]`.
const DECIDED_OF_CLIP: [&str; 6] =
    ["image_size", "patch_size", "vision_layers", "vision_heads", "vision_width", "embed_dim"];

/// Lays the sizes of the model in `from` over a table of options. `flags` are those that the user gave now.
///
/// Errors: no model that can be opened; one of another kind; flags that contradict it.
pub fn lay_in(table: &mut Table, flags: &Table, from: &Path, model: ModelName) -> Result<()> {
    let of_clip = flags.get("clip").and_then(Value::as_table);
    let said = |key: &&&str| flags.contains_key(**key) || of_clip.is_some_and(|flags| flags.contains_key(**key));
    if let Some(key) = DECIDED.iter().chain(&["tokenizer", "initializer_range"]).chain(&DECIDED_OF_CLIP).find(said) {
        let name = key.replace('_', "-");
        return Err(Error::Options(format!("--{name} is that of the model that --from names: leave --{name} out")));
    }
    let config = hub::config(from)?;
    table.remove("tokenizer");
    let (sizes, norm): ([usize; 5], _) = match (&config, model) {
        (Config::Gpt(c), ModelName::Gpt) => ([c.vocab_size, c.n_positions, c.n_layer, c.n_head, c.n_embd], None),
        (Config::Bert(c), ModelName::Bert) => {
            let norm = if c.model_type == Form::PreNorm { "pre" } else { "post" };
            let sizes = [c.vocab_size, c.block_size(), c.num_hidden_layers, c.num_attention_heads, c.hidden_size];
            (sizes, Some(norm))
        }
        (Config::Clip(c), ModelName::Clip) => {
            let (t, v) = (&c.text_config, &c.vision_config);
            let vision = [
                v.image_size,
                v.patch_size,
                v.num_hidden_layers,
                v.num_attention_heads,
                v.hidden_size,
                c.projection_dim,
            ];
            let (own, other) = if c.sigmoid { ("siglip", "clip") } else { ("clip", "siglip") };
            if flags.get("objective").is_some_and(|said| said.as_str() == Some(other)) {
                let what = "and its bias and temperature are of that: leave --objective out";
                return Err(Error::Options(format!("{} learned with --objective {own}, {what}", from.display())));
            }
            table.insert("objective".to_owned(), own.into());
            let ground = hub::clip::open_preprocess(from, c)?.ground;
            if let Value::Table(table) = table.entry("clip").or_insert(Value::Table(Table::new())) {
                table.extend(
                    DECIDED_OF_CLIP.iter().zip(vision).map(|(key, value)| ((*key).to_owned(), (value as i64).into())),
                );
                // What it has seen under transparent pictures it sees on, unless something else is said.
                table.entry("ground").or_insert(ground.map(i64::from).to_vec().into());
            }
            let longest = t.max_position_embeddings;
            ([t.vocab_size, longest, t.num_hidden_layers, t.num_attention_heads, t.hidden_size], None)
        }
        (of, _) => {
            let name = match of {
                Config::Gpt(_) => ModelName::Gpt,
                Config::Bert(_) => ModelName::Bert,
                Config::Clip(_) => ModelName::Clip,
            };
            let (title, wanted) = (name.title(), model.title());
            let what = format!(
                "holds a {title}, which this cannot go on from: give a {wanted} (`pretext train {}` makes one), or say \
                 `pretext train {} --from`",
                model.name(),
                name.name()
            );
            return Err(Error::file(from, what));
        }
    };
    for (key, value) in DECIDED.iter().zip(sizes) {
        table.insert((*key).to_owned(), (value as i64).into());
    }
    table.extend(norm.map(|norm| ("norm".to_owned(), Value::from(norm))));
    if config.dropout() > 0.0 {
        table.entry("dropout").or_insert(config.dropout().into());
    }
    Ok(())
}

/// The model in a directory with its weights, and with this share of dropout.
pub fn open(directory: &Path, dropout: f64) -> Result<(Model, Params)> {
    let from = Pretrained::open_any(directory)?;
    let (model, mut params) = from.model.config().with_dropout(dropout).build_zeroed();
    params.adopt(&from.params);
    Ok((model, params))
}
