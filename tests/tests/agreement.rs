//! Do we compute what `transformers` and PyTorch compute? Held against recorded answers.

use std::path::{Path, PathBuf};

use autograd::muon::{Layout, MOMENTUM};
use autograd::{AdamWOptions, Gradients, IGNORE, Muon, ParamId, Params};
use models::gpt::STYLE;
use models::hub::weights::{self, Weights};
use models::pretext::Batch;
use models::train::step::{Compute, loss_and_gradients};
use models::{hub, verify};
use tensor::matmul::Precision;
use tokenizer::Tokenizer;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

#[test]
fn logits_loss_and_every_gradient_agree_with_transformers() {
    let agreement = verify::verify(&fixture("gpt2"), Precision::Full).unwrap();
    assert!(agreement.agrees && agreement.gradient_error < 1e-4, "{agreement:?}");
    assert_eq!(agreement.parameters, 28, "two tables, twelve in each of two blocks, two of the last norm");
}

#[test]
fn masked_prediction_with_a_padded_row_agrees_with_transformers() {
    let agreement = verify::verify(&fixture("bert"), Precision::Full).unwrap();
    assert!(agreement.agrees && agreement.gradient_error < 1e-4, "{agreement:?}");
    assert_eq!(agreement.parameters, 42, "three tables with a norm, sixteen in each of two blocks, five of the head");
}

#[test]
fn robertas_own_positions_and_head_agree_with_transformers() {
    let agreement = verify::verify(&fixture("roberta"), Precision::Full).unwrap();
    assert!(agreement.agrees && agreement.gradient_error < 1e-4, "{agreement:?}");
    assert_eq!(agreement.parameters, 26, "three tables with a norm, sixteen in the block, five of the head");
}

#[test]
fn pictures_and_texts_agree_with_transformers() {
    let agreement = verify::verify(&fixture("clip"), Precision::Full).unwrap();
    assert!(agreement.agrees && agreement.gradient_error < 1e-4, "{agreement:?}");
    assert_eq!(
        agreement.parameters, 46,
        "two tables and a norm, three and two norms, sixteen in a block of each, three"
    );
}

#[test]
fn equal_texts_are_told_apart_where_transformers_does() {
    let agreement = verify::verify(&fixture("clip_twins"), Precision::Full).unwrap();
    assert!(agreement.agrees && agreement.loss_error < 1e-5 && agreement.gradient_error < 1e-4, "{agreement:?}");
}

#[test]
fn in_bf16_every_gradient_is_near_that_of_transformers() {
    // Scores of pictures are 14 times a cosine, and what rounding does to it: PyTorch's own bf16 is 0.11 off on that model.
    for (model, most) in [("gpt2", 2e-2), ("bert", 2e-2), ("clip", 4e-2)] {
        let agreement = verify::verify(&fixture(model), Precision::Bf16).unwrap();
        assert!(agreement.gradient_error < most && agreement.loss_error < 2e-3, "{model}: {agreement:?}");
        assert!(agreement.gradient_error > 1e-4, "bf16 was asked for: {agreement:?}");
    }
}

#[test]
fn a_checkpoint_in_several_files_is_the_same_and_its_index_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for name in ["config.json", "reference.safetensors"] {
        std::fs::copy(fixture("gpt2").join(name), here.join(name)).unwrap();
    }
    let (_, params) = hub::open(&fixture("gpt2")).unwrap();
    let (mut first, mut map) = (weights::named(&params), serde_json::Map::new());
    let second = first.split_off(10);
    for (file, tensors) in [("a.safetensors", &first), ("b.safetensors", &second)] {
        weights::write(&here.join(file), tensors, ("format", "pt")).unwrap();
        tensors.iter().for_each(|tensor| drop(map.insert(tensor.name.clone(), file.into())));
    }
    let index = |map: &serde_json::Map<String, serde_json::Value>| {
        let text = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
        std::fs::write(here.join("model.safetensors.index.json"), text).unwrap();
        verify::verify(here, Precision::Full)
    };
    assert!(index(&map).unwrap().agrees);
    for (name, file, says) in [
        ("wte.weight", "../a.safetensors", "no file beside it"),
        ("gone", "a.safetensors", "a.safetensors does not have it"),
    ] {
        let mut map = map.clone();
        map.insert(name.to_owned(), file.into());
        let error = index(&map).unwrap_err().to_string();
        assert!(error.contains("model.safetensors.index.json") && error.contains(says), "{error}");
    }
}

#[test]
fn a_changed_weight_does_not_agree() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["config.json", "reference.safetensors"] {
        std::fs::copy(fixture("gpt2").join(name), directory.path().join(name)).unwrap();
    }
    let (model, mut params) = hub::open(&fixture("gpt2")).unwrap();
    let id = params.find("h.1.mlp.c_fc.bias").unwrap();
    params.value_mut(id)[3] += 0.01;
    hub::save(directory.path(), &model, &params, &Tokenizer::bytes()).unwrap();
    assert!(!verify::verify(directory.path(), Precision::Full).unwrap().agrees);
}

/// Ten steps on the checkpoint in gpt2/, and what a script recorded of the same in PyTorch: the largest difference.
fn ten_steps_apart(recorded: &str, matrices: impl Fn(&Params) -> Vec<(ParamId, Layout)>) -> f64 {
    let recorded: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture(recorded)).unwrap()).unwrap();
    let option = |name: &str| recorded["options"][name].as_f64().unwrap();
    let (model, mut params) = hub::open(&fixture("gpt2")).unwrap();
    let reference = Weights::open(&fixture("gpt2/reference.safetensors")).unwrap();
    let (shape, ids) = reference.integers("input_ids").unwrap();
    let mut batch = Batch::new();
    for row in ids.chunks(shape[1]) {
        // Every position is an input, as there; the last has nothing to predict.
        batch.ids.extend(row.iter().map(|&id| id as u32));
        batch.targets.extend(row[1..].iter().map(|&id| id as u32).chain([IGNORE]));
        batch.rows += 1;
    }
    let options = AdamWOptions {
        beta1: option("beta1"),
        beta2: option("beta2"),
        epsilon: option("epsilon"),
        weight_decay: option("weight_decay"),
        grad_clip: option("grad_clip"),
    };
    let mut optimizer = Muon::new(&params, &matrices(&params), MOMENTUM, options);
    let muon_lr = recorded["options"]["muon_lr"].as_f64().unwrap_or(0.0);
    let mut gradients = Gradients::new(&params);
    let mut apart = Vec::new();
    for (step, want) in recorded["losses"].as_array().unwrap().iter().enumerate() {
        let how = Compute { micro_batch: batch.rows, precision: Precision::Full, recompute: false, profile: None };
        let loss = loss_and_gradients(&model, &params, &mut gradients, &batch, how, 0, step as u64);
        apart.push((loss - want.as_f64().unwrap()).abs());
        optimizer.step(&mut params, &gradients, option("lr"), muon_lr);
    }
    assert_eq!(apart.len(), 10);
    apart.into_iter().fold(0.0, f64::max)
}

#[test]
fn ten_adamw_steps_agree_with_pytorch() {
    let apart = ten_steps_apart("adamw.json", |_| Vec::new());
    assert!(apart < 1e-4, "{apart:e}");
}

#[test]
fn ten_muon_steps_agree_with_pytorch() {
    let apart = ten_steps_apart("muon.json", |params| STYLE.matrices(params));
    assert!(apart < 1e-4, "{apart:e}");
}
