//! How good is it? The scores in which results of language models are stated, counted exactly as the scripts do that
//! everybody uses, so that a number from here may stand beside a published one.
//!
//! - Classes: [`accuracy`], [`macro_f1`].
//! - Entities: [`entities`], [`entity_score`], [`entity_score_by_type`], as `conlleval` counts.
//! - Answers: [`exact_match`], [`answer_f1`], as SQuAD's script counts, that of version 1.1.
//! - Similarities: [`spearman`].
//! - Search: [`recall_at`], [`reciprocal_rank`], [`ndcg_at`].
//! - Several seeds: [`mean`] with its 95% interval.
//!
//! Three shares come back in many forms. Of what was found, precision is the share that is right; of what was to be
//! found, recall is the share that was; F1 is their harmonic mean:
//!
//! ```text
//! P = correct/found,  R = correct/expected,  F1 = 2·P·R/(P + R) = 2·correct/(found + expected)
//! ```
//!
//! All shares are between 0 and 1, and 0 where nothing could be divided.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};
use std::iter::Sum;
use std::ops::{Add, Range};

use tokenizer::Kind;

/// a/b, and 0 for 0/0.
fn share(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

// Classes.

/// The share of examples whose predicted class is the true one.
pub fn accuracy(truth: &[usize], predicted: &[usize]) -> f64 {
    assert_eq!(truth.len(), predicted.len(), "a prediction for each example");
    let right = truth.iter().zip(predicted).filter(|(t, p)| t == p).count();
    share(right as f64, truth.len() as f64)
}

/// The mean of the classes' F1, so that a rare class counts as much as a common one. Classes are those that occur in
/// the truth or among the predictions; others have no F1.
pub fn macro_f1(truth: &[usize], predicted: &[usize]) -> f64 {
    assert_eq!(truth.len(), predicted.len(), "a prediction for each example");
    let mut classes: BTreeMap<usize, Counts> = BTreeMap::new();
    for (&t, &p) in truth.iter().zip(predicted) {
        classes.entry(t).or_default().expected += 1;
        classes.entry(p).or_default().found += 1;
        classes.entry(t).or_default().correct += usize::from(t == p);
    }
    share(classes.values().map(Counts::f1).sum(), classes.len() as f64)
}

// Entities.

/// A named thing in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entity {
    /// Its type: what stands behind `B-` and `I-`.
    pub kind: String,
    /// Its words.
    pub words: Range<usize>,
}

/// The entities of one sentence from the tags of its words: `B-PER` begins a person, `I-PER` goes on with it, `O` is
/// outside of all.
///
/// A model may write what no annotator would. As in `conlleval`, `I-PER` then begins a person wherever there is none to
/// go on with: at the start, after `O`, after another type. Any other tag counts as `O`.
///
/// ```
/// use models::transfer::score::entities;
///
/// let found = entities(&["B-PER", "I-PER", "O", "I-LOC", "B-LOC"]);
/// let words: Vec<_> = found.iter().map(|entity| entity.words.clone()).collect();
/// assert_eq!(words, [0..2, 3..4, 4..5]);
/// ```
pub fn entities<T: AsRef<str>>(tags: &[T]) -> Vec<Entity> {
    let mut found: Vec<Entity> = Vec::new();
    for (at, tag) in tags.iter().enumerate() {
        let (place, kind) = tag.as_ref().split_once('-').unwrap_or((tag.as_ref(), ""));
        match found.last_mut() {
            Some(open) if place == "I" && open.words.end == at && open.kind == kind => open.words.end += 1,
            _ if place == "B" || place == "I" => found.push(Entity { kind: kind.to_owned(), words: at..at + 1 }),
            _ => {}
        }
    }
    found
}

/// How many of what was to be found were, entities, examples of a class or words, with the shares that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Found, and right: an entity with the type and exactly the words that were expected.
    pub correct: usize,
    /// Found, rightly or not.
    pub found: usize,
    /// Those that are there.
    pub expected: usize,
}

impl Counts {
    /// correct/found
    pub fn precision(&self) -> f64 {
        share(self.correct as f64, self.found as f64)
    }

    /// correct/expected
    pub fn recall(&self) -> f64 {
        share(self.correct as f64, self.expected as f64)
    }

    /// 2·correct/(found + expected)
    pub fn f1(&self) -> f64 {
        share(2.0 * self.correct as f64, (self.found + self.expected) as f64)
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            correct: self.correct + other.correct,
            found: self.found + other.found,
            expected: self.expected + other.expected,
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(scores: I) -> Self {
        scores.fold(Self::default(), Add::add)
    }
}

/// The entities of all types together, from true and predicted tags for each sentence (Sang and Buchholz 2000: an
/// entity with one word too many is as wrong as none).
pub fn entity_score<T: AsRef<str>, P: AsRef<str>>(truth: &[Vec<T>], predicted: &[Vec<P>]) -> Counts {
    entity_score_by_type(truth, predicted).into_values().sum()
}

/// The same for each type that is there or was found.
pub fn entity_score_by_type<T: AsRef<str>, P: AsRef<str>>(
    truth: &[Vec<T>],
    predicted: &[Vec<P>],
) -> BTreeMap<String, Counts> {
    assert_eq!(truth.len(), predicted.len(), "predicted tags for each sentence");
    let mut scores: BTreeMap<String, Counts> = BTreeMap::new();
    for (truth, predicted) in truth.iter().zip(predicted) {
        assert_eq!(truth.len(), predicted.len(), "a predicted tag for each word");
        let expected: HashSet<Entity> = entities(truth).into_iter().collect();
        for entity in entities(predicted) {
            let right = expected.contains(&entity);
            let score = scores.entry(entity.kind).or_default();
            score.found += 1;
            score.correct += usize::from(right);
        }
        for entity in expected {
            scores.entry(entity.kind).or_default().expected += 1;
        }
    }
    scores
}

// Answers.

/// What remains of an answer when its wording is compared: small letters, no ASCII punctuation, no article, one space
/// between words (Rajpurkar et al. 2016, section 6.1, and their script).
///
/// ```
/// use models::transfer::score::normalize_answer;
///
/// assert_eq!(normalize_answer("The  U.S. Senate!"), "us senate");
/// ```
pub fn normalize_answer(answer: &str) -> String {
    let letters: Vec<char> = answer.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let runs = letters.chunk_by(|&a, &b| of_a_word(a) == of_a_word(b));
    // The script puts a space where the article stood, which matters beside signs that are no space: "50–a–day".
    let kept: String = runs.flat_map(|run| if is_article(run) { &[' '][..] } else { run }).collect();
    kept.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `\w` of the script's regular expressions, whose underscore has gone with the punctuation.
fn of_a_word(c: char) -> bool {
    matches!(Kind::of(c), Kind::Letter | Kind::Number)
}

fn is_article(word: &[char]) -> bool {
    matches!(word, ['a'] | ['a', 'n'] | ['t', 'h', 'e'])
}

/// Space in Python's eyes, which takes four separators of ASCII for space that Unicode does not.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// 1 if the prediction is one of the true answers once both are normalised, otherwise 0. Without true answers 0: where
/// the right answer is that there is none, it is `""`.
pub fn exact_match<T: AsRef<str>>(prediction: &str, answers: &[T]) -> f64 {
    let prediction = normalize_answer(prediction);
    f64::from(answers.iter().any(|answer| normalize_answer(answer.as_ref()) == prediction))
}

/// F1 of the prediction's words against those of the true answer that it is nearest to. A word counts as often as it
/// occurs in both. An answer that normalises to nothing shares no word with any: its F1 is 0, though it may match exactly
/// (version 2, where there may be no answer, makes that a 1).
pub fn answer_f1<T: AsRef<str>>(prediction: &str, answers: &[T]) -> f64 {
    let prediction = normalize_answer(prediction);
    answers.iter().map(|answer| words_f1(&prediction, &normalize_answer(answer.as_ref()))).fold(0.0, f64::max)
}

/// F1 of words between two normalised answers.
fn words_f1(prediction: &str, answer: &str) -> f64 {
    let mut left: HashMap<&str, usize> = HashMap::new();
    answer.split_whitespace().for_each(|word| *left.entry(word).or_default() += 1);
    let expected = left.values().sum();
    let mut score = Counts { expected, ..Counts::default() };
    for word in prediction.split_whitespace() {
        score.found += 1;
        if let Some(left) = left.get_mut(word).filter(|left| **left > 0) {
            *left -= 1;
            score.correct += 1;
        }
    }
    score.f1()
}

// Similarities.

/// Spearman's rank correlation: whether y rises where x does, by any curve, from −1 to 1. It is Pearson's correlation
/// of the ranks r and s:
///
/// ```text
/// ρ = Σᵢ(rᵢ − r̄)(sᵢ − s̄) / √(Σᵢ(rᵢ − r̄)²·Σᵢ(sᵢ − s̄)²)
/// ```
///
/// `None` if one side is the same everywhere, so that it ranks nothing, or is not a number somewhere.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "a y for each x");
    if x.iter().chain(y).any(|v| v.is_nan()) {
        return None;
    }
    let (r, s) = (centred_ranks(x), centred_ranks(y));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (dot(&r, &r) * dot(&s, &s)).sqrt();
    (scale > 0.0).then(|| dot(&r, &s) / scale)
}

/// Ranks from 1 to n, less their mean (n + 1)/2. Equal values share the mean of the ranks that they take up together.
fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let middle = (values.len() + 1) as f64 / 2.0;
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0; // mean of before + 1, …, before + len
        equal.iter().for_each(|&i| ranks[i] = rank - middle);
        before += equal.len();
    }
    ranks
}

// Search. `relevant[i]` says whether the result at rank i + 1 is one that was sought. The list ranks everything that
// could have been found: what it leaves out would count as not sought.

/// The share of what was sought that is among the first k results. With one thing sought it is 0 or 1.
pub fn recall_at(k: usize, relevant: &[bool]) -> f64 {
    share(count(&relevant[..k.min(relevant.len())]) as f64, count(relevant) as f64)
}

/// 1/rank of the first result that was sought; 0 if there is none.
pub fn reciprocal_rank(relevant: &[bool]) -> f64 {
    relevant.iter().position(|&yes| yes).map_or(0.0, |before| 1.0 / (before + 1) as f64)
}

/// Discounted cumulative gain of the first k results, as a share of the best that a ranking could have (Järvelin and
/// Kekäläinen 2002): DCG = Σᵢ relᵢ/log₂(i + 1) over the ranks i = 1, …, k, and the best has all that was sought in
/// front.
pub fn ndcg_at(k: usize, relevant: &[bool]) -> f64 {
    let worth = |before: usize| 1.0 / (before as f64 + 2.0).log2(); // at rank i there are i − 1 before
    let gain = (0..k.min(relevant.len())).filter(|&before| relevant[before]).map(worth).sum();
    let best = (0..k.min(count(relevant))).map(worth).sum();
    share(gain, best)
}

fn count(relevant: &[bool]) -> usize {
    relevant.iter().filter(|yes| **yes).count()
}

// Several seeds.

/// A mean, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Mean {
    /// x̄
    pub value: f64,
    /// Half the width of the 95% interval: the mean of endlessly many seeds lies within `value ± half_width`, unless
    /// these seeds are among the twentieth part that mislead. `None` for one seed, which says nothing of others.
    pub half_width: Option<f64>,
}

/// The mean of n results that differ only in the seed, with Student's interval (1908), which knows that the spread s is
/// itself a guess from n results:
///
/// ```text
/// x̄ ± t·s/√n,  s² = Σᵢ(xᵢ − x̄)²/(n − 1),  P(|T| ≤ t) = 0.95 with n − 1 degrees of freedom
/// ```
pub fn mean(results: &[f64]) -> Mean {
    assert!(!results.is_empty(), "a mean of no results");
    let n = results.len() as f64;
    let value = results.iter().sum::<f64>() / n;
    let squares: f64 = results.iter().map(|x| (x - value).powi(2)).sum();
    let half_width = (results.len() > 1).then(|| student(results.len() - 1) * (squares / (n - 1.0) / n).sqrt());
    Mean { value, half_width }
}

/// t with P(|T| ≤ t) = 0.95. With t = √ν·tan θ the probability rises with θ from 0 to π/2; halving finds the place.
fn student(freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if within(middle, freedom) < 0.95 { low = middle } else { high = middle }
    }
    (freedom as f64).sqrt() * f64::tan((low + high) / 2.0)
}

/// P(|T| ≤ √ν·tan θ) with ν degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), ν/2 terms rounded down:
///
/// ```text
/// ν even: sin θ·(1 + 1/2·cos²θ + (1·3)/(2·4)·cos⁴θ + …)
/// ν odd:  2/π·(θ + sin θ·(cos θ + 2/3·cos³θ + (2·4)/(3·5)·cos⁵θ + …))
/// ```
fn within(angle: f64, freedom: usize) -> f64 {
    let (sin, cos) = angle.sin_cos();
    let odd = freedom % 2;
    let (mut term, mut sum) = (if odd == 1 { cos } else { 1.0 }, 0.0);
    for i in (2 + odd..).step_by(2).take(freedom / 2) {
        sum += term;
        term *= cos * cos * (i - 1) as f64 / i as f64;
    }
    if odd == 1 { FRAC_2_PI * (angle + sin * sum) } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn a_class_that_is_only_predicted_lowers_macro_f1() {
        assert!(near(accuracy(&[0, 0, 1, 1], &[0, 0, 1, 7]), 0.75));
        // F1: 1 of class 0, 2/3 of class 1, 0 of class 7.
        assert!(near(macro_f1(&[0, 0, 1, 1], &[0, 0, 1, 7]), 5.0 / 9.0));
        assert_eq!((accuracy(&[], &[]), macro_f1(&[], &[])), (0.0, 0.0));
    }

    #[test]
    fn an_inside_tag_with_nothing_to_continue_begins_an_entity() {
        let spans = |tags: &str| -> Vec<(String, Range<usize>)> {
            let tags: Vec<&str> = tags.split(' ').collect();
            entities(&tags).into_iter().map(|entity| (entity.kind, entity.words)).collect()
        };
        let span = |kind: &str, words: Range<usize>| (kind.to_owned(), words);
        assert_eq!(spans("I-A I-A O I-A"), [span("A", 0..2), span("A", 3..4)]);
        assert_eq!(spans("B-A I-B I-B B-B"), [span("A", 0..1), span("B", 1..3), span("B", 3..4)]);
        assert_eq!(spans("B-A-x I-A-x I-A"), [span("A-x", 0..2), span("A", 2..3)]);
        assert!(spans("O [PAD] o").is_empty());
    }

    #[test]
    fn an_entity_counts_only_with_its_type_and_all_its_words() {
        let truth = [vec!["B-PER", "I-PER", "O"], vec!["B-LOC", "O", "B-PER"]];
        let predicted = [vec!["B-PER", "O", "O"], vec!["B-LOC", "B-ORG", "B-PER"]];
        let score = entity_score(&truth, &predicted);
        assert_eq!(score, Counts { correct: 2, found: 4, expected: 3 });
        assert!(near(score.precision(), 0.5) && near(score.recall(), 2.0 / 3.0) && near(score.f1(), 4.0 / 7.0));
        let by_type = entity_score_by_type(&truth, &predicted);
        assert_eq!(by_type["PER"], Counts { correct: 1, found: 2, expected: 2 });
        assert_eq!(by_type["ORG"].recall(), 0.0);
        // The end of a sentence ends its entities.
        let cut = [vec!["B-PER"], vec!["I-PER"]];
        assert_eq!(entity_score(&cut, &cut).expected, 2);
    }

    #[test]
    fn an_answer_is_measured_against_the_nearest_true_one() {
        assert_eq!(exact_match("the Eiffel Tower.", &["Paris", "Eiffel tower"]), 1.0);
        assert_eq!(exact_match("tower", &["Paris", "Eiffel tower"]), 0.0);
        assert!(near(answer_f1("tower", &["Paris", "Eiffel tower"]), 2.0 / 3.0));
        assert!(near(answer_f1("no no no", &["no no yes"]), 2.0 / 3.0));
        assert_eq!((answer_f1("", &["the"]), answer_f1("", &["x"]), answer_f1("x", &[""])), (0.0, 0.0, 0.0));
        assert_eq!(exact_match("", &["the"]), 1.0);
        assert_eq!((exact_match::<&str>("", &[]), answer_f1::<&str>("", &[])), (0.0, 0.0));
    }

    #[test]
    fn ranks_correlate_whatever_the_curve_unless_there_are_none() {
        assert!(near(spearman(&[1.0, 2.0, 3.0, 9.0], &[-5.0, 0.0, 1.0, 1e9]).unwrap(), 1.0));
        assert!(near(spearman(&[0.0, -0.0, 1.0], &[3.0, 3.0, 2.0]).unwrap(), -1.0));
        assert_eq!(spearman(&[1.0, 2.0], &[4.0, 4.0]), None);
        assert_eq!(spearman(&[1.0, 2.0, f64::NAN], &[1.0, 2.0, 3.0]), None);
        assert_eq!(spearman(&[], &[]), None);
    }

    #[test]
    fn what_was_sought_counts_more_in_front() {
        let relevant = [false, true, false, true];
        assert_eq!((recall_at(1, &relevant), recall_at(2, &relevant), recall_at(9, &relevant)), (0.0, 0.5, 1.0));
        assert_eq!(reciprocal_rank(&relevant), 0.5);
        assert_eq!((ndcg_at(2, &[true, true, false]), ndcg_at(0, &relevant)), (1.0, 0.0));
        assert!(ndcg_at(4, &relevant) < ndcg_at(4, &[true, false, false, true]));
        assert_eq!((recall_at(3, &[]), reciprocal_rank(&[false]), ndcg_at(3, &[false])), (0.0, 0.0, 0.0));
    }

    #[test]
    fn fewer_seeds_say_less() {
        // The table in every statistics book.
        for (freedom, t) in [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045), (1000, 1.962)] {
            assert!((student(freedom) - t).abs() < 5e-4, "{freedom}: {}", student(freedom));
        }
        assert_eq!(mean(&[0.5]), Mean { value: 0.5, half_width: None });
        assert_eq!(mean(&[0.5, 0.5]), Mean { value: 0.5, half_width: Some(0.0) });
    }
}
