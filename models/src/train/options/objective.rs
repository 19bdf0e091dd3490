//! Options that belong to an objective: their defaults, and what goes together.

use toml::{Table, Value};

use super::{ModelName, ObjectiveName, Options};
use crate::error::{Error, Result};
use crate::pretext::contrastive::{HARDNESS, TEMPERATURE};
use crate::pretext::masked::MASK_SHARE;

/// The share that dropout drops where it makes the two views of a text, if neither the user nor the model has one: that of
/// BERT, and the best of those that Gao et al. 2021 tried (section 3).
const VIEWS_DROPOUT: f64 = 0.1;

/// Whether a table of options asks for contrastive prediction.
pub(super) fn contrastive(table: &Table) -> bool {
    table.get("objective").and_then(Value::as_str) == Some("simcse")
}

/// What nobody said of a model's objective.
pub(super) fn defaults(model: ModelName, simcse: bool) -> Vec<(&'static str, Value)> {
    match model {
        ModelName::Gpt => vec![],
        ModelName::Bert if simcse => vec![
            ("norm", "pre".into()),
            ("temperature", TEMPERATURE.into()),
            ("hardness", HARDNESS.into()),
            ("dropout", VIEWS_DROPOUT.into()),
        ],
        ModelName::Bert => vec![
            ("norm", "pre".into()),
            ("objective", "masked".into()),
            ("mask_share", MASK_SHARE.into()),
            ("mask_unit", "token".into()),
        ],
        ModelName::Clip => vec![("objective", "clip".into())],
    }
}

/// Refuses what was said of another objective, or does not go with this.
pub(super) fn check(o: &Options) -> Result<()> {
    let fail = |what: String| Err(Error::Options(what));
    let masking = o.mask_share.is_some() || o.mask_unit.is_some();
    let contrast = o.temperature.is_some() || o.hardness.is_some();
    let of_clip = matches!(o.objective, Some(ObjectiveName::Clip | ObjectiveName::Siglip));
    let foreign = match o.model {
        ModelName::Gpt => o.norm.is_some() || o.objective.is_some() || masking || contrast,
        ModelName::Bert => of_clip,
        ModelName::Clip => o.norm.is_some() || !of_clip || masking || contrast,
    };
    if foreign && o.model == ModelName::Bert {
        return fail("the objectives clip and siglip are CLIP's: give masked or simcse, or train clip".to_owned());
    }
    if foreign {
        let what = "norm, the objectives masked and simcse, mask-share, mask-unit, temperature and hardness are BERT's";
        return fail(format!("{what}: leave them out, or train bert"));
    }
    if o.mask_share.is_some_and(|share| !(share > 0.0 && share < 1.0)) {
        return fail("--mask-share is no share: give more than 0 and less than 1".to_owned());
    }
    if o.objective != Some(ObjectiveName::Simcse) {
        let what = "temperature and hardness belong to --objective simcse: leave them out";
        return if contrast { fail(what.to_owned()) } else { Ok(()) };
    }
    if masking {
        return fail("--mask-share and --mask-unit hide tokens, and simcse hides none: leave them out".to_owned());
    }
    if o.batch_size < 2 {
        return fail("a batch of 1 has no other text to be told from: give --batch-size 2 or more".to_owned());
    }
    if o.micro_batch < o.batch_size {
        let what = "each text of a batch is told from all others, so all are computed at once";
        return fail(format!("{what}: leave --micro-batch out, and give a smaller --batch-size to save memory"));
    }
    if o.dropout == 0.0 {
        return fail("without dropout the two views of a text are the same: give --dropout 0.1".to_owned());
    }
    if o.temperature.is_some_and(|t| !(t > 0.0 && t.is_finite())) {
        return fail("--temperature divides cosines: give more than 0, such as 0.05".to_owned());
    }
    if o.hardness.is_some_and(|h| !(0.0..=100.0).contains(&h)) {
        return fail("--hardness is from 0 (all negatives count alike) to 100".to_owned());
    }
    Ok(())
}
