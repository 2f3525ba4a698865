//! What the new commits build upon: content that the origin has already.

use bstr::{BStr, BString, ByteSlice};
use hashbrown::{HashMap, HashSet};
use proto::ObjectId;
use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::{ConnectError, Connected, MAX_TREE_DEPTH};
use crate::graph::{parse_commit, tag_target};
use crate::tree::TreeEntries;
use crate::{Interrupt, Kind, Reader};

/// Commits the origin has, that new ones build upon or take the place of.
#[derive(Clone, Debug, Default)]
pub struct KnownBases {
    commits: Vec<ObjectId>,
    /// The tree of a known parent, and of a new child of it.
    steps: Vec<(ObjectId, ObjectId)>,
    /// The trees of all of them.
    trees: Vec<ObjectId>,
}

impl KnownBases {
    pub(super) fn commits(&self) -> &[ObjectId] {
        &self.commits
    }
}

impl Connected {
    /// The known parents of new commits, and `replaced`: what the moved refs named before.
    pub fn known_bases(
        &self,
        replaced: &[ObjectId],
        interrupt: &Interrupt,
    ) -> Result<KnownBases, ConnectError> {
        let (mut reader, mut bytes) = (self.reader(), Vec::new());
        let (mut bases, mut seen) = (KnownBases::default(), HashSet::new());
        for id in self.commits() {
            interrupt.check()?;
            let (tree, parents) = commit(&mut reader, id, &mut bytes)?;
            for parent in parents.into_iter().filter(|parent| self.is_known(parent)) {
                let (known, _) = commit(&mut reader, &parent, &mut bytes)?;
                bases.steps.push((known, tree));
                if seen.insert(parent) {
                    bases.commits.push(parent);
                    bases.trees.push(known);
                }
            }
        }
        for id in replaced.iter().filter(|id| self.is_known(id)) {
            let Some(id) = peel(&mut reader, *id, &mut bytes)? else { continue };
            if seen.insert(id) {
                bases.commits.push(id);
                bases.trees.push(commit(&mut reader, &id, &mut bytes)?.0);
            }
        }
        Ok(bases)
    }

    /// Whether any of the bases has a file, directory, link or submodule at `path`.
    pub fn has_known_path(&self, bases: &KnownBases, path: &BStr) -> Result<bool, ConnectError> {
        let mut reader = self.reader();
        for tree in &bases.trees {
            if at_path(&mut reader, tree, path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Visits blobs of the bases, each once: those at `path`, or all, and of these first what new commits change or
    /// remove. Blobs are told, not read.
    pub fn known_blobs(
        &self,
        bases: &KnownBases,
        path: Option<&BStr>,
        interrupt: &Interrupt,
        visit: &mut dyn FnMut(&BStr, &ObjectId) -> ControlFlow<()>,
    ) -> Result<(), ConnectError> {
        let mut walk = KnownWalk {
            reader: self.reader(),
            seen: HashSet::new(),
            trees: HashSet::new(),
            interrupt,
            visit,
        };
        if let Some(path) = path {
            for tree in &bases.trees {
                if let Some((id, Kind::Blob)) = at_path(&mut walk.reader, tree, path)?
                    && walk.blob(path, id)?.is_break()
                {
                    break;
                }
            }
            return Ok(());
        }
        let steps = bases.steps.iter().map(|(known, new)| (*known, Some(*new)));
        for (known, new) in steps.chain(bases.trees.iter().map(|tree| (*tree, None))) {
            if walk.tree(known, new)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Visits the raw text of the bases and of their ancestors, the nearest first, `limit` at most.
    pub fn known_commits(
        &self,
        bases: &KnownBases,
        limit: usize,
        interrupt: &Interrupt,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ConnectError> {
        let (mut reader, mut bytes) = (self.reader(), Vec::new());
        let mut seen: HashSet<ObjectId> = bases.commits.iter().copied().collect();
        let mut queue: VecDeque<ObjectId> = bases.commits.iter().copied().collect();
        for _ in 0..limit {
            interrupt.check()?;
            let Some(id) = queue.pop_front() else { break };
            let (_, parents) = commit(&mut reader, &id, &mut bytes)?;
            if visit(&bytes).is_break() {
                break;
            }
            let parents = parents.into_iter().filter(|id| self.is_known(id) && seen.insert(*id));
            queue.extend(parents);
        }
        Ok(())
    }

    /// How many bytes the new objects have in all, from their headers.
    pub fn new_bytes(&self) -> Result<u64, ConnectError> {
        let mut reader = self.reader();
        let mut total = 0;
        for at in self.new.iter() {
            total += reader.header(&self.packs().id_at(at))?.1;
        }
        Ok(total)
    }

    /// Asked only of what tips or refs reach: what is not new then, the origin has. Beyond a shallow boundary nothing is
    /// here.
    pub(super) fn is_known(&self, id: &ObjectId) -> bool {
        self.packs().contains(id) && !self.is_new(id)
    }
}

struct KnownWalk<'a> {
    reader: Reader,
    seen: HashSet<ObjectId>,
    /// Trees that were walked whole.
    trees: HashSet<ObjectId>,
    interrupt: &'a Interrupt,
    visit: &'a mut dyn FnMut(&BStr, &ObjectId) -> ControlFlow<()>,
}

impl KnownWalk<'_> {
    fn blob(&mut self, path: &BStr, id: ObjectId) -> Result<ControlFlow<()>, ConnectError> {
        self.interrupt.check()?;
        let is_first = self.seen.insert(id);
        Ok(if is_first { (self.visit)(path, &id) } else { ControlFlow::Continue(()) })
    }

    /// Visits the blobs of a known tree; with a new tree in its place, those that are not the same there.
    fn tree(
        &mut self,
        known: ObjectId,
        new: Option<ObjectId>,
    ) -> Result<ControlFlow<()>, ConnectError> {
        let mut open = vec![(BString::default(), known, new, 0)];
        let (mut bytes, mut new_bytes) = (Vec::new(), Vec::new());
        while let Some((path, known, new, depth)) = open.pop() {
            self.interrupt.check()?;
            if depth > MAX_TREE_DEPTH || (new.is_none() && !self.trees.insert(known)) {
                continue;
            }
            self.reader.read_kind(&known, Kind::Tree, &mut bytes)?;
            let mut there = HashMap::new();
            if let Some(new) = new {
                self.reader.read_kind(&new, Kind::Tree, &mut new_bytes)?;
                there.extend(entries(&new_bytes, &new).map(|(name, id, kind)| (name, (id, kind))));
            }
            for (name, id, kind) in entries(&bytes, &known) {
                let now = there.get(&name);
                if new.is_some() && now.is_some_and(|now| *now == (id, kind)) {
                    continue;
                }
                let mut path = path.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                match (kind, now) {
                    (Kind::Tree, Some((now, Kind::Tree))) => {
                        open.push((path, id, Some(*now), depth + 1));
                    }
                    (Kind::Tree, _) => open.push((path, id, None, depth + 1)),
                    _ if self.blob(path.as_bstr(), id)?.is_break() => {
                        return Ok(ControlFlow::Break(()));
                    }
                    _ => {}
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The trees and blobs a tree names; an origin's malformed tree ends early.
pub(super) fn entries<'a>(
    tree: &'a [u8],
    id: &ObjectId,
) -> impl Iterator<Item = (&'a [u8], ObjectId, Kind)> + use<'a> {
    TreeEntries::new(tree, id.format().raw_len()).map_while(Result::ok).filter_map(|entry| {
        let kind = if entry.is_tree() { Kind::Tree } else { Kind::Blob };
        (!entry.is_gitlink()).then_some((entry.name, ObjectId::from_raw(entry.id)?, kind))
    })
}

fn at_path(
    reader: &mut Reader,
    root: &ObjectId,
    path: &BStr,
) -> Result<Option<(ObjectId, Kind)>, ConnectError> {
    let (mut at, mut bytes) = ((*root, Kind::Tree), Vec::new());
    for name in path.split_str(b"/") {
        if at.1 != Kind::Tree {
            return Ok(None);
        }
        reader.read_kind(&at.0, Kind::Tree, &mut bytes)?;
        match entries(&bytes, &at.0).find(|entry| entry.0 == name) {
            Some((_, id, kind)) => at = (id, kind),
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// Reads a commit; its raw text stays in `bytes`.
pub(super) fn commit(
    reader: &mut Reader,
    id: &ObjectId,
    bytes: &mut Vec<u8>,
) -> Result<(ObjectId, Vec<ObjectId>), ConnectError> {
    reader.read_kind(id, Kind::Commit, bytes)?;
    let says = parse_commit(bytes, id.format())
        .map_err(|source| ConnectError::Object { id: *id, source })?;
    Ok((says.tree, says.parents().collect()))
}

/// The commit that an id leads to through tags, if it is one.
fn peel(
    reader: &mut Reader,
    mut id: ObjectId,
    bytes: &mut Vec<u8>,
) -> Result<Option<ObjectId>, ConnectError> {
    loop {
        match reader.kind(&id)? {
            Kind::Commit => return Ok(Some(id)),
            Kind::Tag => {
                reader.read_kind(&id, Kind::Tag, bytes)?;
                (id, _) = tag_target(bytes, id.format())
                    .map_err(|source| ConnectError::Object { id, source })?;
            }
            Kind::Tree | Kind::Blob => return Ok(None),
        }
    }
}
