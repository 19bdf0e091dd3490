//! The loss curve of a run as a picture, `loss.svg`, that explains itself.
//!
//! Beside the curves stand the levels that give them a meaning: what a model loses that knows nothing (uniform), that
//! knows only how often each token occurs (unigram), and what no model can do without (the entropy of the data).
//! The picture is for the long part of a run, where learning is slow: the fall of the first steps and single spikes
//! may leave it at the top.

mod points;

use std::error::Error;
use std::io;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::metrics::Metric;
use crate::files::write_atomically;
use points::{Point, apart, below, can_be_shown, heights, smoothed, thin};

/// A horizontal line with a meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// What a loss at this height would say, in a few words: `uniform`, `unigram`, `entropy of the data`.
    pub name: String,
    /// Its height, in nats an item.
    pub nats: f64,
}

/// Draws the losses of `metrics`, in nats an `item` (`token`, `pair`), as an SVG file at `path`, complete or not at all.
///
/// Any number of metrics will do, none included. Losses that are not numbers, or are beyond a million nats, are left
/// out and counted in the picture.
pub fn draw(path: &Path, title: &str, item: &str, metrics: &[Metric], levels: &[Level]) -> crate::Result<()> {
    let svg = render(title, item, metrics, levels).map_err(|e| io::Error::other(e.to_string()));
    let written = svg.and_then(|svg| write_atomically(path, |out| out.write_all(svg.as_bytes())));
    written.map_err(|error| crate::Error::io(path, "write", &error))
}

type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
type Chart<'a, 's> = ChartContext<'a, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn Error>>;

const SIZE: (u32, u32) = (960, 540); // pixels
const HEAD: i32 = 82; // of which the height for title and legend
const INK: RGBColor = RGBColor(51, 51, 51);
const GRID: RGBColor = RGBColor(232, 232, 232);
const TRAINING: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 96, 30);
const LEVEL: RGBColor = RGBColor(105, 105, 105);
const SMALL: (&str, i32) = ("sans-serif", 16);

fn render(title: &str, item: &str, metrics: &[Metric], levels: &[Level]) -> Result<String, Box<dyn Error>> {
    let training = thin(metrics.iter().map(|m| (m.step as f64, m.loss)));
    let smooth = smoothed(&training);
    let evaluations = metrics.iter().filter_map(|m| Some((m.step as f64, m.validation.compared()?)));
    let best = evaluations.clone().filter(|e| can_be_shown(e.1)).min_by(|a, b| a.1.total_cmp(&b.1));
    let validation = thin(evaluations);
    let mut levels: Vec<&Level> = levels.iter().filter(|level| can_be_shown(level.nats)).collect();
    levels.sort_by(|a, b| b.nats.total_cmp(&a.nats));
    let heights = heights(&smooth, &validation, &levels.iter().map(|level| level.nats).collect::<Vec<_>>());
    let last = metrics.iter().map(|m| m.step).max().unwrap_or(0).max(1) as f64;

    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(14)
            .margin_top(HEAD)
            .margin_right(levels.iter().map(|level| 24 + 7 * name(level).chars().count() as i32).max().unwrap_or(24))
            .x_label_area_size(52)
            .y_label_area_size(66)
            .build_cartesian_2d(0.0..last, heights.clone())?;
        draw_axes(&mut chart, item, &heights)?;
        draw_levels(&mut chart, &root, &levels, &heights)?;
        draw_curves(&mut chart, [&training, &smooth, &validation], heights.end)?;
        draw_head(&chart, &root, title, &smooth, best)?;
        draw_note(&chart, &root, metrics)?;
        root.present()?;
    }
    Ok(svg)
}

fn draw_axes(chart: &mut Chart, item: &str, heights: &Range<f64>) -> Drawn {
    let labels = 9;
    let apart = (heights.end - heights.start) / labels as f64; // at least; rounded up to a 1, 2 or 5
    let decimals = (-(2.0 * apart).log10().floor()).clamp(0.0, 4.0) as usize;
    chart
        .configure_mesh()
        .x_desc("steps")
        .y_desc(format!("loss (nats a {item})"))
        .x_label_formatter(&|&step| if step.fract() == 0.0 { thousands(step as u64) } else { String::new() })
        .y_label_formatter(&|nats| format!("{nats:.decimals$}"))
        .x_labels(labels)
        .y_labels(labels)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(SMALL.with_color(INK))
        .axis_desc_style(("sans-serif", 18).with_color(INK))
        .draw()?;
    Ok(())
}

/// Dashed lines over the whole width, highest first, with their names on the right. An arrow shows where those are
/// that are out of the picture.
fn draw_levels(chart: &mut Chart, root: &Area, levels: &[&Level], heights: &Range<f64>) -> Drawn {
    let last = chart.as_coord_spec().x_spec().range().end;
    let mut rows = Vec::new();
    for level in levels {
        if heights.contains(&level.nats) {
            let line = [(0.0, level.nats), (last, level.nats)];
            chart.draw_series(DashedLineSeries::new(line, 6, 4, LEVEL.into()))?;
        }
        rows.push(chart.backend_coord(&(last, level.nats.clamp(heights.start, heights.end))).1);
    }
    let (right, bottom) = chart.backend_coord(&(last, heights.start));
    for (level, row) in levels.iter().zip(apart(&rows, 18, bottom)) {
        let arrow = if level.nats > heights.end {
            " ↑"
        } else if level.nats < heights.start {
            " ↓"
        } else {
            ""
        };
        write(root, name(level) + arrow, (right + 8, row), LEVEL)?;
    }
    Ok(())
}

/// Each step's training loss faintly, its course, and the validation loss with a mark where it was measured.
fn draw_curves(chart: &mut Chart, [training, smooth, validation]: [&[Point]; 3], top: f64) -> Drawn {
    let curves = [(training, TRAINING.mix(0.35)), (smooth, TRAINING.mix(1.0)), (validation, VALIDATION.mix(1.0))];
    for (points, colour) in curves {
        for piece in below(points, top) {
            chart.draw_series(LineSeries::new(piece, colour.stroke_width(if colour.3 < 1.0 { 1 } else { 2 })))?;
        }
    }
    let marked = validation.iter().filter(|p| p.1 <= top);
    let size = if validation.len() > 60 { 2 } else { 4 }; // many marks would be a thick line
    chart.draw_series(marked.map(|&p| Circle::new(p, size, VALIDATION.filled())))?;
    if let [only] = smooth {
        chart.draw_series([Circle::new(*only, 3, TRAINING.filled())])?; // one point is no line
    }
    Ok(())
}

/// Above the picture its title, and below that what the curves are and where they stand.
fn draw_head(chart: &Chart, root: &Area, title: &str, smooth: &[Point], best: Option<Point>) -> Drawn {
    let mut x = chart.plotting_area().get_x_axis_pixel_range().start;
    let y = HEAD - 22;
    let style = ("sans-serif", 23).with_color(INK).into_text_style(root);
    root.draw(&Text::new(title, (x, 16), style))?;
    if let Some((_, loss)) = smooth.last() {
        root.draw(&PathElement::new([(x, y), (x + 24, y)], TRAINING.stroke_width(2)))?;
        write(root, format!("training, last {loss:.3}"), (x + 32, y), INK)?;
        x += 210;
    }
    if let Some((step, loss)) = best {
        root.draw(&PathElement::new([(x, y), (x + 24, y)], VALIDATION.stroke_width(2)))?;
        root.draw(&Circle::new((x + 12, y), 4, VALIDATION.filled()))?;
        write(
            root,
            format!("validation, best {loss:.3} at step {}", thousands(step.round() as u64)),
            (x + 32, y),
            INK,
        )?;
    }
    Ok(())
}

/// What a reader would wonder about: a picture without curves, and steps whose loss cannot be shown.
fn draw_note(chart: &Chart, root: &Area, metrics: &[Metric]) -> Drawn {
    let lost = metrics.iter().filter(|m| !can_be_shown(m.loss)).count();
    let note = match (metrics.len(), lost) {
        (0, _) => "no steps yet".to_owned(),
        (_, 0) => return Ok(()),
        (_, lost) => format!("{lost} of {} training losses are not shown: NaN or too large", metrics.len()),
    };
    let (x, y) =
        (chart.plotting_area().get_x_axis_pixel_range().start, chart.plotting_area().get_y_axis_pixel_range().end);
    write(root, note, (x + 10, y - 14), VALIDATION)
}

/// Text from the pixel `at` to the right, its middle at that height.
fn write(root: &Area, text: String, at: (i32, i32), colour: RGBColor) -> Drawn {
    let style = SMALL.with_color(colour).into_text_style(root).pos(Pos::new(HPos::Left, VPos::Center));
    Ok(root.draw(&Text::new(text, at, style))?)
}

fn name(level: &Level) -> String {
    format!("{} {:.2}", level.name, level.nats)
}

/// A whole number with a comma between thousands: 1,250,000.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let grouped: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    grouped.join(",")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::metrics::Validation;
    use super::*;

    fn metric(step: u64, loss: f64, val_loss: Option<f64>) -> Metric {
        let validation = Validation { loss: val_loss, ..Validation::default() };
        let (lr, grad_norm, items_per_s, seconds) = (1e-3, 1.0, 1e4, 1.0);
        Metric { step, loss, validation, lr, grad_norm, items_per_s, seconds }
    }

    fn levels() -> Vec<Level> {
        [("uniform", 4.17), ("unigram", 3.31), ("entropy of the data", 1.2), ("unknown", f64::NAN)]
            .map(|(name, nats)| Level { name: name.to_owned(), nats })
            .to_vec()
    }

    /// A run of `n` steps that falls from 4.2 towards 1.5, with noise and with validation at every tenth of it.
    fn run(n: u64) -> Vec<Metric> {
        let loss = |step: u64| 1.5 + 2.7 / (1.0 + 40.0 * step as f64 / n as f64);
        let noise = |step: u64| 0.1 * ((step * 7919 % 101) as f64 / 50.0 - 1.0);
        let val = |step: u64| step.is_multiple_of((n / 10).max(1)).then(|| loss(step) + 0.1);
        (0..n).map(|step| metric(step, loss(step) + noise(step), val(step))).collect()
    }

    #[test]
    fn a_chart_names_its_axes_curves_and_levels() {
        let svg = render("A <small> & quick run", "token", &run(2000), &levels()).unwrap();
        for text in
            ["A &lt;small&gt; &amp; quick run", "steps", "loss (nats a token)", "training, last", "validation, best"]
        {
            assert!(svg.contains(text), "{text}");
        }
        for text in ["uniform 4.17", "unigram 3.31", "entropy of the data 1.20", "1,000"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("unknown") && !svg.contains("NaN"));
    }

    #[test]
    fn any_number_of_points_of_any_size_makes_a_small_file() {
        let lost = metric(3, f64::NAN, Some(f64::INFINITY));
        let cases: [(Vec<Metric>, &str); 7] = [
            (vec![], "no steps yet"),
            (vec![metric(0, 4.0, None)], "training, last 4.000"),
            (vec![metric(7, 4.0, Some(4.5))], "validation, best 4.500 at step 7"),
            (vec![lost; 3], "3 of 3 training losses are not shown: NaN or too large"),
            (vec![metric(1, 4.0, None), lost, metric(5, 1e308, None), metric(6, -1e308, None)], "3 of 4"),
            (run(100_000), "80,000"),
            (vec![metric(u64::MAX, 1.0, None)], "training, last 1.000"),
        ];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loss.svg");
        for (metrics, says) in cases {
            for levels in [levels(), vec![]] {
                draw(&path, "run", "token", &metrics, &levels).unwrap();
                let svg = fs::read_to_string(&path).unwrap();
                assert!(svg.contains(says), "{says}");
                assert!(svg.ends_with("</svg>\n") && svg.len() < 120_000, "{says}: {} bytes", svg.len());
            }
        }
    }

    #[test]
    fn a_chart_that_cannot_be_written_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/loss.svg");
        let message = draw(&path, "run", "token", &[], &[]).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: cannot write it", path.display())), "{message}");
    }

    #[test]
    fn thousands_are_set_apart() {
        let table = [(0, "0"), (999, "999"), (1000, "1,000"), (1_250_000, "1,250,000")];
        table.iter().for_each(|(number, text)| assert_eq!(thousands(*number), *text));
    }
}
