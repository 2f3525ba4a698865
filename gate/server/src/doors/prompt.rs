//! Clients whose last bytes are acknowledged at once.
//!
//! git writes a request in several pieces and leaves Nagle's algorithm on, so that the second piece waits for the first
//! one's acknowledgement; a kernel that has just answered delays that by 40 ms (tcp(7), `TCP_QUICKACK`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

/// Bytes read at once from which on a client is sending a lot, and waits for nothing.
const BULK: usize = 16 << 10;

/// The reading half of a connection.
#[derive(Debug)]
pub(super) struct Prompt(OwnedReadHalf);

impl Prompt {
    pub(super) fn new(read: OwnedReadHalf) -> Self {
        Self(read)
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        if (1..BULK).contains(&(buffer.filled().len() - before)) {
            // the kernel forgets it with every answer; a failure costs time and nothing else
            _ = rustix::net::sockopt::set_tcp_quickack(self.0.as_ref(), true);
        }
        Poll::Ready(Ok(()))
    }
}
