//! Places for those who come: so many at once, the others wait a while, and who waits in vain is told which limit it met.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// So many places of one kind.
#[derive(Clone, Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    count: usize,
    limit: &'static str,
}

/// A place taken; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Places {
    /// `limit` is the name of `count` in the config.
    pub fn new(count: usize, limit: &'static str) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(count)), count, limit }
    }

    /// Takes a place, in the order of arrival, waiting no longer than `limits.session_queue`.
    ///
    /// # Errors
    /// None came free.
    pub async fn take(&self, wait: Duration) -> Result<Place, Error> {
        let place = tokio::time::timeout(wait, Arc::clone(&self.free).acquire_owned()).await;
        match place {
            Ok(place) => Ok(Place(place.expect("places are never closed"))),
            Err(_) => Err(Error::client(format!(
                "busy: {} sessions at once (limits.{}), and none ended within {wait:?} \
                 (limits.session_queue)",
                self.count, self.limit
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_in_vain_is_told_the_limit() {
        let places = Places::new(1, "sessions");
        let wait = Duration::from_millis(5);
        let place = places.take(wait).await.unwrap();
        assert_eq!(
            places.take(wait).await.unwrap_err().to_string(),
            "busy: 1 sessions at once (limits.sessions), and none ended within 5ms \
             (limits.session_queue)"
        );
        drop(place);
        places.take(wait).await.unwrap();
    }
}
