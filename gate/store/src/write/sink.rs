//! The way out of a pack: hashing, joining neighbours into long writes, and the list an index is made of.

use std::io::{BufRead, Write};
use std::ops::Range;
use std::sync::Arc;

use proto::{ObjectFormat, ObjectId};

use super::{Listing, PIECE, WriteError, next_piece};
use crate::Pack;
use crate::checksum::Checksum;
use crate::packs::Entry;

/// Small writes are gathered up to this many bytes.
const BUFFER: usize = 64 << 10;

/// A run of so many bytes is read by its pack as it reads long stretches.
const LONG: u64 = 128 << 10;

pub(super) struct Sink<'a> {
    out: &'a mut dyn Write,
    checksum: Checksum,
    at: u64,
    buffer: Vec<u8>,
    /// Entries that lie side by side in a pack and have not been written yet.
    run: Option<(Arc<Pack>, Range<u64>)>,
    listing: Option<&'a mut Listing>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        out: &'a mut dyn Write,
        format: ObjectFormat,
        listing: Option<&'a mut Listing>,
    ) -> Self {
        let checksum = Checksum::new(format);
        Self { out, checksum, at: 0, buffer: Vec::with_capacity(BUFFER), run: None, listing }
    }

    /// Where the next byte goes.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// An entry begins here.
    pub(super) fn begin(&mut self, id: impl FnOnce() -> ObjectId) {
        if let Some(listing) = &mut self.listing {
            listing.begin(id(), self.at);
        }
    }

    /// The entry ends here.
    pub(super) fn end(&mut self) {
        if let Some(listing) = &mut self.listing {
            listing.end();
        }
    }

    /// Writes an entry as it lies, together with its neighbours if these come next.
    pub(super) fn copy(&mut self, pack: &Arc<Pack>, entry: &Entry<'_>) -> Result<(), WriteError> {
        let deflated_end = entry.deflated.as_ptr_range().end as usize;
        let start = entry.offset;
        let end = (deflated_end - pack.bytes().as_ptr() as usize) as u64;
        if let Some(listing) = &mut self.listing {
            listing.update(&pack.bytes()[start as usize..end as usize]);
        }
        self.at += end - start;
        match &mut self.run {
            Some((of, run)) if run.end == start && Arc::ptr_eq(of, pack) => run.end = end,
            _ => {
                self.flush_run()?;
                self.run = Some((Arc::clone(pack), start..end));
            }
        }
        match &self.run {
            Some((_, run)) if run.end - run.start >= PIECE as u64 => self.flush_run(),
            _ => Ok(()),
        }
    }

    /// Writes what was held back by [`copy`](Self::copy).
    pub(super) fn flush_run(&mut self) -> Result<(), WriteError> {
        match self.run.take() {
            Some((pack, run)) if run.end - run.start < LONG => {
                self.emit(&pack.bytes()[run.start as usize..run.end as usize])
            }
            Some((pack, run)) => {
                let mut from = pack.stretch(run);
                while let Some(piece) = next_piece(&mut from).map_err(WriteError::Pack)? {
                    self.emit(piece)?;
                    let len = piece.len();
                    from.consume(len);
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Writes bytes of the pack.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.flush_run()?;
        if let Some(listing) = &mut self.listing {
            listing.update(bytes);
        }
        self.at += bytes.len() as u64;
        self.emit(bytes)
    }

    fn emit(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.checksum.update(bytes);
        let large = bytes.len() >= BUFFER / 2;
        if large || self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if large {
            return self.out.write_all(bytes).map_err(WriteError::Write);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.out.write_all(&self.buffer).map_err(WriteError::Write)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the trailer; the length of the pack and its checksum.
    pub(super) fn finish(mut self) -> Result<(u64, ObjectId), WriteError> {
        self.flush_run()?;
        let checksum = self.checksum.clone().finish();
        self.buffer.extend_from_slice(checksum.as_bytes());
        self.flush()?;
        self.out.flush().map_err(WriteError::Write)?;
        Ok((self.at + checksum.as_bytes().len() as u64, checksum))
    }
}
