//! Names of repositories, checked before anything touches the disk.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The longest repository name, in bytes.
pub const MAX_REPO_NAME: usize = 512;

/// The longest component of a name, in bytes: with `.git` and a temporary suffix it still fits a file name.
const MAX_COMPONENT: usize = 200;

/// A repository's name as the gate knows it: `acme/app`, without slash in front and without `.git` at the end.
///
/// Holds nothing that a file system, a shell, a URL or a log could read in two ways.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName(String);

/// Why a repository name is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("repository name '{name}' is not allowed: {rule}")]
pub struct InvalidRepoName {
    /// The name, escaped and cut, fit to be shown.
    pub name: String,
    pub rule: &'static str,
}

impl RepoName {
    /// Checks a bare name such as `acme/app`.
    ///
    /// # Errors
    /// Names the broken rule.
    pub fn parse(name: &str) -> Result<Self, InvalidRepoName> {
        check(name.as_bytes())?;
        Ok(Self(name.to_owned()))
    }

    /// Reads the path of a client's request: one slash in front, `.git` and a slash at the end may be there or not.
    ///
    /// # Errors
    /// Names the broken rule. Percent escapes are not decoded: a name never needs one.
    pub fn from_request(path: &[u8]) -> Result<Self, InvalidRepoName> {
        let name = path.strip_prefix(b"/").unwrap_or(path);
        let name = name.strip_suffix(b"/").unwrap_or(name);
        let name = name.strip_suffix(b".git").unwrap_or(name);
        check(name)?;
        std::str::from_utf8(name)
            .map(|name| Self(name.to_owned()))
            .map_err(|_| invalid(name, NOT_UTF8))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the mirror lies: `<data>/acme/app.git`.
    pub fn mirror_dir(&self, data: &Path) -> PathBuf {
        data.join(format!("{}.git", self.0))
    }
}

/// What an entry of the config answers to: one name, or all names below a prefix (`github/*`, `*`).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RepoPattern {
    Exact(RepoName),
    /// The prefix with its slash, or nothing for `*`.
    Below(String),
}

impl RepoPattern {
    /// Reads `acme/app`, `github/*` or `*`.
    ///
    /// # Errors
    /// Names the broken rule; a `*` may only be the whole last component.
    pub fn parse(pattern: &str) -> Result<Self, InvalidRepoName> {
        if pattern == "*" {
            return Ok(Self::Below(String::new()));
        }
        match pattern.strip_suffix("/*") {
            Some(prefix) => RepoName::parse(prefix).map(|name| Self::Below(name.0 + "/")),
            None => RepoName::parse(pattern).map(Self::Exact),
        }
    }

    pub fn is_pattern(&self) -> bool {
        matches!(self, Self::Below(_))
    }

    pub fn matches(&self, name: &RepoName) -> bool {
        self.rank(name).is_some()
    }

    /// How closely the name is met: the greater, the closer.
    pub(crate) fn rank(&self, name: &RepoName) -> Option<usize> {
        match self {
            Self::Exact(exact) => (exact == name).then_some(usize::MAX),
            Self::Below(prefix) => name.0.starts_with(prefix).then_some(prefix.len()),
        }
    }

    /// What the `*` stands for in a name that matches.
    pub(crate) fn rest<'n>(&self, name: &'n RepoName) -> &'n str {
        match self {
            Self::Exact(_) => "",
            Self::Below(prefix) => name.0.strip_prefix(prefix).unwrap_or_default(),
        }
    }
}

fn check(name: &[u8]) -> Result<(), InvalidRepoName> {
    broken_rule(name).map_or(Ok(()), |rule| Err(invalid(name, rule)))
}

fn broken_rule(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > MAX_REPO_NAME {
        return Some("it is longer than 512 bytes");
    }
    let Ok(text) = std::str::from_utf8(name) else { return Some(NOT_UTF8) };
    if !text.chars().all(|c| c.is_alphanumeric() || "/-_.+@".contains(c)) {
        return Some("letters, digits and / - _ . + @ are allowed");
    }
    text.split('/').find_map(|component| match component {
        "" => Some("a component is empty"),
        _ if component.len() > MAX_COMPONENT => Some("a component is longer than 200 bytes"),
        _ if component.starts_with(['.', '-']) => Some("a component begins with a dot or a dash"),
        _ if component.contains("..") => Some("it holds '..'"),
        _ if component.ends_with(".git")
            || component.ends_with(".lock")
            || component.ends_with('.') =>
        {
            Some("a component ends in .git, .lock or a dot")
        }
        _ => None,
    })
}

fn invalid(name: &[u8], rule: &'static str) -> InvalidRepoName {
    let shown = name.len().min(MAX_SHOWN);
    InvalidRepoName { name: name[..shown].escape_ascii().to_string(), rule }
}

impl TryFrom<String> for RepoName {
    type Error = InvalidRepoName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<RepoName> for String {
    fn from(name: RepoName) -> Self {
        name.0
    }
}

impl TryFrom<String> for RepoPattern {
    type Error = InvalidRepoName;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        Self::parse(&pattern)
    }
}

impl From<RepoPattern> for String {
    fn from(pattern: RepoPattern) -> Self {
        pattern.to_string()
    }
}

impl std::str::FromStr for RepoName {
    type Err = InvalidRepoName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RepoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Below(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl fmt::Debug for RepoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const NOT_UTF8: &str = "it is not UTF-8";

/// How much of a refused name is shown, in bytes.
const MAX_SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_may_have_a_slash_in_front_and_git_at_the_end() {
        for path in ["acme/app", "/acme/app", "/acme/app.git", "acme/app.git/", "/acme/app/"] {
            assert_eq!(
                RepoName::from_request(path.as_bytes()).unwrap().as_str(),
                "acme/app",
                "{path}"
            );
        }
    }

    #[test]
    fn refuses_what_could_leave_the_data_folder_or_be_read_twice() {
        let long = "a/".repeat(300);
        let long_component = "a".repeat(201);
        let bad = [
            "",
            "/",
            "//etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            "a/./b",
            "a//b",
            "a\0b",
            "%2e%2e/x",
            "a%2fb",
            "~root/x",
            "a/~",
            "a\nb",
            "a\x7fb",
            "a\\b",
            "-oProxyCommand=x",
            "a/-b",
            ".git",
            "a/.git/config",
            "a.git/hooks",
            "a.git.git",
            "a.lock",
            "a/b.",
            "a b",
            "a:b",
            "a*",
            "a?b",
            "a'b",
            "$(x)",
            "`x`",
            "a\u{202e}b",
            &long,
            &long_component,
        ];
        for name in bad {
            assert!(RepoName::from_request(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(RepoName::from_request(b"a\xff").is_err());
    }

    #[test]
    fn a_refused_name_is_shown_escaped_and_cut() {
        let error =
            RepoName::from_request(format!("a\x1b[2J{}", "b".repeat(1000)).as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(r"repository name 'a\x1b[2Jbbb"), "{error}");
        assert!(error.to_string().len() < 250);
    }

    #[test]
    fn a_star_is_the_whole_last_component() {
        assert_eq!(RepoPattern::parse("*").unwrap(), RepoPattern::Below(String::new()));
        assert_eq!(RepoPattern::parse("a/b/*").unwrap(), RepoPattern::Below("a/b/".into()));
        for bad in ["a*", "*/a", "a/*/b", "**", "/*", "a/b*"] {
            assert!(RepoPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
