//! ssh origins: one connection kept for each host and credential, a channel and a program of its own a conversation.

mod channel;
mod connect;
mod identity;
mod known_hosts;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use gate_core::dial::{Error, ErrorKind, Stream, Words};
use proto::{Service, Version};
use russh::Channel;
use russh::client::{Handle, Msg};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument as _, debug};

use self::connect::Judge;

/// How long a kept connection may take to open a channel before it is given up for dead.
const CHANNEL: Duration = Duration::from_secs(3);
/// The wait before the second attempt in a row; doubled with each failure up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Whom to connect to, and as whom: what two repositories must share to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub user: String,
    pub host: String,
    pub port: u16,
    pub identity: Option<PathBuf>,
    pub known_hosts: Option<PathBuf>,
}

/// The kept connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    kept: Mutex<HashMap<Target, Arc<Slot>>>,
}

/// One target's connection. The lock is held while it is made, so that those who wait share it.
#[derive(Default)]
struct Slot {
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Handle<Judge>>>,
    /// A channel of that connection, opened before it is needed, in which nothing was started yet.
    ahead: Option<Channel<Msg>>,
    failures: u32,
    not_before: Option<Instant>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Connections {
    /// Runs `service` at `path` in a channel of its own.
    pub(super) async fn dial(
        &self,
        target: Target,
        path: &str,
        service: Service,
        version: Version,
    ) -> Result<Stream, Error> {
        let slot = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kept.entry(target.clone()).or_default())
        };
        let Way { connection, channel, fresh } = slot.way(&target).await?;
        let ready = match channel {
            Some(channel) => Ok(channel),
            None => open(&connection).await,
        };
        let started = match ready {
            Ok(channel) => start(channel, &connection, path, service, version).await,
            Err(error) => Err(error),
        };
        let stream = match started {
            Ok(stream) => stream,
            Err(error) if fresh => return Err(error),
            Err(error) => {
                debug!(%error, "the kept ssh connection opens no channel: connecting anew");
                slot.forget(&connection).await;
                let Way { connection, .. } = slot.way(&target).await?;
                start(open(&connection).await?, &connection, path, service, version).await?
            }
        };
        tokio::spawn(async move { slot.open_ahead().await }.in_current_span());
        Ok(stream)
    }
}

/// What leads to a target.
struct Way {
    connection: Arc<Handle<Judge>>,
    /// The channel that was opened ahead.
    channel: Option<Channel<Msg>>,
    /// Whether the connection was made just now.
    fresh: bool,
}

impl Slot {
    /// The kept connection, with the channel opened ahead, or a new connection.
    async fn way(&self, target: &Target) -> Result<Way, Error> {
        let mut state = self.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|kept| !kept.is_closed()) {
            let connection = Arc::clone(connection);
            let channel = state.ahead.take().and_then(unheard);
            return Ok(Way { connection, channel, fresh: false });
        }
        if let Some(until) = state.not_before {
            sleep_until(until).await;
        }
        // if the connect limit drops us here, that was a failure too
        state.fail();
        let connection = Arc::new(connect::connect(target).await?);
        *state = State { connection: Some(Arc::clone(&connection)), ..State::default() };
        Ok(Way { connection, channel: None, fresh: true })
    }

    /// Drops a connection that proved dead, unless another has taken its place.
    async fn forget(&self, dead: &Arc<Handle<Judge>>) {
        let mut state = self.state.lock().await;
        if state.connection.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, dead)) {
            (state.connection, state.ahead) = (None, None);
        }
    }

    /// Opens a channel for the next who comes. No program runs in it before they say which, so that it holds nothing of
    /// any repository and is good for all of them.
    async fn open_ahead(&self) {
        let connection = {
            let state = self.state.lock().await;
            let Some(connection) = state.connection.as_ref().filter(|_| state.ahead.is_none())
            else {
                return;
            };
            Arc::clone(connection)
        };
        match open(&connection).await {
            Ok(channel) => {
                let mut state = self.state.lock().await;
                let is_kept =
                    state.connection.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &connection));
                if is_kept && state.ahead.is_none() {
                    state.ahead = Some(channel);
                } else {
                    // a connection that is gone closed it already
                    drop(channel.close().await);
                }
            }
            // such as one that allows a single session on a connection
            Err(error) => debug!(%error, "no channel could be opened ahead"),
        }
    }
}

/// The channel, if the server has said nothing in it: all that it could say is that it is over.
fn unheard(mut channel: Channel<Msg>) -> Option<Channel<Msg>> {
    let said = channel.wait().now_or_never();
    said.is_none().then_some(channel)
}

impl State {
    fn fail(&mut self) {
        let wait = BACKOFF.saturating_mul(1 << self.failures.min(10)).min(MAX_BACKOFF);
        self.not_before = Some(Instant::now() + wait);
        self.failures += 1;
    }
}

async fn open(connection: &Handle<Judge>) -> Result<Channel<Msg>, Error> {
    match timeout(CHANNEL, connection.channel_open_session()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => {
            let words = "its ssh server opens no channel";
            Err(Error::new(ErrorKind::Unreachable, words).with_source(error))
        }
        Err(_) => Err(Error::new(ErrorKind::Unreachable, "its ssh server is silent")),
    }
}

/// Starts the program. That the server runs it is not waited for: what is sent to the program may follow at once.
async fn start(
    channel: Channel<Msg>,
    connection: &Arc<Handle<Judge>>,
    path: &str,
    service: Service,
    version: Version,
) -> Result<Stream, Error> {
    let started = async {
        if version > Version::V0 {
            // a server that does not accept it answers in v0, which is understood
            let value = format!("version={}", version as u8);
            channel.set_env(false, "GIT_PROTOCOL", value).await?;
        }
        channel.exec(true, format!("{service} {}", quote(path))).await
    };
    started.await.map_err(|error| {
        let words = "its ssh server closed the connection";
        Error::new(ErrorKind::Unreachable, words).with_source(error)
    })?;
    let words = Words::hiding(path.as_bytes());
    Ok(channel::stream(channel, Arc::clone(connection), words))
}

/// Quotes for the origin's shell as git's `sq_quote_buf` does.
fn quote(path: &str) -> String {
    let mut quoted = String::from("'");
    for c in path.chars() {
        match c {
            '\'' | '!' => {
                quoted.push_str("'\\");
                quoted.push(c);
                quoted.push('\'');
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_git_does() {
        assert_eq!(quote("/a b.git"), "'/a b.git'");
        assert_eq!(quote("it's!"), r"'it'\''s'\!''");
    }

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let mut state = State::default();
        for _ in 0..40 {
            state.fail();
        }
        let wait = state.not_before.unwrap() - Instant::now();
        assert!(wait <= MAX_BACKOFF && wait > MAX_BACKOFF / 2);
    }
}
