//! One pack and its index, mapped into memory.

use proto::{ObjectFormat, ObjectId};
use std::fs::File;
use std::io::BufRead;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::EntryHeader;
use super::order::PackOrder;
use super::range::{FileRange, LARGE_PACK, PackRange};
use super::{Entry, OpenPackError, ReadError};
use crate::ids;

/// A pack with its index. It stays readable after its files are unlinked.
pub struct Pack {
    data: gix_pack::data::File,
    index: gix_pack::index::File,
    format: ObjectFormat,
    uid: u64,
    order: OnceLock<PackOrder>,
    /// Open only if the pack is large.
    file: Option<File>,
}

impl Pack {
    /// Maps `pack-….pack` and the `.idx` beside it; checks their shape, not their checksums.
    pub fn open(pack: &Path, format: ObjectFormat) -> Result<Self, OpenPackError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source: Box<dyn std::error::Error + Send + Sync>| OpenPackError { path, source }
        };
        let hash = ids::kind(format);
        let data = gix_pack::data::File::at(pack, hash).map_err(|e| fail(pack)(e.into()))?;
        let idx = pack.with_extension("idx");
        let index = gix_pack::index::File::at(&idx, hash).map_err(|e| fail(&idx)(e.into()))?;
        if data.num_objects() != index.num_objects() {
            return Err(fail(&idx)("the index counts other objects than the pack".into()));
        }
        let file = if data.data_len() as u64 >= LARGE_PACK {
            Some(File::open(pack).map_err(|e| fail(pack)(e.into()))?)
        } else {
            None
        };
        let uid = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { data, index, format, uid, order: OnceLock::new(), file })
    }

    /// Where the pack was opened; after a consolidation nothing may lie there any more.
    pub fn path(&self) -> &Path {
        self.data.path()
    }

    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// How many objects it holds.
    pub fn len(&self) -> u32 {
        self.index.num_objects()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole file, header and trailer included.
    pub fn bytes(&self) -> &[u8] {
        self.data.entry_slice(0..self.data.data_len() as u64).unwrap_or_default()
    }

    /// The bytes from `range.start` to `range.end`, for reading at length: those of a large pack come through a buffer
    /// and not through the mapping, so that they do not count as this process's memory. Nothing lies past the end.
    pub fn range(&self, range: Range<u64>) -> impl BufRead {
        self.stretch(range)
    }

    pub(crate) fn stretch(&self, range: Range<u64>) -> PackRange<'_> {
        let end = range.end.min(self.data.data_len() as u64);
        let range = range.start.min(end)..end;
        match &self.file {
            Some(file) => PackRange::File(FileRange::new(file, range)),
            None => PackRange::Mapped(self.data.entry_slice(range).unwrap_or_default()),
        }
    }

    /// Whether an entry of that inflated size is better read by [`range`](Self::range) than from the mapping.
    pub(crate) fn is_long(&self, size: u64) -> bool {
        self.file.is_some() && size >= LONG_ENTRY
    }

    /// Where the last entry ends and the trailer begins.
    pub fn end(&self) -> u64 {
        self.data.pack_end() as u64
    }

    /// The checksum at the pack's end.
    pub fn trailer(&self) -> ObjectId {
        let raw = self.bytes().get(self.data.pack_end()..).unwrap_or_default();
        ObjectId::from_raw(raw).expect("the trailer was measured when the pack was opened")
    }

    /// The position of an object in the index, which is sorted by id.
    pub fn position(&self, id: &ObjectId) -> Option<u32> {
        if id.format() != self.format {
            return None;
        }
        self.index.lookup(ids::as_oid(id))
    }

    /// The id at a position. Panics past [`len`](Self::len).
    pub fn id_at(&self, position: u32) -> ObjectId {
        ids::from_oid(self.index.oid_at_index(position))
    }

    /// Where the object at a position has its entry. Panics past [`len`](Self::len).
    pub fn offset_at(&self, position: u32) -> u64 {
        self.index.pack_offset_at_index(position)
    }

    /// The CRC-32 of a position's entry, header included, if the index has one. Panics past [`len`](Self::len).
    pub fn crc32_at(&self, position: u32) -> Option<u32> {
        self.index.crc32_at_index(position)
    }

    /// All entries in the order in which they lie; made at the first call.
    pub fn order(&self) -> &PackOrder {
        self.order.get_or_init(|| PackOrder::new(&self.index, self.end()))
    }

    /// The entry that begins at `offset`, with its bytes as they lie; uses [`order`](Self::order) to find its end.
    pub fn entry(&self, offset: u64) -> Result<Entry<'_>, ReadError> {
        let order = self.order();
        let rank =
            order.rank(offset).ok_or_else(|| self.corrupt(offset, "no entry begins here"))?;
        self.entry_between(offset, order.end(rank))
    }

    /// The `rank`th entry in pack order. Panics past [`len`](Self::len).
    pub fn nth_entry(&self, rank: u32) -> Result<Entry<'_>, ReadError> {
        let order = self.order();
        self.entry_between(order.offset(rank), order.end(rank))
    }

    /// Tells this pack from all others of this process; never used again.
    pub(crate) fn uid(&self) -> u64 {
        self.uid
    }

    /// The header at `offset` and everything behind it up to the trailer, without looking for the entry's end.
    pub(crate) fn header_at(&self, offset: u64) -> Result<(EntryHeader, &[u8]), ReadError> {
        let bytes = self
            .data
            .entry_slice(offset.min(self.end())..self.end())
            .ok_or_else(|| self.corrupt(offset, "offset past the end"))?;
        let header = EntryHeader::from_slice(offset, self.format, bytes)
            .map_err(|what| self.corrupt(offset, what))?;
        Ok((header, &bytes[header.len..]))
    }

    /// The header at `offset` alone. Of a large pack it is read, not mapped: around each byte that is touched in a mapping
    /// the kernel maps much more.
    pub(crate) fn header_alone(&self, offset: u64) -> Result<EntryHeader, ReadError> {
        let Some(file) = &self.file else { return Ok(self.header_at(offset)?.0) };
        let mut bytes = [0; MAX_ENTRY_HEADER];
        let len = self.end().saturating_sub(offset).min(bytes.len() as u64) as usize;
        file.read_exact_at(&mut bytes[..len], offset)
            .map_err(|_| self.corrupt(offset, "it can't be read"))?;
        EntryHeader::from_slice(offset, self.format, &bytes[..len])
            .map_err(|what| self.corrupt(offset, what))
    }

    pub(crate) fn corrupt(&self, offset: u64, what: &'static str) -> ReadError {
        ReadError::Corrupt { pack: self.name(), offset, what }
    }

    /// The file's name without its directory.
    fn name(&self) -> PathBuf {
        self.path().file_name().map(PathBuf::from).unwrap_or_default()
    }

    fn entry_between(&self, offset: u64, end: u64) -> Result<Entry<'_>, ReadError> {
        let bytes = self
            .data
            .entry_slice(offset..end)
            .ok_or_else(|| self.corrupt(offset, "offset past the end"))?;
        let header = if bytes.len() < PAGE {
            EntryHeader::from_slice(offset, self.format, bytes)
                .map_err(|what| self.corrupt(offset, what))?
        } else {
            self.header_alone(offset)?
        };
        Ok(Entry { offset, kind: header.kind, size: header.size, deflated: &bytes[header.len..] })
    }
}

/// The headers of entries from this size on are read without the mapping; of smaller ones the mapping would be touched
/// all the same.
const PAGE: usize = 4096;

/// The longest header of an entry: ten bytes of size and an id, or an offset.
const MAX_ENTRY_HEADER: usize = 42;

/// Entries of large packs from this inflated size on are not read from the mapping, in bytes.
const LONG_ENTRY: u64 = 32 * 1024;

impl std::fmt::Debug for Pack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pack").field("name", &self.name()).field("objects", &self.len()).finish()
    }
}
