//! How a client says what it wants, in the dialect of each door: git's request line, ssh's command, HTTP's target.
//!
//! Paths come out as the client's bytes; whether they name a repository is for others to judge.

mod command;
mod http;
mod line;

use bstr::BString;

use crate::{Service, Version};

pub use command::parse_command;
pub use http::{Target, parse_target};
pub use line::{MAX_REQUEST_LINE, decode_line};

/// A service of a repository, as asked for by git:// or ssh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub service: Service,
    /// As the client sent it, with its leading slash.
    pub path: BString,
    /// The host the client believes to talk to.
    pub host: Option<BString>,
    pub version: Version,
}

/// Why a request can't be understood. The texts show no more of the client's bytes than is safe to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("request line: {0}")]
    Packet(#[from] crate::pktline::Error),
    #[error("request line is longer than {MAX_REQUEST_LINE} bytes")]
    Long,
    #[error("request line holds no request")]
    Empty,
    #[error("'{0}' is not a service of this server")]
    Service(String),
    #[error("request line holds something else than a host behind the path")]
    Parameter,
    #[error("request names no repository")]
    NoPath,
    #[error("the command's quoting is broken")]
    Quoting,
}

/// What may be shown of a name that a client sent.
fn shown(name: &[u8]) -> String {
    const MOST: usize = 64;
    name[..name.len().min(MOST)].escape_ascii().to_string()
}
