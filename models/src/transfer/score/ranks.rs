//! Orders: whether two agree, and how far in front stands what was sought.
//!
//! In a search `relevant[i]` says whether the result at rank i + 1 is one that was sought. The list ranks everything that could
//! have been found: what it leaves out would count as not sought.

use super::share;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
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
}
