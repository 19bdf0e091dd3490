//! What is put around a text before a model reads it, and around two texts that it reads together.
//!
//! BERT reads `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, and is told by a type of 0 or 1 for each token which text it belongs
//! to (Devlin et al. 2019, figure 2); RoBERTa `<s> A </s>` or `<s> A </s></s> B </s>`, without types; CLIP
//! `<|startoftext|> A <|endoftext|>`. A tokenizer file says which, so that another program makes the ids that a
//! model was trained with.

use crate::{END_OF_TEXT, Error, START_OF_TEXT, Special, Tokenizer};

/// The order of texts and the tokens around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Around one text.
    pub single: Vec<Slot>,
    /// Around two.
    pub pair: Vec<Slot>,
}

/// A place of a [`Template`]: what stands there, and the type of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The token with this id.
    Token(u32, u32),
    /// The first text.
    First(u32),
    /// The second text.
    Second(u32),
}

/// Two texts as a model reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The ids.
    pub ids: Vec<u32>,
    /// The type of each, BERT's `token_type_ids`.
    pub types: Vec<u32>,
    /// The place where the second text begins.
    pub second: usize,
}

use Slot::{First, Second, Token};

impl Template {
    /// BERT's: `[CLS] A [SEP]`, `[CLS] A [SEP] B [SEP]`, the second text and its end of type 1.
    pub fn bert(cls: u32, sep: u32) -> Self {
        let single = vec![Token(cls, 0), First(0), Token(sep, 0)];
        Self { pair: [&single[..], &[Second(1), Token(sep, 1)]].concat(), single }
    }

    /// RoBERTa's: `<s> A </s>`, `<s> A </s></s> B </s>`, all of type 0.
    pub fn roberta(cls: u32, sep: u32) -> Self {
        let single = vec![Token(cls, 0), First(0), Token(sep, 0)];
        Self { pair: [&single[..], &[Token(sep, 0), Second(0), Token(sep, 0)]].concat(), single }
    }

    /// A text between what begins it, if anything does, and what ends it; of two texts each is ended.
    pub fn ends(start: Option<u32>, end: u32) -> Self {
        let single: Vec<Slot> = start.map(|id| Token(id, 0)).into_iter().chain([First(0), Token(end, 0)]).collect();
        Self { pair: [&single[..], &[Second(0), Token(end, 0)]].concat(), single }
    }

    /// The ids and types of one of the two forms with these texts in their places.
    pub fn filled(form: &[Slot], first: &[u32], second: &[u32]) -> Pair {
        let mut filled = Pair::default();
        for slot in form {
            match slot {
                Token(id, _) => filled.ids.push(*id),
                First(_) => filled.ids.extend_from_slice(first),
                Second(_) => {
                    filled.second = filled.ids.len();
                    filled.ids.extend_from_slice(second);
                }
            }
            let (Token(_, kind) | First(kind) | Second(kind)) = *slot;
            filled.types.resize(filled.ids.len(), kind);
        }
        filled
    }
}

impl Tokenizer {
    /// What is put around a text; none if nothing is.
    pub fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    /// The same tokenizer with another template. Its file then carries it.
    ///
    /// Panics if the template has a token outside the vocabulary.
    #[must_use]
    pub fn with_template(self, template: Option<Template>) -> Self {
        for slot in template.iter().flat_map(|t| t.single.iter().chain(&t.pair)) {
            if let Token(id, _) = *slot {
                assert!((id as usize) < self.vocab_size(), "a template with the id {id}, which is no token's");
            }
        }
        Self { template, ..self }
    }

    /// The same tokenizer with the template of CLIP's texts: [`END_OF_TEXT`] behind each, and before it
    /// [`START_OF_TEXT`] if the vocabulary has that. Without an end of text it stays as it is.
    #[must_use]
    pub fn with_ends(self) -> Self {
        let Some(end) = self.special(END_OF_TEXT) else { return self };
        let template = Template::ends(self.special(START_OF_TEXT), end);
        self.with_template(Some(template))
    }

    /// The ids of a text as the model reads it: [`encode`](Self::encode) in its [`template`](Self::template).
    ///
    /// # Errors
    ///
    /// Those of [`encode`](Self::encode).
    pub fn encode_framed(&self, text: &[u8], special: Special) -> Result<Vec<u32>, Error> {
        let text = self.encode(text, special)?;
        Ok(match &self.template {
            Some(template) => Template::filled(&template.single, &text, &[]).ids,
            None => text,
        })
    }

    /// The ids and types of two texts as the model reads them together; without a template one after the other.
    ///
    /// # Errors
    ///
    /// Those of [`encode`](Self::encode).
    pub fn encode_pair(&self, first: &[u8], second: &[u8], special: Special) -> Result<Pair, Error> {
        let slots = self.template.as_ref().map_or(&[First(0), Second(1)][..], |template| &template.pair);
        Ok(Template::filled(slots, &self.encode(first, special)?, &self.encode(second, special)?))
    }
}
