//! Bytes between a session's task and a blocking thread, through a channel with a bound: the slow side holds the fast one.

use std::io::{self, BufRead, Read, Write};

use bytes::{Buf, Bytes, BytesMut};
use proto::sideband;
use tokio::sync::mpsc;

/// Longest piece that crosses: what one wide sideband packet carries, so that a piece is framed without a copy.
pub const PIECE: usize = sideband::Width::Large.payload();
/// Pieces under way at once; a pipe holds at most `PIECE × (DEPTH + 1)` bytes, about half a MiB.
const DEPTH: usize = 8;

/// A pipe from a blocking writer to an async reader.
pub fn outward() -> (Sink, Outlet) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    (Sink { piece: BytesMut::new(), sender }, Outlet { receiver })
}

/// A pipe from an async writer to a blocking reader.
pub fn inward() -> (Inlet, Source) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    (Inlet { sender }, Source { piece: Bytes::new(), ended: false, receiver })
}

/// The blocking writer's end. What is not flushed or finished when it is dropped is lost.
#[derive(Debug)]
pub struct Sink {
    piece: BytesMut,
    sender: mpsc::Sender<Bytes>,
}

impl Sink {
    /// Sends what is left; the reader then sees the end.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.piece.capacity() == 0 {
            self.piece.reserve(PIECE);
        }
        let taken = data.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&data[..taken]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece).freeze();
        self.sender.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// The async reader's end.
#[derive(Debug)]
pub struct Outlet {
    receiver: mpsc::Receiver<Bytes>,
}

impl Outlet {
    /// The next piece, of at most [`PIECE`] bytes; `None` once the writer is gone.
    ///
    /// Whether the writer finished or failed is told by the result of the work itself.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.receiver.recv().await
    }
}

/// The async writer's end. Dropping it without [`finish`](Self::finish) tells the reader that the rest will not come.
#[derive(Debug)]
pub struct Inlet {
    sender: mpsc::Sender<Option<Bytes>>,
}

/// The blocking reader is gone: its result says why.
#[derive(Debug, thiserror::Error)]
#[error("the reader of this pipe is gone")]
pub struct ReaderGone;

impl Inlet {
    /// Hands over bytes, waiting while the pipe is full.
    pub async fn send(&self, piece: Bytes) -> Result<(), ReaderGone> {
        if piece.is_empty() {
            return Ok(());
        }
        self.sender.send(Some(piece)).await.map_err(|_| ReaderGone)
    }

    /// Says that this was all.
    pub async fn finish(self) {
        // a reader that left early has its own reason, and its own result
        drop(self.sender.send(None).await);
    }
}

/// The blocking reader's end.
#[derive(Debug)]
pub struct Source {
    piece: Bytes,
    ended: bool,
    receiver: mpsc::Receiver<Option<Bytes>>,
}

impl Source {
    /// The bytes that were received but not consumed, such as what a client sent behind a pack.
    pub fn take_rest(&mut self) -> Bytes {
        std::mem::take(&mut self.piece)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Some(piece)) => self.piece = piece,
                Some(None) => self.ended = true,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the sender went away",
                    ));
                }
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        self.piece.advance(amount);
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let taken = piece.len().min(out.len());
        out[..taken].copy_from_slice(&piece[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}
