//! From what gitleaks reports to what keeps a push back: each thing once, nothing that the origin has, nothing that the
//! operator allows.

mod known;
mod lines;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice};
use gate_store::Interrupt;
use proto::ObjectId;

use super::finding::{Allowed, Finding, Printable, Redactor, UNSCANNED_RULE};
use super::item::{NewObjects, Stop};
use super::patch::Kind;
use super::report::Hit;
use super::unpack::{Unpacking, Unscanned};
use super::views::View;

/// What a push is judged by.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    pub(super) findings: Vec<Finding>,
    /// Hits on content that the origin has already.
    pub(super) known: u64,
    /// Findings that the operator allows.
    pub(super) allowed: u64,
}

/// Sifts the hits of one scan.
pub(super) fn sift(
    hits: Vec<Hit>,
    unscanned: Vec<(Unscanned, ObjectId, Option<ObjectId>)>,
    objects: &dyn NewObjects,
    unpacking: &Unpacking<'_>,
    allowed: &Allowed,
    interrupt: &Interrupt,
) -> Result<Sifted, Stop> {
    let mut hits = once_each(hits);
    let found = hits.len();
    let redactor = Redactor::new(hits.iter().map(|hit| &hit.secret));
    let lines = lines::read(&hits, objects, unpacking, interrupt)?;
    let mut lines = lines.into_iter();
    let mut with_lines: Vec<(Hit, Vec<u8>)> =
        hits.drain(..).map(|hit| (hit, lines.next().unwrap_or_default())).collect();
    known::drop_known(&mut with_lines, objects, unpacking, interrupt)?;
    let mut sifted = Sifted { known: (found - with_lines.len()) as u64, ..Sifted::default() };
    let findings = with_lines.into_iter().map(|(hit, line)| finding(&hit, &line, &redactor));
    let archives = unscanned.into_iter().map(|(archive, id, commit)| Finding {
        kind: Kind::Blob,
        rule: UNSCANNED_RULE.to_owned(),
        path: redactor.redact(&archive.path),
        line: 0,
        commit,
        object: Some(id),
        text: archive.limit,
    });
    for finding in findings.chain(archives) {
        if allowed.allows(&finding) {
            sifted.allowed += 1;
        } else {
            sifted.findings.push(finding);
        }
    }
    Ok(sifted)
}

fn finding(hit: &Hit, lines: &[u8], redactor: &Redactor) -> Finding {
    let path = redactor.redact(&hit.label.place.path);
    let nowhere = hit.label.place.view == View::Strings
        || matches!(hit.label.kind, Kind::Path | Kind::Ref | Kind::Option);
    let (path, line) = match hit.label.kind {
        _ if nowhere => (path, 0),
        // what is decoded is told by where it begins
        Kind::Commit | Kind::Tag => {
            let at = path.splitn_str(3, "!").nth(1).and_then(|part| part.rsplit_once_str("@"));
            let line = at.and_then(|(_, line)| line.to_str().ok()?.parse().ok());
            (BString::default(), line.unwrap_or(hit.first_line))
        }
        _ => (path, hit.first_line),
    };
    Finding {
        kind: hit.label.kind,
        rule: hit.rule.clone(),
        line,
        commit: hit.label.commit,
        object: hit.label.object,
        text: match hit.label.kind {
            Kind::Path | Kind::Ref | Kind::Option => Printable(&path).to_string(),
            _ if hit.secret.expose().is_empty() => "such a file holds keys".to_owned(),
            _ => redactor.line(first_line(lines)),
        },
        path,
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    lines.lines().next().unwrap_or_default()
}

/// Leaves of the hits on one secret in one object those that say best where it stands, in order.
fn once_each(hits: Vec<Hit>) -> Vec<Hit> {
    let mut best: BTreeMap<(Kind, Option<ObjectId>, String, String), Vec<Hit>> = BTreeMap::new();
    for mut hit in hits {
        if matches!(hit.label.kind, Kind::Path | Kind::Ref) {
            // a name is shown in two lines and has none
            (hit.first_line, hit.last_line) = (0, 0);
        }
        let key =
            (hit.label.kind, hit.label.object, hit.rule.clone(), hit.secret.expose().to_owned());
        best.entry(key).or_default().push(hit);
    }
    let mut left: Vec<Hit> = best.into_values().flat_map(best_of).collect();
    left.sort_by(|a, b| {
        let key = |hit: &Hit| (hit.label.kind, hit.label.place.path.clone(), hit.first_line);
        key(a).cmp(&key(b))
    });
    left
}

/// What stands in an archive is told by the path in it, and what is text by its true line.
fn best_of(mut hits: Vec<Hit>) -> Vec<Hit> {
    let paths: BTreeSet<BString> = hits.iter().map(|hit| hit.label.place.path.clone()).collect();
    let is_outer = |path: &BStr| {
        let mut inner = BString::from(path);
        inner.push(b'!');
        paths.range(inner.clone()..).next().is_some_and(|next| next.starts_with(&inner))
    };
    hits.retain(|hit| !is_outer(hit.label.place.path.as_bstr()));
    let has_lines = hits.iter().any(|hit| hit.label.place.view != View::Strings);
    hits.retain(|hit| !has_lines || hit.label.place.view != View::Strings);
    hits.sort_by_key(|hit| {
        (hit.label.place.path.clone(), hit.first_line, Reverse(hit.label.place.view))
    });
    hits.dedup_by(|a, b| a.label.place.path == b.label.place.path && a.first_line == b.first_line);
    hits
}
