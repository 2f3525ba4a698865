//! A new tree against what stood at its path before.

use super::{Job, TreeWalk};
use crate::Location;
use crate::tree::{TreeEntries, TreeEntry};
use crate::walk::WalkError;

impl TreeWalk<'_> {
    pub(super) fn look_into(&mut self, job: &Job) -> Result<(), WalkError> {
        let mut new = std::mem::take(&mut self.new);
        let mut old = std::mem::take(&mut self.old);
        if old.len() < job.old.len() {
            old.resize_with(job.old.len(), Vec::new);
        }
        self.read_tree(job.tree, &mut new)?;
        for (tree, raw) in job.old.iter().zip(&mut old) {
            self.read_tree(*tree, raw)?;
            self.expand(*tree, raw)?;
        }
        let done = self.compare(job, &new, &old[..job.old.len()]);
        (self.new, self.old) = (new, old);
        done
    }

    /// Marks the entries of a tree that the other side has.
    fn expand(&mut self, tree: Location, raw: &[u8]) -> Result<(), WalkError> {
        if !self.had.contains(tree) || !self.expanded.insert(tree) {
            return Ok(());
        }
        for entry in TreeEntries::new(raw, self.packs.format().raw_len()) {
            let entry = entry.map_err(|_| self.malformed(tree))?;
            if !entry.is_gitlink() {
                let at = self.locate(entry.id)?;
                if !self.send.contains(at) {
                    self.had.insert(at);
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self, job: &Job, new: &[u8], old: &[Vec<u8>]) -> Result<(), WalkError> {
        let id_len = self.packs.format().raw_len();
        let mut old: Vec<_> =
            old.iter().map(|raw| TreeEntries::new(raw, id_len).peekable()).collect();
        for entry in TreeEntries::new(new, id_len) {
            let entry = entry.map_err(|_| self.malformed(job.tree))?;
            let mut before: [Option<TreeEntry<'_>>; 2] = [None, None];
            let mut same = false;
            for old in &mut old {
                while old.next_if(|e| e.is_ok_and(|e| e.order(&entry).is_lt())).is_some() {}
                if let Some(Ok(found)) = old.next_if(|e| e.is_ok_and(|e| e.order(&entry).is_eq())) {
                    same |= found.id == entry.id;
                    if let Some(free) = before.iter_mut().find(|slot| slot.is_none()) {
                        *free = Some(found);
                    }
                }
            }
            if !same && !entry.is_gitlink() {
                self.take_entry(job, &entry, before)?;
            }
        }
        Ok(())
    }

    fn take_entry(
        &mut self,
        job: &Job,
        entry: &TreeEntry<'_>,
        before: [Option<TreeEntry<'_>>; 2],
    ) -> Result<(), WalkError> {
        let at = self.locate(entry.id)?;
        if self.had.contains(at) || (self.filter.is_none() && self.send.contains(at)) {
            return Ok(());
        }
        let mut old = Vec::new();
        for before in before.iter().flatten().filter(|before| !before.is_gitlink()) {
            old.push(self.locate(before.id)?);
        }
        if let Some(old) = old.first() {
            self.older.insert(at, *old);
        }
        if entry.is_tree() {
            self.enter(at, job.depth, old, false);
        } else if self.takes_blob(at, job.depth)? {
            self.send.insert(at);
        }
        Ok(())
    }
}
