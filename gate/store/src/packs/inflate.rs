//! Inflating one zlib stream whose size is known beforehand.

use flate2::{Decompress, FlushDecompress, Status};

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

    /// The first bytes of the stream, as many as `out` takes or the stream has.
    pub(crate) fn peek(&mut self, deflated: &[u8], out: &mut [u8]) -> Result<usize, &'static str> {
        self.0.reset(true);
        match self.0.decompress(deflated, out, FlushDecompress::None) {
            Ok(_) => Ok(self.0.total_out() as usize),
            Err(_) => Err("the zlib stream is damaged"),
        }
    }

    /// Inflates the stream piece by piece through a small buffer.
    pub(crate) fn stream<E>(
        &mut self,
        deflated: &[u8],
        size: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, &'static str> {
        plausible(size, deflated.len())?;
        self.0.reset(true);
        let mut piece = vec![0; PIECE.min(size as usize + 1)];
        loop {
            let (before_in, before_out) = (self.0.total_in(), self.0.total_out());
            let status = self
                .0
                .decompress(&deflated[before_in as usize..], &mut piece, FlushDecompress::None)
                .map_err(|_| "the zlib stream is damaged")?;
            let made = self.0.total_out() - before_out;
            if self.0.total_out() > size || (made == 0 && status != Status::StreamEnd) {
                return Err(SIZE);
            }
            if let Err(error) = sink(&piece[..made as usize]) {
                return Ok(Err(error));
            }
            if status == Status::StreamEnd {
                return if self.0.total_out() == size { Ok(Ok(())) } else { Err(SIZE) };
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
