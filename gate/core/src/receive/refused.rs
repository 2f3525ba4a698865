//! Why a push is refused, and the words for it. Policy, scan, origin and gate read differently.

use std::collections::HashMap;

use bstr::BString;
use proto::receive_pack::{Command, RefReport, Report};

use crate::chain;
use crate::dial;
use crate::policy::Refusal;
use crate::scan::{self, AuditFinding, ScanError};

/// Whose no it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// What the client asked for can't be, whatever it brings.
    Command,
    /// The pack can't be taken.
    Pack,
    Scan,
    /// The scan did not come to an end that can be believed.
    Scanner,
    Policy,
    Origin,
    Gate,
}

impl By {
    /// The name in the audit event.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Pack => "pack",
            Self::Scan => "scan",
            Self::Scanner => "scanner",
            Self::Policy => "policy",
            Self::Origin => "origin",
            Self::Gate => "gate",
        }
    }
}

/// A push that ends before anything was sent to the origin.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) by: By,
    /// For `unpack`, if the pack is at fault.
    pub(super) unpack: Option<String>,
    /// The reason of each ref that has one of its own.
    pub(super) refs: Vec<Refusal>,
    /// The reason of all others.
    pub(super) others: String,
    /// What the person at the other end reads.
    pub(super) lines: Vec<String>,
    pub(super) findings: Vec<AuditFinding>,
    /// The report would repeat a secret: the client gets a last word in its place.
    pub(super) is_unspeakable: bool,
    /// What the log must keep beyond what the client reads.
    pub(super) cause: Option<String>,
}

const NOTHING_SENT: &str = "Nothing was sent to the origin.";

impl Refused {
    /// All refs, for one reason.
    pub(super) fn all(by: By, reason: impl Into<String>, line: impl Into<String>) -> Self {
        Self {
            by,
            unpack: None,
            refs: Vec::new(),
            others: reason.into(),
            lines: vec![format!("push refused: {}", line.into()), NOTHING_SENT.to_owned()],
            findings: Vec::new(),
            is_unspeakable: false,
            cause: None,
        }
    }

    /// Some refs for what they are, and the others with them.
    pub(super) fn refs(by: By, refs: Vec<Refusal>) -> Self {
        const TOLD: usize = 10;
        let mut lines: Vec<_> = refs
            .iter()
            .take(TOLD)
            .map(|refusal| {
                format!("push refused: {}: {}", refusal.name.escape_ascii(), refusal.reason)
            })
            .collect();
        if refs.len() > TOLD {
            lines.push(format!("and {} more", refs.len() - TOLD));
        }
        if refs.iter().any(|refusal| ["fetch first", "stale info"].contains(&&*refusal.reason)) {
            lines.push(
                "The origin has work that you do not have: fetch, merge or rebase, and push again."
                    .to_owned(),
            );
        }
        lines.push(NOTHING_SENT.to_owned());
        let mut refused = Self::all(by, "refused with the others of this push", "");
        refused.lines = lines;
        refused.refs = refs;
        refused
    }

    /// A pack that can't be taken.
    pub(super) fn pack(what: &str) -> Self {
        let mut refused = Self::all(By::Pack, "unpacker error", what);
        refused.unpack = Some(what.to_owned());
        refused
    }

    /// Secrets were found.
    pub(super) fn found(refusal: &scan::Refusal) -> Self {
        let mut refused = Self::all(By::Scan, refusal.reason(), "");
        refused.lines = refusal.lines();
        refused.findings = refusal.audit();
        refused.is_unspeakable = refusal.is_in_ref_name();
        refused
    }

    /// The scan came to nothing.
    pub(super) fn unscanned(error: &ScanError) -> Self {
        let mut refused = Self::all(By::Scanner, "could not be scanned", error.public());
        refused.lines.truncate(1);
        refused.cause = Some(chain(error));
        refused
    }

    /// The origin could not be spoken to.
    pub(super) fn origin(error: &dial::Error) -> Self {
        const ROOM: usize = 120;
        let line = error.to_string();
        let reason = match line.char_indices().nth(ROOM) {
            Some((cut, _)) => format!("{}…", &line[..cut]),
            None => line.clone(),
        };
        let mut refused = Self::all(By::Origin, reason, line);
        refused.cause = Some(chain(error));
        refused
    }

    /// The gate itself failed; the client reads no more than the session's id.
    pub(super) fn gate(session: &impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        let line = format!("internal error of the gate, session {session}");
        let mut refused = Self::all(By::Gate, "internal error of the gate", line);
        refused.cause = Some(chain(error));
        refused
    }

    /// The report to a client that sent `commands`.
    pub(super) fn report(&self, commands: &[Command]) -> Report {
        let own: HashMap<&BString, &String> =
            self.refs.iter().map(|refusal| (&refusal.name, &refusal.reason)).collect();
        let reason = |name| own.get(name).copied().unwrap_or(&self.others).as_str();
        Report {
            unpack: self.unpack.clone().map_or(Ok(()), |what| Err(what.into())),
            refs: commands
                .iter()
                .map(|command| RefReport::ng(command.name.clone(), reason(&command.name)))
                .collect(),
        }
    }
}
