//! What an index needs to know of a pack, noted while the pack is written.

use std::path::Path;

use crc32fast::Hasher as Crc32;
use proto::ObjectId;

use crate::files::{FileError, failed};
use crate::quarantine::idx::{self, IdxEntry};

/// The entries of a pack being written; about 50 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    entries: Vec<IdxEntry>,
    crc: Crc32,
}

impl Listing {
    pub(super) fn begin(&mut self, id: ObjectId, offset: u64) {
        self.crc = Crc32::new();
        self.entries.push(IdxEntry { id, crc: 0, offset });
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
    }

    pub(super) fn end(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.crc = std::mem::take(&mut self.crc).finalize();
        }
    }

    /// Writes the index of the pack that ends in `checksum`, safe on disk.
    pub(crate) fn write_index(mut self, path: &Path, checksum: &ObjectId) -> Result<(), FileError> {
        self.entries.sort_unstable_by_key(|entry| entry.id);
        idx::write(path, checksum.format(), &self.entries, checksum)?;
        std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
    }
}
