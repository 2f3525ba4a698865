//! A request in the terms of the count.

use proto::ObjectId;

use super::PackRequest;
use crate::count::{Counted, Question, count};
use crate::kept::{Key, key_of};
use crate::walk::Commits;
use crate::write::Dialect;
use crate::{Filter, Interrupt, Pack, Progress, Snapshot, WriteError};

/// A request, sorted and completed.
#[derive(Debug)]
pub(super) struct Asked {
    /// Sorted.
    pub(super) wants: Vec<ObjectId>,
    pub(super) common: Vec<ObjectId>,
    /// Where history ends: for the origin, for the client, and by what was just agreed. Sorted.
    pub(super) boundary: Vec<ObjectId>,
    edges: Vec<ObjectId>,
    pub(super) filter: Option<Filter>,
    /// Tags that may follow, and what they peel to. Sorted.
    pub(super) tags: Vec<(ObjectId, ObjectId)>,
    pub(super) dialect: Dialect,
}

impl Asked {
    pub(super) fn new(snapshot: &Snapshot, request: PackRequest) -> Self {
        let deepened = request.deepened.unwrap_or_default();
        let mut wants = request.wants;
        wants.extend(deepened.parents);
        wants.sort_unstable();
        wants.dedup();
        let mut boundary = request.client_shallow;
        boundary.retain(|id| snapshot.packs().contains(id));
        boundary.extend(deepened.shallow);
        boundary.extend_from_slice(snapshot.shallow());
        boundary.sort_unstable();
        boundary.dedup();
        let mut tags = Vec::new();
        if request.include_tag {
            let all = snapshot.refs().prefixed(b"refs/tags/");
            tags.extend(all.filter_map(|tag| tag.peeled.map(|peeled| (tag.target, peeled))));
            tags.sort_unstable();
            tags.dedup();
        }
        // Who filters lacks objects below what it has: nothing there may be built upon.
        let thin = request.thin && request.filter.is_none() && !request.common.is_empty();
        Self {
            wants,
            common: request.common,
            boundary,
            edges: deepened.unshallow,
            filter: request.filter,
            tags,
            dialect: Dialect { ofs_delta: request.ofs_delta, thin },
        }
    }

    /// Whether the client has nothing, as far as it told.
    pub(super) fn is_clone(&self) -> bool {
        self.common.is_empty() && self.edges.is_empty()
    }

    /// Whether the answer is the whole history of the wants, as far as the origin has it.
    pub(super) fn is_whole_history(&self, snapshot: &Snapshot) -> bool {
        self.is_clone() && self.filter.is_none() && self.boundary == snapshot.shallow()
    }

    /// Whether some want is a commit, or a tag that may be one of a commit.
    pub(super) fn wants_history(&self, commits: &mut Commits) -> Result<bool, WriteError> {
        for want in &self.wants {
            if commits.peel(want, |_| {})?.1 == crate::Kind::Commit {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the answer of a clone depends on; the objects themselves never change.
    pub(super) fn key(&self) -> Key {
        let filter = self.filter.map(|filter| filter.key());
        let tags: Vec<ObjectId> =
            self.tags.iter().flat_map(|(tag, peeled)| [*tag, *peeled]).collect();
        let parts: [&[u8]; 2] = [
            filter.as_ref().map_or(&[][..], |filter| &filter[..]),
            &[u8::from(self.dialect.ofs_delta)],
        ];
        key_of(&parts, &[&self.wants, &self.boundary, &tags])
    }

    pub(super) fn commits(&self, snapshot: &Snapshot) -> Commits {
        Commits::new(snapshot.packs(), snapshot.shared.graph.arena(), &self.boundary)
    }

    /// Counts the objects of the answer.
    pub(super) fn count(
        &self,
        snapshot: &Snapshot,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Counted, WriteError> {
        self.count_beyond(snapshot, None, interrupt, progress)
    }

    /// Counts the objects of the answer that a pack, which is exactly what the tips reach, does not hold.
    pub(super) fn count_beyond(
        &self,
        snapshot: &Snapshot,
        base: Option<(&Pack, &[ObjectId])>,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Counted, WriteError> {
        let question = Question {
            wants: &self.wants,
            common: base.map_or(&self.common, |(_, tips)| tips),
            edges: &self.edges,
            filter: self.filter,
            tags: &self.tags,
            base: base.map(|(pack, _)| pack),
        };
        let mut report = |objects| progress(Progress::Counting { objects });
        Ok(count(&mut self.commits(snapshot), &question, interrupt, &mut report)?)
    }
}
