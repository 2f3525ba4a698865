//! Requests that come gzipped, as git sends its longer ones, inflated no further than anybody reads.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flate2::{Decompress, FlushDecompress, Status};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// The body behind `Content-Encoding: gzip`.
///
/// Nothing is buffered: bytes are inflated into what the reader offers. A body that grows out of proportion is an error.
pub(super) struct Gunzip<R> {
    inner: R,
    inflate: Decompress,
    ratio: u64,
    ended: bool,
}

/// What any body may inflate to, however small it is.
const ALWAYS: u64 = 1 << 20;

impl<R> Gunzip<R> {
    /// `ratio` is `limits.inflate_ratio`: the bytes that one received byte may become.
    pub(super) fn new(inner: R, ratio: usize) -> Self {
        let inflate = Decompress::new_gzip(15);
        Self { inner, inflate, ratio: ratio as u64, ended: false }
    }

    fn check(&self) -> io::Result<()> {
        let most = self.inflate.total_in().saturating_mul(self.ratio).max(ALWAYS);
        if self.inflate.total_out() <= most {
            return Ok(());
        }
        let line = format!("the body inflates beyond 1:{} (limits.inflate_ratio)", self.ratio);
        Err(io::Error::new(io::ErrorKind::InvalidData, line))
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for Gunzip<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.ended && out.remaining() > 0 {
            let input = ready!(Pin::new(&mut this.inner).poll_fill_buf(cx))?;
            if input.is_empty() {
                let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "the gzipped body is cut");
                return Poll::Ready(Err(cut));
            }
            let (taken, made) = (this.inflate.total_in(), this.inflate.total_out());
            let status = this
                .inflate
                .decompress(input, out.initialize_unfilled(), FlushDecompress::None)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let taken = (this.inflate.total_in() - taken) as usize;
            let made = (this.inflate.total_out() - made) as usize;
            Pin::new(&mut this.inner).consume(taken);
            // an error must not come with bytes
            this.check()?;
            out.advance(made);
            this.ended = status == Status::StreamEnd;
            if made > 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::io::{AsyncReadExt, BufReader};

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    async fn inflate(body: &[u8], buffer: usize, ratio: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let inner = BufReader::with_capacity(buffer, body);
        Gunzip::new(inner, ratio).read_to_end(&mut out).await.map(|_| out)
    }

    #[tokio::test]
    async fn inflates_however_it_is_cut() {
        let text = b"0032want 1111\n".repeat(999);
        let body = gzip(&text);
        for buffer in [1, 7, body.len()] {
            assert_eq!(inflate(&body, buffer, 10).await.unwrap(), text);
        }
    }

    #[tokio::test]
    async fn a_bomb_a_cut_and_garbage_are_errors() {
        let bomb = inflate(&gzip(&vec![0; 8 << 20]), 4096, 100).await.unwrap_err();
        assert!(bomb.to_string().contains("limits.inflate_ratio"), "{bomb}");
        let body = gzip(b"0000");
        let cut = inflate(&body[..body.len() - 9], 4096, 100).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        assert!(inflate(b"not gzip at all", 4096, 100).await.is_err());
    }
}
