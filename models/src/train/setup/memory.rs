//! How much memory a run takes, reckoned before anything is read: what does not fit would fail much later.

use crate::error::{Error, Result};
use crate::model::texts::TOKENS;
use crate::train::options::Options;
use crate::train::representation::TEXTS;
use crate::train::step;

/// About how much memory a run takes, in bytes of f32: weights and two moments; for each position of a micro-batch the 10 rows
/// of width C that a block keeps for its backward pass (3 of q, k, v, 1 of attention, 1 sum, 4 hidden, and the stream), or the
/// last of them alone when the others are computed again, and gradients (of both halves, where the batch is computed in
/// halves), which come to lie where these stood, unless more micro-batches follow; some 24 rows more for the block at work;
/// the logits, or a chunk of them. Where vectors are measured in between, 13 rows for each of their tokens, in the place of all
/// that a step computes.
pub fn needed(o: &Options, parameters: f64) -> f64 {
    let (width, layers) = (o.width as f64, o.layers as f64);
    let positions = o.micro_batch as f64 * o.block_size as f64;
    let rows = if o.recompute { 1.0 } else { 10.0 };
    let mut measured = TOKENS.max(o.block_size) as f64 * width * 13.0;
    let (mut kept, mut at_work) = (positions * width * rows * layers, positions * width * 24.0);
    let mut logits = (positions * o.vocab_size as f64).min(autograd::ops::lm_head::CHUNK as f64);
    if let Some(of) = &o.clip {
        // The image encoder's as well; scores of pairs in the place of logits, and two batches of pixels.
        let picture = of.vision_width as f64 * (1.0 + (of.image_size as f64 / of.patch_size as f64).powi(2));
        kept += o.micro_batch as f64 * picture * rows * of.vision_layers as f64;
        at_work += o.micro_batch as f64 * picture * 24.0;
        measured = TEXTS as f64 * 13.0 * picture.max(width * o.block_size as f64);
        let batch = o.batch_size as f64;
        logits = 6.0 * batch * batch + 2.0 * batch * 3.0 * (of.image_size as f64).powi(2);
    }
    let halves = step::in_halves(parameters as usize, o.batch_size, o.micro_batch);
    let gradients = if halves { 2.0 * parameters } else { parameters };
    let both = if o.micro_batch < o.batch_size { kept + gradients } else { kept.max(gradients) };
    4.0 * (3.0 * parameters + (both + at_work + logits).max(measured)) + f64::from(32 << 20)
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
