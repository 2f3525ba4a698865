//! Shallow clones: where the history a client gets is cut (shallow.c, upload-pack.c).

use hashbrown::HashSet;
use proto::ObjectId;

use crate::count::paint;
use crate::graph::Nr;
use crate::walk::Commits;
use crate::{Interrupt, Kind, Snapshot, WalkError};

/// The `deepen` that means all of history.
pub const INFINITE_DEPTH: u32 = 0x7fff_ffff;

/// How much history a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deepen {
    /// So many commits from each want; 1 is the wants alone.
    Depth(u32),
    /// So many commits beyond where the client's history ends now (`deepen-relative`). What the client has whole stays
    /// whole, also where it lies behind another end of its history (git does so since 2.54).
    Relative(u32),
    /// Commits of this date or younger (seconds since 1970), and none that `not` reaches.
    RevList { since: Option<u64>, not: Vec<ObjectId> },
    /// All there is. Also the answer to a v2 fetch without `deepen` when the origin is shallow itself.
    Infinite,
}

/// Where history is cut from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deepened {
    /// `shallow` lines: commits whose parents the client will not have.
    pub shallow: Vec<ObjectId>,
    /// `unshallow` lines: commits whose parents the client will get.
    pub unshallow: Vec<ObjectId>,
    /// Those parents: wanted beside the wants.
    pub parents: Vec<ObjectId>,
}

/// A `deepen` that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum DeepenError {
    #[error("no commits selected for shallow requests")]
    Nothing,
    #[error(transparent)]
    Walk(#[from] WalkError),
}

/// Cuts history for a client that wants `wants` and has the boundary `client_shallow`.
pub fn deepen(
    snapshot: &Snapshot,
    wants: &[ObjectId],
    client_shallow: &[ObjectId],
    deepen: &Deepen,
    interrupt: &Interrupt,
) -> Result<Deepened, DeepenError> {
    let mut cut = Cut {
        commits: snapshot.commits(),
        shallow: Vec::new(),
        inside: HashSet::new(),
        whole: HashSet::new(),
        interrupt,
    };
    let client: Vec<_> = client_shallow.iter().filter(|id| snapshot.packs().contains(id)).collect();
    match deepen {
        Deepen::Infinite | Deepen::Depth(INFINITE_DEPTH..) if snapshot.shallow().is_empty() => {
            cut.inside = client.iter().map(|id| cut.commits.number(id)).collect();
        }
        Deepen::Infinite => cut.by_depth(wants, INFINITE_DEPTH)?,
        Deepen::Depth(depth) => cut.by_depth(wants, *depth)?,
        Deepen::Relative(depth) => {
            let mut from = Vec::new();
            for id in &client {
                if snapshot.reachable(id, interrupt)? {
                    from.push(**id);
                }
            }
            cut.whole = cut.whole_without(wants, &from)?;
            cut.by_depth(&from, depth.saturating_add(1))?;
        }
        Deepen::RevList { since, not } => cut.by_rev_list(wants, since.unwrap_or(0), not)?,
    }
    cut.finish(&client)
}

struct Cut<'a> {
    commits: Commits,
    /// Commits at which history is cut.
    shallow: Vec<Nr>,
    /// Commits whose parents are sent.
    inside: HashSet<Nr>,
    /// Commits whose parents the client has, so that history is not cut at them.
    whole: HashSet<Nr>,
    interrupt: &'a Interrupt,
}

impl Cut<'_> {
    fn peeled(&mut self, ids: &[ObjectId]) -> Result<Vec<Nr>, WalkError> {
        let mut found = Vec::new();
        for id in ids {
            if let (id, Kind::Commit) = self.commits.peel(id, |_| {})? {
                found.push(self.commits.number(&id));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// What `wants` reach without crossing the client's boundary.
    fn whole_without(
        &mut self,
        wants: &[ObjectId],
        boundary: &[ObjectId],
    ) -> Result<HashSet<Nr>, WalkError> {
        let boundary: HashSet<Nr> = boundary.iter().map(|id| self.commits.number(id)).collect();
        let mut whole = HashSet::new();
        if boundary.is_empty() {
            return Ok(whole);
        }
        let mut todo = self.peeled(wants)?;
        let mut parents = Vec::new();
        while let Some(nr) = todo.pop() {
            self.interrupt.check().map_err(WalkError::from)?;
            if !boundary.contains(&nr) && !self.commits.is_cut(nr) && whole.insert(nr) {
                self.commits.commit(nr, &mut parents)?;
                todo.extend_from_slice(&parents);
            }
        }
        Ok(whole)
    }

    /// `get_shallow_commits`: level by level, so each commit is met at its least depth.
    fn by_depth(&mut self, from: &[ObjectId], depth: u32) -> Result<(), WalkError> {
        let mut level = self.peeled(from)?;
        let mut seen: HashSet<Nr> = level.iter().copied().collect();
        let mut parents = Vec::new();
        let mut deep = 1;
        while !level.is_empty() {
            let last = deep >= depth && depth != INFINITE_DEPTH;
            let mut next = Vec::new();
            for nr in level {
                self.interrupt.check().map_err(WalkError::from)?;
                if last || self.commits.is_cut(nr) {
                    self.shallow.push(nr);
                    continue;
                }
                self.inside.insert(nr);
                self.commits.commit(nr, &mut parents)?;
                let whole = &self.whole;
                let new = |parent: &Nr| !whole.contains(parent) && seen.insert(*parent);
                next.extend(parents.iter().copied().filter(new));
            }
            level = next;
            deep = deep.saturating_add(1);
        }
        Ok(())
    }

    /// `get_shallow_commits_by_rev_list`: what a rev-list selects, cut where a parent is not selected.
    fn by_rev_list(
        &mut self,
        wants: &[ObjectId],
        since: u64,
        not: &[ObjectId],
    ) -> Result<(), DeepenError> {
        let wants = self.peeled(wants)?;
        let not = self.peeled(not)?;
        // As in git, an old commit hides its parents only where history has to be compared.
        let before = if not.is_empty() { 0 } else { since };
        let new = paint(&mut self.commits, &wants, &not, before, self.interrupt)?.new;
        let new: HashSet<Nr> = new.into_iter().collect();
        let mut chosen = HashSet::new();
        let mut order = Vec::new();
        let mut todo = wants;
        let mut parents = Vec::new();
        while let Some(nr) = todo.pop() {
            let young = self.commits.commit(nr, &mut parents)? >= since;
            if young && new.contains(&nr) && chosen.insert(nr) {
                order.push(nr);
                todo.extend_from_slice(&parents);
            }
        }
        if chosen.is_empty() {
            return Err(DeepenError::Nothing);
        }
        for nr in order {
            self.commits.commit(nr, &mut parents)?;
            if self.commits.is_cut(nr) || parents.iter().any(|parent| !chosen.contains(parent)) {
                self.shallow.push(nr);
            } else {
                self.inside.insert(nr);
            }
        }
        Ok(())
    }

    /// `send_shallow` and `send_unshallow`: only what the client does not know is told.
    fn finish(mut self, client: &[&ObjectId]) -> Result<Deepened, DeepenError> {
        let known: HashSet<Nr> = client.iter().map(|id| self.commits.number(id)).collect();
        let news =
            self.shallow.iter().filter(|nr| !known.contains(*nr) && !self.inside.contains(*nr));
        let mut deepened = Deepened {
            shallow: news.map(|nr| self.commits.id(*nr)).collect(),
            ..Deepened::default()
        };
        let mut parents = Vec::new();
        for id in client {
            let nr = self.commits.number(id);
            if self.inside.contains(&nr) {
                deepened.unshallow.push(**id);
                self.commits.uncut(nr, &mut parents)?;
                deepened.parents.extend(parents.iter().map(|parent| self.commits.id(*parent)));
            }
        }
        Ok(deepened)
    }
}
