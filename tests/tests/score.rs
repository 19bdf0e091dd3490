//! Do we count as others count? Every score held against the customary script or library, on cases that it recorded.

use std::path::Path;

use models::transfer::score::{self, Counts};
use serde_json::Value;

/// The cases of one kind of score.
fn cases(of: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/score.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = all[of].as_array().unwrap().clone();
    assert!(cases.len() > 30, "only {} cases of {of}", cases.len());
    cases
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
fn assert_near(ours: f64, theirs: &Value, case: &Value) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() < 1e-9, "{ours}, not {theirs}: {case}");
}

#[test]
fn classes_are_scored_as_in_scikit_learn() {
    for case in cases("classes") {
        let (truth, predicted) = (list(&case["truth"]), list(&case["predicted"]));
        assert_near(score::accuracy(&truth, &predicted), &case["accuracy"], &case);
        assert_near(score::macro_f1(&truth, &predicted), &case["macro_f1"], &case);
    }
}

#[test]
fn entities_are_counted_as_in_conlleval() {
    let agree = |score: Counts, shares: &Value, case: &Value| {
        assert_near(score.precision(), &shares[0], case);
        assert_near(score.recall(), &shares[1], case);
        assert_near(score.f1(), &shares[2], case);
    };
    for case in cases("entities") {
        let tags = |side: &str| -> Vec<Vec<String>> {
            let rows: Vec<String> = list(&case[side]);
            rows.iter().map(|row| row.split(' ').map(str::to_owned).collect()).collect()
        };
        let (truth, predicted) = (tags("truth"), tags("predicted"));
        let spans = score::entities(&predicted[0]).into_iter().map(|e| (e.kind, e.words.start, e.words.end));
        assert_eq!(spans.collect::<Vec<_>>(), list::<(String, usize, usize)>(&case["first"]), "{case}");
        agree(score::entity_score(&truth, &predicted), &case["shares"], &case);
        let by_type = score::entity_score_by_type(&truth, &predicted);
        assert_eq!(by_type.len(), case["by_type"].as_object().unwrap().len(), "{case}");
        by_type.iter().for_each(|(kind, &score)| agree(score, &case["by_type"][kind], &case));
    }
}

#[test]
fn answers_are_compared_as_in_the_script_of_squad_1_1() {
    for case in cases("answers") {
        let prediction = case["prediction"].as_str().unwrap();
        let answers: Vec<String> = list(&case["answers"]);
        assert_eq!(score::normalize_answer(prediction), case["normalized"].as_str().unwrap(), "{case}");
        assert_near(score::exact_match(prediction, &answers), &case["exact"], &case);
        assert_near(score::answer_f1(prediction, &answers), &case["f1"], &case);
    }
}

#[test]
fn ranks_correlate_as_in_scipy() {
    for case in cases("ranks") {
        match score::spearman(&list(&case["x"]), &list(&case["y"])) {
            Some(rho) => assert_near(rho, &case["rho"], &case),
            None => assert!(case["rho"].is_null(), "{case}"),
        }
    }
}

#[test]
fn searches_are_scored_as_in_scikit_learn() {
    for case in cases("searches") {
        let relevant: Vec<bool> = list(&case["relevant"]).into_iter().map(|yes: u8| yes == 1).collect();
        let k = case["k"].as_u64().unwrap() as usize;
        assert_near(score::recall_at(k, &relevant), &case["recall"], &case);
        assert_near(score::reciprocal_rank(&relevant), &case["reciprocal_rank"], &case);
        assert_near(score::ndcg_at(k, &relevant), &case["ndcg"], &case);
    }
}

#[test]
fn the_interval_over_seeds_is_that_of_scipy() {
    for case in cases("seeds") {
        let mean = score::mean(&list(&case["results"]));
        let half_width = mean.half_width.unwrap();
        assert_near(mean.value - half_width, &case["low"], &case);
        assert_near(mean.value + half_width, &case["high"], &case);
    }
}
