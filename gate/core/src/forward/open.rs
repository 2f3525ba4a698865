//! The origin's receive-pack, opened ahead of the moment it is needed.

use std::fmt;
use std::time::Duration;

use bstr::BString;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use gate_config::ResolvedRepo;
use proto::send_pack::{self, Advertisement, AdvertisementReader};
use proto::{ObjectFormat, Service, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use crate::dial::{Connection, Dial, Error, ErrorKind, Words};

/// Bytes read from the origin at once.
pub(super) const READ: usize = 64 << 10;
/// How long a connection that was opened ahead is trusted: origins hang up on those that say nothing.
const MAX_AGE: Duration = Duration::from_secs(20);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A conversation with the origin's receive-pack, its advertisement read and nothing said yet.
pub(crate) struct Opened {
    pub(super) link: Connection,
    pub(super) advertisement: Advertisement,
    since: Instant,
}

/// Dials and reads the advertisement, keeping the values of the refs in `watch`.
///
/// # Errors
/// What kept the origin from being heard, or what it said, within `limit` (limits.refresh) for the advertisement.
pub(crate) async fn open(
    dial: &dyn Dial,
    to: &ResolvedRepo,
    format: ObjectFormat,
    watch: Vec<BString>,
    limit: Duration,
) -> Result<Opened, Error> {
    let mut link = dial.dial(to, Service::ReceivePack, Version::V0).await?;
    let since = Instant::now();
    let mut reader = AdvertisementReader::new(format, watch);
    let read = async {
        match &mut link {
            Connection::Stream(stream) => {
                let words = stream.words.clone();
                read_advertisement(&mut stream.io, &mut reader, &words).await
            }
            Connection::Rpc(rpc) => {
                let mut answer = rpc.advertisement().await?;
                read_advertisement(&mut answer, &mut reader, &Words::none()).await
            }
        }
    };
    let advertisement =
        timeout(limit, read).await.map_err(|_| Error::timed_out("refresh", limit))??;
    Ok(Opened { link, advertisement, since })
}

impl Opened {
    /// Whether the origin still listens, as far as can be told without speaking.
    pub(crate) fn is_alive(&mut self) -> bool {
        match &mut self.link {
            Connection::Stream(stream) => {
                self.since.elapsed() < MAX_AGE && stream.io.read(&mut [0]).now_or_never().is_none()
            }
            // every request stands alone
            Connection::Rpc(_) => true,
        }
    }

    /// Whether the origin advertises a capability.
    pub(crate) fn offers(&self, capability: &str) -> bool {
        self.advertisement.capabilities.has(capability)
    }

    /// Leaves without asking for anything, so that the origin has nothing to complain of in its log.
    pub(crate) async fn close(mut self) {
        if let Connection::Stream(stream) = &mut self.link {
            let farewell = async {
                stream.io.write_all(b"0000").await?;
                stream.io.shutdown().await
            };
            // an origin that has gone already needs no farewell
            drop(timeout(FAREWELL, farewell).await);
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("link", &self.link).finish_non_exhaustive()
    }
}

async fn read_advertisement(
    input: &mut (dyn AsyncRead + Send + Unpin),
    reader: &mut AdvertisementReader,
    words: &Words,
) -> Result<Advertisement, Error> {
    let mut buffer = BytesMut::with_capacity(READ);
    loop {
        match input.read_buf(&mut buffer).await {
            Ok(0) => return Err(lost(words, "its advertisement").await),
            Ok(_) => reader.handle_input(&buffer.split()),
            Err(error) => return Err(lost(words, "its advertisement").await.with_source(error)),
        }
        match reader.poll_event() {
            Ok(Some(advertisement)) => return Ok(advertisement),
            Ok(None) => {}
            Err(error) => return Err(garbage(error)),
        }
    }
}

/// The stream ended too early: the origin's stderr, if it said anything there, tells more than we can.
pub(super) async fn lost(words: &Words, phase: &'static str) -> Error {
    let said = words.hear().await;
    if said.is_empty() {
        Error::new(ErrorKind::Lost, format!("before {phase} was complete"))
    } else {
        Error::said(said)
    }
}

/// What the machine can't read is the origin's refusal, or no git protocol.
pub(super) fn garbage(error: send_pack::Error) -> Error {
    match &error {
        send_pack::Error::Remote(words) => Error::said(words),
        _ => Error::new(ErrorKind::Garbage, error.to_string()).with_source(error),
    }
}
