//! What the origin has elsewhere, or had before, at given paths: at the tips of all its refs, and in their history.

use bstr::{BStr, ByteSlice};
use hashbrown::HashSet;
use proto::ObjectId;
use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::known::{commit, entries};
use super::{ConnectError, Connected, KnownBases};
use crate::{Interrupt, Kind, Reader};

/// So many tips of refs are looked at; branches go first.
const TIPS: usize = 1_000;

impl Connected {
    /// Visits the blobs that stand at `paths` in the origin's history, each once: from the bases and the tips of all refs
    /// back, the nearest commits first, `limit` commits at most. Blobs are told, not read.
    pub fn earlier_blobs(
        &self,
        bases: &KnownBases,
        paths: &[&BStr],
        limit: usize,
        interrupt: &Interrupt,
        visit: &mut dyn FnMut(&BStr, &ObjectId) -> ControlFlow<()>,
    ) -> Result<(), ConnectError> {
        let mut walk = Earlier {
            reader: self.reader(),
            bytes: Vec::new(),
            trees: HashSet::new(),
            blobs: HashSet::new(),
        };
        let mut seen: HashSet<ObjectId> = HashSet::new();
        let mut queue: VecDeque<ObjectId> = bases.commits().iter().copied().collect();
        let refs = self.snapshot().refs();
        let branches = refs.prefixed(b"refs/heads/").take(TIPS);
        for entry in branches.chain(refs.iter().take(TIPS)) {
            let tip = entry.peeled.unwrap_or(entry.target);
            if !seen.contains(&tip) && walk.reader.kind(&tip)? == Kind::Commit {
                queue.push_back(tip);
            }
        }
        queue.retain(|id| seen.insert(*id));
        let mut bytes = Vec::new();
        for _ in 0..limit {
            interrupt.check()?;
            let Some(id) = queue.pop_front() else { break };
            let (tree, parents) = commit(&mut walk.reader, &id, &mut bytes)?;
            for (index, path) in paths.iter().enumerate() {
                if let Some(blob) = walk.at_path(tree, index, path)?
                    && visit(path, &blob).is_break()
                {
                    return Ok(());
                }
            }
            queue.extend(parents.into_iter().filter(|id| self.is_known(id) && seen.insert(*id)));
        }
        Ok(())
    }
}

struct Earlier {
    reader: Reader,
    bytes: Vec<u8>,
    /// Trees that were looked into for a path, and how far down it.
    trees: HashSet<(ObjectId, usize, usize)>,
    /// Blobs that were visited for a path.
    blobs: HashSet<(ObjectId, usize)>,
}

impl Earlier {
    /// The blob at a path, unless the same tree was asked before.
    fn at_path(
        &mut self,
        root: ObjectId,
        index: usize,
        path: &BStr,
    ) -> Result<Option<ObjectId>, ConnectError> {
        let mut at = (root, Kind::Tree);
        for (depth, name) in path.split_str(b"/").enumerate() {
            if at.1 != Kind::Tree || !self.trees.insert((at.0, index, depth)) {
                return Ok(None);
            }
            self.reader.read_kind(&at.0, Kind::Tree, &mut self.bytes)?;
            match entries(&self.bytes, &at.0).find(|entry| entry.0 == name) {
                Some((_, id, kind)) => at = (id, kind),
                None => return Ok(None),
            }
        }
        Ok((at.1 == Kind::Blob && self.blobs.insert((at.0, index))).then_some(at.0))
    }
}
