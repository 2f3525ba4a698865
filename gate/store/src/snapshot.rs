//! One state of a mirror, for as long as somebody looks at it.

use proto::{Head, ObjectFormat, ObjectId};
use std::sync::Arc;

use crate::reach::Reach;
use crate::shared::Shared;
use crate::{PackSet, RefTable};

/// Refs and the packs that hold everything they reach. Immutable; what it maps outlives any repack.
///
/// Whatever object lies in the packs, everything it reaches lies there too (down to the [`shallow`](Self::shallow)
/// commits): what enters a store is connected first, and what leaves it is reached by nothing.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) refs: Arc<RefTable>,
    pub(crate) head: Option<Head>,
    pub(crate) packs: PackSet,
    pub(crate) shallow: Arc<[ObjectId]>,
    pub(crate) exact: bool,
    pub(crate) generation: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) reach: Reach,
}

impl Snapshot {
    /// All refs but `HEAD`.
    pub fn refs(&self) -> &Arc<RefTable> {
        &self.refs
    }

    /// Where the origin's `HEAD` stands; its branch may be unborn. `None` if the origin told nothing.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The object `HEAD` leads to, unless it is unborn or unknown.
    pub fn head_target(&self) -> Option<ObjectId> {
        match self.head.as_ref()? {
            Head::Symbolic(name) => self.refs.get(name.as_bytes()).map(|entry| entry.target),
            Head::Detached(id) => Some(*id),
        }
    }

    pub fn packs(&self) -> &PackSet {
        &self.packs
    }

    /// Commits whose parents the origin does not have, sorted.
    pub fn shallow(&self) -> &[ObjectId] {
        &self.shallow
    }

    pub fn is_shallow(&self, commit: &ObjectId) -> bool {
        self.shallow.binary_search(commit).is_ok()
    }

    pub fn format(&self) -> ObjectFormat {
        self.packs.format()
    }

    /// Whether every object in the packs is known to be reachable from the refs.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Counts the states of this store since it was opened.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}
