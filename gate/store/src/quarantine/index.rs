//! A pack from its first byte to a readable pack with an index.

use proto::{ObjectFormat, ObjectId};
use std::fs::File;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::idx::{self, IdxEntry};
use super::receive::{Received, receive};
use super::resolve::{Resolved, Shared, Worker};
use super::thin::Bases;
use super::{Check, IndexError, IndexLimits, IndexProgress};
use crate::fsck::{Fsck, FsckError};
use crate::packs::LARGE_PACK;
use crate::{Interrupt, Kind, Pack, PackSet, files, ids};

/// A pack that is in.
#[derive(Debug)]
pub(crate) struct IndexedPack {
    pub(crate) pack: Arc<Pack>,
    /// Bases that were added because the pack was thin.
    pub(crate) added: u32,
    /// Whether an object lies in it twice.
    pub(crate) twice: bool,
    /// The kind of each object, by position.
    pub(super) kinds: Box<[Kind]>,
    /// The first object that broke one of git's rules.
    pub(crate) broken: Option<(ObjectId, FsckError)>,
}

/// Everything the steps of indexing share.
pub(super) struct Indexing<'a> {
    pub(super) dir: &'a Path,
    pub(super) format: ObjectFormat,
    pub(super) limits: &'a IndexLimits,
    pub(super) check: Check,
    pub(super) interrupt: &'a Interrupt,
    /// Where the bases of a thin pack are looked for.
    pub(super) have: &'a PackSet,
}

const INCOMING: &str = "incoming.pack";

/// Deltas below which a second thread costs more than it brings.
const DELTAS_A_THREAD: usize = 2000;

/// Threads that resolve deltas of one pack.
const MAX_THREADS: usize = 4;

impl Indexing<'_> {
    /// Reads one pack; `None` if it is empty.
    pub(super) fn run(
        &self,
        input: &mut impl BufRead,
        progress: &mut dyn FnMut(IndexProgress),
    ) -> Result<(Option<IndexedPack>, u64), IndexError> {
        let path = self.dir.join(INCOMING);
        let (limits, check) = (self.limits, self.check);
        let (mut received, file) =
            receive(input, &path, self.format, limits, check, self.interrupt, progress)?;
        let bytes = received.end + self.format.raw_len() as u64;
        if received.entries.offsets.is_empty() {
            return Ok((None, bytes));
        }
        let (resolved, used) = self.resolve(&mut received, &path, &file, progress)?;
        for (number, id, kind) in resolved {
            received.entries.ids[number as usize] = Some(id);
            received.entries.kinds[number as usize] = Some(kind);
        }
        let added = self.bases().complete(&mut received, file, &path, &used)?;
        let (entries, kinds, twice) = self.sorted(&received)?;
        let name = format!("pack-{}.pack", received.trailer);
        let path_in = self.dir.join(name);
        idx::write(&path_in.with_extension("idx"), self.format, &entries, &received.trailer)?;
        drop(entries);
        files::rename(&path, &path_in)?;
        let pack = Arc::new(Pack::open(&path_in, self.format)?);
        let mut broken = None;
        if let Some(mut fsck) = received.fsck.take() {
            broken = fsck.take_broken();
            if broken.is_none() {
                broken = self.check_special_blobs(&fsck, &pack)?;
            }
        }
        Ok((Some(IndexedPack { pack, added, twice, kinds: kinds.into(), broken }), bytes))
    }

    fn bases(&self) -> Bases<'_> {
        Bases { format: self.format, have: self.have, interrupt: self.interrupt }
    }

    /// Turns every delta into an object; also tells which bases were not in the pack.
    fn resolve(
        &self,
        received: &mut Received,
        path: &Path,
        file: &File,
        progress: &mut dyn FnMut(IndexProgress),
    ) -> Result<(Vec<Resolved>, Vec<ObjectId>), IndexError> {
        let deltas = received.ofs_deltas.len() + received.ref_deltas.len();
        if deltas == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        received.ofs_deltas.sort_unstable();
        received.ref_deltas.sort_unstable();
        for (base, number) in &received.ofs_deltas {
            if received.entries.offsets.binary_search(base).is_err() {
                let offset = received.entries.offsets[*number as usize];
                return Err(IndexError::Malformed { offset, what: "a delta's base is no entry" });
            }
        }
        let data = gix_pack::data::File::at(path, ids::kind(self.format)).map_err(|error| {
            crate::OpenPackError { path: path.to_owned(), source: error.into() }
        })?;
        let shared = Shared {
            format: self.format,
            limits: self.limits,
            interrupt: self.interrupt,
            data: data.entry_slice(0..received.end).unwrap_or_default(),
            file: (received.end >= LARGE_PACK).then_some(file),
            received,
            claimed: received.ref_deltas.iter().map(|_| AtomicBool::new(false)).collect(),
            inflated: AtomicU64::new(received.inflated),
            resolved: AtomicU32::new(0),
        };
        let mut tell =
            |done: u32| progress(IndexProgress::Resolving { deltas: done, of: deltas as u32 });
        let (mut made, mut fsck) = resolve_all(&shared, deltas, &mut tell)?;
        let mut used = Vec::new();
        let mut worker = Worker::new(&shared, self.new_fsck());
        self.bases().resolve(&shared, &mut worker, &mut used)?;
        made.append(&mut worker.made);
        fsck.extend(worker.fsck.take());
        tell(made.len() as u32);
        if made.len() < deltas {
            return Err(unresolved(&shared, deltas - made.len()));
        }
        for other in fsck {
            if let Some(fsck) = &mut received.fsck {
                fsck.merge(other);
            }
        }
        Ok((made, used))
    }

    /// All objects by id, their kinds, and whether one is there twice.
    fn sorted(&self, received: &Received) -> Result<(Vec<IdxEntry>, Vec<Kind>, bool), IndexError> {
        let columns = &received.entries;
        let named = columns.ids.iter().flatten().zip(columns.kinds.iter().flatten());
        let mut entries: Vec<(IdxEntry, Kind)> = named
            .zip(columns.crcs.iter().zip(&columns.offsets))
            .map(|((id, kind), (crc, offset))| {
                (IdxEntry { id: *id, crc: *crc, offset: *offset }, *kind)
            })
            .collect();
        entries.sort_unstable_by_key(|(entry, _)| (entry.id, entry.offset));
        let (entries, kinds): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let twice = entries.windows(2).find(|pair| pair[0].id == pair[1].id).map(|pair| pair[0].id);
        match (twice, self.check) {
            (Some(id), Check::Push) => Err(IndexError::Twice { id }),
            _ => Ok((entries, kinds, twice.is_some())),
        }
    }

    fn check_special_blobs(
        &self,
        fsck: &Fsck,
        pack: &Arc<Pack>,
    ) -> Result<Option<(ObjectId, FsckError)>, IndexError> {
        let mut reader = PackSet::new(vec![Arc::clone(pack)], self.format).reader_with_cache(0);
        let mut bytes = Vec::new();
        for (id, special) in fsck.special_blobs() {
            self.interrupt.check()?;
            if pack.position(id).is_some() {
                let (kind, size) = reader.header(id).map_err(IndexError::Store)?;
                let mut checked = special.check_size(kind, size);
                if checked.is_ok() {
                    reader.read(id, &mut bytes).map_err(IndexError::Store)?;
                    checked = special.check(kind, &bytes);
                }
                if let Err(error) = checked {
                    return Ok(Some((*id, error)));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn new_fsck(&self) -> Option<Fsck> {
        (self.check == Check::Push).then(|| Fsck::new(self.format))
    }
}

/// Lets as many workers as pay resolve what builds on the whole entries of the pack.
fn resolve_all(
    shared: &Shared<'_>,
    deltas: usize,
    tell: &mut dyn FnMut(u32),
) -> Result<(Vec<Resolved>, Vec<Fsck>), IndexError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let threads = (deltas / DELTAS_A_THREAD).clamp(1, cores);
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let fsck = shared.received.fsck.is_some();
    let work = |tell: &mut dyn FnMut(u32)| {
        let mut worker = Worker::new(shared, fsck.then(|| Fsck::new(shared.format)));
        let entries = shared.received.entries.offsets.len();
        while !failed.load(Ordering::Relaxed) {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            if from >= entries {
                break;
            }
            for number in from..entries.min(from + BATCH) {
                worker.resolve_entry(number as u32).inspect_err(|_| {
                    failed.store(true, Ordering::Relaxed);
                })?;
            }
            tell(shared.resolved.load(Ordering::Relaxed));
        }
        Ok((worker.made, worker.fsck))
    };
    let results: Vec<Result<_, IndexError>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| work(&mut |_| {}))).collect();
        let mine = work(tell);
        std::iter::once(mine)
            .chain(others.into_iter().map(|other| match other.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }))
            .collect()
    });
    let (mut made, mut fscks) = (Vec::new(), Vec::new());
    for result in results {
        let (more, fsck) = result?;
        made.extend(more);
        fscks.extend(fsck);
    }
    Ok((made, fscks))
}

/// Entries a worker takes at a time.
const BATCH: usize = 256;

fn unresolved(shared: &Shared<'_>, count: usize) -> IndexError {
    let open = shared.claimed.iter().position(|claimed| !claimed.load(Ordering::Relaxed));
    let base = open.map(|at| shared.received.ref_deltas[at].0);
    IndexError::Unresolved { count, base: base.unwrap_or(ObjectId::null(shared.format)) }
}
