//! Incoming objects, apart from the mirror until they are proven whole.

mod error;
pub(crate) mod idx;
mod index;
mod limits;
mod receive;
mod resolve;
mod thin;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use error::IndexError;
pub use limits::{INFLATE_FLOOR, IndexLimits, IndexProgress};

use crate::{FileError, Interrupt, Kind, Location, PackSet, Snapshot, Store, files};
pub(crate) use index::IndexedPack;
use index::Indexing;

/// How closely a pack is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// As git's `transfer.fsckObjects`, and no object twice: for what a client pushes.
    Push,
    /// The format and the ids alone: an origin's own history is taken as it is.
    Origin,
}

/// What a pack brought.
#[derive(Debug)]
pub struct Indexed {
    /// Objects in the pack, without the bases that a thin pack left out.
    pub objects: u32,
    /// Its length on the wire.
    pub bytes: u64,
    /// The first object that broke one of git's rules ([`IndexError::Fsck`]): the pack must be refused. It can be scanned
    /// all the same, so that its sender reads of all that is wrong with it at once.
    pub broken: Option<IndexError>,
}

/// A directory of its own below the mirror. All in it vanishes when this is dropped.
#[derive(Debug)]
pub struct Quarantine {
    dir: PathBuf,
    snapshot: Arc<Snapshot>,
    packs: PackSet,
    incoming: Option<IndexedPack>,
}

impl Store {
    /// Opens a quarantine for objects that build on `snapshot`, a snapshot of this store.
    pub fn quarantine(&self, snapshot: &Arc<Snapshot>) -> Result<Quarantine, FileError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = self.quarantine_dir().join(number.to_string());
        files::create_dir_all(&dir)?;
        let (snapshot, packs) = (Arc::clone(snapshot), snapshot.packs().clone());
        Ok(Quarantine { dir, snapshot, packs, incoming: None })
    }
}

impl Quarantine {
    /// Reads exactly one pack and leaves `input` behind its last byte, at once readable: nothing is read ahead.
    ///
    /// Deltas may build on objects of the snapshot (a thin pack). Nothing is checked of what objects refer to; that
    /// is what [`connect`](Self::connect) does. May be called once.
    ///
    /// # Errors
    /// See [`IndexError`]; what was written vanishes with the quarantine.
    pub fn index(
        &mut self,
        input: &mut impl BufRead,
        limits: &IndexLimits,
        check: Check,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(IndexProgress),
    ) -> Result<Indexed, IndexError> {
        let indexing = Indexing {
            dir: &self.dir,
            format: self.packs.format(),
            limits,
            check,
            interrupt,
            have: self.snapshot.packs(),
        };
        let (incoming, bytes) = indexing.run(input, progress)?;
        let (mut objects, mut broken) = (0, None);
        if let Some(incoming) = &incoming {
            let fsck = incoming.broken.clone();
            broken = fsck.map(|(id, error)| IndexError::Fsck { id, error });
            objects = incoming.pack.len() - incoming.added;
            self.packs = self.snapshot.packs().with(Arc::clone(&incoming.pack));
        }
        self.incoming = incoming;
        Ok(Indexed { objects, bytes, broken })
    }

    /// What the snapshot has and what was indexed, in that order.
    pub fn packs(&self) -> &PackSet {
        &self.packs
    }

    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The kind of an object that came in; `None` for one of the snapshot's.
    pub(crate) fn kind_of(&self, at: Location) -> Option<Kind> {
        let incoming = self.incoming.as_ref()?;
        let came_in = at.pack as usize == self.snapshot.packs().packs().len();
        came_in.then(|| incoming.kinds[at.position as usize])
    }

    pub(crate) fn incoming(&self) -> Option<&IndexedPack> {
        self.incoming.as_ref()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        if let Err(error) = files::remove_dir(&self.dir) {
            tracing::warn!(error = %error, source = %error.source, "quarantine stays until the next start");
        }
    }
}
