//! The model card: README.md, which says what the other files do not. What the model is, from which data, by which options and
//! which command it came to be, how good it is, and how it is used.
//!
//! It says what the run's own files say (train.toml, metrics.jsonl, finetune.toml, results.json), and of a checkpoint without
//! them nothing that is not known. A card that somebody wrote for the source is kept, with a line on what was exported. Of
//! paths only the last name is told: the rest of them is the business of the machine that they are on.

mod python;
mod run;
mod tuned;

use std::fs;
use std::path::Path;

use super::{CARD, Dtype, Source};
use crate::error::{Error, Result};
use crate::files::quoted;
use crate::hub::task::Kind;
use crate::train::chart::thousands;
use crate::{Config, Model};
use run::Run;

/// What a model is for, which decides how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Generate,
    Fill,
    Embed,
    Pictures,
    /// What it was fine-tuned for.
    Task(Kind),
}

impl Purpose {
    fn of(source: &Source, run: Option<&Run>) -> Self {
        match (source.checkpoint.task(), &source.model) {
            (Some(task), _) => Self::Task(task),
            (_, Model::Gpt(_)) => Self::Generate,
            (_, Model::Clip(_)) => Self::Pictures,
            (_, Model::Bert(_)) if source.checkpoint.has_head() && !run.is_some_and(Run::of_sentences) => Self::Fill,
            (_, Model::Bert(_)) => Self::Embed,
        }
    }

    /// What the hub calls it.
    fn pipeline(self) -> &'static str {
        match self {
            Self::Generate => "text-generation",
            Self::Fill => "fill-mask",
            Self::Embed => "feature-extraction",
            Self::Pictures => "zero-shot-image-classification",
            Self::Task(Kind::Classify) => "text-classification",
            Self::Task(Kind::Tag) => "token-classification",
            Self::Task(Kind::Answer) => "question-answering",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Generate => "It continues texts.",
            Self::Fill => "It finds hidden tokens of a text.",
            Self::Embed => "It turns texts into vectors that lie near each other where the texts are alike.",
            Self::Pictures => {
                "It turns pictures and texts into vectors of one space, where those that belong together are near."
            }
            Self::Task(Kind::Classify) => "It was fine-tuned to give a text one of these labels:",
            Self::Task(Kind::Tag) => "It was fine-tuned to give each word of a text one of these labels:",
            Self::Task(Kind::Answer) => "It was fine-tuned to find the passage of a text that answers a question.",
        }
    }

    /// The command that uses it here.
    fn command(self, source: &Source, name: &str) -> String {
        match self {
            Self::Generate => format!("pretext generate {name} \"One day\""),
            Self::Fill => {
                let tokenizer = source.tokenizer.as_ref();
                let mask =
                    tokenizer.and_then(|tokenizer| tokenizer.token(tokenizer.frame()?.mask)).unwrap_or(b"[MASK]");
                format!("pretext fill {name} \"It is in the {}.\"", String::from_utf8_lossy(mask))
            }
            Self::Embed => format!("pretext embed {name} \"a text\" \"another\""),
            Self::Pictures => format!("pretext classify {name} picture.png --labels names.txt"),
            Self::Task(Kind::Classify) => format!("pretext classify {name} \"a text\""),
            Self::Task(Kind::Tag) => format!("pretext tag {name} \"a text\""),
            Self::Task(Kind::Answer) => format!("pretext answer {name} \"a question\" \"a text\""),
        }
    }
}

/// The text of the card for what is exported to `out`.
///
/// Errors: files of the source that are damaged.
pub(super) fn card(source: &Source, out: &Path, dtype: Dtype) -> Result<String> {
    let name = std::path::absolute(out).ok().and_then(|out| Some(out.file_name()?.to_string_lossy().into_owned()));
    let name = name.unwrap_or_else(|| "model".to_owned());
    let rounded = if dtype == Dtype::F32 { "" } else { ", rounded to the nearest" };
    let numbers = format!("Its numbers are {}{rounded}.", dtype.title());
    let path = source.directory.join(CARD);
    if path.exists() {
        let theirs = fs::read_to_string(&path).map_err(|error| Error::io(&path, "read", &error))?;
        return Ok(format!("{}\n\nWritten anew by `pretext export` as {name}. {numbers}\n", theirs.trim_end()));
    }
    let run = Run::open(&source.directory)?;
    let purpose = Purpose::of(source, run.as_ref());
    let mut parts = vec![
        format!("---\nlibrary_name: transformers\npipeline_tag: {}\ntags:\n- pretext\n---", purpose.pipeline()),
        format!("# {name}"),
        introduction(source, purpose, run.as_ref()),
        sizes(source),
        numbers,
    ];
    if let Some(run) = &run {
        parts.extend([run.data(), run.results(source), run.training()]);
    }
    parts.extend(tuned::sections(&source.directory)?);
    if let Some(code) = python::snippet(source, purpose, &name) {
        let command = purpose.command(source, &quoted(&name));
        parts.push(format!("## Use\n\n```python\n{}\n```\n\nOr with Pretext:\n\n    {command}", code.trim()));
    }
    Ok(parts.join("\n\n") + "\n")
}

/// What it is, and what it is for.
fn introduction(source: &Source, purpose: Purpose, run: Option<&Run>) -> String {
    let json = &source.checkpoint.json;
    let kind = match &source.checkpoint.config {
        Config::Gpt(_) => "GPT",
        Config::Bert(_) => "BERT",
        Config::Clip(_) => "CLIP",
    };
    let learned = run.map_or(String::new(), |run| format!(", {}", run.learned()));
    let form = json["model_type"].as_str().unwrap_or_default();
    let labels = match (purpose, json["id2label"].as_object()) {
        (Purpose::Task(Kind::Classify | Kind::Tag), Some(labels)) => {
            let mut labels: Vec<(u64, &str)> =
                labels.iter().filter_map(|(id, label)| Some((id.parse().ok()?, label.as_str()?))).collect();
            labels.sort_unstable();
            let shown: Vec<String> = labels.iter().take(30).map(|(_, label)| format!("`{label}`")).collect();
            let more = labels.len() - shown.len();
            format!(" {}{}", shown.join(", "), if more > 0 { format!(" and {more} more.") } else { ".".to_owned() })
        }
        _ => String::new(),
    };
    format!("A {kind} (`{form}`){learned}. {}{labels}", purpose.sentence())
}

fn sizes(source: &Source) -> String {
    let parameters = thousands(source.parameters() as u64);
    let row =
        |what: &str, layers: usize, heads: usize, width: usize| format!("| {what} | {layers} | {heads} | {width} |");
    let rows = match &source.checkpoint.config {
        Config::Gpt(c) => vec![row("model", c.n_layer, c.n_head, c.n_embd)],
        Config::Bert(c) => vec![row("model", c.num_hidden_layers, c.num_attention_heads, c.hidden_size)],
        Config::Clip(c) => {
            let (t, v) = (&c.text_config, &c.vision_config);
            vec![
                row("text encoder", t.num_hidden_layers, t.num_attention_heads, t.hidden_size),
                row("image encoder", v.num_hidden_layers, v.num_attention_heads, v.hidden_size),
            ]
        }
    };
    let pictures = match &source.checkpoint.config {
        Config::Clip(c) => {
            let (v, e) = (&c.vision_config, c.projection_dim);
            let [side, patch] = [v.image_size, v.patch_size];
            let bias = match c.sigmoid {
                true => {
                    " A pair's score, as it was trained, is `logit_bias` more than what `CLIPModel` says, which does not know \
                     of it: the order of scores is the same."
                }
                false => "",
            };
            format!(
                " Pictures of {side} x {side} pixels are seen in patches of {patch} x {patch}; vectors have {e} numbers.{bias}"
            )
        }
        _ => String::new(),
    };
    let (tokens, block) = (thousands(source.model.vocab_size() as u64), source.model.block_size());
    format!(
        "It has {parameters} parameters, knows {tokens} tokens and sees {block} of them at once.{pictures}\n\n\
         | | blocks | heads | width |\n|---|---|---|---|\n{}",
        rows.join("\n")
    )
}

/// The last name of a path.
fn last_name(path: &str) -> String {
    Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy()).into_owned()
}
