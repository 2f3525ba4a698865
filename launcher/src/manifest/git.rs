//! `[[git]]`: the upstreams behind the gate.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine as _;

use super::git_url::{GitUrl, GitUrlError, Scheme};
use super::hostname::is_host;
use super::reader::{At, Table};
use super::{SecretSource, address, check_unique, existing_file, routes};
use crate::host::Host;
use crate::problem::Problem;

/// One repository behind the gate.
#[derive(Debug, Clone)]
pub struct GitUpstream {
    /// What the agent calls it: `git://git-gate/NAME.git`.
    pub name: At<String>,
    pub url: GitUrl,
    pub url_span: std::ops::Range<usize>,
    pub identity_file: Option<PathBuf>,
    /// For http(s): a password or token.
    pub token: Option<SecretSource>,
    /// Pinned keys, each as `TYPE BASE64`.
    pub host_keys: Vec<String>,
    pub extra_hosts: Vec<(At<String>, IpAddr)>,
}

pub(super) fn read(
    mut table: Table<'_, '_>,
    host: &Host,
    problems: &mut Vec<Problem>,
) -> Option<GitUpstream> {
    let name =
        table.required("name", "\"app\"", problems).filter(|name| check_name(name, problems));
    let upstream =
        table.required("upstream", "\"ssh://git@git.internal:22/acme/app.git\"", problems);
    let url = upstream.as_ref().and_then(|written| match GitUrl::parse(&written.value) {
        Ok(url) => Some(url),
        Err(error) => {
            let help = match error {
                GitUrlError::Password => "the address without it, and token_ref = \"A_VARIABLE\"",
                GitUrlError::Scheme(_)
                | GitUrlError::Shape
                | GitUrlError::Port(_)
                | GitUrlError::Character => "ssh://git@host:22/path.git, or https://host/path.git",
            };
            problems.push(Problem::at(written.span.clone(), error.to_string(), help));
            None
        }
    });
    let identity = table.string("identity_file", problems);
    let identity_file = identity.as_ref().and_then(|file| {
        existing_file(host, file, "a private key this upstream accepts", problems)
    });
    let token = routes::read_token(&mut table, host, problems);
    let keys_at = table.span();
    let written_keys = table.one_or_more("known_host_key", problems);
    let host_keys: Vec<String> =
        written_keys.iter().filter_map(|key| check_key(key, problems)).collect();
    let extra_hosts = read_extra_hosts(table.table("extra_hosts", problems), problems);
    table.finish(problems);

    let (name, upstream, url) = (name?, upstream?, url?);
    if url.scheme == Scheme::Ssh {
        if written_keys.is_empty() {
            let message =
                format!("the host `{}` is not pinned: known_host_key is missing", url.host);
            let help = format!(
                "known_host_key = \"ssh-ed25519 AAAA…\", as `ssh-keyscan -t ed25519{} {}` prints it; compare it with what the host's keeper says",
                url.port.map(|port| format!(" -p {port}")).unwrap_or_default(),
                url.host
            );
            problems.push(Problem::at(upstream.span.clone(), message, help));
        }
        if identity.is_none() {
            let message = format!("`{}` has no identity_file", name.value);
            problems.push(Problem::at(keys_at, message, "identity_file = \"~/.ssh/id_ed25519\""));
        }
        if token.is_some() {
            let message = "a token is for http(s), and this upstream is reached by ssh";
            problems.push(Problem::at(upstream.span.clone(), message, "identity_file alone"));
        }
    } else if let Some(identity) = identity {
        let message = "an identity_file is for ssh, and this upstream is not reached by it";
        problems.push(Problem::at(identity.span, message, "token_ref = \"A_VARIABLE\""));
    }
    Some(GitUpstream {
        name,
        url,
        url_span: upstream.span,
        identity_file,
        token,
        host_keys,
        extra_hosts,
    })
}

/// The names that are written, also of upstreams in which something else is wrong.
pub(super) fn check_names(tables: &[Table<'_, '_>], problems: &mut Vec<Problem>) {
    let names: Vec<At<String>> = tables.iter().filter_map(|table| table.peek("name")).collect();
    check_unique(&names, "repositories named", problems);
}

/// What must hold between the upstreams.
pub(super) fn check_together(git: &[GitUpstream], problems: &mut Vec<Problem>) {
    for (index, upstream) in git.iter().enumerate() {
        let same = |other: &&GitUpstream| {
            other.url.host == upstream.url.host
                && other.url.path.trim_end_matches(".git")
                    == upstream.url.path.trim_end_matches(".git")
                && other.url.port == upstream.url.port
        };
        if let Some(first) = git[..index].iter().find(same) {
            let message = format!(
                "`{}` and `{}` are the same upstream, and its address can be rewritten to one only",
                first.name.value, upstream.name.value
            );
            problems.push(Problem::at(upstream.url_span.clone(), message, "each upstream once"));
        }
    }
}

/// Merges the maps of all upstreams: the gate's container has one hosts file.
///
/// The same host at the same address is harmless; at two addresses it is a problem that names both
/// upstreams.
pub(super) fn merge_extra_hosts(
    git: &[GitUpstream],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, IpAddr> {
    let mut merged: BTreeMap<String, (IpAddr, &str)> = BTreeMap::new();
    for upstream in git {
        for (host, ip) in &upstream.extra_hosts {
            let name = upstream.name.value.as_str();
            match merged.get(&host.value) {
                Some((other, first)) if other != ip => {
                    let message = format!(
                        "`{}` is {other} for `{first}` and {ip} for `{name}`, and both share one gate",
                        host.value
                    );
                    problems.push(Problem::at(
                        host.span.clone(),
                        message,
                        "one address for one host",
                    ));
                }
                Some(_) => {}
                None => {
                    merged.insert(host.value.clone(), (*ip, name));
                }
            }
        }
    }
    merged.into_iter().map(|(host, (ip, _))| (host, ip)).collect()
}

fn read_extra_hosts(
    table: Option<Table<'_, '_>>,
    problems: &mut Vec<Problem>,
) -> Vec<(At<String>, IpAddr)> {
    let Some(table) = table else { return Vec::new() };
    let mut hosts = Vec::new();
    for (mut host, value) in table.pairs() {
        let Some(written) = super::reader::string(value, "an address of extra_hosts", problems)
        else {
            continue;
        };
        host.value.make_ascii_lowercase();
        if !is_host(&host.value) {
            let message = format!("`{}` is not a host name", host.value);
            problems.push(Problem::at(host.span, message, "\"git.internal\" = \"10.0.0.5\""));
        } else if let Some(ip) = address(&written, problems) {
            hosts.push((host, ip));
        }
    }
    hosts
}

fn check_name(name: &At<String>, problems: &mut Vec<Problem>) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let fine = name.value.len() <= 100
        && name.value.split('/').all(part)
        && !name.value.ends_with(".git")
        && !name.value.ends_with(".lock");
    if !fine {
        let message = format!("`{}` cannot name a repository", name.value);
        let help = "letters, digits, `.`, `_`, `-` and `/`, without .git at the end: \"acme/app\"";
        problems.push(Problem::at(name.span.clone(), message, help));
    }
    fine
}

/// Takes `TYPE BASE64 [comment]`, the form of a public key file and, behind the host, of known_hosts.
fn check_key(key: &At<String>, problems: &mut Vec<Problem>) -> Option<String> {
    const TYPES: [&str; 5] = [
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
    ];
    let mut words = key.value.split_whitespace();
    let (kind, blob) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let decoded = base64::engine::general_purpose::STANDARD.decode(blob).unwrap_or_default();
    // A key's blob begins with its own type as an ssh string (RFC 4253, 6.6).
    let named = decoded.get(4..).is_some_and(|rest| rest.starts_with(kind.as_bytes()));
    if TYPES.contains(&kind) && named && !key.value.contains(['\n', '\r']) {
        return Some(format!("{kind} {blob}"));
    }
    let message = "known_host_key is not a public host key";
    let help = "\"ssh-ed25519 AAAA…\", the type and the base64, without the host's name before it";
    problems.push(Problem::at(key.span.clone(), message, help));
    None
}
