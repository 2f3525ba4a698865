//! Where the doors are.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The doors that are opened: only those named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<ListenAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<ListenAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<ListenAddr>,
    /// File of the keys that open the ssh door, as sshd's `authorized_keys`; without it, it is open to everybody who can
    /// reach it, as the other doors are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_keys: Option<PathBuf>,
}

/// An address to listen on, `IP:PORT`; port 0 takes any free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListenAddr(pub SocketAddr);

impl std::str::FromStr for ListenAddr {
    type Err = InvalidListenAddr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| InvalidListenAddr { text: text.to_owned() })
    }
}

impl TryFrom<String> for ListenAddr {
    type Error = InvalidListenAddr;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ListenAddr> for String {
    fn from(addr: ListenAddr) -> Self {
        addr.to_string()
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not an address to listen on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{text}' is not IP:PORT, such as 127.0.0.1:9418, 0.0.0.0:9418 or [::]:9418")]
pub struct InvalidListenAddr {
    text: String,
}
