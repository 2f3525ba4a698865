//! One launcher a bottle. The kernel lets the lock go when its holder dies, however it dies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};

use crate::host::Host;
use crate::names::BottleName;

/// Held while a launcher minds its bottle.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock is not had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("bottle {bottle} is minded by another launcher, process {pid}")]
    Held { bottle: BottleName, pid: String },
    #[error("the lock {}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Takes the lock, or says who has it.
///
/// # Errors
/// [`Error::Held`] while another launcher lives.
pub fn take(host: &Host, bottle: &BottleName) -> Result<Lock, Error> {
    let folder = host.runtime_dir();
    let path = folder.join(format!("{bottle}.lock"));
    let io = |source| Error::Io { path: path.clone(), source };
    fs::create_dir_all(&folder).map_err(io)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(io)?;
            return Err(Error::Held { bottle: bottle.clone(), pid: pid.trim().to_owned() });
        }
        Err(error) => return Err(io(error.into())),
    }
    file.set_len(0).map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
    Ok(Lock { _file: file })
}
