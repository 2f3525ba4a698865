//! What kept the gate from hearing the origin, in the origin's own words where it has any.

use std::fmt;
use std::time::Duration;

use bstr::ByteSlice;

use super::Words;
use crate::{Blame, Error as EdgeError};

/// What kind of failure it was; decides how the public line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection: refused, no route, no such name, TLS failed.
    Unreachable,
    /// A named limit of the gate's ran out.
    TimedOut { limit: &'static str, after: Duration },
    /// The origin's host key is not pinned: no pin, no connection.
    NoPin,
    /// The origin's host key is not the one that is pinned.
    HostKey,
    /// Nobody the gate trusts vouches for the origin's certificate.
    Certificate,
    /// The gate's own credential can't be read or used.
    Credential,
    /// The origin does not take the gate's credential.
    Denied,
    /// The origin has no such repository, or hides it.
    UnknownRepository,
    /// The origin said no, in its own words.
    Refused,
    /// The connection ended in the middle.
    Lost,
    /// What came is not the git protocol, or more than a named limit allows.
    Garbage,
    /// A pack that lacks what it promised, or is broken.
    BadPack,
    /// The origin's refs moved again and again while they were taken in.
    Moved,
    /// The gate could not keep what the origin sent.
    Gate,
}

impl ErrorKind {
    /// How the public line begins.
    const fn lead(self) -> &'static str {
        match self {
            Self::Unreachable => "origin is unreachable",
            Self::TimedOut { .. } => "origin is too slow",
            Self::NoPin => "origin's host key is not pinned",
            Self::HostKey => "origin's host key is not the pinned one",
            Self::Certificate => "origin's certificate is not trusted",
            Self::Credential => "the gate's credential for the origin can't be used",
            Self::Denied => "origin denied the gate access",
            Self::UnknownRepository => "origin has no such repository",
            Self::Refused => "origin refused",
            Self::Lost => "origin hung up",
            Self::Garbage => "origin does not speak the git protocol",
            Self::BadPack => "origin sent a pack that is not whole",
            Self::Moved => "origin's refs move faster than they can be fetched",
            Self::Gate => "the gate could not update its mirror",
        }
    }

    /// The name in log events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut { .. } => "timed out",
            Self::NoPin => "no pin",
            Self::HostKey => "host key",
            Self::Certificate => "certificate",
            Self::Credential => "credential",
            Self::Denied => "denied",
            Self::UnknownRepository => "unknown repository",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Garbage => "garbage",
            Self::BadPack => "bad pack",
            Self::Moved => "moved",
            Self::Gate => "gate",
        }
    }
}

/// What servers say of a repository they do not have or do not show (git, git daemon, GitHub, GitLab, Gitea, cgit).
const UNKNOWN: &[&str] = &[
    "not found",
    "does not appear to be a git repository",
    "not exported",
    "does not exist",
    "could not be found",
    "no such repository",
];
/// What servers say when the credential is not enough.
const DENIED: &[&str] = &[
    "permission denied",
    "access denied",
    "authentication",
    "unauthorized",
    "not allowed",
    "forbidden",
];

/// A secret's fewest bytes: words would lose more by the hiding of a shorter one than it is worth.
const MIN_SECRET: usize = 4;

/// Why the origin was not heard. `Display` is fit for a client: no host path, no credential.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    /// Cleaned: one line, printable, bounded.
    words: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error whose `words`, the origin's or the transport's own, may be shown to a client.
    pub fn new(kind: ErrorKind, words: impl AsRef<[u8]>) -> Self {
        Self { kind, words: Words::clean(words.as_ref()), source: None }
    }

    /// An origin's refusal, sorted by what it says: servers have words for these, and no codes.
    pub fn said(words: impl AsRef<[u8]>) -> Self {
        let lower = words.as_ref().to_ascii_lowercase();
        let says = |needles: &[&str]| needles.iter().any(|needle| lower.contains_str(needle));
        // a shell says it of its own files
        let is_gone = says(&["fatal: "]) && says(&["no such file or directory"]);
        let kind = if says(UNKNOWN) || is_gone {
            ErrorKind::UnknownRepository
        } else if says(DENIED) {
            ErrorKind::Denied
        } else {
            ErrorKind::Refused
        };
        Self::new(kind, words)
    }

    /// The limit called `limit` ran out.
    pub fn timed_out(limit: &'static str, after: Duration) -> Self {
        let words = match after.as_millis() {
            millis if millis % 1000 == 0 => {
                format!("no answer within {} s (limits.{limit})", millis / 1000)
            }
            millis => format!("no answer within {millis} ms (limits.{limit})"),
        };
        Self::new(ErrorKind::TimedOut { limit, after }, words)
    }

    /// Adds more words.
    #[must_use]
    pub fn and(self, more: impl AsRef<str>) -> Self {
        Self { words: format!("{}; {}", self.words, more.as_ref()), ..self }
    }

    /// Adds what the log must keep.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Shows `secret` as `<credential>` in the words, and what is left of it where they are cut short. One of fewer than
    /// four bytes is left alone; so is the source.
    #[must_use]
    pub fn hiding(mut self, secret: &str) -> Self {
        if secret.len() < MIN_SECRET {
            return self;
        }
        self.words = self.words.replace(secret, "<credential>");
        if let Some(line) = self.words.strip_suffix('…') {
            let starts = secret.char_indices().map(|(at, _)| &secret[..at]).rev();
            let mut starts = starts.take_while(|start| start.len() >= MIN_SECRET);
            if let Some(line) = starts.find_map(|start| line.strip_suffix(start)) {
                self.words = format!("{line}<credential>…");
            }
        }
        self
    }

    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The origin's own words; empty when it had none.
    pub fn words(&self) -> &str {
        &self.words
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.lead())?;
        match self.words.as_str() {
            "" => Ok(()),
            words => write!(f, ": {words}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for EdgeError {
    fn from(error: Error) -> Self {
        let blame = match error.kind {
            ErrorKind::Gate => Blame::Gate,
            _ => Blame::Origin,
        };
        Self::new(blame, error.to_string()).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_words_are_sorted_by_what_they_mean() {
        for (words, kind) in [
            ("fatal: '/x' does not appear to be a git repository", ErrorKind::UnknownRepository),
            (
                "fatal: cannot change to '/x': No such file or directory",
                ErrorKind::UnknownRepository,
            ),
            ("bash: line 1: /opt/git-shell: No such file or directory", ErrorKind::Refused),
            ("Permission denied (publickey).", ErrorKind::Denied),
        ] {
            assert_eq!(Error::said(words).kind(), kind, "{words}");
        }
    }

    #[test]
    fn the_public_line_holds_the_origins_words_and_is_one_line() {
        let error =
            Error::new(ErrorKind::UnknownRepository, "ERROR: Repository not found.\n\x1b[31m");
        assert_eq!(
            error.to_string(),
            "origin has no such repository: ERROR: Repository not found. .[31m"
        );
        assert_eq!(
            Error::timed_out("connect", Duration::from_secs(10)).to_string(),
            "origin is too slow: no answer within 10 s (limits.connect)"
        );
        assert_eq!(
            Error::timed_out("refresh", Duration::from_millis(300)).words(),
            "no answer within 300 ms (limits.refresh)"
        );
        assert_eq!(EdgeError::from(error).blame(), Blame::Origin);
    }

    #[test]
    fn a_secret_is_shown_nowhere_in_the_words() {
        let hiding = |words: &str, secret| {
            Error::new(ErrorKind::Denied, words).hiding(secret).words().to_owned()
        };
        assert_eq!(hiding("s3cret, s3cret!", "s3cret"), "<credential>, <credential>!");
        assert_eq!(hiding("no is no", "no"), "no is no");
        // wherever the words are cut short
        for before in 0..420 {
            let words =
                hiding(&format!("{}s3crét{}", "x".repeat(before), "y".repeat(400)), "s3crét");
            let told = words.trim_matches(['x', 'y', '…']);
            assert!(["<credential>", "s3c", "s3", "s", ""].contains(&told), "{before}: {words}");
        }
    }
}
