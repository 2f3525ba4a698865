//! The header before an entry's deflated bytes (gitformat-pack(5)).

use proto::{ObjectFormat, ObjectId};

use crate::Kind;

const OFS_DELTA: u8 = 6;
const REF_DELTA: u8 = 7;

/// How an entry stores its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The object's own bytes.
    Whole(Kind),
    /// A delta against the entry that begins at `base` in the same pack.
    OfsDelta { base: u64 },
    /// A delta against an object named by its id.
    RefDelta { base: ObjectId },
}

/// One entry of a pack as it lies there.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Where its header begins in the pack.
    pub offset: u64,
    pub kind: EntryKind,
    /// Length of what the deflated bytes inflate to: the object, or the delta's instructions.
    pub size: u64,
    /// The zlib stream exactly as it lies in the pack.
    pub deflated: &'a [u8],
}

/// What a header says, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub(crate) kind: EntryKind,
    pub(crate) size: u64,
    pub(crate) len: usize,
}

/// Why a header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError<E> {
    /// The source of bytes failed.
    Read(E),
    /// The bytes break the format.
    Malformed(&'static str),
}

impl EntryHeader {
    /// Reads a header that begins at `offset` of its pack, one byte at a time from `next`.
    pub(crate) fn parse<E>(
        offset: u64,
        format: ObjectFormat,
        mut next: impl FnMut() -> Result<u8, E>,
    ) -> Result<Self, HeaderError<E>> {
        let mut len = 0;
        let mut next = || {
            len += 1;
            next().map_err(HeaderError::Read)
        };
        let mut byte = next()?;
        let number = byte >> 4 & 7;
        let mut size = u64::from(byte & 15);
        let mut shift = 4;
        while byte & 0x80 != 0 {
            byte = next()?;
            let bits = u64::from(byte & 0x7f);
            if shift > 60 || bits << shift >> shift != bits {
                return Err(HeaderError::Malformed("an entry's size does not fit 64 bits"));
            }
            size |= bits << shift;
            shift += 7;
        }
        let kind = match number {
            OFS_DELTA => EntryKind::OfsDelta { base: base_offset(offset, &mut next)? },
            REF_DELTA => {
                let mut raw = [0; 32];
                let raw = &mut raw[..format.raw_len()];
                for byte in &mut *raw {
                    *byte = next()?;
                }
                let base = ObjectId::from_raw(raw).expect("the length is the format's own");
                EntryKind::RefDelta { base }
            }
            _ => match Kind::from_pack_type(number) {
                Some(kind) => EntryKind::Whole(kind),
                None => return Err(HeaderError::Malformed("an entry's type is unknown")),
            },
        };
        Ok(Self { kind, size, len })
    }

    /// Reads a header from bytes in memory.
    pub(crate) fn from_slice(
        offset: u64,
        format: ObjectFormat,
        bytes: &[u8],
    ) -> Result<Self, &'static str> {
        let mut bytes = bytes.iter();
        Self::parse(offset, format, || bytes.next().copied().ok_or(())).map_err(|error| match error
        {
            HeaderError::Read(()) => "the pack ends within an entry's header",
            HeaderError::Malformed(what) => what,
        })
    }
}

/// Appends the header of an entry that will lie at `offset` and inflates to `size` bytes.
pub(crate) fn write_header(kind: EntryKind, size: u64, offset: u64, out: &mut Vec<u8>) {
    let number = match kind {
        EntryKind::Whole(kind) => kind.pack_type(),
        EntryKind::OfsDelta { .. } => OFS_DELTA,
        EntryKind::RefDelta { .. } => REF_DELTA,
    };
    let mut byte = number << 4 | (size & 15) as u8;
    let mut rest = size >> 4;
    while rest > 0 {
        out.push(byte | 0x80);
        byte = (rest & 0x7f) as u8;
        rest >>= 7;
    }
    out.push(byte);
    match kind {
        EntryKind::Whole(_) => {}
        EntryKind::OfsDelta { base } => {
            let mut distance = offset - base;
            let mut bytes = [0; 10];
            let mut at = bytes.len() - 1;
            bytes[at] = (distance & 0x7f) as u8;
            while distance > 0x7f {
                distance = (distance >> 7) - 1;
                at -= 1;
                bytes[at] = 0x80 | (distance & 0x7f) as u8;
            }
            out.extend_from_slice(&bytes[at..]);
        }
        EntryKind::RefDelta { base } => out.extend_from_slice(base.as_bytes()),
    }
}

/// The distance to an OFS_DELTA's base, a base-128 number in which each further byte adds one.
fn base_offset<E>(
    offset: u64,
    mut next: impl FnMut() -> Result<u8, HeaderError<E>>,
) -> Result<u64, HeaderError<E>> {
    let mut byte = next()?;
    let mut distance = u64::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        byte = next()?;
        if distance >= 1 << 56 {
            return Err(HeaderError::Malformed("a delta's distance does not fit 64 bits"));
        }
        distance = (distance + 1) << 7 | u64::from(byte & 0x7f);
    }
    match offset.checked_sub(distance) {
        Some(base) if distance > 0 && base >= super::PACK_HEADER_LEN => Ok(base),
        _ => Err(HeaderError::Malformed("a delta's base lies outside its pack")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(kind: EntryKind, size: u64, offset: u64) {
        let mut bytes = Vec::new();
        write_header(kind, size, offset, &mut bytes);
        let header = EntryHeader::from_slice(offset, ObjectFormat::Sha1, &bytes);
        assert_eq!(header, Ok(EntryHeader { kind, size, len: bytes.len() }));
        for cut in 0..bytes.len() {
            assert!(EntryHeader::from_slice(offset, ObjectFormat::Sha1, &bytes[..cut]).is_err());
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(size in any::<u64>(), shift in 0..64, base in 12_u64..1 << 40, distance in 1_u64..1 << 40) {
            round_trip(EntryKind::Whole(Kind::Blob), size >> shift, 12);
            round_trip(EntryKind::OfsDelta { base }, size, base + distance);
            let base = ObjectId::from_raw(&[7; 20]).unwrap();
            round_trip(EntryKind::RefDelta { base }, size >> shift, 99);
        }

        #[test]
        fn never_panics_on_garbage(bytes in proptest::collection::vec(any::<u8>(), 0..40), offset in any::<u64>()) {
            let read = EntryHeader::from_slice(offset, ObjectFormat::Sha256, &bytes);
            if let Ok(header) = read {
                prop_assert!(header.len <= bytes.len());
            }
        }
    }
}
