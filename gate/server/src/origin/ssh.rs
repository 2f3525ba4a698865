//! ssh origins: one connection kept for each host and credential, a fresh exec channel a conversation.

mod channel;
mod connect;
mod identity;
mod known_hosts;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gate_core::dial::{Error, ErrorKind, Stream, Words};
use proto::{Service, Version};
use russh::client::Handle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

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
    failures: u32,
    not_before: Option<Instant>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Connections {
    /// Runs `service` at `path` in a fresh channel.
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
        let (connection, fresh) = slot.connection(&target).await?;
        match open(&connection, path, service, version).await {
            Ok(stream) => Ok(stream),
            Err(error) if fresh => Err(error),
            Err(error) => {
                debug!(%error, "the kept ssh connection opens no channel: connecting anew");
                slot.forget(&connection).await;
                let (connection, _) = slot.connection(&target).await?;
                open(&connection, path, service, version).await
            }
        }
    }
}

impl Slot {
    /// The kept connection, or a new one; and whether it is new.
    async fn connection(&self, target: &Target) -> Result<(Arc<Handle<Judge>>, bool), Error> {
        let mut state = self.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|kept| !kept.is_closed()) {
            return Ok((Arc::clone(connection), false));
        }
        if let Some(until) = state.not_before {
            sleep_until(until).await;
        }
        // if the connect limit drops us here, that was a failure too
        state.fail();
        let connection = Arc::new(connect::connect(target).await?);
        *state = State { connection: Some(Arc::clone(&connection)), failures: 0, not_before: None };
        Ok((connection, true))
    }

    /// Drops a connection that proved dead, unless another has taken its place.
    async fn forget(&self, dead: &Arc<Handle<Judge>>) {
        let mut state = self.state.lock().await;
        if state.connection.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, dead)) {
            state.connection = None;
        }
    }
}

impl State {
    fn fail(&mut self) {
        let wait = BACKOFF.saturating_mul(1 << self.failures.min(10)).min(MAX_BACKOFF);
        self.not_before = Some(Instant::now() + wait);
        self.failures += 1;
    }
}

async fn open(
    connection: &Arc<Handle<Judge>>,
    path: &str,
    service: Service,
    version: Version,
) -> Result<Stream, Error> {
    let opened = async {
        let channel = connection.channel_open_session().await?;
        if version > Version::V0 {
            // a server that does not accept it answers in v0, which is understood
            let value = format!("version={}", version as u8);
            channel.set_env(false, "GIT_PROTOCOL", value).await?;
        }
        channel.exec(true, format!("{service} {}", quote(path))).await?;
        Ok::<_, russh::Error>(channel)
    };
    let channel = match timeout(CHANNEL, opened).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => {
            let words = "its ssh server opens no channel";
            return Err(Error::new(ErrorKind::Unreachable, words).with_source(error));
        }
        Err(_) => return Err(Error::new(ErrorKind::Unreachable, "its ssh server is silent")),
    };
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
