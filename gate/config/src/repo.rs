//! The repositories, their origins, and what opens these.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Endpoint, OriginPattern, OriginUrl, RepoName, RepoPattern};

/// One `[[repo]]` entry: a name or a pattern, and the origin behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Entry")]
pub struct Repo {
    pub name: RepoPattern,
    pub origin: OriginPattern,
    /// An unencrypted private key, for ssh origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<PathBuf>,
    /// The pinned host keys, for ssh origins: no pin, no connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// A file with a token or `user:password`, for http and https origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<PathBuf>,
    /// PEM certificates to trust instead of the system's, for https origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// One repository that a client named: the entry that fits, with the `*` of a pattern filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedRepo {
    pub name: RepoName,
    pub origin: OriginUrl,
    pub identity: Option<PathBuf>,
    pub known_hosts: Option<PathBuf>,
    pub token: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

impl Repo {
    /// Checks that an entry's keys fit its origin and each other.
    ///
    /// # Errors
    /// Says which key is missing or too many, and why.
    pub fn check(self) -> Result<Self, MisfitRepo> {
        let has = |file: &Option<PathBuf>| file.is_some();
        if self.name.is_pattern() != self.origin.is_pattern() {
            return Err(MisfitRepo::Star);
        }
        match self.origin.endpoint() {
            Endpoint::Ssh { .. } if !has(&self.known_hosts) => Err(MisfitRepo::Unpinned),
            Endpoint::Ssh { .. } if has(&self.token) => {
                Err(MisfitRepo::TooMuch { key: "token", wants: "an http or https" })
            }
            Endpoint::Ssh { .. } => Ok(()),
            _ if has(&self.identity) => {
                Err(MisfitRepo::TooMuch { key: "identity", wants: "an ssh" })
            }
            _ if has(&self.known_hosts) => {
                Err(MisfitRepo::TooMuch { key: "known_hosts", wants: "an ssh" })
            }
            Endpoint::Http { .. } => Ok(()),
            _ if has(&self.token) => {
                Err(MisfitRepo::TooMuch { key: "token", wants: "an http or https" })
            }
            _ => Ok(()),
        }?;
        if has(&self.ca_file) && !matches!(self.origin.endpoint(), Endpoint::Http { tls: true, .. })
        {
            return Err(MisfitRepo::TooMuch { key: "ca_file", wants: "an https" });
        }
        Ok(self)
    }
}

/// An entry whose keys do not go together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MisfitRepo {
    #[error(
        "name and origin go together: either both have one * or neither (name = \"github/*\", origin = \"https://github.com/*\")"
    )]
    Star,
    #[error(
        "an ssh origin needs known_hosts, a file with the host keys it may show: no pin, no connection (ssh-keyscan prints a host's keys; compare them before trusting them)"
    )]
    Unpinned,
    #[error("{key} is for {wants} origin")]
    TooMuch { key: &'static str, wants: &'static str },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: RepoPattern,
    origin: OriginPattern,
    identity: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    token: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

impl TryFrom<Entry> for Repo {
    type Error = MisfitRepo;

    fn try_from(entry: Entry) -> Result<Self, Self::Error> {
        let Entry { name, origin, identity, known_hosts, token, ca_file } = entry;
        Self { name, origin, identity, known_hosts, token, ca_file }.check()
    }
}
