//! `[[cred_proxy.routes]]`: the APIs to which a credential is added.

use super::hostname::is_host;
use super::reader::{At, Table};
use super::{SecretSource, check_unique, existing_file};
use crate::host::Host;
use crate::problem::{Problem, nearest};

/// One path of cred-proxy and where it leads.
#[derive(Debug, Clone)]
pub struct Route {
    /// Begins and ends with a slash.
    pub path: At<String>,
    /// `https://host[:port][/prefix]`
    pub upstream: String,
    pub upstream_host: String,
    pub upstream_span: std::ops::Range<usize>,
    pub auth_scheme: AuthScheme,
    pub token: SecretSource,
    /// Empty means every method the proxy passes.
    pub methods: Vec<String>,
    /// Beginnings, counted from the route's own path; empty means every path of the route.
    pub paths: Vec<String>,
}

/// How the credential is written into the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum AuthScheme {
    Bearer,
    #[serde(rename = "token")]
    Token,
    #[serde(rename = "x-api-key")]
    XApiKey,
    #[serde(rename = "basic")]
    Basic,
}

impl AuthScheme {
    const WORDS: [&'static str; 4] = ["Bearer", "token", "x-api-key", "basic"];

    fn parse(text: &str) -> Option<Self> {
        match text {
            "Bearer" | "bearer" => Some(Self::Bearer),
            "token" => Some(Self::Token),
            "x-api-key" => Some(Self::XApiKey),
            "basic" | "Basic" => Some(Self::Basic),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Token => "token",
            Self::XApiKey => "x-api-key",
            Self::Basic => "basic",
        }
    }
}

pub(super) fn read_all(
    table: Option<Table<'_, '_>>,
    host: &Host,
    problems: &mut Vec<Problem>,
) -> Vec<Route> {
    let Some(mut table) = table else { return Vec::new() };
    let tables = table.tables("routes", problems);
    let paths: Vec<At<String>> = tables.iter().filter_map(|route| route.peek("path")).collect();
    check_unique(&paths, "routes with the path", problems);
    let routes = tables.into_iter().filter_map(|route| read(route, host, problems)).collect();
    table.finish(problems);
    routes
}

fn read(mut table: Table<'_, '_>, host: &Host, problems: &mut Vec<Problem>) -> Option<Route> {
    let span = table.span();
    let path = table.required("path", "\"/anthropic/\"", problems).filter(|path| {
        let fine = path.value.len() > 2
            && path.value.starts_with('/')
            && path.value.ends_with('/')
            && !path.value.contains("//")
            && path.value.split('/').all(|part| part != "." && part != "..")
            && path.value.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        if !fine {
            let message = format!("`{}` is not a route's path", path.value);
            problems.push(Problem::at(path.span.clone(), message, "\"/name/\""));
        }
        fine
    });
    let upstream = table.required("upstream", "\"https://api.anthropic.com\"", problems);
    let upstream_host = upstream.as_ref().and_then(|upstream| https_host(upstream, problems));
    let auth_scheme = table.required("auth_scheme", "\"Bearer\"", problems).and_then(|scheme| {
        let read = AuthScheme::parse(&scheme.value);
        if read.is_none() {
            let help = nearest(&scheme.value, &AuthScheme::WORDS)
                .map_or_else(|| AuthScheme::WORDS.join(", "), |word| format!("\"{word}\""));
            let message = format!("`{}` is not an auth_scheme", scheme.value);
            problems.push(Problem::at(scheme.span, message, help));
        }
        read
    });
    let before = problems.len();
    let token = read_token(&mut table, host, problems);
    if token.is_none() && problems.len() == before {
        let help = "token_ref = \"A_VARIABLE\" of the host, or token_file = \"~/path\"";
        problems.push(Problem::at(span, "the route has no credential to add", help));
    }
    let methods = table.strings("methods", problems).map(|list| list.value).unwrap_or_default();
    for method in &methods {
        if method.value.is_empty() || !method.value.chars().all(|c| c.is_ascii_uppercase()) {
            let message = format!("`{}` is not a method", method.value);
            problems.push(Problem::at(method.span.clone(), message, "\"GET\", \"POST\""));
        }
    }
    let paths = table.strings("paths", problems).map(|list| list.value).unwrap_or_default();
    table.finish(problems);
    let upstream = upstream?;
    Some(Route {
        path: path?,
        upstream: upstream.value,
        upstream_host: upstream_host?,
        upstream_span: upstream.span,
        auth_scheme: auth_scheme?,
        token: token?,
        methods: methods.into_iter().map(|method| method.value).collect(),
        paths: paths.into_iter().map(|path| path.value).collect(),
    })
}

/// `token_ref` names a variable of the host, or with a slash or `~` a file; `token_file` is a file.
pub(super) fn read_token(
    table: &mut Table<'_, '_>,
    host: &Host,
    problems: &mut Vec<Problem>,
) -> Option<SecretSource> {
    let variable = table.string("token_ref", problems);
    let file = table.string("token_file", problems);
    match (variable, file) {
        (Some(_), Some(file)) => {
            let message = "there are both token_ref and token_file";
            problems.push(Problem::at(file.span, message, "one of them"));
            None
        }
        (Some(reference), None) if !reference.value.contains('/') => {
            if host.variable(&reference.value).is_some_and(|value| !value.is_empty()) {
                return Some(SecretSource::HostVariable(reference.value));
            }
            let message = format!("the variable {} is not set on this host", reference.value);
            let help = format!("`export {}=…` before the launch", reference.value);
            problems.push(Problem::at(reference.span, message, help));
            None
        }
        (Some(file), None) | (None, Some(file)) => {
            existing_file(host, &file, "a file that holds the token", problems)
                .map(SecretSource::HostFile)
        }
        (None, None) => None,
    }
}

fn https_host(upstream: &At<String>, problems: &mut Vec<Problem>) -> Option<String> {
    let help = "https://host, with a port or a path prefix if need be";
    let Some(rest) = upstream.value.strip_prefix("https://") else {
        let message = "a credential goes out by https alone";
        problems.push(Problem::at(upstream.span.clone(), message, help));
        return None;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let fine = is_host(host)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
        && !rest.contains(['?', '#', ' ', '"'])
        && !rest.split('/').any(|part| part == "..");
    if !fine {
        let message = format!("`{}` is not an upstream", upstream.value);
        problems.push(Problem::at(upstream.span.clone(), message, help));
        return None;
    }
    Some(host.to_ascii_lowercase())
}
