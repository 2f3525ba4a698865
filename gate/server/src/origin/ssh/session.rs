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
use super::kept::{Kept, Place};

/// How long a kept connection may take to open a channel before it is given up for dead.
const CHANNEL: Duration = Duration::from_secs(3);

/// Why no channel came to be.
#[derive(Debug)]
pub(super) struct Refusal {
    pub error: Error,
    /// Whether another connection would fare no better: this one was new.
    pub is_final: bool,
}

/// An open channel. Dropped unused, it is closed.
#[derive(Debug)]
pub(super) struct Session {
    channel: Option<Channel<Msg>>,
    place: Option<Place>,
    is_proved: bool,
}

impl Session {
    /// Opens a channel at this place, which is free again if that fails.
    pub(super) async fn open(place: Place) -> Result<Self, Refusal> {
        let unreachable = |words| Error::new(ErrorKind::Unreachable, words);
        let refused = "its ssh server opens no channel";
        match timeout(CHANNEL, place.kept().handle().channel_open_session()).await {
            Ok(Ok(channel)) => {
                place.served();
                Ok(Self { channel: Some(channel), place: Some(place), is_proved: true })
            }
            Ok(Err(error)) => {
                let is_full = matches!(error, russh::Error::ChannelOpenFailure(_));
                let is_final = if is_full { place.refused() } else { place.condemn() };
                Err(Refusal { error: unreachable(refused).with_source(error), is_final })
            }
            Err(_) => {
                let is_final = place.condemn();
                Err(Refusal { error: unreachable("its ssh server is silent"), is_final })
            }
        }
    }

    /// Whether it is a channel of this very connection.
    pub(super) fn is_on(&self, kept: &Arc<Kept>) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_on(kept))
    }

    /// Whether the server has answered just now, rather than when the channel was opened ahead.
    pub(super) fn is_proved(&self) -> bool {
        self.is_proved
    }

    /// The same, if it still is of use. All that the server could have said in it is that it is over.
    pub(super) fn unheard(mut self) -> Option<Self> {
        self.is_proved = false;
        let is_silent = self.channel.as_mut()?.wait().now_or_never().is_none();
        let is_usable = self.place.as_ref().is_some_and(|place| place.kept().is_usable());
        (is_silent && is_usable).then_some(self)
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
