//! The refs a session is answered from: asked of the origin once the session is there, and never before.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use gate_store::Snapshot;
use proto::ObjectFormat;

use crate::company::Company;
use crate::{Client, Error};

/// A question to the origin that is on its way already, whether or not somebody awaits it.
pub type Asked = BoxFuture<'static, Result<Arc<Snapshot>, Error>>;

/// The snapshot of one session.
pub struct Refresh {
    ask: Box<dyn Fn() -> Asked + Send + Sync>,
    known_format: Option<ObjectFormat>,
    company: Company,
    state: State,
}

enum State {
    Asked(Asked),
    /// The flag tells whether refs were listed from it.
    Known(Arc<Snapshot>, bool),
    Failed,
}

impl Refresh {
    /// Asks at once. `known_format` is that of the mirror on disk, if there is one; `company` is kept to who waits.
    pub fn new(
        known_format: Option<ObjectFormat>,
        company: Company,
        ask: impl Fn() -> Asked + Send + Sync + 'static,
    ) -> Self {
        let state = State::Asked(ask());
        Self { ask: Box::new(ask), known_format, company, state }
    }

    /// The repository's object format; only a repository without a mirror has to wait for it.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    pub async fn format(&mut self, client: &mut Client) -> Result<ObjectFormat, Error> {
        match self.known_format {
            Some(format) => Ok(format),
            None => Ok(self.snapshot(client, false).await?.format()),
        }
    }

    /// The snapshot this session works with. A client that is not `quiet` is told how far it is, if it can be.
    ///
    /// # Errors
    /// The origin did not confirm its refs, or the client went away.
    pub async fn snapshot(
        &mut self,
        client: &mut Client,
        quiet: bool,
    ) -> Result<Arc<Snapshot>, Error> {
        if let State::Known(snapshot, _) = &self.state {
            return Ok(Arc::clone(snapshot));
        }
        let asked = match std::mem::replace(&mut self.state, State::Failed) {
            State::Asked(asked) => asked,
            State::Known(..) | State::Failed => (self.ask)(),
        };
        let snapshot = self.company.during(client, quiet, asked).await??;
        self.state = State::Known(Arc::clone(&snapshot), false);
        Ok(snapshot)
    }

    /// The snapshot to list refs from. A second listing in one session is a new question, and gets a new answer.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    pub async fn snapshot_to_list(&mut self, client: &mut Client) -> Result<Arc<Snapshot>, Error> {
        if matches!(self.state, State::Known(_, true)) {
            self.state = State::Failed;
        }
        let snapshot = self.snapshot(client, false).await?;
        self.state = State::Known(Arc::clone(&snapshot), true);
        Ok(snapshot)
    }
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Asked(_) => "asked",
            State::Known(..) => "known",
            State::Failed => "failed",
        };
        f.debug_struct("Refresh").field("state", &state).finish_non_exhaustive()
    }
}
