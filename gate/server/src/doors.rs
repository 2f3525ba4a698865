//! The doors: each accepts in its own dialect, and hands the core a session and two streams.

pub mod git;
pub mod http;
mod prompt;
pub mod ssh;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gate_core::Gate;
use gate_core::limits::{Place, Places};
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedWriteHalf;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use prompt::Prompt;

/// What all doors share.
#[derive(Clone, Debug)]
pub struct Hall {
    pub gate: Arc<Gate>,
    /// Set when no one may come in any more.
    pub closing: CancellationToken,
    /// Set when those who are still in must leave.
    pub evicting: CancellationToken,
    /// Every connection's task.
    pub guests: TaskTracker,
    places: Places,
}

impl Hall {
    pub fn new(gate: Arc<Gate>) -> Self {
        let sessions = gate.config().limits.sessions;
        Self {
            gate,
            closing: CancellationToken::new(),
            evicting: CancellationToken::new(),
            guests: TaskTracker::new(),
            places: Places::new(connections(sessions), "sessions"),
        }
    }

    /// Accepts until the hall closes; each connection is a task of its own and holds a place.
    async fn accept<F>(self, listener: TcpListener, welcome: impl Fn(Hall, Guest) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let guest = tokio::select! {
                guest = self.next_guest(&listener) => guest,
                () = self.closing.cancelled() => return,
            };
            let evicted = self.evicting.clone();
            let visit = welcome(self.clone(), guest);
            self.guests.spawn(async move {
                tokio::select! {
                    () = visit => {}
                    () = evicted.cancelled() => {}
                }
            });
        }
    }

    /// The place is taken first: a connection that nobody has time for waits in the system's queue.
    async fn next_guest(&self, listener: &TcpListener) -> Guest {
        loop {
            let Ok(place) = self.places.take(Duration::MAX).await else { continue };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // delayed segments only cost time here: whatever is sent is meant to arrive
                    drop(stream.set_nodelay(true));
                    let (read, write) = stream.into_split();
                    return Guest { read: Prompt::new(read), write, peer, place };
                }
                Err(error) => self.recover(error).await,
            }
        }
    }

    /// A connection that broke before it was accepted is nothing; too many open files need a while to pass.
    async fn recover(&self, error: io::Error) {
        match error.kind() {
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {
                debug!(error.chain = %error, "accept failed");
            }
            _ => {
                warn!(error.chain = %error, "accept failed");
                let pause = self.gate.config().limits.accept_pause.duration();
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// One connection that was let in.
#[derive(Debug)]
pub struct Guest {
    read: Prompt,
    write: OwnedWriteHalf,
    peer: SocketAddr,
    place: Place,
}

/// Connections at once: more than sessions, since not every connection has said yet what it wants, and one that never does
/// must not keep out those that do.
fn connections(sessions: usize) -> usize {
    sessions.saturating_mul(2).saturating_add(64)
}
