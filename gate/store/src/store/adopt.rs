//! A quarantined pack becomes one of the store's: exactly the connected objects, durable before any ref names them.

use proto::ObjectId;
use std::path::PathBuf;
use std::sync::Arc;

use super::{CommitError, Store};
use crate::count::Counted;
use crate::files::{self, failed};
use crate::object_set::ObjectSet;
use crate::write::{Dialect, Listing, Source, write_pack};
use crate::{Connected, Pack, Snapshot};

/// What of the connected objects comes in.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) connected: &'a Connected,
    /// The tips that refs will name.
    pub(super) tips: Vec<ObjectId>,
    /// What they reach and the store did not.
    pub(super) new: ObjectSet,
}

impl<'a> Arrival<'a> {
    /// Everything that was connected.
    pub(super) fn all(connected: &'a Connected) -> Self {
        let (tips, new) = (connected.tips().to_vec(), connected.new_objects().clone());
        Self { connected, tips, new }
    }

    /// Only what `wanted` tips reach: what belongs to a ref that the origin refused stays outside.
    pub(super) fn only(connected: &'a Connected, wanted: &[ObjectId]) -> Result<Self, CommitError> {
        let mut tips = connected.tips().to_vec();
        tips.retain(|tip| wanted.contains(tip));
        if tips.len() == connected.tips().len() {
            return Ok(Self::all(connected));
        }
        let new = connected.reached_by(&tips, &CommitError::interrupt())?;
        Ok(Self { connected, tips, new })
    }
}

/// Moves the pack of the new objects into the store; `None` if there are none, or the store has that very pack.
pub(super) fn adopt(
    store: &Store,
    current: &Snapshot,
    arrival: &Arrival<'_>,
) -> Result<Option<Arc<Pack>>, CommitError> {
    if arrival.new.len() == 0 {
        return Ok(None);
    }
    let incoming = arrival.connected.quarantine().incoming();
    if let Some((id, error)) = incoming.and_then(|incoming| incoming.broken.clone()) {
        return Err(CommitError::Broken { id, error });
    }
    let from = match as_it_lies(arrival) {
        Some(pack) => pack.path().to_owned(),
        None => rewrite(arrival)?,
    };
    let to = store.pack_dir().join(from.file_name().unwrap_or_default());
    if current.packs().packs().iter().any(|pack| pack.path() == to) {
        return Ok(None);
    }
    for path in [&from, &from.with_extension("idx")] {
        std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))?;
    }
    // A pack counts once its index is there, so the index comes last.
    files::rename(&from, &to)?;
    files::rename(&from.with_extension("idx"), &to.with_extension("idx"))?;
    files::sync_dir(&store.pack_dir())?;
    Ok(Some(Arc::new(Pack::open(&to, store.format)?)))
}

/// The pack that came in, if it holds all new objects, none that nothing reaches, and not too much that is known.
fn as_it_lies<'a>(arrival: &Arrival<'a>) -> Option<&'a Arc<Pack>> {
    /// Copies of known objects that are not worth a rewrite.
    const FEW: u64 = 1000;
    let incoming = arrival.connected.quarantine().incoming()?;
    let packs = arrival.connected.packs();
    let number = packs.packs().len() as u32 - 1;
    let new = &arrival.new;
    let here = u64::from(new.len_in(number));
    let known: u64 = (0..incoming.pack.len())
        .map(|at| incoming.pack.id_at(at))
        .filter(|id| packs.locate(id).is_some_and(|at| at.pack != number))
        .count() as u64;
    let all_new = here == new.len();
    let none_stray = here + known == u64::from(incoming.pack.len()) && !incoming.twice;
    let few_known = known <= here.max(FEW);
    (all_new && none_stray && few_known).then_some(&incoming.pack)
}

/// Writes a pack of exactly the new objects, with its index, into the quarantine.
fn rewrite(arrival: &Arrival<'_>) -> Result<PathBuf, CommitError> {
    let dir = arrival.connected.quarantine().dir();
    let temp = dir.join("exact.pack");
    files::remove(&temp)?;
    let packs = arrival.connected.packs();
    let counted = Counted::of(packs, arrival.new.clone());
    let source = Source {
        packs,
        counted: &counted,
        base: None,
        dialect: Dialect { ofs_delta: true, thin: false },
    };
    let mut listing = Listing::default();
    let mut out = std::io::BufWriter::new(files::create(&temp, 0o444)?);
    let interrupt = CommitError::interrupt();
    let written = write_pack(source, &mut out, Some(&mut listing), &interrupt, &mut |_| {})?;
    out.into_inner().map_err(|error| failed("write", &temp)(error.into_error()))?;
    let path = dir.join(format!("pack-{}.pack", written.checksum));
    listing.write_index(&path.with_extension("idx"), &written.checksum)?;
    files::rename(&temp, &path)?;
    Ok(path)
}
