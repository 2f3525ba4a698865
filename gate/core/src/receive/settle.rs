//! What became of a push, found out and written down.

use std::collections::HashMap;
use std::sync::Arc;

use bstr::BString;
use gate_store::Snapshot;
use proto::receive_pack::{Command, Outcome, RefReport, Report};
use proto::send_pack::Update;
use tracing::{error, warn};

use super::Settled;
use super::refused::By;
use super::stages::Receipt;
use super::tail::Tail;
use crate::blocking::run;
use crate::chain;
use crate::forward::Fate;
use crate::policy::Refusal;

/// What git's receive-pack says when a ref is not at the value to compare with.
const LOST_RACES: [&str; 6] = [
    "failed to update ref",
    "failed to lock",
    "atomic transaction failed",
    "atomic push failure",
    "incorrect old value provided",
    "reference already exists",
];

impl Tail {
    /// Commits what the origin took, looks at its refs where it left that open, and makes the report.
    pub(super) async fn settle(mut self, receipt: Receipt) -> Settled {
        let receipt = Arc::new(receipt);
        self.commit(&receipt).await;
        let unknown = receipt.fates().any(|(_, fate)| *fate == Fate::Unknown);
        let look = unknown || receipt.fates().any(|(_, fate)| may_have_lost(fate));
        let seen = if look { self.look().await } else { None };
        let mut outcomes = HashMap::new();
        for (update, fate) in receipt.fates() {
            outcomes.insert(update.name.as_bytes(), outcome(update, fate, seen.as_deref()));
        }
        let report = Report {
            unpack: receipt.answer().unpack.clone(),
            refs: self.commands.iter().map(|c| report(c, &mut outcomes, &self.dropped)).collect(),
        };
        let mut lines = Vec::new();
        let cut = receipt.answer().cut.as_ref();
        if let Some(cut) = cut.filter(|_| unknown) {
            lines.push(cut.to_string());
            lines.push(match &seen {
                Some(_) => "Its report is missing; what follows is what its refs show.".to_owned(),
                None => {
                    "Its report is missing, and its refs can't be seen: the outcome is unknown."
                        .to_owned()
                }
            });
        }
        let cause = cut.map(|cut| chain(cut));
        let audit = std::mem::take(&mut self.audit);
        if report.refs.iter().any(RefReport::is_ok) {
            audit.pushed(&report, cause.as_deref());
        } else {
            audit.refused_by(By::Origin, &report, cause.as_deref());
        }
        Settled { report, lines }
    }

    async fn commit(&self, receipt: &Arc<Receipt>) {
        let Some(store) = self.context.mirror.store() else { return };
        let committed = Arc::clone(receipt);
        let commit = run(&self.context.pools.cpu, move |_| committed.commit(&store)).await;
        match commit {
            Ok(None) => {}
            Ok(Some(_)) => self.context.mirror.tidy(),
            // the origin has it: the next refresh brings it
            Err(error) => error!(error.chain = chain(&error), "push not committed to the mirror"),
        }
    }

    /// The origin's refs as they are now.
    async fn look(&self) -> Option<Arc<Snapshot>> {
        match self.context.mirror.refresh().await {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                warn!(error.chain = chain(&error), "outcome of a push can't be looked up");
                None
            }
        }
    }
}

fn may_have_lost(fate: &Fate) -> bool {
    matches!(fate, Fate::Refused(reason) if LOST_RACES.iter().any(|word| reason == word))
}

fn outcome(update: &Update, fate: &Fate, seen: Option<&Snapshot>) -> Outcome {
    let current =
        |snapshot: &Snapshot| snapshot.refs().get(update.name.as_bytes()).map(|entry| entry.target);
    match (fate, seen.map(current)) {
        (Fate::Done(rewrites), _) => Outcome::Ok(rewrites.clone()),
        (Fate::Refused(_), Some(now))
            if may_have_lost(fate) && now != update.old && now != update.new =>
        {
            Outcome::Ng(if update.new.is_some() { "fetch first" } else { "stale info" }.into())
        }
        (Fate::Refused(reason), _) => Outcome::Ng(reason.clone()),
        (Fate::Unknown, Some(now)) if now == update.new => Outcome::Ok(Vec::new()),
        (Fate::Unknown, Some(now)) if now == update.old => {
            Outcome::Ng("origin did not report; the ref is unchanged".into())
        }
        (Fate::Unknown, Some(_)) => {
            Outcome::Ng("origin did not report; the ref has another value".into())
        }
        (Fate::Unknown, None) => Outcome::Ng("outcome unknown: origin did not report".into()),
    }
}

fn report(
    command: &Command,
    outcomes: &mut HashMap<&[u8], Outcome>,
    dropped: &[Refusal],
) -> RefReport {
    let name = command.name.clone();
    if let Some(outcome) = outcomes.remove(command.name.as_slice()) {
        return RefReport { name, outcome };
    }
    let reason = dropped.iter().find(|refusal| refusal.name == command.name);
    let reason = reason.map_or(BString::from("not sent"), |refusal| refusal.reason.as_str().into());
    RefReport { name, outcome: Outcome::Ng(reason) }
}
