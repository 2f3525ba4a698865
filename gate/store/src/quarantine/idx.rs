//! Writing the index of a pack, version 2 (gitformat-pack(5)).

use proto::{ObjectFormat, ObjectId};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::checksum::Checksum;
use crate::files::{self, FileError, failed};

/// One object of the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdxEntry {
    pub(crate) id: ObjectId,
    pub(crate) crc: u32,
    pub(crate) offset: u64,
}

/// Writes the index of `entries`, which are sorted by id, of the pack that ends in `trailer`; syncs nothing.
pub(crate) fn write(
    path: &Path,
    format: ObjectFormat,
    entries: &[IdxEntry],
    trailer: &ObjectId,
) -> Result<(), FileError> {
    let file = files::create(path, 0o444)?;
    let mut out = BufWriter::with_capacity(64 * 1024, Hashed { file, sum: Checksum::new(format) });
    body(&mut out, entries, trailer).map_err(failed("write", path))?;
    let Hashed { mut file, sum } =
        out.into_inner().map_err(|error| failed("write", path)(error.into_error()))?;
    file.write_all(sum.finish().as_bytes()).map_err(failed("write", path))
}

const MAGIC: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];

/// Offsets from here on have a table of their own.
const LARGE: u64 = 1 << 31;

fn body(out: &mut impl Write, entries: &[IdxEntry], trailer: &ObjectId) -> std::io::Result<()> {
    out.write_all(&MAGIC)?;
    let mut counted = 0;
    for first in 0..=255 {
        let here = &entries[counted..];
        counted += here.partition_point(|entry| entry.id.as_bytes()[0] <= first);
        out.write_all(&(counted as u32).to_be_bytes())?;
    }
    for entry in entries {
        out.write_all(entry.id.as_bytes())?;
    }
    for entry in entries {
        out.write_all(&entry.crc.to_be_bytes())?;
    }
    let mut large = 0;
    for entry in entries {
        let word = if entry.offset < LARGE {
            entry.offset as u32
        } else {
            large += 1;
            LARGE as u32 | (large - 1)
        };
        out.write_all(&word.to_be_bytes())?;
    }
    for entry in entries.iter().filter(|entry| entry.offset >= LARGE) {
        out.write_all(&entry.offset.to_be_bytes())?;
    }
    out.write_all(trailer.as_bytes())
}

struct Hashed {
    file: std::fs::File,
    sum: Checksum,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let len = self.file.write(bytes)?;
        self.sum.update(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
