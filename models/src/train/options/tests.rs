//! What options say, what they leave out, and what they cannot mean.

use super::*;

fn table(text: &str) -> Table {
    text.parse().unwrap()
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_preset() {
    let options = Options::resolve(&table("width = 256\nlr = 0.01"), &table("lr = 0.02")).unwrap();
    assert_eq!((options.layers, options.width, options.lr, options.min_lr), (3, 256, 0.02, 0.002));
    let whole = Options::resolve(&Table::new(), &table("model = \"clip\"\nlr = 1\nclip.crop = 1")).unwrap();
    assert_eq!((whole.lr, whole.clip.unwrap().crop), (1.0, 1.0), "a whole number is a rate, too");
}

#[test]
fn train_toml_gives_the_same_options_back() {
    let options = Options::resolve(&table(""), &table("preset = \"char\"\nsteps = 7\ndata = [\"a=2\"]")).unwrap();
    let again = Options::resolve(&options.to_toml().parse().unwrap(), &Table::new()).unwrap();
    assert_eq!(options, again);
}

#[test]
fn of_steps_and_minutes_the_flag_counts_and_of_a_file_the_steps() {
    let both = |file: &str, flags: &str| {
        let options = Options::resolve(&table(file), &table(flags)).unwrap();
        (options.steps, options.minutes)
    };
    assert_eq!(both("minutes = 2", "steps = 3"), (3, None));
    assert_eq!(both("steps = 3", "minutes = 2").1, Some(2.0));
    assert_eq!(both("steps = 119\nminutes = 0.05", ""), (119, None));
    assert_eq!(both("minutes = 2", "").1, Some(2.0));
}

#[test]
fn both_rates_rise_and_fall_together() {
    let flags = table(
        "steps = 100\nwarmup = 10\nlr = 0.01\nmin_lr = 0.001\nmuon_lr = 0.02\noptimizer = \"muon\"\nschedule = \"cosine\"",
    );
    let options = Options::resolve(&Table::new(), &flags).unwrap();
    assert_eq!(options.rates(10), [0.01, 0.02]);
    for (step, share) in [(0, 1.0 / 11.0), (55, 0.55), (100, 0.1)] {
        let [lr, muon_lr] = options.rates(step).map(|rate| rate / share);
        assert!((lr - 0.01).abs() < 1e-9 && (muon_lr - 0.02).abs() < 1e-9, "{step}: {lr} {muon_lr}");
    }
}

#[test]
fn flags_without_effect_are_refused() {
    for (said, answer) in [
        ("val_share = 0.2", "without that it is the built-in world"),
        ("data = [\"a\"]\nval_data = [\"b\"]\nval_share = 0.2", "leave one of them out"),
        ("optimizer = \"adamw\"\nmuon_lr = 0.1", "--optimizer muon"),
        ("schedule = \"constant\"\ndecay_share = 0.5", "warmup-stable-decay"),
        ("schedule = \"constant\"\nmin_lr = 1e-5", "constant does not fall"),
        ("tokenizer = \"x\"\nvocab_size = 300", "leave --vocab-size out"),
        ("steps = 5\nwarmup = 5", "give less than --steps"),
        ("model = \"clip\"\nclip.flip = true", "make untrue"),
        ("model = \"clip\"\nclip.memory = 0", "for pictures in files"),
    ] {
        let error = Options::resolve(&Table::new(), &table(said)).unwrap_err().to_string();
        assert!(error.contains(answer), "{said}: {error}");
        assert!(Options::resolve(&table(said), &Table::new()).is_ok(), "a file, such as a train.toml, may have them");
    }
}

#[test]
fn a_tokenizer_that_is_given_may_have_fewer_tokens_than_there_are_bytes() {
    let run = table("model = \"bert\"\ntokenizer = \"words\"\nvocab_size = 150"); // as train.toml has it then
    assert_eq!(Options::resolve(&run, &Table::new()).unwrap().vocab_size, 150);
}

#[test]
fn options_that_cannot_be_met_are_refused_with_the_way_out() {
    for (said, answer) in [
        ("vocab_size = 100", "256 or more"),
        ("heads = 5", "4 would"),
        ("preset = \"huge\"", "choose one of nano"),
        ("steps = 0", "give 1 or more"),
        ("lr = -1.0", "--lr -1: give more than 0"),
        ("wdith = 5", "unknown field `wdith`"),
        ("min_lr = 1.0", "--min-lr 1: give 0 or more, and no more than --lr"),
        ("muon_lr = 0", "muon-lr"),
        ("muon_momentum = 1", "less than 1"),
        ("decay_share = 1.5", "1 at most"),
        ("optimizer = \"sgd\"", "`muon`"),
        ("objective = \"simcse\"", "are BERT's"),
        ("model = \"bert\"\nobjective = \"simcse\"", "--from DIR"),
        ("model = \"bert\"\nhardness = 1", "belong to --objective simcse"),
    ] {
        let error = Options::resolve(&Table::new(), &table(said)).unwrap_err().to_string();
        assert!(error.contains(answer), "{said}: {error}");
    }
}

#[test]
fn every_preset_resolves() {
    for model in [ModelName::Gpt, ModelName::Bert, ModelName::Clip] {
        for preset in model.presets() {
            let said = format!("model = \"{}\"\npreset = \"{}\"", model.name(), preset.name);
            match Options::resolve(&Table::new(), &table(&said)) {
                Ok(options) => assert_eq!(options.preset, preset.name),
                Err(error) => assert!(preset.name == SIMCSE && error.to_string().contains("--from DIR"), "{error}"),
            }
        }
    }
}
