//! A client's two streams, each step under the idle deadline.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proto::pktline;
use proto::sideband::{self, Band, Width};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::Error;

/// What a client sends.
pub type Input = Box<dyn AsyncRead + Send + Unpin>;
/// What a client reads.
pub type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// How an error reaches a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// As a packet `ERR …`: between packets, before any pack.
    Packet,
    /// In band 3, once packets of a sideband are under way.
    Band(Width),
    /// Not at all: it was told already, or nothing it could understand may follow.
    Silent,
}

/// Bytes taken from a client in one step.
const READ: usize = 16 * 1024;
/// How long, and how much, a client is listened to after its last word from us.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 1 << 20;
/// An empty packet of progress (gitprotocol-v2, "sideband-all").
const KEEPALIVE: &[u8] = b"0005\x02";
/// Longest line told to a client, in bytes.
const MAX_LINE: usize = 4096;

/// A client that is talked to: it may take its time between bytes, but not longer than `limits.client_idle`.
pub struct Client {
    /// How the client is told at this point of the conversation that it ends here.
    pub voice: Voice,
    input: Input,
    output: Output,
    aside: Option<Output>,
    buffer: BytesMut,
    idle: Duration,
    received: u64,
    sent: u64,
}

impl Client {
    pub fn new(input: Input, output: Output, idle: Duration) -> Self {
        Self {
            voice: Voice::Packet,
            input,
            output,
            aside: None,
            buffer: BytesMut::new(),
            idle,
            received: 0,
            sent: 0,
        }
    }

    /// The next bytes as they come; `None` when the client has closed its side, which leaves ours open.
    ///
    /// # Errors
    /// When the client is silent for too long, or gone. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, Error> {
        self.buffer.reserve(READ);
        let read = timeout(self.idle, self.input.read_buf(&mut self.buffer)).await;
        match read.map_err(|_| self.idled())?.map_err(unread)? {
            0 => Ok(None),
            n => {
                self.received += n as u64;
                Ok(Some(self.buffer.split().freeze()))
            }
        }
    }

    /// Sends bytes; they may wait in a buffer until [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the client takes nothing for too long, or is gone.
    pub async fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        self.send_parts(data, b"").await
    }

    /// Sends two parts as if they were one, without joining them: a packet's head, and its payload where it lies.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_parts(&mut self, head: &[u8], body: &[u8]) -> Result<(), Error> {
        let (mut head, mut body) = (head, body);
        while !head.is_empty() || !body.is_empty() {
            let parts = [IoSlice::new(head), IoSlice::new(body)];
            let written = timeout(self.idle, self.output.write_vectored(&parts)).await;
            let n = match written.map_err(|_| self.idled())?.map_err(gone)? {
                0 => return Err(gone(io::ErrorKind::WriteZero.into())),
                n => n,
            };
            self.sent += n as u64;
            let of_head = n.min(head.len());
            head = &head[of_head..];
            body = &body[n - of_head..];
        }
        Ok(())
    }

    /// Makes sure that what was sent is on its way.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn flush(&mut self) -> Result<(), Error> {
        timeout(self.idle, self.output.flush()).await.map_err(|_| self.idled())?.map_err(gone)
    }

    /// Tells the client that no more will come. With `linger`, bytes it still sends are read and dropped for a moment:
    /// closing on unread bytes would make its system throw away the last line it was told.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn finish(&mut self, linger: bool) -> Result<(), Error> {
        timeout(self.idle, self.output.shutdown())
            .await
            .map_err(|_| self.idled())?
            .map_err(gone)?;
        if linger {
            let mut rest = self.input.as_mut().take(LINGER_BYTES);
            // how it ends does not matter: the conversation is over
            drop(timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await);
        }
        Ok(())
    }

    /// Tells the client why it ends here, in one line.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn tell(&mut self, line: &str) -> Result<(), Error> {
        let mut out = Vec::new();
        let line = &line.as_bytes()[..line.len().min(MAX_LINE)];
        match std::mem::replace(&mut self.voice, Voice::Silent) {
            Voice::Packet => pktline::encode_parts(&mut out, &[b"ERR ", line]),
            Voice::Band(width) => {
                sideband::frame(&mut out, Band::Error, width, &[line, b"\n"].concat());
            }
            Voice::Silent => {}
        }
        self.send(&out).await?;
        self.flush().await
    }

    /// Gives the client a stream beside the protocol, which its program shows to the person: stderr of ssh.
    #[must_use]
    pub fn with_aside(self, aside: Option<Output>) -> Self {
        Self { aside, ..self }
    }

    /// Tells the person at the other end a line, if there is a place for it at this point of the conversation.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn murmur(&mut self, line: &str) -> Result<(), Error> {
        if let Voice::Band(width) = self.voice {
            let mut out = Vec::new();
            sideband::frame(&mut out, Band::Progress, width, format!("{line}\n").as_bytes());
            self.send(&out).await?;
            return self.flush().await;
        }
        let Some(aside) = &mut self.aside else { return self.flush().await };
        let text = format!("git-gate: {line}\n");
        let told = async {
            aside.write_all(text.as_bytes()).await?;
            aside.flush().await
        };
        timeout(self.idle, told).await.map_err(|_| idled(self.idle))?.map_err(gone)
    }

    /// Shows that the connection lives, where the protocol has a packet for it; elsewhere only looks whether the client is
    /// still there, as far as its door can tell.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn keep_alive(&mut self) -> Result<(), Error> {
        if let Voice::Band(_) = self.voice {
            self.send(KEEPALIVE).await?;
        }
        self.flush().await
    }

    /// Bytes that came from the client so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that the client took so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    fn idled(&self) -> Error {
        idled(self.idle)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("received", &self.received)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

fn idled(after: Duration) -> Error {
    Error::client(format!("client idle for {after:?} (limits.client_idle)"))
}

/// Bytes that came and can't be read, such as a body that is not gzip, are told as that.
fn unread(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Error::client(format!("the request can't be read: {error}"))
        }
        _ => gone(error),
    }
}

fn gone(error: io::Error) -> Error {
    Error::client("the client went away").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_arrive_joined_however_little_the_pipe_takes() {
        let (ours, mut theirs) = tokio::io::duplex(3);
        let mut client =
            Client::new(Box::new(tokio::io::empty()), Box::new(ours), Duration::from_secs(60));
        let send = async {
            client.send_parts(b"0009\x01", b"pack").await.unwrap();
            client.finish(false).await.unwrap();
            client.sent()
        };
        let mut got = Vec::new();
        let (sent, read) = tokio::join!(send, theirs.read_to_end(&mut got));
        assert_eq!((sent, read.unwrap()), (9, 9));
        assert_eq!(got, b"0009\x01pack");
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_meets_a_named_limit() {
        let (ours, _theirs) = tokio::io::duplex(3);
        let (input, output) = tokio::io::split(ours);
        let mut client = Client::new(Box::new(input), Box::new(output), Duration::from_millis(9));
        let silent = client.recv().await.unwrap_err();
        assert_eq!(silent.to_string(), "client idle for 9ms (limits.client_idle)");
        let stuck = client.send(b"more than three").await.unwrap_err();
        assert_eq!(stuck.to_string(), "client idle for 9ms (limits.client_idle)");
    }
}
