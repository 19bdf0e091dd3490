//! How much memory a run takes, reckoned before anything is read: what does not fit would fail much later.

use crate::error::{Error, Result};
use crate::model::texts::TOKENS;
use crate::train::options::Options;
use crate::train::representation::TEXTS;
use crate::train::step;

/// Rows of width C that a block keeps for its backward pass, for each position: q, k and v, attention, a sum, the hidden layer,
/// and the stream. When the others are computed again, it is the last alone.
const KEPT: f64 = 3.0 + 1.0 + 1.0 + 4.0 + 1.0;
/// About as many more for the block at work: its values and their gradients.
const AT_WORK: f64 = 24.0;
/// And for each token where vectors are measured, without gradients.
const MEASURED: f64 = 13.0;
/// Bytes of the program itself.
const PROGRAM: f64 = (32 << 20) as f64;

/// About how much memory a run takes, in bytes of f32: weights and two moments; what blocks keep of each position of a
/// micro-batch, and gradients (of both halves, where the batch is computed in halves), which come to lie where these stood,
/// unless more micro-batches follow; the block at work; the logits, or a chunk of them. Where vectors are measured in between,
/// they stand in the place of all that a step computes.
pub fn needed(o: &Options, parameters: f64) -> f64 {
    let (width, layers) = (o.width as f64, o.layers as f64);
    let positions = o.micro_batch as f64 * o.block_size as f64;
    let rows = if o.recompute { 1.0 } else { KEPT };
    let mut measured = TOKENS.max(o.block_size) as f64 * width * MEASURED;
    let (mut kept, mut at_work) = (positions * width * rows * layers, positions * width * AT_WORK);
    let mut logits = (positions * o.vocab_size as f64).min(autograd::ops::lm_head::CHUNK as f64);
    if let Some(of) = &o.clip {
        // The image encoder's as well; scores of pairs in the place of logits, and two batches of pixels.
        let picture = of.vision_width as f64 * (1.0 + (of.image_size as f64 / of.patch_size as f64).powi(2));
        kept += o.micro_batch as f64 * picture * rows * of.vision_layers as f64;
        at_work += o.micro_batch as f64 * picture * AT_WORK;
        measured = TEXTS as f64 * MEASURED * picture.max(width * o.block_size as f64);
        let batch = o.batch_size as f64;
        let [of_pairs, batches, colours] = [6.0, 2.0, 3.0]; // scores, their gradients and marks of twins; one is read ahead
        logits = of_pairs * batch * batch + batches * batch * colours * (of.image_size as f64).powi(2);
    }
    let halves = step::in_halves(parameters as usize, o.batch_size, o.micro_batch);
    let gradients = if halves { 2.0 * parameters } else { parameters };
    let both = if o.micro_batch < o.batch_size { kept + gradients } else { kept.max(gradients) };
    4.0 * (3.0 * parameters + (both + at_work + logits).max(measured)) + PROGRAM
}

/// Refuses what the machine's memory cannot hold, where the system tells its size (Linux): it would fail much later.
pub fn check(o: &Options) -> Result<()> {
    let (width, layers, rows) = (o.width as f64, o.layers as f64, (o.vocab_size + o.block_size) as f64);
    let mut parameters = 12.0 * layers * width * width + rows * width;
    if let Some(of) = &o.clip {
        parameters += 12.0 * of.vision_layers as f64 * (of.vision_width as f64).powi(2);
    }
    let asked = needed(o, parameters);
    let Some(there) = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kilobytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
        };
        Some(1024.0 * (kilobytes("MemTotal:")? + kilobytes("SwapTotal:")?))
    }) else {
        return Ok(());
    };
    if asked > there {
        let [asked, there] = [asked, there].map(|bytes| bytes / f64::from(1 << 30));
        let side = if o.clip.is_some() { "a smaller --image-size, " } else { "" };
        let way_out = format!(
            "give {side}fewer --layers, a smaller --width or --block-size, a smaller --micro-batch, or --recompute"
        );
        let what = format!("the run needs about {asked:.1} GiB of memory and this machine has {there:.1}: {way_out}");
        return Err(Error::Options(what));
    }
    Ok(())
}
