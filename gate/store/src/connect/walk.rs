//! The walk from the tips to everything that is known already.

use hashbrown::HashMap;
use proto::ObjectId;
use std::sync::Arc;

use super::ConnectError;
use super::order::NewCommit;
use crate::graph::{parse_commit, tag_target};
use crate::object_set::ObjectSet;
use crate::quarantine::{Check, Quarantine};
use crate::tree::TreeEntries;
use crate::{Interrupt, Kind, Location, Reader};

/// What the walk found.
pub(super) struct Walked {
    pub(super) new: ObjectSet,
    pub(super) edges: HashMap<Location, Kind>,
    /// In no particular order; empty for an origin's pack.
    pub(super) commits: Vec<NewCommit>,
    pub(super) tags: Vec<ObjectId>,
}

pub(super) fn walk(
    quarantine: &Quarantine,
    tips: &[ObjectId],
    shallow: &[ObjectId],
    check: Check,
    interrupt: &Interrupt,
) -> Result<Walked, ConnectError> {
    let snapshot = quarantine.snapshot();
    // What is in the store is whole. For a push that is not enough: it may be from a branch that is gone.
    let reached = match check {
        Check::Push if !snapshot.is_exact() => Some(snapshot.closure(interrupt)?),
        Check::Push | Check::Origin => None,
    };
    let mut boundary = match check {
        Check::Push => [shallow, snapshot.shallow()].concat(),
        Check::Origin => shallow.to_vec(),
    };
    boundary.sort_unstable();
    let packs = quarantine.packs();
    let mut walk = Walk {
        quarantine,
        interrupt,
        known_packs: snapshot.packs().packs().len() as u32,
        reached,
        boundary,
        keep_commits: check == Check::Push,
        reader: packs.reader(),
        found: Walked {
            new: ObjectSet::new(packs),
            edges: HashMap::new(),
            commits: Vec::new(),
            tags: Vec::new(),
        },
        commits: Vec::new(),
        trees: Vec::new(),
    };
    for tip in tips {
        walk.need(tip, None, None)?;
    }
    for commit in snapshot.shallow() {
        walk.crossed(commit)?;
    }
    walk.run()?;
    Ok(walk.found)
}

struct Walk<'a> {
    quarantine: &'a Quarantine,
    interrupt: &'a Interrupt,
    /// Packs from here on came in.
    known_packs: u32,
    /// What the refs reach, where that is not all that the known packs hold.
    reached: Option<Arc<ObjectSet>>,
    boundary: Vec<ObjectId>,
    keep_commits: bool,
    reader: Reader,
    found: Walked,
    /// New commits and tags whose references are not looked at yet.
    commits: Vec<(ObjectId, Location, Kind)>,
    /// New trees whose entries are not looked at yet.
    trees: Vec<(ObjectId, Location)>,
}

impl Walk<'_> {
    /// Trees after all commits, and depth first: so neighbours in a pack, and deltas of each other, come together.
    fn run(&mut self) -> Result<(), ConnectError> {
        let mut bytes = Vec::new();
        while let Some((id, at, kind)) = self.commits.pop() {
            self.interrupt.check()?;
            self.reader.read_at(at, &mut bytes)?;
            match kind {
                Kind::Tag => self.tag(id, &bytes)?,
                _ => self.commit(id, &bytes)?,
            }
        }
        // The newest commits' trees were found last of those that a pack lists first.
        self.trees.reverse();
        while let Some((id, at)) = self.trees.pop() {
            self.interrupt.check()?;
            self.reader.read_at(at, &mut bytes)?;
            self.tree(id, &bytes)?;
        }
        Ok(())
    }

    /// A commit that was the boundary and no longer is: the parents it was known without must be there now.
    fn crossed(&mut self, id: &ObjectId) -> Result<(), ConnectError> {
        if self.boundary.binary_search(id).is_ok() || !self.reader.packs().contains(id) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.reader.read_kind(id, Kind::Commit, &mut bytes)?;
        let commit = parse_commit(&bytes, id.format())
            .map_err(|source| ConnectError::Object { id: *id, source })?;
        commit.parents().try_for_each(|parent| self.need(&parent, Some(Kind::Commit), Some(id)))
    }

    /// An object must exist and be of a kind; if it is new it will be looked into.
    fn need(
        &mut self,
        id: &ObjectId,
        expected: Option<Kind>,
        by: Option<&ObjectId>,
    ) -> Result<(), ConnectError> {
        let by = || by.copied();
        let at = self.reader.packs().locate(id);
        let at = at.ok_or_else(|| ConnectError::Missing { id: *id, expected, by: by() })?;
        let is_known = at.pack < self.known_packs
            && self.reached.as_ref().is_none_or(|reached| reached.contains(at));
        let (is_first, actual) = if is_known {
            self.known(at)?
        } else {
            let kind = self.quarantine.kind_of(at);
            let kind = kind.map_or_else(|| self.reader.packs().kind_at(at), Ok)?;
            (self.found.new.insert(at), kind)
        };
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(ConnectError::Kind { id: *id, expected, actual, by: by() });
        }
        if is_first && !is_known {
            match actual {
                Kind::Commit | Kind::Tag => self.commits.push((*id, at, actual)),
                Kind::Tree => self.trees.push((*id, at)),
                Kind::Blob => {}
            }
        }
        Ok(())
    }

    /// The kind of a known object, looked for once: it stands at the end of a chain of deltas.
    fn known(&mut self, at: Location) -> Result<(bool, Kind), ConnectError> {
        if let Some(kind) = self.found.edges.get(&at) {
            return Ok((false, *kind));
        }
        let kind = self.reader.packs().kind_at(at)?;
        self.found.edges.insert(at, kind);
        Ok((true, kind))
    }

    fn commit(&mut self, id: ObjectId, bytes: &[u8]) -> Result<(), ConnectError> {
        let commit = parse_commit(bytes, id.format())
            .map_err(|source| ConnectError::Object { id, source })?;
        self.need(&commit.tree, Some(Kind::Tree), Some(&id))?;
        let mut parents: Vec<_> = commit.parents().collect();
        if self.boundary.binary_search(&id).is_ok() {
            parents.clear();
        }
        for parent in &parents {
            self.need(parent, Some(Kind::Commit), Some(&id))?;
        }
        if self.keep_commits {
            self.found.commits.push(NewCommit { id, date: commit.date, parents });
        }
        Ok(())
    }

    fn tag(&mut self, id: ObjectId, bytes: &[u8]) -> Result<(), ConnectError> {
        self.found.tags.push(id);
        let (target, kind) =
            tag_target(bytes, id.format()).map_err(|source| ConnectError::Object { id, source })?;
        self.need(&target, Some(kind), Some(&id))
    }

    fn tree(&mut self, id: ObjectId, bytes: &[u8]) -> Result<(), ConnectError> {
        for entry in TreeEntries::new(bytes, id.format().raw_len()) {
            let entry = entry.map_err(|_| ConnectError::Tree { id })?;
            if entry.is_gitlink() {
                continue;
            }
            let kind = if entry.is_tree() { Kind::Tree } else { Kind::Blob };
            let child = ObjectId::from_raw(entry.id).ok_or(ConnectError::Tree { id })?;
            self.need(&child, Some(kind), Some(&id))?;
        }
        Ok(())
    }
}
