use crate::{ObjectFormat, pktline};

/// Why a client's request is refused. Each text is fit for the client's eyes and for a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("protocol error: {0}")]
    Packet(#[from] pktline::Error),
    #[error("protocol error: unexpected {what} packet in {place}")]
    Special { what: &'static str, place: &'static str },
    #[error("the remote end hung up in the middle of a request")]
    HungUp,
    #[error("protocol error: expected {expected}, got '{got}'")]
    Line { expected: &'static str, got: String },
    #[error("unknown capability '{0}'")]
    Capability(String),
    #[error("invalid command '{0}'")]
    Command(String),
    #[error("no command requested")]
    NoCommand,
    #[error("mismatched object format: server {server}; client {client}")]
    ObjectFormat { server: &'static str, client: String },
    #[error("deepen and deepen-since (or deepen-not) cannot be used together")]
    Deepen,
    #[error("unknown ref {0}")]
    WantRef(String),
    #[error("filtering capability not negotiated")]
    Filter,
    #[error("more than {most} {what} in one request (limits.{limit})")]
    TooMany { what: &'static str, most: usize, limit: &'static str },
    #[error("more than {most} {what} in one request")]
    Excess { what: &'static str, most: usize },
}

impl Error {
    pub(super) fn line(expected: &'static str, got: &[u8]) -> Self {
        Self::Line { expected, got: shown(got) }
    }

    pub(super) fn object_format(server: ObjectFormat, client: &[u8]) -> Self {
        Self::ObjectFormat { server: server.as_str(), client: shown(client) }
    }
}

/// As much of a client's line as may be shown.
pub(super) fn shown(line: &[u8]) -> String {
    const MOST: usize = 100;
    line[..line.len().min(MOST)].escape_ascii().to_string()
}
