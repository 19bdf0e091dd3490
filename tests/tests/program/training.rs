//! Runs that are killed, stopped, resumed, or computed by another number of threads end with the same bits.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tests::{fails, file, pretext, run, said};

use super::export::tensors_of;
use super::{TINY_CLIP, train};

fn weights(directory: &Path) -> Vec<u8> {
    fs::read(directory.join("model.safetensors")).unwrap()
}

/// Steps of a run that is killed five times: so many that a process that goes on for a while, before it is heard of and killed,
/// is not through.
pub const STEPS: &str = "200";

/// A line is printed for every step, and a checkpoint written after every third.
const TALKATIVE: &[&str] =
    &["--steps", STEPS, "--eval-every", "1", "--eval-tokens", "32", "--save-every", "3", "--dropout", "0.1"];

#[test]
fn a_run_killed_five_times_ends_with_the_bits_of_one_that_was_not() {
    killed_five_times(&[TALKATIVE, &["--optimizer", "adamw"]].concat());
}

#[test]
fn a_run_of_muon_killed_five_times_ends_with_the_bits_of_one_that_was_not() {
    killed_five_times(&[TALKATIVE, &["--optimizer", "muon"]].concat());
}

#[test]
fn a_bert_in_bf16_killed_five_times_ends_with_the_bits_of_one_that_was_not() {
    killed_five_times(&[TALKATIVE, &["bert", "--precision", "bf16"]].concat());
}

fn killed_five_times(talkative: &[&str]) {
    a_killed_run_ends_as_one_that_was_not(&|out| train(out, talkative).into_iter().map(str::to_owned).collect());
}

/// For a run of [`STEPS`] steps into a given directory, with a line for every step.
pub fn a_killed_run_ends_as_one_that_was_not(words: &dyn Fn(&Path) -> Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let (whole, killed) = (directory.path().join("whole"), directory.path().join("killed"));
    let output = run(words(&whole));
    assert!(output.status.success(), "{}", said(&output));
    let mut words = words(&killed);
    // Killed after this many lines: before the first step, before and after checkpoints, twice in a row.
    let mut kills = 0;
    for lines in [2, 11, 9, 12, 1] {
        let mut child = pretext().args(&words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        out.by_ref().take(lines).for_each(|line| drop(line.unwrap()));
        child.kill().unwrap(); // SIGKILL: nothing in the program can answer it
        kills += usize::from(child.wait().unwrap().code().is_none());
        if killed.join("train.toml").exists() {
            words = ["train", "--resume", killed.to_str().unwrap()].map(str::to_owned).to_vec();
        }
    }
    assert!(kills >= 4 || !cfg!(unix), "{kills} of five were killed, the others were through before");
    let output = run(&words);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(weights(&killed), weights(&whole));
    assert_eq!(weights(&killed.join("best")), weights(&whole.join("best")));
    let state = |directory: &Path| tensors_of(&directory.join("state.safetensors"));
    assert!(state(&killed) == state(&whole), "moments of the optimiser");
    let measured = |directory: &Path| -> Vec<_> {
        let metrics = fs::read_to_string(directory.join("metrics.jsonl")).unwrap();
        let line = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
        let of = |m: serde_json::Value| ["step", "loss", "grad_norm", "val_loss", "lr"].map(|key| m[key].to_string());
        metrics.lines().map(|text| of(line(text))).collect()
    };
    assert_eq!(measured(&killed), measured(&whole), "each step stands once in the metrics, and was the same");
    assert_eq!(measured(&whole).len().to_string(), STEPS);
}

#[test]
fn no_model_and_no_precision_depends_on_the_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    // As below, rows for more than one task.
    let wide = ["--width", "64", "--block-size", "64", "--batch-size", "32", "--steps", "2", "--dropout", "0.1"];
    for (name, model) in [("bert", &["bert"][..]), ("clip", TINY_CLIP)] {
        for precision in ["f32", "bf16"] {
            let [one, three] = ["1", "3"].map(|threads| {
                let out = directory.path().join(format!("{name}-{precision}-{threads}"));
                let more = ["--precision", precision, "--threads", threads];
                let output = run(train(&out, &[model, &wide, &more].concat()));
                assert!(output.status.success(), "{}", said(&output));
                weights(&out)
            });
            assert!(one == three, "{name} in {precision}");
        }
    }
}

#[test]
fn the_weights_do_not_depend_on_the_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let trained = |name: &str, more: &[&str]| {
        let out = directory.path().join(name);
        let optimizer = if name.starts_with("muon") { "muon" } else { "adamw" };
        let common = ["--steps", "5", "--dropout", "0.1", "--optimizer", optimizer];
        let output = run(train(&out, &[&common, more].concat()));
        assert!(output.status.success(), "{}", said(&output));
        weights(&out)
    };
    let one = trained("one", &["--threads", "1"]);
    assert_eq!(one, trained("three", &["--threads", "3"]));
    assert_ne!(one, trained("seed", &["--threads", "1", "--seed", "2"]));
    let muon = trained("muon", &["--threads", "1"]);
    assert_eq!(muon, trained("muon-three", &["--threads", "3"]));
    assert_ne!(one, muon);
    assert_ne!(muon, trained("muon-lr", &["--threads", "1", "--muon-lr", "0.01"]));
    // Rows for more than one task (a task is some 2^15 numbers) in every operation.
    let wide = ["--width", "64", "--block-size", "64", "--batch-size", "32", "--steps", "2"];
    let [one, three] =
        ["1", "3"].map(|threads| trained(&format!("wide-{threads}"), &[&wide[..], &["--threads", threads]].concat()));
    assert_eq!(one, three);
}

/// Sends a program one signal after the other.
#[cfg(unix)]
fn signal(program: &Child, signals: &[&str]) {
    for signal in signals {
        assert!(Command::new("kill").args([signal, &program.id().to_string()[..]]).status().unwrap().success());
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_ends_cleanly_and_so_do_a_terminal_that_is_closed_and_a_machine_that_is_shut_down() {
    let long = ["--steps", "100000", "--eval-every", "1", "--eval-tokens", "32", "--save-every", "100000"];
    for signals in [&["-INT"][..], &["-HUP", "-HUP", "-TERM"], &["-TERM", "-HUP", "-TERM"]] {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("run");
        let mut child = pretext().args(train(&out, &long)).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with("step 5/")));
        signal(&child, signals);
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}: what a script would do next is not done");
        assert!(rest.iter().any(|line| line.contains("go on with")), "{signals:?}: {rest:?}");
        let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        let state = fs::read(out.join("state.safetensors")).unwrap();
        let step = format!("\\\"step\\\":{},", metrics.lines().count());
        assert!(
            String::from_utf8_lossy(&state[..2000]).contains(&step),
            "{signals:?}: the checkpoint is of the last step"
        );
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_for_the_second_time_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    // A step of seconds: with one signal alone it would be made, and saved.
    let sizes = ["--layers", "6", "--width", "384", "--heads", "6", "--block-size", "256", "--batch-size", "64"];
    let words =
        [&["train", "--vocab-size", "300", "--steps", "9", "--out", out.to_str().unwrap()][..], &sizes].concat();
    let mut child = pretext().args(words).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("steps ")));
    // Until it ends: two that are sent while it has no core may reach it as one.
    while child.try_wait().unwrap().is_none() {
        signal(&child, &["-INT"]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!out.join("state.safetensors").exists(), "it was not asked to make the step");
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_to_outlive_its_terminal_does() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let program = pretext();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(program.get_program()); // as `nohup` does
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = command.args(train(&out, TALKATIVE)).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("step 5/")));
    signal(&child, &["-HUP"]);
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success() && rest.iter().any(|line| line.contains("a sample:")), "{rest:?}");
}

#[test]
fn the_best_model_is_the_best_on_rows_that_are_the_same_at_every_evaluation() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let output = run(train(&out, &["--steps", "30", "--eval-every", "3", "--eval-tokens", "64", "--json"]));
    assert!(output.status.success(), "{}", said(&output));
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome["directory"], out.to_str().unwrap());
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let metrics = metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let compared = metrics.filter_map(|m| {
        let loss = m.get("val_loss_as_before").or(m.get("val_loss"))?.as_f64()?;
        Some((loss, m["step"].as_u64()?, m.get("val_loss_as_before").is_some()))
    });
    let compared: Vec<_> = compared.collect();
    assert!(compared.len() == 10 && compared[9].2 && !compared[8].2, "{compared:?}");
    let best = compared.iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert_eq!((outcome["best"][0].as_f64(), outcome["best"][1].as_u64()), (Some(best.0), Some(best.1)));
    assert_ne!(outcome["val_loss"], compared[9].0, "over the whole validation part");
}

#[test]
fn a_finished_run_resumes_to_the_same_end() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert!(run(train(&out, &["--steps", "3"])).status.success());
    let before = weights(&out);
    let output = run(["train", "--resume", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(weights(&out), before);
}

#[test]
fn a_run_asked_for_fewer_steps_than_it_has_made_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert!(run(train(&out, &["--steps", "3"])).status.success());
    let options = out.join("train.toml");
    let text = fs::read_to_string(&options).unwrap().replace("steps = 3\n", "steps = 2\n");
    fs::write(&options, text).unwrap();
    let output = run(["train", "--resume", out.to_str().unwrap()]);
    let said = said(&output);
    assert!(!output.status.success() && said.contains("asks for 2 steps, but 3 are made"), "{said}");
}

#[test]
fn a_run_killed_between_its_last_state_and_its_model_gets_its_model_when_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert!(run(train(&out, &["--steps", "4", "--save-every", "2"])).status.success());
    let end = weights(&out);
    // What such a kill leaves: the model of an earlier checkpoint, and half a file of the next.
    let earlier = directory.path().join("earlier");
    assert!(run(train(&earlier, &["--steps", "2"])).status.success());
    assert_ne!(weights(&earlier), end);
    let model = out.join("model.safetensors");
    for (name, left) in [(".tmp-abcdef", true), (".tmp-tokenizer-abcdef", false)] {
        // Or, in the first checkpoint, none.
        if left {
            fs::copy(earlier.join("model.safetensors"), &model).unwrap();
        } else {
            fs::remove_file(&model).unwrap();
        }
        fs::write(out.join(name), &end[..100]).unwrap();
        fs::remove_file(out.join("loss.svg")).unwrap();
        let output = run(["train", "--resume", out.to_str().unwrap()]);
        assert!(output.status.success(), "{name}: {}", said(&output));
        assert_eq!(weights(&out), end);
        assert!(out.join("loss.svg").exists() && !out.join(name).exists());
    }
}

#[test]
fn a_run_killed_while_it_was_begun_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    let (whole, out) = (directory.path().join("whole"), directory.path().join("run"));
    assert!(run(train(&whole, &["--steps", "2"])).status.success());
    // What such a run leaves: some of its files, before train.toml.
    fs::create_dir(&out).unwrap();
    fs::write(out.join(".beginning"), "").unwrap();
    for name in ["tokenizer.json", "state.safetensors", "model.safetensors"] {
        fs::copy(whole.join(name), out.join(name)).unwrap();
    }
    fails(["train", "--resume", out.to_str().unwrap()], 1, &["begin it again"]);
    // Nobody else puts there what is taken away when it is begun again.
    for name in ["tokenizer.json", "state.safetensors", "model.safetensors"] {
        fs::rename(out.join(name), directory.path().join(name)).unwrap();
    }
    let [whole_words, out_words] = [&whole, &out].map(|path| path.to_str().unwrap());
    let refused = ["already holds", ".beginning"];
    fails(["finetune", whole_words, "classify", "--out", out_words], 1, &refused);
    fails(["export", whole_words, out_words], 1, &refused);
    let text = file(directory.path(), "text.txt", "some text\n".repeat(40));
    fails(["tokenizer", "train", "--data", &text, "--out", out_words], 1, &[".beginning", "stays as it is"]);
    for name in ["tokenizer.json", "state.safetensors", "model.safetensors"] {
        fs::rename(directory.path().join(name), out.join(name)).unwrap();
    }
    let output = run(train(&out, &["--steps", "3"]));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_to_string(out.join("metrics.jsonl")).unwrap().lines().count(), 3, "from the first step on");
    assert!(!out.join(".beginning").exists());
}

#[test]
fn nothing_that_stands_in_the_place_of_the_best_model_is_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    fs::create_dir_all(out.join("best")).unwrap();
    fs::write(out.join("best/config.json"), "mine").unwrap();
    fails(train(&out, &["--steps", "2"]), 1, &["best/config.json", "stays as it is"]);
    assert_eq!(fs::read(out.join("best/config.json")).unwrap(), b"mine");
}

#[test]
fn two_do_not_train_in_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert!(run(train(&out, &["--steps", "2"])).status.success());
    let held = fs::File::open(&out).unwrap();
    held.lock().unwrap(); // as a process does that is at work there
    fails(["train", "--resume", out.to_str().unwrap()], 1, &["run", "somebody trains in it"]);
    drop(held);
    assert!(run(["train", "--resume", out.to_str().unwrap()]).status.success());
}

#[test]
fn a_budget_of_minutes_becomes_a_number_of_steps_that_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let output = run(train(&out, &["--minutes", "0.02", "--warmup", "1"]));
    assert!(output.status.success(), "{}", said(&output));
    let toml = fs::read_to_string(out.join("train.toml")).unwrap();
    let steps: usize = toml.lines().find_map(|line| line.strip_prefix("steps = ")).unwrap().parse().unwrap();
    assert_eq!(fs::read_to_string(out.join("metrics.jsonl")).unwrap().lines().count(), steps);
}

#[test]
fn a_budget_that_is_over_before_the_first_step_makes_one_and_says_so() {
    for model in ["gpt", "bert"] {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("run");
        let output = run(train(&out, &[model, "--minutes", "0.00001"]));
        assert!(output.status.success() && said(&output).contains("are too few for a step"), "{}", said(&output));
        assert_eq!(fs::read_to_string(out.join("metrics.jsonl")).unwrap().lines().count(), 1);
    }
}

#[test]
fn a_given_tokenizer_that_gets_other_ids_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let [gpt, bert] = ["gpt", "bert"].map(|name| directory.path().join(name));
    assert!(run(train(&gpt, &["--steps", "1"])).status.success());
    let given = ["bert", "--steps", "1", "--tokenizer", gpt.to_str().unwrap()];
    // A tokenizer that is given has its own size.
    let words = train(&bert, &given).into_iter().filter(|word| !["--vocab-size", "300"].contains(word));
    let output = run(words.collect::<Vec<_>>());
    assert!(output.status.success() && said(&output).contains("all others have other ids"), "{}", said(&output));
    let output = run(["train", "--resume", bert.to_str().unwrap()]);
    assert!(output.status.success() && !said(&output).contains("other ids"), "{}", said(&output));
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_before_it_reaches_a_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let wild = ["--steps", "50", "--lr", "1e30", "--grad-clip", "0", "--warmup", "0", "--save-every", "1"];
    let output = run(train(&out, &wild));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("step 1: the loss is") && said.contains("--lr"), "{said}");
    assert!(!out.join("state.safetensors").exists(), "weights that give no number are not saved");
}
