//! What a change of refs means: peeled values, and whether everything stays reachable.

use proto::ObjectId;
use std::collections::{HashSet, VecDeque};

use super::CommitError;
use super::adopt::Arrival;
use crate::{Kind, RefChange, RefTable, Snapshot, WalkError};

/// `table` with the peeled values that the objects say; every id must be in `next`'s packs.
pub(super) fn peeled(
    next: &Snapshot,
    old: &RefTable,
    table: &RefTable,
) -> Result<RefTable, CommitError> {
    let mut commits = next.commits();
    let mut builder = RefTable::builder(table.format()).with_symrefs_of(table);
    let mut olds = old.iter().peekable();
    for entry in table.iter() {
        while olds.next_if(|old| old.name < entry.name).is_some() {}
        let same = olds.peek().filter(|old| old.name == entry.name && old.target == entry.target);
        let peeled = match same {
            Some(old) => old.peeled,
            None if !next.packs().contains(&entry.target) => {
                return Err(CommitError::unconnected(entry.name, entry.target));
            }
            None => {
                let (peeled, _) = commits.peel(&entry.target, |_| {})?;
                (peeled != entry.target).then_some(peeled)
            }
        };
        builder.push_bytes(entry.name, entry.target, peeled)?;
    }
    if let Some(id) = next.head_target().filter(|id| !next.packs().contains(id)) {
        return Err(CommitError::unconnected(b"HEAD", id));
    }
    Ok(builder.finish()?)
}

/// Lost values that are looked for; more of them at once, and nobody asks.
const MAX_LOST: usize = 64;

/// Commits that are looked at, for all lost values together.
const MAX_COMMITS: usize = 10_000;

/// Whether everything that `current` reaches, and all that came in, is sure to be reached by `next`. May say no where it
/// is so: then somebody else finds out by a whole walk.
pub(super) fn is_forward(
    current: &Snapshot,
    next: &Snapshot,
    arrival: Option<&Arrival<'_>>,
) -> Result<bool, WalkError> {
    // A new boundary at a commit whose parents are here leaves them behind.
    let is_cut = |id: &&ObjectId| !current.is_shallow(id) && current.packs().contains(id);
    if next.shallow().iter().any(|id| is_cut(&id)) {
        return Ok(false);
    }
    let mut lost: Vec<_> =
        current.refs().diff(next.refs()).filter(|one| one.old.is_some()).collect();
    let head_moved = current.head_target() != next.head_target();
    let came_in = arrival.filter(|arrival| arrival.new.len() > 0);
    if lost.is_empty() && !head_moved && came_in.is_none() {
        return Ok(true);
    }
    if lost.len() > MAX_LOST {
        return Ok(false);
    }
    let targets = next.targets();
    let is_named = |id: &ObjectId| targets.contains(id) || next.head_target() == Some(*id);
    if came_in.is_some_and(|arrival| !arrival.tips.iter().all(is_named)) {
        return Ok(false);
    }
    if current.head_target().is_some_and(|id| head_moved && !is_named(&id)) {
        let new = next.head_target();
        lost.push(RefChange { name: b"HEAD".into(), old: current.head_target(), new });
    }
    lost.retain(|one| one.old.is_some_and(|id| !is_named(&id)));
    // Not if a part stayed outside: that may be the very part that builds upon a lost value.
    let whole = came_in.filter(|arrival| arrival.new.len() == arrival.connected.len());
    if let (false, Some(arrival)) = (lost.is_empty(), whole) {
        let edges: HashSet<ObjectId> = arrival.connected.edges().collect();
        lost.retain(|one| one.old.is_some_and(|id| !edges.contains(&id)));
    }
    are_ancestors(next, &lost)
}

/// Whether each lost commit is an ancestor of what its ref, or HEAD, is now.
fn are_ancestors(next: &Snapshot, lost: &[RefChange<'_>]) -> Result<bool, WalkError> {
    let mut commits = next.commits();
    let mut left = MAX_COMMITS;
    for one in lost {
        let (Some(old), Some(new)) = (one.old, one.new.or(next.head_target())) else {
            return Ok(false);
        };
        let (new, kind) = commits.peel(&new, |_| {})?;
        if kind != Kind::Commit || commits.kind(&old)? != Kind::Commit {
            return Ok(false);
        }
        let (old, new) = (commits.number(&old), commits.number(&new));
        let mut seen = HashSet::from([new]);
        let mut queue = VecDeque::from([new]);
        let mut parents = Vec::new();
        loop {
            let Some(nr) = queue.pop_front().filter(|_| left > 0) else { return Ok(false) };
            if nr == old {
                break;
            }
            left -= 1;
            commits.commit(nr, &mut parents)?;
            queue.extend(parents.iter().filter(|parent| seen.insert(**parent)));
        }
    }
    Ok(true)
}
