//! Inflating one zlib stream whose size is known beforehand.

use flate2::{Decompress, FlushDecompress, Status};
use std::io::BufRead;

/// The most that deflate can make of one byte; a higher ratio is a lie in a header.
const MAX_RATIO: u64 = 1032;

/// A decompressor that is used again and again.
pub(crate) struct Inflater(Decompress);

impl Inflater {
    pub(crate) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// Replaces `out` by the `size` bytes that `deflated` inflates to; bytes after the stream's end are ignored.
    pub(crate) fn inflate(
        &mut self,
        deflated: &[u8],
        size: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        out.clear();
        let size = plausible(size, deflated.len())?;
        // One byte more, so that a stream that goes on shows itself.
        out.reserve_exact(size + 1);
        self.0.reset(true);
        match self.0.decompress_vec(deflated, out, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) if out.len() == size => Ok(()),
            Ok(Status::Ok | Status::StreamEnd | Status::BufError) => Err(SIZE),
            Err(_) => Err("the zlib stream is damaged"),
        }
    }

    /// Like [`inflate`](Self::inflate), from a source that is read piece by piece.
    pub(crate) fn inflate_long(
        &mut self,
        deflated: &mut impl BufRead,
        size: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        out.clear();
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        out.try_reserve_exact(len).map_err(|_| "the declared size does not fit memory")?;
        let done = self.stream(deflated, size, |piece| {
            out.extend_from_slice(piece);
            Ok::<_, std::convert::Infallible>(())
        })?;
        match done {
            Ok(()) => Ok(()),
        }
    }

    /// The first bytes of the stream, as many as `out` takes or the stream has.
    pub(crate) fn peek(&mut self, deflated: &[u8], out: &mut [u8]) -> Result<usize, &'static str> {
        self.0.reset(true);
        match self.0.decompress(deflated, out, FlushDecompress::None) {
            Ok(_) => Ok(self.0.total_out() as usize),
            Err(_) => Err("the zlib stream is damaged"),
        }
    }

    /// Inflates a stream of `size` bytes piece by piece through a small buffer.
    ///
    /// The outer error is the stream's or its source's, the inner one the sink's.
    pub(crate) fn stream<E>(
        &mut self,
        deflated: &mut impl BufRead,
        size: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, &'static str> {
        self.0.reset(true);
        let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE) + 1)];
        loop {
            let (before_in, before_out) = (self.0.total_in(), self.0.total_out());
            let input = deflated.fill_buf().map_err(|_| "the pack cannot be read")?;
            let status = self
                .0
                .decompress(input, &mut piece, FlushDecompress::None)
                .map_err(|_| "the zlib stream is damaged")?;
            let (taken, made) = (self.0.total_in() - before_in, self.0.total_out() - before_out);
            deflated.consume(taken as usize);
            if self.0.total_out() > size {
                return Err(SIZE);
            }
            if let Err(error) = sink(&piece[..made as usize]) {
                return Ok(Err(error));
            }
            if status == Status::StreamEnd {
                return if self.0.total_out() == size { Ok(Ok(())) } else { Err(SIZE) };
            }
            if made == 0 && taken == 0 {
                return Err(SIZE);
            }
        }
    }
}

const PIECE: usize = 64 * 1024;
const SIZE: &str = "the zlib stream has another length than its header says";

fn plausible(size: u64, deflated: usize) -> Result<usize, &'static str> {
    if size > (deflated as u64).saturating_mul(MAX_RATIO) {
        return Err("the declared size is beyond what zlib can hold");
    }
    usize::try_from(size).map_err(|_| "the declared size does not fit memory")
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inflater")
    }
}
