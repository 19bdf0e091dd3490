//! Writing a file so that it is complete or absent, whenever the machine stops.
//!
//! The bytes go to a temporary file in the same directory, are forced to the disk, and only then take the file's
//! name; a rename within a directory is one step, so a reader sees the old file or the new one and never half of
//! either. At last the directory itself is forced to the disk, for the name is stored there.

use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use tempfile::{Builder, NamedTempFile};

/// How the names of temporary files begin. They are hidden, so a listing of a run shows only what is complete.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Between two times that what is being made is written: what a crash may cost.
pub const LONGEST_UNSAVED: Duration = Duration::from_secs(600);

/// Writes the file `path` anew with what `write` puts out, all of it or nothing.
///
/// Errors are those of `write` and the system's; then `path` is as it was before, and no temporary file is left.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("greeting.txt");
/// models::files::write_atomically(&path, |out| write!(out, "hello")).unwrap();
/// assert_eq!(std::fs::read(&path).unwrap(), b"hello");
/// ```
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(temporary_in(parent(path))?);
    write(&mut out)?;
    out.flush()?;
    commit(out.into_inner()?, path)
}

/// Writes the file `path` anew with what `write` puts into the file whose path it is given, or puts in its place.
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary_in(parent(path))?;
    let permissions = temporary.as_file().metadata()?.permissions();
    write(temporary.path())?;
    // The file that stands there now may be another than was made: it is the one to force to the disk.
    let written = File::options().write(true).open(temporary.path())?;
    written.set_permissions(permissions)?;
    written.sync_all()?;
    commit(temporary, path)
}

/// An error if no file can be written at `path`: to be known before the work whose outcome goes there.
pub fn try_at(path: &Path) -> io::Result<()> {
    temporary_in(parent(path)).map(drop)
}

/// An error if no file can be written into a directory, or, where it is still to be made, into what is there already of the way to
/// it.
pub fn try_in(directory: &Path) -> crate::Result<()> {
    let there = directory.ancestors().find(|at| at.exists()).unwrap_or(Path::new("."));
    try_at(&there.join("file")).map_err(|error| crate::Error::io(there, "write into", &error))
}

/// Writes the file `path` anew with these bytes.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomically(path, |out| out.write_all(bytes))
}

/// Writes a file `path` with these bytes where there is none.
///
/// Errors: there is one, also if somebody else made it a moment before; and the system's.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = temporary_in(parent(path))?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist_noclobber(path)?;
    force(parent(path))
}

/// Writes what may find the disk full, and where it does waits until there is room: hours of work are not to be lost for a minute
/// without. `tell` hears of it once.
///
/// Errors: those of `write`, but that.
pub fn with_room(tell: impl FnMut(&str), write: impl FnMut() -> crate::Result<()>) -> crate::Result<()> {
    trying(tell, write, || std::thread::sleep(Duration::from_secs(1)))
}

/// The same with a `pause` between two tries.
fn trying(
    mut tell: impl FnMut(&str),
    mut write: impl FnMut() -> crate::Result<()>,
    mut pause: impl FnMut(),
) -> crate::Result<()> {
    let mut waits = false;
    loop {
        match write() {
            Err(full @ crate::Error::Full { .. }) => {
                if !waits {
                    tell(&format!("{full}. It is tried again until there is room (Ctrl-C twice gives it up)"));
                    waits = true;
                }
                pause();
            }
            done => return done,
        }
    }
}

/// A temporary file in `dir`, which vanishes when it is dropped.
pub(crate) fn temporary_in(dir: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    // The file will be one like any other, so it gets the permissions of any other: the umask's.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

/// What the system said, without the name of a temporary file, which is gone and says nothing to anybody.
pub(crate) fn said(error: &io::Error) -> String {
    let said = error.to_string();
    said.split_once(" at path \"").map_or(said.clone(), |(what, _)| what.to_owned())
}

/// Locks a directory for as long as the file is open, where the system can; it is open no longer than the program runs, however
/// that ends.
pub fn hold(directory: &Path) -> crate::Result<Option<File>> {
    let Ok(file) = File::open(directory) else { return Ok(None) };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let what =
                "somebody trains in it at this moment: wait for the end of that, or, for a new run, give another --out";
            Err(crate::Error::file(directory, what))
        }
        _ => Ok(Some(file)),
    }
}

/// Removes the temporary files that a killed program left in `dir`, if there is such a directory: those with the six random
/// letters of ours, of a tokenizer's, or of the safetensors crate's. Nobody else's are touched.
pub(crate) fn sweep(dir: &Path) -> io::Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_random = |letters: &str| letters.len() == 6 && letters.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_ours = |prefix: &str| name.strip_prefix(prefix).is_some_and(is_random);
        if [TEMPORARY, ".tmp-tokenizer-", ".tmp"].into_iter().any(is_ours) && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A digest, such as tells files from one another, in hexadecimal digits.
pub(crate) fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives a complete temporary file its name `path` in the same directory, and waits until the disk has both.
pub(crate) fn commit(temporary: NamedTempFile, path: &Path) -> io::Result<()> {
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    force(parent(path))
}

/// Waits until the disk has the names in a directory.
pub(crate) fn force(directory: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file, and the system sees to it by itself.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The directory that `path` is in; `.` for a bare file name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A word, such as a path, as a shell takes it: as it is, or in quotation marks.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_full_disk_is_waited_for_and_told_once_and_any_other_error_is_one() {
        let error = |kind: io::ErrorKind| crate::Error::io("a/file", "write", &kind.into());
        let named = io::Error::new(io::ErrorKind::StorageFull, "no room at path \"a/.tmp-abcdef\"");
        assert_eq!(said(&named), "no room");
        let (mut told, mut pauses) = (Vec::new(), 0);
        let mut ends =
            [Ok(()), Err(error(io::ErrorKind::StorageFull)), Err(error(io::ErrorKind::StorageFull))].into_iter();
        let write = || ends.next_back().unwrap();
        trying(|sentence| told.push(sentence.to_owned()), write, || pauses += 1).unwrap();
        assert!(pauses == 2 && told.len() == 1 && told[0].contains("a/file") && told[0].contains("full"), "{told:?}");
        let refused = trying(|_| {}, || Err(error(io::ErrorKind::PermissionDenied)), || panic!("no use to wait"));
        assert!(refused.unwrap_err().to_string().contains("permissions"));
    }

    #[test]
    fn what_a_killed_program_left_is_swept_away_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let kept = [".tmp-notes", ".tmp_notes", ".tmp.txt", ".tmpl.html", ".tmp-notes12", "kept"];
        for name in kept.iter().chain(&[".tmp-aB3dE6", ".tmp-tokenizer-aB3dE6", ".tmpZz9yX8"]) {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join(".tmp-qwerty")).unwrap();
        sweep(dir.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let mut expected = [&kept[..], &[".tmp-qwerty"]].concat();
        expected.sort_unstable();
        assert_eq!(left, expected);
        sweep(&dir.path().join("nowhere")).unwrap();
    }

    #[test]
    fn what_is_new_is_written_over_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let written: Vec<bool> = std::thread::scope(|scope| {
            let each = |i: u8| {
                scope.spawn({
                    let path = &path;
                    move || write_new(path, &[i; 1000]).is_ok()
                })
            };
            (0..8).map(each).collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(written.iter().filter(|&&done| done).count(), 1);
        let who = written.iter().position(|&done| done).unwrap() as u8;
        assert_eq!(fs::read(&path).unwrap(), [who; 1000]);
        assert_eq!(write_new(&path, b"").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(&[b'n'; 100_000])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let failed = write_atomically(&dir.path().join("no/file"), |_| Ok(()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(try_at(&dir.path().join("no/file")).unwrap_err().kind(), io::ErrorKind::NotFound);
        try_at(&dir.path().join("file")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing stays of a try");
    }

    #[test]
    fn a_bare_file_name_is_in_the_current_directory() {
        assert_eq!(parent(Path::new("loss.svg")), Path::new("."));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_has_the_permissions_of_any_other_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        fs::write(dir.path().join("plain"), b"").unwrap();
        write_atomically(&dir.path().join("atomic"), |_| Ok(())).unwrap();
        assert_eq!(mode("atomic"), mode("plain"));
        // A writer may put a file of its own in the place it was given, as safetensors does.
        let own = |path: &Path| {
            fs::write(path.with_extension("own"), b"x")?;
            fs::rename(path.with_extension("own"), path)
        };
        replace(&dir.path().join("replaced"), |path| {
            own(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        })
        .unwrap();
        assert_eq!(mode("replaced"), mode("plain"));
        assert_eq!(fs::read(dir.path().join("replaced")).unwrap(), b"x");
    }

    #[test]
    fn a_name_with_a_space_is_quoted_for_the_shell() {
        let quoted = ["gpt-1.5_b", "my model", "it's", ""].map(quoted);
        assert_eq!(quoted, ["gpt-1.5_b", "'my model'", r"'it'\''s'", "''"]);
    }
}
