//! Every new blob at every path, once, with the commit that brought it.

use bstr::{BStr, BString, ByteSlice};
use hashbrown::HashSet;
use proto::ObjectId;
use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;

use super::{ConnectError, Connected};
use crate::graph::{parse_commit, tag_target};
use crate::tree::{TreeEntries, TreeEntry};
use crate::{Interrupt, Kind, Reader};

/// The longest path that is followed, in bytes.
pub const MAX_PATH: usize = 64 * 1024;

/// The deepest directory that is followed (git's `core.maxTreeDepth`).
pub const MAX_TREE_DEPTH: usize = 2048;

/// One thing at one path.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// A blob, or where [`is_new`](Self::is_new) is false also a tree (an empty one, too) or a submodule's commit.
    pub id: ObjectId,
    /// From the root of the tree; empty for a blob that a tag or a ref names directly.
    pub path: &'a BStr,
    /// As it stands in the tree; 0 without one.
    pub mode: u32,
    /// Whether the blob is new. If not, the path is: no parent has anything there.
    pub is_new: bool,
    pub by: IntroducedBy,
}

/// What brings a blob in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntroducedBy {
    /// The oldest new commit that has it at this path.
    Commit(ObjectId),
    /// A new annotated tag of a blob or tree.
    Tag(ObjectId),
    /// A ref that names a blob or tree directly.
    Ref,
}

impl Connected {
    /// Visits each new blob once at each of its paths, with the commit that has it there first; merges and roots too,
    /// and what tags or refs name directly. Old content that stands at a new path is told as a path.
    ///
    /// Not to be called for an origin's pack.
    ///
    /// # Errors
    /// More than `max_paths` trees and blobs at paths (a few trees can name millions), or a damaged store.
    pub fn blobs(
        &self,
        max_paths: usize,
        interrupt: &Interrupt,
        visit: &mut dyn FnMut(Visit<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ConnectError> {
        let mut walk = PathWalk {
            connected: self,
            reader: self.reader(),
            seen: HashSet::new(),
            hasher: RandomState::new(),
            max_paths,
            path: BString::default(),
            interrupt,
            visit,
        };
        for commit in &self.commits {
            if walk.commit(commit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        for tip in &self.tips {
            if walk.tip(tip)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

struct PathWalk<'a> {
    connected: &'a Connected,
    reader: Reader,
    /// Trees and blobs at paths. Paths are hashed with a key nobody can guess.
    seen: HashSet<(ObjectId, u64)>,
    hasher: RandomState,
    max_paths: usize,
    path: BString,
    interrupt: &'a Interrupt,
    visit: &'a mut dyn FnMut(Visit<'_>) -> ControlFlow<()>,
}

/// A new tree on the way down.
struct Frame {
    tree: Vec<u8>,
    /// How much of it is done.
    at: usize,
    /// What the parents have at this path.
    parents: Vec<Cursor>,
    path_len: usize,
}

/// A tree that is read alongside another.
struct Cursor {
    tree: Vec<u8>,
    at: usize,
}

impl PathWalk<'_> {
    fn commit(&mut self, id: &ObjectId) -> Result<ControlFlow<()>, ConnectError> {
        let mut bytes = Vec::new();
        let mut tree_of = |reader: &mut Reader, id: &ObjectId, parents: &mut Vec<ObjectId>| {
            reader.read_kind(id, Kind::Commit, &mut bytes)?;
            let commit = parse_commit(&bytes, id.format())
                .map_err(|source| ConnectError::Object { id: *id, source })?;
            parents.extend(commit.parents());
            Ok::<_, ConnectError>(commit.tree)
        };
        let mut parents = Vec::new();
        let tree = tree_of(&mut self.reader, id, &mut parents)?;
        if !self.connected.is_new(&tree) {
            return Ok(ControlFlow::Continue(()));
        }
        let mut parent_trees = Vec::new();
        for parent in &parents {
            // Beyond a shallow boundary there is nothing to compare with.
            if self.reader.packs().contains(parent) {
                let tree = tree_of(&mut self.reader, parent, &mut Vec::new())?;
                parent_trees.push(Cursor { tree: self.read_tree(&tree)?, at: 0 });
            }
        }
        self.tree(&tree, parent_trees, IntroducedBy::Commit(*id))
    }

    /// What a tip names that is no commit.
    fn tip(&mut self, tip: &ObjectId) -> Result<ControlFlow<()>, ConnectError> {
        let (mut id, mut by) = (*tip, IntroducedBy::Ref);
        let mut bytes = Vec::new();
        while self.connected.is_new(&id) {
            match self.reader.kind(&id)? {
                Kind::Commit => break,
                Kind::Tag => {
                    self.reader.read_kind(&id, Kind::Tag, &mut bytes)?;
                    by = IntroducedBy::Tag(id);
                    (id, _) = tag_target(&bytes, id.format())
                        .map_err(|source| ConnectError::Object { id, source })?;
                }
                Kind::Tree => return self.tree(&id, Vec::new(), by),
                Kind::Blob => {
                    self.path.clear();
                    let is_first = self.is_first(id)?;
                    let visit = Visit { id, path: b"".into(), mode: 0, is_new: true, by };
                    return Ok(if is_first {
                        (self.visit)(visit)
                    } else {
                        ControlFlow::Continue(())
                    });
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn tree(
        &mut self,
        root: &ObjectId,
        parents: Vec<Cursor>,
        by: IntroducedBy,
    ) -> Result<ControlFlow<()>, ConnectError> {
        self.path.clear();
        if !self.is_first(*root)? {
            return Ok(ControlFlow::Continue(()));
        }
        let mut frames = vec![Frame { tree: self.read_tree(root)?, at: 0, parents, path_len: 0 }];
        while !frames.is_empty() {
            let depth = frames.len();
            let frame = &mut frames[depth - 1];
            self.path.truncate(frame.path_len);
            let len = root.format().raw_len();
            let mut entries = TreeEntries::new(&frame.tree[frame.at..], len);
            let Some(entry) = entries.next() else {
                frames.pop();
                continue;
            };
            let entry = entry.map_err(|_| ConnectError::Tree { id: *root })?;
            frame.at += entry_len(&entry, &frame.tree[frame.at..]);
            let before = Before::of(&mut frame.parents, &entry, len);
            if before.is_same {
                continue;
            }
            let id = ObjectId::from_raw(entry.id).ok_or(ConnectError::Tree { id: *root })?;
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(entry.name);
            if self.path.len() > MAX_PATH || depth > MAX_TREE_DEPTH {
                return Err(ConnectError::PathTooLong { commit: by.commit() });
            }
            let is_new = !entry.is_gitlink() && self.connected.is_new(&id);
            if (!is_new && before.is_there) || !self.is_first(id)? {
                continue;
            }
            if is_new && entry.is_tree() {
                let cursor = |id| Ok(Cursor { tree: self.read_tree(id)?, at: 0 });
                let parents = before.trees.iter().map(cursor);
                let parents = parents.collect::<Result<_, ConnectError>>()?;
                let (tree, path_len) = (self.read_tree(&id)?, self.path.len());
                if tree.is_empty() && !before.is_there {
                    // nothing below will tell its name
                    let path = self.path.as_bstr();
                    let visit = Visit { id, path, mode: entry.mode, is_new: false, by };
                    if (self.visit)(visit).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                frames.push(Frame { tree, at: 0, parents, path_len });
                continue;
            }
            let visit = Visit { id, path: self.path.as_bstr(), mode: entry.mode, is_new, by };
            if (self.visit)(visit).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether this object was not at this path before.
    fn is_first(&mut self, id: ObjectId) -> Result<bool, ConnectError> {
        self.interrupt.check()?;
        let path = self.hasher.hash_one(self.path.as_bytes());
        let is_first = self.seen.insert((id, path));
        if self.seen.len() > self.max_paths {
            return Err(ConnectError::TooManyPaths { limit: self.max_paths });
        }
        Ok(is_first)
    }

    fn read_tree(&mut self, id: &ObjectId) -> Result<Vec<u8>, ConnectError> {
        let mut bytes = Vec::new();
        self.reader.read_kind(id, Kind::Tree, &mut bytes)?;
        Ok(bytes)
    }
}

impl IntroducedBy {
    fn commit(self) -> Option<ObjectId> {
        match self {
            Self::Commit(id) => Some(id),
            Self::Tag(_) | Self::Ref => None,
        }
    }
}

/// What the parents have under an entry's name.
struct Before {
    is_same: bool,
    is_there: bool,
    trees: Vec<ObjectId>,
}

impl Before {
    /// Looks the entry up in all parents, whose cursors only ever move on: trees are sorted. In an origin's own old
    /// trees that are not, something may be missed, and then is looked at once more than it had to be.
    fn of(parents: &mut [Cursor], entry: &TreeEntry<'_>, id_len: usize) -> Self {
        let mut before = Self { is_same: false, is_there: false, trees: Vec::new() };
        for parent in parents {
            let Some(other) = parent.seek(entry, id_len) else { continue };
            before.is_there = true;
            before.is_same |= other.id == entry.id && other.mode == entry.mode;
            if other.is_tree() {
                before.trees.extend(ObjectId::from_raw(other.id));
            }
        }
        before
    }
}

impl Cursor {
    /// The entry of the same name, and the same as to being a directory.
    fn seek(&mut self, wanted: &TreeEntry<'_>, id_len: usize) -> Option<TreeEntry<'_>> {
        while let Some(Ok(entry)) = TreeEntries::new(&self.tree[self.at..], id_len).next() {
            match entry.order(wanted) {
                Ordering::Less => self.at += entry_len(&entry, &self.tree[self.at..]),
                Ordering::Equal => return Some(entry),
                Ordering::Greater => return None,
            }
        }
        None
    }
}

/// The bytes an entry takes: mode, space, name, NUL, id.
fn entry_len(entry: &TreeEntry<'_>, rest: &[u8]) -> usize {
    let mode = rest.find_byte(b' ').unwrap_or(0);
    mode + 1 + entry.name.len() + 1 + entry.id.len()
}
