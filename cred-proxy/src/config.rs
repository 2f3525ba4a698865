//! What the launcher tells cred-proxy: routes, where their tokens lie, and which way is out.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, Method, Uri, header, uri};
use serde::Deserialize;

use crate::route::Route;

/// The file as it is written; see docs/bottle.md for each key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    listen: SocketAddr,
    /// An egress proxy that is asked to CONNECT; without one, upstreams are dialled directly.
    #[serde(default)]
    proxy: Option<String>,
    /// Roots trusted besides the system's, in PEM.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    routes: Vec<RouteFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteFile {
    path: String,
    upstream: String,
    auth_scheme: Scheme,
    token_file: PathBuf,
    /// Only these methods pass; by default those in [`METHODS`].
    #[serde(default)]
    methods: Option<Vec<String>>,
    /// Only paths with one of these beginnings pass, counted from the route's own path; by default all.
    #[serde(default)]
    paths: Option<Vec<String>>,
}

/// How the token is shown to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Scheme {
    Bearer,
    #[serde(rename = "token")]
    Token,
    #[serde(rename = "x-api-key")]
    XApiKey,
    /// The token is `user:password`.
    #[serde(rename = "basic")]
    Basic,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
    connect_seconds: Option<u64>,
    response_seconds: Option<u64>,
}

/// Every wait of cred-proxy, and its default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// `connect_seconds`: reaching the proxy, its CONNECT, and TLS, together; 10 s.
    pub(crate) connect: Duration,
    /// `response_seconds`: from a request's head to its response's head; 600 s, as models think long.
    pub(crate) response: Duration,
}

/// What serves requests, every part checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) proxy: Option<uri::Authority>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) routes: Vec<Route>,
}

/// The methods that pass when a route names none.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Why a config can't be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{source}")]
    Toml { source: toml::de::Error },
    #[error("proxy: '{0}' is not http://HOST:PORT")]
    Proxy(String),
    #[error("there is no [[routes]]: nothing to serve")]
    NoRoutes,
    #[error("route '{path}': {why}")]
    Route { path: String, why: String },
}

impl Config {
    /// Reads the file and every token it names.
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let file: File = toml::from_str(&text).map_err(|source| Error::Toml { source })?;
        Self::from_file(file)
    }

    fn from_file(file: File) -> Result<Self, Error> {
        if file.routes.is_empty() {
            return Err(Error::NoRoutes);
        }
        let mut routes: Vec<Route> = Vec::new();
        for route in file.routes {
            let path = route.path.clone();
            if routes.iter().any(|other| other.path == path) {
                return Err(Error::Route { path, why: "two routes of one path".into() });
            }
            routes.push(checked(route).map_err(|why| Error::Route { path, why })?);
        }
        // the longest path first, so that the first match is the most specific
        routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        Ok(Self {
            listen: file.listen,
            proxy: file.proxy.map(proxy).transpose()?,
            ca_file: file.ca_file,
            limits: Limits {
                connect: Duration::from_secs(file.limits.connect_seconds.unwrap_or(10)),
                response: Duration::from_secs(file.limits.response_seconds.unwrap_or(600)),
            },
            routes,
        })
    }
}

fn proxy(text: String) -> Result<uri::Authority, Error> {
    let authority = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').parse());
    match authority {
        Some(Ok(authority)) => Ok(authority),
        _ => Err(Error::Proxy(text)),
    }
}

fn checked(file: RouteFile) -> Result<Route, String> {
    if !file.path.starts_with('/') || !file.path.ends_with('/') {
        return Err("the path must begin and end with '/'".into());
    }
    let upstream: Uri =
        file.upstream.parse().map_err(|_| format!("'{}' is not a URL", file.upstream))?;
    let parts = upstream.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err(format!("'{}' is not http(s)://HOST[/PATH]", file.upstream));
    };
    if authority.as_str().contains('@') {
        return Err("the upstream holds a user name or password: name a token instead".into());
    }
    if scheme != uri::Scheme::HTTPS && scheme != uri::Scheme::HTTP {
        return Err(format!("the upstream's scheme '{scheme}' is neither https nor http"));
    }
    let base = parts
        .path_and_query
        .map_or_else(String::new, |path| path.path().trim_end_matches('/').to_owned());
    let methods = match file.methods {
        None => METHODS.to_vec(),
        Some(names) => names
            .iter()
            .map(|name| name.parse().map_err(|_| format!("'{name}' is not a method")))
            .collect::<Result<_, _>>()?,
    };
    let token = fs::read_to_string(&file.token_file)
        .map_err(|error| format!("token file {}: {error}", file.token_file.display()))?;
    let (name, value) = credential(file.auth_scheme, token.trim()).ok_or_else(|| {
        format!("token file {}: empty, or not a header value", file.token_file.display())
    })?;
    Ok(Route { path: file.path, scheme, authority, base, methods, paths: file.paths, name, value })
}

/// The header that carries the token, marked sensitive so that nothing prints it.
fn credential(scheme: Scheme, token: &str) -> Option<(HeaderName, HeaderValue)> {
    if token.is_empty() {
        return None;
    }
    let (name, text) = match scheme {
        Scheme::Bearer => (header::AUTHORIZATION, format!("Bearer {token}")),
        Scheme::Token => (header::AUTHORIZATION, format!("token {token}")),
        Scheme::Basic => {
            (header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(token)))
        }
        Scheme::XApiKey => (HeaderName::from_static("x-api-key"), token.to_owned()),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(routes: &str) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, "s3cr3t\n").unwrap();
        let text = format!(
            "listen = \"127.0.0.1:0\"\n{}",
            routes.replace("TOKEN", token.to_str().unwrap())
        );
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    fn route(path: &str, upstream: &str) -> String {
        format!(
            "[[routes]]\npath = '{path}'\nupstream = '{upstream}'\nauth_scheme = 'Bearer'\ntoken_file = 'TOKEN'\n"
        )
    }

    #[test]
    fn the_most_specific_route_stands_first_and_no_token_is_printed() {
        let config =
            load(&(route("/a/", "https://a.example") + &route("/a/b/", "http://b.example:81/x/")))
                .unwrap();
        assert_eq!(
            config.routes.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(),
            ["/a/b/", "/a/"]
        );
        assert_eq!(
            (config.routes[0].base.as_str(), config.routes[0].authority.as_str()),
            ("/x", "b.example:81")
        );
        assert!(!format!("{config:?}").contains("s3cr3t"));
    }

    #[test]
    fn says_what_is_wrong_with_a_route() {
        for (bad, says) in [
            (String::new(), "there is no [[routes]]: nothing to serve"),
            (route("a", "https://a.example"), "route 'a': the path must begin and end with '/'"),
            (
                route("/a/", "ftp://a.example"),
                "route '/a/': the upstream's scheme 'ftp' is neither https nor http",
            ),
            (
                route("/a/", "https://u:p@a.example"),
                "route '/a/': the upstream holds a user name or password: name a token instead",
            ),
            (
                route("/a/", "/just/a/path"),
                "route '/a/': '/just/a/path' is not http(s)://HOST[/PATH]",
            ),
            (
                route("/a/", "https://a") + &route("/a/", "https://b"),
                "route '/a/': two routes of one path",
            ),
        ] {
            assert_eq!(load(&bad).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn each_scheme_has_its_header() {
        for (scheme, name, value) in [
            (Scheme::Bearer, "authorization", "Bearer a:b"),
            (Scheme::Token, "authorization", "token a:b"),
            (Scheme::Basic, "authorization", "Basic YTpi"),
            (Scheme::XApiKey, "x-api-key", "a:b"),
        ] {
            let (header, shown) = credential(scheme, "a:b").unwrap();
            assert_eq!((header.as_str(), shown.to_str().unwrap()), (name, value));
            assert!(shown.is_sensitive());
        }
        assert!(
            credential(Scheme::Bearer, "a\nb").is_none()
                && credential(Scheme::Bearer, "").is_none()
        );
    }
}
