//! The mirror's place on disk: opened at the first refresh, made after the origin's first answer, made anew if damaged.

use std::sync::Arc;

use gate_store::Store;
use proto::ObjectFormat;
use tracing::{info, warn};

use super::{Inner, RefreshError, lock};
use crate::blocking;

impl Inner {
    /// The store, opened if need be; `None` if there is none yet, or none that can be used.
    pub(super) async fn open_store(&self) -> Result<Option<Arc<Store>>, RefreshError> {
        let open = lock(&self.store).clone();
        if open.is_some() {
            return Ok(open);
        }
        let dir = self.dir.clone();
        let kept = self.context.limits.kept_packs.bytes();
        let opened = blocking::run(&self.context.cpu, move |_| {
            if !dir.exists() {
                return Ok(None);
            }
            match Store::open(&dir) {
                Ok(store) => {
                    store.set_kept_limit(kept);
                    Ok(Some(Arc::new(store)))
                }
                Err(error) if error.is_damage() => {
                    warn!(%error, "a damaged mirror is made anew");
                    Store::destroy(&dir).map_err(RefreshError::gate)?;
                    Ok(None)
                }
                Err(error) => Err(RefreshError::gate(error)),
            }
        });
        let store = opened.await?;
        lock(&self.store).clone_from(&store);
        Ok(store)
    }

    /// Makes the store, in the place of an `old` one whose origin has changed its hash.
    pub(super) async fn make_store(
        &self,
        old: Option<Arc<Store>>,
        format: ObjectFormat,
    ) -> Result<Arc<Store>, RefreshError> {
        let dir = self.dir.clone();
        let made = blocking::run(&self.context.cpu, move |_| {
            if old.is_some() {
                warn!(format = format.as_str(), "the origin changed its object format");
                Store::destroy(&dir).map_err(RefreshError::gate)?;
            }
            Store::create(&dir, format).map_err(RefreshError::gate)
        });
        let store = Arc::new(made.await?);
        store.set_kept_limit(self.context.limits.kept_packs.bytes());
        info!(format = format.as_str(), "mirror made");
        *lock(&self.store) = Some(Arc::clone(&store));
        Ok(store)
    }
}
