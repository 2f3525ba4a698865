//! Which way of answering costs least.

use std::io::Write;
use std::sync::Arc;

use hashbrown::HashSet;
use proto::ObjectId;

use super::answer::Answer;
use super::asked::Asked;
use crate::count::Counted;
use crate::kept::{Certificate, Job, Key, Known, start};
use crate::object_set::ObjectSet;
use crate::walk::{Commits, reaches_all};
use crate::write::{Listing, Source, write_pack};
use crate::{Interrupt, Kind, Location, Progress, Snapshot, WalkError, WriteError, Written};

/// A pack of fewer bytes is made anew each time, and so is one of few objects unless they are large.
const MIN_KEPT_BYTES: u64 = 256 << 10;
const MIN_KEPT_OBJECTS: u64 = 2000;

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
    if asked.is_whole_history(snapshot) && asked.dialect.ofs_delta {
        if let Some(answer) = whole_store(snapshot, asked, &mut commits, key, interrupt)? {
            return Ok(answer);
        }
        if let Some(answer) = base_and_tail(snapshot, asked, &mut commits, key, interrupt)? {
            return Ok(answer);
        }
    }
    // A part of a history is seldom asked for twice: the second time tells that it is.
    let is_closure = asked.is_whole_history(snapshot);
    if size > kept.limit() || (!is_closure && !kept.was_asked(&key)) {
        return Ok(Answer::made(asked.count(snapshot, interrupt, progress)?));
    }
    let generate = Generate { snapshot: Arc::clone(snapshot), asked: Arc::clone(asked) };
    Ok(Answer::Follow(start(kept, key, generate)))
}

/// All the store holds, if that is what the wants reach: its largest pack as it lies, and what only others hold.
fn whole_store(
    snapshot: &Snapshot,
    asked: &Asked,
    commits: &mut Commits,
    key: Key,
    interrupt: &Interrupt,
) -> Result<Option<Answer>, WriteError> {
    let packs = snapshot.packs();
    let largest = (0_u32..).zip(packs.packs()).max_by_key(|(_, pack)| pack.len());
    let Some((number, base)) = largest.filter(|_| snapshot.is_exact()) else { return Ok(None) };
    let targets = snapshot.targets().iter().copied().chain(snapshot.head_target());
    if !covers(commits, asked, targets, interrupt)? {
        return Ok(None);
    }
    let mut send = ObjectSet::new(packs);
    for (other, pack) in (0..).zip(packs.packs()).filter(|(other, _)| *other != number) {
        for position in 0..pack.len() {
            let id = pack.id_at(position);
            let at = Location { pack: other, position };
            if base.position(&id).is_none() && packs.locate(&id) == Some(at) {
                send.insert(at);
            }
        }
    }
    if send.len() == 0 {
        return Ok(Some(Answer::Pack(Arc::clone(base))));
    }
    let counted = Counted::of(packs, send);
    Ok(Some(Answer::Made { counted: Arc::new(counted), base: Some((Arc::clone(base), key)) }))
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

/// Makes the pack for all who ask the same.
struct Generate {
    snapshot: Arc<Snapshot>,
    asked: Arc<Asked>,
}

impl Job for Generate {
    fn count(
        &self,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Counted, WriteError> {
        self.asked.count(&self.snapshot, interrupt, progress)
    }

    fn is_worth_keeping(&self, counted: &Counted) -> bool {
        let packs = self.snapshot.packs();
        let size = |at: Location| {
            let pack = packs.pack(at);
            pack.entry(pack.offset_at(at.position)).map_or(0, |entry| entry.deflated.len() as u64)
        };
        counted.send.len() >= MIN_KEPT_OBJECTS
            || counted.send.iter().map(size).sum::<u64>() >= MIN_KEPT_BYTES
    }

    fn write(
        &self,
        counted: &Counted,
        out: &mut dyn Write,
        listing: &mut Listing,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Written, WriteError> {
        let (packs, dialect) = (self.snapshot.packs(), self.asked.dialect);
        let source = Source { packs, counted, base: None, dialect };
        write_pack(source, out, Some(listing), interrupt, progress)
    }

    fn certificate(&self, counted: &Counted) -> Certificate {
        Certificate {
            is_closure: self.asked.is_whole_history(&self.snapshot) && self.asked.dialect.ofs_delta,
            tips: self.asked.wants.iter().chain(&counted.tags).copied().collect(),
            cuts: self.asked.boundary.clone(),
        }
    }
}
