//! Sessions opened ahead: connected, advertisement read, waiting to be asked for the refs, once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gate_config::ResolvedRepo;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tracing::{Instrument as _, debug};

use super::conversation::Conversation;
use super::{Context, lock};

/// All that wait, of every mirror: the origin holds a process or a connection for each, so that there is a most.
#[derive(Clone, Debug)]
pub struct AheadSessions {
    waiting: Arc<Mutex<VecDeque<AbortHandle>>>,
    most: usize,
}

impl AheadSessions {
    /// `most` is `limits.ahead`.
    pub fn new(most: usize) -> Self {
        Self { waiting: Arc::default(), most }
    }

    /// Takes another in; what waits longest is closed if there are too many.
    fn enter(&self, session: AbortHandle) {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|session| !session.is_finished());
        waiting.push_back(session);
        while waiting.len() > self.most
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.abort();
        }
    }
}

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
    pub(super) fn open(context: &Context, rule: Arc<ResolvedRepo>) -> Self {
        let (ask, asked) = oneshot::channel();
        let dial = Arc::clone(&context.dial);
        let (limit, idle) =
            (context.limits.refresh.duration(), context.limits.ahead_idle.duration());
        let work = async move {
            match tokio::time::timeout(limit, Conversation::open(&*dial, &rule)).await {
                Ok(Ok(conversation)) => wait(conversation, asked, idle).await,
                Ok(Err(error)) => debug!(%error, "no session could be opened ahead"),
                Err(_) => debug!("no session could be opened ahead in time"),
            }
        };
        let task = tokio::spawn(work.in_current_span());
        context.ahead.enter(task.abort_handle());
        Self { ask, task: AbortOnDrop(task.abort_handle()) }
    }

    /// One that is open already, and costs the origin nothing while it waits.
    pub(super) fn keep(context: &Context, conversation: Conversation) -> Self {
        let (ask, asked) = oneshot::channel();
        let idle = context.limits.ahead_idle.duration();
        let task = tokio::spawn(wait(conversation, asked, idle).in_current_span());
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
    idle: Duration,
) {
    tokio::select! {
        biased;
        () = conversation.hung_up() => debug!("the origin closed a session opened ahead"),
        asked = asked => if let Ok(answer) = asked {
            // who asked and left does not need it
            drop(answer.send(conversation));
        },
        () = sleep(idle) => conversation.close().await,
    }
}
