//! What of a run's numbers is drawn: how many points, how smooth, and how high the picture is.

use std::ops::Range;

/// A step and a loss.
pub(super) type Point = (f64, f64);

/// More points than this cannot be told apart on a picture; they are averaged.
pub(super) const POINTS: usize = 600;

/// Whether a loss can be shown: it is a number, and no larger than any that means something. (A model that gives each of a
/// million million tokens the same chance loses 28 nats; axes of 10³⁰⁰ nats end in rounding errors.)
pub(super) fn can_be_shown(loss: f64) -> bool {
    loss.abs() < 1e6
}

/// The points that can be shown, at most [`POINTS`] of them: the means of as many runs of equal length as are needed.
pub(super) fn thin(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let points: Vec<Point> = points.filter(|p| can_be_shown(p.1)).collect();
    let each = points.len().div_ceil(POINTS).max(1);
    points.chunks(each).map(mean).collect()
}

/// The mean of the middle half of the losses within a hundredth of the curve on either side: a single spike does not
/// move it. Near the beginning, where curves are steep, both sides shrink; at the end the right one is cut off.
pub(super) fn smoothed(points: &[Point]) -> Vec<Point> {
    let smooth = |i: usize| {
        let reach = (points.len() / 100).min(i);
        let window = &points[i - reach..points.len().min(i + reach + 1)];
        let mut losses: Vec<f64> = window.iter().map(|p| p.1).collect();
        losses.sort_by(f64::total_cmp);
        let middle = &losses[losses.len() / 4..losses.len() - losses.len() / 4];
        (points[i].0, middle.iter().sum::<f64>() / middle.len() as f64)
    };
    (0..points.len()).map(smooth).collect()
}

fn mean(points: &[Point]) -> Point {
    let n = points.len() as f64;
    let sum = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    (sum.0 / n, sum.1 / n)
}

/// The range of losses shown, such that 95 of 100 points of the curves have a third of the height or more. The
/// highest points and the levels are shown too as far as that allows; else the fall of the first steps, a spike or
/// a distant level would press flat what a reader wants to see.
pub(super) fn heights(training: &[Point], validation: &[Point], levels: &[f64]) -> Range<f64> {
    let mut losses: Vec<f64> = training.iter().chain(validation).map(|p| p.1).collect();
    losses.sort_by(f64::total_cmp);
    let Some((&lowest, &highest)) = losses.first().zip(losses.last()) else { return around(levels) };
    let usual = (losses[((losses.len() - 1) as f64 * 0.95).ceil() as usize] - lowest).max(0.1);
    let reach = lowest - usual..lowest + 3.0 * usual;
    let top = if highest < reach.end { highest } else { lowest + 1.5 * usual };
    let near = levels.iter().filter(|&nats| reach.contains(nats));
    let (low, high) = near.fold((lowest, top), |(low, high), &nats| (low.min(nats), high.max(nats)));
    let margin = 0.05 * (high - low).max(0.1);
    low - margin..high + margin
}

/// A range for a picture without curves.
fn around(levels: &[f64]) -> Range<f64> {
    levels.iter().fold(0.0..1.0, |range: Range<f64>, &nats| range.start.min(nats)..range.end.max(1.1 * nats))
}

/// The curve cut at `top`: the pieces that are below, with the points where they go through it.
pub(super) fn below(points: &[Point], top: f64) -> Vec<Vec<Point>> {
    let mut pieces = vec![Vec::new()];
    for (i, &(x, y)) in points.iter().enumerate() {
        if let Some(&(x0, y0)) = i.checked_sub(1).map(|before| &points[before])
            && (y > top) != (y0 > top)
        {
            let crossing = (x0 + (x - x0) * (top - y0) / (y - y0), top);
            pieces.last_mut().expect("there is always one").push(crossing);
        }
        if y > top {
            pieces.push(Vec::new());
        } else {
            pieces.last_mut().expect("there is always one").push((x, y));
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Moves sorted rows apart until neighbours have `gap` between them and the last is not below `bottom`.
pub(super) fn apart(rows: &[i32], gap: i32, bottom: i32) -> Vec<i32> {
    let mut rows = rows.to_vec();
    for i in 1..rows.len() {
        rows[i] = rows[i].max(rows[i - 1] + gap);
    }
    let mut limit = bottom;
    for row in rows.iter_mut().rev() {
        *row = limit.min(*row);
        limit = *row - gap;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(losses: &[f64]) -> Vec<Point> {
        losses.iter().enumerate().map(|(i, &y)| (i as f64, y)).collect()
    }

    #[test]
    fn thinning_keeps_a_picture_small_and_a_mean_what_it_is() {
        for n in [0, 1, 2, POINTS - 1, POINTS, POINTS + 1, 100_000] {
            let thinned = thin((0..n).map(|i| (i as f64, 3.0)).chain([(n as f64, f64::NAN), (0.0, f64::INFINITY)]));
            assert!(thinned.len() <= POINTS && thinned.len() * 2 >= n.min(POINTS), "{n}: {}", thinned.len());
            assert!(thinned.iter().chain(&smoothed(&thinned)).all(|p| (p.1 - 3.0).abs() < 1e-9));
        }
    }

    #[test]
    fn smoothing_leaves_a_straight_line_but_for_its_end_and_removes_a_spike() {
        let line = curve(&(0..600).map(|i| 9.0 - 0.01 * f64::from(i)).collect::<Vec<_>>());
        assert!(smoothed(&line)[..594].iter().zip(&line).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9));
        let mut spiked = line.clone();
        spiked[300].1 = 700.0;
        assert!(smoothed(&spiked).iter().all(|p| p.1 < 9.5));
    }

    #[test]
    fn early_steps_and_distant_levels_do_not_press_the_curve_flat() {
        let mut losses: Vec<f64> = (0..500).map(|i| 3.0 + 0.5 * f64::from(500 - i) / 500.0).collect();
        losses[0] = 10.8;
        losses[250] = 400.0;
        let range = heights(&curve(&losses), &[], &[10.82, 3.6, 2.8]);
        assert!(range.start < 2.8 && range.start > 2.6 && range.end > 3.6 && range.end < 4.0, "{range:?}");
        let whole = heights(&curve(&[4.2, 3.0, 2.5, 2.2, 2.0]), &[(4.0, 2.1)], &[4.17, 3.3, 0.1]);
        assert!(whole.start < 0.1 && whole.end > 4.2, "few points are all shown: {whole:?}");
    }

    #[test]
    fn the_range_of_nothing_and_of_one_value_can_be_drawn() {
        for (losses, levels) in
            [(&[][..], &[][..]), (&[2.0], &[]), (&[2.0, 2.0], &[2.0]), (&[], &[5.5]), (&[], &[-1.0])]
        {
            let range = heights(&curve(losses), &[], levels);
            assert!(range.start < range.end && range.end.is_finite(), "{losses:?}: {range:?}");
        }
    }

    #[test]
    fn a_curve_is_cut_where_it_goes_through_the_top() {
        let pieces = below(&curve(&[4.0, 2.0, 1.0, 5.0, 1.0]), 3.0);
        let expected = [vec![(0.5, 3.0), (1.0, 2.0), (2.0, 1.0), (2.5, 3.0)], vec![(3.5, 3.0), (4.0, 1.0)]];
        assert_eq!(pieces, expected);
        assert_eq!(below(&curve(&[4.0, 5.0]), 3.0), Vec::<Vec<Point>>::new());
        assert_eq!(below(&[], 3.0), Vec::<Vec<Point>>::new());
    }

    #[test]
    fn names_do_not_overlap() {
        assert_eq!(apart(&[10, 50, 90], 17, 100), [10, 50, 90]);
        assert_eq!(apart(&[10, 12, 13], 17, 100), [10, 27, 44]);
        assert_eq!(apart(&[95, 99, 100], 17, 100), [66, 83, 100]);
        assert_eq!(apart(&[], 17, 100), [0; 0]);
    }
}
