//! The connections to one target: as many as the sessions on it need.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use gate_core::dial::{Error, ErrorKind};
use russh::Disconnect;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{Instrument as _, debug};

use super::Target;
use super::connect;
use super::kept::{Kept, Place, Room};
use super::session::{Refusal, Session};

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
    room: Arc<Room>,
    kept: Mutex<Vec<Arc<Kept>>>,
    /// A channel opened before it is needed. No program runs in it, so that it is good for every repository.
    ahead: Mutex<Option<Session>>,
    /// Held while a connection is made, so that those who wait share it, or its failure.
    making: tokio::sync::Mutex<Making>,
}

#[derive(Debug, Default)]
struct Making {
    failures: u32,
    not_before: Option<Instant>,
    failed: Option<(Instant, ErrorKind, String)>,
}

impl Pool {
    /// `idle` is how long a connection is kept that nobody uses.
    pub(super) fn new(target: Target, idle: Duration) -> Self {
        Self {
            target,
            idle,
            room: Arc::default(),
            kept: Mutex::default(),
            ahead: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// A channel on a connection that is there, or on a new one.
    pub(super) async fn session(self: &Arc<Self>) -> Result<Session, Error> {
        let came = Instant::now();
        loop {
            let mut freed = pin!(self.room.freed.notified());
            freed.as_mut().enable();
            let ahead = lock(&self.ahead).take();
            if let Some(session) = ahead.and_then(Session::unheard) {
                return Ok(session);
            }
            match self.take_place(0) {
                Some(place) => match Session::open(place).await {
                    Ok(session) => return Ok(session),
                    Err(Refusal { error, is_final: true }) => return Err(error),
                    Err(Refusal { error, .. }) => debug!(%error, "trying another ssh connection"),
                },
                None if self.usable().len() < MOST_CONNECTIONS => self.connect(came).await?,
                None => freed.await,
            }
        }
    }

    /// Opens a channel for the next who comes, where there is more than one place left.
    pub(super) fn open_ahead(self: &Arc<Self>) {
        if lock(&self.ahead).is_some() {
            return;
        }
        let Some(place) = self.take_place(1) else { return };
        let pool = Arc::clone(self);
        let open = async move {
            match Session::open(place).await {
                // one that another was quicker to open is closed
                Ok(session) => drop(lock(&pool.ahead).replace(session)),
                Err(Refusal { error, .. }) => debug!(%error, "no channel could be opened ahead"),
            }
        };
        tokio::spawn(open.in_current_span());
    }

    /// A place on a connection that has at least `spare` more.
    fn take_place(&self, spare: usize) -> Option<Place> {
        self.usable().iter().find_map(|kept| kept.take(spare))
    }

    fn usable(&self) -> Vec<Arc<Kept>> {
        let mut kept = lock(&self.kept);
        kept.retain(|kept| kept.is_usable());
        kept.clone()
    }

    /// How long a connection is kept from now on if nobody uses it; if for no time, nobody is to use it any more.
    fn rest_of(&self, kept: &Arc<Kept>) -> Duration {
        let mut ahead = lock(&self.ahead);
        let is_ahead = ahead.as_ref().is_some_and(|session| session.is_on(kept));
        let rest = kept.rest(usize::from(is_ahead), self.idle);
        let session = if rest.is_zero() && is_ahead { ahead.take() } else { None };
        drop(ahead);
        drop(session);
        rest
    }

    /// Makes one more connection, unless somebody else has made room, or has failed, since `came`.
    async fn connect(self: &Arc<Self>, came: Instant) -> Result<(), Error> {
        let mut making = self.making.lock().await;
        if self.usable().iter().any(|kept| kept.has_room(0)) {
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
                let kept = Arc::new(Kept::new(handle, Arc::clone(&self.room)));
                lock(&self.kept).push(Arc::clone(&kept));
                let mind = mind(Arc::downgrade(self), Arc::downgrade(&kept), self.idle);
                tokio::spawn(mind.in_current_span());
                self.room.freed.notify_waiters();
                Ok(())
            }
            Err(error) => {
                making.failed = Some((Instant::now(), error.kind(), error.words().to_owned()));
                Err(error)
            }
        }
    }
}

/// Ends a connection that nobody has used for so long, such as one whose credential is no longer configured.
async fn mind(pool: Weak<Pool>, kept: Weak<Kept>, idle: Duration) {
    let mut rest = idle;
    while !rest.is_zero() {
        sleep(rest).await;
        let (Some(pool), Some(kept)) = (pool.upgrade(), kept.upgrade()) else { return };
        rest = pool.rest_of(&kept);
    }
    if let Some(kept) = kept.upgrade() {
        // one that is over needs no farewell
        drop(kept.handle().disconnect(Disconnect::ByApplication, "", "").await);
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
