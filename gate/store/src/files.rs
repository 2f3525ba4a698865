//! Files written so that a crash leaves the old one or the new one, never half of one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What names of files that are not finished end in; the sweep removes them.
pub(crate) const TEMP_SUFFIX: &str = ".tmp";

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", .path.display())]
pub struct FileError {
    pub action: &'static str,
    pub path: std::path::PathBuf,
    #[source]
    pub source: io::Error,
}

/// Names what was being done, for `map_err`.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path, source }
}

/// Replaces `path` by what `fill` writes: a synced temporary file, a rename, a synced directory.
pub(crate) fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), FileError> {
    let temp = temp_path(path);
    let file = create(&temp, 0o644)?;
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    fill(&mut out).map_err(failed("write", &temp))?;
    let file = out.into_inner().map_err(|error| failed("write", &temp)(error.into_error()))?;
    file.sync_all().map_err(failed("sync", &temp))?;
    rename(&temp, path)?;
    sync_dir(parent(path))
}

/// Replaces a file whose loss does no harm, without waiting for the disk.
pub(crate) fn replace_unsynced(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temp = temp_path(path);
    create(&temp, 0o644)?.write_all(bytes).map_err(failed("write", &temp))?;
    rename(&temp, path)
}

/// Makes a new file, or empties an old one.
pub(crate) fn create(path: &Path, mode: u32) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(failed("create", path))
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    std::fs::rename(from, to).map_err(failed("rename to", to))
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a directory with all in it; one that is not there is removed already.
pub(crate) fn remove_dir(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Reads a file; `None` if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Makes renames and removals in a directory last.
pub(crate) fn sync_dir(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

pub(crate) fn create_dir_all(path: &Path) -> Result<(), FileError> {
    std::fs::create_dir_all(path).map_err(failed("create", path))
}

fn temp_path(path: &Path) -> std::path::PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMP_SUFFIX);
    path.with_file_name(name)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
