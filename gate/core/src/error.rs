//! What went wrong, seen from the edge: whose fault it is, what the client may read, what the log must keep.

use std::error::Error as StdError;
use std::fmt;

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The client asked for what it can't have, or broke the protocol.
    Client,
    /// The origin is unreachable, slow, or said no.
    Origin,
    /// The gate itself failed.
    Gate,
}

impl Blame {
    /// The name in log events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Origin => "origin",
            Self::Gate => "gate",
        }
    }
}

/// An error on its way to a client.
///
/// `Display` is the public line: it names no host path, no credential and nothing of the gate's insides. The source
/// chain is for the log alone.
pub struct Error {
    blame: Blame,
    public: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error whose public line says all there is.
    pub fn new(blame: Blame, public: impl Into<String>) -> Self {
        Self { blame, public: public.into(), source: None }
    }

    /// The client's fault; `public` says what it may not do and why.
    pub fn client(public: impl Into<String>) -> Self {
        Self::new(Blame::Client, public)
    }

    /// The origin's fault; `public` holds the origin's own words.
    pub fn origin(public: impl Into<String>) -> Self {
        Self::new(Blame::Origin, public)
    }

    /// Our fault; `source` goes to the log, under the session's id, and the client reads no more than that id.
    pub fn gate(
        session: &impl fmt::Display,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::new(Blame::Gate, format!("internal error, session {session}")).with_source(source)
    }

    /// Adds what the log must keep.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    pub const fn blame(&self) -> Blame {
        self.blame
    }

    /// The whole chain on one line, for the log.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and all that caused it, on one line, for the log.
pub fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        line.push_str(": ");
        line.push_str(&error.to_string());
        next = error.source();
    }
    line
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.blame.as_str(), self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_reads_the_public_line_and_the_log_the_chain() {
        let cause = std::io::Error::other("disk /secret/path is full");
        let error = Error::gate(&"7f3a", cause);
        assert_eq!(error.to_string(), "internal error, session 7f3a");
        assert_eq!(error.chain(), "internal error, session 7f3a: disk /secret/path is full");
        assert_eq!(error.blame(), Blame::Gate);
    }
}
