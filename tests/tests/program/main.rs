//! The program end to end, as a user runs it.

mod bad_input;
mod clip;
mod export;
mod flags;
mod gguf;
mod going_on;
mod hub;
mod import;
mod kept;
mod opening;
mod shared_space;
mod simcse;
mod training;
mod transfer;
mod use_of_it;

use std::path::Path;

/// A model so small that a step takes a moment.
const TINY: &[&str] = &[
    "--layers",
    "1",
    "--heads",
    "2",
    "--width",
    "16",
    "--block-size",
    "32",
    "--batch-size",
    "4",
    "--vocab-size",
    "300",
];

/// What makes a CLIP of it, as small that a step takes a moment.
const TINY_CLIP: &[&str] = &[
    "clip",
    "--image-size",
    "16",
    "--patch-size",
    "8",
    "--vision-layers",
    "1",
    "--vision-heads",
    "2",
    "--vision-width",
    "16",
    "--embed-dim",
    "8",
];

/// The words that train a tiny model into `out`.
fn train<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let out = out.to_str().expect("temporary directories have plain names");
    [&["train", "--out", out], TINY, more].concat()
}
