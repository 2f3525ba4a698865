//! A mirror's directory: made, opened, healed, and changed in one transaction at a time.
//!
//! An ordinary bare repository that stock git reads and checks, used in a narrower way than git does: what counts is
//! `packed-refs`, `HEAD`, `shallow` and the packs with an index in `objects/pack`. Loose refs, loose objects, alternates,
//! reflogs, `refs/replace` as replacements and all of `config` but the object format are **ignored**, whoever put them
//! there.

mod adopt;
mod commit;
mod consolidate;
mod create;
mod exact;
mod forward;
mod open;
mod sweep;

use proto::ObjectFormat;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use commit::{CommitError, RefEdit};
pub use consolidate::{ConsolidateError, Consolidated, MAX_PACKS};
pub use create::CreateStoreError;
pub use open::OpenStoreError;

use crate::Snapshot;

/// One mirror on disk. The process that has it owns the directory (see [`DataLock`](crate::DataLock)).
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    format: ObjectFormat,
    current: Mutex<Arc<Snapshot>>,
    /// Held while the files change, from the first rename to the new snapshot.
    changing: Mutex<()>,
}

impl Store {
    /// The newest state.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// The bare repository's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn pack_dir(&self) -> PathBuf {
        pack_dir(&self.dir)
    }

    /// Where quarantines lie, one directory each.
    pub(crate) fn quarantine_dir(&self) -> PathBuf {
        self.dir.join(QUARANTINE)
    }
}

const CONFIG: &str = "config";
const HEAD: &str = "HEAD";
const PACKED_REFS: &str = "packed-refs";
const SHALLOW: &str = "shallow";
const QUARANTINE: &str = "quarantine";

fn pack_dir(dir: &Path) -> PathBuf {
    dir.join("objects/pack")
}
