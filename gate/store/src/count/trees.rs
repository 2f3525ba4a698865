//! Trees and blobs: each new tree is compared with the ones that stood at its path, so unchanged parts are never read.

mod compare;

use hashbrown::HashMap;
use proto::ObjectId;

use super::commits::Painted;
use super::tips::Tips;
use super::{Counted, STRIDE, locate};
use crate::graph::Nr;
use crate::object_set::ObjectSet;
use crate::tree::TreeEntries;
use crate::walk::{Commits, WalkError};
use crate::{Filter, Interrupt, Kind, Location, PackSet, ReadError, Reader};

/// How many of the tips the other side has are compared with a history that has no commit in common with it.
const UNRELATED_TIPS: usize = 4;

/// Collects the objects to send.
pub(super) struct TreeWalk<'a> {
    reader: Reader,
    packs: PackSet,
    filter: Option<Filter>,
    send: ObjectSet,
    had: ObjectSet,
    /// Trees that need no second visit, sent or not.
    visited: ObjectSet,
    /// Trees of the other side whose entries were marked as had.
    expanded: ObjectSet,
    /// The least depth at which a tree was visited, where depth matters.
    depths: HashMap<Location, u64>,
    older: HashMap<Location, Location>,
    jobs: Vec<Job>,
    new: Vec<u8>,
    old: Vec<Vec<u8>>,
    interrupt: &'a Interrupt,
    progress: &'a mut dyn FnMut(u64),
    reported: u64,
}

/// A tree to look into.
#[derive(Debug)]
struct Job {
    tree: Location,
    /// The depth of its entries.
    depth: u64,
    /// What stood at its path before; all of it was sent, or is had.
    old: Vec<Location>,
}

impl<'a> TreeWalk<'a> {
    pub(super) fn new(
        packs: &PackSet,
        filter: Option<Filter>,
        interrupt: &'a Interrupt,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        let set = ObjectSet::new(packs);
        Self {
            reader: packs.reader(),
            packs: packs.clone(),
            filter,
            send: set.clone(),
            had: set.clone(),
            visited: set.clone(),
            expanded: set,
            depths: HashMap::new(),
            older: HashMap::new(),
            jobs: Vec::new(),
            new: Vec::new(),
            old: Vec::new(),
            interrupt,
            progress,
            reported: 0,
        }
    }

    /// Notes what the other side has: its tips themselves, and the roots of the commits where new history begins.
    pub(super) fn has(
        &mut self,
        commits: &mut Commits,
        tips: &Tips,
        edges: &[Nr],
    ) -> Result<(), WalkError> {
        for at in tips.tags.iter().chain(&tips.blobs).chain(&tips.trees) {
            self.had.insert(*at);
        }
        let some = tips.commits.iter().take(UNRELATED_TIPS);
        for nr in edges.iter().chain(some) {
            let at = root(commits, *nr)?;
            self.had.insert(at);
            self.had.insert(locate(commits, &commits.id(*nr))?);
        }
        Ok(())
    }

    /// Notes that the other side has a tree and everything below it.
    pub(super) fn has_all_below(&mut self, tree: ObjectId) -> Result<(), WalkError> {
        let root = self.locate(tree.as_bytes())?;
        self.had.insert(root);
        let mut todo = vec![root];
        let mut raw = Vec::new();
        while let Some(tree) = todo.pop() {
            if !self.expanded.insert(tree) {
                continue;
            }
            self.interrupt.check()?;
            self.read_tree(tree, &mut raw)?;
            for entry in TreeEntries::new(&raw, self.packs.format().raw_len()) {
                let entry = entry.map_err(|_| self.malformed(tree))?;
                if !entry.is_gitlink() {
                    let at = self.locate(entry.id)?;
                    self.had.insert(at);
                    if entry.is_tree() {
                        todo.push(at);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the new commits and their trees.
    pub(super) fn commits(
        &mut self,
        commits: &mut Commits,
        painted: &Painted,
        common: &[Nr],
        wants: &[Nr],
    ) -> Result<(), WalkError> {
        let whole = common.is_empty() && painted.edges.is_empty();
        let sends_commits = self.filter.is_none_or(|filter| filter.kind(Kind::Commit));
        let looks_at_trees =
            self.filter.is_none_or(|f| f.at_depth(0) && !f.sends_no_tree_or_blob());
        let mut parents = Vec::new();
        let mut take = |walk: &mut Self, nr: Nr| {
            if sends_commits || wants.binary_search(&nr).is_ok() {
                let at = locate(commits, &commits.id(nr))?;
                walk.send.insert(at);
            }
            if !looks_at_trees {
                return Ok(());
            }
            let mut old = Vec::new();
            if !whole {
                commits.commit(nr, &mut parents)?;
                let before = if parents.is_empty() {
                    &common[..common.len().min(UNRELATED_TIPS)]
                } else {
                    &parents
                };
                for parent in before {
                    old.push(root(commits, *parent)?);
                }
            }
            walk.enter(root(commits, nr)?, 0, old, true);
            walk.run()
        };
        if whole {
            // Newest first, as trees lie in packs; nothing is compared, so the order is free.
            painted.new.iter().rev().try_for_each(|nr| take(self, *nr))
        } else {
            painted.new.iter().try_for_each(|nr| take(self, *nr))
        }
    }

    /// Takes what is wanted by id beside commits: no filter applies to these, nor do the haves.
    pub(super) fn wanted(&mut self, wants: &Tips) -> Result<(), WalkError> {
        for at in wants.tags.iter().chain(&wants.blobs) {
            self.send.insert(*at);
        }
        for tree in &wants.trees {
            self.send.insert(*tree);
            self.jobs.push(Job { tree: *tree, depth: 0, old: Vec::new() });
            self.run()?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Counted {
        Counted { send: self.send, had: self.had, older: self.older, tags: Vec::new() }
    }

    /// Takes a tree at `depth` unless it was taken before; what is below it becomes a job.
    fn enter(&mut self, tree: Location, depth: u64, old: Vec<Location>, is_root: bool) {
        if self.had.contains(tree) {
            return;
        }
        if let Some(filter) = &self.filter {
            if filter.kind(Kind::Tree) && filter.at_depth(depth) {
                self.send.insert(tree);
            }
            if filter.ends_at(depth) {
                return;
            }
            let again =
                filter.has_depth() && self.depths.get(&tree).is_none_or(|before| depth < *before);
            if again {
                self.depths.insert(tree, depth);
            }
            if !self.visited.insert(tree) && !again {
                return;
            }
        } else if !self.send.insert(tree) {
            return;
        }
        if let (true, Some(old)) = (is_root, old.first()) {
            self.older.insert(tree, *old);
        }
        self.jobs.push(Job { tree, depth: depth + 1, old });
    }

    fn run(&mut self) -> Result<(), WalkError> {
        while let Some(job) = self.jobs.pop() {
            if self.send.len() >= self.reported + STRIDE {
                self.reported = self.send.len();
                (self.progress)(self.reported);
            }
            self.interrupt.check()?;
            self.look_into(&job)?;
        }
        Ok(())
    }

    fn takes_blob(&mut self, at: Location, depth: u64) -> Result<bool, WalkError> {
        let Some(filter) = &self.filter else { return Ok(true) };
        if !filter.kind(Kind::Blob) || !filter.at_depth(depth) {
            return Ok(false);
        }
        match filter.blob_limit() {
            Some(limit) => Ok(self.reader.header(&self.packs.id_at(at))?.1 < limit),
            None => Ok(true),
        }
    }

    fn read_tree(&mut self, at: Location, out: &mut Vec<u8>) -> Result<(), WalkError> {
        match self.reader.read_at(at, out)? {
            Kind::Tree => Ok(()),
            actual => {
                let id = self.packs.id_at(at);
                Err(ReadError::Kind { id, expected: Kind::Tree, actual }.into())
            }
        }
    }

    fn locate(&self, id: &[u8]) -> Result<Location, ReadError> {
        let id = ObjectId::from_raw(id).expect("a tree entry's id was cut to length");
        self.packs.locate(&id).ok_or(ReadError::Missing { id })
    }

    fn malformed(&self, tree: Location) -> WalkError {
        WalkError::Tree { id: self.packs.id_at(tree) }
    }
}

/// Where a commit's tree lies.
fn root(commits: &mut Commits, nr: Nr) -> Result<Location, WalkError> {
    let tree = commits.tree(nr)?;
    Ok(locate(commits, &tree)?)
}
