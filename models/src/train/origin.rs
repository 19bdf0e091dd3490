//! A run that goes on from another model: `--from DIR`.
//!
//! Such a run is one of its own, in its own directory, with its own schedule. It begins with the weights, the tokenizer and
//! the sizes of another run or of a Hugging Face checkpoint, which is only read. A copy of all that is the new run's first
//! checkpoint, so that it can be resumed when the other is gone.

use std::path::Path;

use autograd::Params;
use toml::{Table, Value};

use super::options::{ModelName, ObjectiveName, Options, lay_over};
use crate::bert::config::Form;
use crate::error::{Error, Result};
use crate::hub::pretrained::Pretrained;
use crate::{Config, Model, hub};

/// Options that the model decides which is gone on from.
const DECIDED: [&str; 6] = ["vocab_size", "block_size", "layers", "heads", "width", "norm"];

/// Those of the table `[clip]`.
const DECIDED_OF_CLIP: [&str; 6] =
    ["image_size", "patch_size", "vision_layers", "vision_heads", "vision_width", "embed_dim"];

/// An error if one of the flags that the user gave now says what the model decides which is gone on from.
pub fn leave_out_decided(flags: &Table) -> Result<()> {
    let of_clip = flags.get("clip").and_then(Value::as_table);
    let said = |key: &&&str| flags.contains_key(**key) || of_clip.is_some_and(|flags| flags.contains_key(**key));
    match DECIDED.iter().chain(&["tokenizer", "initializer_range"]).chain(&DECIDED_OF_CLIP).find(said) {
        Some(key) => {
            let name = key.replace('_', "-");
            Err(Error::Options(format!("--{name} is that of the model that --from names: leave --{name} out")))
        }
        None => Ok(()),
    }
}

/// What a model decides, as a table of options.
fn decided(config: &Config) -> Table {
    let mut table = Table::new();
    let sizes = match config {
        Config::Gpt(c) => [c.vocab_size, c.n_positions, c.n_layer, c.n_head, c.n_embd],
        Config::Bert(c) => {
            let norm = if c.model_type == Form::PreNorm { "pre" } else { "post" };
            table.insert("norm".to_owned(), norm.into());
            [c.vocab_size, c.block_size(), c.num_hidden_layers, c.num_attention_heads, c.hidden_size]
        }
        Config::Clip(c) => {
            let (t, v) = (&c.text_config, &c.vision_config);
            let vision = [
                v.image_size,
                v.patch_size,
                v.num_hidden_layers,
                v.num_attention_heads,
                v.hidden_size,
                c.projection_dim,
            ];
            table.insert("objective".to_owned(), if c.sigmoid { "siglip" } else { "clip" }.into());
            table.insert("clip".to_owned(), Value::Table(numbers(&DECIDED_OF_CLIP, vision)));
            let longest = t.max_position_embeddings;
            [t.vocab_size, longest, t.num_hidden_layers, t.num_attention_heads, t.hidden_size]
        }
    };
    table.extend(numbers(&DECIDED, sizes));
    table
}

/// Numbers by their names.
fn numbers<'a>(keys: impl IntoIterator<Item = &'a &'a str>, values: impl IntoIterator<Item = usize>) -> Table {
    keys.into_iter().zip(values).map(|(key, value)| ((*key).to_owned(), (value as i64).into())).collect()
}

/// Lays the sizes of the model in `from` over a table of options. `flags` are those that the user gave now.
///
/// Errors: no model that can be opened; one of another kind; flags that contradict it.
pub fn lay_in(table: &mut Table, flags: &Table, from: &Path, model: ModelName) -> Result<()> {
    leave_out_decided(flags)?;
    let config = hub::config(from)?;
    let name = match config {
        Config::Gpt(_) => ModelName::Gpt,
        Config::Bert(_) => ModelName::Bert,
        Config::Clip(_) => ModelName::Clip,
    };
    if name != model {
        let (title, wanted) = (name.title(), model.title());
        let what = format!(
            "holds a {title}, which this cannot go on from: give a {wanted} (`pretext train {}` makes one), or say \
             `pretext train {} --from`",
            model.name(),
            name.name()
        );
        return Err(Error::file(from, what));
    }
    if let Config::Clip(c) = &config {
        let (own, other) = if c.sigmoid { ("siglip", "clip") } else { ("clip", "siglip") };
        if flags.get("objective").is_some_and(|said| said.as_str() == Some(other)) {
            let what = "and its bias and temperature are of that: leave --objective out";
            return Err(Error::Options(format!("{} learned with --objective {own}, {what}", from.display())));
        }
        // What it has seen under transparent pictures it sees on, unless something else is said.
        let ground = hub::clip::open_preprocess(from, c)?.ground;
        if let Value::Table(table) = table.entry("clip").or_insert(Value::Table(Table::new())) {
            table.entry("ground").or_insert(ground.map(i64::from).to_vec().into());
        }
    }
    table.remove("tokenizer");
    lay_over(table, &decided(&config));
    if config.dropout() > 0.0 {
        table.entry("dropout").or_insert(config.dropout().into());
    }
    Ok(())
}

/// The model in a directory with its weights, and with the options' share of dropout. Of a BERT without the head that finds
/// hidden tokens, which others leave out, the head begins with random weights where that is what is learned; for vectors of
/// texts none is needed. Says whether it does.
///
/// Errors: no model that can be opened; options that say other sizes than it has.
pub fn open(directory: &Path, options: &Options) -> Result<(Model, Params, bool)> {
    let from = Pretrained::open_any(directory)?;
    agree(directory, &decided(&from.model.config()), options)?;
    let config = from.model.config().with_dropout(options.dropout);
    let headless = !from.model.has_loss();
    let new_head = headless && options.objective != Some(ObjectiveName::Simcse);
    let (model, mut params) = match headless {
        true if new_head => config.init(options.seed),
        true => config.build_zeroed_body(),
        false => config.build_zeroed(),
    };
    params.adopt(&from.params);
    Ok((model, params, new_head))
}

/// An error if a file of options says other sizes than the model has that it goes on from.
fn agree(directory: &Path, decided: &Table, options: &Options) -> Result<()> {
    let told = Table::try_from(options).expect("options are plain values");
    let differs = |decided: &Table, told: &Table| {
        let other = decided.iter().find(|(key, value)| !value.is_table() && told.get(*key) != Some(*value));
        other.map(|(key, value)| (key.clone(), value.clone(), told.get(key).cloned()))
    };
    let of_clip = |table: &Table| table.get("clip").and_then(Value::as_table).cloned().unwrap_or_default();
    let found = differs(decided, &told).or_else(|| differs(&of_clip(decided), &of_clip(&told)));
    match found {
        Some((key, has, said)) => {
            let said = said.map_or("nothing".to_owned(), |said| said.to_string());
            let what = format!("its {key} is {has}, and the options say {said}: leave {key} out of them");
            Err(Error::file(directory, what))
        }
        None => Ok(()),
    }
}
