//! ssh origins: connections kept for each host and credential, a channel and a program of its own a conversation.

mod channel;
mod connect;
mod identity;
mod kept;
mod known_hosts;
mod pool;
mod session;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gate_core::dial::{Error, Stream};
use proto::{Service, Version};
use tracing::debug;

use self::pool::Pool;

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
#[derive(Debug)]
pub(super) struct Connections {
    kept: Mutex<HashMap<Target, Arc<Pool>>>,
    idle: Duration,
}

impl Connections {
    /// `idle` is how long a connection is kept that nobody uses.
    pub(super) fn new(idle: Duration) -> Self {
        Self { kept: Mutex::default(), idle }
    }

    /// Runs `service` at `path` in a channel of its own.
    pub(super) async fn dial(
        &self,
        target: Target,
        path: &str,
        service: Service,
        version: Version,
    ) -> Result<Stream, Error> {
        let pool = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Pool::new(target.clone(), self.idle));
            Arc::clone(kept.entry(target.clone()).or_insert_with(new))
        };
        loop {
            let session = pool.session().await?;
            let is_proved = session.is_proved();
            let line = format!("{service} {}", quote(path));
            match session.start(line, version, path.as_bytes()).await {
                Err(error) if !is_proved => {
                    debug!(%error, "the kept ssh connection is over: taking another");
                }
                outcome => {
                    pool.open_ahead();
                    return outcome;
                }
            }
        }
    }
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
}
