//! The origin's receive-pack, opened while the client still sends its pack.

use std::sync::Arc;

use bstr::BString;
use proto::ObjectFormat;
use proto::send_pack::Update;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::Context;
use crate::dial;
use crate::forward::{Opened, open};

/// A connection under way. Dropped unused, it is closed politely.
#[derive(Debug)]
pub(super) struct Ahead {
    opening: Option<JoinHandle<Result<Opened, dial::Error>>>,
    tails: TaskTracker,
}

impl Ahead {
    /// Begins to open; whether it worked shows when it is needed.
    pub(super) fn open(context: &Context, format: ObjectFormat, updates: &[Update]) -> Self {
        let opening = opening(context, format, updates);
        let opening = Some(tokio::spawn(opening.in_current_span()));
        Self { opening, tails: context.tails.clone() }
    }

    /// The connection, if it came to be and still stands.
    pub(super) async fn take(mut self) -> Option<Opened> {
        let opening = self.opening.take()?;
        // a failure is told by whoever opens anew
        let mut opened = opening.await.ok()?.ok()?;
        opened.is_alive().then_some(opened)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            self.tails.spawn(async move {
                if let Ok(Ok(opened)) = opening.await {
                    opened.close().await;
                }
            });
        }
    }
}

/// Opens the origin for `updates`, whose current values are looked out for.
pub(super) fn opening(
    context: &Context,
    format: ObjectFormat,
    updates: &[Update],
) -> impl Future<Output = Result<Opened, dial::Error>> + Send + 'static + use<> {
    let watch: Vec<BString> = updates.iter().map(|update| update.name.as_bstr().into()).collect();
    let (dial, rule) = (Arc::clone(&context.dial), Arc::clone(&context.rule));
    let limit = context.config.limits.refresh.duration();
    async move { open(&*dial, &rule, format, watch, limit).await }
}
