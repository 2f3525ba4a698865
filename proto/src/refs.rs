//! Ref names and what an advertisement says of a ref.

use bstr::{BStr, BString, ByteSlice};
use std::fmt;

use crate::ObjectId;

/// A full ref name that passed `git check-ref-format`: `HEAD` or something below `refs/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(BString);

/// The longest ref name accepted, in bytes; a path component of the file system could not hold more in git either.
pub const MAX_REF_NAME: usize = 4096;

/// Why a ref name is refused; `rule` is git's own wording (git-check-ref-format(1)).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("ref name '{}' is not valid: {rule}", .name.escape_ascii())]
pub struct InvalidRefName {
    pub name: BString,
    pub rule: &'static str,
}

impl RefName {
    /// Checks a name by the rules of git-check-ref-format(1); only `HEAD` may stand outside `refs/`.
    pub fn parse(name: &[u8]) -> Result<Self, InvalidRefName> {
        match broken_rule(name) {
            Some(rule) => Err(InvalidRefName { name: name.into(), rule }),
            None => Ok(Self(name.into())),
        }
    }

    pub fn as_bstr(&self) -> &BStr {
        self.0.as_bstr()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the name lies in `prefix`, which ends in a slash (`refs/heads/`).
    pub fn is_below(&self, prefix: &str) -> bool {
        self.0.starts_with(prefix.as_bytes())
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.escape_ascii(), f)
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One ref of an advertisement or an `ls-refs` answer, ours or the origin's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    pub name: RefName,
    pub target: ObjectId,
    /// What an annotated tag points to in the end.
    pub peeled: Option<ObjectId>,
}

/// Where `HEAD` stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A symref; the branch may be unborn.
    Symbolic(RefName),
    Detached(ObjectId),
}

fn broken_rule(name: &[u8]) -> Option<&'static str> {
    if name == b"HEAD" {
        return None;
    }
    if name.len() > MAX_REF_NAME {
        return Some("longer than 4096 bytes");
    }
    if !name.starts_with(b"refs/") || name.len() == b"refs/".len() {
        return Some("not below refs/");
    }
    if name.iter().any(|b| *b < 0x20 || *b == 0x7f || b" ~^:?*[\\".contains(b)) {
        return Some("holds a space, a control byte or one of ~^:?*[\\");
    }
    if name.find(b"..").is_some() || name.find(b"@{").is_some() {
        return Some("holds '..' or '@{'");
    }
    if name.ends_with(b".") {
        return Some("ends in a dot");
    }
    for part in name.split(|b| *b == b'/') {
        if part.is_empty() {
            return Some("holds an empty component");
        }
        if part.starts_with(b".") || part.ends_with(b".lock") {
            return Some("a component begins with a dot or ends in .lock");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_git_accepts() {
        for good in [
            "HEAD",
            "refs/heads/main",
            "refs/a",
            "refs/heads/@",
            "refs/pull/1/head",
            "refs/heads/ü",
        ] {
            assert!(RefName::parse(good.as_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_what_git_refuses() {
        let bad: &[&[u8]] = &[
            b"",
            b"main",
            b"refs/",
            b"refs//a",
            b"refs/a/",
            b"/refs/a",
            b"refs/a..b",
            b"refs/.a",
            b"refs/a.lock",
            b"refs/a.lock/b",
            b"refs/a b",
            b"refs/a~1",
            b"refs/a:b",
            b"refs/a\\b",
            b"refs/a\x7f",
            b"refs/a\nb",
            b"refs/a@{1}",
            b"refs/a.",
            b"refs/../a",
            b"refs/a*",
            b"refs/a\0",
        ];
        for name in bad {
            assert!(RefName::parse(name).is_err(), "{}", name.escape_ascii());
        }
    }
}
