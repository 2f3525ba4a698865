//! One request of one client, as a door hands it to the core.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use gate_config::RepoName;
use proto::{Service, Version};

/// What a client asks for, and how its bytes will come.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: SessionId,
    pub door: Door,
    /// Address of the client, for the log.
    pub peer: String,
    pub service: Service,
    pub repo: RepoName,
    pub version: Version,
    pub mode: Mode,
}

/// The door a session came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Git,
    Http,
    Ssh,
}

impl Door {
    /// The name in logs and in `[listen]`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Http => "http",
            Self::Ssh => "ssh",
        }
    }
}

/// Which part of the conversation the session's streams carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All of it: advertisement, then requests and answers until the client ends (git://, ssh).
    Stateful,
    /// The advertisement alone (`GET …/info/refs`). The `# service=` line is the door's to write.
    Advertise,
    /// One request and its answer, without an advertisement (`POST …/git-upload-pack`).
    Request,
}

/// Names a session in logs and in the line that tells a client of an internal error.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The next id; unique in this process, and hardly ever met in another.
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(now.as_secs() << 24 | (count & 0xff_ffff))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
