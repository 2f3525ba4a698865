//! One scanner kept ready for the next push: loading the rules takes most of a small push's time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::sleep;

use super::{Early, Shared};

/// The place of the scanner in reserve.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Option<Early>>);

impl Spare {
    pub(super) fn take(&self) -> Option<Early> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Early>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a scanner in reserve if there is none, and if one may be started ahead at all. Must be called within the runtime.
pub(super) fn keep(shared: &Arc<Shared>) {
    let mut spare = shared.spare.lock();
    if spare.is_none()
        && let Some(early) = shared.start_early()
    {
        tokio::spawn(expire(
            Arc::downgrade(shared),
            early.abort_handle().id(),
            shared.options.idle,
        ));
        *spare = Some(early);
    }
}

async fn expire(shared: Weak<Shared>, this: tokio::task::Id, after: Duration) {
    sleep(after).await;
    if let Some(shared) = shared.upgrade() {
        let unused = shared.spare.lock().take_if(|early| early.abort_handle().id() == this);
        drop(unused);
    }
}
