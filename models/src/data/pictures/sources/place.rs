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
    /// How many bytes it has there.
    pub bytes: u64,
    /// The file's stamp when it was opened.
    pub stamp: Stamp,
    /// How it lies there.
    pub form: Form,
}

/// What a picture has in common with no other: the path of its file, or the system's numbers of that, whatever it is called;
/// and the picture's name in it if there are others.
pub type Whereabouts = (Option<[u64; 2]>, PathBuf);

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

/// What tells a file from others whatever it is called, and from what it was before.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The system's numbers of the disk and of the file on it, where it tells them. Disks of other machines may give a file
    /// another number later: so it serves to know a file by another name, and not to see that it changed.
    which: Option<[u64; 2]>,
    bytes: u64,
    /// When it was last written.
    modified: Option<SystemTime>,
}

impl Stamp {
    /// That of the file that this is said of.
    fn of(meta: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let which = Some([std::os::unix::fs::MetadataExt::dev(meta), std::os::unix::fs::MetadataExt::ino(meta)]);
        #[cfg(not(unix))]
        let which = None;
        Self { which, bytes: meta.len(), modified: meta.modified().ok() }
    }

    /// That of the file at a path.
    ///
    /// Errors: there is none, or it may not be looked at.
    pub fn at(path: &Path) -> Result<Self> {
        Ok(Self::of(&fs::metadata(path).map_err(|e| Error::io(path, "read", &e))?))
    }

    /// Whether the file is as it was then.
    fn is_that_of(&self, now: &fs::Metadata) -> bool {
        (self.bytes, self.modified) == (now.len(), now.modified().ok())
    }
}

impl Place {
    /// The file of this name in a folder, if it is there.
    pub fn of_file(folder: &Arc<Path>, name: &Path) -> Option<Self> {
        let meta = fs::metadata(folder.join(name)).ok().filter(fs::Metadata::is_file)?;
        let (bytes, stamp) = (meta.len(), Stamp::of(&meta));
        Some(Self { source: folder.clone(), key: name.to_owned(), bytes, stamp, form: Form::File })
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
        let since = self.stamp.modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        format!("{}:{}", self.bytes, since.as_nanos())
    }

    /// Reads and decodes it. The file is opened anew each time: so thousands of shards keep no file open, and threads
    /// need not wait for each other's.
    pub fn picture(&self, ground: [u8; 3]) -> Result<Picture> {
        let bytes = self.read()?;
        match self.form {
            Form::Grey { width, height, .. } => {
                let rgb = bytes.iter().flat_map(|&level| [level; 3]).collect();
                Ok(Picture { width: width as usize, height: height as usize, rgb })
            }
            _ => decode(&bytes, ground).map_err(|what| Error::file(self.name(), what)),
        }
    }

    /// Its bytes. Of one among many, an error if their file was written anew since it was opened: at its place there another
    /// picture may lie now, of which something else is said.
    fn read(&self) -> Result<Vec<u8>> {
        let unreadable = |e| Error::io(self.name(), "read", &e);
        let (path, within) = match self.form {
            Form::File => (self.source.join(&self.key).into(), None),
            Form::Member { offset } | Form::Grey { offset, .. } => (self.source.clone(), Some(offset)),
        };
        let mut file = File::open(&path).map_err(unreadable)?;
        // A file of its own may have been fetched again, and is read whole.
        let length = if within.is_some() { self.bytes } else { file.metadata().map_err(unreadable)?.len() };
        if length > MOST_BYTES {
            return Err(Error::file(self.name(), "it is larger than any picture: remove it"));
        }
        let mut bytes = vec![0; length as usize];
        let read = file.seek(SeekFrom::Start(within.unwrap_or(0))).and_then(|_| file.read_exact(&mut bytes));
        // Looked at behind the bytes, so that no change before can be missed.
        if within.is_some() && !self.stamp.is_that_of(&file.metadata().map_err(unreadable)?) {
            return Err(Error::Changed(self.source.to_path_buf()));
        }
        read.map(|()| bytes).map_err(unreadable)
    }

    /// What it has in common with no other picture, by its path and by the system's numbers: who agrees in one is the same.
    pub fn whereabouts(&self) -> impl Iterator<Item = Whereabouts> {
        let path = self.source.join(self.key.strip_prefix(".").unwrap_or(&self.key));
        let within = if let Form::File = self.form { PathBuf::new() } else { self.key.clone() };
        let by_number = self.stamp.which.map(|which| (Some(which), within));
        [Some((None, path)), by_number].into_iter().flatten()
    }
}
