//! What an object is, and how its id is made.

use proto::{ObjectFormat, ObjectId};
use std::fmt;

use crate::ids;

/// The four kinds of objects (gitformat-pack(5), "Object types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    /// Git's word for it, as it stands in object headers and tags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    /// Reads the word that [`as_str`](Self::as_str) prints.
    pub fn parse(word: &[u8]) -> Option<Self> {
        match word {
            b"commit" => Some(Self::Commit),
            b"tree" => Some(Self::Tree),
            b"blob" => Some(Self::Blob),
            b"tag" => Some(Self::Tag),
            _ => None,
        }
    }

    /// The number a pack entry carries for it.
    pub const fn pack_type(self) -> u8 {
        match self {
            Self::Commit => 1,
            Self::Tree => 2,
            Self::Blob => 3,
            Self::Tag => 4,
        }
    }

    /// The kind a pack entry's number stands for; deltas have none.
    pub const fn from_pack_type(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Commit),
            2 => Some(Self::Tree),
            3 => Some(Self::Blob),
            4 => Some(Self::Tag),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The bytes show the traces of a known attack on SHA-1; no object may have them (as in git).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {kind} was made to collide with another object's id")]
pub struct Collision {
    pub kind: Kind,
}

/// Hashes one object whose bytes arrive in pieces.
pub struct ObjectHasher {
    inner: gix_hash::Hasher,
    kind: Kind,
}

impl ObjectHasher {
    /// Starts an object of `size` bytes.
    pub fn new(format: ObjectFormat, kind: Kind, size: u64) -> Self {
        let mut inner = gix_hash::hasher(ids::kind(format));
        inner.update(format!("{kind} {size}\0").as_bytes());
        Self { inner, kind }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
    }

    /// The id, unless the bytes are an attack on SHA-1.
    pub fn finish(self) -> Result<ObjectId, Collision> {
        match self.inner.try_finalize() {
            Ok(id) => Ok(ids::from_oid(&id)),
            Err(_) => Err(Collision { kind: self.kind }),
        }
    }
}

impl fmt::Debug for ObjectHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectHasher").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The id of an object held whole.
pub fn hash_object(format: ObjectFormat, kind: Kind, bytes: &[u8]) -> Result<ObjectId, Collision> {
    let mut hasher = ObjectHasher::new(format, kind, bytes.len() as u64);
    hasher.update(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_objects_as_git_does() {
        let empty = |format| hash_object(format, Kind::Blob, b"").unwrap().to_hex();
        assert_eq!(empty(ObjectFormat::Sha1), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(
            empty(ObjectFormat::Sha256),
            "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"
        );
    }
}
