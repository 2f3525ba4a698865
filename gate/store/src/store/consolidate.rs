//! Many packs become few, and what no ref reaches goes away. Readers of older snapshots never notice.
//!
//! The order is new pack, its index, the new snapshot, and last the removal of the old files. Killed anywhere, it leaves
//! objects that lie in two packs, which the next consolidation merges.

mod choose;

use std::fs::File;
use std::io::BufWriter;
use std::sync::{Arc, PoisonError};

use super::{Store, exact};
use crate::count::Counted;
use crate::files::{self, FileError, failed};
use crate::reach::Reach;
use crate::write::{Dialect, Listing, Source, write_pack};
use crate::{Interrupt, OpenPackError, Pack, PackSet, ReadError, Snapshot, WalkError, WriteError};

use choose::Choice;

/// Packs a store may hold before they are merged; each costs every lookup.
pub const MAX_PACKS: usize = 20;

/// Changes of a store before its unreachable objects are looked for again, if the last look found too few to remove.
const CHANGES_BETWEEN_LOOKS: u64 = 16;

/// Up to so many objects, a look costs too little to wait.
const CHEAP_TO_LOOK: usize = 100_000;

/// What a consolidation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consolidated {
    /// Packs that were merged.
    pub merged: usize,
    /// Objects that went away because no ref reaches them.
    pub dropped: u64,
}

/// A consolidation failed; the store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ConsolidateError {
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("write the merged pack")]
    Write(#[from] WriteError),
    #[error(transparent)]
    Open(#[from] OpenPackError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Store {
    /// Merges packs if there are more than [`MAX_PACKS`], so that each that stays is at least twice the next smaller
    /// one, and drops what no ref reaches where that does not mean to write nearly everything again.
    ///
    /// Meant to be called after each change that the origin made; most calls find nothing to do at once. If the refs
    /// change meanwhile, nothing is dropped and the next call sees to it.
    ///
    /// # Errors
    /// A damaged store, a full disk, or the interrupt; nothing has changed then. While another consolidation goes on,
    /// there is nothing to do.
    pub fn consolidate(&self, interrupt: &Interrupt) -> Result<Consolidated, ConsolidateError> {
        let snapshot = self.snapshot();
        let Ok(mut not_before) = snapshot.shared.consolidating.try_lock() else {
            return Ok(Consolidated::default());
        };
        let is_due = snapshot.is_exact() || snapshot.generation >= *not_before;
        if !is_due && snapshot.packs().packs().len() <= MAX_PACKS {
            return Ok(Consolidated::default());
        }
        let Some(choice) = choose::choose(&snapshot, interrupt)? else {
            if !snapshot.is_exact() && snapshot.packs().len() > CHEAP_TO_LOOK {
                *not_before = snapshot.generation + CHANGES_BETWEEN_LOOKS;
            }
            return Ok(Consolidated::default());
        };
        let merged = self.merge(&snapshot, &choice, interrupt)?;
        self.replace(&snapshot, &choice, merged)
    }

    /// Writes the chosen packs' objects into a new pack; `None` if none of them is left.
    fn merge(
        &self,
        snapshot: &Snapshot,
        choice: &Choice,
        interrupt: &Interrupt,
    ) -> Result<Option<Arc<Pack>>, ConsolidateError> {
        let packs = PackSet::new(choice.gone.clone(), snapshot.format());
        let send = choice.survivors(&packs)?;
        if send.len() == 0 {
            return Ok(None);
        }
        let counted = Counted::of(&packs, send);
        let dialect = Dialect { ofs_delta: true, thin: false };
        let source = Source { packs: &packs, counted: &counted, base: None, dialect };
        let temp = self.pack_dir().join(format!("merged{}", files::TEMP_SUFFIX));
        let temp_idx = self.pack_dir().join(format!("merged-idx{}", files::TEMP_SUFFIX));
        files::remove(&temp)?;
        files::remove(&temp_idx)?;
        let mut listing = Listing::default();
        let mut out = BufWriter::new(files::create(&temp, 0o444)?);
        let written = write_pack(source, &mut out, Some(&mut listing), interrupt, &mut |_| {})?;
        let file: File =
            out.into_inner().map_err(|error| failed("write", &temp)(error.into_error()))?;
        file.sync_all().map_err(failed("sync", &temp))?;
        listing.write_index(&temp_idx, &written.checksum)?;
        let path = self.pack_dir().join(format!("pack-{}.pack", written.checksum));
        // A pack counts once its index is there, so the index comes last.
        files::rename(&temp, &path)?;
        files::rename(&temp_idx, &path.with_extension("idx"))?;
        files::sync_dir(&self.pack_dir())?;
        Ok(Some(Arc::new(Pack::open(&path, snapshot.format())?)))
    }

    /// Puts the merged pack in the place of the chosen ones, for snapshots from now on.
    fn replace(
        &self,
        snapshot: &Snapshot,
        choice: &Choice,
        merged: Option<Arc<Pack>>,
    ) -> Result<Consolidated, ConsolidateError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.snapshot();
        let is_gone = |pack: &Arc<Pack>| choice.gone.iter().any(|gone| Arc::ptr_eq(gone, pack));
        let same_refs = current.generation == snapshot.generation;
        if choice.dropped > 0 && !same_refs {
            // A ref may lead to what was left out: keep the old packs, and the new one is of no use.
            merged.iter().for_each(|merged| remove(merged));
            return Ok(Consolidated::default());
        }
        let mut packs: Vec<_> =
            current.packs.packs().iter().filter(|pack| !is_gone(pack)).cloned().collect();
        packs.extend(merged.clone());
        packs.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.path().cmp(b.path())));
        let next = Arc::new(Snapshot {
            refs: Arc::clone(&current.refs),
            head: current.head.clone(),
            packs: PackSet::new(packs, current.format()),
            shallow: Arc::clone(&current.shallow),
            exact: current.exact || (same_refs && choice.exact_after),
            generation: current.generation + 1,
            shared: Arc::clone(&current.shared),
            reach: Reach::default(),
        });
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        for pack in &choice.gone {
            // The merged pack may be one of them, byte for byte.
            if merged.as_ref().is_none_or(|merged| merged.path() != pack.path()) {
                remove(pack);
            }
        }
        if next.exact {
            // Losing the list costs a look at everything, no more.
            drop(exact::record(&self.dir, next.packs.packs()));
        }
        Ok(Consolidated { merged: choice.gone.len(), dropped: choice.dropped })
    }
}

/// Removes a pack's files, the index first: without it the pack does not count. One that cannot be removed does no harm.
fn remove(pack: &Pack) {
    for extension in ["idx", "rev", "bitmap", "keep", "mtimes", "pack"] {
        if let Err(error) = files::remove(&pack.path().with_extension(extension)) {
            tracing::warn!(error = &error as &dyn std::error::Error, "an old pack stays");
            return;
        }
    }
}
