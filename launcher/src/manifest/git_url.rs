//! A git upstream's address, and every way a person may spell the same one.

use std::fmt;

/// How the gate reaches the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Ssh,
    Https,
    Http,
    Git,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Https => "https",
            Self::Http => "http",
            Self::Git => "git",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Ssh => 22,
            Self::Https => 443,
            Self::Http => 80,
            Self::Git => 9418,
        }
    }
}

/// A parsed upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitUrl {
    pub scheme: Scheme,
    pub user: Option<String>,
    /// Lower case, without brackets.
    pub host: String,
    pub port: Option<u16>,
    /// Without the leading slash: `acme/app.git`.
    pub path: String,
}

/// Why an upstream cannot be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitUrlError {
    #[error("a git upstream cannot be reached by `{0}`")]
    Scheme(String),
    #[error("a git upstream needs a host and a path")]
    Shape,
    #[error("a password in an upstream would be seen in logs and in the plan")]
    Password,
    #[error("`{0}` is not a port")]
    Port(String),
    #[error("the upstream has a character that no address has")]
    Character,
}

impl GitUrl {
    /// Reads `ssh://`, `https://`, `http://`, `git://` and the scp-like `user@host:path`.
    ///
    /// # Errors
    /// [`GitUrlError`], also for local paths and `file://`: the gate's container has no such file.
    pub fn parse(text: &str) -> Result<Self, GitUrlError> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '"' || c == '\\') {
            return Err(GitUrlError::Character);
        }
        let (scheme, user, host, port, path) = match text.split_once("://") {
            Some((scheme, rest)) => {
                let scheme = match scheme.to_ascii_lowercase().as_str() {
                    "ssh" | "git+ssh" | "ssh+git" => Scheme::Ssh,
                    "https" => Scheme::Https,
                    "http" => Scheme::Http,
                    "git" => Scheme::Git,
                    _ => return Err(GitUrlError::Scheme(format!("{scheme}://"))),
                };
                let (authority, path) = rest.split_once('/').ok_or(GitUrlError::Shape)?;
                let (user, host_port) = split_user(authority)?;
                let (host, port) = split_port(host_port)?;
                (scheme, user, host, port, path)
            }
            None => {
                let (authority, path) = text.split_once(':').ok_or(GitUrlError::Shape)?;
                if authority.contains('/') {
                    return Err(GitUrlError::Shape);
                }
                let (user, host) = split_user(authority)?;
                (Scheme::Ssh, user, host, None, path)
            }
        };
        let path = path.trim_start_matches('/');
        let host_fine = !host.is_empty()
            && !host.starts_with('-')
            && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c));
        let user_fine = user.is_none_or(|user| !user.is_empty() && !user.starts_with('-'));
        if !host_fine || !user_fine || path.trim_end_matches('/').is_empty() {
            return Err(GitUrlError::Shape);
        }
        Ok(Self {
            scheme,
            user: user.map(str::to_owned),
            host: host.to_ascii_lowercase(),
            port,
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// The name under which the host's key stands in `known_hosts`.
    pub fn known_hosts_name(&self) -> String {
        match self.port {
            None | Some(22) => self.host.clone(),
            Some(port) => format!("[{}]:{port}", self.host),
        }
    }

    /// Every spelling whose prefix git should send to the gate instead, without `.git`: git
    /// replaces the prefix and keeps the rest, so that `…/app` maps `…/app.git` too.
    pub fn spellings(&self) -> Vec<String> {
        let path = self.path.strip_suffix(".git").unwrap_or(&self.path);
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let mut all = Vec::new();
        let users = match (self.scheme, self.user.as_deref()) {
            (Scheme::Ssh, Some("git")) | (_, None) => vec![Some("git"), None],
            (_, Some(user)) => vec![Some(user), Some("git"), None],
        };
        for user in &users {
            let at = user.map(|user| format!("{user}@")).unwrap_or_default();
            for port in self.ports(Scheme::Ssh) {
                all.push(format!("ssh://{at}{host}{port}/{path}"));
            }
            if self.scheme != Scheme::Ssh || self.port.is_none_or(|port| port == 22) {
                all.push(format!("{at}{host}:{path}"));
                all.push(format!("{at}{host}:/{path}"));
            }
        }
        for scheme in [Scheme::Https, Scheme::Http, Scheme::Git] {
            for user in &users {
                let at = match (scheme, user) {
                    (Scheme::Git, Some(_)) => continue,
                    (_, user) => user.map(|user| format!("{user}@")).unwrap_or_default(),
                };
                for port in self.ports(scheme) {
                    all.push(format!("{}://{at}{host}{port}/{path}", scheme.as_str()));
                }
            }
        }
        all
    }

    /// The ways to write the port in an address of that scheme.
    fn ports(&self, scheme: Scheme) -> Vec<String> {
        if scheme != self.scheme {
            return vec![String::new()];
        }
        let default = scheme.default_port();
        match self.port {
            Some(port) if port != default => vec![format!(":{port}")],
            Some(_) | None => vec![String::new(), format!(":{default}")],
        }
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.path)
    }
}

fn split_user(authority: &str) -> Result<(Option<&str>, &str), GitUrlError> {
    match authority.rsplit_once('@') {
        None => Ok((None, authority)),
        Some((user, _)) if user.contains(':') => Err(GitUrlError::Password),
        Some((user, host)) => Ok((Some(user), host)),
    }
}

fn split_port(host_port: &str) -> Result<(&str, Option<u16>), GitUrlError> {
    if let Some(rest) = host_port.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or(GitUrlError::Shape)?;
        return match tail.strip_prefix(':') {
            None if tail.is_empty() => Ok((host, None)),
            None => Err(GitUrlError::Shape),
            Some(port) => Ok((host, Some(parse_port(port)?))),
        };
    }
    match host_port.split_once(':') {
        None => Ok((host_port, None)),
        Some((host, port)) => Ok((host, Some(parse_port(port)?))),
    }
}

fn parse_port(text: &str) -> Result<u16, GitUrlError> {
    match text.parse() {
        Ok(0) | Err(_) => Err(GitUrlError::Port(text.to_owned())),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_ways_to_write_an_ssh_upstream() {
        let url = GitUrl::parse("ssh://git@Git.Internal:2222/acme/app.git").unwrap();
        assert_eq!(url.to_string(), "ssh://git@git.internal:2222/acme/app.git");
        assert_eq!(url.known_hosts_name(), "[git.internal]:2222");
        let scp = GitUrl::parse("git@git.internal:acme/app.git").unwrap();
        assert_eq!(scp.to_string(), "ssh://git@git.internal/acme/app.git");
        assert_eq!(scp.known_hosts_name(), "git.internal");
    }

    #[test]
    fn refuses_what_the_gate_cannot_reach_or_should_not_hold() {
        assert_eq!(GitUrl::parse("file:///srv/x"), Err(GitUrlError::Scheme("file://".into())));
        assert_eq!(GitUrl::parse("/srv/x.git"), Err(GitUrlError::Shape));
        assert_eq!(GitUrl::parse("https://u:pw@h/x"), Err(GitUrlError::Password));
        assert_eq!(GitUrl::parse("ssh://-oProxyCommand=x/y"), Err(GitUrlError::Shape));
        assert_eq!(GitUrl::parse("ssh://h:0/y"), Err(GitUrlError::Port("0".into())));
        assert_eq!(GitUrl::parse("ssh://h/y\n[x]"), Err(GitUrlError::Character));
    }

    #[test]
    fn knows_every_spelling_of_an_upstream() {
        let url = GitUrl::parse("ssh://git@git.internal:22/acme/app.git").unwrap();
        insta::assert_snapshot!(url.spellings().join("\n"), @r"
        ssh://git@git.internal/acme/app
        ssh://git@git.internal:22/acme/app
        git@git.internal:acme/app
        git@git.internal:/acme/app
        ssh://git.internal/acme/app
        ssh://git.internal:22/acme/app
        git.internal:acme/app
        git.internal:/acme/app
        https://git@git.internal/acme/app
        https://git.internal/acme/app
        http://git@git.internal/acme/app
        http://git.internal/acme/app
        git://git.internal/acme/app
        ");
    }
}
