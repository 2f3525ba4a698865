//! Proof that what came in is whole, and the exact set of what is new in it.

mod ancestry;
mod blobs;
mod changes;
mod earlier;
mod error;
mod known;
mod order;
mod walk;

use proto::ObjectId;
use std::io::Write;
use std::sync::Arc;

pub use blobs::{IntroducedBy, MAX_PATH, MAX_TREE_DEPTH, Visit};
pub use error::ConnectError;
pub use known::KnownBases;

use crate::object_set::ObjectSet;
use crate::quarantine::{Check, Quarantine};
use crate::{Interrupt, Kind, Location, PackSet, ReadError, Reader, Snapshot};

/// Tips of which everything they reach exists, and what of it is new: the one set that is scanned, sent on and kept.
///
/// For a push ([`Check::Push`]) *new* is what no ref of the snapshot reaches, whether it came in the pack or lies in the
/// store from a branch that is gone. For an origin's pack ([`Check::Origin`]) it is what the store does not hold yet.
/// What the pack holds beyond that is not in here and never enters the store.
#[derive(Debug)]
pub struct Connected {
    quarantine: Quarantine,
    tips: Vec<ObjectId>,
    new: ObjectSet,
    /// Known objects that new ones, or tips, refer to.
    edges: Vec<Location>,
    commits: Vec<ObjectId>,
    tags: Vec<ObjectId>,
}

impl Quarantine {
    /// Proves that everything the tips reach is here or in the snapshot.
    ///
    /// Parents of the commits in `shallow` are not asked for: an origin names its whole boundary here, a push none (the
    /// snapshot's boundary holds). What was on the origin's boundary and no longer is must have its parents now. Submodules' commits lie elsewhere and are not followed.
    /// Blobs are found, not read.
    ///
    /// # Errors
    /// See [`ConnectError`]; what was indexed vanishes.
    pub fn connect(
        self,
        tips: &[ObjectId],
        shallow: &[ObjectId],
        check: Check,
        interrupt: &Interrupt,
    ) -> Result<Connected, ConnectError> {
        let walked = walk::walk(&self, tips, shallow, check, interrupt)?;
        let mut tips = tips.to_vec();
        tips.sort_unstable();
        tips.dedup();
        let commits = match check {
            Check::Push => order::oldest_first(walked.commits),
            Check::Origin => Vec::new(),
        };
        let edges = walked.edges.into_keys().collect();
        let (new, tags) = (walked.new, walked.tags);
        Ok(Connected { quarantine: self, tips, new, edges, commits, tags })
    }
}

impl Connected {
    /// What was proven, sorted.
    pub fn tips(&self) -> &[ObjectId] {
        &self.tips
    }

    /// The state it builds upon.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        self.quarantine.snapshot()
    }

    /// Everything: what the snapshot has, and what came in.
    pub fn packs(&self) -> &PackSet {
        self.quarantine.packs()
    }

    /// How many objects are new.
    pub fn len(&self) -> u64 {
        self.new.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// New commits, parents before children and older ones first. Not told for an origin's pack.
    pub fn commits(&self) -> &[ObjectId] {
        &self.commits
    }

    /// New annotated tags.
    pub fn tags(&self) -> &[ObjectId] {
        &self.tags
    }

    /// Whether an object is one of the new ones.
    pub fn is_new(&self, id: &ObjectId) -> bool {
        self.packs().locate(id).is_some_and(|at| self.new.contains(at))
    }

    /// Reads objects, new and known.
    pub fn reader(&self) -> Reader {
        self.packs().reader()
    }

    /// Writes a blob's bytes without holding the whole of it, and tells their number.
    pub fn read_blob_to(&self, id: &ObjectId, out: &mut dyn Write) -> Result<u64, ReadError> {
        match self.packs().reader_with_cache(0).read_to(id, out)? {
            (Kind::Blob, size) => Ok(size),
            (actual, _) => Err(ReadError::Kind { id: *id, expected: Kind::Blob, actual }),
        }
    }

    /// The new objects that some of the tips reach.
    pub(crate) fn reached_by(
        &self,
        tips: &[ObjectId],
        interrupt: &Interrupt,
    ) -> Result<ObjectSet, ConnectError> {
        let walked = walk::walk(&self.quarantine, tips, &[], Check::Push, interrupt)?;
        Ok(walked.new)
    }

    /// The new objects, as places in [`packs`](Self::packs).
    pub(crate) fn new_objects(&self) -> &ObjectSet {
        &self.new
    }

    /// What the new objects build upon: while the store holds these, it holds all they reach.
    pub(crate) fn edges(&self) -> impl Iterator<Item = ObjectId> {
        self.edges.iter().map(|at| self.packs().id_at(*at))
    }

    pub(crate) fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }
}
