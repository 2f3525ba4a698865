//! The border between `proto`'s ids and gix's: the rest of the crate speaks `proto::ObjectId`.

use proto::{ObjectFormat, ObjectId};

/// The gix name of an object format.
pub(crate) fn kind(format: ObjectFormat) -> gix_hash::Kind {
    match format {
        ObjectFormat::Sha1 => gix_hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix_hash::Kind::Sha256,
    }
}

/// The same id as a borrowed gix id.
pub(crate) fn as_oid(id: &ObjectId) -> &gix_hash::oid {
    gix_hash::oid::from_bytes_unchecked(id.as_bytes())
}

/// The same id as ours.
pub(crate) fn from_oid(id: &gix_hash::oid) -> ObjectId {
    ObjectId::from_raw(id.as_bytes()).expect("a gix id has 20 or 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_way_there_and_back() {
        for hex in ["0123456789abcdef0123456789abcdef01234567".to_owned(), "cd".repeat(32)] {
            let id = ObjectId::from_hex(hex.as_bytes()).unwrap();
            assert_eq!(from_oid(as_oid(&id)), id);
            assert_eq!(as_oid(&id).kind(), kind(id.format()));
        }
    }
}
