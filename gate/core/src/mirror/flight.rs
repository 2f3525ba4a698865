//! Single flight: one refresh at a time, and nobody joins one whose question was put before they came.

use std::sync::{Arc, Mutex};

use gate_store::Snapshot;
use tokio::sync::watch;
use tracing::Instrument as _;

use super::{Inner, RefreshError, lock};

type Outcome = Result<Arc<Snapshot>, RefreshError>;

/// The refresh that runs, and the one that follows if anybody waits for it.
#[derive(Debug, Default)]
pub(super) struct Flights {
    board: Mutex<Board>,
}

#[derive(Debug, Default)]
struct Board {
    running: Option<Flight>,
    next: Option<Flight>,
}

#[derive(Debug)]
struct Flight {
    outcome: watch::Sender<Option<Outcome>>,
    /// Whether the origin has been asked: then its answer may be older than a caller who comes now.
    asked: bool,
}

/// A place on a flight.
#[derive(Debug)]
pub(super) struct Landing {
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Landing {
    /// Waits until the refresh is over.
    pub(super) async fn wait(mut self) -> Outcome {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().expect("it was waited for"),
            Err(gone) => Err(RefreshError::gate(gone)),
        }
    }
}

impl Flights {
    /// Takes a place on the next flight whose question is still to be put; starts it if none is under way.
    pub(super) fn board(&self, inner: &Arc<Inner>) -> Landing {
        let mut board = lock(&self.board);
        let flight = match &mut board.running {
            Some(running) if !running.asked => running,
            Some(_) => board.next.get_or_insert_with(Flight::new),
            None => {
                let driver = Driver { inner: Arc::clone(inner) };
                tokio::spawn(driver.drive().in_current_span());
                board.running.insert(Flight::new())
            }
        };
        Landing { outcome: flight.outcome.subscribe() }
    }

    /// The question is about to be put: who comes from now on waits for the next flight.
    pub(super) fn depart(&self) {
        if let Some(running) = &mut lock(&self.board).running {
            running.asked = true;
        }
    }

    /// Tells the outcome; whether another flight follows.
    fn land(&self, outcome: Outcome) -> bool {
        let mut board = lock(&self.board);
        let next = board.next.take();
        let follows = next.is_some();
        if let Some(landed) = std::mem::replace(&mut board.running, next) {
            landed.outcome.send_replace(Some(outcome));
        }
        follows
    }
}

impl Flight {
    fn new() -> Self {
        Self { outcome: watch::Sender::new(None), asked: false }
    }
}

/// Runs flights until nobody waits for another. If it is dropped before, all who wait are told.
struct Driver {
    inner: Arc<Inner>,
}

impl Driver {
    async fn drive(self) {
        while self.inner.flights.land(self.inner.update().await) {}
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // after a regular end a new flight may be under way already, with a driver of its own
        if std::thread::panicking() {
            *lock(&self.inner.flights.board) = Board::default();
        }
    }
}
