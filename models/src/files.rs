//! Writing files that are complete or absent: a temporary file in the same directory, fsync, rename, fsync of the
//! directory. A crash at any moment leaves the old file or the new one.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Replaces `path` by what `write` puts into a temporary file beside it, given by its path.
///
/// Errors are the system's; the temporary file is gone in that case and `path` is as it was.
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(directory)?.into_temp_path();
    write(&temporary)?;
    let file = File::open(&temporary)?;
    // Temporary files are readable by their owner only; what users make should be readable as usual.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Replaces `path` by what `write` puts into a buffered writer.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    replace(path, |temporary| {
        let mut file = io::BufWriter::new(File::create(temporary)?);
        write(&mut file)?;
        file.flush()
    })
}

/// Replaces `path` by these bytes.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomically(path, |file| file.write_all(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        write(&path, b"old").unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(b"new, half")?;
            Err(io::Error::other("power cut"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
