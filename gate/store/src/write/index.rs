//! Writes the `.idx` (version 2) of a pack whose entries were listed as they were written (gitformat-pack(5)).

use std::io::{self, BufWriter, Write};

use crc32fast::Hasher as Crc32;
use proto::{ObjectFormat, ObjectId};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The entries of a pack being written; about 50 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    entries: Vec<Listed>,
    crc: Crc32,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    id: ObjectId,
    crc: u32,
    offset: u64,
}

impl Listing {
    pub(super) fn begin(&mut self, id: ObjectId, offset: u64) {
        self.crc = Crc32::new();
        self.entries.push(Listed { id, crc: 0, offset });
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
    }

    pub(super) fn end(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.crc = std::mem::take(&mut self.crc).finalize();
        }
    }
}

/// Offsets from here on go to the table of large ones.
const LARGE: u64 = 1 << 31;

/// Writes the index of the pack that ends in `checksum`.
pub(crate) fn write_index(
    mut listing: Listing,
    checksum: ObjectId,
    out: impl Write,
) -> io::Result<()> {
    let entries = &mut listing.entries;
    entries.sort_unstable_by_key(|entry| entry.id);
    let mut out = Hashing::new(checksum.format(), out);
    out.write_all(b"\xfftOc\0\0\0\x02")?;
    let mut below = 0;
    for first in 0..=255_u8 {
        below += entries[below..].partition_point(|entry| entry.id.as_bytes()[0] <= first);
        out.write_all(&(below as u32).to_be_bytes())?;
    }
    for entry in &*entries {
        out.write_all(entry.id.as_bytes())?;
    }
    for entry in &*entries {
        out.write_all(&entry.crc.to_be_bytes())?;
    }
    let mut large = Vec::new();
    for entry in &*entries {
        let small = if entry.offset < LARGE {
            entry.offset as u32
        } else {
            large.push(entry.offset);
            (LARGE as u32) | (large.len() as u32 - 1)
        };
        out.write_all(&small.to_be_bytes())?;
    }
    for offset in large {
        out.write_all(&offset.to_be_bytes())?;
    }
    out.write_all(checksum.as_bytes())?;
    out.finish()
}

struct Hashing<W: Write> {
    out: BufWriter<W>,
    sha1: Sha1,
    sha256: Sha256,
    format: ObjectFormat,
}

impl<W: Write> Hashing<W> {
    fn new(format: ObjectFormat, out: W) -> Self {
        Self {
            out: BufWriter::with_capacity(1 << 16, out),
            sha1: Sha1::new(),
            sha256: Sha256::new(),
            format,
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.format {
            ObjectFormat::Sha1 => self.sha1.update(bytes),
            ObjectFormat::Sha256 => self.sha256.update(bytes),
        }
        self.out.write_all(bytes)
    }

    fn finish(mut self) -> io::Result<()> {
        match self.format {
            ObjectFormat::Sha1 => self.out.write_all(&self.sha1.finalize())?,
            ObjectFormat::Sha256 => self.out.write_all(&self.sha256.finalize())?,
        }
        self.out.flush()
    }
}
