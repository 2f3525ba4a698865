//! Stretches of a pack, read without mapping them.
//!
//! What is touched in a mapping counts as the process's memory until the kernel wants it back. Of a small pack that is
//! what one wants; of a large one, that is read once from end to end, it is not.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;

/// Packs from this size on are read through a buffer where they are read at length, in bytes.
pub(crate) const LARGE_PACK: u64 = 32 << 20;

/// The buffer, in bytes.
const PIECE: usize = 128 * 1024;

/// The bytes of a stretch, piece by piece.
pub(crate) enum PackRange<'a> {
    Mapped(&'a [u8]),
    File(FileRange<'a>),
}

/// A stretch of a file, read at its own position.
pub(crate) struct FileRange<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    buffer: Box<[u8]>,
    /// What of the buffer is read and not consumed.
    ready: std::ops::Range<usize>,
}

impl<'a> FileRange<'a> {
    pub(super) fn new(file: &'a File, range: std::ops::Range<u64>) -> Self {
        let len = range.end.saturating_sub(range.start).min(PIECE as u64);
        let buffer = vec![0; len as usize].into();
        Self { file, at: range.start, end: range.end, buffer, ready: 0..0 }
    }

    fn fill(&mut self) -> io::Result<&[u8]> {
        if self.ready.is_empty() && self.at < self.end {
            let len = (self.end - self.at).min(self.buffer.len() as u64) as usize;
            self.file.read_exact_at(&mut self.buffer[..len], self.at)?;
            self.at += len as u64;
            self.ready = 0..len;
        }
        Ok(&self.buffer[self.ready.clone()])
    }
}

impl<'a> PackRange<'a> {
    /// A stretch of a file that is read through a buffer.
    pub(crate) fn of_file(file: &'a File, range: std::ops::Range<u64>) -> Self {
        Self::File(FileRange::new(file, range))
    }
}

impl BufRead for PackRange<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Mapped(bytes) => Ok(bytes),
            Self::File(range) => range.fill(),
        }
    }

    fn consume(&mut self, len: usize) {
        match self {
            Self::Mapped(bytes) => *bytes = &bytes[len..],
            Self::File(range) => range.ready.start += len,
        }
    }
}

impl Read for PackRange<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let len = ready.len().min(out.len());
        out[..len].copy_from_slice(&ready[..len]);
        self.consume(len);
        Ok(len)
    }
}
