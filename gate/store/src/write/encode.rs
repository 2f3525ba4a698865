//! Encodes the objects that cannot be copied, as deltas where an older version is at hand.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proto::ObjectId;

use super::{WriteError, delta};
use crate::packs::Entry;
use crate::{EntryKind, Kind, Location, PackSet, Reader};

/// The largest object for which a delta is tried, in bytes: its index and both versions are held in memory.
const MAX_DELTA_OBJECT: u64 = 8 << 20;

/// A whole entry is only made a delta if it has this many bytes at least.
const MIN_DELTA_OBJECT: u64 = 128;

/// An entry made anew.
#[derive(Debug)]
pub(super) struct Encoded {
    /// Whole, or a delta against the base that was given.
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    pub(super) deflated: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Encoder {
    reader: Reader,
    object: Vec<u8>,
    base: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(packs: &PackSet) -> Self {
        Self { reader: packs.reader(), object: Vec::new(), base: Vec::new() }
    }

    /// Whether a whole entry is of a kind and size that deltas make smaller.
    pub(super) fn may_shrink(&self, entry: &Entry<'_>) -> bool {
        matches!(entry.kind, EntryKind::Whole(Kind::Blob | Kind::Tree))
            && (MIN_DELTA_OBJECT..=MAX_DELTA_OBJECT).contains(&entry.size)
    }

    /// Encodes the object at `at`, as a delta against the one at `base` if that is worth it.
    pub(super) fn encode(
        &mut self,
        at: Location,
        base: Option<Location>,
    ) -> Result<Encoded, WriteError> {
        let kind = self.reader.read_at(at, &mut self.object)?;
        if let Some(base) = base.filter(|_| self.object.len() as u64 <= MAX_DELTA_OBJECT) {
            let base_id = self.reader.packs().id_at(base);
            if let Some(delta) = self.delta(kind, base)? {
                let size = delta.len() as u64;
                let deflated = deflate(&delta)?;
                return Ok(Encoded { kind: EntryKind::RefDelta { base: base_id }, size, deflated });
            }
        }
        let (size, deflated) = (self.object.len() as u64, deflate(&self.object)?);
        Ok(Encoded { kind: EntryKind::Whole(kind), size, deflated })
    }

    fn delta(&mut self, kind: Kind, base: Location) -> Result<Option<Vec<u8>>, WriteError> {
        let id: ObjectId = self.reader.packs().id_at(base);
        let (base_kind, size) = self.reader.header(&id)?;
        if base_kind != kind || size > MAX_DELTA_OBJECT {
            return Ok(None);
        }
        self.reader.read_at(base, &mut self.base)?;
        Ok(delta::make(&self.base, &self.object, self.object.len() / 2))
    }
}

fn deflate(bytes: &[u8]) -> Result<Vec<u8>, WriteError> {
    let mut out =
        ZlibEncoder::new(Vec::with_capacity(bytes.len() / 2 + 16), Compression::default());
    out.write_all(bytes).and_then(|()| out.finish()).map_err(WriteError::Write)
}
