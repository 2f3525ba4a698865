//! Commits as one snapshot sees them: the graph, and where its history is cut.

use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashSet;
use proto::{ObjectFormat, ObjectId};

use crate::graph::{self, Arena, InvalidObject, Nr};
use crate::{Interrupt, Interrupted, Kind, PackSet, ReadError, Reader};

/// A walk could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("object {id}")]
    Object {
        id: ObjectId,
        #[source]
        source: InvalidObject,
    },
    #[error("tree {id} is malformed")]
    Tree { id: ObjectId },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Whether `from` reaches every one of `targets`; where clocks are wrong it may say no although it does.
pub(crate) fn reaches_all(
    commits: &mut Commits,
    from: impl IntoIterator<Item = Nr>,
    mut targets: HashSet<Nr>,
    interrupt: &Interrupt,
) -> Result<bool, WalkError> {
    let mut parents = Vec::new();
    let mut oldest = u64::MAX;
    for target in &targets {
        oldest = oldest.min(commits.commit(*target, &mut parents)?);
    }
    let mut seen = HashSet::new();
    let mut queue = BinaryHeap::new();
    for nr in from {
        if seen.insert(nr) {
            queue.push((commits.commit(nr, &mut parents)?, nr));
        }
    }
    while let (false, Some((date, nr))) = (targets.is_empty(), queue.pop()) {
        if date < oldest {
            return Ok(false);
        }
        interrupt.check()?;
        targets.remove(&nr);
        commits.commit(nr, &mut parents)?;
        for parent in std::mem::take(&mut parents) {
            if seen.insert(parent) {
                queue.push((commits.commit(parent, &mut parents)?, parent));
            }
        }
    }
    Ok(targets.is_empty())
}

/// Reads commits into the graph as a walk comes to them.
#[derive(Debug)]
pub(crate) struct Commits {
    arena: Arc<Arena>,
    reader: Reader,
    /// Commits that have no parents here, whatever they say.
    boundary: HashSet<Nr>,
    buf: Vec<u8>,
}

impl Commits {
    pub(crate) fn new(packs: &PackSet, arena: Arc<Arena>, boundary: &[ObjectId]) -> Self {
        let boundary = boundary.iter().map(|id| arena.number(id)).collect();
        // Commits are seldom deltas: a small cache serves them.
        Self { arena, reader: packs.reader_with_cache(1 << 20), boundary, buf: Vec::new() }
    }

    pub(crate) fn packs(&self) -> &PackSet {
        self.reader.packs()
    }

    fn format(&self) -> ObjectFormat {
        self.reader.packs().format()
    }

    pub(crate) fn number(&self, id: &ObjectId) -> Nr {
        self.arena.number(id)
    }

    pub(crate) fn id(&self, nr: Nr) -> ObjectId {
        self.arena.id(nr)
    }

    /// Whether history is cut at this commit.
    pub(crate) fn is_cut(&self, nr: Nr) -> bool {
        self.boundary.contains(&nr)
    }

    /// Cuts history at one more commit.
    pub(crate) fn cut(&mut self, nr: Nr) {
        self.boundary.insert(nr);
    }

    /// Replaces `parents` by the commit's parents, none for a commit of the boundary. The answer is its date.
    pub(crate) fn commit(&mut self, nr: Nr, parents: &mut Vec<Nr>) -> Result<u64, WalkError> {
        let date = self.uncut(nr, parents)?;
        if !self.boundary.is_empty() && self.is_cut(nr) {
            parents.clear();
        }
        Ok(date)
    }

    /// Like [`commit`](Self::commit), with the parents the commit itself names.
    pub(crate) fn uncut(&mut self, nr: Nr, parents: &mut Vec<Nr>) -> Result<u64, WalkError> {
        parents.clear();
        if let Some(date) = self.arena.commit(nr, parents) {
            return Ok(date);
        }
        let id = self.arena.id(nr);
        self.reader.read_kind(&id, Kind::Commit, &mut self.buf)?;
        self.arena.learn(nr, &self.buf).map_err(|source| WalkError::Object { id, source })?;
        parents.clear();
        Ok(self.arena.commit(nr, parents).unwrap_or_default())
    }

    /// The commit's tree.
    pub(crate) fn tree(&mut self, nr: Nr) -> Result<ObjectId, WalkError> {
        let mut parents = Vec::new();
        self.uncut(nr, &mut parents)?;
        Ok(self.arena.tree(nr))
    }

    /// The kind of an object that this store must hold.
    pub(crate) fn kind(&self, id: &ObjectId) -> Result<Kind, WalkError> {
        match self.packs().locate(id) {
            None => Err(ReadError::Missing { id: *id }.into()),
            Some(_) if self.arena.known(id).is_some() => Ok(Kind::Commit),
            Some(at) => Ok(self.packs().kind_at(at)?),
        }
    }

    /// Follows annotated tags, however nested, to what they point to; `tag` is called with every tag on the way.
    pub(crate) fn peel(
        &mut self,
        id: &ObjectId,
        mut tag: impl FnMut(&ObjectId),
    ) -> Result<(ObjectId, Kind), WalkError> {
        let mut id = *id;
        loop {
            let kind = self.kind(&id)?;
            if kind != Kind::Tag {
                return Ok((id, kind));
            }
            tag(&id);
            self.reader.read_kind(&id, Kind::Tag, &mut self.buf)?;
            let (target, _) = graph::tag_target(&self.buf, self.format())
                .map_err(|source| WalkError::Object { id, source })?;
            id = target;
        }
    }
}
