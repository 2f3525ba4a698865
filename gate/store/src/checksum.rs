//! The checksum at the end of packs and indexes: the repository's hash, without looking for attacks.

use proto::{ObjectFormat, ObjectId};
use sha1::Digest;

#[derive(Clone)]
pub(crate) enum Checksum {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Checksum {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        match format {
            ObjectFormat::Sha1 => Self::Sha1(sha1::Sha1::new()),
            ObjectFormat::Sha256 => Self::Sha256(sha2::Sha256::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(inner) => inner.update(bytes),
            Self::Sha256(inner) => inner.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> ObjectId {
        let id = match self {
            Self::Sha1(inner) => ObjectId::from_raw(&inner.finalize()),
            Self::Sha256(inner) => ObjectId::from_raw(&inner.finalize()),
        };
        id.expect("a digest has 20 or 32 bytes")
    }
}

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checksum")
    }
}
