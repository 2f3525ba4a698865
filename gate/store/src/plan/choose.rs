//! Which way of answering costs least.

use std::sync::Arc;

use hashbrown::HashSet;
use proto::ObjectId;

use super::answer::Answer;
use super::asked::Asked;
use super::generate::Generate;
use crate::count::Counted;
use crate::kept::{Certificate, Key, Known, MAX_RECIPE_TAIL, start};
use crate::object_set::ObjectSet;
use crate::walk::{Commits, reaches_all};
use crate::{Interrupt, Kind, Location, Progress, Snapshot, WalkError, WriteError};

/// In a store of fewer bytes, packs are made anew each time.
const MIN_KEPT_BYTES: u64 = 256 << 10;

/// A kept pack serves as the base of an answer while the tail has at most this part of its objects.
const MAX_TAIL: u64 = 4;

pub(super) fn choose(
    snapshot: &Arc<Snapshot>,
    asked: &Arc<Asked>,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(Progress),
) -> Result<Answer, WriteError> {
    let mut commits = asked.commits(snapshot);
    let size: u64 = snapshot.packs().packs().iter().map(|pack| pack.bytes().len() as u64).sum();
    let kept = &snapshot.shared.kept;
    if !asked.is_clone() || size < MIN_KEPT_BYTES || !asked.wants_history(&mut commits)? {
        return Ok(Answer::made(asked.count(snapshot, interrupt, progress)?));
    }
    let key = asked.key();
    match kept.known(&key) {
        Some(Known::Pack(pack)) => return Ok(Answer::Pack(pack)),
        Some(Known::Recipe(recipe)) => return Ok(Answer::Recipe(recipe)),
        Some(Known::Flight(follower)) => return Ok(Answer::Follow(follower)),
        None => {}
    }
    let is_closure = asked.is_whole_history(snapshot);
    let mut everything = false;
    if is_closure && asked.dialect.ofs_delta {
        everything = wants_everything(snapshot, asked, &mut commits, interrupt)?;
        let simple = if everything { whole_store(snapshot, key) } else { None };
        if let Some(answer) = simple {
            return Ok(answer);
        }
        if let Some(answer) = base_and_tail(snapshot, asked, &mut commits, key, interrupt)? {
            return Ok(answer);
        }
    }
    // A part of a history is seldom asked for twice: the second time tells that it is.
    if size > kept.limit() || (!is_closure && !kept.was_asked(&key)) {
        return Ok(Answer::made(asked.count(snapshot, interrupt, progress)?));
    }
    let generate =
        Generate { snapshot: Arc::clone(snapshot), asked: Arc::clone(asked), everything };
    Ok(Answer::Follow(start(kept, key, generate)))
}

/// Whether the answer is all the store holds.
fn wants_everything(
    snapshot: &Snapshot,
    asked: &Asked,
    commits: &mut Commits,
    interrupt: &Interrupt,
) -> Result<bool, WalkError> {
    let targets = snapshot.targets().iter().copied().chain(snapshot.head_target());
    Ok(snapshot.is_exact() && covers(commits, asked, targets, interrupt)?)
}

/// The store's largest pack as it lies and what only others hold, unless that is much: then a pack that is made once
/// serves better.
fn whole_store(snapshot: &Snapshot, key: Key) -> Option<Answer> {
    let packs = snapshot.packs();
    let (number, base) = (0_u32..).zip(packs.packs()).max_by_key(|(_, pack)| pack.len())?;
    let others = || (0..).zip(packs.packs()).filter(|(other, _)| *other != number);
    let size: usize = others().map(|(_, pack)| pack.bytes().len()).sum();
    if size > MAX_RECIPE_TAIL {
        return None;
    }
    let mut send = ObjectSet::new(packs);
    for (other, pack) in others() {
        for position in 0..pack.len() {
            let id = pack.id_at(position);
            let at = Location { pack: other, position };
            if base.position(&id).is_none() && packs.locate(&id) == Some(at) {
                send.insert(at);
            }
        }
    }
    if send.len() == 0 {
        return Some(Answer::Pack(Arc::clone(base)));
    }
    let counted = Arc::new(Counted::of(packs, send));
    Some(Answer::Made { counted, base: Some((Arc::clone(base), key)) })
}

/// A kept pack of which everything is wanted, and what is new since.
fn base_and_tail(
    snapshot: &Snapshot,
    asked: &Asked,
    commits: &mut Commits,
    key: Key,
    interrupt: &Interrupt,
) -> Result<Option<Answer>, WriteError> {
    let kept = &snapshot.shared.kept;
    for (base_key, base, certificate) in kept.closures() {
        let Certificate { tips, cuts, .. } = &*certificate;
        let tips_here = tips.iter().all(|tip| snapshot.packs().contains(tip));
        if *cuts != asked.boundary
            || !tips_here
            || !covers(commits, asked, tips.iter().copied(), interrupt)?
        {
            continue;
        }
        let counted = asked.count_beyond(snapshot, Some((&base, tips)), interrupt, &mut |_| {})?;
        if counted.send.len() > u64::from(base.len()) / MAX_TAIL {
            continue;
        }
        kept.touch(&base_key);
        return Ok(Some(Answer::Made { counted: Arc::new(counted), base: Some((base, key)) }));
    }
    Ok(None)
}

/// Whether everything the tips reach is wanted: each is wanted itself, or a tag that follows, or a commit some want reaches.
fn covers(
    commits: &mut Commits,
    asked: &Asked,
    tips: impl Iterator<Item = ObjectId>,
    interrupt: &Interrupt,
) -> Result<bool, WalkError> {
    let mut targets = HashSet::new();
    let open = tips.filter(|tip| asked.wants.binary_search(tip).is_err());
    for tip in open {
        let follows = asked.tags.binary_search_by_key(&tip, |(tag, _)| *tag);
        let id = follows.map_or(tip, |at| asked.tags[at].1);
        if commits.kind(&id)? != Kind::Commit {
            return Ok(false);
        }
        targets.insert(commits.number(&id));
    }
    let mut from = Vec::new();
    if !targets.is_empty() {
        for want in &asked.wants {
            if let (id, Kind::Commit) = commits.peel(want, |_| {})? {
                from.push(commits.number(&id));
            }
        }
    }
    reaches_all(commits, from, targets, interrupt)
}
