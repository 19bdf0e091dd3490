//! What a search found, as a page that stands alone: pictures are in it, and it fetches nothing from anywhere.

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _, RgbImage};

use super::gallery::Gallery;
use super::search::{Hit, Query, Wanted};
use crate::data::pictures::Picture;
use crate::error::{Error, Result};
use crate::files;

/// The page, with places for what it says.
const PAGE: &str = include_str!("page.html");
/// Pixels of a side of the pictures on it, at most.
const SIDE: u32 = 256;
/// Pictures smaller than this are shown with their pixels as they are.
const SMALL: usize = 100;

/// Writes the page of a search to `path`, where nothing may be yet, complete or not at all. `among` says in words where was
/// searched. Texts are found with their pictures, where they have one.
///
/// Errors: a file that is there already or cannot be written; a picture that is gone.
pub fn write(path: &Path, query: &Query, among: &str, gallery: &Gallery, wanted: Wanted, hits: &[Hit]) -> Result<()> {
    vacant(path)?;
    let page = render(query, among, gallery, wanted, hits)?;
    files::write_new(path, page.as_bytes()).map_err(|error| Error::io(path, "write", &error))
}

/// An error if there is something already where a file is to be written, or no folder for it.
pub fn vacant(path: &Path) -> Result<()> {
    if path.exists() {
        return Err(Error::file(path, "is there already: give the file another name, or move the old one away"));
    }
    match path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.is_dir()) {
        Some(parent) => Err(Error::file(parent, "is no folder, and a file is to be written there: make it first")),
        None => Ok(()),
    }
}

fn render(query: &Query, among: &str, gallery: &Gallery, wanted: Wanted, hits: &[Hit]) -> Result<String> {
    let (title, shown) = match query {
        Query::Text(text) => (escaped(text), escaped(text)),
        Query::Picture(name, picture) => {
            let name = escaped(name);
            (
                name.clone(),
                format!("<img src=\"{}\" alt=\"the picture that was sought with\">{name}", data_uri(picture)),
            )
        }
    };
    let (found, s) = (if wanted == Wanted::Pictures { "picture" } else { "text" }, plural(hits.len()));
    let how = format!("The {} nearest {found}{s}, by the cosine of the angle between two vectors.", hits.len());
    let mut items = String::new();
    for hit in hits {
        item(&mut items, hit, gallery)?;
    }
    let about = escaped(&format!("Search in {among}"));
    // From one place to the next, so that what is put in is never looked through for places.
    let (mut page, mut rest) = (String::new(), PAGE);
    let places = [("title", &title), ("about", &about), ("query", &shown), ("how", &how), ("hits", &items)];
    for (place, says) in places {
        let (before, after) = rest.split_once(&format!("{{{{{place}}}}}")).expect("the page has its places in order");
        page += before;
        page += says;
        rest = after;
    }
    Ok(page + rest)
}

/// What makes a word one for so many.
fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// A card: the picture, how near it is, and what is said of it.
fn item(to: &mut String, hit: &Hit, gallery: &Gallery) -> Result<()> {
    let name = escaped(&hit.name);
    let mut card = String::from("<li>");
    if !gallery.is_empty() {
        let picture = gallery.shown(hit.number, SIDE as usize)?;
        let class = if picture.width.max(picture.height) < SMALL { " class=\"small\"" } else { "" };
        let alt = hit.texts.first().map_or(name.clone(), |text| escaped(text));
        let _ = write!(card, "<img{class} src=\"{}\" alt=\"{alt}\">", data_uri(&picture));
    }
    let short = escaped(hit.name.rsplit(['/', '\\']).next().unwrap_or(&hit.name));
    let _ = write!(card, "<div><p class=\"score\"><span title=\"{name}\">{}. {short}</span>", hit.rank);
    let _ = write!(card, "<b>{:.3}</b></p>", hit.score);
    if let [first, more @ ..] = &hit.texts[..] {
        let _ = write!(card, "<p>{}</p>", escaped(first));
        if !more.is_empty() {
            let told: String = more.iter().map(|text| format!("<p>{}</p>", escaped(text))).collect();
            let _ = write!(
                card,
                "<details><summary>{} more caption{}</summary>{told}</details>",
                more.len(),
                plural(more.len())
            );
        }
    }
    let _ = writeln!(to, "{card}</div></li>");
    Ok(())
}

/// A text as it stands in HTML and XML, also within quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // XML has no place for them, whatever they are written as.
            c if c.is_control() && !matches!(c, '\n' | '\r' | '\t') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A picture as an address that holds it: a PNG, at most [`SIDE`] pixels a side.
fn data_uri(picture: &Picture) -> String {
    let whole = RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.rgb.clone());
    let mut image = whole.expect("3·W·H numbers");
    let longest = image.width().max(image.height());
    if longest > SIDE {
        let scaled = |edge: u32| (u64::from(edge) * u64::from(SIDE) / u64::from(longest)).max(1) as u32;
        image = image::imageops::thumbnail(&image, scaled(image.width()), scaled(image.height()));
    }
    let mut png = Cursor::new(Vec::new());
    PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::Adaptive)
        .write_image(&image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .expect("memory takes all that is written to it");
    format!("data:image/png;base64,{}", base64(png.get_ref()))
}

/// Bytes as letters, three of them as four (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_the_letters_of_the_standard() {
        let cases = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]; // RFC 4648, section 10
        for (n, want) in cases.iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..n]), *want);
        }
    }

    #[test]
    fn texts_are_shown_as_they_are_and_nothing_is_fetched() {
        let gallery = Gallery::scenes(3, 16);
        let hit = |number: usize, text: &str| Hit {
            rank: number + 1,
            score: 0.5,
            number,
            name: gallery.name(number),
            texts: vec![text.to_owned(), "more".to_owned()],
        };
        let hits = [hit(0, "<script>alert(\"{{hits}}\")</script>"), hit(2, "x\u{1b} & 'y'")];
        let query = Query::Text("<b> {{about}} {{hits}} & \"quotes\"".to_owned());
        let page = render(&query, "3 scenes", &gallery, Wanted::Pictures, &hits).unwrap();
        assert!(page.contains("<h1>&lt;b&gt; {{about}} {{hits}} &amp; &quot;quotes&quot;</h1>"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(&quot;{{hits}}&quot;)") && page.contains("x\u{fffd} &amp; &#39;y&#39;")
        );
        assert_eq!(page.matches("src=\"data:image/png;base64,iVBOR").count(), 2);
        assert!(!page.contains("<script") && !page.contains("http"));
        assert_eq!(page.matches("<li>").count(), 2);
    }

    #[test]
    fn a_page_is_written_once_and_large_pictures_become_smaller() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("found.html");
        let large = Picture { width: 3000, height: 20, rgb: vec![7; 3 * 3000 * 20] };
        assert!(data_uri(&large).len() < 2000);
        let query = Query::Picture("large.png".to_owned(), Box::new(large));
        let gallery = Gallery::scenes(1, 16);
        write(&path, &query, "a scene", &gallery, Wanted::Texts, &[]).unwrap();
        let again = write(&path, &query, "a scene", &gallery, Wanted::Texts, &[]).unwrap_err().to_string();
        assert!(again.contains("is there already"), "{again}");
        let nowhere = vacant(&directory.path().join("no/found.html")).unwrap_err().to_string();
        assert!(nowhere.contains("make it first"), "{nowhere}");
    }
}
