//! Which packs are worth merging, and which of their objects stay.

use std::sync::Arc;

use super::{ConsolidateError, MAX_PACKS};
use crate::object_set::ObjectSet;
use crate::{EntryKind, Interrupt, Location, Pack, PackSet, ReadError, Snapshot};

/// A large pack is written again for the sake of what is dead in it only if that is at least this part of it.
const DEAD_PART: u64 = 16;

/// What is to be done.
pub(super) struct Choice {
    /// Packs that are merged, the largest first.
    pub(super) gone: Vec<Arc<Pack>>,
    /// Packs that stay.
    rest: PackSet,
    /// Everything the refs reach, as places in `all`; `None` if that is everything there is.
    live: Option<(PackSet, Arc<ObjectSet>)>,
    /// Objects that no ref reaches in the packs that are merged.
    pub(super) dropped: u64,
    /// Whether nothing unreachable is left when this is done.
    pub(super) exact_after: bool,
}

/// Decides; `None` if there is nothing to do.
pub(super) fn choose(
    snapshot: &Snapshot,
    interrupt: &Interrupt,
) -> Result<Option<Choice>, ConsolidateError> {
    let packs = snapshot.packs();
    let mut merge = vec![false; packs.packs().len()];
    let (mut live, mut dropped, mut exact_after) = (None, 0, true);
    if !snapshot.is_exact() {
        let closure = snapshot.closure(interrupt)?;
        for (number, dead) in (0_u32..).zip(dead_objects(packs, &closure, interrupt)?) {
            let len = u64::from(packs.packs()[number as usize].len());
            let is_large = len * 2 > packs.len() as u64;
            if dead > 0 && (!is_large || dead * DEAD_PART >= len) {
                merge[number as usize] = true;
                dropped += dead;
            } else {
                exact_after &= dead == 0;
            }
        }
        live = Some((packs.clone(), closure));
    }
    if packs.packs().len() > MAX_PACKS {
        for number in small_packs(packs) {
            merge[number] = true;
        }
    }
    let chosen = |wanted: bool| {
        let pairs = packs.packs().iter().zip(&merge);
        pairs
            .filter(|(_, merge)| **merge == wanted)
            .map(|(pack, _)| Arc::clone(pack))
            .collect::<Vec<_>>()
    };
    let mut gone = chosen(true);
    gone.sort_by_key(|pack| std::cmp::Reverse(pack.len()));
    let becomes_exact = !snapshot.is_exact() && exact_after;
    if gone.is_empty() && !becomes_exact {
        return Ok(None);
    }
    let rest = PackSet::new(chosen(false), packs.format());
    Ok(Some(Choice { gone, rest, live, dropped, exact_after }))
}

/// How many objects of each pack no ref reaches; where an object lies in several packs, each counts it.
fn dead_objects(
    packs: &PackSet,
    live: &ObjectSet,
    interrupt: &Interrupt,
) -> Result<Vec<u64>, ConsolidateError> {
    let mut dead = Vec::new();
    for (number, pack) in (0_u32..).zip(packs.packs()) {
        interrupt.check().map_err(crate::WalkError::from)?;
        let here = live.len_in(number);
        if number == 0 {
            // Nothing stands before the first pack: its own places are the ones the set speaks of.
            dead.push(u64::from(pack.len() - here));
            continue;
        }
        let is_dead = |position: &u32| {
            let at = Location { pack: number, position: *position };
            !live.contains(at)
                && packs.locate(&pack.id_at(*position)).is_none_or(|at| !live.contains(at))
        };
        dead.push((0..pack.len()).filter(is_dead).count() as u64);
    }
    Ok(dead)
}

/// The small packs to merge so that each of the others is at least twice the next smaller one (`git repack --geometric`).
fn small_packs(packs: &PackSet) -> Vec<usize> {
    let mut by_len: Vec<_> =
        packs.packs().iter().map(|pack| u64::from(pack.len())).zip(0..).collect();
    by_len.sort_unstable();
    let mut split = by_len.len();
    while split > 1 && by_len[split - 1].0 >= 2 * by_len[split - 2].0 {
        split -= 1;
    }
    let mut total: u64 = by_len[..split].iter().map(|(len, _)| len).sum();
    while split < by_len.len() && by_len[split].0 < 2 * total {
        total += by_len[split].0;
        split += 1;
    }
    by_len[..split].iter().map(|(_, number)| *number).collect()
}

impl Choice {
    /// What of the merged packs (`gone` as a set) goes into the new one: what lives and lies in no other pack, and what
    /// the deltas among that build upon.
    pub(super) fn survivors(&self, gone: &PackSet) -> Result<ObjectSet, ReadError> {
        let lives = |at: Location| {
            let Some((all, live)) = &self.live else { return true };
            all.locate(&gone.id_at(at)).is_some_and(|at| live.contains(at))
        };
        let mut stay = ObjectSet::new(gone);
        let mut elsewhere = ObjectSet::new(gone);
        for (number, pack) in (0..).zip(gone.packs()) {
            for position in 0..pack.len() {
                let at = Location { pack: number, position };
                let id = pack.id_at(position);
                if gone.locate(&id) != Some(at) || !lives(at) {
                    continue;
                }
                if self.rest.contains(&id) {
                    elsewhere.insert(at)
                } else {
                    stay.insert(at)
                };
            }
        }
        let mut todo: Vec<_> = stay.iter().collect();
        while let Some(at) = todo.pop() {
            let base =
                base(gone, at)?.filter(|base| elsewhere.contains(*base) && !stay.contains(*base));
            if let Some(base) = base {
                stay.insert(base);
                todo.push(base);
            }
        }
        Ok(stay)
    }
}

/// What the object's entry is a delta against.
fn base(packs: &PackSet, at: Location) -> Result<Option<Location>, ReadError> {
    let pack = packs.pack(at);
    let id = match pack.entry(pack.offset_at(at.position))?.kind {
        EntryKind::Whole(_) => return Ok(None),
        EntryKind::OfsDelta { base } => {
            pack.order().position(base).map(|position| pack.id_at(position))
        }
        EntryKind::RefDelta { base } => Some(base),
    };
    Ok(id.and_then(|id| packs.locate(&id)))
}
