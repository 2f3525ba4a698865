//! A pack that is made once for all who ask the same.

use std::io::Write;
use std::sync::Arc;

use super::asked::Asked;
use crate::count::Counted;
use crate::kept::{Certificate, Job};
use crate::object_set::ObjectSet;
use crate::write::{Listing, Source, write_pack};
use crate::{Interrupt, Location, PackSet, Progress, Snapshot, WriteError, Written};

/// A pack of fewer bytes is made anew each time, unless it has many objects.
const MIN_KEPT_BYTES: u64 = 256 << 10;
const MIN_KEPT_OBJECTS: u64 = 2000;

/// Makes the pack for all who ask the same.
pub(super) struct Generate {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) asked: Arc<Asked>,
    /// The answer is all the store holds: nothing has to be looked for.
    pub(super) everything: bool,
}

impl Job for Generate {
    fn count(
        &self,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Counted, WriteError> {
        if self.everything {
            return Ok(Counted::of(self.snapshot.packs(), all(self.snapshot.packs())));
        }
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
        let tips = if self.everything {
            self.snapshot.targets().iter().copied().chain(self.snapshot.head_target()).collect()
        } else {
            self.asked.wants.iter().chain(&counted.tags).copied().collect()
        };
        Certificate {
            is_closure: self.asked.is_whole_history(&self.snapshot) && self.asked.dialect.ofs_delta,
            tips,
            cuts: self.asked.boundary.clone(),
        }
    }
}

/// Every object of a set of packs, once.
fn all(packs: &PackSet) -> ObjectSet {
    let mut all = ObjectSet::new(packs);
    for (number, pack) in (0..).zip(packs.packs()) {
        for position in 0..pack.len() {
            let at = Location { pack: number, position };
            if number == 0 || packs.locate(&pack.id_at(position)) == Some(at) {
                all.insert(at);
            }
        }
    }
    all
}
