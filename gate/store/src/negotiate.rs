//! What client and server both have (upload-pack.c: got_oid, ok_to_give_up).

use hashbrown::HashSet;
use proto::ObjectId;

use crate::graph::Nr;
use crate::walk::Commits;
use crate::{Interrupt, Kind, Snapshot, WalkError};

/// One client's haves against its wants.
#[derive(Debug)]
pub struct Negotiation {
    commits: Commits,
    /// Wanted commits for which no common ancestor was found yet.
    open: Vec<Nr>,
    common: Vec<ObjectId>,
    /// Commits the client has: its haves and their parents.
    theirs: HashSet<Nr>,
    /// The date of the oldest commit among the haves: nothing older needs to be looked at.
    oldest: u64,
}

impl Negotiation {
    /// Starts with what the client wants; every want must be in the snapshot.
    pub fn new(snapshot: &Snapshot, wants: &[ObjectId]) -> Result<Self, WalkError> {
        let mut commits = snapshot.commits();
        let mut open = Vec::new();
        for want in wants {
            // Nothing can be said of trees and blobs by looking at history.
            if let (id, Kind::Commit) = commits.peel(want, |_| {})? {
                open.push(commits.number(&id));
            }
        }
        open.sort_unstable();
        open.dedup();
        Ok(Self { commits, open, common: Vec::new(), theirs: HashSet::new(), oldest: u64::MAX })
    }

    /// Notes commits whose parents the client lacks. Call it before [`have`](Self::have).
    pub fn client_shallow(&mut self, shallow: &[ObjectId]) {
        for id in shallow {
            if self.commits.packs().contains(id) {
                let nr = self.commits.number(id);
                self.commits.cut(nr);
            }
        }
    }

    /// Hears of an object the client has; whether it is common, so that it deserves an `ACK`.
    pub fn have(&mut self, id: &ObjectId) -> Result<bool, WalkError> {
        if !self.commits.packs().contains(id) {
            return Ok(false);
        }
        let mut known = false;
        if self.commits.kind(id)? == Kind::Commit {
            let nr = self.commits.number(id);
            known = !self.theirs.insert(nr);
            let mut parents = Vec::new();
            let date = self.commits.commit(nr, &mut parents)?;
            self.oldest = self.oldest.min(date);
            self.theirs.extend(parents);
        }
        if !known {
            self.common.push(*id);
        }
        Ok(true)
    }

    /// Whether every want has an ancestor that is common, so that a good pack can be made without more haves.
    pub fn ready(&mut self, interrupt: &Interrupt) -> Result<bool, WalkError> {
        if self.common.is_empty() {
            return Ok(false);
        }
        let mut fruitless = HashSet::new();
        while let Some(want) = self.open.last().copied() {
            if !self.meets(want, &mut fruitless, interrupt)? {
                return Ok(false);
            }
            self.open.pop();
        }
        Ok(true)
    }

    /// The haves that are common and that no other have told of. A pack may leave out all they reach.
    pub fn common(&self) -> &[ObjectId] {
        &self.common
    }

    /// Looks from a want down to the oldest have's date for a commit the client has.
    fn meets(
        &mut self,
        want: Nr,
        fruitless: &mut HashSet<Nr>,
        interrupt: &Interrupt,
    ) -> Result<bool, WalkError> {
        let mut todo = vec![want];
        let mut parents = Vec::new();
        while let Some(nr) = todo.pop() {
            if self.theirs.contains(&nr) {
                return Ok(true);
            }
            if !fruitless.insert(nr) {
                continue;
            }
            interrupt.check()?;
            if self.commits.commit(nr, &mut parents)? >= self.oldest || nr == want {
                todo.extend_from_slice(&parents);
            }
        }
        Ok(false)
    }
}
