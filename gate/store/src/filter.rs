//! Partial clone filters, as `git rev-list --filter` words and means them (list-objects-filter.c).

use crate::Kind;

/// The longest filter-spec accepted, in bytes; `combine:` nests, so this also bounds the depth.
pub const MAX_FILTER_SPEC: usize = 4096;

/// Which objects a client asked to leave out. Objects it wants by id are sent whatever the filter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Blobs of this many bytes or more are left out; 0 for all of them.
    blob_limit: u64,
    /// Trees and blobs that lie this deep or deeper are left out; the root tree lies at depth 0.
    depth: u64,
    commits: bool,
    trees: bool,
    blobs: bool,
    tags: bool,
}

/// Why a filter-spec is refused, in git's words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidFilter {
    #[error("invalid filter-spec '{}'", .0.escape_ascii())]
    Unknown(Vec<u8>),
    #[error("expected 'tree:<depth>'")]
    Depth,
    #[error("expected something after combine:")]
    EmptyCombine,
    #[error("must escape char in sub-filter-spec: '{}'", .0.escape_ascii())]
    Unescaped(u8),
    #[error("'{}' for 'object:type=<type>' is not a valid object type", .0.escape_ascii())]
    ObjectType(Vec<u8>),
    #[error("sparse:path filters support has been dropped")]
    SparsePath,
    #[error("filter '{0}' not supported")]
    NotSupported(&'static str),
}

impl Filter {
    const EVERYTHING: Self = Self {
        blob_limit: u64::MAX,
        depth: u64::MAX,
        commits: true,
        trees: true,
        blobs: true,
        tags: true,
    };

    /// Reads a filter-spec: `blob:none`, `blob:limit=<n>[kmg]`, `tree:<depth>`, `object:type=<type>` and
    /// `combine:<spec>+<spec>…`. `sparse:oid` would let a client choose the server's work and is not served.
    pub fn parse(spec: &[u8]) -> Result<Self, InvalidFilter> {
        let unknown = || InvalidFilter::Unknown(spec[..spec.len().min(80)].to_vec());
        if spec.len() > MAX_FILTER_SPEC {
            return Err(unknown());
        }
        let all = Self::EVERYTHING;
        if spec == b"blob:none" {
            Ok(Self { blob_limit: 0, ..all })
        } else if let Some(limit) = spec.strip_prefix(b"blob:limit=") {
            Ok(Self { blob_limit: parse_ulong(limit).ok_or_else(unknown)?, ..all })
        } else if let Some(depth) = spec.strip_prefix(b"tree:") {
            Ok(Self { depth: parse_ulong(depth).ok_or(InvalidFilter::Depth)?, ..all })
        } else if let Some(kind) = spec.strip_prefix(b"object:type=") {
            Self::of_type(kind)
        } else if let Some(specs) = spec.strip_prefix(b"combine:") {
            Self::combine(specs)
        } else if spec.starts_with(b"sparse:oid=") {
            Err(InvalidFilter::NotSupported("sparse:oid"))
        } else if spec.starts_with(b"sparse:path=") {
            Err(InvalidFilter::SparsePath)
        } else {
            Err(unknown())
        }
    }

    fn of_type(kind: &[u8]) -> Result<Self, InvalidFilter> {
        let mut only =
            Self { commits: false, trees: false, blobs: false, tags: false, ..Self::EVERYTHING };
        match kind {
            b"commit" => only.commits = true,
            b"tree" => only.trees = true,
            b"blob" => only.blobs = true,
            b"tag" => only.tags = true,
            other => return Err(InvalidFilter::ObjectType(other.to_vec())),
        }
        Ok(only)
    }

    /// An object passes a combination when it passes every part.
    fn combine(specs: &[u8]) -> Result<Self, InvalidFilter> {
        const RESERVED: &[u8] = b"~`!@#$^&*()[]{}\\;'\",<>?";
        if specs.is_empty() {
            return Err(InvalidFilter::EmptyCombine);
        }
        let mut all = Self::EVERYTHING;
        for spec in specs.strip_suffix(b"+").unwrap_or(specs).split(|b| *b == b'+') {
            if let Some(bad) = spec.iter().find(|b| **b <= b' ' || RESERVED.contains(b)) {
                return Err(InvalidFilter::Unescaped(*bad));
            }
            let part = Self::parse(&percent_decode(spec))?;
            all.blob_limit = all.blob_limit.min(part.blob_limit);
            all.depth = all.depth.min(part.depth);
            all.commits &= part.commits;
            all.trees &= part.trees;
            all.blobs &= part.blobs;
            all.tags &= part.tags;
        }
        Ok(all)
    }

    /// Whether objects of this kind are ever sent, unless wanted by id.
    pub(crate) fn kind(&self, kind: Kind) -> bool {
        match kind {
            Kind::Commit => self.commits,
            Kind::Tree => self.trees && self.depth > 0,
            Kind::Blob => self.blobs && self.blob_limit > 0 && self.depth > 0,
            Kind::Tag => self.tags,
        }
    }

    /// Whether a tree or blob this deep below a commit may be sent.
    pub(crate) fn at_depth(&self, depth: u64) -> bool {
        depth < self.depth
    }

    /// Whether nothing below a tree at `depth` is ever sent.
    pub(crate) fn ends_at(&self, depth: u64) -> bool {
        !self.at_depth(depth.saturating_add(1)) || self.sends_no_tree_or_blob()
    }

    /// Whether trees need not be looked at.
    pub(crate) fn sends_no_tree_or_blob(&self) -> bool {
        !self.trees && (!self.blobs || self.blob_limit == 0)
    }

    /// Whether the depth of an object matters.
    pub(crate) fn has_depth(&self) -> bool {
        self.depth != u64::MAX
    }

    /// The size from which on a blob is left out, if sizes matter.
    pub(crate) fn blob_limit(&self) -> Option<u64> {
        (self.blob_limit != u64::MAX).then_some(self.blob_limit)
    }

    /// Bytes that differ where the answer may differ.
    pub(crate) fn key(&self) -> [u8; 17] {
        let mut key = [0; 17];
        key[..8].copy_from_slice(&self.blob_limit.to_be_bytes());
        key[8..16].copy_from_slice(&self.depth.to_be_bytes());
        let kinds = [self.commits, self.trees, self.blobs, self.tags];
        key[16] = kinds.iter().fold(0, |bits, kind| bits << 1 | u8::from(*kind));
        key
    }
}

/// `git_parse_ulong`: decimal, octal or hex, with an optional unit of k, m or g.
fn parse_ulong(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (digits, unit) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()?.checked_mul(unit)
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let byte = text
            .get(at + 1..at + 3)
            .filter(|_| text[at] == b'%')
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(text[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_git_reads() {
        let all = Filter::EVERYTHING;
        let limit = |n| Ok(Filter { blob_limit: n, ..all });
        assert_eq!(Filter::parse(b"blob:none"), limit(0));
        assert_eq!(Filter::parse(b"blob:limit=0"), limit(0));
        assert_eq!(Filter::parse(b"blob:limit=100"), limit(100));
        assert_eq!(Filter::parse(b"blob:limit=2k"), limit(2048));
        assert_eq!(Filter::parse(b"blob:limit=1G"), limit(1 << 30));
        assert_eq!(Filter::parse(b"blob:limit=0x10"), limit(16));
        assert_eq!(Filter::parse(b"tree:3"), Ok(Filter { depth: 3, ..all }));
        let both = Filter { depth: 2, blob_limit: 1024, ..all };
        assert_eq!(Filter::parse(b"combine:tree:2+blob:limit=1k"), Ok(both));
        assert_eq!(Filter::parse(b"combine:tree:2+combine:blob%3alimit=1k%2btree:5"), Ok(both));
        let tags = Filter { commits: false, trees: false, blobs: false, ..all };
        assert_eq!(Filter::parse(b"object:type=tag"), Ok(tags));
    }

    #[test]
    fn refuses_in_gits_words() {
        let says = |spec: &[u8]| Filter::parse(spec).unwrap_err().to_string();
        assert_eq!(says(b"blob:some"), "invalid filter-spec 'blob:some'");
        assert_eq!(says(b"blob:limit=-1"), "invalid filter-spec 'blob:limit=-1'");
        assert_eq!(says(b"tree:x"), "expected 'tree:<depth>'");
        assert_eq!(says(b"combine:"), "expected something after combine:");
        assert_eq!(says(b"combine:tree:2 +blob:none"), "must escape char in sub-filter-spec: ' '");
        assert_eq!(says(b"sparse:oid=HEAD:x"), "filter 'sparse:oid' not supported");
        assert_eq!(says(b"sparse:path=x"), "sparse:path filters support has been dropped");
        assert_eq!(
            says(b"object:type=x"),
            "'x' for 'object:type=<type>' is not a valid object type"
        );
        assert!(Filter::parse(&[b'+'; MAX_FILTER_SPEC + 1]).is_err());
    }
}
