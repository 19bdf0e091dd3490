//! Answers, as SQuAD's script counts them, that of version 1.1.

use std::collections::HashMap;

use tokenizer::Kind;

use super::Counts;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
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
}
