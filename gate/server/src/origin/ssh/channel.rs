//! One exec channel as a stream: data both ways, stderr and exit status kept as the origin's words.

use std::convert::Infallible;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use gate_core::dial::{Stream, Words};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::kept::Place;

/// Messages that wait for a reader; each is at most a packet of ssh, 32 KiB.
const DEPTH: usize = 16;

/// How long a server may take to say anything to a command. sshd acknowledges it before the program runs.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a server may take to close a channel when its program was told that nothing more comes.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a server may count a session that we have closed: it does not tell.
const FORGETS: Duration = Duration::from_secs(1);

/// Wraps a channel whose command was started.
pub(super) fn stream(channel: Channel<Msg>, place: Place, words: Words) -> Stream {
    let (reading, writing) = channel.split();
    let writer = Box::pin(writing.make_writer());
    let (data, receiver) = mpsc::channel(DEPTH);
    let (open, over) = oneshot::channel();
    let is_done = Arc::<AtomicBool>::default();
    let listener =
        Listener { data: Some(data), words: words.clone(), is_done: Arc::clone(&is_done) };
    tokio::spawn(async move {
        let end = listener.listen(reading, &place).await;
        drop(open);
        if end == End::Left {
            leave(writing, place).await;
        }
    });
    let io = ChannelIo { receiver, piece: Bytes::new(), writer, over: Some(over), is_done };
    Stream { io: Box::new(io), words }
}

/// Closes a channel in which nothing was started.
pub(super) async fn close(channel: Channel<Msg>, place: Place) {
    let (_, writing) = channel.split();
    leave(writing, place).await;
}

/// Closes a channel before the server does, and keeps its place until the server has let go of it.
async fn leave(writing: ChannelWriteHalf<Msg>, place: Place) {
    // a connection that is gone closed it already
    if writing.close().await.is_ok() {
        sleep(FORGETS).await;
    }
    drop(place);
}

/// How a channel ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The server closed it, or the connection is over.
    Closed,
    /// Nobody reads it any more.
    Left,
}

/// Sorts what arrives.
struct Listener {
    /// `None` once the data is complete or nobody reads it.
    data: Option<mpsc::Sender<Bytes>>,
    words: Words,
    /// Whether we have said all we had to say.
    is_done: Arc<AtomicBool>,
}

impl Listener {
    /// Until the channel closes, or nobody reads it and the server does not close it soon.
    async fn listen(mut self, mut reading: ChannelReadHalf, place: &Place) -> End {
        let mut exit = None;
        let mut patience = Some(ANSWER);
        let end = loop {
            let message = match &self.data {
                Some(sender) => tokio::select! {
                    message = heard(&mut reading, patience) => message,
                    () = sender.closed() => {
                        if !self.is_done.load(Ordering::Acquire) {
                            break End::Left;
                        }
                        (self.data, patience) = (None, Some(FAREWELL));
                        continue;
                    }
                },
                None => heard(&mut reading, patience).await,
            };
            let Some(message) = message else {
                if self.data.is_some() {
                    place.condemn();
                }
                break End::Left;
            };
            if self.data.is_some() {
                patience = None;
            }
            match message {
                ChannelMsg::Close => break End::Closed,
                ChannelMsg::Data { data: piece } => {
                    if let Some(sender) = &self.data {
                        // that nobody reads it is seen in the next round
                        drop(sender.send(piece).await);
                    }
                }
                ChannelMsg::ExtendedData { data: said, .. } => self.words.add(&said),
                ChannelMsg::Failure => {
                    self.words.add(b"the server does not run the command");
                    break End::Left;
                }
                ChannelMsg::ExitStatus { exit_status } => exit = Some(exit_status),
                // the data is complete, the status comes behind it
                ChannelMsg::Eof => self.data = None,
                _ => {}
            }
        };
        self.words.end(exit);
        end
    }
}

/// The next message, [`ChannelMsg::Close`] where the connection is over; `None` if none comes within `patience`.
async fn heard(reading: &mut ChannelReadHalf, patience: Option<Duration>) -> Option<ChannelMsg> {
    let next = async { reading.wait().await.unwrap_or(ChannelMsg::Close) };
    match patience {
        Some(limit) => timeout(limit, next).await.ok(),
        None => Some(next.await),
    }
}

struct ChannelIo {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    /// Resolves when the channel is over; `None` once it has. Who writes may wait for a window that will never open.
    over: Option<oneshot::Receiver<Infallible>>,
    /// Told when we have said all we had to say.
    is_done: Arc<AtomicBool>,
}

impl ChannelIo {
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(over) = &mut self.over {
            let Err(_gone) = ready!(Pin::new(over).poll(cx));
            self.over = None;
        }
        Poll::Ready(io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncRead for ChannelIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.receiver.poll_recv(cx)) {
                Some(piece) => self.piece = piece,
                None => return Poll::Ready(Ok(())),
            }
        }
        let taken = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..taken]);
        self.piece.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChannelIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.writer.as_mut().poll_write(cx, data) {
            Poll::Pending => self.poll_over(cx).map(Err),
            written => written,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_done.store(true, Ordering::Release);
        self.writer.as_mut().poll_shutdown(cx)
    }
}
