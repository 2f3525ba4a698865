//! Where entries of old packs went in the new one.

/// For each source pack, runs of entries that moved by the same distance.
#[derive(Debug)]
pub(super) struct Offsets {
    packs: Vec<Moved>,
}

#[derive(Clone, Debug, Default)]
struct Moved {
    runs: Vec<Run>,
    /// The last entry that was noted.
    last: u64,
}

/// From `old` on, up to the next run, entries went to `new` and on.
#[derive(Clone, Copy, Debug)]
struct Run {
    old: u64,
    new: u64,
}

impl Offsets {
    pub(super) fn new(packs: usize) -> Self {
        Self { packs: vec![Moved::default(); packs] }
    }

    /// Notes that the entry at `old` of a pack is about to be written at `new`. Offsets of a pack come in order.
    pub(super) fn note(&mut self, pack: u32, old: u64, new: u64) {
        let Moved { runs, last } = &mut self.packs[pack as usize];
        *last = old;
        match runs.last() {
            Some(run) if old - run.old == new - run.new => {}
            _ => runs.push(Run { old, new }),
        }
    }

    /// Where the entry at `old` of a pack was written, `None` if it was not written yet. Only for chosen entries.
    pub(super) fn get(&self, pack: u32, old: u64) -> Option<u64> {
        let Moved { runs, last } = &self.packs[pack as usize];
        if old > *last {
            return None;
        }
        let after = runs.partition_point(|run| run.old <= old);
        let run = runs.get(after.checked_sub(1)?)?;
        Some(run.new + (old - run.old))
    }
}
