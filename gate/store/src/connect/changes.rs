//! What new commits change, path by path, deletions and modes too.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bstr::{BStr, BString, ByteSlice};
use proto::ObjectId;

use super::{ConnectError, Connected, MAX_PATH, MAX_TREE_DEPTH};
use crate::graph::parse_commit;
use crate::tree::TreeEntries;
use crate::{Interrupt, Kind, Reader};

/// Mode and id of what stands at a path; `None` for nothing.
type At = Option<(u32, ObjectId)>;

impl Connected {
    /// Visits each path whose content or mode differs, in a new commit, from all its parents: files added, changed and
    /// deleted. A merge changes what it takes from no parent as it is. Directories are told by what is in them.
    ///
    /// # Errors
    /// More than `max_paths` of them, or a damaged store.
    pub fn changes(
        &self,
        max_paths: usize,
        interrupt: &Interrupt,
        visit: &mut dyn FnMut(&ObjectId, &BStr) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ConnectError> {
        let mut walk = Changes { reader: self.reader(), seen: 0, max_paths, interrupt, visit };
        for commit in self.commits() {
            let (tree, parents) = walk.trees(commit)?;
            if walk.commit(commit, tree, parents)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

struct Changes<'a> {
    reader: Reader,
    seen: usize,
    max_paths: usize,
    interrupt: &'a Interrupt,
    visit: &'a mut dyn FnMut(&ObjectId, &BStr) -> ControlFlow<()>,
}

impl Changes<'_> {
    fn trees(&mut self, commit: &ObjectId) -> Result<(ObjectId, Vec<ObjectId>), ConnectError> {
        let mut bytes = Vec::new();
        let mut read = |reader: &mut Reader, id: &ObjectId, parents: &mut Vec<ObjectId>| {
            reader.read_kind(id, Kind::Commit, &mut bytes)?;
            let commit = parse_commit(&bytes, id.format())
                .map_err(|source| ConnectError::Object { id: *id, source })?;
            parents.extend(commit.parents());
            Ok::<_, ConnectError>(commit.tree)
        };
        let (mut parents, mut trees) = (Vec::new(), Vec::new());
        let tree = read(&mut self.reader, commit, &mut parents)?;
        for parent in &parents {
            // beyond a shallow boundary there is nothing to compare with
            if self.reader.packs().contains(parent) {
                trees.push(read(&mut self.reader, parent, &mut Vec::new())?);
            }
        }
        Ok((tree, trees))
    }

    fn commit(
        &mut self,
        commit: &ObjectId,
        tree: ObjectId,
        parents: Vec<ObjectId>,
    ) -> Result<ControlFlow<()>, ConnectError> {
        const TREE: u32 = 0o040_000;
        let parents = parents.into_iter().map(|tree| Some((TREE, tree))).collect();
        let mut pending = vec![(BString::default(), 0, Some((TREE, tree)), parents)];
        while let Some((path, depth, new, old)) = pending.pop() {
            self.count(commit, path.as_bstr(), depth)?;
            let old: Vec<At> = old;
            if old.contains(&new) || (new.is_none() && old.is_empty()) {
                continue;
            }
            let is_tree = |at: &At| at.is_some_and(|(mode, _)| mode & 0o170_000 == TREE);
            let has_leaf = |at: &At| at.is_some() && !is_tree(at);
            if (has_leaf(&new) || old.iter().any(has_leaf))
                && (self.visit)(commit, path.as_bstr()).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            if !is_tree(&new) && !old.iter().any(is_tree) {
                continue;
            }
            let new = self.entries(&new)?;
            let old = old.iter().map(|at| self.entries(at)).collect::<Result<Vec<_>, _>>()?;
            let mut names: Vec<&BString> =
                new.keys().chain(old.iter().flat_map(|e| e.keys())).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let separator = if path.is_empty() { "" } else { "/" };
                let path = bstr::concat([path.as_bytes(), separator.as_bytes(), name.as_bytes()]);
                let old = old.iter().map(|entries| entries.get(name).copied()).collect();
                pending.push((path.into(), depth + 1, new.get(name).copied(), old));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn count(&mut self, commit: &ObjectId, path: &BStr, depth: usize) -> Result<(), ConnectError> {
        self.interrupt.check()?;
        self.seen += 1;
        if self.seen > self.max_paths {
            return Err(ConnectError::TooManyPaths { limit: self.max_paths });
        }
        if path.len() > MAX_PATH || depth > MAX_TREE_DEPTH {
            return Err(ConnectError::PathTooLong { commit: Some(*commit) });
        }
        Ok(())
    }

    /// What a tree holds; nothing for what is no tree.
    fn entries(&mut self, at: &At) -> Result<BTreeMap<BString, (u32, ObjectId)>, ConnectError> {
        let Some((_, id)) = at.filter(|(mode, _)| mode & 0o170_000 == 0o040_000) else {
            return Ok(BTreeMap::new());
        };
        let mut bytes = Vec::new();
        self.reader.read_kind(&id, Kind::Tree, &mut bytes)?;
        TreeEntries::new(&bytes, id.format().raw_len())
            .map(|entry| {
                let entry = entry.map_err(|_| ConnectError::Tree { id })?;
                let of = ObjectId::from_raw(entry.id).ok_or(ConnectError::Tree { id })?;
                Ok((entry.name.into(), (entry.mode, of)))
            })
            .collect()
    }
}
