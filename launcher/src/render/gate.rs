//! The gate's own configuration, and the pinned keys of its upstreams.

use std::collections::BTreeSet;
use std::path::PathBuf;

use gate_config::{
    Config, Limits, Listen, ListenAddr, OriginPattern, Policy, Repo, RepoPattern, Scan,
};

use crate::manifest::{GitUpstream, Manifest};

/// The port of git:// inside the closed network.
pub const PORT: u16 = 9418;
pub const CONFIG: &str = "/etc/git-gate/git-gate.toml";
pub const CREDS: &str = "/run/git-gate/creds";
pub const DATA: &str = "/var/lib/git-gate";

/// Why the gate's file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the gate cannot take the repository `{name}`: {why}")]
    Repo { name: String, why: String },
    #[error("the gate's configuration cannot be written")]
    Write(#[source] gate_config::ConfigError),
}

/// Writes the TOML; it holds paths to secrets and no secret.
///
/// # Errors
/// [`Error`] for an upstream that the gate's own configuration refuses.
pub fn config(manifest: &Manifest) -> Result<String, Error> {
    let repos = manifest.git.iter().map(repo).collect::<Result<Vec<_>, _>>()?;
    let listen = ListenAddr(([0, 0, 0, 0], PORT).into());
    let config = Config {
        data: DATA.into(),
        listen: Listen { git: Some(listen), ..Listen::default() },
        scan: Scan { allow: manifest.scan_allow.clone(), ..Scan::default() },
        policy: Policy::default(),
        limits: Limits::default(),
        repos,
    };
    config.to_toml().map_err(Error::Write)
}

/// The folder in which one upstream's files lie. A name's slashes would make folders of it.
pub fn folder(upstream: &GitUpstream) -> String {
    format!("{CREDS}/{}", upstream.name.value.replace('/', "+"))
}

/// `known_hosts` with exactly the pinned keys, under the name ssh looks for.
pub fn known_hosts(upstream: &GitUpstream) -> String {
    let name = upstream.url.known_hosts_name();
    let lines: BTreeSet<String> =
        upstream.host_keys.iter().map(|key| format!("{name} {key}\n")).collect();
    lines.into_iter().collect()
}

fn repo(upstream: &GitUpstream) -> Result<Repo, Error> {
    let wrong = |why: String| Error::Repo { name: upstream.name.value.clone(), why };
    let folder = folder(upstream);
    let file = |name: &str| PathBuf::from(format!("{folder}/{name}"));
    Repo {
        name: RepoPattern::parse(&upstream.name.value).map_err(|why| wrong(why.to_string()))?,
        origin: OriginPattern::parse(&upstream.url.to_string())
            .map_err(|why| wrong(why.to_string()))?,
        identity: upstream.identity_file.as_ref().map(|_| file("identity")),
        known_hosts: (!upstream.host_keys.is_empty()).then(|| file("known_hosts")),
        token: upstream.token.as_ref().map(|_| file("token")),
        ca_file: None,
    }
    .check()
    .map_err(|why| wrong(why.to_string()))
}
