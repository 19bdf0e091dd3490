//! A WebDataset shard: a tar file in which `KEY.jpg`, `KEY.txt`, `KEY.json` and `KEY.cls` belong together.
//!
//! The shard is read once, in sequence, for its captions and for where each picture begins; nothing is unpacked, and the
//! pictures stay on the disk until they are wanted. A text file has a caption on each line and is column `text`, a file
//! of a class is column `class`, and the keys of a JSON object are columns themselves.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Component, Path};
use std::sync::Arc;

use tar::{Archive, Entry};

use super::wording::{Record, Wording};
use super::{Form, Gathering, Item, Place, is_picture};
use crate::error::{Error, Result};

/// Bytes of a text beside a picture: far more than a caption, and few enough to be read without thought.
const MOST_TEXT: u64 = 1 << 20;

/// What a shard has under one key.
#[derive(Default)]
struct Sample {
    key: String,
    record: Record,
    /// Where the picture begins and how many bytes it has.
    picture: Option<(u64, u64)>,
}

/// Adds the shard's pictures, in its order.
pub(super) fn gather(path: &Path, to: &mut Gathering) -> Result<()> {
    let samples: Vec<_> = samples(path)?.into_iter().filter(|sample| sample.picture.is_some()).collect();
    if samples.is_empty() {
        let what = "there is no picture in it (.png, .jpg, .jpeg, .webp or .gif): give a shard of KEY.jpg and KEY.txt";
        return Err(Error::file(path, what));
    }
    let mut columns: Vec<_> = samples.iter().flat_map(|sample| sample.record.keys().cloned()).collect();
    columns.sort();
    columns.dedup();
    let mut wording = Wording::of(to.options, path, &columns)?;
    let source: Arc<Path> = path.into();
    for Sample { key, record, picture } in samples {
        let Some((offset, bytes)) = picture.filter(|_| wording.keeps(&record)) else { continue };
        let place = Place { source: source.clone(), key: key.as_str().into(), bytes, form: Form::Member { offset } };
        to.add(Item::new(place, wording.captions(&record)), wording.class(&record), || key);
    }
    to.close(path, &wording)
}

/// Everything that belongs together, in the order in which it begins.
fn samples(path: &Path) -> Result<Vec<Sample>> {
    let unreadable = |e| Error::io(path, "read", &e);
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut archive = Archive::new(BufReader::new(file));
    let (mut samples, mut places, mut whole) = (Vec::<Sample>::new(), HashMap::new(), 0);
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let mut entry = entry.map_err(|e| cut_off(path, whole, samples.len(), &e.to_string()))?;
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        if offset + bytes > length {
            return Err(cut_off(path, whole, samples.len(), "the file ends within its next member"));
        }
        if entry.header().entry_type().is_file() {
            let (key, ending) = name(path, &entry)?;
            let at = *places.entry(key.clone()).or_insert(samples.len());
            if at == samples.len() {
                samples.push(Sample { key, ..Sample::default() });
            }
            take(path, &mut samples[at], &ending, &mut entry)?;
        }
        whole = offset + bytes.next_multiple_of(512);
    }
    // A tar file ends with blocks of zeros; one that was cut between members has none.
    if whole + 512 > length {
        return Err(cut_off(path, whole, samples.len(), "its end mark is missing"));
    }
    Ok(samples)
}

fn cut_off(path: &Path, whole: u64, count: usize, how: &str) -> Error {
    let what = format!(
        "it is cut off or damaged ({how}): whole up to byte {whole}, with {count} keys; fetch it again, or leave it out"
    );
    Error::file(path, what)
}

/// The key and the ending of a member's name; an error if the name leads out of the shard, which no honest one does.
fn name(path: &Path, entry: &Entry<BufReader<File>>) -> Result<(String, String)> {
    let name = entry.path().map_err(|e| Error::io(path, "read a name in", &e))?;
    if name.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        let what = format!(
            "its member {:?} is absolute or has .. in its name: make the shard anew, with names from its own folder on",
            name.display()
        );
        return Err(Error::file(path, what));
    }
    let ending = name.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    Ok((name.with_extension("").to_string_lossy().into_owned(), ending))
}

/// Takes what a member says of the picture that it belongs to, or where the picture is.
fn take(path: &Path, sample: &mut Sample, ending: &str, entry: &mut Entry<BufReader<File>>) -> Result<()> {
    if is_picture(ending) {
        sample.picture.get_or_insert((entry.raw_file_position(), entry.size()));
        return Ok(());
    }
    if !matches!(ending, "txt" | "json" | "cls") {
        return Ok(());
    }
    let refuse =
        |wrong: &str, way_out| Error::file(path, format!("its member {}.{ending} {wrong}: {way_out}", sample.key));
    if entry.size() > MOST_TEXT {
        return Err(refuse("has more than a megabyte", "a picture's text is a caption on each line"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| Error::io(path, "read", &e))?;
    let text =
        String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8", "write the shard anew with text that is"))?;
    let text = text.trim_start_matches('\u{feff}');
    match ending {
        "txt" => sample.record.insert("text".to_owned(), text.lines().collect::<Vec<_>>().into()),
        "cls" => sample.record.insert("class".to_owned(), text.trim().into()),
        _ => {
            let object: Record = serde_json::from_str(text)
                .map_err(|e| refuse(&format!("is no JSON object ({e})"), r#"write {"caption": "a cat"}"#))?;
            // What a file of its own says stands, for it was put there to be read.
            for (key, value) in object {
                sample.record.entry(key).or_insert(value);
            }
            None
        }
    };
    Ok(())
}
