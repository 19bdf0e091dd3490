//! What is written is read back equal: tensors of any name, shape and bits, and whole checkpoints of every kind and size.

use std::collections::BTreeMap;

use models::bert::BertConfig;
use models::bert::config::Form;
use models::clip::ClipConfig;
use models::clip::config::{TextConfig, VisionConfig};
use models::gpt::GptConfig;
use models::hub::weights::{self, Named, Weights};
use models::{Config, hub};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tokenizer::Tokenizer;

/// A shape of up to four dimensions, some of them empty, and as many bit patterns, not all of them numbers.
fn tensor() -> impl Strategy<Value = (Vec<usize>, Vec<u32>)> {
    prop::collection::vec(0..5_usize, 0..4).prop_flat_map(|shape| {
        let n = shape.iter().product::<usize>();
        (Just(shape), prop::collection::vec(any::<u32>(), n))
    })
}

/// The sizes of a small model of any kind, odd ones among them.
fn config() -> impl Strategy<Value = Config> {
    let sizes = (1..40_usize, 2..9_usize, 1..4_usize, 1..4_usize, 1..6_usize);
    (0..5, sizes, 0.0..0.9).prop_map(|(kind, (vocab, block, layers, heads, of_head), dropout)| {
        let width = heads * of_head;
        let bert = |form| Config::Bert(BertConfig::new(form, vocab, block, layers, heads, width));
        let config = match kind {
            0 => Config::Gpt(GptConfig::new(vocab, block, layers, heads, width)),
            1 => bert(Form::PostNorm),
            2 => bert(Form::PreNorm),
            3 => bert(Form::Roberta),
            _ => {
                let text_config = TextConfig {
                    vocab_size: vocab,
                    hidden_size: width,
                    intermediate_size: 2 * width,
                    num_hidden_layers: layers,
                    num_attention_heads: heads,
                    max_position_embeddings: block,
                    eos_token_id: vocab as u32 - 1,
                    bos_token_id: 0,
                    pad_token_id: 0,
                    ..TextConfig::default()
                };
                let vision_config = VisionConfig {
                    hidden_size: width,
                    intermediate_size: 3 * width,
                    num_hidden_layers: 1,
                    num_attention_heads: heads,
                    image_size: 4 * of_head,
                    patch_size: of_head,
                    ..VisionConfig::default()
                };
                Config::Clip(ClipConfig { text_config, vision_config, projection_dim: 5, ..ClipConfig::default() })
            }
        };
        config.with_dropout(dropout)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: RngSeed::Fixed(0), ..ProptestConfig::default() })]

    #[test]
    fn tensors_are_read_back_bit_by_bit(tensors in prop::collection::btree_map(".{1,12}", tensor(), 1..6)) {
        let tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = tensors
            .into_iter()
            .filter(|(name, _)| name != "__metadata__") // the format's own
            .map(|(name, (shape, bits))| (name, (shape, bits.into_iter().map(f32::from_bits).collect())))
            .collect();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        let named: Vec<Named> = tensors
            .iter()
            .map(|(name, (shape, data))| Named { name: name.clone(), shape: shape.clone(), data })
            .collect();
        weights::write(&path, &named, ("key", "a \"line\" of text")).unwrap();
        let read = Weights::open(&path).unwrap();
        prop_assert_eq!(read.metadata("key"), Some("a \"line\" of text".to_owned()));
        let mut names = read.names();
        names.sort();
        prop_assert_eq!(names, tensors.keys().cloned().collect::<Vec<_>>());
        for (name, (shape, data)) in &tensors {
            let (read_shape, numbers) = read.numbers(name).unwrap();
            prop_assert_eq!(&read_shape, shape);
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&numbers), bits(data));
        }
    }

    #[test]
    fn a_checkpoint_of_any_kind_and_size_is_read_back_equal(config in config(), seed in any::<u64>()) {
        let (model, params) = config.init(seed);
        let directory = tempfile::tempdir().unwrap();
        hub::save(directory.path(), &model, &params, &Tokenizer::bytes()).unwrap();
        let (read, read_params) = hub::open(directory.path()).unwrap();
        prop_assert_eq!(read.config(), config);
        for (a, b) in params.pieces().zip(read_params.pieces()) {
            prop_assert_eq!(a.name, b.name);
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&params.flat()[a.place]), bits(&read_params.flat()[b.place]), "{}", a.name);
        }
    }
}
