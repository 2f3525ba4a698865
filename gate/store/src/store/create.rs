//! Making an empty mirror.

use proto::ObjectFormat;
use std::path::{Path, PathBuf};

use super::{CONFIG, HEAD, OpenStoreError, PACKED_REFS, QUARANTINE, Store};
use crate::RefTable;
use crate::files::{self, FileError};
use crate::refs::{head, packed};

/// Why a mirror cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateStoreError {
    #[error("{} exists already", .path.display())]
    Exists { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Open(#[from] OpenStoreError),
}

impl Store {
    /// Makes an empty bare repository; a crash leaves all of it or nothing that counts.
    pub fn create(dir: &Path, format: ObjectFormat) -> Result<Self, CreateStoreError> {
        if dir.exists() {
            return Err(CreateStoreError::Exists { path: dir.to_owned() });
        }
        let temp = temp_dir(dir);
        files::remove_dir(&temp)?;
        for below in ["objects/pack", "objects/info", "refs/heads", "refs/tags", QUARANTINE] {
            files::create_dir_all(&temp.join(below))?;
        }
        files::replace_unsynced(&temp.join(CONFIG), config(format).as_bytes())?;
        files::replace_unsynced(&temp.join(HEAD), head::DEFAULT)?;
        files::replace(&temp.join(PACKED_REFS), |out| {
            packed::write(&RefTable::empty(format), out)
        })?;
        super::exact::record(&temp, &[])?;
        files::rename(&temp, dir)?;
        files::sync_dir(dir.parent().unwrap_or(Path::new(".")))?;
        Ok(Self::open(dir)?)
    }

    /// Removes a mirror with all in it, for one that is damaged or no longer wanted.
    pub fn destroy(dir: &Path) -> Result<(), FileError> {
        // The rename makes it vanish at once, so that a crash leaves no half of a repository.
        let temp = temp_dir(dir);
        files::remove_dir(&temp)?;
        if dir.exists() {
            files::rename(dir, &temp)?;
        }
        files::remove_dir(&temp)
    }
}

/// Beside the repository and never the name of one: names of repositories do not begin with a dot.
fn temp_dir(dir: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(dir.file_name().unwrap_or_default());
    name.push(files::TEMP_SUFFIX);
    dir.with_file_name(name)
}

fn config(format: ObjectFormat) -> String {
    let (version, extensions) = match format {
        ObjectFormat::Sha1 => (0, String::new()),
        ObjectFormat::Sha256 => {
            (1, format!("[extensions]\n\tobjectformat = {}\n", format.as_str()))
        }
    };
    format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = true\n\
         {extensions}[gc]\n\tauto = 0\n"
    )
}
