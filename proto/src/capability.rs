//! Capability lists of v0 and v1 (gitprotocol-capabilities) and the values that every list shares.

use bstr::{BStr, BString, ByteSlice};

/// The capabilities behind the NUL of a v0 or v1 line, separated by spaces; also one per line of a v2 advertisement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    list: Vec<BString>,
}

impl Capabilities {
    /// Splits at spaces; a trailing line feed is dropped.
    pub fn parse(text: &[u8]) -> Self {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        Self {
            list: text.split(|b| *b == b' ').filter(|c| !c.is_empty()).map(Into::into).collect(),
        }
    }

    /// Adds one, as it stands (`ofs-delta`, `agent=git/2.47`).
    pub fn push(&mut self, capability: impl Into<BString>) {
        self.list.push(capability.into());
    }

    /// Whether `name` is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(key, _)| key == name)
    }

    /// The value of the first `name=value`.
    pub fn value(&self, name: &str) -> Option<&BStr> {
        self.iter().filter(|(key, _)| *key == name).find_map(|(_, value)| value)
    }

    /// The values of every `name=value`, for those that may stand several times (`symref`).
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a BStr> {
        self.iter().filter(move |(key, _)| *key == name).filter_map(|(_, value)| value)
    }

    /// Every capability with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&BStr, Option<&BStr>)> {
        self.list.iter().map(|capability| match capability.split_once_str("=") {
            Some((key, value)) => (key.as_bstr(), Some(value.as_bstr())),
            None => (capability.as_bstr(), None),
        })
    }

    /// The list as one line, separated by spaces.
    pub fn to_line(&self) -> BString {
        bstr::join(" ", &self.list).into()
    }
}

impl<T: Into<BString>> FromIterator<T> for Capabilities {
    fn from_iter<I: IntoIterator<Item = T>>(list: I) -> Self {
        Self { list: list.into_iter().map(Into::into).collect() }
    }
}

/// Makes a value safe to print as `agent` or `session-id`: printable ASCII without spaces, at most 256 bytes
/// (git's `redact_non_printables`, and the rule of gitprotocol-capabilities).
pub fn sanitize_value(value: &[u8]) -> BString {
    value
        .iter()
        .take(256)
        .map(|b| if b.is_ascii_graphic() { *b } else { b'.' })
        .collect::<Vec<_>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_and_values() {
        let caps =
            Capabilities::parse(b" multi_ack symref=HEAD:refs/heads/a symref=B:c agent=git/2 x=\n");
        assert!(
            caps.has("multi_ack") && caps.has("agent") && !caps.has("multi") && !caps.has("git/2")
        );
        assert_eq!(caps.value("agent").unwrap(), "git/2");
        assert_eq!(caps.value("x").unwrap(), "");
        assert_eq!(caps.value("multi_ack"), None);
        assert_eq!(caps.values("symref").collect::<Vec<_>>(), ["HEAD:refs/heads/a", "B:c"]);
        assert_eq!(caps.to_line(), "multi_ack symref=HEAD:refs/heads/a symref=B:c agent=git/2 x=");
    }

    #[test]
    fn sanitizes_what_a_peer_says_of_itself() {
        assert_eq!(sanitize_value(b"git/2 \x1b[31m\n"), "git/2..[31m.");
    }
}
