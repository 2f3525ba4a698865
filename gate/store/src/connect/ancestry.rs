//! Questions about history across what is known and what is new.

use bstr::{BStr, ByteSlice};
use proto::ObjectId;
use std::collections::{HashSet, VecDeque};

use super::{ConnectError, Connected};
use crate::graph::parse_commit;
use crate::tree::TreeEntries;
use crate::walk::Commits;
use crate::{Interrupt, Kind};

impl Connected {
    /// Whether `old` is `new` or one of its ancestors, so that moving a branch from one to the other loses nothing.
    ///
    /// Walks until it finds it; an id that is no commit is nobody's ancestor.
    pub fn is_ancestor(
        &self,
        old: &ObjectId,
        new: &ObjectId,
        interrupt: &Interrupt,
    ) -> Result<bool, ConnectError> {
        if old == new {
            return Ok(true);
        }
        let snapshot = self.snapshot();
        let arena = snapshot.shared.graph.arena();
        let mut commits = Commits::new(self.packs(), arena, snapshot.shallow());
        let (new, _) = commits.peel(new, |_| {})?;
        if commits.kind(&new)? != Kind::Commit {
            return Ok(false);
        }
        let (old, new) = (commits.number(old), commits.number(&new));
        let mut seen = HashSet::from([new]);
        let mut queue = VecDeque::from([new]);
        let mut parents = Vec::new();
        while let Some(nr) = queue.pop_front() {
            interrupt.check()?;
            if nr == old {
                return Ok(true);
            }
            commits.commit(nr, &mut parents)?;
            queue.extend(parents.iter().filter(|parent| seen.insert(**parent)));
        }
        Ok(false)
    }

    /// The blobs at `path` in those parents of `commit` that the origin has already, for telling old content from new.
    /// A parent that is new itself vouches for nothing.
    pub fn known_blobs_at(
        &self,
        commit: &ObjectId,
        path: &BStr,
    ) -> Result<Vec<ObjectId>, ConnectError> {
        let mut reader = self.packs().reader_with_cache(1 << 20);
        let mut bytes = Vec::new();
        reader.read_kind(commit, Kind::Commit, &mut bytes)?;
        let invalid = |id| move |source| ConnectError::Object { id, source };
        let parents: Vec<_> = parse_commit(&bytes, commit.format())
            .map_err(invalid(*commit))?
            .parents()
            .filter(|parent| self.packs().contains(parent) && !self.is_new(parent))
            .collect();
        let mut found = Vec::new();
        'parents: for parent in parents {
            reader.read_kind(&parent, Kind::Commit, &mut bytes)?;
            let commit = parse_commit(&bytes, parent.format()).map_err(invalid(parent))?;
            let mut at = (commit.tree, true);
            for name in path.split_str(b"/") {
                if !at.1 {
                    continue 'parents;
                }
                reader.read_kind(&at.0, Kind::Tree, &mut bytes)?;
                let mut entries =
                    TreeEntries::new(&bytes, parent.format().raw_len()).map_while(Result::ok);
                let entry = entries.find(|entry| entry.name == name && !entry.is_gitlink());
                match entry.and_then(|entry| Some((ObjectId::from_raw(entry.id)?, entry.is_tree())))
                {
                    Some(next) => at = next,
                    None => continue 'parents,
                }
            }
            if !at.1 && !found.contains(&at.0) {
                found.push(at.0);
            }
        }
        Ok(found)
    }
}
