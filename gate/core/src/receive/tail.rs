//! From the first byte to the origin on: a task of its own, which runs to its end even if the client goes away.

use proto::receive_pack::Command;
use proto::send_pack::Update;
use tracing::Instrument as _;

use super::ahead::{Ahead, opening};
use super::audit::Audit;
use super::notes::Notes;
use super::refused::{By, Refused};
use super::stages::Accepted;
use super::{Context, Push, Pushed, Settled};
use crate::Error;
use crate::forward::{Atomicity, Order, precheck};
use crate::policy::Refusal;

impl Push<'_> {
    /// Forwards, commits, reports.
    pub(super) async fn forward(
        mut self,
        accepted: Accepted,
        ahead: Ahead,
    ) -> Result<Pushed, Error> {
        let (notes, mut words) = Notes::new();
        let status = notes.status.clone();
        let tail = Tail {
            context: self.context.clone(),
            session_id: self.session.id.to_string(),
            commands: self.request.commands.clone(),
            dropped: std::mem::take(&mut self.dropped),
            demands_atomic: self.request.asked.atomic,
            quiet: self.request.asked.quiet,
            shallow: self.snapshot.shallow().to_vec(),
            format: self.snapshot.format(),
            audit: self.audit.clone(),
            notes,
        };
        let task = tail.run(accepted, ahead).in_current_span();
        let task = self.context.tails.spawn(task);
        let settled = self.companion().during(&|| status.get(), Some(&mut words), task).await?;
        let settled = settled.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.answer(&settled.report, &settled.lines, None).await
    }
}

/// All that the tail needs once the client may be gone.
pub(super) struct Tail {
    pub(super) context: Context,
    pub(super) session_id: String,
    pub(super) commands: Vec<Command>,
    pub(super) dropped: Vec<Refusal>,
    demands_atomic: bool,
    quiet: bool,
    shallow: Vec<proto::ObjectId>,
    format: proto::ObjectFormat,
    pub(super) audit: Audit,
    notes: Notes,
}

impl Tail {
    async fn run(self, accepted: Accepted, ahead: Ahead) -> Settled {
        let opened = match ahead.take().await {
            Some(opened) => opened,
            None => match opening(&self.context, self.format, accepted.updates()).await {
                Ok(opened) => opened,
                Err(error) => return self.unsent(&Refused::origin(&error)),
            },
        };
        let order = self.order(&accepted);
        let mut refusals = self.moved(accepted.updates());
        if refusals.is_empty() {
            refusals = precheck(&opened, &order);
        }
        if !refusals.is_empty() {
            opened.close().await;
            return self.unsent(&Refused::refs(By::Origin, refusals));
        }
        let silence = self.context.config.limits.forward.duration();
        let pool = &self.context.pools.io;
        match accepted.deliver(opened, &order, pool, silence, &self.notes).await {
            Ok(receipt) => self.settle(receipt).await,
            Err(error) => {
                let refused = Refused::gate(&self.session_id, &*error);
                self.unsent(&refused)
            }
        }
    }

    /// What another push through this gate has moved since the commands were judged.
    fn moved(&self, updates: &[Update]) -> Vec<Refusal> {
        let Some(store) = self.context.mirror.store() else { return Vec::new() };
        let snapshot = store.snapshot();
        let current =
            |update: &Update| snapshot.refs().get(update.name.as_bytes()).map(|entry| entry.target);
        let moved = |update: &&Update| current(update) != update.old;
        let reason = |update: &Update| {
            let word = if update.new.is_some() { "fetch first" } else { "stale info" };
            Refusal::new(update.name.as_bstr(), word)
        };
        updates.iter().filter(moved).map(reason).collect()
    }

    fn order(&self, accepted: &Accepted) -> Order {
        let mut updates = accepted.updates().to_vec();
        let prefers = self.context.config.policy.atomic && updates.len() > 1;
        let atomicity = if self.demands_atomic {
            Atomicity::Demanded
        } else if prefers && !makes_room(&updates) {
            Atomicity::Preferred
        } else {
            Atomicity::Off
        };
        // hooks and reports at the origin follow the client's order, unless one name has to make room first
        if atomicity == Atomicity::Off && makes_room(&updates) {
            updates.sort_by_key(|update| update.new.is_some());
        }
        Order {
            format: self.format,
            updates,
            atomicity,
            quiet: self.quiet,
            options: accepted.options().to_vec(),
            shallow: self.shallow.clone(),
            session_id: self.session_id.clone(),
        }
    }

    /// Ends a push of which the origin heard nothing.
    fn unsent(mut self, refused: &Refused) -> Settled {
        let report = refused.report(&self.commands);
        std::mem::take(&mut self.audit).refused(refused, &report);
        Settled { report, lines: refused.lines.clone() }
    }
}

/// Whether a ref is deleted to make room for another (`a` for `a/b`, or the other way round): git's transactions check
/// every new name against the refs that are there, so that such a push never passes as one.
fn makes_room(updates: &[Update]) -> bool {
    let is_below = |inner: &Update, outer: &Update| {
        let rest = inner.name.as_bytes().strip_prefix(outer.name.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b'/'))
    };
    let deleted: Vec<_> = updates.iter().filter(|update| update.new.is_none()).collect();
    updates.iter().filter(|update| update.new.is_some()).any(|created| {
        deleted.iter().any(|gone| is_below(created, gone) || is_below(gone, created))
    })
}
