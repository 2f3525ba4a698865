//! What a refused push reads: a message that an agent can act on, and the same facts for the log.

use super::finding::{Finding, Printable, UNSCANNED_RULE};
use super::patch::Kind;

/// How many findings are told in full.
const TOLD: usize = 10;
/// The longest reason in an `ng` line, in characters; git shows it in brackets behind the ref.
const LONGEST_REASON: usize = 120;

/// Why a push is refused after its scan: at least one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In the order of the commits.
    pub findings: Vec<Finding>,
    /// Findings past those that are listed.
    pub more: u64,
}

impl Refusal {
    /// The lines for the client's terminal (`remote: …`), without line ends.
    pub fn lines(&self) -> Vec<String> {
        let total = self.total();
        let found = match (self.is_only_archives(), total) {
            (true, 1) => "an archive that can't be scanned".to_owned(),
            (true, _) => format!("{total} archives that can't be scanned"),
            (false, 1) => "1 secret found".to_owned(),
            (false, _) => format!("{total} secrets found"),
        };
        let mut lines = vec![
            format!("push refused: {found}."),
            "Nothing was sent to the origin.".to_owned(),
            String::new(),
        ];
        for (number, finding) in self.findings.iter().take(TOLD).enumerate() {
            lines.push(format!("{}. {} in {}", number + 1, finding.rule, whole_place(finding)));
            lines.push(format!("     {}", finding.text));
            lines.push(format!("     fingerprint: {}", finding.fingerprint()));
        }
        let untold = total - self.findings.len().min(TOLD) as u64;
        if untold > 0 {
            lines.push(format!("and {untold} more."));
        }
        lines.push(String::new());
        lines.extend(self.advice());
        lines
    }

    /// The reason behind each ref: `! [remote rejected] main -> main (secret found: github-pat in conf.py:2)`.
    pub fn reason(&self) -> String {
        let what = if self.is_only_archives() { "can't be scanned" } else { "secret found" };
        let Some(first) = self.findings.first() else { return what.to_owned() };
        let total = self.total();
        let more = if total > 1 { format!(", and {} more", total - 1) } else { String::new() };
        let place = place(first);
        let room = LONGEST_REASON.saturating_sub(more.len() + first.rule.len() + 20);
        let place = match place.char_indices().nth(room) {
            Some((cut, _)) => format!("{}…", &place[..cut]),
            None => place,
        };
        format!("{what}: {} in {place}{more}", first.rule)
    }

    /// Whether the name of a pushed ref is a finding. git prints the names of refused refs; only an `ERR` packet in place
    /// of a report keeps it from doing so.
    pub fn is_in_ref_name(&self) -> bool {
        self.findings.iter().any(|finding| finding.kind == Kind::Ref)
    }

    /// The rules and places, for the audit event: no line, no secret.
    pub fn audit(&self) -> Vec<AuditFinding> {
        self.findings.iter().take(TOLD).map(AuditFinding::from).collect()
    }

    /// All findings, those that are not listed too.
    pub fn total(&self) -> u64 {
        self.findings.len() as u64 + self.more
    }

    fn is_only_archives(&self) -> bool {
        self.more == 0 && self.findings.iter().all(|finding| finding.rule == UNSCANNED_RULE)
    }

    fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let has = |kind| {
            self.findings
                .iter()
                .any(|finding| finding.kind == kind && finding.rule != UNSCANNED_RULE)
        };
        let mut say = |line: &str| advice.push(line.to_owned());
        if has(Kind::Blob) || has(Kind::Path) {
            say("To mend it, take the secret out of the commit that brings it in, and push again:");
            say("  git commit --amend          if that is the last commit");
            say("  git rebase -i <commit>^     if it is an earlier one (mark it \"edit\")");
            say("A new commit that deletes it is not enough: the history would still hold it.");
        }
        if has(Kind::Commit) {
            say(
                "To mend a commit's message or names: git commit --amend, or git rebase -i <commit>^ (\"reword\").",
            );
        }
        if has(Kind::Tag) {
            say("To mend a tag: delete it (git tag -d) and make it anew.");
        }
        if has(Kind::Ref) {
            say("To mend a ref's name: push it under another one.");
        }
        if has(Kind::Option) {
            say(
                "To mend a push option: leave it out, or give it without the secret (git push -o).",
            );
        }
        if self.is_only_archives() {
            say("Push what it holds unpacked, or in smaller archives.");
            say("Or the gate's operator can allow it by its fingerprint ([scan] allow).");
        } else {
            say("If the value is real, have it rotated: it has been written to disk in the clear.");
            say(
                "If it is no secret, the gate's operator can allow it by its fingerprint ([scan] allow).",
            );
        }
        advice
    }
}

/// One finding as the audit event has it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AuditFinding {
    pub kind: &'static str,
    pub rule: String,
    pub path: String,
    pub line: u64,
    pub commit: Option<String>,
    pub fingerprint: String,
}

impl From<&Finding> for AuditFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            kind: finding.kind.as_str(),
            rule: finding.rule.clone(),
            path: Printable(&finding.path).to_string(),
            line: finding.line,
            commit: finding.commit.map(|id| id.to_hex()),
            fingerprint: finding.fingerprint(),
        }
    }
}

/// `conf.py:2`, `the message of commit 1a2b3c4d5e6f`.
fn place(finding: &Finding) -> String {
    let object =
        || finding.object.map_or_else(String::new, |id| format!(" {}", &id.to_hex()[..12]));
    let line = match finding.line {
        0 => String::new(),
        line => format!(":{line}"),
    };
    match finding.kind {
        Kind::Blob if finding.path.is_empty() => format!("blob{}{line}", object()),
        Kind::Blob | Kind::Canary => format!("{}{line}", Printable(&finding.path)),
        Kind::Commit => format!("the text of commit{}, line {}", object(), finding.line),
        Kind::Tag => format!("the text of tag{}, line {}", object(), finding.line),
        Kind::Path => format!("the file name {}", Printable(&finding.path)),
        Kind::Ref => format!("the ref name {}", Printable(&finding.path)),
        Kind::Option => format!("the push option {}", Printable(&finding.path)),
    }
}

fn whole_place(finding: &Finding) -> String {
    match (finding.kind, finding.commit) {
        (Kind::Blob | Kind::Path, Some(commit)) => format!("{} (commit {commit})", place(finding)),
        _ => place(finding),
    }
}
