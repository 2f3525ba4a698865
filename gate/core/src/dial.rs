//! The port through which origins are reached: a stream of bytes (ssh, git, file) or request and response (http).
//!
//! Fetching and forwarding use the same port. The adapters live in `git-gate`, which knows the transports.

mod error;
mod words;

use std::fmt;
use std::io;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use gate_config::ResolvedRepo;
use proto::{Service, Version};
use tokio::io::{AsyncRead, AsyncWrite};

pub use error::{Error, ErrorKind};
pub use words::Words;

/// The way to every origin. One for the whole gate: it keeps connections, per host and credential, for later calls.
pub trait Dial: fmt::Debug + Send + Sync + 'static {
    /// Opens a conversation with `service` of the repository `to`, with its credentials, asking for `version`; the origin may answer in an older one.
    ///
    /// Nothing of the conversation has been read yet: the advertisement comes first. A kept ssh connection is used
    /// where there is one, but the repository is named, and its program started, by this call and for it alone: what lay
    /// under the name before is never heard.
    ///
    /// # Errors
    /// What kept the origin from being reached, within the connect limit. Errors that only show later (an unknown
    /// repository, a declined authorisation of the command) come as an early end of the stream, with [`Words`].
    fn dial<'a>(
        &'a self,
        to: &'a ResolvedRepo,
        service: Service,
        version: Version,
    ) -> BoxFuture<'a, Result<Connection, Error>>;
}

/// An open way to one service of the origin.
pub enum Connection {
    /// Both halves talk on one stream: ssh, git, file.
    Stream(Stream),
    /// Every turn is a request of its own: smart HTTP.
    Rpc(Box<dyn Rpc>),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::Rpc(_) => "Rpc",
        })
    }
}

/// A stream to the origin. Shutting its writing side down tells the origin that nothing more comes; dropping it hangs up.
pub struct Stream {
    pub io: Box<dyn Io>,
    /// What the origin says beside the protocol (its stderr).
    pub words: Words,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// Bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The body of an answer, as it comes. A read error's text is the transport's own.
pub type Answer = Box<dyn AsyncRead + Send + Unpin>;

/// Smart HTTP to one service of one repository, over kept connections.
pub trait Rpc: Send {
    /// `GET info/refs?service=…`: the body from its first byte on, the `# service=` packet included.
    fn advertisement(&mut self) -> BoxFuture<'_, Result<Answer, Error>>;

    /// Whether discovery led elsewhere than the URL that is configured. It may lead elsewhere again the next time.
    fn was_redirected(&self) -> bool;

    /// One `POST` to the service, at the configured URL if nothing was discovered.
    fn call(&mut self, payload: Payload) -> BoxFuture<'_, Result<Answer, Error>>;
}

/// The body of a request.
pub enum Payload {
    /// Short enough to be held: sent with its length.
    Whole(Bytes),
    /// A pack: sent in chunks as they come. An error in the stream breaks the request off.
    Streamed(BoxStream<'static, io::Result<Bytes>>),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Streamed(_) => f.write_str("Streamed"),
        }
    }
}
