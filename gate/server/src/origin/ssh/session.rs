//! A channel in which nothing runs yet, and its place among those that a connection may have.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use gate_core::dial::{Error, ErrorKind, Stream, Words};
use proto::Version;
use russh::Channel;
use russh::client::Msg;
use tokio::time::timeout;

use super::channel;
use super::pool::{Kept, Pool};

/// How long a kept connection may take to open a channel before it is given up for dead.
const CHANNEL: Duration = Duration::from_secs(3);

/// A channel's place on a connection, for as long as the server counts it.
#[derive(Debug)]
pub(super) struct Place {
    pool: Arc<Pool>,
    kept: Arc<Kept>,
}

/// Why no channel came to be.
#[derive(Debug)]
pub(super) struct Refusal {
    pub error: Error,
    /// Whether another connection would fare no better: this one was new.
    pub is_final: bool,
}

impl Place {
    /// Of a connection on which the place has been counted.
    pub(super) fn new(pool: Arc<Pool>, kept: Arc<Kept>) -> Self {
        Self { pool, kept }
    }

    pub(super) fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// The connection proved dead: nobody is to use it any more.
    pub(super) fn condemn(&self) {
        self.pool.retire(&self.kept);
    }

    /// Opens the channel. Its place is free again if that fails.
    pub(super) async fn open(self) -> Result<Session, Refusal> {
        let refused = match timeout(CHANNEL, self.kept.handle().channel_open_session()).await {
            Ok(Ok(channel)) => {
                self.kept.serves();
                return Ok(Session { channel: Some(channel), place: Some(self), is_proved: true });
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        let is_alone = match &refused {
            Some(russh::Error::ChannelOpenFailure(_)) => self.pool.is_full(&self.kept),
            _ => {
                self.condemn();
                true
            }
        };
        let error = match refused {
            Some(error) => Error::new(ErrorKind::Unreachable, "its ssh server opens no channel")
                .with_source(error),
            None => Error::new(ErrorKind::Unreachable, "its ssh server is silent"),
        };
        Err(Refusal { error, is_final: is_alone && !self.kept.has_served() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.leave(&self.kept);
    }
}

/// An open channel. Dropped unused, it is closed.
#[derive(Debug)]
pub(super) struct Session {
    channel: Option<Channel<Msg>>,
    place: Option<Place>,
    is_proved: bool,
}

impl Session {
    /// Whether the server has answered just now, rather than when the channel was opened ahead.
    pub(super) fn is_proved(&self) -> bool {
        self.is_proved
    }

    /// It waits from now on, unless the server has said something in it: all that it could say is that it is over.
    pub(super) fn unheard(mut self) -> Option<Self> {
        self.is_proved = false;
        let is_silent = self.channel.as_mut()?.wait().now_or_never().is_none();
        is_silent.then_some(self)
    }

    /// Starts the program of this command line; `secret` is a path that its words must not tell. That the server runs it
    /// is not waited for: what is sent to the program may follow at once.
    pub(super) async fn start(
        mut self,
        line: String,
        version: Version,
        secret: &[u8],
    ) -> Result<Stream, Error> {
        let (Some(channel), Some(place)) = (self.channel.take(), self.place.take()) else {
            return Err(Error::new(ErrorKind::Gate, "").with_source("a session without a channel"));
        };
        let started = async {
            if version > Version::V0 {
                // a server that does not accept it answers in v0, which is understood
                let value = format!("version={}", version as u8);
                channel.set_env(false, "GIT_PROTOCOL", value).await?;
            }
            channel.exec(true, line).await
        };
        if let Err(error) = started.await {
            place.condemn();
            let words = "its ssh server closed the connection";
            return Err(Error::new(ErrorKind::Unreachable, words).with_source(error));
        }
        Ok(channel::stream(channel, place, Words::hiding(secret)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let (Some(channel), Some(place)) = (self.channel.take(), self.place.take()) {
            // russh closes none by itself; what is dropped outside of the runtime ends with its connection
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(channel::close(channel, place));
            }
        }
    }
}
