//! The manifest: what a person wants of a bottle, read once and checked whole.
//!
//! It lies under the person's own config folder and is never taken from a repository: whoever may
//! write it decides where credentials go.

mod agent;
mod egress;
mod files;
mod git;
pub mod git_url;
mod hostname;
mod limits;
mod reader;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::host::Host;
use crate::names::{BottleName, Role};
use crate::problem::{Problem, Problems};
pub use agent::{Agent, AgentImage, EnvValue};
pub use egress::{Egress, Mode};
pub use files::{AgentFile, FileContent};
pub use git::GitUpstream;
pub use limits::Limits;
use reader::{At, Table};
pub use routes::{AuthScheme, Route};

/// A manifest in which everything is known to be right.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub name: BottleName,
    pub agent: Agent,
    pub egress: Egress,
    pub git: Vec<GitUpstream>,
    /// Every upstream's `extra_hosts` as one map, host to address.
    pub extra_hosts: BTreeMap<String, IpAddr>,
    /// Findings of the scan that may pass, by the fingerprint a refusal prints.
    pub scan_allow: Vec<String>,
    pub routes: Vec<Route>,
    /// References that stand in for the built-in ones.
    pub images: BTreeMap<Role, String>,
    pub limits: BTreeMap<Role, Limits>,
    /// A CA that cred-proxy trusts and the agent is given.
    pub ca_file: Option<PathBuf>,
    /// Name servers of the sidecars; empty means the engine's.
    pub dns: Vec<IpAddr>,
    /// An OCI runtime the engine knows, such as `runsc`.
    pub runtime: Option<String>,
    pub self_test: SelfTest,
}

/// What the self-test proves unreachable, besides what it finds by itself. `None` is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelfTest {
    pub outside: Option<Vec<String>>,
    pub dns: Option<Vec<String>>,
    pub metadata: Option<Vec<String>>,
    pub lan: Option<Vec<String>>,
    pub ipv6: Option<Vec<String>>,
}

/// Where a secret is read from at launch, by the launcher alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// A variable of the host.
    HostVariable(String),
    HostFile(PathBuf),
}

/// The file of a bottle's manifest.
pub fn path_of(host: &Host, name: &BottleName) -> PathBuf {
    host.config_dir().join(format!("{name}.toml"))
}

/// The bottles that have a manifest. A folder that cannot be read has none.
pub fn names(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.config_dir()).into_iter().flatten().flatten();
    let stem = |entry: std::fs::DirEntry| {
        entry.file_name().to_str().and_then(|name| name.strip_suffix(".toml")).map(str::to_owned)
    };
    let mut names: Vec<String> = entries.filter_map(stem).collect();
    names.sort();
    names
}

/// Reads and checks a manifest. Does not write, connect or ask.
///
/// # Errors
/// [`Problems`] with everything that is wrong, not with the first of it.
pub fn read(text: &str, path: &Path, name: BottleName, host: &Host) -> Result<Manifest, Problems> {
    let mut problems = Vec::new();
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        problems.push(Problem::at(span, error.message().trim(), "valid TOML"));
    }
    // What follows a broken line may be read wrongly: say what is broken first.
    let manifest = if problems.is_empty() {
        let top = Table::new(document.get_ref(), 0..0, "");
        read_top(top, name, host, &mut problems)
    } else {
        None
    };
    match manifest {
        Some(manifest) if problems.is_empty() => Ok(manifest),
        Some(_) | None => Err(Problems { path: path.into(), source_text: text.into(), problems }),
    }
}

fn read_top(
    mut top: Table<'_, '_>,
    name: BottleName,
    host: &Host,
    problems: &mut Vec<Problem>,
) -> Option<Manifest> {
    let agent_table = top.table("agent", problems);
    if agent_table.is_none() && problems.is_empty() {
        problems.push(Problem::whole("there is no [agent]", "[agent] with image = \"…\""));
    }
    let tables = top.tables("git", problems);
    git::check_names(&tables, problems);
    let git =
        tables.into_iter().filter_map(|table| git::read(table, host, problems)).collect::<Vec<_>>();
    git::check_together(&git, problems);
    let extra_hosts = git::merge_extra_hosts(&git, problems);
    let agent = agent_table.and_then(|table| agent::read(table, &git, host, problems));
    let scan_allow = read_scan(top.table("scan", problems), problems);
    let routes = routes::read_all(top.table("cred_proxy", problems), host, problems);
    let egress = egress::read(top.table("egress", problems), problems);
    egress::check_no_way_around(&egress, &git, &routes, problems);
    let images = read_images(top.table("images", problems), problems);
    let limits = limits::read(top.table("limits", problems), problems);
    let ca_file = top
        .string("ca_file", problems)
        .and_then(|file| existing_file(host, &file, "a CA certificate in PEM", problems));
    let dns = top.strings("dns", problems).map(|list| list.value).unwrap_or_default();
    let dns = dns.iter().filter_map(|text| address(text, problems)).collect();
    let runtime = top.string("runtime", problems).map(|runtime| runtime.value);
    let self_test = read_self_test(top.table("self_test", problems), problems);
    top.finish(problems);
    Some(Manifest {
        name,
        agent: agent?,
        egress,
        git,
        extra_hosts,
        scan_allow,
        routes,
        images,
        limits,
        ca_file,
        dns,
        runtime,
        self_test,
    })
}

fn read_scan(table: Option<Table<'_, '_>>, problems: &mut Vec<Problem>) -> Vec<String> {
    let Some(mut table) = table else { return Vec::new() };
    let allow = table.strings("allow", problems).map(|list| list.value).unwrap_or_default();
    table.finish(problems);
    allow.into_iter().map(|fingerprint| fingerprint.value).collect()
}

fn read_images(
    table: Option<Table<'_, '_>>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<Role, String> {
    let Some(mut table) = table else { return BTreeMap::new() };
    let keys = [
        ("pipelock", Role::Pipelock),
        ("git_gate", Role::GitGate),
        ("cred_proxy", Role::CredProxy),
        ("probe", Role::Probe),
    ];
    let images = keys
        .into_iter()
        .filter_map(|(key, role)| Some((role, table.string(key, problems)?.value)))
        .collect();
    table.finish(problems);
    images
}

fn read_self_test(table: Option<Table<'_, '_>>, problems: &mut Vec<Problem>) -> SelfTest {
    let Some(mut table) = table else { return SelfTest::default() };
    let mut targets = |key| {
        let list = table.strings(key, problems)?;
        let mut read = Vec::new();
        for text in list.value {
            if text.value.parse::<std::net::SocketAddr>().is_ok() {
                read.push(text.value);
            } else {
                let message = format!("`{}` is not an address with a port", text.value);
                problems.push(Problem::at(
                    text.span,
                    message,
                    "\"198.51.100.7:443\", \"[2001:db8::1]:443\"",
                ));
            }
        }
        Some(read)
    };
    let read = SelfTest {
        outside: targets("outside"),
        dns: targets("dns"),
        metadata: targets("metadata"),
        lan: targets("lan"),
        ipv6: targets("ipv6"),
    };
    table.finish(problems);
    read
}

/// A file of the host that must be there and be readable.
fn existing_file(
    host: &Host,
    written: &At<String>,
    what: &str,
    problems: &mut Vec<Problem>,
) -> Option<PathBuf> {
    let path = host.expand(&written.value);
    let wrong = match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(meta) if meta.is_file() => return Some(path),
        Ok(_) => "it is not a file".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!("{} cannot be read: {wrong}", path.display());
    problems.push(Problem::at(written.span.clone(), message, format!("the path of {what}")));
    None
}

fn address(text: &At<String>, problems: &mut Vec<Problem>) -> Option<IpAddr> {
    let read = text.value.parse().ok();
    if read.is_none() {
        let message = format!("`{}` is not an address", text.value);
        problems.push(Problem::at(text.span.clone(), message, "an IP address, \"10.0.0.53\""));
    }
    read
}

/// Complains about the second of two things that must be told apart by a name.
fn check_unique<'n>(
    names: impl IntoIterator<Item = &'n At<String>>,
    what: &str,
    problems: &mut Vec<Problem>,
) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(&name.value) {
            let message = format!("there are two {what} `{}`", name.value);
            problems.push(Problem::at(name.span.clone(), message, "another one, each once"));
        }
    }
}

#[cfg(test)]
mod tests;
