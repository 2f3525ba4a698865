//! `[egress]`: the hosts that pipelock lets through, and why a git upstream is never among them.

use super::git::GitUpstream;
use super::hostname::is_host;
use super::reader::{At, Table};
use super::routes::Route;
use crate::problem::{Problem, nearest};

/// What may be reached through pipelock.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    pub mode: Mode,
    /// Host names, or `*.` and a domain.
    pub allow: Vec<At<String>>,
    /// Hosts among them that may have a private address.
    pub private: Vec<At<String>>,
}

/// pipelock's modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing but what is allowed.
    #[default]
    Strict,
    /// Anything, scanned; the agent is not confined to the list.
    Balanced,
    /// Anything, logged.
    Audit,
}

impl Mode {
    const WORDS: [&'static str; 3] = ["strict", "balanced", "audit"];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Balanced => "balanced",
            Self::Audit => "audit",
        }
    }
}

pub(super) fn read(table: Option<Table<'_, '_>>, problems: &mut Vec<Problem>) -> Egress {
    let Some(mut table) = table else { return Egress::default() };
    let mode = table.string("mode", problems).map_or(Mode::Strict, |written| {
        match written.value.as_str() {
            "strict" => Mode::Strict,
            "balanced" => Mode::Balanced,
            "audit" => Mode::Audit,
            other => {
                let help = nearest(other, &Mode::WORDS)
                    .map_or_else(|| Mode::WORDS.join(", "), |word| format!("\"{word}\""));
                problems.push(Problem::at(written.span, format!("`{other}` is not a mode"), help));
                Mode::Strict
            }
        }
    });
    let mut hosts = |key| {
        let list = table.strings(key, problems).map(|list| list.value).unwrap_or_default();
        list.into_iter().filter_map(|host| check_host(host, problems)).collect::<Vec<_>>()
    };
    let (allow, private) = (hosts("allow"), hosts("private"));
    table.finish(problems);
    Egress { mode, allow, private }
}

/// pipelock takes an entry with a scheme, a port or a lone `*` without a word and then matches nothing.
fn check_host(mut host: At<String>, problems: &mut Vec<Problem>) -> Option<At<String>> {
    host.value = host.value.trim_end_matches('.').to_ascii_lowercase();
    let name = host.value.strip_prefix("*.").unwrap_or(&host.value);
    if is_host(name) {
        return Some(host);
    }
    let bare = name.rsplit("://").next().unwrap_or(name);
    let bare = bare.split(['/', ':']).next().unwrap_or_default();
    let help = if is_host(bare) {
        format!("\"{bare}\": a host alone, without scheme, port or path")
    } else {
        "a host, \"api.example.com\", or \"*.example.com\"".to_owned()
    };
    problems.push(Problem::at(host.span, format!("`{}` is not a host", host.value), help));
    None
}

/// Refuses whatever would let the agent reach a git upstream by a tunnel, around the gate.
///
/// pipelock's list knows no ports and does not look into a tunnel that is not TLS: an allowed host
/// that also speaks ssh or git is a way around.
pub(super) fn check_no_way_around(
    egress: &Egress,
    git: &[GitUpstream],
    routes: &[Route],
    problems: &mut Vec<Problem>,
) {
    for upstream in git {
        let (name, host) = (&upstream.name.value, &upstream.url.host);
        let around = |how: String, span: &std::ops::Range<usize>, help: &str| {
            Problem::at(
                span.clone(),
                format!(
                    "{how}, the host of the git upstream `{name}`: a tunnel to it would go around the gate and its scan"
                ),
                help,
            )
        };
        for allowed in egress.allow.iter().filter(|allowed| covers(&allowed.value, host)) {
            let how = format!("egress allows `{}`, and so {host}", allowed.value);
            problems.push(around(
                how,
                &allowed.span,
                "a list without it; git reaches it through the gate",
            ));
        }
        for route in routes.iter().filter(|route| route.upstream_host == *host) {
            let how = format!("the route `{}` opens {host} in pipelock", route.path.value);
            let help = "another host for the API: api.github.com beside github.com; for a server of your own, a name at which only its API is served (docs/bottle.md, [egress])";
            problems.push(around(how, &route.upstream_span, help));
        }
        if egress.mode != Mode::Strict {
            let how = format!("mode \"{}\" lets the agent reach {host}", egress.mode.as_str());
            problems.push(around(how, &upstream.url_span, "mode = \"strict\""));
        }
    }
}

/// Whether an entry of the list lets a host through; `*.x` covers x as well, which errs to safety.
fn covers(entry: &str, host: &str) -> bool {
    match entry.strip_prefix("*.") {
        Some(domain) => {
            host == domain || host.strip_suffix(domain).is_some_and(|left| left.ends_with('.'))
        }
        None => entry == host,
    }
}
