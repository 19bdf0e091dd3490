//! What is saved, so that a run killed at any moment goes on with the same bits.
//!
//! state.safetensors holds everything that the next step depends on: the weights, the moments, the step. It is one
//! file, replaced as a whole, so it is complete or the one before. model.safetensors beside it is the same weights
//! for the rest of the world; a crash between the two leaves it a checkpoint older, and the resumed run replaces it.

use std::iter;
use std::path::Path;

use autograd::{Muon, Params};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hub::weights::{self, Named, Weights};

/// The file's name in a run directory.
pub const STATE: &str = "state.safetensors";
const KEY: &str = "pretext";

/// Where a run stands, beside its weights and moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Steps made.
    pub step: u64,
    /// The best validation loss so far, and after which step.
    pub best: Option<(f64, u64)>,
    /// Seconds trained so far.
    pub seconds: f64,
    /// What the run trains on; it goes on with nothing else.
    pub data: String,
    /// The digest of its tokenizer: with another one, ids are other words. States of before this was kept have none.
    #[serde(default)]
    pub tokenizer: String,
}

/// Writes the state of a run.
pub fn save(directory: &Path, position: &Position, params: &Params, optimizer: &Muon) -> Result<()> {
    let mut tensors = weights::named(params);
    let adamw = &optimizer.adamw;
    for (prefix, moment, of_all) in [("m.", &adamw.m, true), ("v.", &adamw.v, false)] {
        tensors.extend(params.pieces().filter(|piece| of_all || !optimizer.takes(piece.id)).map(|piece| Named {
            name: format!("{prefix}{}", piece.name),
            shape: piece.shape.to_vec(),
            data: &moment[piece.place],
        }));
    }
    let position = serde_json::to_string(position).expect("numbers become JSON");
    weights::write(&directory.join(STATE), &tensors, (KEY, &position))
}

/// Where the run in a directory stands.
pub fn position(directory: &Path) -> Result<Position> {
    read_position(&Weights::open(&directory.join(STATE))?)
}

fn read_position(file: &Weights) -> Result<Position> {
    let says = file.metadata(KEY);
    let way_out = "bring it back from a copy, or begin a new run with --from this directory";
    let says =
        says.ok_or_else(|| Error::file(file.path(), format!("is no state of a run, for it says no step: {way_out}")))?;
    serde_json::from_str(&says).map_err(|error| {
        Error::file(file.path(), format!("is no state of a run that this version knows ({error}): {way_out}"))
    })
}

/// Reads the state of a run into a model's parameters and optimiser, and returns where it stands.
pub fn load(directory: &Path, params: &mut Params, optimizer: &mut Muon) -> Result<Position> {
    let path = directory.join(STATE);
    let file = Weights::open(&path)?;
    let position = read_position(&file)?;
    let moments = |id| if optimizer.takes(id) { 1 } else { 2 };
    let (has, asked) = (file.names().len(), params.pieces().map(|piece| 1 + moments(piece.id)).sum::<usize>());
    if has != asked {
        let what = format!(
            "holds {has} tensors, but the model and the optimizer of train.toml have {asked}: bring train.toml back to what it was"
        );
        return Err(Error::file(&path, what));
    }
    file.fill(params, |name| Ok(name.to_owned()))?;
    for piece in params.pieces() {
        let second = !optimizer.takes(piece.id);
        let adamw = &mut optimizer.adamw;
        for (prefix, moment) in iter::once(("m.", &mut adamw.m)).chain(second.then_some(("v.", &mut adamw.v))) {
            let name = format!("{prefix}{}", piece.name);
            let (_, numbers) = file.numbers(&name)?;
            if numbers.len() != piece.place.len() {
                return Err(Error::file(
                    &path,
                    format!("{name} does not fit {}, the file is damaged: bring it back from a copy", piece.name),
                ));
            }
            moment[piece.place.clone()].copy_from_slice(&numbers);
        }
    }
    optimizer.adamw.steps = position.step;
    Ok(position)
}
