//! Sessions opened ahead: connected, advertisement read, waiting to be asked for the refs, once.

use std::sync::Arc;
use std::time::Duration;

use gate_config::ResolvedRepo;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tracing::{Instrument as _, debug};

use super::conversation::Conversation;
use crate::dial::Dial;

/// How long a session waits to be used before it is closed; the origin holds a process for it.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// A session that is being opened, or waits. Dropping it hangs up.
#[derive(Debug)]
pub(super) struct Ahead {
    ask: oneshot::Sender<oneshot::Sender<Conversation>>,
    task: AbortOnDrop,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ahead {
    /// Opens a session in the background; a failure shows when it is taken.
    pub(super) fn open(dial: Arc<dyn Dial>, rule: Arc<ResolvedRepo>, limit: Duration) -> Self {
        let (ask, asked) = oneshot::channel();
        let work = async move {
            match tokio::time::timeout(limit, Conversation::open(&*dial, &rule)).await {
                Ok(Ok(conversation)) => wait(conversation, asked).await,
                Ok(Err(error)) => debug!(%error, "no session could be opened ahead"),
                Err(_) => debug!("no session could be opened ahead in time"),
            }
        };
        let task = tokio::spawn(work.in_current_span());
        Self { ask, task: AbortOnDrop(task.abort_handle()) }
    }

    /// One that is open already.
    pub(super) fn keep(conversation: Conversation) -> Self {
        let (ask, asked) = oneshot::channel();
        let task = tokio::spawn(wait(conversation, asked).in_current_span());
        Self { ask, task: AbortOnDrop(task.abort_handle()) }
    }

    /// The session, once it is open; `None` if it could not be opened, or is over.
    pub(super) async fn take(self) -> Option<Conversation> {
        let Self { ask, task } = self;
        let (answer, conversation) = oneshot::channel();
        ask.send(answer).ok()?;
        let conversation = conversation.await.ok();
        drop(task);
        conversation
    }
}

async fn wait(
    mut conversation: Conversation,
    asked: oneshot::Receiver<oneshot::Sender<Conversation>>,
) {
    tokio::select! {
        biased;
        () = conversation.hung_up() => debug!("the origin closed a session opened ahead"),
        asked = asked => if let Ok(answer) = asked {
            // who asked and left does not need it
            drop(answer.send(conversation));
        },
        () = sleep(KEPT) => conversation.close().await,
    }
}
