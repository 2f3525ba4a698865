//! One generation of a pack that many wait for: they stream the file while it grows.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Kept, Key};
use crate::count::Counted;
use crate::{Interrupt, Interrupted, Progress, WriteError, Written};

/// How often a follower looks at its own interrupt while nothing comes.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes copied at a time.
const PIECE: usize = 1 << 18;

#[derive(Debug, Default)]
pub(super) struct Flight {
    state: Mutex<State>,
    news: Condvar,
    /// Ends the work when the last follower has gone.
    pub(super) interrupt: Interrupt,
}

#[derive(Debug, Default)]
struct State {
    followers: usize,
    progress: Option<Progress>,
    file: Option<Arc<File>>,
    bytes: u64,
    end: Option<End>,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    /// The pack lies whole in the file.
    Written(Written),
    /// Too small to be kept: whoever asked writes it.
    Small(Arc<Counted>),
    /// No pack was made; whoever asked makes it and hears of the reason.
    Failed,
}

/// How following ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Written(Written),
    /// The caller writes these objects.
    Counted(Arc<Counted>),
    /// The caller makes the pack; the first `sent` bytes of it are out already.
    Alone {
        sent: u64,
    },
}

impl Flight {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self, progress: Progress) {
        self.lock().progress = Some(progress);
        self.news.notify_all();
    }

    /// The pack begins to grow in this file.
    pub(super) fn grows_in(&self, file: Arc<File>) {
        self.lock().file = Some(file);
    }

    pub(super) fn grew(&self, bytes: u64) {
        self.lock().bytes = bytes;
        self.news.notify_all();
    }

    /// Tells all who follow; only the first end counts.
    pub(super) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.news.notify_all();
    }
}

/// One who waits for a flight's pack. When the last has gone, the work ends.
#[derive(Debug)]
pub(crate) struct Follower {
    kept: Arc<Kept>,
    key: Key,
    flight: Arc<Flight>,
}

impl Follower {
    /// Called with the lock on the flights held.
    pub(super) fn join(kept: &Arc<Kept>, key: Key, flight: &Arc<Flight>) -> Self {
        flight.lock().followers += 1;
        Self { kept: Arc::clone(kept), key, flight: Arc::clone(flight) }
    }

    pub(super) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Copies the pack to `out` as it grows.
    pub(crate) fn stream(
        &self,
        out: &mut dyn Write,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, WriteError> {
        let mut sent = 0;
        let mut piece = vec![0; PIECE];
        let mut heard = None;
        loop {
            interrupt.check()?;
            let (file, bytes, end) = {
                let mut state = self.flight.lock();
                let nothing_new = |state: &State| {
                    state.bytes == sent && state.end.is_none() && state.progress == heard
                };
                if nothing_new(&state) {
                    let waited = self.flight.news.wait_timeout(state, LOOK);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                heard = state.progress;
                (state.file.clone(), state.bytes, state.end.clone())
            };
            heard.iter().for_each(|heard| progress(*heard));
            if let Some(file) = file.filter(|_| bytes > sent) {
                while sent < bytes {
                    interrupt.check()?;
                    let len = PIECE.min((bytes - sent) as usize);
                    if file.read_exact_at(&mut piece[..len], sent).is_err() {
                        return Ok(Outcome::Alone { sent });
                    }
                    out.write_all(&piece[..len]).map_err(WriteError::Write)?;
                    sent += len as u64;
                }
                continue;
            }
            match end {
                Some(End::Written(written)) => {
                    return out
                        .flush()
                        .map(|()| Outcome::Written(written))
                        .map_err(WriteError::Write);
                }
                Some(End::Small(counted)) => return Ok(Outcome::Counted(counted)),
                Some(End::Failed) => return Ok(Outcome::Alone { sent }),
                None => {}
            }
        }
    }

    /// The number of objects, as soon as it is known.
    pub(crate) fn objects(&self) -> Option<u64> {
        match self.flight.lock().progress? {
            Progress::Writing { total, .. } => Some(total),
            Progress::Counting { .. } => None,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut kept = self.kept.lock();
        let mut state = self.flight.lock();
        state.followers -= 1;
        if state.followers == 0 && state.end.is_none() {
            self.flight.interrupt.set();
            // Nobody may board what is about to end.
            kept.forget(&self.key, &self.flight);
        }
    }
}

/// The growing file as a writer that tells those who follow.
#[derive(Debug)]
pub(super) struct Growing<'a> {
    pub(super) file: &'a File,
    pub(super) flight: &'a Flight,
    pub(super) bytes: u64,
}

impl Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.flight.interrupt.is_set() {
            return Err(io::Error::other(Interrupted));
        }
        let mut file = self.file;
        let len = file.write(bytes)?;
        self.bytes += len as u64;
        self.flight.grew(self.bytes);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
