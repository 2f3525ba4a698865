//! Packs and the objects in them: everything a mirror stores lies in packs, never loose.

mod cache;
mod delta;
mod entry;
mod error;
mod inflate;
mod order;
mod pack;
mod range;
mod reader;

use proto::{ObjectFormat, ObjectId};
use std::sync::Arc;

pub(crate) use delta::{DeltaSizes, apply};
pub use entry::{Entry, EntryKind};
pub(crate) use entry::{EntryHeader, HeaderError, write_header};
pub use error::{OpenPackError, ReadError};
pub(crate) use inflate::Inflater;
pub use order::PackOrder;
pub use pack::Pack;
pub(crate) use range::{LARGE_PACK, PackRange};
pub use reader::{MAX_OBJECT_SIZE, READER_CACHE, Reader};

/// Length of `PACK`, version and object count before the first entry.
pub const PACK_HEADER_LEN: u64 = 12;

/// All packs of a snapshot. Cheap to clone; what it maps outlives the files' names.
#[derive(Clone)]
pub struct PackSet {
    packs: Arc<[Arc<Pack>]>,
    format: ObjectFormat,
}

/// Where an object lies. Of an object that lies in several packs, always the first one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Which pack of the set.
    pub pack: u32,
    /// Which position of that pack's index.
    pub position: u32,
}

impl PackSet {
    /// A set whose earlier packs win where an object lies in several.
    pub fn new(packs: Vec<Arc<Pack>>, format: ObjectFormat) -> Self {
        Self { packs: packs.into(), format }
    }

    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    pub fn packs(&self) -> &[Arc<Pack>] {
        &self.packs
    }

    /// The same set and one pack more, whose objects never shadow those already there.
    #[must_use]
    pub fn with(&self, pack: Arc<Pack>) -> Self {
        Self::new(self.packs.iter().cloned().chain([pack]).collect(), self.format)
    }

    /// The number of entries in all packs; an object that lies in several is counted each time.
    pub fn len(&self) -> usize {
        self.packs.iter().map(|pack| pack.len() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.packs.iter().all(|pack| pack.is_empty())
    }

    pub fn contains(&self, id: &ObjectId) -> bool {
        self.locate(id).is_some()
    }

    pub fn locate(&self, id: &ObjectId) -> Option<Location> {
        (0..).zip(self.packs.iter()).find_map(|(number, pack)| {
            pack.position(id).map(|position| Location { pack: number, position })
        })
    }

    /// The pack of a location of this set.
    pub fn pack(&self, at: Location) -> &Arc<Pack> {
        &self.packs[at.pack as usize]
    }

    /// The id at a location of this set.
    pub fn id_at(&self, at: Location) -> ObjectId {
        self.pack(at).id_at(at.position)
    }

    /// A reader for walks, with a delta base cache of [`READER_CACHE`] bytes.
    pub fn reader(&self) -> Reader {
        self.reader_with_cache(READER_CACHE)
    }

    /// A reader whose cache holds about `bytes`.
    pub fn reader_with_cache(&self, bytes: usize) -> Reader {
        Reader::new(self.clone(), bytes)
    }

    /// Reads one object; who reads many takes a [`reader`](Self::reader).
    pub fn read(&self, id: &ObjectId, out: &mut Vec<u8>) -> Result<crate::Kind, ReadError> {
        self.reader_with_cache(0).read(id, out)
    }

    /// The kind and size of one object; who asks for many takes a [`reader`](Self::reader).
    pub fn header(&self, id: &ObjectId) -> Result<(crate::Kind, u64), ReadError> {
        self.reader_with_cache(0).header(id)
    }

    /// The kind of the object at a location, from headers alone.
    pub fn kind_at(&self, at: Location) -> Result<crate::Kind, ReadError> {
        let pack = self.pack(at);
        reader::kind_at(pack, pack.offset_at(at.position))
    }
}

impl std::fmt::Debug for PackSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.packs.iter()).finish()
    }
}
