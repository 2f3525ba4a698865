//! One exec channel as a stream: data both ways, stderr and exit status kept as the origin's words.

use std::convert::Infallible;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use gate_core::dial::{Stream, Words};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for a reader; each is at most a packet of ssh, 32 KiB.
const DEPTH: usize = 16;

/// Wraps a channel whose command was started. `connection` lives at least as long as the stream.
pub(super) fn stream<C: Send + Sync + 'static>(
    channel: Channel<Msg>,
    connection: Arc<C>,
    words: Words,
) -> Stream {
    let (reading, writing) = channel.split();
    let writer = Box::pin(writing.make_writer());
    let (data, receiver) = mpsc::channel(DEPTH);
    let (open, over) = oneshot::channel();
    let heard = words.clone();
    tokio::spawn(async move {
        listen(reading, writing, data, heard, connection).await;
        drop(open);
    });
    let io = ChannelIo { receiver, piece: Bytes::new(), writer, over: Some(over) };
    Stream { io: Box::new(io), words }
}

/// Sorts what arrives until the channel closes or the stream is dropped.
async fn listen<C>(
    mut reading: ChannelReadHalf,
    writing: ChannelWriteHalf<Msg>,
    data: mpsc::Sender<Bytes>,
    words: Words,
    connection: Arc<C>,
) {
    let mut data = Some(data);
    let mut exit = None;
    loop {
        let message = match &data {
            Some(sender) => tokio::select! {
                message = reading.wait() => message,
                () = sender.closed() => break,
            },
            None => reading.wait().await,
        };
        match message {
            None | Some(ChannelMsg::Close) => break,
            Some(ChannelMsg::Data { data: piece }) => {
                if let Some(sender) = &data
                    && sender.send(piece).await.is_err()
                {
                    break;
                }
            }
            Some(ChannelMsg::ExtendedData { data: said, .. }) => words.add(&said),
            Some(ChannelMsg::Failure) => {
                words.add(b"the server does not run the command");
                break;
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => exit = Some(exit_status),
            // the data is complete, the status comes behind it
            Some(ChannelMsg::Eof) => data = None,
            Some(_) => {}
        }
    }
    words.end(exit);
    drop(data);
    // a connection that is gone closed it already
    drop(writing.close().await);
    drop(connection);
}

struct ChannelIo {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    /// Resolves when the channel is over; `None` once it has. Who writes may wait for a window that will never open.
    over: Option<oneshot::Receiver<Infallible>>,
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
        self.writer.as_mut().poll_shutdown(cx)
    }
}
