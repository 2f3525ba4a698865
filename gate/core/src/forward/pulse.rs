//! When something last moved between the gate and an origin.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Shared by who moves bytes and who waits for them to stop.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Pulse {
    pub(super) fn beat(&self) {
        *self.last() = Instant::now();
    }

    /// Waits until nothing has moved for `silence`.
    pub(super) async fn stops(&self, silence: Duration) {
        loop {
            let end = *self.last() + silence;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_beat_begins_the_silence_anew() {
        let pulse = Pulse::default();
        let start = Instant::now();
        let beats = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(7)).await;
                pulse.beat();
            }
        };
        tokio::join!(pulse.stops(Duration::from_secs(10)), beats);
        assert_eq!(start.elapsed(), Duration::from_secs(31));
    }
}
