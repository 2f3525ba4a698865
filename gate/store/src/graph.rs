//! Commits in memory: parents, date and tree of every commit a walk has met, shared by all snapshots of one store.
//!
//! Commits never change, so nothing here is ever wrong, whatever happens to refs. Which commits *exist* for a walk (a
//! shallow boundary, a force push) is the walk's business, not the graph's.

mod commit;

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use hashbrown::HashTable;
use proto::{ObjectFormat, ObjectId};

pub use commit::InvalidObject;
pub(crate) use commit::{parse_commit, tag_target};

/// Commits one store keeps in memory, at about 70 bytes each; past it the store starts again with none.
const MAX_COMMITS: usize = 1 << 20;

/// The number of a commit in an [`Arena`].
pub(crate) type Nr = u32;

/// Hands out the arena in use and replaces it when it has grown too large.
#[derive(Debug)]
pub(crate) struct Graph {
    format: ObjectFormat,
    current: Mutex<Arc<Arena>>,
}

impl Graph {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        Self { format, current: Mutex::new(Arc::new(Arena::new(format))) }
    }

    /// The arena to walk in; its numbers stay true for as long as the walk holds it.
    pub(crate) fn arena(&self) -> Arc<Arena> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.len() > MAX_COMMITS {
            *current = Arc::new(Arena::new(self.format));
        }
        Arc::clone(&current)
    }
}

/// Commits by number. Numbers are given at first sight, what a commit says is filled in when a walk reads it.
#[derive(Debug)]
pub(crate) struct Arena {
    format: ObjectFormat,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    numbers: HashTable<Nr>,
    ids: Vec<u8>,
    trees: Vec<u8>,
    nodes: Vec<Node>,
    parents: Vec<Nr>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Committer date, seconds since 1970.
    date: u64,
    first_parent: u32,
    /// Number of parents, or `UNREAD`.
    parents: u32,
}

const UNREAD: u32 = u32::MAX;

impl Arena {
    fn new(format: ObjectFormat) -> Self {
        Self { format, inner: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.read().nodes.len()
    }

    /// The number of a commit; it is given one if it has none.
    pub(crate) fn number(&self, id: &ObjectId) -> Nr {
        if let Some(nr) = self.read().find(id.as_bytes()) {
            return nr;
        }
        self.inner.write().unwrap_or_else(PoisonError::into_inner).number(id.as_bytes())
    }

    /// The number of a commit that was read before.
    pub(crate) fn known(&self, id: &ObjectId) -> Option<Nr> {
        let inner = self.read();
        inner.find(id.as_bytes()).filter(|nr| inner.nodes[*nr as usize].parents != UNREAD)
    }

    pub(crate) fn id(&self, nr: Nr) -> ObjectId {
        self.raw(&self.read().ids, nr)
    }

    /// The tree of a commit that was read.
    pub(crate) fn tree(&self, nr: Nr) -> ObjectId {
        self.raw(&self.read().trees, nr)
    }

    fn raw(&self, ids: &[u8], nr: Nr) -> ObjectId {
        let len = self.format.raw_len();
        let raw = &ids[nr as usize * len..][..len];
        ObjectId::from_raw(raw).expect("ids are kept whole")
    }

    /// Date of a commit that was read, its parents appended to `parents`; `None` if it was not read yet.
    pub(crate) fn commit(&self, nr: Nr, parents: &mut Vec<Nr>) -> Option<u64> {
        let inner = self.read();
        let node = inner.nodes[nr as usize];
        if node.parents == UNREAD {
            return None;
        }
        let first = node.first_parent as usize;
        parents.extend_from_slice(&inner.parents[first..first + node.parents as usize]);
        Some(node.date)
    }

    /// Fills in what the raw commit object says.
    pub(crate) fn learn(&self, nr: Nr, raw: &[u8]) -> Result<(), InvalidObject> {
        let said = parse_commit(raw, self.format)?;
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.nodes[nr as usize].parents != UNREAD {
            return Ok(());
        }
        let first_parent = inner.parents.len() as u32;
        let mut count = 0;
        for parent in said.parents() {
            let parent = inner.number(parent.as_bytes());
            inner.parents.push(parent);
            count += 1;
        }
        let len = self.format.raw_len();
        inner.trees[nr as usize * len..][..len].copy_from_slice(said.tree.as_bytes());
        inner.nodes[nr as usize] = Node { date: said.date, first_parent, parents: count };
        Ok(())
    }
}

impl Inner {
    fn find(&self, id: &[u8]) -> Option<Nr> {
        let len = id.len();
        self.numbers.find(hash(id), |nr| self.ids[*nr as usize * len..][..len] == *id).copied()
    }

    fn number(&mut self, id: &[u8]) -> Nr {
        if let Some(nr) = self.find(id) {
            return nr;
        }
        let nr = self.nodes.len() as Nr;
        let len = id.len();
        self.nodes.push(Node { parents: UNREAD, ..Node::default() });
        self.ids.extend_from_slice(id);
        self.trees.resize(self.ids.len(), 0);
        let ids = &self.ids;
        self.numbers.insert_unique(hash(id), nr, |nr| hash(&ids[*nr as usize * len..]));
        nr
    }
}

/// An id is a hash already.
fn hash(id: &[u8]) -> u64 {
    id.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
