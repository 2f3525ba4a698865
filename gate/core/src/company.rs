//! Keeps a client company while the origin is asked and mirrored, wherever the protocol has a place for words.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;

use crate::mirror::Progress;
use crate::{Client, Error};

/// What a client that waits for a mirror may be told.
#[derive(Clone, Debug)]
pub struct Company {
    /// The longest silence, `limits.keepalive`.
    pub every: Duration,
    pub progress: watch::Receiver<Option<Progress>>,
}

impl Company {
    /// Awaits `work`. Where the protocol has a sideband by now, the client reads how far things are there (only that
    /// the connection lives if it is `quiet`); over ssh on stderr; else nothing can be said before the answer.
    ///
    /// # Errors
    /// The client is gone, or takes nothing. The mirroring it waited for goes on.
    pub(crate) async fn during<T>(
        &self,
        client: &mut Client,
        quiet: bool,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        let mut told = None;
        loop {
            if let Ok(done) = tokio::time::timeout(self.every, &mut work).await {
                return Ok(done);
            }
            let progress = self.progress.borrow().clone().filter(|_| !quiet);
            match progress.filter(|now| told.as_ref() != Some(now)) {
                Some(progress) => {
                    client.murmur(&format!("mirroring the origin: {progress}")).await?;
                    told = Some(progress);
                }
                None => client.keep_alive().await?,
            }
        }
    }
}
