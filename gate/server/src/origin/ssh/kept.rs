//! One connection, and the places that its sessions take on it: a server lets only so many onto each (sshd's MaxSessions).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::client::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::Judge;

/// What the connections to one target share.
#[derive(Debug)]
pub(super) struct Room {
    /// Sessions that the server lets onto one connection, as far as it has told by refusing one.
    most: AtomicUsize,
    /// Told when a place or a connection has become free.
    pub freed: Notify,
}

impl Default for Room {
    fn default() -> Self {
        Self { most: AtomicUsize::new(usize::MAX), freed: Notify::new() }
    }
}

/// One connection.
pub(super) struct Kept {
    handle: Handle<Judge>,
    room: Arc<Room>,
    taken: Mutex<Taken>,
    has_served: AtomicBool,
    is_retired: AtomicBool,
}

#[derive(Debug)]
struct Taken {
    places: usize,
    /// When the last place was taken or left.
    since: Instant,
}

impl Kept {
    pub(super) fn new(handle: Handle<Judge>, room: Arc<Room>) -> Self {
        Self {
            handle,
            room,
            taken: Mutex::new(Taken { places: 0, since: Instant::now() }),
            has_served: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
        }
    }

    pub(super) fn handle(&self) -> &Handle<Judge> {
        &self.handle
    }

    /// Whether it stands, and may be used.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_retired.load(Ordering::Relaxed) && !self.handle.is_closed()
    }

    /// Nobody is to use it any more; who uses it already goes on.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
        self.room.freed.notify_waiters();
    }

    /// Whether a place is left, and `spare` more.
    pub(super) fn has_room(&self, spare: usize) -> bool {
        self.taken().places.saturating_add(spare) < self.room.most.load(Ordering::Relaxed)
    }

    /// A place, if `spare` more are left behind it.
    pub(super) fn take(self: &Arc<Self>, spare: usize) -> Option<Place> {
        let most = self.room.most.load(Ordering::Relaxed);
        let mut taken = self.taken();
        if !self.is_usable() || taken.places.saturating_add(spare) >= most {
            return None;
        }
        *taken = Taken { places: taken.places + 1, since: Instant::now() };
        Some(Place { kept: Arc::clone(self) })
    }

    /// How long it is kept if no more than `places` are taken, for `idle` in all; if for no time more, it is retired.
    pub(super) fn rest(&self, places: usize, idle: Duration) -> Duration {
        let taken = self.taken();
        if taken.places > places {
            return idle;
        }
        let rest = idle.saturating_sub(taken.since.elapsed());
        if rest.is_zero() {
            self.retire();
        }
        rest
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // never held across anything that could panic halfway
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// A session's place on a connection, for as long as the server counts it.
#[derive(Debug)]
pub(super) struct Place {
    kept: Arc<Kept>,
}

impl Place {
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Whether it is on this very connection.
    pub(super) fn is_on(&self, kept: &Arc<Kept>) -> bool {
        Arc::ptr_eq(&self.kept, kept)
    }

    /// The server has opened a channel.
    pub(super) fn served(&self) {
        self.kept.has_served.store(true, Ordering::Relaxed);
    }

    /// The server refuses one more session: it lets only the others onto this connection. Where there are none it counts
    /// some that were let go, and another connection has none of them. Whether no connection would do.
    pub(super) fn refused(&self) -> bool {
        match self.kept.taken().places - 1 {
            0 => self.condemn(),
            others => {
                self.kept.room.most.fetch_min(others, Ordering::Relaxed);
                false
            }
        }
    }

    /// The connection proved dead. Whether no other would do: it has never opened a channel.
    pub(super) fn condemn(&self) -> bool {
        self.kept.retire();
        !self.kept.has_served.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.kept.taken();
        *taken = Taken { places: taken.places - 1, since: Instant::now() };
        drop(taken);
        self.kept.room.freed.notify_waiters();
    }
}
