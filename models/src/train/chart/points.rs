//! What of a run's numbers is drawn: how many points, how smooth, and how high the picture is.

use std::ops::Range;

/// A step and a loss.
pub(super) type Point = (f64, f64);

/// More points than this cannot be told apart on a picture; they are averaged.
pub(super) const POINTS: usize = 600;

/// Finite points only, and at most [`POINTS`] of them: the means of as many runs of equal length as are needed.
pub(super) fn thin(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let points: Vec<Point> = points.filter(|p| p.1.is_finite()).collect();
    let each = points.len().div_ceil(POINTS).max(1);
    points.chunks(each).map(mean).collect()
}

/// The mean of the points within a hundredth of the curve on either side, fewer at its ends so that no end is bent.
pub(super) fn smoothed(points: &[Point]) -> Vec<Point> {
    let reach = |i: usize| (points.len() / 100).min(i).min(points.len() - 1 - i);
    let smooth = |i: usize| (points[i].0, mean(&points[i - reach(i)..=i + reach(i)]).1);
    (0..points.len()).map(smooth).collect()
}

fn mean(points: &[Point]) -> Point {
    let n = points.len() as f64;
    points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / n, sum.1 + p.1 / n)) // divided first: 1e308 + 1e308 is no number
}

/// The range of losses shown. The curves have it to themselves, but for a level that is near enough to tell
/// something: at most as far from the curves as they are high. What only the first steps or a spike reach is left
/// out where it would take most of the height.
pub(super) fn heights(training: &[Point], validation: &[Point], levels: &[f64]) -> Range<f64> {
    let mut losses: Vec<f64> = training.iter().chain(validation).map(|p| p.1).collect();
    losses.sort_by(f64::total_cmp);
    let Some((&lowest, &highest)) = losses.first().zip(losses.last()) else { return around(levels) };
    let usual = losses[(losses.len() - 1) * 95 / 100] - lowest; // the height that 95 of 100 points keep to
    let top = if highest - lowest > 2.5 * usual && losses.len() > 20 { lowest + 1.5 * usual } else { highest };
    let height = (top - lowest).max(0.1);
    let near = levels.iter().filter(|&&nats| nats > lowest - height && nats < top + height);
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
    fn smoothing_leaves_a_straight_line_as_it_is() {
        let line = curve(&(0..600).map(|i| 9.0 - 0.01 * f64::from(i)).collect::<Vec<_>>());
        assert!(smoothed(&line).iter().zip(&line).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9));
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
