//! The label curve as a picture that explains itself.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::{Learner, Point, Subject};
use crate::error;
use crate::files;

const SIZE: (u32, u32) = (960, 540); // pixels
const INK: RGBColor = RGBColor(51, 51, 51);
const GRID: RGBColor = RGBColor(232, 232, 232);
const TEXT: (&str, i32) = ("sans-serif", 16);

/// One colour for each of [`Learner::ALL`].
const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 96, 30), RGBColor(60, 140, 60), RGBColor(130, 130, 130)];

/// Draws a curve as an SVG file at `path`, complete or not at all: the score in percent against the number of labels, the
/// latter twice as many with each step to the right, a line for each learner with its interval at each point. The title
/// stands above, and what is to be `known` of points and intervals below.
///
/// Errors: a file that cannot be written.
pub fn draw<S: Subject>(path: &Path, [title, known]: [&str; 2], points: &[Point]) -> error::Result<()> {
    let names = Learner::ALL.map(Learner::name::<S>);
    let svg = render([title, known, S::COUNTED, S::MEASURED], names, points)
        .map_err(|error| error::Error::file(path, format!("cannot be drawn: {error}")))?;
    files::write(path, svg.as_bytes()).map_err(|error| error::Error::io(path, "write", &error))
}

fn render(
    [title, known, counted, measured]: [&str; 4],
    names: [&str; 4],
    points: &[Point],
) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let last = (points.len().max(2) - 1) as f64;
        let mut chart = ChartBuilder::on(&root)
            .margin(14)
            .margin_right(150)
            .caption(title, ("sans-serif", 20).with_color(INK))
            .x_label_area_size(52)
            .y_label_area_size(66)
            .build_cartesian_2d(-0.1..last + 0.1, 0.0..100.0)?;
        let labels = |&x: &f64| {
            let at = x.round();
            let point = ((x - at).abs() < 0.01 && at >= 0.0).then(|| points.get(at as usize)).flatten();
            point.map_or(String::new(), |point| point.labels.to_string())
        };
        chart
            .configure_mesh()
            .x_desc(format!("{counted} ({known})"))
            .y_desc(format!("{measured} (%)"))
            .x_labels(points.len().max(2) + 1)
            .x_label_formatter(&labels)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(TEXT.with_color(INK))
            .draw()?;
        let mut ends: Vec<(i32, Learner)> = Vec::new();
        for learner in Learner::ALL {
            let colour = COLOURS[learner as usize];
            let means: Vec<_> = points.iter().map(|point| point.mean(learner)).collect();
            let line = means.iter().enumerate().map(|(i, mean)| (i as f64, 100.0 * mean.value));
            chart.draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?;
            for ((x, y), mean) in line.zip(&means) {
                let half = 100.0 * mean.half_width.unwrap_or(0.0);
                let bar = [(x, (y - half).max(0.0)), (x, (y + half).min(100.0))];
                chart.draw_series(LineSeries::new(bar, colour.stroke_width(1)))?;
            }
            if let Some(mean) = means.last() {
                ends.push((chart.backend_coord(&(last, 100.0 * mean.value)).1, learner));
            }
        }
        // Names at the ends of the lines, far enough apart to be read.
        ends.sort_by_key(|(y, _)| *y);
        let (right, mut free) = (chart.backend_coord(&(last + 0.1, 0.0)).0, i32::MIN);
        for (y, learner) in ends {
            let y = y.max(free);
            free = y + 18;
            let style = TEXT.into_text_style(&root).color(&COLOURS[learner as usize]);
            root.draw_text(names[learner as usize], &style, (right + 8, y - 8))?;
        }
        root.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_names_all_learners_and_all_numbers_of_labels() {
        let point = |labels: usize| Point {
            labels,
            examples: 3 * labels,
            scores: [0.9, 0.5, 0.6, 0.3].map(|x| vec![x, x + 0.05]),
        };
        let said = ["a title", "bars: an interval", "labels of each class", "accuracy"];
        let names = ["pre-trained", "from scratch", "bag of words", "majority"];
        let svg = render(said, names, &[point(1), point(2), point(4), point(7)]).unwrap();
        let texts = [&said[..3], &names].concat();
        for text in texts {
            assert!(svg.contains(text), "{text}");
        }
        let closer = |scores: Vec<f64>| {
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            vec![mean; scores.len()]
        };
        let sure = [point(1), point(2), point(4), point(7)].map(|p| Point { scores: p.scores.map(closer), ..p });
        assert_ne!(render(said, names, &sure).unwrap(), svg, "the intervals are drawn");
        for labels in ["\n1\n", "\n2\n", "\n4\n", "\n7\n"] {
            assert!(svg.contains(labels), "{labels:?}");
        }
    }
}
