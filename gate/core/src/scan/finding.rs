//! A finding as the agent, the operator and the log may see it.

use std::collections::HashSet;
use std::fmt;

use bstr::{BString, ByteSlice};
use proto::ObjectId;

use super::patch::Kind;
use super::report::Secret;

/// The rule under which an archive is reported that no scan could see through.
pub const UNSCANNED_RULE: &str = "unscanned-archive";

/// One thing that keeps a push from the origin. Holds no secret: wherever one stood, there is `***`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    /// gitleaks' rule, or [`UNSCANNED_RULE`].
    pub rule: String,
    /// The file's path, `outer.zip!inner` within an archive; the ref's name for [`Kind::Ref`], the text for
    /// [`Kind::Option`]; empty where there is none.
    pub path: BString,
    /// From 1; 0 where a line says nothing.
    pub line: u64,
    /// The commit that brings it, or whose own text it is.
    pub commit: Option<ObjectId>,
    pub object: Option<ObjectId>,
    /// The line, or why an archive is unscanned.
    pub text: String,
}

impl Finding {
    /// What an operator allows this finding by: `OBJECT:PATH:RULE:LINE`. It binds to the exact content, so it outlives a
    /// rebase and covers nothing else. A file's name has no object of its own; its commit stands there.
    pub fn fingerprint(&self) -> String {
        let object = self.object.or(self.commit).map_or_else(|| "-".to_owned(), |id| id.to_hex());
        format!("{object}:{}", self.place())
    }

    /// The same as gitleaks has it: `COMMIT:PATH:RULE:LINE`.
    fn gitleaks_fingerprint(&self) -> Option<String> {
        (self.kind == Kind::Blob).then(|| Some(format!("{}:{}", self.commit?, self.place())))?
    }

    fn place(&self) -> String {
        let path = match self.kind {
            Kind::Blob => self.path.escape_ascii().to_string(),
            // A leading slash, as no path in a tree has it.
            Kind::Path | Kind::Ref | Kind::Option => {
                format!("/{}/{}", self.kind.as_str(), self.path.escape_ascii())
            }
            kind => format!("/{}", kind.as_str()),
        };
        format!("{path}:{}:{}", self.rule, self.line)
    }
}

/// The fingerprints that the operator allows.
#[derive(Clone, Debug, Default)]
pub struct Allowed(HashSet<String>);

/// A fingerprint that binds to no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fingerprint '{0}' does not begin with the id of a commit or object")]
pub struct InvalidFingerprint(String);

impl Allowed {
    /// Takes fingerprints as a refusal names them, or as gitleaks does with a commit (`COMMIT:PATH:RULE:LINE`).
    ///
    /// # Errors
    /// gitleaks' global form (`PATH:RULE:LINE`) is refused: whoever pushes chooses the path.
    pub fn parse(fingerprints: &[String]) -> Result<Self, InvalidFingerprint> {
        fingerprints
            .iter()
            .map(|fingerprint| {
                let (id, rest) = fingerprint.trim().split_once(':').unwrap_or_default();
                let bound = ObjectId::from_hex(id.as_bytes()).is_some();
                if bound && rest.rsplitn(3, ':').count() == 3 {
                    Ok(fingerprint.trim().to_owned())
                } else {
                    Err(InvalidFingerprint(fingerprint.clone()))
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the operator allows this finding.
    pub fn allows(&self, finding: &Finding) -> bool {
        !self.0.is_empty()
            && (self.0.contains(&finding.fingerprint())
                || finding.gitleaks_fingerprint().is_some_and(|print| self.0.contains(&print)))
    }
}

/// Takes every secret of a push out of whatever is shown of it.
pub(super) struct Redactor {
    /// Longest first, so that none leaves the tail of another.
    secrets: Vec<String>,
}

/// What stands where a secret stood.
pub(super) const REDACTED: &str = "***";
/// A line is shown to this many characters around its first redacted place.
const SHOWN: usize = 60;
/// Lines of a longer secret that are shorter than this are no secrets by themselves.
const SHORTEST_LINE: usize = 6;

impl Redactor {
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut all: Vec<String> = Vec::new();
        for secret in secrets {
            all.push(secret.expose().to_owned());
            let lines = secret.expose().lines().map(str::trim);
            all.extend(lines.filter(|line| line.len() >= SHORTEST_LINE).map(str::to_owned));
        }
        all.retain(|secret| !secret.is_empty());
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self { secrets: all }
    }

    /// The bytes without any secret.
    pub(super) fn redact(&self, text: &[u8]) -> BString {
        self.secrets.iter().fold(text.into(), |text: BString, secret| {
            if text.find(secret).is_some() { text.replace(secret, REDACTED).into() } else { text }
        })
    }

    /// A line to show: redacted, short, and printable. Where nothing could be redacted, the secret stands there in some
    /// other spelling, and nothing of the line is shown.
    pub(super) fn line(&self, line: &[u8]) -> String {
        let line = self.redact(line.trim());
        let Some(at) = line.find(REDACTED) else { return REDACTED.to_owned() };
        let from = at.saturating_sub(SHOWN);
        let to = line.len().min(at + REDACTED.len() + SHOWN);
        let (before, after) =
            (if from > 0 { "…" } else { "" }, if to < line.len() { "…" } else { "" });
        format!("{before}{}{after}", Printable(&line[from..to]))
    }
}

/// Text for a terminal: UTF-8 as it is, everything else and every control character escaped.
pub(super) struct Printable<'a>(pub(super) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\t' => f.write_str(" ")?,
                    letter if letter.is_control() || is_invisible(letter) => {
                        write!(f, "{}", letter.escape_default())?;
                    }
                    letter => write!(f, "{letter}")?,
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

/// Characters that change how what follows reads (Unicode's bidirectional controls and zero widths).
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding {
            kind: Kind::Blob,
            rule: "some-rule".to_owned(),
            path: "a:b.py".into(),
            line: 2,
            commit: ObjectId::from_hex(&[b'c'; 40]),
            object: ObjectId::from_hex(&[b'b'; 40]),
            text: REDACTED.to_owned(),
        }
    }

    fn allows(fingerprint: &str) -> bool {
        Allowed::parse(&[fingerprint.to_owned()]).unwrap().allows(&finding())
    }

    #[test]
    fn a_finding_is_allowed_by_its_object_or_its_commit() {
        assert!(allows(&finding().fingerprint()));
        assert!(allows(&format!("{}:a:b.py:some-rule:2", "c".repeat(40))));
        assert!(allows(&format!(" {}:a:b.py:some-rule:2\n", "b".repeat(40))));
        for other in ["a:b.py:some-rule:3", "a:b.py:other-rule:2", "b.py:some-rule:2"] {
            assert!(!allows(&format!("{}:{other}", "b".repeat(40))), "{other}");
        }
        assert!(!allows(&format!("{}:a:b.py:some-rule:2", "d".repeat(40))));
    }

    #[test]
    fn a_fingerprint_without_an_object_is_refused() {
        for global in ["a.py:some-rule:2", "", "x", &"c".repeat(40)] {
            assert!(Allowed::parse(&[global.to_owned()]).is_err(), "{global:?}");
        }
    }

    #[test]
    fn a_commits_own_text_and_a_file_called_commit_are_told_apart() {
        let message = Finding { kind: Kind::Commit, object: finding().commit, ..finding() };
        assert!(
            !Allowed::parse(&[format!("{}:commit:some-rule:2", "c".repeat(40))])
                .unwrap()
                .allows(&message)
        );
        assert!(Allowed::parse(&[message.fingerprint()]).unwrap().allows(&message));
    }

    fn redactor(secrets: &[&str]) -> Redactor {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
        Redactor::new(&secrets)
    }

    #[test]
    fn no_part_of_any_secret_is_left() {
        let redactor = redactor(&["s3cret-one", "s3cret-one-longer", "first line\nsecond line\n"]);
        assert_eq!(redactor.line(b"  a = 's3cret-one-longer', s3cret-one;"), "a = '***', ***;");
        assert_eq!(redactor.line(b"second line"), "***");
        assert_eq!(redactor.line(b"c3BlbGxlZCBvdGhlcndpc2U="), "***");
        assert_eq!(redactor.redact(b"keys/s3cret-one/x"), "keys/***/x");
    }

    #[test]
    fn a_line_cannot_play_with_the_terminal() {
        let line = redactor(&["s3cret"]).line("\x1b[2Js3cret\r\u{202e}x\u{7f}é\t\u{9b}".as_bytes());
        assert_eq!(line, r"\u{1b}[2J***\r\u{202e}x\u{7f}é \u{9b}");
        assert_eq!(redactor(&["s3cret"]).line(b"\xff s3cret"), r"\xff ***");
    }

    #[test]
    fn a_long_line_is_shown_around_the_secret() {
        let line = format!("{}s3cret{}", "x".repeat(1000), "y".repeat(1000));
        let shown = redactor(&["s3cret"]).line(line.as_bytes());
        assert_eq!(shown, format!("…{}***{}…", "x".repeat(SHOWN), "y".repeat(SHOWN)));
    }
}
