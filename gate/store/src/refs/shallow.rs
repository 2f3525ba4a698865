//! The `shallow` file: commits whose parents the origin does not have (gitrepository-layout(5)).

use bstr::ByteSlice;
use proto::{ObjectFormat, ObjectId};

/// Reads the file, sorted; `None` if a line is not an id of that format.
pub(crate) fn parse(bytes: &[u8], format: ObjectFormat) -> Option<Vec<ObjectId>> {
    let mut ids = bytes
        .lines()
        .map(|line| ObjectId::from_hex(line).filter(|id| id.format() == format))
        .collect::<Option<Vec<_>>>()?;
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

/// The file's bytes.
pub(crate) fn render(ids: &[ObjectId]) -> Vec<u8> {
    ids.iter().flat_map(|id| format!("{id}\n").into_bytes()).collect()
}
