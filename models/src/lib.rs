//! What is learned, and how.
//!
//! In reading order:
//!
//! - [`error`] and [`files`] are for the world outside: sentences, and files that are complete or absent.
//! - [`nn`]: the layers that all models share.
//! - [`pretext`]: free labels from raw data: next-token prediction, masked prediction, contrastive prediction.
//! - [`gpt`]: GPT-2, top-down. [`bert`]: BERT, likewise. [`clip`]: CLIP, with its image encoder. [`model`]: all by one name.
//! - [`data`]: raw data in: texts, pictures with captions, labelled examples, the built-in world.
//! - [`hub`]: a model's files as Hugging Face has them, in and out.
//! - [`mod@train`]: the loop, checkpoints, metrics.
//! - [`transfer`]: what was learned in use: generating, filling, fine-tuning, vectors and search, naming pictures.
//! - [`verify`]: agreement with recorded references. [`export`]: a model on its way out, to others' formats.
//!
//! A file knows its own room and those that stand before it, and none that come later: a test holds all to this. Targets and
//! losses stand before the models, for these take batches and give losses; how a model is saved stands before how it is trained,
//! for a run is saved on its way; what is told of a model at the end knows all of it.

#![forbid(unsafe_code)]

pub mod bert;
pub mod clip;
pub mod data;
pub mod error;
pub mod export;
pub mod files;
pub mod gpt;
pub mod hub;
pub mod model;
pub mod nn;
pub mod pretext;
pub mod train;
pub mod transfer;
pub mod verify;

pub use error::{Error, Result};
pub use model::{Config, Model};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// The rooms in reading order; what stands in one row does not know each other.
    const ROOMS: [&[&str]; 11] = [
        &["error"],
        &["files"],
        &["nn"],
        &["pretext"],
        &["gpt", "bert", "clip"],
        &["model"],
        &["data"],
        &["hub"],
        &["train"],
        &["transfer"],
        &["verify", "export"],
    ];

    fn order(room: &str) -> Option<usize> {
        ROOMS.iter().position(|rooms| rooms.contains(&room))
    }

    /// The code of all files of a room, without their tests.
    fn code(path: &Path, all: &mut Vec<(String, String)>) {
        if path.is_dir() {
            if !path.ends_with("tests") {
                fs::read_dir(path).unwrap().for_each(|entry| code(&entry.unwrap().path(), all));
            }
        } else if !path.ends_with("tests.rs") {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            all.push((path.display().to_string(), code));
        }
    }

    #[test]
    fn a_room_knows_those_above_it_and_none_below() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut known = 0;
        for entry in fs::read_dir(source).unwrap() {
            let path = entry.unwrap().path();
            let room = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if room == "lib" {
                continue;
            }
            let place = order(&room).unwrap_or_else(|| panic!("{room} has no place among the rooms"));
            let mut files = Vec::new();
            code(&path, &mut files);
            for (file, code) in files {
                for after in code.split("crate::").skip(1) {
                    let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    // `crate::{Config, files}` names several, and what lib.rs gives out is the model's or the error's.
                    let names: Vec<&str> = match after.strip_prefix('{') {
                        Some(list) => list.split('}').next().unwrap().split(',').map(str::trim).collect(),
                        None => vec![&name],
                    };
                    for name in names {
                        let of = match name.split("::").next().unwrap() {
                            "Model" | "Config" => "model",
                            "Error" | "Result" => "error",
                            room => room,
                        };
                        let Some(other) = order(of).filter(|_| of != room) else { continue };
                        assert!(other < place, "{file} knows {of}, and {room} stands before it");
                        known += 1;
                    }
                }
            }
        }
        assert!(known > 100, "{known} uses of a room by another were found");
    }
}
