//! Reads gitleaks' report as it comes, and keeps no more of it than a bound.

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::patch::{Kind, Label};

/// How many findings are kept; the others are counted.
const KEPT: usize = 2_000;
/// How many bytes of secrets are kept.
const KEPT_BYTES: usize = 8 << 20;

/// What gitleaks found, as it says it.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) label: Label,
    pub(super) rule: String,
    /// From 1; 0 when the rule looks at the path alone.
    pub(super) first_line: u64,
    pub(super) last_line: u64,
    pub(super) secret: Secret,
    /// Whether gitleaks decoded the text (base64, hex, percent) before it found this: then the lines hold other letters.
    pub(super) decoded: bool,
}

/// A secret's text. Never printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// The whole report.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) hits: Vec<Hit>,
    pub(super) canaries: Vec<Secret>,
    /// All entries, canaries too.
    pub(super) entries: u64,
    /// Entries that were not kept.
    pub(super) dropped: u64,
}

/// Why a report can't be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReportError {
    #[error("its report is no JSON: {0}")]
    Json(#[source] serde_json::Error),
    #[error("its report names something it was not given")]
    Label,
}

/// Reads a report to its end.
pub(super) fn read(input: impl Read) -> Result<Report, ReportError> {
    let mut collect = Collect { report: Report::default(), kept: 0, stray: false };
    let mut json = serde_json::Deserializer::from_reader(std::io::BufReader::new(input));
    (&mut collect).deserialize(&mut json).and_then(|()| json.end()).map_err(ReportError::Json)?;
    if collect.stray { Err(ReportError::Label) } else { Ok(collect.report) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "RuleID")]
    rule: String,
    start_line: u64,
    end_line: u64,
    secret: String,
    commit: String,
    author: String,
    email: String,
    tags: Option<Vec<String>>,
}

struct Collect {
    report: Report,
    kept: usize,
    stray: bool,
}

impl Collect {
    fn take(&mut self, entry: Entry) {
        self.report.entries += 1;
        let Some(label) = Label::decode(&entry.commit, &entry.author, &entry.email) else {
            self.stray = true;
            return;
        };
        let secret = Secret(entry.secret);
        if label.kind == Kind::Canary {
            // The two canaries may be found by more rules than one.
            if self.report.canaries.len() < 16 {
                self.report.canaries.push(secret);
            }
            return;
        }
        self.kept += secret.0.len();
        if self.report.hits.len() >= KEPT || self.kept > KEPT_BYTES {
            self.report.dropped += 1;
            return;
        }
        self.report.hits.push(Hit {
            label,
            rule: entry.rule,
            first_line: entry.start_line,
            last_line: entry.end_line.max(entry.start_line),
            secret,
            decoded: entry.tags.iter().flatten().any(|tag| tag.starts_with("decoded:")),
        });
    }
}

impl<'de> DeserializeSeed<'de> for &mut Collect {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Collect {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of findings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(entry) = entries.next_element()? {
            self.take(entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(author: &str) -> String {
        format!(
            r#"{{"RuleID":"r","Description":"d","StartLine":2,"EndLine":1,"StartColumn":1,"EndColumn":9,"Match":"m",
            "Secret":"s3cret","File":"f","SymlinkFile":"","Commit":"{:040}","Entropy":3.5,"Author":"{author}",
            "Email":"Zg","Date":"","Message":"","Tags":[],"Fingerprint":"x"}}"#,
            0
        )
    }

    #[test]
    fn canaries_are_told_from_findings() {
        let report = format!("[{},{}]\n", entry("canary:plain:-"), entry("commit:plain:-"));
        let report = read(report.as_bytes()).unwrap();
        assert_eq!((report.entries, report.canaries.len(), report.hits.len()), (2, 1, 1));
        assert_eq!(report.hits[0].last_line, 2);
        assert_eq!(report.hits[0].label.place.path, "f");
    }

    #[test]
    fn a_cut_or_foreign_report_is_an_error() {
        let whole = format!("[{}]", entry("commit:plain:-"));
        for end in [0, 1, whole.len() / 2, whole.len() - 1] {
            assert!(matches!(read(&whole.as_bytes()[..end]), Err(ReportError::Json(_))), "{end}");
        }
        assert!(read(format!("{whole}{whole}").as_bytes()).is_err());
        assert!(matches!(
            read(format!("[{}]", entry("Agent")).as_bytes()),
            Err(ReportError::Label)
        ));
        assert!(read(&b"{}"[..]).is_err());
    }

    #[test]
    fn past_the_bound_findings_are_only_counted() {
        let many = vec![entry("commit:plain:-"); KEPT + 5].join(",");
        let report = read(format!("[{many}]").as_bytes()).unwrap();
        assert_eq!((report.hits.len(), report.dropped), (KEPT, 5));
    }

    #[test]
    fn a_secret_does_not_print() {
        let report = read(format!("[{}]", entry("commit:plain:-")).as_bytes()).unwrap();
        assert!(!format!("{report:?}").contains("s3cret"));
    }
}
