//! One process owns a data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::files::{FileError, failed};

/// The lock on a data folder, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

/// Why a data folder cannot be owned.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} is in use by {}", .data.display(), holder(.pid.as_ref()))]
    Held { data: PathBuf, pid: Option<u32> },
    #[error(transparent)]
    File(#[from] FileError),
}

/// The lock's file; repository names never begin with a dot, so none can meet it.
const NAME: &str = ".lock";

impl DataLock {
    /// Makes the folder if need be, locks it, and writes this process's id into the lock.
    pub fn take(data: &Path) -> Result<Self, LockError> {
        crate::files::create_dir_all(data)?;
        let path = data.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid =
                    file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LockError::Held { data: data.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error).into()),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed("write", &path))?;
        Ok(Self { _file: file })
    }
}

fn holder(pid: Option<&u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it_until_the_first_lets_go() {
        let data = tempfile::TempDir::new().unwrap();
        let first = DataLock::take(&data.path().join("deep/data")).unwrap();
        let error = DataLock::take(&data.path().join("deep/data")).unwrap_err();
        assert!(error.to_string().ends_with(&format!("by process {}", std::process::id())));
        drop(first);
        DataLock::take(&data.path().join("deep/data")).unwrap();
    }
}
