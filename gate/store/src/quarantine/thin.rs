//! Thin packs: deltas whose bases the mirror has, and the pack made whole by adding those bases.

use flate2::{Compression, Crc, write::ZlibEncoder};
use proto::{ObjectFormat, ObjectId};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::IndexError;
use super::receive::Received;
use super::resolve::{Shared, Worker};
use crate::checksum::Checksum;
use crate::files::failed;
use crate::packs::write_header;
use crate::{EntryKind, Interrupt, PackSet, ReadError};

/// What a thin pack leans on.
pub(super) struct Bases<'a> {
    pub(super) format: ObjectFormat,
    /// Where the bases are looked for.
    pub(super) have: &'a PackSet,
    pub(super) interrupt: &'a Interrupt,
}

impl Bases<'_> {
    /// Resolves the deltas whose bases only the mirror has, and notes these bases in `used`.
    pub(super) fn resolve(
        &self,
        shared: &Shared<'_>,
        worker: &mut Worker<'_>,
        used: &mut Vec<ObjectId>,
    ) -> Result<(), IndexError> {
        let mut reader = self.have.reader();
        let deltas = &shared.received.ref_deltas;
        for (at, (base, _)) in deltas.iter().enumerate() {
            let is_first = at == 0 || deltas[at - 1].0 != *base;
            let open = || {
                deltas[at..]
                    .iter()
                    .take_while(|(other, _)| other == base)
                    .zip(&shared.claimed[at..])
            };
            if !is_first || open().all(|(_, claimed)| claimed.load(Ordering::Relaxed)) {
                continue;
            }
            let mut bytes = Vec::new();
            match reader.read(base, &mut bytes) {
                Ok(kind) => {
                    worker.resolve_external(base, kind, bytes)?;
                    used.push(*base);
                }
                Err(ReadError::Missing { .. }) => {}
                Err(error) => return Err(IndexError::Store(error)),
            }
        }
        Ok(())
    }

    /// Appends the bases in `used` that are not in the pack, and mends its count and checksum; returns how many.
    pub(super) fn complete(
        &self,
        received: &mut Received,
        mut file: File,
        path: &Path,
        used: &[ObjectId],
    ) -> Result<u32, IndexError> {
        let mut known: Vec<ObjectId> = received.entries.ids.iter().flatten().copied().collect();
        known.sort_unstable();
        let missing: Vec<_> = used.iter().filter(|id| known.binary_search(id).is_err()).collect();
        drop(known);
        if missing.is_empty() {
            return Ok(0);
        }
        let io = || failed("write", path);
        file.seek(SeekFrom::Start(received.end)).map_err(io())?;
        let mut reader = self.have.reader_with_cache(0);
        let mut bytes = Vec::new();
        for id in &missing {
            self.interrupt.check()?;
            let kind = reader.read(id, &mut bytes).map_err(IndexError::Store)?;
            let mut entry = Vec::new();
            write_header(EntryKind::Whole(kind), bytes.len() as u64, 0, &mut entry);
            let mut encoder = ZlibEncoder::new(entry, Compression::fast());
            let entry = encoder.write_all(&bytes).and_then(|()| encoder.finish()).map_err(io())?;
            file.write_all(&entry).map_err(io())?;
            let mut crc = Crc::new();
            crc.update(&entry);
            received.entries.offsets.push(received.end);
            received.entries.crcs.push(crc.sum());
            received.entries.ids.push(Some(**id));
            received.entries.kinds.push(Some(kind));
            received.end += entry.len() as u64;
        }
        let count = received.entries.offsets.len() as u32;
        file.seek(SeekFrom::Start(8))
            .and_then(|_| file.write_all(&count.to_be_bytes()))
            .map_err(io())?;
        received.trailer = self.checksum(&mut file, received.end, path)?;
        file.seek(SeekFrom::Start(received.end))
            .and_then(|_| file.write_all(received.trailer.as_bytes()))
            .and_then(|()| file.set_len(received.end + self.format.raw_len() as u64))
            .map_err(io())?;
        Ok(missing.len() as u32)
    }

    /// The checksum of the first `len` bytes.
    fn checksum(&self, file: &mut File, len: u64, path: &Path) -> Result<ObjectId, IndexError> {
        file.rewind().map_err(failed("read", path))?;
        let mut input = BufReader::with_capacity(1, file.take(len));
        let mut sum = Checksum::new(self.format);
        let mut piece = vec![0; 128 * 1024];
        loop {
            self.interrupt.check()?;
            match input.read(&mut piece).map_err(failed("read", path))? {
                0 => return Ok(sum.finish()),
                len => sum.update(&piece[..len]),
            }
        }
    }
}
