//! Files from elsewhere, damaged: every reader answers with an error that names the file and the fault, or with something
//! that works. (That it does so soon is what the fuzzers of `tests/fuzz` ask, which stop at what takes long.)

use std::path::Path;

use autograd::Piece;
use models::clip::ClipConfig;
use models::hub::clip::parse_preprocess;
use models::hub::weights::Weights;
use models::hub::{Checkpoint, parse_config};
use serde_json::{Value, json};
use tests::readers::{READERS, TINY, seeds};

/// What damage puts into a file.
const BITS: [&[u8]; 16] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"null",
    b"-1",
    b"0",
    b"4294967296",
    b"18446744073709551615",
    b"1e999",
    b"\0",
    b"\\ud800",
    b"../",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
];

/// A linear congruential generator: the same damage at every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % n.max(1)
    }

    /// A file with a few changes: a bit, a part gone, doubled or replaced, a number for another, an end cut off.
    fn damaged(&mut self, file: &[u8]) -> Vec<u8> {
        let mut file = file.to_vec();
        for _ in 0..1 + self.below(3) {
            let start = self.below(file.len() + 1);
            let end = (start + self.below(30)).min(file.len());
            let at = self.below(file.len() + 1);
            let part = file[start..end].to_vec();
            match self.below(6) {
                0 if start < file.len() => file[start] ^= 1 << self.below(8),
                1 => drop(file.drain(start..end)),
                2 => drop(file.splice(at..at, part)),
                3 => drop(file.splice(start..end, BITS[self.below(BITS.len())].iter().copied())),
                4 => file.truncate(at),
                _ => self.change_a_number(&mut file),
            }
        }
        file
    }

    /// Numbers say how long things are, where they begin and what they are called.
    fn change_a_number(&mut self, file: &mut Vec<u8>) {
        let digits: Vec<usize> = (0..file.len()).filter(|&at| file[at].is_ascii_digit()).collect();
        if let Some(&start) = digits.get(self.below(digits.len())) {
            let end = start + file[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number =
                ["0", "1", "3", "255", "65536", "4294967295", "18446744073709551615", "-7", "0.5"][self.below(9)];
            file.splice(start..end, number.bytes());
        }
    }

    /// JSON with one of its values in the place of another, or nested, or under another name.
    fn disordered(&mut self, json: &Value) -> Value {
        let mut json = json.clone();
        let places = places(&json);
        let [from, to] = [(); 2].map(|()| &places[self.below(places.len())]);
        let value = json.pointer(from).cloned().unwrap_or_default();
        let value = match self.below(4) {
            0 => json!([value]),
            1 => json!({"type": value}),
            2 => [json!(null), json!(true), json!(""), json!(-1), json!(u64::MAX), json!([]), json!({})][self.below(7)]
                .clone(),
            _ => value,
        };
        if let Some(place) = json.pointer_mut(to) {
            *place = value;
        }
        json
    }
}

/// Every place of a value, as a pointer.
fn places(json: &Value) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match json {
        Value::Array(all) => all.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        Value::Object(all) => {
            all.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        _ => Vec::new(),
    };
    let below =
        inner.into_iter().flat_map(|(name, value)| places(value).into_iter().map(move |at| format!("/{name}{at}")));
    std::iter::once(String::new()).chain(below).collect()
}

#[test]
fn damaged_files_are_refused_or_work() {
    for (number, (name, ask)) in (0..).zip(READERS) {
        let (mut draw, seeds) = (Draw(number), seeds(name));
        let read = |file: Vec<u8>| usize::from(ask(&file));
        let count: usize = (0..1500).map(|i| read(draw.damaged(&seeds[i % seeds.len()]))).sum();
        assert!((1..1400).contains(&count), "{name}: {count} of 1500 were read, the damage is too little or too much");
        for seed in &seeds {
            // What is JSON as a whole, or in its first part, is changed as JSON too.
            let (json, rest) = seed.split_at(seed.iter().position(|byte| *byte == 0).unwrap_or(seed.len()));
            if let Ok(json) = serde_json::from_slice::<Value>(json) {
                let changed = |draw: &mut Draw| [draw.disordered(&json).to_string().as_bytes(), rest].concat();
                (0..300).for_each(|_| _ = read(changed(&mut draw)));
            }
        }
    }
}

/// What the fuzzers begin with; they find it in the directory that PRETEXT_CORPUS names, if that is set.
#[test]
fn every_file_that_fuzzers_begin_with_is_read_or_refused() {
    let corpus = std::env::var_os("PRETEXT_CORPUS").map(std::path::PathBuf::from);
    for (name, ask) in READERS {
        for (i, seed) in seeds(name).iter().enumerate() {
            ask(seed);
            if let Some(corpus) = &corpus {
                let directory = corpus.join(name);
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(directory.join(format!("seed-{i}")), seed).unwrap();
            }
        }
    }
}

/// A safetensors file with this header and so many zero bytes.
fn file(header: &str, zeros: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; zeros]].concat()
}

#[test]
fn a_header_that_lies_is_refused_by_name() {
    let one = |dtype: &str, shape: &str, from: &str, to: &str| {
        format!(r#"{{"a": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": [{from}, {to}]}}}}"#)
    };
    let two = |places: [[usize; 2]; 2], names: [&str; 2]| {
        let [a, b] = places.map(|place| format!(r#"{{"dtype": "F32", "shape": [2], "data_offsets": {place:?}}}"#));
        format!(r#"{{"{}": {a}, "{}": {b}}}"#, names[0], names[1])
    };
    let most = usize::MAX.to_string();
    let table = [
        ("nothing", b"".to_vec(), "it has 0 bytes"),
        ("a length beyond the file", file("{}", 0)[..9].to_vec(), "its header has 2 bytes, and 1 follow"),
        ("a length beyond memory", [0xff; 16].to_vec(), "18446744073709551615 bytes"),
        ("no JSON", file("{", 0), "its header is none"),
        ("no object", file("[1]", 0), "tensors by their names"),
        ("no tensor", file(r#"{"a": 1}"#, 0), "its header is none"),
        (
            "a field twice",
            file(r#"{"a": {"dtype": "F32", "shape": [], "shape": [1], "data_offsets": [0, 4]}}"#, 4),
            "`shape`",
        ),
        ("a type of its own", file(&one("F31", "[1]", "0", "4"), 4), "F31"),
        ("a number that is negative", file(&one("F32", "[-1]", "0", "4"), 4), "-1"),
        ("too few bytes for the shape", file(&one("F32", "[2, 3]", "0", "20"), 20), "takes 24 bytes, not 0 to 20"),
        ("an end before the beginning", file(&one("F32", "[1]", "4", "0"), 4), "takes 4 bytes, not 4 to 0"),
        ("a shape that overflows", file(&one("F32", "[4294967296, 4294967296]", "0", "4"), 4), "than can be counted"),
        ("bytes that overflow", file(&one("F64", &format!("[{most}]"), "0", &most), 4), "than can be counted"),
        ("half a byte", file(&one("F4", "[3]", "0", "1"), 1), "no whole number of bytes"),
        ("a place beyond the file", file(&one("U8", "[99]", "0", "99"), 4), "take 99 bytes, and it has 4"),
        ("bytes of no tensor", file(&one("F32", "[1]", "0", "4"), 9), "take 4 bytes, and it has 9"),
        ("tensors over one another", file(&two([[0, 8], [4, 12]], ["a", "b"]), 12), "b begins at byte 4, over"),
        ("tensors in one place", file(&two([[0, 8], [0, 8]], ["a", "b"]), 8), "b begins at byte 0, over"),
        ("a gap", file(&two([[0, 8], [12, 20]], ["a", "b"]), 20), "b begins at byte 12, behind a gap"),
        ("a name twice", file(&two([[0, 8], [8, 16]], ["a", "a"]), 16), "the name \"a\" is there twice"),
        ("a name twice in one place", file(&two([[0, 8], [0, 8]], ["a", "a"]), 8), "the name \"a\" is there twice"),
        ("nested without end", file(&"[".repeat(100_000), 0), "its header is none"),
        (
            "nested within a tensor",
            file(&format!(r#"{{"a": {}"#, "{\"shape\":".repeat(100_000)), 0),
            "its header is none",
        ),
    ];
    for (what, bytes, expected) in table {
        let error = Weights::from_bytes(Path::new("some.safetensors"), bytes).err().expect(what).to_string();
        assert!(error.starts_with("some.safetensors: ") && error.contains(expected), "{what}: {error}");
    }
}

/// A tensor's name, type, shape and numbers.
type Stored = (String, &'static str, Vec<usize>, Vec<u8>);

/// The weights of [`TINY`] as `change` leaves their names, types, shapes and numbers.
fn tiny(change: impl FnOnce(&mut Vec<Stored>)) -> Weights {
    let params = parse_config(TINY).unwrap().0.init(1).1;
    let stored = |piece: Piece| {
        let bytes = params.flat()[piece.place].iter().flat_map(|x| x.to_le_bytes()).collect();
        (piece.name.to_owned(), "F32", piece.shape.to_vec(), bytes)
    };
    let mut tensors = params.pieces().map(stored).collect();
    change(&mut tensors);
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in &tensors {
        let place = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": place}));
        data.extend_from_slice(bytes);
    }
    let header = Value::from(header).to_string();
    Weights::from_bytes(Path::new("model.safetensors"), [file(&header, 0), data].concat()).expect("it is whole")
}

#[test]
fn weights_that_are_not_those_of_the_config_are_named() {
    type Change = fn(&mut Vec<Stored>);
    let open = |config: &str, weights| {
        let config = parse_config(config).map_err(|what| format!("config.json: {what}"))?;
        let opened = Checkpoint::new(config, weights).and_then(|checkpoint| checkpoint.model());
        opened.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(open(TINY, tiny(|_| {})), Ok(()));
    let twice = |t: &mut Vec<Stored>| {
        let (_, dtype, shape, bytes) = find(t, "wte.weight").clone();
        t.push(("lm_head.weight".into(), dtype, shape, bytes));
    };
    assert_eq!(open(TINY, tiny(twice)), Ok(()), "the output table may be stored beside that of tokens");
    let table: [(&str, Change, &str); 11] = [
        ("missing", |t| t.retain(|t| t.0 != "h.0.mlp.c_fc.bias"), "has no parameter h.0.mlp.c_fc.bias"),
        ("a block missing", |t| t.retain(|t| t.0 != "h.0.ln_1.weight"), "has no parameter h.0.ln_1.weight"),
        ("superfluous", |t| t.push(("h.7.x".into(), "F32", vec![1], vec![0; 4])), "h.7.x is no parameter"),
        ("misshapen", |t| find(t, "h.0.attn.c_attn.weight").2.reverse(), "h.0.attn.c_attn.weight has shape [6, 2]"),
        ("a table of another size", |t| find(t, "wte.weight").2 = vec![4, 1], "wte.weight has shape [4, 1]"),
        ("of 8 bits", |t| narrow(find(t, "ln_f.bias"), "F8_E4M3", 2), "ln_f.bias holds F8_E4M3; f32, f16 and bf16"),
        ("of whole numbers", |t| narrow(find(t, "ln_f.bias"), "I64", 16), "ln_f.bias holds I64"),
        ("not finite", |t| find(t, "wpe.weight").3[8..12].copy_from_slice(&f32::NAN.to_le_bytes()), "NaN at place 2"),
        (
            "the same under two names",
            |t| t.push(("transformer.ln_f.bias".into(), "F32", vec![2], vec![0; 8])),
            "which are one parameter",
        ),
        (
            "an output table of its own",
            |t| t.push(("lm_head.weight".into(), "F32", vec![2, 2], vec![0; 16])),
            "holds lm_head.weight and wte.weight, which differ",
        ),
        (
            "one of another size",
            |t| t.push(("lm_head.weight".into(), "F32", vec![4], vec![0; 16])),
            "holds lm_head.weight and wte.weight, which differ",
        ),
    ];
    for (what, change, expected) in table {
        let error = open(TINY, tiny(change)).expect_err(what);
        assert!(error.starts_with("model.safetensors: ") && error.contains(expected), "{what}: {error}");
    }
    // Sizes for which there is no memory are refused before it is taken, whether the file is as large or not.
    for (had, has, expected) in [
        (r#""n_layer": 1"#, r#""n_layer": 1000000000"#, "has no parameter h.1.ln_1.weight"),
        (r#""n_embd": 2"#, r#""n_embd": 100000"#, "wte.weight has shape [2, 2]"),
        (r#""n_embd": 2"#, r#""n_embd": 2, "n_inner": 40000000000"#, "c_fc.weight has shape [2, 8]"),
        (r#""n_embd": 2"#, r#""n_embd": 18446744073709551615"#, "one of them is not meant"),
        (r#""n_embd": 2"#, r#""n_embd": 18446744073709551616"#, "config.json"),
    ] {
        let error = open(&TINY.replace(had, has), tiny(|_| {})).expect_err(has);
        assert!(error.contains(expected), "{has}: {error}");
    }
}

fn find<'a>(tensors: &'a mut [Stored], name: &str) -> &'a mut Stored {
    tensors.iter_mut().find(|tensor| tensor.0 == name).expect(name)
}

/// Makes zeros of another type of a tensor.
fn narrow(tensor: &mut Stored, dtype: &'static str, bytes: usize) {
    (tensor.1, tensor.3) = (dtype, vec![0; bytes]);
}

#[test]
fn an_index_names_files_beside_it_that_hold_what_it_says() {
    let tensor =
        |name: &str| file(&format!(r#"{{"{name}": {{"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}}}"#), 4);
    let open = |text: &str| {
        let part = |name: &str| tensor(if name.starts_with('b') { "b" } else { "a" });
        Weights::from_parts(Path::new("x/model.safetensors.index.json"), text, part)
            .map(drop)
            .map_err(|e| e.to_string())
    };
    assert_eq!(open(r#"{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}"#), Ok(()));
    let deep = "[".repeat(100_000);
    let table = [
        (r#"{"weight_map": {"a": "../a.safetensors"}}"#, "\"../a.safetensors\", which is no file beside it"),
        (r#"{"weight_map": {"a": "/etc/passwd"}}"#, "no file beside it"),
        (r#"{"weight_map": {"a": "a/../a.safetensors"}}"#, "no file beside it"),
        (r#"{"weight_map": {"a": ".."}}"#, "no file beside it"),
        (r#"{"weight_map": {"a": ""}}"#, "no file beside it"),
        (r#"{"weight_map": {"a": "b.safetensors"}}"#, "names a, but b.safetensors does not have it"),
        (r#"{"weight_map": {"a": "a.safetensors", "a": "b.safetensors"}}"#, "the name \"a\" is there twice"),
        (r#"{"weight_map": {"a": 1}}"#, "expected a weight_map"),
        ("{}", "expected a weight_map"),
        (&deep, "recursion limit"),
    ];
    for (text, expected) in table {
        let error = open(text).expect_err(text);
        assert!(error.starts_with("x/model.safetensors.index.json: ") && error.contains(expected), "{error}");
    }
    let twice = Weights::from_parts(
        Path::new("i.json"),
        r#"{"weight_map": {"a": "1.safetensors", "a ": "2.safetensors"}}"#,
        |_| {
            file(
                r#"{"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "a ": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}"#,
                0,
            )
        },
    );
    let error = twice.err().expect("two files hold it").to_string();
    assert!(error.starts_with("2.safetensors: holds a, which another file holds too"), "{error}");
}

#[test]
fn options_that_are_not_computed_are_refused_by_name() {
    let fixture = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).join("config.json");
        serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap()
    };
    let table = [
        ("gpt2", "/activation_function", json!("relu")),
        ("gpt2", "/scale_attn_weights", json!(false)),
        ("gpt2", "/scale_attn_by_inverse_layer_idx", json!(true)),
        ("gpt2", "/add_cross_attention", json!(true)),
        ("gpt2", "/tie_word_embeddings", json!(false)),
        ("gpt2", "/quantization_config", json!({"bits": 4})),
        ("gpt2", "/layer_norm_epsilon", json!(0.0)),
        ("gpt2", "/layer_norm_epsilon", json!(-1e-5)),
        ("gpt2", "/n_inner", json!(0)),
        ("gpt2", "/hidden_size", json!(32)), // beside n_embd, of which it is another name
        ("gpt2", "/n_layer", json!("two")),
        ("gpt2", "/attn_pdrop", json!([])),
        ("gpt2", "/attn_pdrop", json!(1.0)),
        ("bert", "/hidden_act", json!("silu")),
        ("bert", "/position_embedding_type", json!("relative_key")),
        ("bert", "/is_decoder", json!(true)),
        ("bert", "/add_cross_attention", json!(true)),
        ("bert", "/tie_word_embeddings", json!(false)),
        ("bert", "/pruned_heads", json!({"0": [1]})),
        ("bert", "/num_attention_heads", json!(u64::MAX)),
        ("clip", "/vision_config/num_channels", json!(4)),
        ("clip", "/vision_config/hidden_act", json!("relu")),
        ("clip", "/text_config/hidden_act", json!("gelu_10")),
        ("clip", "/vision_config", json!([])),
        ("clip", "/vision_config/patch_size", json!(-1)),
    ];
    for (model, place, value) in table {
        let mut config = fixture(model);
        parse_config(&config.to_string()).unwrap_or_else(|what| panic!("{model}: {what}"));
        let (parent, name) = place.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[name] = value.clone();
        let error = parse_config(&config.to_string()).expect_err(place);
        let named = error.contains(name) || error.contains(if name == "hidden_size" { "n_embd" } else { "heads" });
        assert!(named, "{place} {value}: {error}");
    }
    for deep in ["[", "{\"text_config\":"] {
        let error = parse_config(&deep.repeat(100_000)).unwrap_err();
        assert!(error.contains("recursion limit"), "{error}");
    }
    let mut both = fixture("gpt2");
    both["hidden_size"] = both["n_embd"].clone();
    assert_eq!(parse_config(&both.to_string()).unwrap().0, parse_config(&fixture("gpt2").to_string()).unwrap().0);
    assert!(parse_config(r#"{"n_layer": 1, "n_layer": 2}"#).unwrap_err().contains("\"n_layer\" is there twice"));
}

#[test]
fn ways_to_prepare_pictures_that_are_not_known_are_refused_by_name() {
    let parse = |json: Value| parse_preprocess(&json.to_string(), None, &ClipConfig::default());
    let usual = parse(json!({"image_processor_type": "CLIPImageProcessorFast", "do_pad": null, "crop_size": 224}));
    assert_eq!(usual, parse(json!({})));
    assert!(usual.is_ok());
    let within = |json: Value| parse_preprocess(&json.to_string(), Some("image_processor"), &ClipConfig::default());
    assert_eq!(within(json!({"image_processor": {"crop_size": 224}, "do_resize": false})), usual);
    assert_eq!(within(json!({"processor_class": "CLIPProcessor"})), Ok(None));
    assert!(within(json!({"image_processor": {"do_resize": false}})).unwrap_err().contains("do_resize"));
    assert!(parse(json!([1])).is_err() && parse(json!("null")).is_err());
    for (name, value) in [
        ("image_processor_type", json!("ViTImageProcessor")),
        ("do_convert_rgb", json!(false)),
        ("do_pad", json!(true)),
        ("do_resize", json!(false)),
        ("do_center_crop", json!(false)),
        ("resample", json!(2)),
        ("size", json!({"height": 224, "width": 224})),
        ("crop_size", json!(256)),
        ("rescale_factor", json!(1.0)),
        ("image_std", json!([0.5, 0.0, 0.5])),
    ] {
        let error = parse(json!({name: value})).expect_err(name);
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn an_option_that_is_null_was_not_said() {
    let bert = r#"{"model_type": "bert", "vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1,
        "num_attention_heads": 1, "intermediate_size": 8, "max_position_embeddings": 5"#;
    let null = format!(r#"{bert}, "pad_token_id": null, "layer_norm_eps": null, "tie_word_embeddings": null}}"#);
    assert_eq!(parse_config(&null).unwrap().0, parse_config(&format!("{bert}}}")).unwrap().0);
    let clip = |text: &str| parse_config(&format!(r#"{{"model_type": "clip", "text_config": {text}}}"#)).unwrap().0;
    assert_eq!(clip(r#"{"hidden_size": null, "eos_token_id": 7}"#), clip(r#"{"eos_token_id": 7}"#));
}
