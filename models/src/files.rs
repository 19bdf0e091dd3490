//! Writing a file so that it is complete or absent, whenever the machine stops.
//!
//! The bytes go to a temporary file in the same directory, are forced to the disk, and only then take the file's
//! name; a rename within a directory is one step, so a reader sees the old file or the new one and never half of
//! either. At last the directory itself is forced to the disk, for the name is stored there. Where the disk is full,
//! [`with_room`] waits.

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

/// An error if no file can be written into a directory, or, where it is still to be made, into what is there already of
/// the way to it.
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

/// Writes what may find the disk full, and where it does tries again until there is room: hours of work are not to be lost
/// for some minutes without. `look` is told of it once, and after each try asked whether to end: then it is tried for a
/// minute more.
///
/// Errors: those of `write`.
pub fn with_room(
    look: impl FnMut(Option<&str>) -> bool,
    write: impl FnMut() -> crate::Result<()>,
) -> crate::Result<()> {
    trying(look, write, std::thread::sleep)
}

/// Tries after it was told to end, and the seconds between them.
const LAST_TRIES: [u64; 6] = [10; 6];

/// The same with a `pause` between two tries.
fn trying(
    mut look: impl FnMut(Option<&str>) -> bool,
    mut write: impl FnMut() -> crate::Result<()>,
    mut pause: impl FnMut(Duration),
) -> crate::Result<()> {
    // Each try takes what room there is for a moment, and others on the disk have none: so the longer, the more seldom.
    let mut waits = [1, 2, 4, 8, 15].into_iter().chain(std::iter::repeat(30));
    let (mut last, mut told) = (LAST_TRIES.into_iter(), false);
    loop {
        let full = match write() {
            Err(full @ crate::Error::Full { .. }) => full,
            done => return done,
        };
        let said =
            format!("{full}. It is tried again until there is room, and for a minute more when it is told to end");
        let wait = if look((!told).then_some(&said)) { last.next() } else { waits.next() };
        told = true;
        let Some(seconds) = wait else { return Err(full) };
        pause(Duration::from_secs(seconds));
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
        let full = || Err(error(io::ErrorKind::StorageFull));
        // The disk is full for so many tries, and it is told to end after so many.
        let tried = |fulls: usize, told_to_end: usize| {
            let (mut told, mut looks, mut pauses, mut writes) = (Vec::new(), 0, Vec::new(), 0);
            let look = |said: Option<&str>| {
                told.extend(said.map(str::to_owned));
                looks += 1;
                looks > told_to_end
            };
            let write = || {
                writes += 1;
                if writes > fulls { Ok(()) } else { full() }
            };
            let end = trying(look, write, |pause| pauses.push(pause.as_secs()));
            assert_eq!(told.len(), usize::from(fulls > 0), "{told:?}");
            assert!(told.iter().all(|said| said.contains("a/file") && said.contains("full")), "{told:?}");
            (end.is_ok(), pauses)
        };
        assert_eq!(tried(0, 9), (true, vec![]));
        assert_eq!(tried(2, 9), (true, vec![1, 2]));
        assert_eq!(tried(8, 9), (true, vec![1, 2, 4, 8, 15, 30, 30, 30]));
        assert_eq!(tried(5, 3), (true, vec![1, 2, 4, 10, 10]));
        assert_eq!(tried(99, 2), (false, vec![1, 2, 10, 10, 10, 10, 10, 10]));
        let refused = trying(|_| false, || Err(error(io::ErrorKind::PermissionDenied)), |_| panic!("no use to wait"));
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
