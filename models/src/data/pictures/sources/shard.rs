//! A WebDataset shard: a tar file in which `KEY.jpg`, `KEY.txt`, `KEY.json` and `KEY.cls` belong together.
//!
//! The shard is read once, in sequence, for its captions and for where each picture begins; nothing is unpacked, and the
//! pictures stay on the disk until they are wanted. A text file has a caption on each line and is column `text`, a file
//! of a class is column `class`, and the keys of a JSON object are columns themselves.
//!
//! As in WebDataset, a key ends at the first dot of a file's name: `7.seg.png` is no picture, but what `7` has under
//! `seg.png`. What a shard has twice counts as it would if it were unpacked: the later stands.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::path::{Component, Path};
use std::sync::Arc;

use tar::{Archive, Entry};

use super::place::{Form, Place, Stamp};
use super::wording::{Record, Wording};
use super::{Gathering, Item, is_foreign, is_picture, note_alone, note_foreign, only_foreign};
use crate::data::labelled::{Tally, shortened};
use crate::error::{Error, Result};

/// Bytes of a text beside a picture: far more than a caption, and few enough to be read without thought.
const MOST_TEXT: u64 = 1 << 20;

/// The first bytes of what `gzip` makes.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What a shard has under one key.
#[derive(Default)]
struct Sample {
    key: String,
    /// What its file of JSON says.
    json: Record,
    /// What files of their own say. It stands before what the other says, for it was put there to be read.
    said: Record,
    /// Where the picture begins and how many bytes it has.
    picture: Option<(u64, u64)>,
}

/// Adds the shard's pictures, in its order.
pub(super) fn gather(path: &Path, to: &mut Gathering) -> Result<()> {
    // Asked before it is read: if it is written anew meanwhile, that is seen when a picture is.
    let stamp = Stamp::at(path)?;
    let (samples, Odd { replaced, links, sparse, foreign, alone, unseen }) = samples(path)?;
    let samples: Vec<_> = samples.into_iter().filter(|sample| sample.picture.is_some()).collect();
    if samples.is_empty() && foreign.count > 0 {
        return Err(only_foreign(&foreign, path));
    }
    if samples.is_empty() {
        let what = "there is no picture in it (.png, .jpg, .jpeg, .webp or .gif): give a shard of KEY.jpg \
                    and KEY.txt, where KEY has no dot";
        return Err(Error::file(path, what));
    }
    let mut columns: Vec<_> = samples.iter().flat_map(|of| of.json.keys().chain(of.said.keys()).cloned()).collect();
    columns.sort();
    columns.dedup();
    let mut wording = Wording::of(to.options, path, &columns)?;
    let source: Arc<Path> = path.into();
    for Sample { key, json: mut record, said, picture } in samples {
        record.extend(said);
        let Some((offset, bytes)) = picture.filter(|_| wording.keeps(&record)) else { continue };
        let place = Place { source: source.clone(), key: key.into(), bytes, stamp, form: Form::Member { offset } };
        to.add(Item::new(place, wording.captions(&record)), wording.class(&record));
    }
    let one = "second picture or text of a key, which counts in the place of the first";
    let many = "second pictures or texts of a key, which count in the place of the first";
    replaced.note(path, one, many, &mut to.notes);
    let (one, many) = ("link to another member passed over", "links to other members passed over");
    links.note(path, one, many, &mut to.notes);
    let (one, many) = (
        "member with holes passed over: make the shard without tar's --sparse",
        "members with holes passed over: make the shard without tar's --sparse",
    );
    sparse.note(path, one, many, &mut to.notes);
    let (one, many) = (
        "picture passed over, for its name has a second dot",
        "pictures passed over, for their names have a second dot",
    );
    unseen.note(path, one, many, &mut to.notes);
    note_foreign(&foreign, path, &mut to.notes);
    note_alone(&alone, path, &mut to.notes);
    to.close(path, &wording)
}

/// What is said about a shard's members: those there were more than once, links, files that are stored without their holes,
/// pictures in formats that are not read, texts that stand alone, and pictures whose names leave them no key of their own.
#[derive(Default)]
struct Odd {
    replaced: Tally,
    links: Tally,
    sparse: Tally,
    foreign: Tally,
    alone: Tally,
    unseen: Tally,
}

/// Everything that belongs together, in the order in which it begins, and what is odd about it.
fn samples(path: &Path) -> Result<(Vec<Sample>, Odd)> {
    let unreadable = |e| Error::io(path, "read", &e);
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start).and_then(|_| file.rewind()).map_err(unreadable)?;
    if start == GZIP {
        return Err(Error::file(path, "it is compressed (gzip), and pictures are read where they lie: unpack it"));
    }
    let mut archive = Archive::new(BufReader::new(file));
    archive.set_ignore_zeros(true); // after an end mark another archive may follow, as `cat` leaves it
    let (mut samples, mut places, mut whole) = (Vec::<Sample>::new(), HashMap::new(), 0);
    let (mut odd, mut foreign, mut dotted) = (Odd::default(), Vec::new(), Vec::new());
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let mut entry = entry.map_err(|e| cut_off(path, whole, samples.len(), &shortened(&e.to_string())))?;
        let kind = entry.header().entry_type();
        // Of a file with holes `size` counts these, too, and they are not in the archive.
        let stored = if kind.is_gnu_sparse() { entry.header().entry_size().ok() } else { Some(entry.size()) };
        let (offset, bytes) = (entry.raw_file_position(), stored.unwrap_or(u64::MAX));
        if offset.saturating_add(bytes) > length {
            return Err(cut_off(path, whole, samples.len(), "the file ends within its next member"));
        }
        let called = || String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if kind.is_hard_link() || kind.is_symlink() {
            odd.links.add(called);
        } else if kind.is_gnu_sparse() {
            odd.sparse.add(called);
        }
        if (kind.is_file() || kind.is_contiguous())
            && let Some((key, ending)) = name(path, &entry)?
        {
            let at = *places.entry(key.clone()).or_insert(samples.len());
            if at == samples.len() {
                samples.push(Sample { key, ..Sample::default() });
            }
            if ending.rsplit_once('.').is_some_and(|(_, last)| is_picture(last)) {
                dotted.push((at, ending.clone()));
            }
            if is_foreign(&ending) {
                foreign.push((at, ending.clone()));
            }
            if take(path, &mut samples[at], &ending, &mut entry)? {
                odd.replaced.add(|| format!("{}.{ending}", samples[at].key));
            }
        }
        whole = offset + bytes.next_multiple_of(512);
    }
    // A tar file ends with blocks of zeros; one that was cut between members has none.
    if whole + 512 > length {
        return Err(cut_off(path, whole.min(length), samples.len(), "its end mark is missing"));
    }
    for (at, ending) in foreign.iter().filter(|(at, _)| samples[*at].picture.is_none()) {
        odd.foreign.add(|| format!("{}.{ending}", samples[*at].key));
    }
    // Else it is what its key has beside its picture, such as 7.seg.png.
    for (at, ending) in dotted.iter().filter(|(at, _)| samples[*at].picture.is_none()) {
        odd.unseen.add(|| format!("{}.{ending}", samples[*at].key));
    }
    let pictured: HashSet<usize> = foreign.into_iter().map(|(at, _)| at).collect();
    for (at, sample) in samples.iter().enumerate() {
        let says = !(sample.said.is_empty() && sample.json.is_empty());
        if says && sample.picture.is_none() && !pictured.contains(&at) {
            odd.alone.add(|| sample.key.clone());
        }
    }
    Ok((samples, odd))
}

fn cut_off(path: &Path, whole: u64, count: usize, how: &str) -> Error {
    let what = format!(
        "it is cut off or damaged ({how}): whole up to byte {whole}, with {count} keys; fetch it again, or leave it out"
    );
    Error::file(path, what)
}

/// The key and the ending of a member's name, if it has both; an error if the name leads out of the shard, which no honest
/// one does.
fn name(path: &Path, entry: &Entry<BufReader<File>>) -> Result<Option<(String, String)>> {
    let name = entry.path().map_err(|e| Error::io(path, "read a name in", &e))?;
    if name.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        let what = format!(
            "its member {:?} is absolute or has .. in its name: make the shard anew, with names from its own folder on",
            name.display()
        );
        return Err(Error::file(path, what));
    }
    let file = name.file_name().unwrap_or_default().to_string_lossy();
    let parts = file.split_once('.').filter(|(key, _)| !key.is_empty());
    Ok(parts
        .map(|(key, ending)| (name.with_file_name(key).to_string_lossy().into_owned(), ending.to_ascii_lowercase())))
}

/// Takes what a member says of the picture that it belongs to, or where the picture is. Says whether another did before.
fn take(path: &Path, sample: &mut Sample, ending: &str, entry: &mut Entry<BufReader<File>>) -> Result<bool> {
    if is_picture(ending) {
        return Ok(sample.picture.replace((entry.raw_file_position(), entry.size())).is_some());
    }
    if !matches!(ending, "txt" | "json" | "cls") {
        return Ok(false);
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
    Ok(match ending {
        "txt" => sample.said.insert("text".to_owned(), text.lines().collect::<Vec<_>>().into()).is_some(),
        "cls" => sample.said.insert("class".to_owned(), text.trim().into()).is_some(),
        _ => {
            let object = serde_json::from_str(text)
                .map_err(|e| refuse(&format!("is no JSON object ({e})"), r#"write {"caption": "a cat"}"#))?;
            !std::mem::replace(&mut sample.json, object).is_empty()
        }
    })
}
