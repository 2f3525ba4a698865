//! Which objects answer a fetch: everything the wants reach and the haves do not, less what a filter leaves out.

mod commits;
mod tips;
mod trees;

use hashbrown::HashMap;
use proto::ObjectId;

use crate::object_set::ObjectSet;
use crate::walk::{Commits, WalkError};
use crate::{Filter, Interrupt, Location, Pack, PackSet, ReadError};

pub(crate) use commits::paint;
use tips::Tips;
use trees::TreeWalk;

/// What is asked of the object store. The walk's [`Commits`] know where history is cut.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Question<'a> {
    /// Every one must be in the packs.
    pub(crate) wants: &'a [ObjectId],
    /// The other side has these and all they reach, up to the boundary.
    pub(crate) common: &'a [ObjectId],
    /// Commits the other side has with their trees, but without their parents.
    pub(crate) edges: &'a [ObjectId],
    pub(crate) filter: Option<Filter>,
    /// Annotated tags and what they peel to: a tag comes along when that is sent.
    pub(crate) tags: &'a [(ObjectId, ObjectId)],
    /// A pack that goes along whole, so nothing in it has to be sent again.
    pub(crate) base: Option<&'a Pack>,
}

/// The objects to send.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) send: ObjectSet,
    /// Objects the other side is proved to have; by no means all of them.
    pub(crate) had: ObjectSet,
    /// For an object to send, the one that stood at its path before.
    pub(crate) older: HashMap<Location, Location>,
    /// Tags that came along.
    pub(crate) tags: Vec<ObjectId>,
}

impl Counted {
    /// Exactly these objects, for a side that has none.
    pub(crate) fn of(packs: &PackSet, send: ObjectSet) -> Self {
        Self { send, had: ObjectSet::new(packs), older: HashMap::new(), tags: Vec::new() }
    }
}

/// Objects between two looks at the interrupt and two calls of progress.
const STRIDE: u64 = 1024;

/// Finds the objects that answer the question; `progress` hears their number now and then.
///
/// What is sent may include a few objects that the other side has (as git's own answer may), never one that no want
/// reaches. The work grows with what is new, not with the repository, unless nothing is common.
pub(crate) fn count(
    commits: &mut Commits,
    question: &Question<'_>,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(u64),
) -> Result<Counted, WalkError> {
    let wants = Tips::of(commits, question.wants)?;
    let common: Vec<_> =
        question.common.iter().copied().filter(|id| commits.packs().contains(id)).collect();
    let common = Tips::of(commits, &common)?;
    let edges = Tips::of(commits, question.edges)?;
    for edge in &edges.commits {
        commits.cut(*edge);
    }
    let had_commits = [&common.commits[..], &edges.commits].concat();
    let painted = paint(commits, &wants.commits, &had_commits, 0, interrupt)?;

    let mut walk = TreeWalk::new(commits.packs(), question.filter, interrupt, progress);
    walk.has(commits, &common, &painted.edges)?;
    for edge in &edges.commits {
        walk.has_all_below(commits.tree(*edge)?)?;
    }
    walk.commits(commits, &painted, &common.commits, &wants.commits)?;
    walk.wanted(&wants)?;
    let mut counted = walk.finish();
    if let Some(base) = question.base {
        let twice: Vec<_> =
            counted.send.iter().filter(|at| in_pack(base, &commits.packs().id_at(*at))).collect();
        twice.into_iter().for_each(|at| counted.send.remove(at));
    }
    counted.tags = follow_tags(commits, question, &mut counted.send)?;
    progress(counted.send.len());
    Ok(counted)
}

/// Adds the tags whose peeled object is sent, with the tags they go through (`include-tag`). These pass any filter.
fn follow_tags(
    commits: &mut Commits,
    question: &Question<'_>,
    send: &mut ObjectSet,
) -> Result<Vec<ObjectId>, WalkError> {
    let mut followed = Vec::new();
    for (tag, peeled) in question.tags {
        let packs = commits.packs().clone();
        let goes = |id: &ObjectId, send: &ObjectSet| {
            question.base.is_some_and(|base| in_pack(base, id))
                || packs.locate(id).is_some_and(|at| send.contains(at))
        };
        if goes(peeled, send) && !goes(tag, send) {
            let mut chain = Vec::new();
            commits.peel(tag, |id| chain.push(*id))?;
            chain.retain(|id| !goes(id, send));
            for id in chain {
                send.insert(locate(commits, &id)?);
            }
            followed.push(*tag);
        }
    }
    Ok(followed)
}

fn in_pack(pack: &Pack, id: &ObjectId) -> bool {
    pack.position(id).is_some()
}

fn locate(commits: &Commits, id: &ObjectId) -> Result<Location, ReadError> {
    commits.packs().locate(id).ok_or(ReadError::Missing { id: *id })
}
