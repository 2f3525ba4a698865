//! Where an origin is: git's URL forms, checked.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The URL of one origin. It holds no password, so it may be shown anywhere.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OriginUrl {
    text: String,
    endpoint: Endpoint,
}

/// What a URL says, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `ssh://user@host:port/path` or `user@host:path`. The path is as it goes into the command.
    Ssh { user: Option<String>, host: String, port: u16, path: String },
    /// `https://` (with `tls`) or `http://`. The path is as it stands in the URL, with its slash.
    Http { tls: bool, user: Option<String>, host: String, port: u16, path: String },
    /// `git://host:port/path`.
    Git { host: String, port: u16, path: String },
    /// `file:///path`.
    File { path: PathBuf },
}

/// Why a URL is not taken; never repeats it, since it may hold a password.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidOrigin {
    #[error("an origin is ssh://, user@host:path, https://, http://, git:// or file:///path")]
    Form,
    #[error("a password in a URL ends up in logs: put it into a file and name that by token")]
    Password,
    #[error("the host name has characters no host has, or is empty")]
    Host,
    #[error("the user name has characters that are not allowed")]
    User,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("the path is empty")]
    NoPath,
    #[error(
        "the path holds a control character, a query, a fragment or a broken %-escape, or begins with a dash"
    )]
    Path,
    #[error("a git:// origin takes no user")]
    GitUser,
    #[error("a file origin is file:///path, without a host")]
    FileHost,
    #[error("one * may stand in the path, and nowhere else")]
    Star,
}

impl OriginUrl {
    /// Reads one of git's URL forms.
    ///
    /// # Errors
    /// Says what is wrong without repeating the URL.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        if text.contains('*') {
            return Err(InvalidOrigin::Star);
        }
        Ok(Self { text: text.to_owned(), endpoint: parse(text)? })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The last component of the path without `.git`, if it makes a repository name.
    pub fn default_name(&self) -> Option<crate::RepoName> {
        let last = self.text.trim_end_matches('/').rsplit(['/', ':']).next()?;
        crate::RepoName::parse(last.strip_suffix(".git").unwrap_or(last)).ok()
    }
}

/// An origin in the config: a URL, or one with a `*` in its path for a patterned repository.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginPattern(OriginUrl);

impl OriginPattern {
    /// Reads a URL whose path may hold one `*`.
    ///
    /// # Errors
    /// As [`OriginUrl::parse`].
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        if text.matches('*').count() > 1 {
            return Err(InvalidOrigin::Star);
        }
        Ok(Self(OriginUrl { text: text.to_owned(), endpoint: parse(text)? }))
    }

    pub fn is_pattern(&self) -> bool {
        self.0.text.contains('*')
    }

    /// The URL taken apart, the `*` still in its path.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Puts part of a [`RepoName`](crate::RepoName) in the place of the `*`.
    pub(crate) fn resolve(&self, rest: &str) -> OriginUrl {
        let text = self.0.text.replacen('*', rest, 1);
        let endpoint = parse(&text).expect("a checked name breaks no checked URL");
        OriginUrl { text, endpoint }
    }
}

fn parse(text: &str) -> Result<Endpoint, InvalidOrigin> {
    let Some((scheme, rest)) = text.split_once("://") else { return scp_like(text) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if scheme == "file" {
        let path = checked_path(path).and_then(decoded)?;
        return if authority.is_empty() {
            Ok(Endpoint::File { path: path.into() })
        } else {
            Err(InvalidOrigin::FileHost)
        };
    }
    let default = match scheme {
        "ssh" => 22,
        "https" => 443,
        "http" => 80,
        "git" => 9418,
        _ => return Err(InvalidOrigin::Form),
    };
    let (user, host_and_port) = split_user(authority)?;
    let (host, port) = split_port(host_and_port, default)?;
    let path = checked_path(path)?;
    match scheme {
        "ssh" => Ok(Endpoint::Ssh { user, host, port, path: home_relative(decoded(path)?) }),
        "git" if user.is_some() => Err(InvalidOrigin::GitUser),
        "git" => Ok(Endpoint::Git { host, port, path: decoded(path)? }),
        _ => Ok(Endpoint::Http { tls: scheme == "https", user, host, port, path: path.to_owned() }),
    }
}

/// `user@host:path` and `host:path`, as scp writes them; what has a slash before the colon is a local path.
fn scp_like(text: &str) -> Result<Endpoint, InvalidOrigin> {
    let bracket =
        text.find('[').and_then(|open| text[open..].find("]:").map(|close| open + close + 1));
    let colon = bracket.or_else(|| text.find(':')).ok_or(InvalidOrigin::Form)?;
    let (authority, path) = (&text[..colon], &text[colon + 1..]);
    if authority.contains('/') || path.starts_with(':') {
        return Err(InvalidOrigin::Form);
    }
    let (user, host) = split_user(authority)?;
    let (host, port) = split_port(host, 22)?;
    Ok(Endpoint::Ssh { user, host, port, path: home_relative(checked_path(path)?.to_owned()) })
}

fn split_user(authority: &str) -> Result<(Option<String>, &str), InvalidOrigin> {
    let Some((user, host)) = authority.rsplit_once('@') else { return Ok((None, authority)) };
    if user.contains(':') {
        return Err(InvalidOrigin::Password);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    if user.is_empty() || user.starts_with('-') || !user.chars().all(plain) {
        return Err(InvalidOrigin::User);
    }
    Ok((Some(user.to_owned()), host))
}

fn split_port(text: &str, default: u16) -> Result<(String, u16), InvalidOrigin> {
    let (host, port, plain): (_, _, fn(char) -> bool) = match text.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']').ok_or(InvalidOrigin::Host)?;
            (host, port, |c| c.is_ascii_hexdigit() || c == ':' || c == '.')
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (host, port, |c| c.is_alphanumeric() || "-_.".contains(c))
        }
    };
    if host.is_empty() || host.starts_with('-') || !host.chars().all(plain) {
        return Err(InvalidOrigin::Host);
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default,
        None => return Err(InvalidOrigin::Host),
        Some("") => default,
        Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or(InvalidOrigin::Port)?,
    };
    Ok((host.to_owned(), port))
}

fn checked_path(path: &str) -> Result<&str, InvalidOrigin> {
    if path.is_empty() || path == "/" {
        return Err(InvalidOrigin::NoPath);
    }
    if path.starts_with('-') || path.chars().any(|c| c.is_control() || c == '?' || c == '#') {
        return Err(InvalidOrigin::Path);
    }
    Ok(path)
}

/// `/~user/x` means `~user/x` to git's ssh and git transports.
fn home_relative(path: String) -> String {
    if path.starts_with("/~") { path[1..].to_owned() } else { path }
}

/// Undoes %-escapes, as git does for every URL but http's.
fn decoded(path: &str) -> Result<String, InvalidOrigin> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut parts = path.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let hex = part
            .get(..2)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .ok_or(InvalidOrigin::Path)?;
        bytes.push(u8::from_str_radix(hex, 16).map_err(|_| InvalidOrigin::Path)?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    let path = String::from_utf8(bytes).map_err(|_| InvalidOrigin::Path)?;
    if path.chars().any(char::is_control) { Err(InvalidOrigin::Path) } else { Ok(path) }
}

impl std::str::FromStr for OriginUrl {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for OriginPattern {
    type Error = InvalidOrigin;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<OriginPattern> for String {
    fn from(pattern: OriginPattern) -> Self {
        pattern.0.text
    }
}

impl From<OriginUrl> for OriginPattern {
    fn from(url: OriginUrl) -> Self {
        Self(url)
    }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_git_reads() {
        let ssh = |user: Option<&str>, host: &str, port, path: &str| Endpoint::Ssh {
            user: user.map(str::to_owned),
            host: host.into(),
            port,
            path: path.into(),
        };
        let http = |tls, user: Option<&str>, host: &str, port, path: &str| Endpoint::Http {
            tls,
            user: user.map(str::to_owned),
            host: host.into(),
            port,
            path: path.into(),
        };
        let git = |host: &str, port, path: &str| Endpoint::Git {
            host: host.into(),
            port,
            path: path.into(),
        };
        for (text, endpoint) in [
            (
                "ssh://git@github.com/acme/app.git",
                ssh(Some("git"), "github.com", 22, "/acme/app.git"),
            ),
            ("ssh://host:2222/~me/x", ssh(None, "host", 2222, "~me/x")),
            ("ssh://[::1]:29/x", ssh(None, "::1", 29, "/x")),
            ("ssh://h/a%20b", ssh(None, "h", 22, "/a b")),
            ("git@github.com:acme/app.git", ssh(Some("git"), "github.com", 22, "acme/app.git")),
            ("host:/srv/x", ssh(None, "host", 22, "/srv/x")),
            ("me@[::1]:x", ssh(Some("me"), "::1", 22, "x")),
            ("https://github.com/acme/app", http(true, None, "github.com", 443, "/acme/app")),
            ("https://me@h:8443/a%20b", http(true, Some("me"), "h", 8443, "/a%20b")),
            ("http://127.0.0.1:80/x", http(false, None, "127.0.0.1", 80, "/x")),
            ("git://h/x.git", git("h", 9418, "/x.git")),
            ("file:///srv/git/x.git", Endpoint::File { path: "/srv/git/x.git".into() }),
        ] {
            let url = OriginUrl::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(url.endpoint(), &endpoint, "{text}");
            assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_origin_or_could_be_an_option() {
        for (text, why) in [
            ("", InvalidOrigin::Form),
            ("/srv/x", InvalidOrigin::Form),
            ("ftp://h/x", InvalidOrigin::Form),
            ("ext::sh -c x", InvalidOrigin::Form),
            ("-oProxyCommand=x:y", InvalidOrigin::Host),
            ("ssh://-oProxyCommand=x/y", InvalidOrigin::Host),
            ("ssh://h/", InvalidOrigin::NoPath),
            ("host:-x", InvalidOrigin::Path),
            ("https://u:p@h/x", InvalidOrigin::Password),
            ("ssh://u:p@h/x", InvalidOrigin::Password),
            ("https://h:0/x", InvalidOrigin::Port),
            ("https://h:65536/x", InvalidOrigin::Port),
            ("https:///x", InvalidOrigin::Host),
            ("https://h/x?y", InvalidOrigin::Path),
            ("git://h/a%0ab", InvalidOrigin::Path),
            ("git://h/a%zz", InvalidOrigin::Path),
            ("git://me@h/x", InvalidOrigin::GitUser),
            ("file://h/x", InvalidOrigin::FileHost),
            ("https://h/*", InvalidOrigin::Star),
        ] {
            assert_eq!(OriginUrl::parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn one_star_may_stand_in_the_path() {
        for good in ["https://github.com/*", "git@github.com:*.git", "file:///srv/*", "ssh://h/a/*"]
        {
            assert!(OriginPattern::parse(good).is_ok_and(|p| p.is_pattern()), "{good}");
        }
        for bad in ["https://*/x", "https://*.h/x", "*@h:x", "https://h/*/*", "*"] {
            assert!(OriginPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn suggests_the_last_component_as_a_name() {
        let name = |url: &str| OriginUrl::parse(url).unwrap().default_name().map(String::from);
        assert_eq!(name("https://h/a/app.git").as_deref(), Some("app"));
        assert_eq!(name("git@h:app").as_deref(), Some("app"));
        assert_eq!(name("file:///srv/x/"), Some("x".into()));
        assert_eq!(name("https://h/a%20b"), None);
    }
}
