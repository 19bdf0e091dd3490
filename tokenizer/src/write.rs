//! Writing a `tokenizer.json`, as the `tokenizers` library reads it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;

use crate::alphabet::Alphabet;
use crate::{Error, Tokenizer};

impl Tokenizer {
    /// The text of a `tokenizer.json`: one token or merge a line, tokens in the order of their ids.
    pub fn to_json(&self) -> String {
        let alphabet = Alphabet::new();
        let shown = |id: u32| match self.specials.iter().find(|special| special.1 == id) {
            Some((name, _)) => json!(name), // a special token's name stands for itself
            None => json!(alphabet.show(&self.tokens[id as usize])),
        };
        let byte_level =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let specials = self.specials().into_iter().map(|(name, id)| {
            json!({"id": id, "content": name, "single_word": false, "lstrip": self.lstrip.contains(&id), "rstrip": false,
                   "normalized": false, "special": true})
            .to_string()
        });
        let tokens = (0..self.vocab_size() as u32).map(|id| format!("{}: {id}", shown(id)));
        let merges = self.merges.iter().map(|m| format!("[{}, {}]", shown(m.left), shown(m.right)));

        let mut text = String::from("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
        text += "  \"added_tokens\": [";
        lines(&mut text, "    ", specials);
        text += "],\n  \"normalizer\": null,\n";
        for part in ["pre_tokenizer", "post_processor", "decoder"] {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "  \"{part}\": {byte_level},");
        }
        text += "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n";
        text += "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n";
        text += "    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n";
        text += "    \"vocab\": {";
        lines(&mut text, "      ", tokens);
        text += "},\n    \"merges\": [";
        lines(&mut text, "      ", merges);
        text += "]\n  }\n}\n";
        text
    }

    /// Writes a `tokenizer.json` to `path`, or into the directory `path`. The file is there complete or not at all: it
    /// is written beside its place, flushed to the disk and then renamed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with what the system said.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        write_whole(&path, self.to_json().as_bytes()).map_err(|source| Error::Io { path, doing: "write", source })
    }
}

/// Appends `items` with commas between them, each on a line of its own.
fn lines(text: &mut String, indent: &str, items: impl Iterator<Item = String>) {
    let mut any = false;
    for item in items {
        text.push_str(if any { ",\n" } else { "\n" });
        text.push_str(indent);
        text.push_str(&item);
        any = true;
    }
    if any {
        text.push('\n');
        text.push_str(&indent[2..]);
    }
}

/// Puts `bytes` at `path` in one step: a reader sees the old file or the new one, whenever the machine stops.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    // The permissions of any other file, as the umask says; a temporary one would be its owner's alone.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.prefix(".tokenizer-").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all() // the rename itself is on the disk only now
}
