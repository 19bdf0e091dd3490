//! What a fine-tuned checkpoint is for, as `transformers` says it: by the name of its architecture.

use serde_json::Value;

use crate::Config;
use crate::bert::config::Form;

/// What a fine-tuned model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A label for a text.
    Classify,
    /// A label for each word.
    Tag,
    /// A passage of a text that answers a question.
    Answer,
}

impl Kind {
    /// All of them.
    const ALL: [Self; 3] = [Self::Classify, Self::Tag, Self::Answer];

    /// The command that uses it.
    pub fn command(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Tag => "tag",
            Self::Answer => "answer",
        }
    }

    /// What the names of its architectures end with.
    fn ending(self) -> &'static str {
        match self {
            Self::Classify => "ForSequenceClassification",
            Self::Tag => "ForTokenClassification",
            Self::Answer => "ForQuestionAnswering",
        }
    }

    /// What the model for it is called.
    pub(crate) fn architecture(self, config: &Config) -> String {
        let family = match config {
            Config::Gpt(_) => "GPT2",
            Config::Clip(_) => "CLIP",
            Config::Bert(config) => match config.model_type {
                Form::PostNorm => "Bert",
                Form::PreNorm => "RobertaPreLayerNorm",
                Form::Roberta => "Roberta",
            },
        };
        format!("{family}{}", self.ending())
    }

    /// What a config.json says that its model is for; none of one that was only pre-trained.
    pub(crate) fn of(json: &Value) -> Option<Self> {
        let name = json["architectures"][0].as_str()?;
        Self::ALL.into_iter().find(|kind| name.ends_with(kind.ending()))
    }
}
