//! pipelock's configuration, for exactly the version that is pinned here.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::manifest::Manifest;

/// The version whose keys are written: others refuse what this one demands.
pub const VERSION: &str = "2.3.0";
/// The reference of the pinned version, when the manifest names no other.
pub const IMAGE: &str = "ghcr.io/luckypipewrench/pipelock:2.3.0";
/// Where the agent's proxy listens; `/health` answers there too.
pub const PORT: u16 = 8888;
/// On loopback, so that nobody but pipelock itself reaches it.
pub const METRICS: &str = "127.0.0.1:9190";

/// Streams of a model and long downloads: the default of 300 s ends them as if they were complete.
const MAX_TUNNEL_SECONDS: u32 = 86_400;
const IDLE_TIMEOUT_SECONDS: u32 = 7_200;
/// The defaults (60, and 30 in strict mode) stop an agent that installs a package.
const REQUESTS_PER_MINUTE: u32 = 6_000;
/// In strict mode the list may not be empty; no host has this name (RFC 2606).
const NOBODY: &str = "nothing-is-allowed.invalid";

/// Writes the YAML. Every value that comes from a person is a quoted host name.
pub fn config(manifest: &Manifest) -> String {
    let mut allow: BTreeSet<&str> =
        manifest.egress.allow.iter().map(|host| host.value.as_str()).collect();
    allow.extend(manifest.routes.iter().map(|route| route.upstream_host.as_str()));
    if allow.is_empty() {
        allow.insert(NOBODY);
    }
    let private: BTreeSet<&str> =
        manifest.egress.private.iter().map(|host| host.value.as_str()).collect();
    format!(
        "\
# Written by bottle for pipelock {VERSION}, anew at every launch.
version: 1
mode: {mode}
enforce: true
explain_blocks: true
{allow}{private}fetch_proxy:
  listen: \"0.0.0.0:{PORT}\"
  monitoring:
    max_requests_per_minute: {REQUESTS_PER_MINUTE}
forward_proxy:
  enabled: true
  max_tunnel_seconds: {MAX_TUNNEL_SECONDS}
  idle_timeout_seconds: {IDLE_TIMEOUT_SECONDS}
  sni_verification: true
request_body_scanning:
  enabled: true
  action: block
  scan_headers: true
metrics_listen: \"{METRICS}\"
logging:
  format: json
  output: stdout
  include_allowed: true
  include_blocked: true
",
        mode = manifest.egress.mode.as_str(),
        allow = list("api_allowlist", &allow),
        private = list("trusted_domains", &private),
    )
}

fn list(key: &str, hosts: &BTreeSet<&str>) -> String {
    if hosts.is_empty() {
        return format!("{key}: []\n");
    }
    let mut text = format!("{key}:\n");
    for host in hosts {
        writeln!(text, "  - \"{host}\"").expect("a String takes every write");
    }
    text
}
