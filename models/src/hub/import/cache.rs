//! The cache that Python shares: `models--ORG--NAME` with three folders.
//!
//! `blobs` holds the files, each under its checksum; `snapshots/COMMIT` holds the names of one state of the model, as links to
//! blobs, so that what two states have in common is there once; `refs` says which commit a branch was at. A file appears under
//! its checksum only when it is complete and has it; until then it is `CHECKSUM.incomplete`. The locks under `.locks` are
//! those that Python takes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::Event;
use super::remote::{Remote, Said};
use crate::error::{Error, Result};
use crate::files::hex;

/// A model's place in the cache.
pub(super) struct Place {
    repo: CacheRepo,
    revision: String,
    /// `models--ORG--NAME`
    folder: PathBuf,
    locks: PathBuf,
}

impl Place {
    /// Of a model at a revision.
    pub(super) fn new(cache: &Path, name: &str, revision: &str) -> Self {
        let repo = Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned());
        let folder = repo.folder_name();
        Self {
            locks: cache.join(".locks").join(&folder),
            folder: cache.join(folder),
            repo: Cache::new(cache.to_owned()).repo(repo),
            revision: revision.to_owned(),
        }
    }

    /// The directory of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// The directory of the revision's last known commit, if any of its files are there.
    pub(super) fn cached(&self) -> Option<PathBuf> {
        let directory = match self.repo.get(super::CONFIG) {
            Some(config) => config.parent()?.to_owned(),
            None => self.snapshot(&self.revision), // which may be a commit itself
        };
        directory.join(super::CONFIG).exists().then_some(directory)
    }

    /// The names of the files in a snapshot.
    pub(super) fn files_in(&self, directory: &Path) -> BTreeSet<String> {
        let names = |directory: &Path| {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
        };
        let deeper = |name: String| match names(&directory.join(&name)) {
            inner if inner.is_empty() => vec![name],
            inner => inner.iter().map(|inner| format!("{name}/{inner}")).collect(),
        };
        names(directory).into_iter().flat_map(deeper).collect()
    }

    /// Writes down that the revision is this commit, of which all is there.
    pub(super) fn remember(&self, commit: &str) -> Result<()> {
        if self.revision == commit {
            return Ok(());
        }
        self.repo.create_ref(commit).map_err(|error| Error::io(self.folder.join("refs"), "write", &error))
    }

    /// Fetches a file of a commit, unless the same is there from another commit, and gives it its name.
    pub(super) fn fetch(&self, remote: &Remote, commit: &str, name: &str, tell: &mut dyn FnMut(Event)) -> Result<()> {
        let said = remote.head(commit, name)?;
        let blob = self.folder.join("blobs").join(&said.checksum);
        let pointer = self.snapshot(commit).join(name);
        for file in [&blob, &pointer] {
            let directory = file.parent().unwrap_or(file);
            fs::create_dir_all(directory).map_err(|error| Error::io(directory, "make", &error))?;
        }
        let _lock = self.lock(&said.checksum, name, tell)?;
        if !blob.exists() {
            download(remote, name, &said, &blob, tell)?;
        }
        point(&pointer, &said.checksum, name).map_err(|error| Error::io(&pointer, "write", &error))
    }

    /// Waits until nobody else fetches the same file. On a disk without locks nobody waits, and the checksum refuses what two
    /// have written into one file.
    fn lock(&self, checksum: &str, name: &str, tell: &mut dyn FnMut(Event)) -> Result<File> {
        let path = self.locks.join(format!("{checksum}.lock"));
        let opened = fs::create_dir_all(&self.locks).and_then(|()| File::create(&path));
        let file = opened.map_err(|error| Error::io(&path, "write", &error))?;
        if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
            tell(Event::Note(format!("another program is fetching {name}: waiting for it")));
            let _ = file.lock();
        }
        Ok(file)
    }

    /// Whether a file of a snapshot has another checksum than the one that is its name among the blobs.
    pub(super) fn is_damaged(&self, pointer: &Path) -> bool {
        let Some(blob) = self.blob_of(pointer) else { return false };
        let checksum = blob.file_name().unwrap_or_default().to_string_lossy();
        let found = File::open(&blob).and_then(|mut file| checksum_like(&checksum, &mut file));
        is_checksum(&checksum) && found.is_ok_and(|found| found != checksum)
    }

    /// The blob that a name in a snapshot is a link to.
    fn blob_of(&self, pointer: &Path) -> Option<PathBuf> {
        let target = fs::read_link(pointer).ok()?;
        Some(self.folder.join("blobs").join(target.file_name()?))
    }

    /// Removes a file: its name in a snapshot, and the blob.
    pub(super) fn remove(&self, pointer: &Path) -> io::Result<()> {
        let blob = self.blob_of(pointer);
        fs::remove_file(pointer)?;
        blob.map_or(Ok(()), fs::remove_file)
    }
}

/// Whether the hub can have given this as a checksum: SHA-256 of a large file, or the SHA-1 by which git knows a small one.
pub(super) fn is_checksum(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// The checksum of a file, of the kind of this one.
fn checksum_like(checksum: &str, file: &mut File) -> io::Result<String> {
    match checksum.len() {
        64 => digest(Sha256::new(), file),
        _ => {
            let header = format!("blob {}\0", file.metadata()?.len());
            digest(Sha1::new_with_prefix(header), file)
        }
    }
}

/// The digest of what was put in and a file, in hexadecimal digits.
fn digest(mut hash: impl Digest, file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// Fetches what is still missing of a file, and gives it its name among the blobs if it is what the hub said.
fn download(remote: &Remote, name: &str, said: &Said, blob: &Path, tell: &mut dyn FnMut(Event)) -> Result<()> {
    let path = blob.with_file_name(format!("{}.incomplete", said.checksum));
    let io = |doing| move |error: io::Error| Error::io(blob, doing, &error);
    let mut file = File::options().read(true).append(true).create(true).open(&path).map_err(io("write"))?;
    remote.download(name, said, &mut file, &path, tell)?;
    let found = checksum_like(&said.checksum, &mut file).map_err(io("read"))?;
    if found != said.checksum {
        fs::remove_file(&path).map_err(io("remove"))?;
        let what = format!("what came has the checksum {found}, but the hub says {}", said.checksum);
        let then = "it was damaged on the way, or is not what was asked for; it is removed: import the model again";
        return Err(Error::Hub(format!("{name}: {what}: {then}")));
    }
    file.sync_all().and_then(|()| fs::rename(&path, blob)).map_err(io("write"))
}

/// Makes `pointer`, the file `name` of a snapshot, a link to a blob: relative, so that the cache can be moved.
#[cfg(unix)]
fn point(pointer: &Path, checksum: &str, name: &str) -> io::Result<()> {
    let up = "../".repeat(2 + name.matches('/').count());
    let _ = fs::remove_file(pointer); // a link to a blob that is gone
    std::os::unix::fs::symlink(format!("{up}blobs/{checksum}"), pointer)
}

/// The same where links are not for everyone: a copy.
#[cfg(not(unix))]
fn point(pointer: &Path, checksum: &str, name: &str) -> io::Result<()> {
    let snapshot = pointer.ancestors().nth(1 + name.matches('/').count()).unwrap_or(pointer);
    fs::copy(snapshot.join("../../blobs").join(checksum), pointer).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_sha256sum_and_of_git_hash_object() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"hello\n").unwrap();
        let mut like = |length| checksum_like(&"0".repeat(length), &mut file).unwrap();
        assert_eq!(like(40), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(like(64), "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
    }

    #[test]
    fn a_checksum_is_never_a_path() {
        assert!(is_checksum(&"a".repeat(40)) && is_checksum(&"0".repeat(64)));
        for wrong in ["", "abc", &"A".repeat(40), &"g".repeat(64), &format!("../{}", "a".repeat(37))] {
            assert!(!is_checksum(wrong), "{wrong}");
        }
    }
}
