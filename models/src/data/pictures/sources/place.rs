//! Where a picture is, from opening the data until it is wanted: a file of its own, or a stretch of bytes within one.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::Picture;
use super::super::decode::{MOST_PIXELS, decode};
use crate::error::{Error, Result};

/// Bytes that a picture's file may have: more than the largest picture has in memory, and files are compressed.
const MOST_BYTES: u64 = 4 * MOST_PIXELS;

/// Where a picture is.
#[derive(Debug)]
pub struct Place {
    /// The folder that the picture's file is named from, or the file that it is one of many in.
    pub source: Arc<Path>,
    /// Its name within.
    pub key: PathBuf,
    /// How many it takes there.
    pub bytes: u64,
    /// When the file was last written.
    pub modified: Option<SystemTime>,
    /// How it lies there.
    pub form: Form,
}

/// How a picture lies where it is.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A file of its own.
    File,
    /// A file among others in one, from a byte on.
    Member { offset: u64 },
    /// Grey levels, from a byte on.
    Grey { offset: u64, width: u32, height: u32 },
}

impl Place {
    /// The file of this name in a folder, if it is there.
    pub fn of_file(folder: &Arc<Path>, name: &Path) -> Option<Self> {
        let meta = fs::metadata(folder.join(name)).ok().filter(fs::Metadata::is_file)?;
        let modified = meta.modified().ok();
        Some(Self { source: folder.clone(), key: name.to_owned(), bytes: meta.len(), modified, form: Form::File })
    }

    /// The path, or `SHARD:KEY`.
    pub fn name(&self) -> String {
        match self.form {
            Form::File => self.source.join(&self.key).display().to_string(),
            _ => format!("{}:{}", self.source.display(), self.key.display()),
        }
    }

    /// What tells it from others wherever the data lies, and whatever becomes of its file: one that is broken and is fetched
    /// again is the same picture.
    pub fn identity(&self) -> String {
        let shard = self.source.file_name().filter(|_| !matches!(self.form, Form::File)).unwrap_or_default();
        format!("{}:{}", shard.display(), self.key.display())
    }

    /// What changes when the file is written anew, if only by as many other bytes.
    pub fn version(&self) -> String {
        let since = self.modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        format!("{}:{}", self.bytes, since.as_nanos())
    }

    /// Reads and decodes it. The file is opened anew each time: so thousands of shards keep no file open, and threads
    /// need not wait for each other's.
    pub fn picture(&self, ground: [u8; 3]) -> Result<Picture> {
        if self.bytes > MOST_BYTES {
            return Err(Error::file(self.name(), "it is larger than any picture: remove it"));
        }
        let bytes = self.read()?;
        match self.form {
            Form::Grey { width, height, .. } => {
                let rgb = bytes.iter().flat_map(|&level| [level; 3]).collect();
                Ok(Picture { width: width as usize, height: height as usize, rgb })
            }
            _ => decode(&bytes, ground).map_err(|what| Error::file(self.name(), what)),
        }
    }

    fn read(&self) -> Result<Vec<u8>> {
        let unreadable = |e| Error::io(self.name(), "read", &e);
        let offset = match self.form {
            Form::File => return fs::read(self.source.join(&self.key)).map_err(unreadable),
            Form::Member { offset } | Form::Grey { offset, .. } => offset,
        };
        let mut file = File::open(&self.source).map_err(unreadable)?;
        self.check_unchanged(&file.metadata().map_err(unreadable)?)?;
        let mut bytes = vec![0; self.bytes as usize];
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(unreadable)?;
        Ok(bytes)
    }

    /// An error if the file that it is one of many in was written anew since it was opened: at its place there another
    /// picture may lie now, of which something else is said.
    pub fn check_still_there(&self) -> Result<()> {
        match (self.form, fs::metadata(&self.source)) {
            (Form::Member { .. } | Form::Grey { .. }, Ok(meta)) => self.check_unchanged(&meta),
            _ => Ok(()),
        }
    }

    fn check_unchanged(&self, now: &fs::Metadata) -> Result<()> {
        if now.modified().ok() == self.modified {
            return Ok(());
        }
        let what = "it was written anew while it was being read, and where a picture was another may be now: leave it as it \
                    is, and start again";
        Err(Error::file(&self.source, what))
    }

    /// What it has in common with no other picture, however its source was named.
    pub fn whereabouts(&self) -> PathBuf {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match self.form {
            Form::File => real(&self.source.join(&self.key)),
            _ => real(&self.source).join(&self.key),
        }
    }
}
