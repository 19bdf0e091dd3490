//! The CLIP model: two encoders, two projections, and a temperature that is learned.

use autograd::{Init, ParamId, Params, Scope, Tape};

use super::ClipConfig;
use super::config::{INITIAL_BIAS, INITIAL_SCALE};
use super::text::TextEncoder;
use super::vision::ImageEncoder;
use crate::nn::Value;
use crate::pretext::MicroBatch;
use crate::pretext::contrastive::unit;
use crate::pretext::image_text::{self, Twins};

/// The largest logarithm of the temperature's inverse: scores are at most 100 times a cosine, beyond which training became
/// unstable (Radford et al. 2021, section 2.5).
const LARGEST_SCALE: f32 = 4.605_170_2; // ln 100

/// CLIP (Radford et al. 2021), with the parameter names of Hugging Face's checkpoint.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Sizes and rates.
    pub config: ClipConfig,
    text: TextEncoder,
    vision: ImageEncoder,
    visual_projection: ParamId, // [E, C of the image encoder]
    text_projection: ParamId,   // [E, C of the text encoder]
    /// ln of what cosines are multiplied with.
    logit_scale: ParamId, // a single number
    /// What is added to them where pairs are told from others one by one.
    logit_bias: Option<ParamId>,
}

impl Clip {
    /// The model in a scope; its parameters are "text_model.…", "vision_model.…", "visual_projection.weight",
    /// "text_projection.weight", "logit_scale".
    pub fn new(c: &ClipConfig, mut at: Scope) -> Self {
        let text = TextEncoder::new(&c.text_config, at.here());
        let vision = ImageEncoder::new(&c.vision_config, at.here());
        let mut projection = |name: &str, width: usize| {
            let sigma = (width as f64).powf(-0.5); // the paper's code
            at.enter(name).param("weight", [c.projection_dim, width], Init::Normal(sigma))
        };
        Self {
            visual_projection: projection("visual_projection", c.vision_config.hidden_size),
            text_projection: projection("text_projection", c.text_config.hidden_size),
            logit_scale: at.param("logit_scale", [], Init::Filled(c.logit_scale_init_value)),
            logit_bias: c.sigmoid.then(|| at.param("logit_bias", [], Init::Filled(INITIAL_BIAS))),
            config: c.clone(),
            text,
            vision,
        }
    }

    /// The model and a store with its initial parameters, a function of `seed`.
    pub fn init(config: &ClipConfig, seed: u64) -> (Self, Params) {
        Params::build(seed, |at| Self::new(config, at))
    }

    /// Pixels `[B, 3, S, S]` of B pictures → their vectors, of length 1: `[B, E]`.
    pub fn images<'t>(&self, tape: &'t Tape<'t>, pixels: &[f32], batch: usize) -> Value<'t> {
        let x = self.image_states(tape, pixels, batch); // [B, C]
        unit(x.linear_t(tape.param(self.visual_projection), None))
    }

    /// The same before the projection, as classifiers learn from it (Radford et al. 2021, appendix A.3): `[B, C]`.
    pub fn image_states<'t>(&self, tape: &'t Tape<'t>, pixels: &[f32], batch: usize) -> Value<'t> {
        self.vision.forward(tape, pixels, batch)
    }

    /// B rows of T ids, each with the token that ends a text → the texts' vectors, of length 1: `[B, E]`.
    pub fn texts<'t>(&self, tape: &'t Tape<'t>, ids: &[u32], batch: usize) -> Value<'t> {
        let x = self.text.forward(tape, ids, batch); // [B, C]
        unit(x.linear_t(tape.param(self.text_projection), None))
    }

    /// Scores of A vectors with B others, `[A, E]` and `[B, E]` → `[A, B]`: cosines times exp(logit_scale), plus the bias if
    /// the model has one.
    pub fn scores<'t>(&self, a: Value<'t>, b: Value<'t>) -> Value<'t> {
        let (tape, [rows, e]) = (a.tape(), [a.shape().rows(), a.shape().cols()]);
        let repeated = |id, n| tape.param(id).reshape([1]).repeat_cols(n).reshape([n]);
        let scale = repeated(self.logit_scale, e).exp(); // [E]
        let scores = (a * scale.repeat_rows(rows)).matmul_t(false, b, true); // [A, B]
        match self.logit_bias {
            Some(bias) => scores + repeated(bias, b.shape().rows()).repeat_rows(rows),
            None => scores,
        }
    }

    /// Σᵢ ℓᵢ / divisor over the batch's pairs, which are told from one another: see [`image_text`]. Of a micro-batch
    /// this is the loss of a smaller batch.
    pub fn loss<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>, divisor: f64) -> Value<'t> {
        let (images, texts) = self.vectors(tape, micro);
        self.loss_of(images, texts, &micro.twins(), divisor)
    }

    /// The same of vectors, `[B, E]` each.
    pub fn loss_of<'t>(&self, images: Value<'t>, texts: Value<'t>, twins: &Twins, divisor: f64) -> Value<'t> {
        let scores = self.scores(images, texts);
        if self.config.sigmoid {
            return image_text::one_by_one(scores, twins, divisor);
        }
        image_text::among_all([scores, self.scores(texts, images)], twins, divisor)
    }

    /// The vectors of its pictures and captions: `[B, E]` each.
    pub fn vectors<'t>(&self, tape: &'t Tape<'t>, micro: MicroBatch<'_>) -> (Value<'t>, Value<'t>) {
        (self.images(tape, micro.pixels, micro.rows), self.texts(tape, micro.ids, micro.rows))
    }

    /// exp(logit_scale): what cosines are multiplied with.
    pub fn scale(&self, params: &Params) -> f64 {
        f64::from(params.value(self.logit_scale)[0]).exp()
    }

    /// Keeps the temperature within its bounds, after a step has moved it.
    pub fn confine(&self, params: &mut Params) {
        let scale = &mut params.value_mut(self.logit_scale)[0];
        *scale = scale.min(LARGEST_SCALE);
    }
}

impl ClipConfig {
    /// What the sigmoid loss begins with: ln 10 (Zhai et al. 2023, section 3.2).
    pub fn initial_scale(sigmoid: bool) -> f64 {
        if sigmoid { 10f64.ln() } else { INITIAL_SCALE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vit_b_32_has_151_million_parameters() {
        let (_, params) = Params::build_zeroed(|at| Clip::new(&ClipConfig::default(), at));
        assert_eq!(params.count(), 151_277_313); // those of openai/clip-vit-base-patch32
    }
}
