//! One event for the outcome of a push, with what an auditor asks for and no secret.

use proto::receive_pack::{Outcome, PushRequest, Report};
use serde::Serialize;
use tracing::{info, warn};

use super::refused::{By, Refused};
use crate::scan::{AuditFinding, Summary};

/// What is known of a push so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Audit {
    refs: Vec<Ref>,
    agent: String,
    pub(super) pack_objects: u32,
    pub(super) pack_bytes: u64,
    pub(super) new_objects: u64,
    pub(super) scan: Option<Summary>,
}

/// One ref as the event has it.
#[derive(Clone, Debug, Serialize)]
struct Ref {
    name: String,
    old: Option<String>,
    new: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl Audit {
    pub(super) fn new(request: &PushRequest) -> Self {
        let hex = |id: Option<proto::ObjectId>| id.map(|id| id.to_hex());
        let refs = request.commands.iter().map(|command| Ref {
            name: command.name.escape_ascii().to_string(),
            old: hex(command.old),
            new: hex(command.new),
            refused: None,
        });
        let agent = request.asked.agent.as_ref().map(ToString::to_string).unwrap_or_default();
        Self { refs: refs.collect(), agent, ..Self::default() }
    }

    /// The origin took at least one ref.
    pub(super) fn pushed(mut self, report: &Report, cause: Option<&str>) {
        self.fates(report);
        info!(
            push.refs = json(&self.refs),
            push.agent = self.agent,
            pack.objects = self.pack_objects,
            pack.bytes = self.pack_bytes,
            push.new_objects = self.new_objects,
            scan.bytes = self.scan.map(|scan| scan.bytes),
            scan.known = self.scan.map(|scan| scan.known),
            scan.allowed = self.scan.map(|scan| scan.allowed),
            error.chain = cause,
            "pushed"
        );
    }

    /// Nothing was sent to the origin.
    pub(super) fn refused(mut self, refused: &Refused, report: &Report) {
        if refused.is_unspeakable {
            self.refs.clear();
        }
        self.fates(report);
        self.log_refused(refused.by, &refused.findings, refused.cause.as_deref());
    }

    /// The origin took nothing.
    pub(super) fn refused_by(mut self, by: By, report: &Report, cause: Option<&str>) {
        self.fates(report);
        self.log_refused(by, &[], cause);
    }

    fn log_refused(&self, by: By, findings: &[AuditFinding], cause: Option<&str>) {
        macro_rules! refused {
            ($level:ident) => {
                $level!(
                    push.refused_by = by.as_str(),
                    push.refs = json(&self.refs),
                    push.findings = json(&findings),
                    push.agent = self.agent,
                    pack.objects = self.pack_objects,
                    pack.bytes = self.pack_bytes,
                    push.new_objects = self.new_objects,
                    scan.bytes = self.scan.map(|scan| scan.bytes),
                    error.chain = cause,
                    "refused"
                )
            };
        }
        match by {
            By::Gate | By::Scanner => refused!(warn),
            _ => refused!(info),
        }
    }

    fn fates(&mut self, report: &Report) {
        for (known, told) in self.refs.iter_mut().zip(&report.refs) {
            if let Outcome::Ng(reason) = &told.outcome {
                known.refused = Some(reason.escape_ascii().to_string());
            }
        }
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
