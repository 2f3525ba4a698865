//! The connections to one target: as many as it takes, since a server bounds the sessions on each (sshd's MaxSessions).

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use gate_core::dial::{Error, ErrorKind};
use russh::Disconnect;
use russh::client::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{Instrument as _, debug};

use super::Target;
use super::connect::{self, Judge};
use super::session::{Place, Refusal, Session};

/// Most connections to one target. Who finds all of them full waits for a place.
const MOST_CONNECTIONS: usize = 16;
/// The wait before the second attempt in a row; doubled with each failure up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// What is kept of one target.
#[derive(Debug)]
pub(super) struct Pool {
    target: Target,
    idle: Duration,
    kept: Mutex<Vec<Arc<Kept>>>,
    /// Sessions that the server lets onto one connection, as far as it has told by refusing one.
    most: AtomicUsize,
    /// Told when a place or a connection has become free.
    freed: Notify,
    /// Held while a connection is made, so that those who wait share it, or its failure.
    making: tokio::sync::Mutex<Making>,
}

#[derive(Debug, Default)]
struct Making {
    failures: u32,
    not_before: Option<Instant>,
    failed: Option<(Instant, ErrorKind, String)>,
}

/// One connection.
pub(super) struct Kept {
    handle: Handle<Judge>,
    state: Mutex<State>,
    served: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Places taken on it, that of `ahead` among them.
    used: usize,
    /// A channel opened before it is needed. No program runs in it, so that it is good for every repository.
    ahead: Option<Session>,
    since: Instant,
}

impl Pool {
    pub(super) fn new(target: Target, idle: Duration) -> Self {
        Self {
            target,
            idle,
            kept: Mutex::default(),
            most: AtomicUsize::new(usize::MAX),
            freed: Notify::new(),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// A channel on a connection that is there, or on a new one.
    pub(super) async fn session(self: &Arc<Self>) -> Result<Session, Error> {
        let came = Instant::now();
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(session) = self.take_ahead() {
                return Ok(session);
            }
            match self.take_place(0) {
                Some(place) => match place.open().await {
                    Ok(session) => return Ok(session),
                    Err(Refusal { error, is_final: true }) => return Err(error),
                    Err(Refusal { error, .. }) => debug!(%error, "trying another ssh connection"),
                },
                None if lock(&self.kept).len() < MOST_CONNECTIONS => self.connect(came).await?,
                None => freed.await,
            }
        }
    }

    /// Opens a channel for the next who comes, where there is more than one place left.
    pub(super) fn open_ahead(self: &Arc<Self>) {
        if lock(&self.kept).iter().any(|kept| lock(&kept.state).ahead.is_some()) {
            return;
        }
        let Some(place) = self.take_place(1) else { return };
        let (pool, kept) = (Arc::clone(self), Arc::clone(place.kept()));
        let open = async move {
            match place.open().await {
                Ok(session) => {
                    let is_kept = lock(&pool.kept).iter().any(|one| Arc::ptr_eq(one, &kept));
                    let before =
                        if is_kept { lock(&kept.state).ahead.replace(session) } else { None };
                    drop(before);
                }
                Err(Refusal { error, .. }) => debug!(%error, "no channel could be opened ahead"),
            }
        };
        tokio::spawn(open.in_current_span());
    }

    fn take_ahead(&self) -> Option<Session> {
        let take = |kept: &Arc<Kept>| lock(&kept.state).ahead.take();
        let sessions: Vec<_> = self.alive().iter().filter_map(take).collect();
        sessions.into_iter().find_map(Session::unheard)
    }

    /// A place on a connection that has at least `spare` more.
    fn take_place(self: &Arc<Self>, spare: usize) -> Option<Place> {
        let most = self.most.load(Ordering::Relaxed);
        let kept = self.alive().into_iter().find(|kept| {
            let mut state = lock(&kept.state);
            let has_room = state.used.saturating_add(spare) < most;
            state.used += usize::from(has_room);
            has_room
        })?;
        Some(Place::new(Arc::clone(self), kept))
    }

    fn alive(&self) -> Vec<Arc<Kept>> {
        let mut kept = lock(&self.kept);
        let over: Vec<_> = kept.extract_if(.., |kept| kept.handle.is_closed()).collect();
        let alive = kept.clone();
        drop(kept);
        over.iter().for_each(Kept::abandon);
        alive
    }

    /// Makes one more connection, unless somebody else has made room, or has failed, since `came`.
    async fn connect(self: &Arc<Self>, came: Instant) -> Result<(), Error> {
        let mut making = self.making.lock().await;
        let most = self.most.load(Ordering::Relaxed);
        if self.alive().iter().any(|kept| lock(&kept.state).used < most) {
            return Ok(());
        }
        if let Some((_, kind, words)) = making.failed.as_ref().filter(|failed| failed.0 >= came) {
            return Err(Error::new(*kind, words));
        }
        if let Some(until) = making.not_before {
            sleep_until(until).await;
        }
        // if the connect limit drops us here, that was a failure too
        making.fail();
        match connect::connect(&self.target).await {
            Ok(handle) => {
                *making = Making::default();
                let kept = Arc::new(Kept::new(handle));
                lock(&self.kept).push(Arc::clone(&kept));
                let mind = mind(Arc::downgrade(self), Arc::downgrade(&kept), self.idle);
                tokio::spawn(mind.in_current_span());
                self.freed.notify_waiters();
                Ok(())
            }
            Err(error) => {
                making.failed = Some((Instant::now(), error.kind(), error.words().to_owned()));
                Err(error)
            }
        }
    }

    /// The server has refused one more session on this connection; whether it has let none onto it at all.
    pub(super) fn is_full(&self, kept: &Arc<Kept>) -> bool {
        let others = lock(&kept.state).used - 1;
        if others == 0 {
            // it counts some that were let go: another connection has none of them
            self.retire(kept);
        } else {
            self.most.fetch_min(others, Ordering::Relaxed);
        }
        others == 0
    }

    /// Nobody is to use the connection any more; who uses it already goes on.
    pub(super) fn retire(&self, kept: &Arc<Kept>) {
        lock(&self.kept).retain(|one| !Arc::ptr_eq(one, kept));
        kept.abandon();
        self.freed.notify_waiters();
    }

    /// A place is free again.
    pub(super) fn leave(&self, kept: &Kept) {
        let mut state = lock(&kept.state);
        (state.used, state.since) = (state.used - 1, Instant::now());
        drop(state);
        self.freed.notify_waiters();
    }
}

impl Kept {
    fn new(handle: Handle<Judge>) -> Self {
        let state = State { used: 0, ahead: None, since: Instant::now() };
        Self { handle, state: Mutex::new(state), served: AtomicBool::new(false) }
    }

    pub(super) fn handle(&self) -> &Handle<Judge> {
        &self.handle
    }

    /// Lets go of the channel opened ahead, which holds the connection as the connection holds it.
    fn abandon(self: &Arc<Self>) {
        let ahead = lock(&self.state).ahead.take();
        // takes the lock itself
        drop(ahead);
    }

    /// It has opened a channel.
    pub(super) fn serves(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// Whether it ever opened a channel.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Ends a connection that nobody has used for so long, such as one whose credential is no longer configured.
async fn mind(pool: Weak<Pool>, kept: Weak<Kept>, idle: Duration) {
    let mut rest = idle;
    loop {
        sleep(rest).await;
        let (Some(pool), Some(kept)) = (pool.upgrade(), kept.upgrade()) else { return };
        rest = {
            let state = lock(&kept.state);
            let is_used = state.used > usize::from(state.ahead.is_some());
            if is_used { idle } else { idle.saturating_sub(state.since.elapsed()) }
        };
        if rest.is_zero() {
            pool.retire(&kept);
            // one that is over needs no farewell
            drop(kept.handle.disconnect(Disconnect::ByApplication, "", "").await);
            return;
        }
    }
}

impl Making {
    fn fail(&mut self) {
        let wait = BACKOFF.saturating_mul(1 << self.failures.min(10)).min(MAX_BACKOFF);
        self.not_before = Some(Instant::now() + wait);
        self.failures += 1;
    }
}

/// Takes a lock that is never held across anything that could panic halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let mut making = Making::default();
        for _ in 0..40 {
            making.fail();
        }
        let wait = making.not_before.unwrap() - Instant::now();
        assert!(wait <= MAX_BACKOFF && wait > MAX_BACKOFF / 2);
    }
}
