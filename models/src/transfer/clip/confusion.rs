//! Which names pictures get, as a picture: a row for each true name, a column for each name that was said, and the darker the
//! field, the larger the share of the row's pictures. What is right lies on the diagonal.

use std::fmt::Write as _;
use std::path::Path;

use super::page::{escaped, vacant};
use super::zero_shot::Confusion;
use crate::error::{Error, Result};
use crate::files;

/// Pixels of the square that holds all fields, if they are not too large or too small then.
const SQUARE: f64 = 720.0;
/// A field's side, at least and at most.
const SIDES: [f64; 2] = [1.0, 48.0];
/// With more names than this no field has its number in it, and with more than that no name stands beside.
const NUMBERED: usize = 16;
const WRITTEN: usize = 80;
/// Letters of a name that are written.
const LETTERS: usize = 24;

/// Draws which of the names were said of which as an SVG file at `path`, where nothing may be yet, complete or not at all.
///
/// Errors: a file that is there already, or cannot be written.
pub fn draw(path: &Path, title: &str, names: &[String], counts: &Confusion) -> Result<()> {
    vacant(path)?;
    files::write_new(path, render(title, names, counts).as_bytes()).map_err(|error| Error::io(path, "write", &error))
}

fn render(title: &str, names: &[String], counts: &Confusion) -> String {
    let side = (SQUARE / names.len() as f64).clamp(SIDES[0], SIDES[1]);
    let (square, letter) = (side * names.len() as f64, side.clamp(7.0, 13.0));
    let written: Vec<String> = names.iter().map(|name| shortened(name)).collect();
    let longest = written.iter().map(|name| name.chars().count()).max().unwrap_or(0) as f64;
    let beside = if names.len() <= WRITTEN { longest * letter * 0.6 + 16.0 } else { 24.0 };
    let (left, top) = (beside + 24.0, beside + 64.0);
    let (width, height) = (left + square + 24.0, top + square + 24.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"{letter:.1}\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"24\" y=\"30\" font-size=\"17\">{}</text>\n\
         <text x=\"24\" y=\"50\" font-size=\"13\" fill=\"#777\">a row: what is shown; a column: what was said</text>\n\
         <rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{square:.1}\" height=\"{square:.1}\" fill=\"#f7f6f4\"/>\n",
        escaped(title)
    );
    let mut of_row = (usize::MAX, 0);
    for (&(row, column), &count) in counts {
        if of_row.0 != row {
            of_row = (row, pictures_of(counts, row));
        }
        let all = of_row.1;
        let (x, y) = (left + column as f64 * side, top + row as f64 * side);
        let share = count as f64 / all as f64;
        let colour = if row == column { "#1f77b4" } else { "#d6601e" };
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" fill=\"{colour}\" \
             fill-opacity=\"{:.2}\"><title>{} for {}: {count} of {all}</title></rect>",
            0.1 + 0.9 * share,
            escaped(&names[column]),
            escaped(&names[row]),
        );
        if names.len() <= NUMBERED {
            let (x, y) = (x + side / 2.0, y + side / 2.0 + letter / 3.0);
            let ink = if share > 0.5 { "#fff" } else { "#333" };
            let _ =
                writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"{ink}\">{count}</text>");
        }
    }
    for (i, name) in written.iter().enumerate().filter(|_| names.len() <= WRITTEN) {
        let at = (i as f64 + 0.5) * side + letter / 3.0;
        let (x, y) = (left - 8.0, top + at);
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", escaped(name));
        let (x, y) = (left + at, top - 8.0);
        let turned = format!("transform=\"rotate(-90 {x:.1} {y:.1})\"");
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {turned}>{}</text>", escaped(name));
    }
    svg + "</svg>\n"
}

/// How many pictures of a name there are.
pub fn pictures_of(counts: &Confusion, name: usize) -> usize {
    counts.range((name, 0)..(name + 1, 0)).map(|(_, count)| count).sum()
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_with_pictures_is_drawn_and_names_stand_beside_unless_there_are_too_many() {
        let names = ["a <b>", "dog"].map(str::to_owned);
        let svg = render("what & what", &names, &Confusion::from([((0, 0), 3), ((0, 1), 1), ((1, 1), 2)]));
        assert!(svg.contains("what &amp; what") && svg.contains("dog for a &lt;b&gt;: 1 of 4"), "{svg}");
        assert_eq!((svg.matches("<title>").count(), svg.matches(">dog</text>").count()), (3, 2));
        let many: Vec<String> = (0..1000).map(|i| format!("name {i}")).collect();
        let svg = render("many", &many, &Confusion::from([((7, 9), 1)]));
        assert!(svg.contains("name 9 for name 7: 1 of 1") && !svg.contains(">name 3</text>") && svg.len() < 2000);
    }
}
