//! Consolidation in the background, after something changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tracing::{Instrument as _, info, warn};

use super::{Inner, lock};
use crate::blocking;

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
/// Something changed while it ran: once more.
const AGAIN: u8 = 2;

/// Whether consolidation runs.
#[derive(Debug, Default)]
pub(super) struct Tidying(AtomicU8);

impl Tidying {
    /// Whether the caller is to start; who comes while it runs makes it run once more.
    fn start(&self) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            Some(if state == IDLE { RUNNING } else { AGAIN })
        }) == Ok(IDLE)
    }

    /// Whether to run once more.
    fn end(&self) -> bool {
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            Some(if state == AGAIN { RUNNING } else { IDLE })
        });
        before == Ok(AGAIN)
    }
}

impl Inner {
    pub(super) fn tidy(self: &Arc<Self>) {
        let Some(store) = lock(&self.store).clone() else { return };
        if !self.tidying.start() {
            return;
        }
        let inner = Arc::clone(self);
        let work = async move {
            loop {
                let store = Arc::clone(&store);
                let work = move |interrupt: &_| store.consolidate(interrupt);
                match blocking::run(&inner.context.background, work).await {
                    Ok(done) if done.merged > 0 => {
                        info!(merged = done.merged, dropped = done.dropped, "packs consolidated");
                    }
                    Ok(_) => {}
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        warn!(error, "packs could not be consolidated");
                    }
                }
                if !inner.tidying.end() {
                    break;
                }
            }
        };
        tokio::spawn(work.in_current_span());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_runs_and_one_waits() {
        let tidying = Tidying::default();
        assert!(tidying.start());
        assert!(!tidying.start() && !tidying.start());
        assert!(tidying.end() && !tidying.end());
        assert!(tidying.start());
    }
}
