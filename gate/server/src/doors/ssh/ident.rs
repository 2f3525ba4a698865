//! What program an ssh client is, read off the stream on its way to russh, which does not tell before authentication.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest identification string, its line end included (RFC 4253, 4.2).
const LONGEST: usize = 255;

/// The client's identification string, as far as it has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Ident(Arc<Mutex<Vec<u8>>>);

impl Ident {
    /// Whether this is libssh2, which libgit2 and so many bindings speak ssh with. It takes a server that lets in whoever
    /// asks with method `none` for one that offers no way to authenticate (libgit2's `list_auth_methods`), and gives up.
    pub(super) fn is_libssh2(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).starts_with(b"SSH-2.0-libssh2")
    }

    fn hear(&self, bytes: &[u8]) -> bool {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = LONGEST - line.len();
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        line.extend_from_slice(&bytes[..end.min(room)]);
        line.ends_with(b"\n") || line.len() == LONGEST
    }
}

/// A stream whose first line is overheard.
#[derive(Debug)]
pub(super) struct Overheard<S> {
    stream: S,
    ident: Ident,
    is_over: bool,
}

impl<S> Overheard<S> {
    pub(super) fn new(stream: S) -> (Self, Ident) {
        let ident = Ident::default();
        (Self { stream, ident: ident.clone(), is_over: false }, ident)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if !self.is_over {
            self.is_over = self.ident.hear(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn the_first_line_is_overheard_however_it_is_cut_and_all_of_it_passes() {
        let said = b"SSH-2.0-libssh2_1.11.0\r\nSSH-2.0-other\r\n";
        for cut in 1..said.len() {
            let (mut stream, ident) = Overheard::new((&said[..cut]).chain(&said[cut..]));
            let mut passed = Vec::new();
            stream.read_to_end(&mut passed).await.unwrap();
            assert_eq!(passed, said);
            assert!(ident.is_libssh2());
        }
        let (mut stream, ident) =
            Overheard::new(&b"SSH-2.0-OpenSSH_9.2\r\nSSH-2.0-libssh2\r\n"[..]);
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        assert!(!ident.is_libssh2());
    }
}
