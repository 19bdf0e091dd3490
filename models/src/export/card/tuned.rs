//! What the files of a fine-tuning tell: from which examples, by which command, how well.

use std::fs;
use std::path::Path;

use serde_json::Value;
use toml::Table;

use super::super::json;
use super::last_name;
use crate::error::{Error, Result};
use crate::files::quoted;
use crate::transfer::finetune::tuned::OPTIONS;
use crate::transfer::finetune::{Recipe, answer};

/// Options that are paths, of which a card tells the last name.
const PATHS: [&str; 4] = ["from", "data", "val_data", "test_data"];

/// The sections on a fine-tuning, as far as there is something to tell.
///
/// Errors: files that are damaged.
pub(super) fn sections(directory: &Path) -> Result<Vec<String>> {
    let [options, results] = [OPTIONS, "results.json"].map(|name| directory.join(name));
    let mut sections = Vec::new();
    if options.exists() {
        let text = fs::read_to_string(&options).map_err(|error| Error::io(&options, "read", &error))?;
        let table: Table = text.parse().map_err(|error| Error::file(&options, format!("not TOML: {error}")))?;
        sections.push(how(table));
    }
    if results.exists() {
        let results = json(&results, &fs::read(&results).map_err(|error| Error::io(&results, "read", &error))?)?;
        let table = score_table(&results).unwrap_or_else(|| format!("```json\n{results:#}\n```"));
        sections.push(format!("## Results of the fine-tuning\n\n{table}"));
    }
    Ok(sections)
}

/// From which examples it learned, and the command that does it again.
fn how(mut options: Table) -> String {
    for (_, path) in options.iter_mut().filter(|(name, _)| PATHS.contains(&name.as_str())) {
        *path = last_name(path.as_str().unwrap_or_default()).into();
    }
    // Before the least steps were written down they were the task's own, also beside --epochs.
    if options.contains_key("epochs") && !options.contains_key("least_steps") {
        let of_task = if options.get("task").and_then(toml::Value::as_str) == Some("answer") {
            answer::LEAST_STEPS
        } else {
            Recipe::default().least_steps
        };
        options.insert("least_steps".to_owned(), (of_task as i64).into());
    }
    let said = |name: &str| options.get(name).and_then(toml::Value::as_str).unwrap_or_default();
    let learned = match said("data") {
        "" => "200 labelled stories of the built-in world of Pretext".to_owned(),
        data => format!("the examples in `{data}`"),
    };
    let mut command = format!("pretext finetune {} {}", quoted(said("from")), said("task"));
    for (name, value) in options.iter().filter(|(name, _)| !["from", "task"].contains(&name.as_str())) {
        let flag = name.replace('_', "-");
        match value {
            toml::Value::Boolean(false) => {}
            toml::Value::Boolean(true) => command += &format!(" --{flag}"),
            toml::Value::String(word) => command += &format!(" --{flag} {}", quoted(word)),
            number => command += &format!(" --{flag} {number}"),
        }
    }
    let scratch = options.get("scratch").and_then(toml::Value::as_bool) == Some(true);
    let from = if scratch { "From random weights, in the sizes of" } else { "From what was learned before by" };
    format!("## How it was fine-tuned\n\n{from} `{}`, on {learned}.\n\n    {command}", said("from"))
}

/// Scores on test examples as a table, if they are what `finetune` writes.
fn score_table(results: &Value) -> Option<String> {
    let trials = results.get("trials").unwrap_or(results).as_array().filter(|trials| !trials.is_empty())?;
    let names: Vec<&String> = trials[0]["test"].as_object()?.keys().collect();
    let percent = |x: &Value| x.as_f64().map_or("-".to_owned(), |x| format!("{:.1}%", 100.0 * x));
    let mut lines = vec![["seed", "steps", "validation"].map(str::to_owned).to_vec()];
    lines[0].extend(names.iter().map(|name| format!("test {name}")));
    lines.push(vec!["---".to_owned(); lines[0].len()]);
    for trial in trials {
        let fitted = &trial["fitted"];
        let mut line = vec![trial["seed"].to_string(), fitted["steps"].to_string(), percent(&fitted["best"])];
        line.extend(names.iter().map(|name| percent(&trial["test"][name.as_str()])));
        lines.push(line);
    }
    Some(lines.iter().map(|cells| format!("| {} |", cells.join(" | "))).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_become_a_table_and_other_results_none() {
        let trial = serde_json::json!({"seed": 3, "fitted": {"steps": 40, "best": null}, "test": {"accuracy": 0.9612}});
        let table = score_table(&serde_json::json!({"kept": 3, "trials": [trial]})).unwrap();
        assert_eq!(score_table(&serde_json::json!([trial])).as_ref(), Some(&table), "as it once was written");
        assert!(table.ends_with("| 3 | 40 | - | 96.1% |") && table.contains("| test accuracy |"), "{table}");
        assert_eq!(score_table(&serde_json::json!({"accuracy": 1})), None);
        assert_eq!(score_table(&serde_json::json!([])), None);
    }

    #[test]
    fn a_fine_tuning_is_told_as_the_command_that_does_it_again() {
        let told = |text: &str| how(text.parse().unwrap());
        let world = told("from = '/runs/bert-1'\ntask = 'tag'\nscratch = false\nepochs = 10\nlr = 0.001\n");
        assert!(world.contains("built-in world") && !world.contains("/runs"), "{world}");
        assert!(world.ends_with("pretext finetune bert-1 tag --epochs 10 --least-steps 200 --lr 0.001"), "{world}");
        let file =
            told("from = 'b'\ntask = 'classify'\npooling = 'mean'\nscratch = true\ndata = '/x/my reviews.csv'\n");
        assert!(file.contains("`my reviews.csv`") && !file.contains("/x/"), "{file}");
        assert!(file.ends_with("finetune b classify --data 'my reviews.csv' --pooling mean --scratch"), "{file}");
    }
}
